//! What the tests share: backups of a running cell, work to be backed up, and read models.

use canonry_backup::backup::Done;
use canonry_backup::restore::{NoErasures, Restored};
use canonry_backup::{Error, Place, Target, backup, check, restore};
use canonry_decider::OverNats;
use canonry_projections::{EventFilter, PageRequest, Reader, RunFilter, Store, TicketFilter};
use canonry_provision::CellUser;
use canonry_record::Hash;
use canonry_record::verify::Pins;
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::IntentId;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::harness::{Spine, id, intent};

/// A place in a temporary folder.
pub fn folder(dir: &tempfile::TempDir) -> Place {
    Place::make(&format!("file://{}/place", dir.path().display())).unwrap()
}

/// A role and so many tickets, each opened, assigned and asked about; the intent of the last and
/// its answer.
pub async fn work(spine: &Spine, tickets: usize) -> (IntentId, Value, Answer) {
    let founder = spine.person("founder").await;
    let role = founder.hire().await;
    let (mut last, mut body) = (None, Value::Null);
    for n in 0..tickets {
        let intent = intent();
        body = json!({"title": format!("ticket {n}"), "role": role});
        let answer = founder.send_as(&intent, "ticket", "open", &body).await;
        assert!(answer.ok, "{answer:?}");
        let asks = json!({"id": id(&answer), "reason": "Costs money"});
        assert!(founder.send("ticket", "request-approval", asks).await.ok);
        last = Some((intent, answer));
    }
    founder.connection.close().await;
    let (intent, answer) = last.unwrap();
    (intent, body, answer)
}

/// Backs the tenant up.
pub async fn backed_up(spine: &Spine, place: &Place) -> Result<Done, Error> {
    let log = spine.log().await;
    let at = canonry_decider::holder::now();
    let done = backup(&log, place, &spine.tenant, Pins::default(), at, &mut |_, _| ()).await;
    log.connection().close().await;
    done
}

/// Verifies what lies in a place.
pub async fn checked(spine: &Spine, place: &Place) -> Result<canonry_backup::Checked, Error> {
    let place = place.below(spine.tenant.as_str());
    check(&place, &spine.tenant, Pins::default(), &mut |_, _| (), &mut |_| ()).await
}

/// What a restore is asked for.
#[derive(Default, Clone, Copy)]
pub struct Ask {
    pub identity: Option<Hash>,
    pub known: Option<(u64, Hash)>,
}

/// Restores the tenant into the cell's server.
pub async fn restored(
    spine: &Spine,
    place: &Place,
    ask: Ask,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Restored, Error> {
    let cell = &spine.test.cell;
    let sys = OverNats(spine.cell_user(&CellUser::ProvisionSys).await);
    let streams = OverNats(spine.cell_user(&CellUser::ProvisionStreams).await);
    let committer = spine.cell_user(&CellUser::Committer).await;
    let evidence = spine.cell_user(&CellUser::Evidence).await;
    let target = Target { cell, sys: &sys, streams: &streams, committer, evidence, replicas: 1 };
    let Ask { identity, known } = ask;
    let (tenant, erasures) = (&spine.tenant, &mut NoErasures);
    restore(&target, place, tenant, identity, known, erasures, progress).await
}

/// Every row of the read models that the ledger yields.
pub async fn read_models(spine: &Spine) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("acme.sqlite");
    let mut store = Store::open(&path).unwrap();
    let log = spine.log().await;
    let mut records = log.read(1, None).await.unwrap();
    while let Some(stored) = records.next().await {
        let recorded = canonry_api_host::projector::read(&stored.unwrap()).unwrap();
        store.apply(&[recorded], None).unwrap();
    }
    let mut reader = Reader::open(&path).unwrap();
    let s = reader.snapshot().unwrap();
    let page = PageRequest { limit: Some(500), cursor: None };
    let tickets = s.tickets(&TicketFilter::default(), Default::default(), &page).unwrap();
    json!({
        "head": s.head(),
        "roles": s.roles(None, &page).unwrap().items,
        "tickets": tickets.items,
        "runs": s.runs(&RunFilter::default(), &page).unwrap().items,
        "members": s.members(&page).unwrap().items,
        "events": s.events(&EventFilter::default(), &page).unwrap().items,
    })
}

/// All of the server's store is gone, and it starts again empty, where it was before.
pub async fn lose_everything(spine: &mut Spine) {
    let server = spine.test.server_mut();
    server.kill().unwrap();
    std::fs::remove_dir_all(server.store_dir()).unwrap();
    server.start_again().await.unwrap();
}
