//! A small ledger with fixed keys: the healthy one, and the tools to make a broken one.

use canonry_record::envelope::Envelope;
use canonry_record::export::{Head, HeadLine, OwnedLine, sign_head, write_line};
use canonry_record::ring::{Key, KeyChange, Use, authorize, public_key};
use canonry_record::seal::{Signer, headers, seal};
use canonry_record::verify::{Break, Pins, Summary};
use canonry_record::whole::Whole;
use canonry_record::{Hash, Line, Verifier};
use canonry_schemas::ids::TenantId;
use canonry_schemas::time::Time;
use serde_json::{Value, json};

pub const START: i64 = 1_769_860_800_000_000;

/// The test keys, by name; each seed is the name's SHA-256.
pub const KEYS: [(&str, &[Use], &str); 11] = [
    ("root", &[Use::Root], "ines"),
    ("enrol", &[Use::Enrol], "svc_provision"),
    ("record", &[Use::Record], "svc_decider"),
    ("record-2", &[Use::Record], "svc_decider"),
    ("checkpoint", &[Use::Checkpoint], "svc_decider"),
    ("ines-member", &[Use::Member], "ines"),
    ("ines-login", &[Use::Login], "ines"),
    ("bob-member", &[Use::Member], "bob"),
    ("bob-login", &[Use::Login], "bob"),
    ("bob-member-2", &[Use::Member], "bob"),
    ("stranger", &[Use::Record], "mallory"),
];

/// The keys that expire, and when: after everything that the healthy ledger holds.
const EXPIRING: [&str; 1] = ["record-2"];
pub const EXPIRY: Time = Time(START + 3_600_000_000);

pub fn signer(name: &str) -> Signer {
    Signer::from_seed(&canonry_record::hash::sha256(format!("test key {name}").as_bytes()).0)
}

pub fn key(name: &str) -> Key {
    let (_, uses, actor) = KEYS.iter().find(|k| k.0 == name).unwrap();
    let notafter = EXPIRING.contains(&name).then_some(EXPIRY);
    Key { notafter, ..public_key(&signer(name).public(), uses.to_vec(), actor.parse().unwrap()) }
}

pub fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

/// One record to write.
#[derive(Clone)]
pub struct Fact {
    pub aggregate: &'static str,
    pub event: &'static str,
    pub entity: String,
    pub touches: Vec<String>,
    pub traceparent: Option<String>,
    pub data: Value,
}

pub fn fact(aggregate: &'static str, event: &'static str, entity: &str, data: Value) -> Fact {
    let entity = entity.to_owned();
    Fact { aggregate, event, entity, touches: vec![], traceparent: None, data }
}

#[derive(Clone)]
pub struct Forge {
    pub lines: Vec<OwnedLine>,
    pub hash: Hash,
    pub keyhead: Hash,
    pub time: i64,
    pub epoch: u64,
    pub record: &'static str,
}

impl Forge {
    pub fn empty() -> Self {
        let (hash, record) = (Hash::ZERO, "record");
        Self { lines: vec![], hash, keyhead: hash, time: START, epoch: 0, record }
    }

    pub fn founded() -> Self {
        let mut forge = Self::empty();
        let names = ["root", "enrol", "record", "checkpoint", "ines-member", "ines-login"];
        let keys: Vec<_> = names.map(key).into();
        forge.add(&fact(
            "tenant",
            "founded",
            "tenant/acme",
            json!({ "name": "Acme", "keys": keys }),
        ));
        forge.keyhead = forge.hash;
        forge.epoch = 1;
        forge.add(&fact(
            "tenant",
            "taken-over",
            "tenant/acme",
            json!({ "decider": "svc_decider" }),
        ));
        forge
    }

    pub fn body(&self, fact: &Fact) -> (String, Vec<u8>) {
        let position = self.lines.len() as u64 + 1;
        let data = serde_json::to_vec(&fact.data).unwrap();
        let id = format!("rec{position:05}");
        let intent = format!("01KG9ZZZZZZZZZZZZZZZZ{position:05}");
        let system = position <= 2;
        let envelope = Envelope {
            id: &id,
            tenant: "acme",
            workspace: (!system).then_some("main"),
            actor: if system { "svc_decider" } else { "ines" },
            via: (position == 4).then_some("svc_api"),
            authdigest: (position == 4).then_some(Hash([4; 32])),
            intentid: (!system).then_some(&intent),
            intentdigest: (!system).then_some(Hash([5; 32])),
            correlationid: (position == 4).then_some("corr-1"),
            entity: &fact.entity,
            touches: &fact.touches,
            epoch: self.epoch,
            position,
            prevhash: self.hash,
            time: Time(self.time + position as i64 * 1_000),
            aggregate: fact.aggregate,
            event: fact.event,
            version: 1,
            traceparent: fact.traceparent.as_deref(),
            data: &data,
        };
        (envelope.subject(), envelope.to_body())
    }

