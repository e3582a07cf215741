//! Bundles: what is taken, and everything that is not.

use std::collections::BTreeMap;
use std::io::Write as _;

use canonry_policy::bundle::build::{Plan, Signing, build};
use canonry_policy::bundle::{Bundle, Newest, SIGNATURES, Signed, Trust, open};
use canonry_policy::{Policy, Refused};
use canonry_schemas::time::Time;
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::call;

const NOW: Time = Time(1_790_000_000_000_000);
const LATER: Time = Time(1_790_000_900_000_000);
const REGO: &str = "package canonry.p\n\n\
    decisions contains {\"rule\": \"a\", \"verdict\": \"ALLOW\"} if data.canonry.on[input.action.tool]\n";

pub fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn known(signed: &Signed<'_>) -> bool {
    let Ok(signature) = Signature::from_slice(signed.signature) else { return false };
    signed.key == "policy-1"
        && signed.algorithm == "EdDSA"
        && key().verifying_key().verify_strict(signed.message, &signature).is_ok()
}

pub fn plan(revision: u64) -> Plan {
    let files = BTreeMap::from([
        ("canonry/p.rego".to_owned(), REGO.as_bytes().to_vec()),
        ("data.json".to_owned(), br#"{"canonry": {"on": {"mail": true}}}"#.to_vec()),
    ]);
    Plan { files, revision, expires: LATER, roots: vec!["canonry".to_owned()] }
}

fn signed_by(plan: &Plan, id: &str, key: &SigningKey) -> Vec<u8> {
    let sign = |message: &[u8]| key.sign(message).to_bytes().to_vec();
    build(plan, Some(&Signing { key: id, algorithm: "EdDSA", sign: &sign })).unwrap()
}

pub fn signed(plan: &Plan) -> Vec<u8> {
    signed_by(plan, "policy-1", &key())
}

pub fn opened(bytes: &[u8]) -> Result<Bundle, Refused> {
    open(bytes, &Trust { key: &known, now: NOW, newest: None })
}

pub fn refused(bytes: &[u8]) -> &'static str {
    opened(bytes).map_or_else(|e| e.code.code(), |_| "nothing")
}

/// Packs files as they are, whatever they are called.
fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_cksum();
        archive.append(&header, *content).unwrap();
    }
    gzip(&archive.into_inner().unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// The files of a bundle, to be packed in another way.
pub fn unpacked(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::copy(&mut entry, &mut content).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), content)
    };
    archive.entries().unwrap().map(read).collect()
}

pub fn again(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    packed(&files.iter().map(|(n, c)| (&**n, &**c)).collect::<Vec<_>>())
}

#[test]
fn a_signed_bundle_is_taken_and_decides() {
    let bytes = signed(&plan(4));
    assert_eq!(bytes, signed(&plan(4)), "the same files make the same bytes");
    let bundle = opened(&bytes).unwrap();
    assert_eq!((bundle.revision, &*bundle.key), (4, "policy-1"));
    assert_eq!(bundle.source.digest, canonry_policy::digest(&bytes));
    let policy = Policy::compile(&bundle.source).unwrap();
    let decision = policy.decide(&call("mail", serde_json::json!({})));
    assert_eq!((decision.verdict.name(), decision.bundle), ("ALLOW", bundle.source.digest));
    assert_eq!(policy.decide(&call("shell", serde_json::json!({}))).verdict.name(), "DENY");
}

#[test]
fn names_may_begin_with_the_slash_that_opa_writes_and_documents_may_be_spaced() {
    let mut files = unpacked(&signed(&plan(4)));
    for (name, content) in &mut files {
        if name == "data.json" {
            *content = b"{\n  \"canonry\": {\"on\":   {\"mail\": true}}}\n".to_vec();
        }
        *name = format!("/{name}");
    }
    assert_eq!(refused(&again(&files)), "nothing");
}

#[test]
fn unsigned_and_wrongly_signed_bundles_are_refused() {
    assert_eq!(refused(&build(&plan(4), None).unwrap()), "bundle-unsigned");
    let other = SigningKey::from_bytes(&[8; 32]);
    assert_eq!(refused(&signed_by(&plan(4), "policy-1", &other)), "bundle-signature-invalid");
    assert_eq!(refused(&signed_by(&plan(4), "policy-2", &key())), "bundle-signature-invalid");
    for text in [
        r#"{"signatures": []}"#.to_owned(),
        r#"{"signatures": ["a.b.c", "a.b.c"]}"#.to_owned(),
        "{}".to_owned(),
        "not json".to_owned(),
    ] {
        let mut files = unpacked(&signed(&plan(4)));
        files.iter_mut().find(|(n, _)| n == SIGNATURES).unwrap().1 = text.clone().into_bytes();
        assert_eq!(refused(&again(&files)), "bundle-unsigned", "{text}");
    }
    // A verifier that takes everything is still not given a signature of nothing.
    let none = |message: &[u8]| message[..0].to_vec();
    for (id, algorithm) in [("policy-1", "none"), ("policy-1", "NONE"), ("", "EdDSA")] {
        let bytes = build(&plan(4), Some(&Signing { key: id, algorithm, sign: &none })).unwrap();
        let all = Trust { key: &|_| true, now: NOW, newest: None };
        assert_eq!(open(&bytes, &all).unwrap_err().code.code(), "bundle-signature-invalid");
    }
}

