//! What a copy notices: changed, missing and foreign objects, a ledger that is not the one that was
//! copied, writers at once, keys that vanish.

use std::path::PathBuf;

use canonry_backup::layout::Segment;
use canonry_backup::{Copier, Place, check, heads};
use canonry_nats::Kv;
use canonry_provision::CellUser;
use canonry_record::Verifier;
use canonry_record::verify::Pins;

use crate::harness::Spine;
use crate::support::{backed_up, checked, folder, work};

fn files(dir: &tempfile::TempDir, below: &str) -> Vec<PathBuf> {
    let folder = dir.path().join("place/acme").join(below);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

/// Each way to spoil a copy, and the code that names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_spoilt_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let place = folder(&dir);
    let mut spine = Spine::start().await;
    for _ in 0..3 {
        work(&spine, 3).await;
        backed_up(&spine, &place).await.unwrap();
    }
    spine.stop().await;
    let whole = checked(&spine, &place).await.unwrap();
    whole.whole().unwrap();
    assert_eq!((whole.backups, whole.verified.segments, whole.unlisted.len()), (3, 3, 0));

    let [segments, backups] = ["ledger", "backups"].map(|below| files(&dir, below));
    let head = dir.path().join("place/acme/head.json");
    let text = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    let swap = |path: &PathBuf, from: &str, to: &str| text(path).replacen(from, to, 1);
    let first_line_gone = text(&segments[1]).split_once('\n').unwrap().1.to_owned();
    let newest = text(&backups[2]);
    let old_head = {
        let manifest: serde_json::Value = serde_json::from_str(&text(&backups[0])).unwrap();
        format!("{}\n", manifest["head"])
    };
    let cases: Vec<(&str, PathBuf, Option<String>, &[&str])> = vec![
        (
            "a byte of a signature",
            segments[0].clone(),
            Some(swap(&segments[0], "ed25519:", "ed25519;")),
            &["header-mismatch"],
        ),
        (
            "a header that nothing protects",
            segments[1].clone(),
            // Of the same length: only the digest in the manifest tells.
            Some(swap(&segments[1], "\"Nats-Expected-", "\"Nats-ExpectED-")),
            &["object-wrong"],
        ),
        ("a record", segments[1].clone(), Some(first_line_gone), &["object-wrong"]),
        ("a whole segment", segments[1].clone(), None, &["gap"]),
        ("the last segment", segments[2].clone(), None, &["object-wrong"]),
        ("a manifest", backups[1].clone(), None, &["object-wrong"]),
        (
            "a manifest's word",
            backups[0].clone(),
            Some(swap(&backups[0], "\"content_keys\": ", "\"content_keys\": 1")),
            &["object-wrong"],
        ),
        ("the head", head.clone(), None, &["head-missing"]),
        ("an older head", head.clone(), Some(old_head), &["head-mismatch"]),
        (
            "the head's signature",
            head.clone(),
            Some(swap(&head, "\"signature\":\"ed25519:", "\"signature\":\"ed25519:0")),
            &["head-signature"],
        ),
        (
            "another form",
            backups[2].clone(),
            Some(newest.replace("\"form\": 1", "\"form\": 2")),
            &["object-wrong"],
        ),
    ];
    for (what, path, changed, codes) in cases {
        let kept = std::fs::read(&path).unwrap();
        match changed {
            Some(changed) => {
                assert_ne!(changed.as_bytes(), &kept[..], "{what}");
                std::fs::write(&path, changed).unwrap();
            }
            None => std::fs::remove_file(&path).unwrap(),
        }
        let found = checked(&spine, &place).await.and_then(|c| c.whole().map(drop));
        let code = found.as_ref().err().map(canonry_backup::Error::code);
        assert!(code.is_some_and(|code| codes.contains(&code)), "{what}: {found:?}");
        std::fs::write(&path, kept).unwrap();
    }
    std::fs::write(segments[0].with_file_name("notes.txt"), "x").unwrap();
    assert_eq!(checked(&spine, &place).await.unwrap_err().code(), "object-wrong");
    std::fs::remove_file(segments[0].with_file_name("notes.txt")).unwrap();
    checked(&spine, &place).await.unwrap().whole().unwrap();
}

