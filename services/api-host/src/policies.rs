//! The copies of policies that the API answers from, heard by the feed.

use std::sync::Arc;

use canonry_api::ports::Policies;
use canonry_policy::Input;
use canonry_policy::distributed::{Advice, View};
use canonry_policy_feed::Feed;
use canonry_schemas::ids::TenantId;

/// Of the feed of this process.
pub struct Copies(pub Arc<Feed>);

impl Policies for Copies {
    fn view(&self, tenant: &TenantId) -> View {
        self.0.view(tenant)
    }

    fn advise(&self, tenant: &TenantId, input: &Input) -> Advice {
        self.0.advise(tenant, input)
    }
}
