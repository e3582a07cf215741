//! A witness's rules: each status of the specification, and histories that were rewritten.

use canonry_record::Hash;
use canonry_record::seal::Signer;
use canonry_tlog::tile::join;
use canonry_tlog::tree::consistency;
use canonry_tlog::witness::{Refused, Request, Seen, check};
use canonry_tlog::{Checkpoint, Growing, Kind, VerifierKey, leaf_hash};

const ORIGIN: &str = "canonry/acme";

fn log() -> Signer {
    Signer::from_seed(&[1; 32])
}

fn keys() -> Vec<VerifierKey> {
    vec![VerifierKey::new(ORIGIN, Kind::Log, log().key.verifying_key()).unwrap()]
}

/// A history: the records of `salt`, but the first `shared` of them are the same in every one.
fn history(salt: u8, shared: u64, size: u64) -> Vec<Hash> {
    let one = |n: u64| [if n < shared { 0 } else { salt }, n as u8];
    (0..size).map(|n| canonry_record::hash::sha256(&one(n))).collect()
}

fn at(records: &[Hash]) -> Checkpoint {
    let mut tree = Growing::default();
    records.iter().for_each(|r| drop(tree.push(*r)));
    Checkpoint { origin: ORIGIN.to_owned(), size: tree.size(), root: tree.root() }
}

fn request(old: u64, records: &[Hash]) -> Request {
    let leaves: Vec<Hash> = records.iter().map(|r| leaf_hash(&r.0)).collect();
    let parts = consistency(old, records.len() as u64).unwrap_or_default();
    let proof = parts.iter().map(|part| join(part, |_| Some(leaves.clone())).unwrap()).collect();
    Request { old, proof, note: at(records).sign(&log()) }
}

fn seen(records: &[Hash]) -> Option<Seen> {
    let at = at(records);
    Some(Seen { size: at.size, root: at.root })
}

#[test]
fn growth_is_cosigned_and_a_request_is_read_as_written() {
    let records = history(1, 0, 12);
    let first = request(0, &records[..5]);
    assert_eq!(check(&first, &keys(), |_| None).unwrap().size, 5);
    let next = request(5, &records);
    assert_eq!(check(&next, &keys(), |_| seen(&records[..5])).unwrap().size, 12);
    let again = request(12, &records);
    assert_eq!(check(&again, &keys(), |_| seen(&records)).unwrap().size, 12);
    assert_eq!(next.to_string().parse::<Request>().unwrap(), next);
}

#[test]
fn each_wrong_request_has_its_status() {
    let records = history(1, 0, 12);
    let known = || seen(&records[..5]);
    let status = |request: &Request, keys: &[VerifierKey]| {
        check(request, keys, |_| known()).unwrap_err().status()
    };
    assert_eq!(status(&request(5, &records), &[]), 404);
    let stranger =
        VerifierKey::new(ORIGIN, Kind::Log, Signer::from_seed(&[8; 32]).key.verifying_key());
    assert_eq!(status(&request(5, &records), &[stranger.unwrap()]), 403);
    assert_eq!(status(&Request { old: 13, ..request(5, &records) }, &keys()), 400);
    assert_eq!(
        check(&request(4, &records), &keys(), |_| known()),
        Err(Refused::Conflict { size: 5 })
    );
    assert_eq!(Refused::Conflict { size: 5 }.status(), 409);
    let mut torn = request(5, &records);
    torn.proof.pop();
    assert_eq!(status(&torn, &keys()), 422);
    let padded = Request { proof: vec![Hash([0; 32])], ..request(0, &records) };
    assert_eq!(check(&padded, &keys(), |_| None), Err(Refused::Inconsistent));
    for bad in ["", "old 1", "old 01\n\nx", "old 1\nAAAA\n\nx", "old -1\n\nx"] {
        assert_eq!(bad.parse::<Request>(), Err(Refused::Malformed), "{bad}");
    }
}

#[test]
fn rewritten_and_shortened_histories_are_refused() {
    let told = history(1, 0, 9);
    let rewritten = history(2, 0, 12);
    let forked = history(3, 8, 12);
    for other in [&rewritten, &forked] {
        let asked = check(&request(9, other), &keys(), |_| seen(&told));
        assert_eq!(asked, Err(Refused::Inconsistent));
    }
    // The same size with another root.
    let asked = check(&request(9, &forked[..9]), &keys(), |_| seen(&told));
    assert_eq!(asked, Err(Refused::Conflict { size: 9 }));
    // A ledger that lost its end, whatever old size it claims.
    for old in [0, 5, 7] {
        let asked = check(&request(old, &told[..7]), &keys(), |_| seen(&told));
        assert_eq!(asked, Err(Refused::Conflict { size: 9 }));
    }
    let asked = check(&Request { old: 9, ..request(7, &told[..7]) }, &keys(), |_| seen(&told));
    assert_eq!(asked, Err(Refused::Malformed));
}
