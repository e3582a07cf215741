//! The rules of keys, one table.

use canonry_record::KeyRing;
use canonry_record::encoding::base64url;
use canonry_record::export::{Head, sign_head, verify_head};
use canonry_record::ring::{Key, KeyChange, Use, authorize, public_key};
use canonry_record::{Hash, key_id};
use canonry_schemas::ids::ActorId;
use canonry_schemas::time::Time;

use crate::forge::{START, key, signer, tenant};

const FOUNDER: Hash = Hash([9; 32]);

fn ring() -> KeyRing {
    let names = ["root", "enrol", "record", "checkpoint", "ines-member", "ines-login"];
    KeyRing::found(&tenant(), &names.map(key), FOUNDER).unwrap()
}

fn change(ring: &KeyRing, keys: Vec<Key>, revoked: &[&str], by: &str) -> KeyChange {
    let revoked = revoked.iter().map(|n| signer(n).id).collect();
    authorize(&tenant(), &ring.keyhead(), keys, revoked, &signer(by))
}

fn judge(
    ring: &KeyRing,
    keys: Vec<Key>,
    revoked: &[&str],
    by: &str,
    own: Option<&str>,
) -> &'static str {
    let own: Option<ActorId> = own.map(|o| o.parse().unwrap());
    match ring.check_change(&change(ring, keys, revoked, by), own.as_ref(), Time(START)) {
        Ok(()) => "ok",
        Err(error) => error.code(),
    }
}

fn with(name: &str, uses: &[Use]) -> Key {
    Key { uses: uses.to_vec(), ..key(name) }
}

/// A key of ines that reaches a level.
fn stepup(level: Option<u8>) -> Key {
    let actor = "ines".parse().unwrap();
    Key { level, actor, ..with("bob-member", &[Use::StepUp]) }
}

#[test]
fn whoever_ends_a_members_keys_ends_the_one_that_steps_up() {
    let mut ring = ring();
    ring.apply(&change(&ring, vec![stepup(Some(3))], &[], "root"), Hash([3; 32]), 5);
    let revoked = &["bob-member"];
    for (by, own, expected) in [
        ("root", None, "ok"),
        ("enrol", None, "ok"),
        ("ines-member", Some("ines"), "ok"),
        ("ines-member", Some("bob"), "authorization-not-allowed"),
        ("ines-member", None, "authorization-not-allowed"),
        ("record", None, "authorization-not-allowed"),
        // The key itself authorises nothing.
        ("bob-member", Some("ines"), "authorization-not-allowed"),
    ] {
        assert_eq!(judge(&ring, vec![], revoked, by, own), expected, "{by} {own:?}");
    }
    // To end one and bring another is to bring one.
    let other = Key { uses: vec![Use::StepUp], level: Some(3), ..key("stranger") };
    assert_eq!(judge(&ring, vec![other], revoked, "enrol", None), "authorization-not-allowed");
}

