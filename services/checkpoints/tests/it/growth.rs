//! A ledger that grows in order: its checkpoints, tiles and proofs.

use canonry_checkpoints::StoreError;
use canonry_checkpoints::store::{CHECKPOINT, COSIGNED};
use canonry_checkpoints::witnesses::client;
use canonry_nats::Kv;
use canonry_provision::CellUser;
use canonry_tlog::tree::{check_consistency, check_inclusion};
use canonry_tlog::witness::Request;
use canonry_tlog::{Growing, TilePath, leaf_hash};

use crate::bed::{Bed, Watcher, reached, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_are_signed_and_every_record_is_proved() {
    let mut bed = Bed::start().await;
    bed.append(599, "first").await;
    let checkpointer = bed.checkpointer("a", Vec::new()).await;
    let (_, old) = reached(&bed, CHECKPOINT, 600).await;
    let mut tree = Growing::default();
    (1..=600).for_each(|position| drop(tree.push(bed.record(position))));
    assert_eq!((old.size, old.root), (600, tree.root()));
    let store = bed.read().await;
    for position in [1, 2, 255, 256, 257, 512, 513, 600] {
        let (leaf, proof) = store.inclusion(position, old.size).await.unwrap();
        assert_eq!(leaf, position - 1);
        let hash = leaf_hash(&bed.record(position).0);
        assert_eq!(check_inclusion(hash, leaf, old.size, &proof, old.root), Ok(()));
    }
    let beyond = store.inclusion(601, 600).await;
    assert!(matches!(beyond, Err(StoreError::NotCovered)), "{beyond:?}");

    bed.append(200, "second").await;
    let (_, new) = reached(&bed, CHECKPOINT, 800).await;
    let proof = store.consistency(old.size, new.size).await.unwrap();
    assert_eq!(check_consistency(600, 800, &proof, old.root, new.root), Ok(()));
    let tile = async |path: &str| {
        let path: TilePath = path.parse().unwrap();
        store.tile(path).await.unwrap().map(|bytes| bytes.len())
    };
    assert_eq!(tile("tile/0/000").await, Some(8_192));
    assert_eq!(tile("tile/0/002.p/88").await, Some(88 * 32), "of the checkpoint before");
    assert_eq!(tile("tile/0/003.p/32").await, Some(32 * 32));
    assert_eq!(tile("tile/0/003.p/33").await, None);
    assert_eq!(tile("tile/1/000.p/3").await, Some(96));
    assert_eq!(tile("tile/entries/003.p/32").await, Some(32 * 34));
    checkpointer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_checkpointers_sign_one_log_and_one_goes_on_alone() {
    let mut bed = Bed::start().await;
    let first = bed.checkpointer("a", Vec::new()).await;
    reached(&bed, CHECKPOINT, 1).await;
    let second = bed.checkpointer("b", Vec::new()).await;
    bed.append(20, "both").await;
    let (_, at) = reached(&bed, CHECKPOINT, 21).await;
    first.stop().await;
    bed.append(20, "alone").await;
    let (_, later) = reached(&bed, CHECKPOINT, 41).await;
    let proof = bed.read().await.consistency(at.size, later.size).await.unwrap();
    assert_eq!(check_consistency(at.size, later.size, &proof, at.root, later.root), Ok(()));
    second.stop().await;
    assert_eq!(bed.frozen().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiles_that_were_lost_or_changed_follow_from_the_ledger_again() {
    let mut bed = Bed::start().await;
    bed.append(299, "x").await;
    let checkpointer = bed.checkpointer("a", Vec::new()).await;
    let (_, at) = reached(&bed, CHECKPOINT, 300).await;
    checkpointer.stop().await;
    let writer = bed.user(&CellUser::Checkpointer).await;
    let kv = Kv::over(writer, "TLOG_acme", "tlog.acme").unwrap();
    kv.put("tile/entries/000", vec![0_u8; 34]).await.unwrap();
    let store = bed.read().await;
    assert!(store.inclusion(5, 300).await.is_err());
    let checkpointer = bed.checkpointer("b", Vec::new()).await;
    until("the tile is right again", async || store.inclusion(5, 300).await.is_ok()).await;
    let (leaf, proof) = store.inclusion(5, 300).await.unwrap();
    let hash = leaf_hash(&bed.record(5).0);
    assert_eq!(check_inclusion(hash, leaf, 300, &proof, at.root), Ok(()));
    checkpointer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_cosigns_growth_and_remembers_after_a_crash() {
    let mut bed = Bed::start().await;
    let dir = tempfile::tempdir().unwrap();
    let watcher = Watcher::start(dir.path(), bed.key()).await;
    let key = watcher.witness.key.clone();
    let checkpointer = bed.checkpointer("a", vec![watcher.witness.clone()]).await;
    bed.append(50, "x").await;
    let (note, _) = reached(&bed, COSIGNED, 51).await;
    let signed = note.verify(std::slice::from_ref(&key)).unwrap();
    assert!(signed[0].time.is_some());
    checkpointer.stop().await;
    watcher.kill().await;
    let watcher = Watcher::start(dir.path(), bed.key()).await;
    assert_eq!(watcher.witness.key, key, "the key is kept");
    // Who claims that nothing was cosigned yet is told what was.
    let body = Request { old: 0, proof: Vec::new(), note }.to_string();
    let url = format!("{}/add-checkpoint", watcher.witness.url);
    let answer = client().unwrap().post(&url).body(body).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 409);
    assert_eq!(answer.headers()["content-type"], "text/x.tlog.size");
    assert_eq!(answer.text().await.unwrap(), "51\n");
    let strange = client().unwrap().post(&url).body("old 1\n").send().await.unwrap();
    assert_eq!(strange.status().as_u16(), 400);
    let checkpointer = bed.checkpointer("b", vec![watcher.witness.clone()]).await;
    bed.append(300, "y").await;
    let (note, _) = reached(&bed, COSIGNED, 351).await;
    note.verify(&[key]).unwrap();
    assert_eq!(bed.read().await.alarm().await.unwrap(), None);
    checkpointer.stop().await;
}
