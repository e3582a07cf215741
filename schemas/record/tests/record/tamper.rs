//! Every tampering is found, at its position, for its reason.

use canonry_record::Hash;
use canonry_record::export::OwnedLine;
use canonry_record::seal::{headers, seal};
use canonry_record::verify::Pins;
use serde_json::json;

use crate::forge::{Forge, check, fact, signer};

/// Breaks a healthy ledger by hand and names where and why it must be found.
fn broken(position: u64, code: &str, tamper: impl FnOnce(&mut Forge)) {
    let mut forge = Forge::healthy();
    tamper(&mut forge);
    let found = check(&forge.export(), &Pins::default()).unwrap_err();
    assert_eq!((found.position, found.why.code()), (position, code));
}

/// Seals a line anew after its subject or body was changed.
fn reseal(line: &mut OwnedLine, by: &str) {
    let sealed = seal(&line.subject, &line.body, &signer(by));
    let id = line.headers[0].1.clone();
    let trace = line.headers.get(3).map(|h| h.1.clone());
    line.headers = headers(&id, &sealed.hash, &sealed.signature, trace.as_deref())
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
}

fn swap_text(line: &mut OwnedLine, from: &str, to: &str) {
    let body = String::from_utf8(line.body.clone()).unwrap();
    assert!(body.contains(from), "{from} in {body}");
    line.body = body.replacen(from, to, 1).into_bytes();
}

/// Changes a body's text and seals it with the key of its time.
fn edit(forge: &mut Forge, n: usize, from: &str, to: &str) {
    let by = if n < 8 { "record" } else { "record-2" };
    swap_text(&mut forge.lines[n], from, to);
    reseal(&mut forge.lines[n], by);
}

#[test]
fn bytes_and_order() {
    broken(7, "hash-mismatch", |f| f.lines[6].body[300] ^= 1);
    broken(7, "hash-mismatch", |f| swap_text(&mut f.lines[6], "\"priority\":2", "\"priority\":1"));
    broken(5, "gap", |f| f.lines.swap(4, 6));
    broken(5, "position-mismatch", |f| {
        f.lines.swap(4, 6);
        (f.lines[4].seq, f.lines[6].seq) = (5, 7);
    });
    broken(5, "gap", |f| drop(f.lines.remove(4)));
    broken(5, "position-mismatch", |f| {
        f.lines.remove(4);
        f.lines.iter_mut().zip(1..).for_each(|(line, n)| line.seq = n);
    });
    broken(5, "hash-mismatch", |f| f.lines[4].subject = "ledger.acme.ticket.started".into());
    broken(5, "subject-mismatch", |f| {
        f.lines[4].subject = "ledger.acme.ticket.started".into();
        reseal(&mut f.lines[4], "record");
    });
    broken(1, "gap", |f| drop(f.lines.remove(0)));
    broken(6, "chain-broken", |f| edit(f, 4, "\"priority\":2", "\"priority\":1"));
}

#[test]
fn headers_and_attributes() {
    broken(4, "header-missing", |f| drop(f.lines[3].headers.remove(1)));
    broken(4, "header-repeated", |f| {
        let again = f.lines[3].headers[0].clone();
        f.lines[3].headers.push(again);
    });
    broken(4, "header-repeated", |f| {
        f.lines[3].headers.push(("canonry-hash".into(), "x".into()));
    });
    broken(4, "header-mismatch", |f| f.lines[3].headers[0].1 = "rec00009".into());
    broken(4, "header-mismatch", |f| drop(f.lines[3].headers.remove(3)));
    for (from, to) in [
        ("\"workspace\":\"main\"", "\"workspace\":\"\""),
        ("\"workspace\":\"main\"", "\"workspace\":null"),
        ("\"workspace\":\"main\"", "\"colour\":\"red\""),
        ("\"position\":\"5\"", "\"position\":\"05\""),
        ("\"position\":\"5\"", "\"position\":5"),
        ("\"n\":4", "\"n\":4,\"n\":5"),
        ("\"tenant\":\"acme\"", "\"tenant\":\"acme\",\"tenant\":\"acme\""),
        ("\"n\":4", "\"n\":4.0"),
        ("\"n\":4", "\"n\":9007199254740992"),
        ("canonry/acme", "canonry/acma"),
        ("schemas/records/ticket.assigned.v1.json", "schemas/records/ticket.assigned.v2.json"),
        (".000000Z", ".00000Z"),
    ] {
        let from = if from == ".000000Z" { ".005000Z" } else { from };
        broken(5, "body-malformed", |f| edit(f, 4, from, to));
    }
    broken(4, "body-malformed", |f| edit(f, 3, "role/rol_1 run/run_1", "run/run_1 role/rol_1"));
    broken(4, "body-malformed", |f| {
        let at = f.lines[3].body.windows(2).position(|w| w == "ü".as_bytes()).unwrap();
        f.lines[3].body[at] = 0xff;
        reseal(&mut f.lines[3], "record");
    });
    broken(5, "epoch-falls", |f| edit(f, 4, "\"epoch\":\"1\"", "\"epoch\":\"0\""));
    broken(5, "time-falls", |f| edit(f, 4, "\"time\":\"2026", "\"time\":\"2025"));
    broken(5, "position-mismatch", |f| edit(f, 4, "\"position\":\"5\"", "\"position\":\"6\""));
}

