//! Many ed25519 signatures decided together, on the library's curve. It is the equation of
//! `ed25519_dalek::verify_batch`, with one difference: what falls to the same key is summed first,
//! so that the signatures of a ledger, which few keys made, cost one curve point each and not two.
//!
//! For every signature `s·B = R + k·A` with `k = SHA-512(R, A, message)` must hold (RFC 8032, the
//! form without cofactor). With a factor `z` of 128 bits for each, which nobody can know before all
//! signatures are fixed, the sum of all these equations holds only if each of them does, but for one
//! case in 2^128. The factors are drawn from a hash of everything that is decided: no randomness.
//!
//! Which signatures may be decided so is said in [`crate::debt`]; the tests hold this against the
//! library's single and batch decisions.

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha512};

/// Parts the factors from every other use of SHA-512.
const DOMAIN: &[u8] = b"canonry/batch/v1\0";

/// One signature to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Whose it is said to be.
    pub key: &'a VerifyingKey,
    /// What was signed.
    pub message: &'a [u8],
    /// R and s.
    pub signature: &'a [u8; 64],
}

/// The coefficients of the keys, each once.
#[derive(Default)]
struct Keys<'a> {
    of: Vec<(&'a VerifyingKey, Scalar)>,
    last: usize,
}

impl<'a> Keys<'a> {
    fn add(&mut self, key: &'a VerifyingKey, scalar: Scalar) {
        if self.of.get(self.last).is_none_or(|(known, _)| *known != key) {
            let found = self.of.iter().position(|(known, _)| *known == key);
            self.last = found.unwrap_or(self.of.len());
        }
        match self.of.get_mut(self.last) {
            Some((_, sum)) => *sum += scalar,
            None => self.of.push((key, scalar)),
        }
    }
}

