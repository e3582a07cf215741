//! Notes, checkpoints and offline proofs: read as they were written, refused when touched.

use canonry_record::Hash;
use canonry_record::seal::Signer;
use canonry_tlog::checkpoint::identity_in;
use canonry_tlog::note::{NoteError, cosign};
use canonry_tlog::{Checkpoint, Kind, Note, Proof, VerifierKey, leaf_hash, origin};

fn log_key(origin: &str, signer: &Signer) -> VerifierKey {
    VerifierKey::new(origin, Kind::Log, signer.key.verifying_key()).unwrap()
}

fn checkpoint(record: &Hash) -> Checkpoint {
    let origin = origin(&"acme".parse().unwrap(), &Hash([7; 32]));
    Checkpoint { origin, size: 1, root: leaf_hash(&record.0) }
}

#[test]
fn a_cosigned_checkpoint_is_read_and_each_key_is_told() {
    let (log, witness) = (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]));
    let at = checkpoint(&Hash([3; 32]));
    assert_eq!(identity_in(&at.origin), Some(Hash([7; 32])));
    assert_eq!(identity_in("canonry/acme"), None);
    let mut note = at.sign(&log);
    note.add(cosign(note.text(), "witness.example/w1", &witness, 1_700_000_000));
    let text = note.to_string();
    assert_eq!(text.parse::<Note>().unwrap(), note);
    let w = VerifierKey::new("witness.example/w1", Kind::Witness, witness.key.verifying_key());
    let keys = [log_key(&at.origin, &log), w.unwrap()];
    let signed = note.verify(&keys).unwrap();
    let times: Vec<_> = signed.iter().map(|s| s.time).collect();
    assert_eq!(times, [None, Some(1_700_000_000)]);
    assert_eq!(Checkpoint::of(&note).unwrap(), at);
    for key in &keys {
        assert_eq!(key.to_string().parse::<VerifierKey>().unwrap(), *key);
    }
}

#[test]
fn a_note_that_was_touched_is_refused() {
    let log = Signer::from_seed(&[1; 32]);
    let at = checkpoint(&Hash([3; 32]));
    let note = at.sign(&log).to_string();
    let keys = [log_key(&at.origin, &log)];
    let verify = |text: &str| text.parse::<Note>().and_then(|n| n.verify(&keys).map(|_| ()));
    assert_eq!(verify(&note), Ok(()));
    assert_eq!(verify(&note.replace("\n1\n", "\n2\n")), Err(NoteError::Signature));
    let other = at.sign(&Signer::from_seed(&[9; 32])).to_string();
    assert_eq!(verify(&other), Err(NoteError::Unsigned));
    let foreign = note.replace("\u{2014} canonry", "\u{2014} another");
    assert_eq!(verify(&foreign), Err(NoteError::Unsigned), "the name is part of the key");
    for bad in [
        note.trim_end().to_owned(),
        note.replace("\n\n", "\n"),
        note.replace('\u{2014}', "-"),
        note.replace("canonry/", "canonry\t/"),
        format!("{note}x\n"),
        "\n\n".to_owned(),
        String::new(),
        "x".repeat(canonry_schemas::limits::NOTE_BYTES + 1),
    ] {
        assert_eq!(verify(&bad), Err(NoteError::Malformed), "{bad:.60}");
    }
    let lines = note.lines().last().unwrap();
    let many = format!("{note}{}\n", vec![lines; 64].join("\n"));
    assert_eq!(verify(&many), Err(NoteError::Malformed), "too many signatures");
    for bad in ["acme\n01\nAAAA\n", "acme\n1\n\n", "\n1\nAAAA\n", "acme\n1\nAAAA\n"] {
        assert!(bad.parse::<Checkpoint>().is_err(), "{bad:?}");
    }
}

#[test]
fn keys_are_read_strictly() {
    let log = Signer::from_seed(&[1; 32]);
    let good = log_key("canonry/acme", &log).to_string();
    for bad in [
        good.replacen("acme", "acne", 1),
        good.replacen('+', " ", 1),
        format!("{good}="),
        "a+00000000+AA==".to_owned(),
        String::new(),
    ] {
        assert_eq!(bad.parse::<VerifierKey>(), Err(NoteError::Key), "{bad}");
    }
    let spaced = VerifierKey::new("a b", Kind::Log, log.key.verifying_key());
    assert_eq!(spaced, Err(NoteError::Name));
    // The point of order one signs anything.
    let mut small = [0; 32];
    small[0] = 1;
    let small = canonry_record::VerifyingKey::from_bytes(&small).unwrap();
    assert_eq!(VerifierKey::new("a", Kind::Log, small), Err(NoteError::Key));
}

#[test]
fn an_offline_proof_is_of_one_record() {
    let log = Signer::from_seed(&[1; 32]);
    let record = Hash([3; 32]);
    let at = checkpoint(&record);
    let extra = Some(b"{}".to_vec());
    let proof = Proof { extra, index: 0, hashes: Vec::new(), note: at.sign(&log) };
    let text = proof.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra e30=\nindex 0\n\ncanonry/acme/"));
    let read: Proof = text.parse().unwrap();
    assert_eq!(read, proof);
    assert_eq!(read.check(&record).unwrap(), at);
    assert!(read.check(&Hash([4; 32])).is_err());
    let plain = Proof { extra: None, ..proof };
    assert_eq!(plain.to_string().parse::<Proof>().unwrap(), plain);
    for bad in [
        text.replace("@v1", "@v2"),
        text.replace("index 0", "index 00"),
        text.replace("index 0\n", "index 0\nAAAA\n"),
        text.replace("extra e30=\n", "extra e30\n"),
        format!("{}\n{text}", "extra"),
    ] {
        assert!(bad.parse::<Proof>().is_err(), "{bad:.60}");
    }
}
