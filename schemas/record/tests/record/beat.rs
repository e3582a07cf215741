//! Beats: their bytes are fixed, and only the current record key says one.

use canonry_record::Hash;
use canonry_record::KeyRing;
use canonry_record::beat::{Beat, BeatLine, Published, Unsound, message, sign};
use canonry_record::ring::{Use, public_key};
use canonry_record::seal::Signer;
use canonry_schemas::text::Label;

const GOLDEN: &str = concat!(
    "canonry/beat/v1\0",
    r#"{"epoch":"3","hash":"0707070707070707070707070707070707070707070707070707070707070707","#,
    r#""keyhead":"0909090909090909090909090909090909090909090909090909090909090909","#,
    r#""policy":{"digest":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","#,
    r#""expires":"2030-01-01T00:00:00.000000Z","#,
    r#""hash":"0808080808080808080808080808080808080808080808080808080808080808","#,
    r#""position":"7","revision":"18446744073709551615","ttl_seconds":"600","version":"é \" 1"},"#,
    r#""position":"12","tenant":"acme","time":"2026-11-21T20:00:00.000000Z"}"#,
);

fn beat(keyhead: Hash) -> Beat {
    Beat {
        tenant: "acme".parse().unwrap(),
        epoch: 3,
        position: 12,
        hash: Hash([7; 32]),
        keyhead,
        time: "2026-11-21T20:00:00.000000Z".parse().unwrap(),
        policy: Some(Published {
            position: 7,
            hash: Hash([8; 32]),
            digest: "a".repeat(64).parse().unwrap(),
            revision: u64::MAX,
            version: Label("é \" 1".to_owned()),
            expires: "2030-01-01T00:00:00.000000Z".parse().unwrap(),
            ttl_seconds: 600,
        }),
    }
}

fn ring() -> (KeyRing, [Signer; 3]) {
    let signers = [1, 2, 3].map(|n| Signer::from_seed(&[n; 32]));
    let uses = [Use::Record, Use::Root, Use::Checkpoint];
    let key = |(signer, wanted): (&Signer, Use)| {
        public_key(&signer.public(), vec![wanted], "decider".parse().unwrap())
    };
    let keys: Vec<_> = signers.iter().zip(uses).map(key).collect();
    (KeyRing::found(&"acme".parse().unwrap(), &keys, Hash([9; 32])).unwrap(), signers)
}

#[test]
fn what_is_signed_is_fixed() {
    assert_eq!(String::from_utf8(message(&beat(Hash([9; 32])))).unwrap(), GOLDEN);
    let none = Beat { policy: None, ..beat(Hash([9; 32])) };
    assert!(!String::from_utf8(message(&none)).unwrap().contains("policy"));
}

#[test]
fn a_beat_is_by_the_record_key_and_on_the_same_keys() {
    let (ring, [record, root, checkpoint]) = ring();
    let line = sign(beat(Hash([9; 32])), &record);
    let read = BeatLine::parse(line.to_text().as_bytes()).unwrap();
    assert_eq!(read, line);
    assert_eq!(read.check(&ring), Ok(()));
    for other in [root, checkpoint, Signer::from_seed(&[4; 32])] {
        assert_eq!(sign(beat(Hash([9; 32])), &other).check(&ring), Err(Unsound::Signature));
    }
    assert_eq!(sign(beat(Hash([5; 32])), &record).check(&ring), Err(Unsound::Keys));
    let mut foreign = beat(Hash([9; 32]));
    foreign.tenant = "globex".parse().unwrap();
    assert_eq!(sign(foreign, &record).check(&ring), Err(Unsound::Keys));
    // Any member that is changed behind the signature.
    let changes: [fn(&mut Beat); 6] = [
        |b| b.epoch += 1,
        |b| b.position += 1,
        |b| b.hash = Hash([1; 32]),
        |b| b.time = canonry_schemas::time::Time(b.time.0 + 1),
        |b| b.policy = None,
        |b| b.policy.as_mut().unwrap().ttl_seconds = 601,
    ];
    for change in changes {
        let mut changed = line.clone();
        change(&mut changed.beat);
        assert_eq!(changed.check(&ring), Err(Unsound::Signature));
    }
}

#[test]
fn a_beat_has_exactly_its_members() {
    let (_, [record, ..]) = ring();
    let text = sign(beat(Hash([9; 32])), &record).to_text();
    for (from, to) in [
        ("\"epoch\":\"3\"", "\"epoch\":3"),
        ("\"epoch\":\"3\"", "\"epoch\":\"03\""),
        ("\"epoch\":\"3\"", "\"epoch\":\"3\",\"epoch\":\"3\""),
        ("\"epoch\":\"3\"", "\"epoch\":\"3\",\"more\":\"1\""),
        ("\"epoch\":\"3\",", ""),
        ("20:00:00.000000Z", "20:00:00Z"),
        ("\"signature\":", "\"signatures\":"),
        ("\"ttl_seconds\":\"600\"", "\"ttl_seconds\":\"-600\""),
    ] {
        let odd = text.replacen(from, to, 1);
        assert_ne!(odd, text, "{from}");
        assert_eq!(BeatLine::parse(odd.as_bytes()), Err(Unsound::Malformed), "{to}");
    }
    assert_eq!(BeatLine::parse(b"[]"), Err(Unsound::Malformed));
    assert_eq!(BeatLine::parse(format!("{text} x").as_bytes()), Err(Unsound::Malformed));
}
