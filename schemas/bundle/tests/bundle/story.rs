//! A small ledger in which a ticket is worked on and approved, and the bundle about it.

use std::collections::BTreeMap;

use canonry_bundle::concern::{Concern, is_of_keys};
use canonry_bundle::write::{Contents, WholeLedger, write};
use canonry_record::export::{OwnedLine, write_line};
use canonry_record::hash::sha256;
use canonry_record::jws::{self, Approval, Decision};
use canonry_record::{Hash, record, record_hash};
use canonry_schemas::ids::WorkId;
use canonry_tlog::note::cosign;
use canonry_tlog::tile::join;
use canonry_tlog::tree::inclusion;
use canonry_tlog::{Checkpoint, Frontier, Kind, Note, Tile, VerifierKey, leaf_hash, origin};
use serde_json::json;

use crate::forge::{Forge, START, fact, signer, tenant};

pub const TICKET: &str = "tkt_00000000000000000000000001";
pub const RUN: &str = "run_00000000000000000000000001";
/// What the checkpoint covers; the ledger goes on.
pub const SIZE: u64 = 14;
const WITNESS: &str = "witness.example/w1";

fn on(
    forge: &mut Forge,
    kind: [&'static str; 2],
    entity: &str,
    touches: &[&str],
    data: serde_json::Value,
) {
    let mut fact = fact(kind[0], kind[1], entity, data);
    fact.touches = touches.iter().map(|name| (*name).to_owned()).collect();
    forge.add(&fact);
}

/// Sixteen records: a ticket with a run, an approval and a file, among others.
pub fn ledger() -> Forge {
    let (ticket, run) = (format!("ticket/{TICKET}"), format!("run/{RUN}"));
    let mut forge = Forge::founded();
    let f = &mut forge;
    on(f, ["ticket", "opened"], &ticket, &[], json!({"title": "x1:0001-1:AAAA"}));
    f.change("member", "enrolled", &f.authorized(&["bob-member", "bob-login"], &[], "enrol"));
    on(f, ["run", "started"], &run, &[&ticket], json!({"ticket": TICKET}));
    on(
        f,
        ["run", "step-recorded"],
        &run,
        &[],
        json!({"id": RUN, "name": "look", "outcome": "done"}),
    );
    on(f, ["ticket", "opened"], "ticket/tkt_00000000000000000000000002", &[], json!({}));
    f.change("tenant", "keys-rotated", &f.authorized(&["record-2"], &["record"], "root"));
    f.record = "record-2";
    on(f, ["run", "completed"], &run, &[&ticket], json!({"id": RUN, "ticket": TICKET}));
    on(
        f,
        ["ticket", "approval-requested"],
        &ticket,
        &[],
        json!({"id": TICKET, "reason": "x1:0001-1:BBBB"}),
    );
    let approval = Approval {
        iss: "ines".into(),
        aud: "canonry/acme/approval".into(),
        sub: ticket.clone(),
        decision: Decision::Approve,
        intent: "01KG9ZZZZZZZZZZZZZZZZ00011".into(),
        iat: START / 1_000_000 - 5,
        exp: START / 1_000_000 + 295,
        position: 10,
        hash: f.hash,
    };
    let approval = jws::sign(&approval, &signer("ines-member"));
    on(f, ["ticket", "approved"], &ticket, &[], json!({"id": TICKET, "approval": approval}));
    on(
        f,
        ["evidence", "attached"],
        &ticket,
        &[],
        json!({"object": "evd_00000000000000000000000001", "size": 1}),
    );
    on(f, ["ticket", "completed"], &ticket, &[], json!({"id": TICKET}));
    f.change("member", "removed", &f.authorized(&[], &["bob-member", "bob-login"], "enrol"));
    on(f, ["ticket", "reopened"], &ticket, &[], json!({"id": TICKET}));
    on(f, ["ticket", "cancelled"], "ticket/tkt_00000000000000000000000002", &[], json!({}));
    forge
}

pub fn hash_of(line: &OwnedLine) -> Hash {
    record_hash(&line.subject, &line.body)
}

fn leaves(forge: &Forge, size: u64) -> Vec<Hash> {
    forge.lines[..size as usize].iter().map(|line| leaf_hash(&hash_of(line).0)).collect()
}

/// The cosigned checkpoint of the first records.
pub fn note(forge: &Forge, size: u64) -> Note {
    let mut tree = Frontier::default();
    leaves(forge, size).into_iter().for_each(|leaf| tree.push(leaf));
    let origin = origin(&tenant(), &hash_of(&forge.lines[0]));
    let mut note = Checkpoint { origin, size, root: tree.root() }.sign(&signer("checkpoint"));
    note.add(cosign(note.text(), WITNESS, &signer("witness"), 1_769_860_801));
    note
}

pub fn witness() -> VerifierKey {
    VerifierKey::new(WITNESS, Kind::Witness, signer("witness").key.verifying_key()).unwrap()
}

/// What belongs into a bundle about something of this ledger.
pub fn contents(forge: &Forge, about: &str) -> Contents {
    let about: WorkId = about.parse().unwrap();
    let leaves = leaves(forge, SIZE);
    let path = |index: u64| {
        let tile =
            |tile: Tile| (tile == Tile::Hashes { level: 0, index: 0 }).then(|| leaves.clone());
        inclusion(index, SIZE).unwrap().iter().map(|part| join(part, tile).unwrap()).collect()
    };
    let mut concern = Concern::new(&about);
    let (mut keys, mut records, mut proofs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for line in &forge.lines[..SIZE as usize] {
        let (read, text) = (record::parse(&line.body).unwrap(), write_line(&line.line()));
        let (of_keys, concerned) = (is_of_keys(&read), concern.takes(&read));
        if of_keys {
            keys.insert(line.seq, text.clone());
        }
        if concerned {
            records.insert(line.seq, text);
        }
        if of_keys || concerned {
            proofs.insert(line.seq, (line.seq - 1, path(line.seq - 1)));
        }
    }
    let identity = hash_of(&forge.lines[0]);
    let note = note(forge, SIZE);
    Contents { tenant: tenant(), identity, about, size: SIZE, note, keys, records, proofs }
}

/// The bytes of a bundle, with or without the whole ledger.
pub fn bytes(forge: &Forge, contents: &Contents, whole: bool) -> Vec<u8> {
    let export = forge.export();
    let (from, sha256) = (export.as_bytes(), sha256(export.as_bytes()));
    let ledger = whole.then_some(WholeLedger { bytes: from.len() as u64, sha256, from });
    let mut out = Vec::new();
    write(&mut out, contents, ledger).unwrap();
    out
}