/// Whether all of them hold. Of none it is true.
#[must_use]
pub fn holds(all: &[Signed<'_>]) -> bool {
    let mut transcript = Sha512::new_with_prefix(DOMAIN);
    let mut hashes = Vec::with_capacity(all.len());
    for signed in all {
        let hash: [u8; 64] = Sha512::new()
            .chain_update(&signed.signature[..32])
            .chain_update(signed.key.as_bytes())
            .chain_update(signed.message)
            .finalize()
            .into();
        // It covers R, key and message; s is not in it.
        transcript.update(hash);
        transcript.update(&signed.signature[32..]);
        hashes.push(hash);
    }
    let seed: [u8; 64] = transcript.finalize().into();
    let mut scalars = Vec::with_capacity(all.len() + 2);
    let mut points = Vec::with_capacity(all.len() + 2);
    let (mut base, mut keys) = (Scalar::ZERO, Keys::default());
    for ((signed, hash), z) in all.iter().zip(&hashes).zip(factors(&seed)) {
        let (Some(point), Some(s)) = (commitment(signed), response(signed)) else { return false };
        base -= z * s;
        keys.add(signed.key, z * Scalar::from_bytes_mod_order_wide(hash));
        scalars.push(z);
        points.push(point);
    }
    scalars.push(base);
    points.push(ED25519_BASEPOINT_POINT);
    for (key, scalar) in keys.of {
        scalars.push(scalar);
        points.push(key.to_edwards());
    }
    EdwardsPoint::vartime_multiscalar_mul(&scalars, &points).is_identity()
}

fn commitment(signed: &Signed<'_>) -> Option<EdwardsPoint> {
    CompressedEdwardsY::from_slice(&signed.signature[..32]).ok()?.decompress()
}

/// The second half, which must be below the group's order (RFC 8032, 5.1.7).
fn response(signed: &Signed<'_>) -> Option<Scalar> {
    let bytes = signed.signature[32..].try_into().ok()?;
    Scalar::from_canonical_bytes(bytes).into()
}

/// As many factors as are taken, four from each hash.
fn factors(seed: &[u8; 64]) -> impl Iterator<Item = Scalar> {
    (0_u64..).flat_map(move |n| {
        let drawn: [u8; 64] =
            Sha512::new().chain_update(seed).chain_update(n.to_le_bytes()).finalize().into();
        let one = move |at: usize| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&drawn[at * 16..at * 16 + 16]);
            Scalar::from(u128::from_le_bytes(bytes))
        };
        (0..4).map(one)
    })
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Signer as _, SigningKey, verify_batch};
    use proptest::prelude::*;

    use super::*;

    type Owned = (VerifyingKey, Vec<u8>, [u8; 64]);

    fn made(keys: &[u8], count: usize) -> Vec<Owned> {
        (0..count)
            .map(|n| {
                let key = SigningKey::from_bytes(&[keys[n % keys.len()]; 32]);
                let message = format!("message {n}").into_bytes();
                let signature = key.sign(&message).to_bytes();
                (key.verifying_key(), message, signature)
            })
            .collect()
    }

    fn ours(all: &[Owned]) -> bool {
        let all: Vec<_> = all
            .iter()
            .map(|(key, message, signature)| Signed { key, message, signature })
            .collect();
        holds(&all)
    }

    fn theirs(all: &[Owned]) -> bool {
        let messages: Vec<&[u8]> = all.iter().map(|(_, m, _)| m.as_slice()).collect();
        let signatures: Vec<_> = all.iter().map(|(.., s)| Signature::from_bytes(s)).collect();
        let keys: Vec<_> = all.iter().map(|(k, ..)| *k).collect();
        verify_batch(&messages, &signatures, &keys).is_ok()
    }

    #[test]
    fn right_ones_hold_whoever_signed() {
        for (keys, count) in [(&[1][..], 0), (&[1], 1), (&[1], 700), (&[1, 2, 3], 50)] {
            assert!(ours(&made(keys, count)), "{keys:?} {count}");
        }
    }

    #[test]
    fn two_wrongs_do_not_make_a_right() {
        // s of two signatures moved apart by the same amount: a sum without factors would hold.
        let mut all = made(&[1], 2);
        let one = Scalar::ONE;
        for (n, (.., signature)) in all.iter_mut().enumerate() {
            let s: [u8; 32] = signature[32..].try_into().unwrap();
            let s = Scalar::from_canonical_bytes(s).unwrap();
            let moved = if n == 0 { s + one } else { s - one };
            signature[32..].copy_from_slice(&moved.to_bytes());
        }
        assert!(!ours(&all) && !theirs(&all));
    }

    #[test]
    fn an_s_beyond_the_order_is_refused() {
        let mut all = made(&[1], 1);
        let order = hex_order();
        let mut carry = 0_u16;
        for (byte, more) in all[0].2[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(more) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        assert!(!ours(&all), "the same equation, another text");
    }

    /// The group's order, little endian (RFC 8032, 5.1).
    fn hex_order() -> [u8; 32] {
        let mut order = [0; 32];
        order[..16].copy_from_slice(&[
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
            0xde, 0x14,
        ]);
        order[31] = 0x10;
        order
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn one_changed_bit_is_seen_and_the_library_agrees(
            count in 1_usize..24, keys in 1_u8..4, at in 0_usize..24,
            place in 0_usize..64, bit in 0_u8..8, of_message in any::<bool>(),
        ) {
            let keys: Vec<u8> = (1..=keys).collect();
            let mut all = made(&keys, count);
            let at = at % count;
            if of_message {
                let place = place % all[at].1.len();
                all[at].1[place] ^= 1 << bit;
            } else {
                all[at].2[place] ^= 1 << bit;
            }
            prop_assert!(!ours(&all));
            prop_assert!(!theirs(&all));
        }

        #[test]
        fn a_foreign_key_is_seen(count in 2_usize..24, at in 0_usize..24) {
            let mut all = made(&[1], count);
            all[at % count].0 = SigningKey::from_bytes(&[9; 32]).verifying_key();
            prop_assert!(!ours(&all));
            prop_assert!(!theirs(&all));
        }
    }
}
