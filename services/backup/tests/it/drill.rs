//! The restore drill: everything in NATS is lost and comes back, and what must not be restored is
//! refused.

use std::sync::Arc;

use canonry_nats::Kv;
use canonry_provision::CellUser;
use canonry_record::Hash;
use serde_json::json;
use tokio::sync::Notify;

use crate::harness::{Spine, until};
use crate::support::{
    Ask, backed_up, checked, folder, lose_everything, read_models, restored, work,
};

/// Load, backup, load, backup, everything lost, restored, served: no answer and no row differs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_lost_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let place = folder(&dir);
    let mut spine = Spine::start().await;
    work(&spine, 20).await;
    let first = backed_up(&spine, &place).await.unwrap();
    let (intent, body, answer) = work(&spine, 20).await;
    let second = backed_up(&spine, &place).await.unwrap();
    spine.stop().await;
    assert_eq!((first.left_out, second.left_out), (0, 0));
    assert_eq!(second.manifest.previous, Some(first.named));
    let head = second.manifest.head.clone();
    assert_eq!(second.manifest.verified.records, head.head.position);
    assert_eq!(spine.log().await.info().await.unwrap().last_seq, head.head.position);
    let before = (spine.ledger().await, read_models(&spine).await);

    lose_everything(&mut spine).await;
    let identity = Some(second.manifest.identity);
    cut_off(&spine, &place).await;
    let other = Ask { identity: Some(Hash([7; 32])), known: None };
    let wrong = restored(&spine, &place, other, &mut |_, _| ()).await.unwrap_err();
    assert_eq!(wrong.code(), "tenant-pin");
    let known = Some((head.head.position, head.head.hash));
    let done = restored(&spine, &place, Ask { identity, known }, &mut |_, _| ()).await.unwrap();
    assert_eq!((done.records, done.head.clone(), done.pinned), (head.head.position, head, true));
    assert_eq!(done.content_keys, second.manifest.content_keys);
    assert_eq!(before, (spine.ledger().await, read_models(&spine).await));

    // The decider's own snapshot of before still fits.
    spine.decider = Some(spine.decider("decider-a").await);
    spine.served().await;
    let founder = spine.person("founder").await;
    let again = founder.send_as(&intent, "ticket", "open", &body).await;
    assert_eq!(again, answer, "a repeated intent gets its first answer");
    let next = founder.send("ticket", "open", json!({"title": "after"})).await;
    assert!(next.ok, "{next:?}");
    let full = restored(&spine, &place, Ask::default(), &mut |_, _| ()).await.unwrap_err();
    assert_eq!(full.code(), "target-in-use", "a ledger that lives is not restored into");

    // The next backup goes on behind the one that was restored.
    let third = backed_up(&spine, &place).await.unwrap();
    assert_eq!(third.manifest.previous, Some(second.named));
    assert_eq!(third.manifest.segments[0].first, done.records + 1);
    assert_eq!(checked(&spine, &place).await.unwrap().backups, 3);
    spine.stop().await;
}

/// A restore that is cut off leaves the tenant closed: no decider opens half a ledger.
async fn cut_off(spine: &Spine, place: &canonry_backup::Place) {
    let begun = Arc::new(Notify::new());
    let heard = Arc::clone(&begun);
    let mut records = 0;
    // The first pass verifies up to the head; the second stores.
    let mut progress = move |position: u64, _: u64| {
        if position < records {
            heard.notify_one();
        }
        records = position;
    };
    tokio::select! {
        done = restored(spine, place, Ask::default(), &mut progress) => panic!("{done:?}"),
        () = begun.notified() => {}
    }
    let stands = spine.log().await.info().await.unwrap().last_seq;
    assert!(stands > 0, "nothing was stored before it was cut off");
    let early = spine.decider("decider-early").await;
    let founder = spine.person("founder").await;
    until("a decider that refuses", || async {
        let answer = founder.raw(&founder.subject("ticket", "open"), &[], "{}").await;
        answer.is_some_and(|a| a.code.as_deref() == Some("tenant-frozen"))
    })
    .await;
    early.stop().await;
    assert_eq!(spine.log().await.info().await.unwrap().last_seq, stands, "it wrote a record");
}

/// More was given out than the backup has: it is restored, but not opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_records_keep_the_tenant_closed() {
    let dir = tempfile::tempdir().unwrap();
    let place = folder(&dir);
    let mut spine = Spine::start().await;
    work(&spine, 2).await;
    let done = backed_up(&spine, &place).await.unwrap();
    let upto = done.manifest.head.head.position;
    work(&spine, 1).await;
    spine.stop().await;
    let last = spine.log().await.last().await.unwrap().unwrap();
    let known = Some((last.seq, canonry_record::record_hash(&last.subject, &last.body)));

    lose_everything(&mut spine).await;
    let ask = Ask { identity: None, known };
    let lost = restored(&spine, &place, ask, &mut |_, _| ()).await.unwrap_err();
    assert_eq!(lost.code(), "records-lost", "{lost}");
    assert_eq!(spine.log().await.info().await.unwrap().last_seq, upto);
    let frozen = Kv::open(spine.cell_user(&CellUser::Committer).await, "frozen").unwrap();
    let flag = frozen.get("acme").await.unwrap().unwrap();
    assert!(!flag.deleted);
    let decider = spine.decider("decider-b").await;
    let founder = spine.person("founder").await;
    until("a decider that refuses", || async {
        let answer = founder.raw(&founder.subject("ticket", "open"), &[], "{}").await;
        answer.is_some_and(|a| a.code.as_deref() == Some("tenant-frozen"))
    })
    .await;
    decider.stop().await;
    // A restore without that knowledge is refused as well: the flag stands.
    let again = restored(&spine, &place, Ask::default(), &mut |_, _| ()).await.unwrap_err();
    assert_eq!(again.code(), "target-in-use", "{again}");
}

/// A target that holds anything else is not touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_with_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let place = folder(&dir);
    let mut spine = Spine::start().await;
    work(&spine, 1).await;
    backed_up(&spine, &place).await.unwrap();
    spine.stop().await;
    let before = spine.ledger().await;
    let same = restored(&spine, &place, Ask::default(), &mut |_, _| ()).await.unwrap_err();
    assert_eq!(same.code(), "target-in-use", "{same}");
    assert_eq!(spine.ledger().await, before);
    let committer = spine.cell_user(&CellUser::Committer).await;
    let frozen = Kv::open(committer, "frozen").unwrap();
    assert_eq!(frozen.get("acme").await.unwrap(), None, "it left a flag behind");
    let none = folder(&tempfile::tempdir().unwrap());
    let nothing = restored(&spine, &none, Ask::default(), &mut |_, _| ()).await.unwrap_err();
    assert_eq!(nothing.code(), "nothing-there");
}
