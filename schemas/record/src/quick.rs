//! The private key in the form that signs fastest on this processor: formally verified assembly
//! (s2n-bignum, by way of graviola) where the processor has what it needs, else nothing, and the
//! portable library signs. Ed25519 signatures are deterministic (RFC 8032, 5.1.6), so both write the
//! same bytes; a test holds them together. Verification stays with the portable library, whose
//! decisions are part of the contract ([`crate::debt`]).

use ed25519_dalek::SigningKey;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod native {
    use graviola::signing::eddsa::Ed25519SigningKey;

    use super::SigningKey;

    /// The key, zeroed when it is dropped.
    pub struct Quick(Ed25519SigningKey);

    impl Quick {
        /// `None` where the processor lacks what the assembly needs.
        pub fn new(key: &SigningKey) -> Option<Self> {
            suits().then(|| Ed25519SigningKey::from_bytes(key.as_bytes()).ok().map(Self)).flatten()
        }

        /// Signs a message as it is.
        pub fn sign(&self, message: &[u8]) -> [u8; 64] {
            self.0.sign(message)
        }
    }

    /// What the library asserts when it is used.
    #[cfg(target_arch = "x86_64")]
    fn suits() -> bool {
        is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("adx")
            && is_x86_feature_detected!("avx")
            && is_x86_feature_detected!("avx2")
    }

    /// What the library asserts when it is used.
    #[cfg(target_arch = "aarch64")]
    fn suits() -> bool {
        std::arch::is_aarch64_feature_detected!("neon")
            && std::arch::is_aarch64_feature_detected!("aes")
            && std::arch::is_aarch64_feature_detected!("pmull")
            && std::arch::is_aarch64_feature_detected!("sha2")
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod native {
    use super::SigningKey;

    /// Nothing: no assembly is written for this processor.
    pub enum Quick {}

    impl Quick {
        /// There is none.
        pub const fn new(_: &SigningKey) -> Option<Self> {
            None
        }

        /// Never called.
        pub fn sign(&self, _: &[u8]) -> [u8; 64] {
            match *self {}
        }
    }
}

pub use native::Quick;

#[cfg(test)]
mod tests {
    use ed25519_dalek::Signer as _;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_bytes_are_those_of_the_portable_library(
            seed in any::<[u8; 32]>(), message in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let key = SigningKey::from_bytes(&seed);
            if let Some(quick) = Quick::new(&key) {
                prop_assert_eq!(quick.sign(&message), key.sign(&message).to_bytes());
            }
        }
    }
}