#[test]
fn who_may_allow_what() {
    let mut ring = ring();
    let bob = || vec![key("bob-member"), key("bob-login")];
    for (keys, revoked, by, own, expected) in [
        (bob(), &[][..], "root", None, "ok"),
        (bob(), &[], "enrol", None, "ok"),
        (bob(), &[], "record", None, "authorization-not-allowed"),
        (bob(), &[], "checkpoint", None, "authorization-not-allowed"),
        (bob(), &[], "ines-member", Some("ines"), "authorization-not-allowed"),
        (bob(), &[], "ines-member", Some("bob"), "authorization-not-allowed"),
        (bob(), &[], "stranger", None, "authorization-key-unknown"),
        (vec![key("record-2")], &["record"], "root", None, "ok"),
        (vec![key("record-2")], &["record"], "enrol", None, "authorization-not-allowed"),
        (vec![key("record-2")], &["record"], "record", None, "authorization-not-allowed"),
        (vec![key("record-2")], &[], "root", None, "record-key-count"),
        (vec![], &["record"], "root", None, "record-key-count"),
        (vec![], &["root"], "root", None, "root-key-missing"),
        (vec![], &["root"], "enrol", None, "authorization-not-allowed"),
        (vec![], &["ines-login"], "enrol", None, "ok"),
        (vec![], &["ines-login"], "ines-member", Some("ines"), "ok"),
        (vec![], &["ines-login"], "ines-member", None, "authorization-not-allowed"),
        (vec![], &["ines-login"], "ines-login", Some("ines"), "authorization-not-allowed"),
        (
            vec![with("bob-member", &[Use::Member, Use::Root])],
            &[],
            "enrol",
            None,
            "authorization-not-allowed",
        ),
        (
            vec![with("bob-member", &[Use::Member, Use::Login])],
            &[],
            "root",
            None,
            "key-use-invalid",
        ),
        (vec![with("bob-member", &[])], &[], "root", None, "key-use-invalid"),
        (vec![stepup(Some(1))], &[], "root", None, "ok"),
        (vec![stepup(Some(9))], &[], "root", None, "ok"),
        (vec![stepup(Some(2))], &[], "enrol", None, "authorization-not-allowed"),
        (vec![stepup(Some(2))], &[], "ines-member", Some("ines"), "authorization-not-allowed"),
        (vec![stepup(None)], &[], "root", None, "key-use-invalid"),
        (vec![stepup(Some(0))], &[], "root", None, "key-use-invalid"),
        (vec![stepup(Some(10))], &[], "root", None, "key-use-invalid"),
        (
            vec![Key { uses: vec![Use::StepUp, Use::Member], ..stepup(Some(2)) }],
            &[],
            "root",
            None,
            "key-use-invalid",
        ),
        (vec![Key { level: Some(2), ..key("bob-member") }], &[], "root", None, "key-use-invalid"),
        (
            vec![with("bob-member", &[Use::Member, Use::Member])],
            &[],
            "root",
            None,
            "key-use-invalid",
        ),
        (
            vec![key("bob-member"), with("bob-member", &[Use::Login])],
            &[],
            "root",
            None,
            "key-twice",
        ),
        (vec![with("ines-member", &[Use::Login])], &[], "root", None, "key-exists"),
        (
            vec![Key { actor: "bob".parse().unwrap(), ..key("ines-member") }],
            &[],
            "root",
            None,
            "key-of-another-actor",
        ),
        (vec![], &["bob-login"], "root", None, "key-unknown"),
        (vec![], &["ines-login", "ines-login"], "root", None, "key-twice"),
        (vec![], &[], "root", None, "keys-empty"),
        (
            vec![Key { id: signer("root").id, ..key("bob-member") }],
            &[],
            "root",
            None,
            "key-id-mismatch",
        ),
        (
            vec![Key { public: base64url(&[1; 31]), ..key("bob-member") }],
            &[],
            "root",
            None,
            "key-invalid",
        ),
    ] {
        assert_eq!(judge(&ring, keys, revoked, by, own), expected, "{revoked:?} by {by}");
    }

    let enrolled = change(&ring, bob(), &[], "enrol");
    ring.apply(&enrolled, Hash([1; 32]), 3);
    let error = ring.check_change(&enrolled, None, Time(START)).unwrap_err();
    assert_eq!(error.code(), "keys-moved");
    assert!(!ring.key(&signer("bob-login").id).unwrap().holds_at(3));
    assert!(ring.key(&signer("bob-login").id).unwrap().holds_at(4));
    let next = || vec![key("bob-member-2")];
    assert_eq!(judge(&ring, next(), &["bob-member"], "bob-member", Some("bob")), "ok");
    assert_eq!(
        judge(&ring, next(), &["ines-member"], "bob-member", Some("bob")),
        "authorization-not-allowed"
    );
    assert_eq!(
        judge(&ring, vec![key("record-2")], &["bob-member"], "bob-member", Some("bob")),
        "authorization-not-allowed"
    );

    let removed = change(&ring, vec![], &["bob-member", "bob-login"], "enrol");
    ring.apply(&removed, Hash([2; 32]), 7);
    let entry = ring.key(&signer("bob-member").id).unwrap();
    assert!(entry.holds_at(7) && !entry.holds_at(8));
    assert_eq!(judge(&ring, bob(), &[], "root", None), "key-was-revoked");
    assert_eq!(judge(&ring, vec![], &["bob-login"], "root", None), "key-already-revoked");
    assert_eq!(judge(&ring, next(), &[], "bob-member", Some("bob")), "authorization-key-unknown");
    assert_eq!(ring.for_actor(&"bob".parse().unwrap(), Use::Member).count(), 0);
    assert_eq!(ring.for_actor(&"ines".parse().unwrap(), Use::Member).count(), 1);
    assert_eq!(ring.record_key().unwrap().key, key("record"));

    let again: KeyRing = serde_json::from_str(&serde_json::to_string(&ring).unwrap()).unwrap();
    assert_eq!(again.keyhead(), ring.keyhead());
    assert!(!again.key(&signer("bob-member").id).unwrap().holds_at(8));
}

