//! Which keys a holder signs with, and how a change of keys on its own ledger is taken up: at once,
//! without a restart. A record signs with the key of its position, a head with the one of its own.

use canonry_record::KeyRing;
use canonry_schemas::event::Event;
use canonry_schemas::tenant;

use super::{Holder, Over, now};
use crate::draft::Head;
use crate::signers::{Signers, Timeline};

/// The keys of a tenant whose keys are these: who signs records, who signs heads.
pub(super) fn begin(signers: &mut Signers, ring: &KeyRing) -> Result<(Timeline, Timeline), Over> {
    signers.look_again();
    let record = signers.record(ring).map_err(Over::Failed)?;
    let head = signers.checkpoint(ring, now()).map_err(Over::Failed)?;
    Ok((Timeline::new(record), Timeline::new(head)))
}

impl Holder {
    /// After a record was folded: where it changed the tenant's keys, the new ones sign from here
    /// on. The record itself is signed by the old one.
    pub(super) fn take_up_keys(&mut self, event: &Event, head: &Head) -> Result<(), Over> {
        // What was absent may have been stored meanwhile.
        self.s.signers.look_again();
        if !matches!(event, Event::Tenant(tenant::Event::KeysRotated(_))) {
            return Ok(());
        }
        let record = self.s.signers.record(&self.ring).map_err(Over::Failed)?;
        let checkpoint = self.s.signers.checkpoint(&self.ring, head.time).map_err(Over::Failed)?;
        let committed = self.committed.position;
        self.records.forget_before(committed);
        self.heads.forget_before(committed);
        self.records.change(head.position + 1, record);
        self.heads.change(head.position, checkpoint);
        Ok(())
    }
}