#[test]
fn signatures() {
    broken(5, "signature-wrong", |f| {
        let other = f.lines[5].headers[2].1.clone();
        f.lines[4].headers[2].1 = other;
    });
    broken(5, "signer-unknown", |f| reseal(&mut f.lines[4], "stranger"));
    broken(5, "signer-use", |f| reseal(&mut f.lines[4], "checkpoint"));
    broken(5, "signer-unknown", |f| reseal(&mut f.lines[4], "record-2"));
    broken(8, "signer-unknown", |f| reseal(&mut f.lines[7], "record-2"));
    broken(9, "signer-revoked", |f| reseal(&mut f.lines[8], "record"));
    broken(12, "signer-expired", |f| edit(f, 11, "\"time\":\"2026", "\"time\":\"2030"));
    broken(5, "header-mismatch", |f| f.lines[4].headers[2].1.push('='));
}

/// What stands at position 3 in place of Bob's enrolment.
fn third(code: &str, tamper: impl FnOnce(&mut Forge)) {
    let mut forge = Forge::founded();
    tamper(&mut forge);
    let found = check(&forge.export(), &Pins::default()).unwrap_err();
    assert_eq!((found.position, found.why.code()), (3, code));
}

#[test]
fn keys() {
    let bob = ["bob-member", "bob-login"];
    third("authorization-not-allowed", |f| {
        f.change("member", "enrolled", &f.authorized(&bob, &[], "record"));
    });
    third("authorization-not-allowed", |f| {
        f.change("tenant", "keys-rotated", &f.authorized(&["record-2"], &["record"], "enrol"));
    });
    third("authorization-key-unknown", |f| {
        f.change("member", "enrolled", &f.authorized(&bob, &[], "stranger"));
    });
    third("authorization-signature", |f| {
        let mut change = f.authorized(&bob, &[], "enrol");
        change.keys.swap(0, 1);
        f.change("member", "enrolled", &change);
    });
    third("keys-moved", |f| {
        f.keyhead = f.hash;
        f.change("member", "enrolled", &f.authorized(&bob, &[], "enrol"));
    });
    third("key-of-another-actor", |f| {
        let mut change = f.authorized(&["ines-member"], &[], "enrol");
        change.keys[0].actor = "mallory".parse().unwrap();
        f.change("member", "enrolled", &change);
    });
    third("keys-malformed", |f| {
        f.add(&fact("member", "enrolled", "member/bob", json!({ "keys": [], "revoked": [] })));
    });
    third("keys-in-wrong-record", |f| {
        f.add(&fact("member", "noted", "member/bob", json!({ "keys": [] })));
    });
    third("keys-in-wrong-record", |f| {
        f.add(&fact("ticket", "opened", "ticket/tkt_1", json!({ "revoked": null })));
    });
    third("founded-twice", |f| {
        f.add(&fact("tenant", "founded", "tenant/acme", json!({ "keys": [] })));
    });
}

#[test]
fn founding() {
    for (event, epoch, data) in [
        ("taken-over", 0, json!({})),
        ("founded", 1, json!({ "keys": [] })),
        ("founded", 0, json!({})),
    ] {
        let mut forge = Forge::empty();
        forge.epoch = epoch;
        forge.add(&fact("tenant", event, "tenant/acme", data));
        let found = check(&forge.export(), &Pins::default()).unwrap_err();
        assert_eq!((found.position, found.why.code()), (1, "not-founded"));
    }
}

#[test]
fn heads_and_pins() {
    let forge = Forge::healthy();
    let text = forge.export();
    let found = |text: &str, pins: &Pins| {
        let found = check(text, pins).unwrap_err();
        (found.position, found.why.code())
    };
    let none = Pins::default();
    let headless = text.trim_end().rsplit_once('\n').unwrap().0;
    assert_eq!(found(headless, &none), (12, "head-missing"));
    let with = |head: String| format!("{headless}\n{head}\n");
    assert_eq!(found(&with(forge.head_by("record-2").to_text()), &none), (12, "head-signature"));
    assert_eq!(found(&with(forge.head_by("stranger").to_text()), &none), (12, "head-signature"));
    let mut early = forge.clone();
    early.time -= 2_000_000;
    assert_eq!(found(&with(early.head().to_text()), &none), (12, "head-mismatch"));
    assert_eq!(
        found(&format!("{text}{}\n", headless.lines().next().unwrap()), &none),
        (13, "line-malformed")
    );
    assert_eq!(found("", &none), (1, "not-founded"));
    assert_eq!(found("{}", &none), (1, "line-malformed"));

    // Cut and given a fresh head by whoever holds the checkpoint key: only a pinned head shows it.
    let mut cut = forge.clone();
    cut.lines.pop();
    cut.hash = check_hash(&cut);
    check(&cut.export(), &none).unwrap();
    let pins = Pins { tenant_hash: None, head: Some((12, forge.hash)) };
    assert_eq!(found(&cut.export(), &pins), (11, "head-pin"));
    cut.ticket("reopened");
    assert_eq!(found(&cut.export(), &pins), (12, "head-pin"));

    // Written anew from the first record on, by whoever holds every key.
    let founder = check(&text, &none).unwrap().founder;
    let mut anew = Forge::empty();
    anew.time += 1;
    let old = Forge::founded().lines[0].body.clone();
    let data: serde_json::Value = serde_json::from_slice(&old).unwrap();
    anew.add(&fact("tenant", "founded", "tenant/acme", data["data"].clone()));
    check(&anew.export(), &none).unwrap();
    let pins = Pins { tenant_hash: Some(founder), head: None };
    assert_eq!(found(&anew.export(), &pins), (1, "tenant-pin"));
}

fn check_hash(forge: &Forge) -> Hash {
    let last = forge.lines.last().unwrap();
    canonry_record::record_hash(&last.subject, &last.body)
}
