//! Going on after a loss: what a repair must say, and what it may not hide.

use canonry_record::envelope::Envelope;
use canonry_record::export::OwnedLine;
use canonry_record::repair::{hides, records_upto, repaired};
use canonry_record::seal::{headers, seal};
use canonry_record::verify::Pins;
use canonry_record::{Hash, Verifier, record_hash};
use canonry_schemas::tenant::Repaired;
use canonry_schemas::time::Time;

use crate::forge::{Forge, push_all, signer, tenant};

type Change = fn(&mut Repaired);

/// A repair at `position` that follows line `after`.
fn line(forge: &Forge, after: u64, position: u64, change: impl FnOnce(&mut Repaired)) -> OwnedLine {
    let last = &forge.lines[after as usize - 1];
    let hash = record_hash(&last.subject, &last.body);
    let mut data = repaired(&tenant(), (after, hash), position, 12, None, &signer("root"));
    change(&mut data);
    let data = serde_json::to_vec(&data).unwrap();
    let envelope = Envelope {
        id: "rec-repair",
        tenant: "acme",
        workspace: None,
        actor: "ines",
        via: None,
        authdigest: None,
        intentid: None,
        intentdigest: None,
        correlationid: None,
        entity: "tenant/acme",
        touches: &[],
        epoch: 2,
        position,
        prevhash: hash,
        time: Time(forge.time + 60_000_000),
        aggregate: "tenant",
        event: "repaired",
        version: 1,
        traceparent: None,
        data: &data,
    };
    let (subject, body) = (envelope.subject(), envelope.to_body());
    let sealed = seal(&subject, &body, &signer("record-2"));
    let headers = headers("rec-repair", &sealed.hash, &sealed.signature, None);
    let headers = headers.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    OwnedLine { seq: position, subject, headers, body }
}

fn after_nine(change: impl FnOnce(&mut Repaired)) -> Result<Verifier, (u64, &'static str)> {
    let forge = Forge::healthy();
    let mut lines = forge.lines[..9].to_vec();
    lines.push(line(&forge, 9, 41, change));
    push_all(&lines).map_err(|broken| (broken.position, broken.why.code()))
}

#[test]
fn a_lawful_repair_goes_on_beyond_the_loss_and_is_remembered() {
    let verifier = after_nine(|_| {}).unwrap();
    let state = verifier.state().unwrap();
    let [repair] = &state.repairs[..] else { panic!("{:?}", state.repairs) };
    assert_eq!((state.position, repair.position, repair.after), (41, 41, 9));
    assert_eq!((repair.from, repair.to, repair.given), (10, 40, 12));
    assert_eq!(verifier.finish_live().unwrap().records, 10);
    assert_eq!([9, 41, 50].map(|p| records_upto(&state.repairs, p)), [9, 10, 19]);
    // A state of before repairs were known still reads.
    let mut old = serde_json::to_value(state).unwrap();
    old.as_object_mut().unwrap().remove("repairs");
    let old: canonry_record::verify::State = serde_json::from_value(old).unwrap();
    assert_eq!(old.repairs, []);
}

#[test]
fn every_unlawful_repair_is_found_at_the_first_position_that_it_leaves_out() {
    let cases: [(&str, Change); 7] = [
        ("repair-head", |d| d.after.position = "8".into()),
        ("repair-head", |d| d.after.hash = Hash::ZERO.to_string()),
        ("repair-malformed", |d| d.lost.from = "11".into()),
        ("repair-malformed", |d| d.lost.to = "39".into()),
        ("repair-malformed", |d| d.given = "041".into()),
        ("repair-authorization", |d| d.given = "13".into()),
        ("repair-authorization", |d| d.content_key = Some("1-1".into())),
    ];
    for (code, change) in cases {
        assert_eq!(after_nine(change).unwrap_err(), (10, code));
    }
    for by in ["enrol", "record-2", "stranger"] {
        let forge = Forge::healthy();
        let hash = record_hash(&forge.lines[8].subject, &forge.lines[8].body);
        let signed = repaired(&tenant(), (9, hash), 41, 12, None, &signer(by));
        assert_eq!(after_nine(|d| *d = signed).unwrap_err(), (10, "repair-authorization"), "{by}");
    }
}

#[test]
fn a_head_that_was_lost_is_not_passed_through() {
    let forge = Forge::healthy();
    let mut lines = forge.lines[..9].to_vec();
    lines.push(line(&forge, 9, 41, |_| {}));
    let lost = &forge.lines[10];
    let head = Some((11, record_hash(&lost.subject, &lost.body)));
    let mut verifier = Verifier::new(tenant(), Pins { tenant_hash: None, head });
    let broken = lines.iter().try_for_each(|line| verifier.push(&line.line())).unwrap_err();
    assert_eq!((broken.position, broken.why.code()), (10, "head-pin"));
}

#[test]
fn a_repair_hides_nothing_that_stands() {
    let forge = Forge::healthy();
    let verifier = after_nine(|_| {}).unwrap();
    let state = verifier.state().unwrap();
    let repair = &state.repairs[0];
    let held = &forge.lines[9];
    assert!(hides(repair, &state.ring, &held.line()));
    // The one after it cannot be judged, and a damaged one does not stand.
    assert!(!hides(repair, &state.ring, &forge.lines[10].line()));
    let mut damaged = held.clone();
    damaged.body[40] ^= 1;
    assert!(!hides(repair, &state.ring, &damaged.line()));
    let mut forged = held.clone();
    forged.headers[2].1 = forge.lines[10].headers[2].1.clone();
    assert!(!hides(repair, &state.ring, &forged.line()));
}
