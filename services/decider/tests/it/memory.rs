//! How much memory what a holder keeps takes. The number is in the limits: a thousand tenants of a
//! thousand records each must fit one decider (`canonry bench tenants` measures all of it).

use std::sync::Arc;

use canonry_decider::snapshot::Snapshot;
use canonry_decider::world::{Bounds, ContentKey, Folded, World};
use canonry_meter::live_bytes;
use canonry_record::{Hash, hash::sha256};
use canonry_schemas::ids::{ActorId, IntentId};
use canonry_schemas::limits::TICKET_MEMORY;
use serde_json::json;
use zeroize::Zeroizing;

use crate::story::{at, event};

const TICKETS: u64 = 1_000;

#[test]
fn a_ticket_held_in_memory_takes_no_more_than_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let tenant = "acme".parse().unwrap();
    let kept = Snapshot::new(folder.path(), tenant, Zeroizing::new([9; 32]));
    let mut world = World::new("acme".parse().unwrap(), Arc::clone(&kept), Bounds::default());
    let (hash, ada): (String, ActorId) = (Hash([3; 32]).to_string(), "ada".parse().unwrap());
    let before = live_bytes();
    for position in 1..=TICKETS {
        let intent = IntentId::from_parts(at(position).millis(), u128::from(position));
        let id = format!("tkt_{}", intent.to_string().to_lowercase());
        let opened = json!({
            "title": "x1:1-1:AAAA", "approval_required": true,
            "role": "rol_01arz3ndektsv4rrffq69g5fav",
        });
        let folded = Folded {
            position,
            hash: &hash,
            time: at(position),
            actor: &ada,
            intent: Some((&intent, &sha256(intent.as_str().as_bytes()))),
            entity: &format!("ticket/{id}"),
            event: &event("ticket.opened", &opened),
            content_key: Some(ContentKey { group: 1, index: 1 }),
        };
        world.fold(&folded).unwrap();
    }
    // As after a flush: what is captured belongs to whoever writes it.
    drop(world.capture());
    let each = (live_bytes() - before) / TICKETS as i64;
    assert!(each <= TICKET_MEMORY, "{each} bytes");
    assert!(each > 100, "{each} bytes: nothing was counted");
}
