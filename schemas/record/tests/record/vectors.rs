//! Published vectors, from the folder that `CANONRY_DATA` names; skipped with a word where it is
//! not set. They fix which signatures pass, which is where libraries differ.

use std::path::PathBuf;

use canonry_record::encoding::{base64url, unbase64url_exact};
use canonry_record::jws;
use canonry_record::ring::{Key, KeyRing, Use, authorize, public_key};
use canonry_record::seal::{Signer, verify_strict};
use canonry_record::{Hash, SigningKey, VerifyingKey};
use serde_json::Value;

use crate::forge::{key, signer, tenant};

fn vectors(name: &str) -> Option<String> {
    let Some(data) = std::env::var_os("CANONRY_DATA") else {
        eprintln!("skipped: CANONRY_DATA is not set, so {name} was not tried");
        return None;
    };
    let mut path = PathBuf::from(data);
    if path.is_relative() {
        path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    }
    Some(std::fs::read_to_string(path.join("vectors").join(name)).unwrap())
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|n| u8::from_str_radix(&text[n..n + 2], 16).unwrap()).collect()
}

/// Whether the key could be enrolled.
fn enrols(public: &[u8; 32]) -> bool {
    let names = ["root", "record"];
    let ring = KeyRing::found(&tenant(), &names.map(key), Hash::ZERO).unwrap();
    let one: Key = public_key(public, vec![Use::Member], "bob".parse().unwrap());
    let change = authorize(&tenant(), &Hash::ZERO, vec![one], vec![], &signer("root"));
    ring.check_change(&change, None, canonry_schemas::time::Time(0)).is_ok()
}

/// The ledger's decision: an enrollable key, and strict verification.
fn accepted(public: &str, message: &[u8], signature: &str) -> bool {
    let (public, signature) = (unhex(public), unhex(signature));
    let (Ok(public), Ok(signature)) = (public.try_into(), signature.try_into()) else {
        return false;
    };
    enrols(&public)
        && VerifyingKey::from_bytes(&public).is_ok_and(|k| verify_strict(&k, message, &signature))
}

#[test]
fn wycheproof_signatures() {
    let Some(text) = vectors("ed25519/wycheproof_ed25519_test.json") else { return };
    let all: Value = serde_json::from_str(&text).unwrap();
    let mut tried = 0;
    for group in all["testGroups"].as_array().unwrap() {
        let public = group["publicKey"]["pk"].as_str().unwrap();
        for test in group["tests"].as_array().unwrap() {
            let message = unhex(test["msg"].as_str().unwrap());
            let found = accepted(public, &message, test["sig"].as_str().unwrap());
            assert_eq!(found, test["result"] == "valid", "{}", test["tcId"]);
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn edge_cases_are_decided_strictly() {
    let Some(text) = vectors("ed25519/cctv_ed25519vectors.json") else { return };
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let (mut passed, mut refused) = (0, 0);
    for test in &all {
        let flags: Vec<&str> =
            test["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let sound = flags.iter().all(|flag| flag.starts_with("low_order_component"));
        let text = |name: &str| test[name].as_str().unwrap();
        let found = accepted(text("key"), text("msg").as_bytes(), text("sig"));
        assert_eq!(found, sound, "{} {flags:?}", test["number"]);
        *(if found { &mut passed } else { &mut refused }) += 1;
    }
    assert!(passed > 0 && refused > 500, "{passed} {refused}");
}

#[test]
fn speccheck_decisions() {
    let Some(text) = vectors("ed25519/speccheck_cases.json") else { return };
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let found: Vec<usize> = (0..all.len())
        .filter(|n| {
            let text = |name: &str| all[*n][name].as_str().unwrap();
            accepted(text("pub_key"), &unhex(text("message")), text("signature"))
        })
        .collect();
    // Case 3 alone: mixed-order key and R whose cofactorless equation holds.
    assert_eq!(found, [3]);
}

#[test]
fn rfc_8032_signatures() {
    let Some(text) = vectors("ed25519/dalek_TESTVECTORS.txt") else { return };
    for line in text.lines().filter(|l| !l.is_empty()).take(300) {
        let parts: Vec<_> = line.split(':').collect();
        let seed: [u8; 32] = unhex(&parts[0][..64]).try_into().unwrap();
        let (message, signature) = (unhex(parts[2]), &parts[3][..128]);
        let text = Signer::new(SigningKey::from_bytes(&seed)).sign_text(&message);
        assert!(text.ends_with(&base64url(&unhex(signature))));
        assert!(accepted(parts[1], &message, signature));
    }
}

#[test]
fn rfc_8037_token() {
    let Some(text) = vectors("jose/rfc8037_appendix_a.json") else { return };
    let all: Value = serde_json::from_str(&text).unwrap();
    let bytes = |name: &str| {
        unbase64url_exact::<32>(all["a1_private_jwk"][name].as_str().unwrap()).unwrap()
    };
    let key = SigningKey::from_bytes(&bytes("d")).verifying_key();
    assert_eq!(key.as_bytes(), &bytes("x"));
    let token = all["a4_compact_jws"].as_str().unwrap();
    assert_eq!(jws::open(token, &key).unwrap(), all["a4_payload"].as_str().unwrap().as_bytes());
    assert_eq!(jws::verify(token, &key), Err(jws::TokenError::Header), "ours name type and key");
}