    pub fn add(&mut self, fact: &Fact) {
        let (subject, body) = self.body(fact);
        self.store(subject, body, self.record, fact.traceparent.as_deref());
    }

    /// Stores a body under honest headers.
    pub fn store(&mut self, subject: String, body: Vec<u8>, by: &str, trace: Option<&str>) {
        let seq = self.lines.len() as u64 + 1;
        let sealed = seal(&subject, &body, &signer(by));
        let headers = headers(&format!("rec{seq:05}"), &sealed.hash, &sealed.signature, trace);
        let headers = headers.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        self.lines.push(OwnedLine { seq, subject, headers, body });
        self.hash = sealed.hash;
    }

    pub fn authorized(&self, keys: &[&str], revoked: &[&str], by: &str) -> KeyChange {
        let keys = keys.iter().map(|n| key(n)).collect();
        let revoked = revoked.iter().map(|n| signer(n).id).collect();
        authorize(&tenant(), &self.keyhead, keys, revoked, &signer(by))
    }

    pub fn change(&mut self, aggregate: &'static str, event: &'static str, change: &KeyChange) {
        let entity = if aggregate == "member" { "member/bob" } else { "tenant/acme" };
        self.add(&fact(aggregate, event, entity, serde_json::to_value(change).unwrap()));
        self.keyhead = self.hash;
    }

    pub fn ticket(&mut self, event: &'static str) {
        let n = self.lines.len();
        self.add(&fact(
            "ticket",
            event,
            &format!("ticket/tkt_{n}"),
            json!({ "priority": 2, "n": n }),
        ));
    }

    /// Twelve records with every kind of change of keys.
    pub fn healthy() -> Self {
        let mut forge = Self::founded();
        forge.change(
            "member",
            "enrolled",
            &forge.authorized(&["bob-member", "bob-login"], &[], "enrol"),
        );
        let mut opened = fact(
            "ticket",
            "opened",
            "ticket/tkt_1",
            json!({
                "title": "x1:0001-1:AAAA", "labels": ["a", "ü\n"], "cost": 9_007_199_254_740_991i64,
                "nothing": null, "nested": { "deep": [true, -1] },
            }),
        );
        opened.touches = vec!["role/rol_1".into(), "run/run_1".into()];
        opened.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
        forge.add(&opened);
        forge.ticket("assigned");
        let own = forge.authorized(&["bob-member-2"], &["bob-member"], "bob-member");
        forge.change("member", "keys-rotated", &own);
        forge.ticket("open-refused");
        forge.change(
            "tenant",
            "keys-rotated",
            &forge.authorized(&["record-2"], &["record"], "root"),
        );
        forge.record = "record-2";
        forge.ticket("started");
        let out = forge.authorized(&[], &["bob-member-2", "bob-login"], "enrol");
        forge.change("member", "removed", &out);
        forge.epoch = 2;
        forge.add(&fact(
            "tenant",
            "taken-over",
            "tenant/acme",
            json!({ "decider": "svc_decider" }),
        ));
        forge.ticket("completed");
        forge
    }

    pub fn head(&self) -> HeadLine {
        self.head_by("checkpoint")
    }

    pub fn head_by(&self, name: &str) -> HeadLine {
        let position = self.lines.len() as u64;
        let time = Time(self.time + 1_000_000);
        sign_head(Head { tenant: tenant(), position, hash: self.hash, time }, &signer(name))
    }

    pub fn export(&self) -> String {
        let mut lines: Vec<_> = self.lines.iter().map(|l| write_line(&l.line())).collect();
        lines.push(self.head().to_text());
        lines.join("\n") + "\n"
    }
}

/// What an export says, on one thread and two, together and alone; all must agree.
pub fn check(text: &str, pins: &Pins) -> Result<Summary, Break> {
    let whole = |mut whole: Whole| {
        text.lines().try_for_each(|line| whole.push(line))?;
        whole.finish()
    };
    let alone = whole(Whole::new(pins.clone(), 1).strict());
    assert_eq!(whole(Whole::new(pins.clone(), 1)), alone);
    assert_eq!(whole(Whole::new(pins.clone(), 2)), alone);
    alone
}

/// What the records say one by one, without a head.
pub fn push_all(lines: &[OwnedLine]) -> Result<Verifier, Break> {
    let mut verifier = Verifier::new(tenant(), Pins::default());
    lines.iter().try_for_each(|line| verifier.push(&line.line()))?;
    let borrowed: Vec<Line<'_>> = lines.iter().map(OwnedLine::line).collect();
    Verifier::new(tenant(), Pins::default()).push_batch(&borrowed)?;
    Ok(verifier)
}