#[test]
fn every_change_of_a_file_is_found() {
    let whole = unpacked(&signed(&plan(4)));
    for place in 0..whole.len() {
        if whole[place].0 == SIGNATURES {
            continue;
        }
        let mut changed = whole.clone();
        let content = String::from_utf8(changed[place].1.clone()).unwrap();
        changed[place].1 = content.replace("canonry", "canonrz").into_bytes();
        assert_eq!(refused(&again(&changed)), "bundle-tampered", "{}", whole[place].0);
        let mut fewer = whole.clone();
        fewer.remove(place);
        assert_eq!(refused(&again(&fewer)), "bundle-tampered", "without {}", whole[place].0);
    }
    let mut more = whole.clone();
    more.push(("more.rego".to_owned(), b"package canonry.more\n".to_vec()));
    assert_eq!(refused(&again(&more)), "bundle-tampered");
    // A signature of another bundle by the same key.
    let mut swapped = whole;
    let other = unpacked(&signed(&plan(5)));
    let theirs = other.into_iter().find(|(n, _)| n == SIGNATURES).unwrap().1;
    swapped.iter_mut().find(|(n, _)| n == SIGNATURES).unwrap().1 = theirs;
    assert_eq!(refused(&again(&swapped)), "bundle-tampered");
}

#[test]
fn an_expired_bundle_is_refused_to_the_microsecond() {
    let bytes = signed(&plan(4));
    let at = |now| open(&bytes, &Trust { key: &known, now, newest: None });
    assert!(at(Time(LATER.0 - 1)).is_ok());
    assert_eq!(at(LATER).unwrap_err().code.code(), "bundle-expired");
}

#[test]
fn an_older_bundle_and_another_of_the_same_revision_are_refused() {
    let mut other = plan(4);
    other.files.insert("canonry/more.rego".to_owned(), b"package canonry.more\n".to_vec());
    let (four, other) = (signed(&plan(4)), signed(&other));
    let newest = |revision| Newest { revision, digest: canonry_policy::digest(&four) };
    let after = |bytes: &[u8], revision| {
        open(bytes, &Trust { key: &known, now: NOW, newest: Some(newest(revision)) })
            .map_or_else(|e| e.code.code(), |_| "nothing")
    };
    assert_eq!(after(&four, 3), "nothing");
    assert_eq!(after(&four, 4), "nothing", "the one that was taken");
    assert_eq!(after(&other, 4), "bundle-rolled-back", "another of that revision");
    assert_eq!(after(&four, 5), "bundle-rolled-back");
}

#[test]
fn bombs_odd_names_and_odd_files_are_refused() {
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    assert_eq!(refused(&bomb), "bundle-too-large");
    assert_eq!(refused(&vec![0; 2 << 20]), "bundle-too-large");
    let many: Vec<String> = (0..300).map(|n| format!("f{n}.rego")).collect();
    let many: Vec<_> = many.iter().map(|n| (&**n, &b"package a"[..])).collect();
    assert_eq!(refused(&packed(&many)), "bundle-too-large");
    for name in ["../x.rego", "a/../x.rego", "//x.rego", "/../x", "a//b", "c:x", "a\\b", "./../x"] {
        assert_eq!(refused(&packed(&[(name, b"package a")])), "bundle-malformed", "{name}");
    }
    let twice: [(&str, &[u8]); 2] = [("a.rego", b"package a"), ("/a.rego", b"package b")];
    assert_eq!(refused(&packed(&twice)), "bundle-malformed");
    let whole = signed(&plan(4));
    for bytes in [&b"not gzip"[..], &[], &whole[..whole.len() / 2], &gzip(&[1; 700])] {
        assert_eq!(refused(bytes), "bundle-malformed");
    }
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_link(&mut link, "a.rego", "/etc/passwd").unwrap();
    assert_eq!(refused(&gzip(&archive.into_inner().unwrap())), "bundle-malformed");
}

#[test]
fn what_was_signed_must_still_be_a_bundle() {
    let with = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan(4);
        change(&mut plan);
        refused(&signed(&plan))
    };
    let insert = |name: &'static str, content: &'static [u8]| {
        move |plan: &mut Plan| {
            plan.files.insert(name.to_owned(), content.to_vec());
        }
    };
    assert_eq!(with(&insert("policy.wasm", b"\0asm")), "bundle-malformed");
    assert_eq!(with(&insert("data.yaml", b"a: 1")), "bundle-malformed");
    assert_eq!(with(&insert("canonry/data.json", b"{\"on\": 1}")), "bundle-malformed");
    assert_eq!(with(&insert("other.rego", b"package other\n")), "bundle-malformed");
    assert_eq!(with(&|plan| plan.roots = vec!["else".to_owned()]), "bundle-malformed");
    assert_eq!(with(&|plan| plan.revision = 0), "bundle-malformed");
}
