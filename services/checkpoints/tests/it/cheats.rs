//! Ledgers that are not what was signed: cut, forked, written anew with the tenant's real keys.

use canonry_checkpoints::Alarm;
use canonry_checkpoints::store::{CHECKPOINT, COSIGNED};
use canonry_decider::repair::{Wanted, repair};
use canonry_tlog::Checkpoint;

use crate::bed::{Bed, Watcher, reached, until};

async fn alarm(bed: &Bed) -> Alarm {
    let store = bed.read().await;
    let mut found = None;
    until("an alarm", async || {
        found = store.alarm().await.unwrap();
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// Signed at 40 records; then the ledger is written anew, and the checkpoint stays.
async fn after(kept: usize, count: usize) -> (Bed, Alarm, Checkpoint) {
    let mut bed = Bed::start().await;
    bed.append(39, "told").await;
    let checkpointer = bed.checkpointer("a", Vec::new()).await;
    let (_, signed) = reached(&bed, CHECKPOINT, 40).await;
    checkpointer.stop().await;
    bed.write_anew(&["LEDGER_acme", "AUDIT_acme"], kept, count).await;
    let checkpointer = bed.checkpointer("b", Vec::new()).await;
    let alarm = alarm(&bed).await;
    until("frozen", async || bed.frozen().await.is_some()).await;
    let (_, now) = reached(&bed, CHECKPOINT, 1).await;
    assert_eq!(now, signed, "nothing else was signed");
    checkpointer.stop().await;
    (bed, alarm, signed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_lost_its_end_is_told_and_frozen() {
    let (bed, alarm, _) = after(30, 0).await;
    assert_eq!((alarm.code.as_str(), alarm.position), ("ledger-truncated", 31));
    assert!(bed.frozen().await.unwrap().contains("ledger-truncated"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_with_another_end_is_told_and_frozen() {
    let (bed, alarm, _) = after(30, 40).await;
    assert_eq!((alarm.code.as_str(), alarm.position), ("ledger-forked", 40));
    assert!(bed.frozen().await.unwrap().contains("ledger-forked"));
}

/// Signed records are lost, and a root key repairs the ledger: the tenant is served on, and the log,
/// which cannot go on without them, says why it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_that_lost_what_was_signed_ends_the_log_and_freezes_nothing() {
    let (bed, before, signed) = after(30, 0).await;
    assert_eq!(before.code, "ledger-truncated");
    // Nothing but the checkpoint knows how far the ledger went.
    let wanted = Wanted { tenant: bed.tenant.clone(), seen: signed.size, replicas: 1 };
    let done = Box::pin(repair(bed.test.cell.key_store(), &bed.test.url(), &wanted, |_| {})).await;
    let repair = done.unwrap().repair.unwrap();
    assert_eq!(repair.after, 30);
    assert_eq!(bed.frozen().await, None, "the repair lifts the flag");
    let checkpointer = bed.checkpointer("c", Vec::new()).await;
    let store = bed.read().await;
    until("the log says that it ended", async || {
        store.alarm().await.unwrap().is_some_and(|alarm| {
            alarm.code == "ledger-repaired" && alarm.position == repair.position
        })
    })
    .await;
    checkpointer.stop().await;
    assert_eq!(bed.frozen().await, None, "nothing freezes the tenant again");
    let (_, now) = reached(&bed, CHECKPOINT, 1).await;
    assert_eq!(now, signed, "nothing else was signed");
}

/// Cosigned at 40 records; then ledger, tiles and checkpoints are gone, and the ledger is written
/// anew: nothing in the cell remembers.
async fn before_a_witness(kept: usize, count: usize) -> Alarm {
    let mut bed = Bed::start().await;
    let dir = tempfile::tempdir().unwrap();
    let watcher = Watcher::start(dir.path(), bed.key()).await;
    let witnesses = vec![watcher.witness.clone()];
    bed.append(39, "told").await;
    let checkpointer = bed.checkpointer("a", witnesses.clone()).await;
    reached(&bed, COSIGNED, 40).await;
    checkpointer.stop().await;
    bed.write_anew(&["LEDGER_acme", "AUDIT_acme", "TLOG_acme"], kept, count).await;
    let checkpointer = bed.checkpointer("b", witnesses).await;
    let alarm = alarm(&bed).await;
    assert_eq!(alarm.code, "witness-refuses", "{alarm:?}");
    assert!(alarm.why.starts_with("witness.example/w1: "), "{alarm:?}");
    let cosigned = bed.read().await.note(COSIGNED).await.unwrap();
    assert!(cosigned.is_none(), "the witness cosigned another history");
    checkpointer.stop().await;
    alarm
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_cut_together_with_its_checkpoint_is_caught_by_the_witness() {
    let alarm = before_a_witness(30, 0).await;
    assert!(alarm.why.ends_with("it cosigned 40 records, and the ledger has 30"), "{alarm:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_written_anew_with_the_real_keys_is_caught_by_the_witness() {
    let alarm = before_a_witness(1, 60).await;
    assert!(alarm.why.ends_with("the history that it cosigned at 40 is another"), "{alarm:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_of_the_same_size_is_caught_by_the_witness() {
    let alarm = before_a_witness(39, 1).await;
    assert!(alarm.why.ends_with("it cosigned another root at 40"), "{alarm:?}");
}
