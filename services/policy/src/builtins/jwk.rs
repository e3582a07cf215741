//! Keys of tokens: JWK (RFC 7517), certificates (RFC 5280) and public keys (RFC 5280, PEM), and what
//! is signed with them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm};
use ring::{hmac, rand, rsa};
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

type Json = serde_json::Value;

/// A public key.
pub(super) enum Public {
    /// Modulus and exponent.
    Rsa(Vec<u8>, Vec<u8>),
    /// An uncompressed point of the curve of so many bits.
    Curve(u16, Vec<u8>),
    /// Ed25519.
    Edwards(VerifyingKey),
}

/// How a token is signed.
#[derive(Clone, Copy)]
pub(super) enum Algorithm {
    Secret(hmac::Algorithm),
    Rsa(&'static RsaParameters, Option<&'static dyn signature::RsaEncoding>),
    Curve(u16, &'static dyn VerificationAlgorithm),
    Edwards,
}

impl Algorithm {
    /// By its name of RFC 7518.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Secret(hmac::HMAC_SHA256),
            "HS384" => Self::Secret(hmac::HMAC_SHA384),
            "HS512" => Self::Secret(hmac::HMAC_SHA512),
            "RS256" => rs(&signature::RSA_PKCS1_2048_8192_SHA256, &signature::RSA_PKCS1_SHA256),
            "RS384" => rs(&signature::RSA_PKCS1_2048_8192_SHA384, &signature::RSA_PKCS1_SHA384),
            "RS512" => rs(&signature::RSA_PKCS1_2048_8192_SHA512, &signature::RSA_PKCS1_SHA512),
            "PS256" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA256, None),
            "PS384" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA384, None),
            "PS512" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA512, None),
            "ES256" => Self::Curve(256, &signature::ECDSA_P256_SHA256_FIXED),
            "ES384" => Self::Curve(384, &signature::ECDSA_P384_SHA384_FIXED),
            "EdDSA" => Self::Edwards,
            _ => return None,
        })
    }

    pub(super) const fn is_secret(self) -> bool {
        matches!(self, Self::Secret(_))
    }

    /// Whether a secret made this signature.
    pub(super) fn verify_secret(self, secret: &[u8], signed: &str, given: &[u8]) -> bool {
        let Self::Secret(algorithm) = self else { return false };
        hmac::verify(&hmac::Key::new(algorithm, secret), signed.as_bytes(), given).is_ok()
    }

    /// Whether a key made this signature. A key for something else did not.
    pub(super) fn verify(self, key: &Public, signed: &str, given: &[u8]) -> bool {
        match (self, key) {
            (Self::Rsa(how, _), Public::Rsa(n, e)) => {
                RsaPublicKeyComponents { n, e }.verify(how, signed.as_bytes(), given).is_ok()
            }
            (Self::Curve(bits, how), Public::Curve(own, point)) if bits == *own => {
                signature::UnparsedPublicKey::new(how, point)
                    .verify(signed.as_bytes(), given)
                    .is_ok()
            }
            (Self::Edwards, Public::Edwards(key)) => ed25519_dalek::Signature::from_slice(given)
                .is_ok_and(|s| key.verify_strict(signed.as_bytes(), &s).is_ok()),
            _ => false,
        }
    }

    /// Signs with a JWK.
    pub(super) fn sign(self, key: &str, text: &str) -> Result<Vec<u8>, String> {
        let key: Json = serde_json::from_str(key).map_err(|e| format!("no JWK: {e}"))?;
        let kind = key.get("kty").and_then(Json::as_str).unwrap_or_default();
        match (self, kind) {
            (Self::Secret(algorithm), "oct") => {
                let key = hmac::Key::new(algorithm, &number(&key, "k")?);
                Ok(hmac::sign(&key, text.as_bytes()).as_ref().to_vec())
            }
            (Self::Rsa(_, Some(encoding)), "RSA") => {
                let pair = rsa_pair(&key)?;
                let mut signature = vec![0; pair.public().modulus_len()];
                // Chance only blinds the arithmetic; the signature is the same each time.
                pair.sign(encoding, &rand::SystemRandom::new(), text.as_bytes(), &mut signature)
                    .map_err(|_| "the key signs nothing".to_owned())?;
                Ok(signature)
            }
            (Self::Edwards, "OKP") => {
                let secret = <[u8; 32]>::try_from(number(&key, "d")?)
                    .map_err(|_| "the key has not 32 bytes".to_owned())?;
                Ok(SigningKey::from_bytes(&secret).sign(text.as_bytes()).to_bytes().to_vec())
            }
            (Self::Rsa(_, None) | Self::Curve(..), _) => {
                Err("what is signed with chance is not supported".to_owned())
            }
            _ => Err("a key for another algorithm".to_owned()),
        }
    }
}

