//! The signature of a bundle, as OPA defines it: a compact JWS over the list of files with their
//! hashes. Documents are hashed as what they say, everything else as its bytes.

use std::collections::BTreeMap;

use canonry_record::encoding::{base64url, hex, unbase64url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{MANIFEST, SCOPE, SIGNATURES, malformed};
use crate::code::{Code, Refused};
use crate::limits;

/// A signature to be judged by whoever knows the keys.
#[derive(Debug)]
pub struct Signed<'a> {
    /// The id of the key that the signature names.
    pub key: &'a str,
    /// The algorithm, by its name of RFC 7518 or RFC 8037.
    pub algorithm: &'a str,
    /// What was signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct Listed {
    name: String,
    hash: String,
    algorithm: String,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    files: Vec<Listed>,
    #[serde(default)]
    scope: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    keyid: String,
}

#[derive(Serialize, Deserialize)]
struct Signatures {
    signatures: Vec<String>,
}

/// Verifies the signature of `files`, and gives the id of its key.
pub(super) fn verify(
    files: &BTreeMap<String, Vec<u8>>,
    known: &dyn Fn(&Signed<'_>) -> bool,
) -> Result<String, Refused> {
    let wrong = |what: &str| Refused::new(Code::Signature, what);
    let unsigned = || Refused::new(Code::Unsigned, format!("no {SIGNATURES} with one signature"));
    let bytes = files.get(SIGNATURES).ok_or_else(unsigned)?;
    if bytes.len() > limits::SIGNATURE_BYTES {
        return Err(Refused::new(Code::BundleTooLarge, SIGNATURES));
    }
    let all: Signatures = serde_json::from_slice(bytes).map_err(|_| unsigned())?;
    let [token] = &all.signatures[..] else { return Err(unsigned()) };
    let parts = || {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        Some((message, unbase64url(header)?, unbase64url(payload)?, unbase64url(signature)?))
    };
    let (message, header, payload, signature) =
        parts().ok_or_else(|| wrong("not a compact JWS"))?;
    let header = canonry_schemas::json::parse(&header).map_err(|_| wrong("odd header"))?;
    let payload: Payload = serde_json::from_slice(&payload).map_err(|_| wrong("odd payload"))?;
    let key = header["kid"].as_str().unwrap_or(&payload.keyid);
    // An extension that must be understood is not.
    let (Some(algorithm), None) = (header["alg"].as_str(), header.get("crit")) else {
        return Err(wrong("odd header"));
    };
    let signed = Signed { key, algorithm, message: message.as_bytes(), signature: &signature };
    // "none", and whatever has no key: never left to the caller.
    if algorithm.eq_ignore_ascii_case("none") || key.is_empty() || !known(&signed) {
        return Err(wrong("not by a key that may sign policies"));
    }
    if payload.scope != SCOPE {
        return Err(wrong("it was signed for something else"));
    }
    whole(files, &payload.files)?;
    Ok(key.to_owned())
}

/// Compares the files with the list that was signed: none may be more, less or different.
fn whole(files: &BTreeMap<String, Vec<u8>>, listed: &[Listed]) -> Result<(), Refused> {
    let tampered = |what: String| Err(Refused::new(Code::Tampered, what));
    let mut left: BTreeMap<&str, &Vec<u8>> = files.iter().map(|(n, b)| (&**n, b)).collect();
    left.remove(SIGNATURES);
    for one in listed {
        let name = one.name.strip_prefix('/').unwrap_or(&one.name);
        let Some(bytes) = left.remove(name) else {
            return tampered(format!("{name} is missing"));
        };
        if one.algorithm != "SHA-256" || one.hash != hash(name, bytes)? {
            return tampered(format!("{name} is another, or not hashed with SHA-256"));
        }
    }
    match left.keys().next() {
        Some(name) => tampered(format!("{name} was not signed")),
        None => Ok(()),
    }
}

/// A file's hash.
fn hash(name: &str, bytes: &[u8]) -> Result<String, Refused> {
    let base = name.rsplit('/').next().unwrap_or(name);
    if base != MANIFEST && base != "data.json" {
        return Ok(hex(&Sha256::digest(bytes)));
    }
    // Strict: what reads in two ways is hashed in none.
    let value =
        canonry_schemas::json::parse(bytes).map_err(|e| malformed(format!("{name}: {e}")))?;
    let mut text = String::new();
    spell(&value, &mut text);
    Ok(hex(&Sha256::digest(text)))
}

/// A document as OPA hashes it: keys in the order of their bytes, no space, Go's escapes.
fn spell(value: &Value, text: &mut String) {
    match value {
        Value::Object(all) => {
            let sorted: BTreeMap<_, _> = all.iter().collect();
            text.push('{');
            for (place, (key, one)) in sorted.into_iter().enumerate() {
                text.push_str(if place > 0 { "," } else { "" });
                spell(&Value::String(key.clone()), text);
                text.push(':');
                spell(one, text);
            }
            text.push('}');
        }
        Value::Array(all) => {
            text.push('[');
            for (place, one) in all.iter().enumerate() {
                text.push_str(if place > 0 { "," } else { "" });
                spell(one, text);
            }
            text.push(']');
        }
        Value::String(_) => {
            let plain = value.to_string();
            text.push_str(&plain.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029"));
        }
        _ => text.push_str(&value.to_string()),
    }
}

/// The signature file of `files`, signed by `sign`, which is given the message.
pub(super) fn sign(
    files: &BTreeMap<String, Vec<u8>>,
    key: &str,
    algorithm: &str,
    sign: &dyn Fn(&[u8]) -> Vec<u8>,
) -> Result<Vec<u8>, Refused> {
    let listed = files
        .iter()
        .map(|(name, bytes)| {
            let hash = hash(name, bytes)?;
            Ok(Listed { name: name.clone(), hash, algorithm: "SHA-256".to_owned() })
        })
        .collect::<Result<_, Refused>>()?;
    let header = serde_json::json!({"alg": algorithm, "kid": key, "typ": "JWT"});
    let payload = Payload { files: listed, scope: SCOPE.to_owned(), keyid: String::new() };
    let payload = serde_json::to_vec(&payload).map_err(|e| malformed(e.to_string()))?;
    let message = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(&payload));
    let token = format!("{message}.{}", base64url(&sign(message.as_bytes())));
    serde_json::to_vec(&Signatures { signatures: vec![token] })
        .map_err(|e| malformed(e.to_string()))
}