#[test]
fn small_order_keys_are_refused() {
    let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let order_8: Hash = order_8.parse().unwrap();
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut not_canonical = [0xff; 32];
    (not_canonical[0], not_canonical[31]) = (0xee, 0x7f);
    for public in [[0; 32], identity, order_8.0, not_canonical, [0xff; 32], [2; 32]] {
        let key = public_key(&public, vec![Use::Member], "bob".parse().unwrap());
        assert_eq!(key.id, key_id(&public));
        assert_eq!(judge(&ring(), vec![key], &[], "root", None), "key-invalid", "{public:?}");
    }
}

#[test]
fn keys_read_exactly() {
    let text = serde_json::to_string(&key("bob-member")).unwrap();
    let id = signer("bob-member").id;
    let public = base64url(&signer("bob-member").public());
    assert_eq!(
        text,
        format!(
            r#"{{"id":"{id}","alg":"ed25519","public":"{public}","use":["member"],"actor":"bob"}}"#
        )
    );
    assert!(serde_json::from_str::<Key>(&text.replace("\"actor\"", "\"x\":1,\"actor\"")).is_err());
}

#[test]
fn a_key_holds_until_its_end_and_not_beyond() {
    let (end, later) = (Time(START + 5), Time(START + 6));
    let names = ["root", "enrol", "record", "checkpoint", "ines-member", "ines-login"];
    let keys = names.map(|name| {
        let notafter = (name == "enrol" || name == "checkpoint").then_some(end);
        Key { notafter, ..key(name) }
    });
    let mut ring = KeyRing::found(&tenant(), &keys, FOUNDER).unwrap();
    let bob = change(&ring, vec![key("bob-member"), key("bob-login")], &[], "enrol");
    assert_eq!(ring.check_change(&bob, None, end), Ok(()));
    let late = ring.check_change(&bob, None, later).unwrap_err();
    assert_eq!(late.code(), "authorization-key-expired");
    // An end that was reached revokes nothing: the key is still there to be revoked.
    let out = change(&ring, vec![], &["enrol"], "root");
    assert_eq!(ring.check_change(&out, None, later), Ok(()));
    ring.apply(&out, Hash([1; 32]), 2);
    let head = |time| {
        let head = Head { tenant: tenant(), position: 2, hash: FOUNDER, time };
        verify_head(&sign_head(head, &signer("checkpoint")), &ring).map_err(|why| why.code())
    };
    assert_eq!(head(end), Ok(()));
    assert_eq!(head(later), Err("head-signature"));
    // What a snapshot keeps of a ring keeps the end, and what has none says nothing of it.
    let text = serde_json::to_string(&ring).unwrap();
    assert_eq!(text.matches("notafter").count(), 2);
    let again: KeyRing = serde_json::from_str(&text).unwrap();
    assert!(again.key(&signer("checkpoint").id).unwrap().has_expired(later));
}