async fn copied(spine: &Spine, place: &Place) -> Result<u64, canonry_backup::Error> {
    let log = spine.log().await;
    let below = place.below("acme");
    let verifier =
        match check(&below, &spine.tenant, Pins::default(), &mut |_, _| (), &mut |_| ()).await {
            Ok(checked) => checked.verifier,
            Err(canonry_backup::Error::Nothing { .. }) => {
                Verifier::new(spine.tenant.clone(), Pins::default())
            }
            Err(error) => return Err(error),
        };
    let mut copier = Copier::new(below, verifier);
    let (head, _) = heads::fresh(&log, &spine.tenant).await?;
    copier.round(&log, &head, canonry_decider::holder::now(), &mut |_, _| ()).await?;
    Ok(copier.verifier().position())
}

/// A copy that was cut off goes on behind what it wrote; two at once leave a copy that reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_goes_on_and_two_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let place = folder(&dir);
    let mut spine = Spine::start().await;
    work(&spine, 3).await;
    let first = copied(&spine, &place).await.unwrap();
    // Cut off after a segment, before the head: the head of before is older than the segments.
    let head = dir.path().join("place/acme/head.json");
    let kept = std::fs::read(&head).unwrap();
    work(&spine, 3).await;
    let second = copied(&spine, &place).await.unwrap();
    assert!(second > first);
    std::fs::write(&head, kept).unwrap();
    let found = checked(&spine, &place).await.unwrap();
    assert_eq!(found.whole().unwrap_err().code(), "head-mismatch");
    assert_eq!(copied(&spine, &place).await.unwrap(), second);
    checked(&spine, &place).await.unwrap().whole().unwrap();

    // Another writer began at the same place and ended elsewhere.
    work(&spine, 3).await;
    let third = copied(&spine, &place).await.unwrap();
    let longer = Segment { first: second + 1, last: third };
    let path = dir.path().join("place/acme").join(longer.name());
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let shorter = Segment { first: second + 1, last: third - 2 };
    let beside = dir.path().join("place/acme").join(shorter.name());
    std::fs::write(&beside, format!("{}\n", lines[..lines.len() - 2].join("\n"))).unwrap();
    let tail = Segment { first: third - 1, last: third };
    std::fs::write(
        dir.path().join("place/acme").join(tail.name()),
        format!("{}\n", lines[lines.len() - 2..].join("\n")),
    )
    .unwrap();
    checked(&spine, &place).await.unwrap().whole().unwrap();
    // Even where only the shorter way is left.
    std::fs::remove_file(&path).unwrap();
    checked(&spine, &place).await.unwrap().whole().unwrap();

    // What was written before is never replaced: another ledger of the same name is refused.
    spine.stop().await;
    let mut other = Spine::start().await;
    work(&other, 1).await;
    let foreign = backed_up(&other, &place).await.unwrap_err();
    assert_eq!(foreign.code(), "ledger-differs", "{foreign}");
    other.stop().await;
}

/// A bucket that lost its keys does not overwrite the copy; a key that was deleted leaves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shredded_key_leaves_the_backup() {
    let dir = tempfile::tempdir().unwrap();
    let place = folder(&dir);
    let mut spine = Spine::start().await;
    work(&spine, 1).await;
    backed_up(&spine, &place).await.unwrap();
    let path = dir.path().join("place/acme/content-keys.json");
    let value = |text: &str| -> Option<String> {
        let copy: serde_json::Value = serde_json::from_str(text).unwrap();
        copy["entries"]["g1"].as_str().map(str::to_owned)
    };
    let wrapped = value(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let committer = spine.cell_user(&CellUser::Committer).await;
    let keys = Kv::open(committer, "content-keys-acme").unwrap();
    keys.purge("g1").await.unwrap();
    backed_up(&spine, &place).await.unwrap();
    let after = std::fs::read_to_string(&path).unwrap();
    assert_eq!(value(&after), None);
    for below in [".", "ledger", "backups"] {
        for file in files(&dir, below).into_iter().filter(|f| f.is_file()) {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(!text.contains(&wrapped), "{} keeps it", file.display());
        }
    }
    spine.stop().await;
}
