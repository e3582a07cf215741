//! Healthy ledgers are whole; any flipped bit is found; a verifier can stop and go on.

use canonry_record::Hash;
use canonry_record::Verifier;
use canonry_record::envelope::Envelope;
use canonry_record::export::{Entry, parse_line, write_line};
use canonry_record::record::parse;
use canonry_record::verify::{Pins, State};
use canonry_schemas::time::Time;
use proptest::prelude::*;

use crate::forge::{Forge, check, fact, push_all};

#[test]
fn a_healthy_ledger_is_whole() {
    let forge = Forge::healthy();
    let text = forge.export();
    let open = check(&text, &Pins::default()).unwrap();
    assert_eq!((open.records, open.position, open.hash), (12, 12, forge.hash));
    assert!(!open.pinned);
    let third = push_all(&forge.lines[..3]).unwrap().state().unwrap().hash;
    let pins = Pins { tenant_hash: Some(open.founder), head: Some((3, third)) };
    assert!(check(&text, &pins).unwrap().pinned);
}

#[test]
fn lines_read_as_they_were_written() {
    for line in Forge::healthy().lines {
        assert_eq!(parse_line(&write_line(&line.line())), Ok(Entry::Record(line)));
    }
}

#[test]
fn a_verifier_goes_on_from_its_state() {
    let forge = Forge::healthy();
    for stop in 1..forge.lines.len() {
        let first = push_all(&forge.lines[..stop]).unwrap();
        let kept = serde_json::to_string(first.state().unwrap()).unwrap();
        let state: State = serde_json::from_str(&kept).unwrap();
        let founder = state.founder;
        let pins = Pins { tenant_hash: Some(founder), head: Some((12, forge.hash)) };
        let mut second = Verifier::resume(state).with_pins(pins);
        for line in &forge.lines[stop..] {
            second.push(&line.line()).unwrap();
        }
        let summary = second.finish(Some(&forge.head())).unwrap();
        assert_eq!((summary.position, summary.records), (12, 12 - stop as u64));
    }
}

#[test]
fn a_resumed_verifier_holds_to_its_pins() {
    let state = || push_all(&Forge::healthy().lines[..5]).unwrap().state().unwrap().clone();
    let code =
        |pins| Verifier::resume(state()).with_pins(pins).finish_live().unwrap_err().why.code();
    assert_eq!(code(Pins { tenant_hash: Some(Hash::ZERO), head: None }), "tenant-pin");
    for head in [(5, Hash::ZERO), (4, Hash::ZERO), (6, Hash::ZERO), (0, Hash::ZERO)] {
        assert_eq!(code(Pins { tenant_hash: None, head: Some(head) }), "head-pin");
    }
}

#[test]
fn what_broke_once_stays_broken() {
    let mut forge = Forge::healthy();
    forge.lines[4].body[10] ^= 1;
    let mut verifier = push_all(&forge.lines[..4]).unwrap();
    let broken = verifier.push(&forge.lines[4].line()).unwrap_err();
    assert_eq!(verifier.push(&Forge::healthy().lines[4].line()), Err(broken.clone()));
    assert_eq!(verifier.finish_live(), Err(broken));
}

#[test]
fn a_wrong_signature_comes_before_a_later_break() {
    let mut forge = Forge::healthy();
    for _ in 0..40 {
        forge.ticket("noted");
    }
    let other = forge.lines[20].headers[2].1.clone();
    forge.lines[30].headers[2].1 = other;
    forge.lines.remove(40);
    let broken = check(&forge.export(), &Pins::default()).unwrap_err();
    assert_eq!((broken.position, broken.why.code()), (31, "signature-wrong"));
}

#[test]
fn what_is_written_is_in_order_whatever_was_given() {
    let mut forge = Forge::founded();
    let mut opened = fact("ticket", "opened", "ticket/tkt_1", serde_json::json!({}));
    opened.touches = vec!["run/b".into(), "role/a".into(), "run/b".into()];
    opened.traceparent = Some(String::new());
    let (_, body) = forge.body(&opened);
    let record = parse(&body).unwrap();
    assert_eq!(record.touches.as_deref(), Some("role/a run/b"));
    assert_eq!(record.traceparent, None);
    opened.traceparent = None;
    forge.add(&opened);
    push_all(&forge.lines).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_flipped_bit_is_found(place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = Forge::healthy().export().into_bytes();
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let found = match String::from_utf8(bytes) {
            Ok(text) => check(&text, &Pins::default()).is_err(),
            Err(_) => true,
        };
        prop_assert!(found, "bit {bit} of byte {at}");
    }

    #[test]
    fn a_body_reads_as_it_was_written(
        texts in prop::collection::vec("[a-z0-9][a-z0-9-]{0,20}", 6),
        words in prop::collection::vec("[a-z][a-z-]{0,12}", 2),
        some in any::<[bool; 8]>(), epoch in any::<u64>(), position in 1u64.., version in 1u32..,
        micros in 0i64..253_402_300_799_999_999, hash in any::<[u8; 32]>(),
        data in "\\{\"a\":\"[^\"\\\\\\x00-\\x1f]{0,40}\"\\}",
        touched in prop::collection::btree_set("[a-z]{1,8}/[a-z0-9]{1,20}", 0..4),
    ) {
        let touches: Vec<String> = touched.into_iter().collect();
        let entity = format!("{}/{}", words[0], texts[4]);
        let envelope = Envelope {
            id: &texts[0], tenant: &texts[1], workspace: some[0].then_some(&texts[2]),
            actor: &texts[3], via: some[1].then_some("svc_api"),
            authdigest: some[2].then_some(Hash(hash)),
            intentid: some[3].then_some("01KG9ZZZZZZZZZZZZZZZZ00001"),
            intentdigest: (some[3] && some[4]).then_some(Hash(hash)),
            correlationid: some[5].then_some(&texts[5]), entity: &entity, touches: &touches,
            epoch, position, prevhash: Hash(hash), time: Time(micros), aggregate: &words[0],
            event: &words[1], version,
            traceparent: some[6].then_some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            data: data.as_bytes(),
        };
        let body = envelope.to_body();
        prop_assert!(canonry_schemas::json::parse(&body).is_ok());
        let record = parse(&body).unwrap();
        prop_assert_eq!(&record.id, envelope.id);
        prop_assert_eq!(&record.tenant, envelope.tenant);
        prop_assert_eq!(&record.subject, &envelope.subject());
        prop_assert_eq!(record.workspace.as_deref(), envelope.workspace);
        prop_assert_eq!(&record.actor, envelope.actor);
        prop_assert_eq!(record.via.as_deref(), envelope.via);
        prop_assert_eq!(record.authdigest, envelope.authdigest);
        prop_assert_eq!(record.intentid.as_deref(), envelope.intentid);
        prop_assert_eq!(record.intentdigest, envelope.intentdigest);
        prop_assert_eq!(record.correlationid.as_deref(), envelope.correlationid);
        prop_assert_eq!(&record.entity, envelope.entity);
        prop_assert!(record.touched().eq(touches.iter().map(String::as_str)));
        prop_assert_eq!((record.epoch, record.position, record.version), (epoch, position, version));
        prop_assert_eq!((record.time, record.prevhash), (Time(micros), Hash(hash)));
        prop_assert_eq!(record.traceparent.as_deref(), envelope.traceparent);
        prop_assert_eq!(record.data, data);
    }
}