fn rs(how: &'static RsaParameters, encoding: &'static dyn signature::RsaEncoding) -> Algorithm {
    Algorithm::Rsa(how, Some(encoding))
}

fn number(key: &Json, name: &str) -> Result<Vec<u8>, String> {
    let text = key.get(name).and_then(Json::as_str);
    let text = text.ok_or_else(|| format!("failed to parse a JWK key (set): no {name}"))?;
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|e| format!("{name}: {e}"))
}

fn rsa_pair(key: &Json) -> Result<rsa::KeyPair, String> {
    let part = |name| number(key, name);
    let (n, e, d, p, q) = (part("n")?, part("e")?, part("d")?, part("p")?, part("q")?);
    let (dp, dq, qi) = (part("dp")?, part("dq")?, part("qi")?);
    let components = rsa::KeyPairComponents {
        public_key: rsa::PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: dp,
        dQ: dq,
        qInv: qi,
    };
    rsa::KeyPair::from_components(&components).map_err(|e| e.to_string())
}

/// The public keys of a PEM block or of a JWK or set of them.
pub(super) fn public_keys(text: &str) -> Result<Vec<Public>, String> {
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(vec![from_pem(text)?]);
    }
    let wrong = |why: String| format!("failed to parse a JWK key (set): {why}");
    let read: Json = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
    match read.get("keys").and_then(Json::as_array) {
        Some(keys) => keys.iter().map(from_jwk).collect(),
        None => Ok(vec![from_jwk(&read)?]),
    }
}

fn from_jwk(key: &Json) -> Result<Public, String> {
    let named = |name: &str| key.get(name).and_then(Json::as_str).unwrap_or_default();
    match (named("kty"), named("crv")) {
        ("RSA", _) => Ok(Public::Rsa(number(key, "n")?, number(key, "e")?)),
        ("EC", curve @ ("P-256" | "P-384")) => {
            let point = [vec![4], number(key, "x")?, number(key, "y")?].concat();
            Ok(Public::Curve(if curve == "P-256" { 256 } else { 384 }, point))
        }
        ("OKP", "Ed25519") => edwards(&number(key, "x")?),
        (kind, _) => Err(format!("failed to parse a JWK key (set): kty {kind}")),
    }
}

fn edwards(bytes: &[u8]) -> Result<Public, String> {
    let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| "not 32 bytes".to_owned())?;
    VerifyingKey::from_bytes(&bytes).map(Public::Edwards).map_err(|e| e.to_string())
}

fn from_pem(text: &str) -> Result<Public, String> {
    let (rest, block) = x509_parser::pem::parse_x509_pem(text.trim_start().as_bytes())
        .map_err(|_| "failed to parse a PEM certificate".to_owned())?;
    if !rest.iter().all(u8::is_ascii_whitespace) {
        return Err("extra data after a PEM certificate block".to_owned());
    }
    let wrong = |_| "failed to parse a PEM certificate".to_owned();
    match &*block.label {
        "CERTIFICATE" => {
            let (_, read) = X509Certificate::from_der(&block.contents).map_err(wrong)?;
            from_info(&read.tbs_certificate.subject_pki)
        }
        "PUBLIC KEY" => {
            let (_, read) = SubjectPublicKeyInfo::from_der(&block.contents).map_err(wrong)?;
            from_info(&read)
        }
        _ => Err("failed to extract a Key from the PEM certificate".to_owned()),
    }
}

fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Result<Public, String> {
    if info.algorithm.algorithm.to_id_string() == "1.3.101.112" {
        return edwards(&info.subject_public_key.data);
    }
    let unzeroed = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|b| **b == 0).count();
        bytes.get(zeros..).unwrap_or_default().to_vec()
    };
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => Ok(Public::Rsa(unzeroed(key.modulus), unzeroed(key.exponent))),
        Ok(PublicKey::EC(point)) => match point.data().len() {
            65 => Ok(Public::Curve(256, point.data().to_vec())),
            97 => Ok(Public::Curve(384, point.data().to_vec())),
            _ => Err("a curve that is not supported".to_owned()),
        },
        _ => Err("a key that is not supported".to_owned()),
    }
}
