//! cqrs-es at the edge: our pure deciders hosted as its `Aggregate`. The desk calls
//! [`decide`], which runs `handle` on the commanded aggregate; the world folds the event later,
//! when its position and hash are known, so the hosted state is not kept.
//!
//! `handle` is async only by its signature: it never waits, and is polled once. cqrs-es's own
//! stores and queries are not used (one aggregate a commit cannot carry a tenant's chain); its
//! `EventStore` trait is served in [`crate::entrance`].

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use canonry_domain::action::Actions;
use canonry_domain::books::{Books, Budgets};
use canonry_domain::directory::Directory;
use canonry_domain::evidence::Evidences;
use canonry_domain::ext::Exts;
use canonry_domain::lease::Leases;
use canonry_domain::policy::{Checked, Policies};
use canonry_domain::role::{Role, Roles};
use canonry_domain::run::{Run, Runs};
use canonry_domain::ticket::{Ticket, Tickets};
use canonry_domain::tier::Tiers;
use canonry_domain::weigh::Judged;
use canonry_domain::{Applied, Approval, Assertion, Decider, Facts};
use canonry_schemas::ids::{ActorId, KeyId, RoleId, RunId};
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::time::Time;
use canonry_schemas::{action, budget, evidence, ext, lease, policy, role, run, ticket};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The facts of a decision, owned, because cqrs-es commands cannot borrow.
#[derive(Debug, Clone)]
pub struct OwnFacts {
    /// The record's time.
    pub now: Time,
    /// Whose command.
    pub actor: ActorId,
    /// Its intent id.
    pub intent: String,
    /// What the actor may do.
    pub parts: Vec<Part>,
    /// The role that the actor works for.
    pub works_for: Option<RoleId>,
    /// Whether this is the decider's timer.
    pub timer: bool,
    /// Members.
    pub directory: Arc<Directory>,
    /// The verified approval.
    pub approval: Option<Approval>,
    /// The verified assertion.
    pub assertion: Option<Assertion>,
    /// The level that each member's `stepup` keys reach, where a policy asks for one.
    pub reaches: Vec<(ActorId, u8)>,
    /// The role in question.
    pub role: Option<(RoleId, Role)>,
    /// The ticket in question.
    pub ticket: Option<Ticket>,
    /// The id of the key that a lease is to be for, if its keys may be used.
    pub lease_key: Result<KeyId, Refusal>,
    /// What moves roles between tiers.
    pub tiers: Tiers,
    /// Whether a custom record's data fits, and what it is about exists.
    pub appended: Result<(), Refusal>,
    /// The run that an action is part of or a lease is asked for.
    pub run: Option<(RunId, Run)>,
    /// The tenant's account and prices.
    pub books: Option<Books>,
    /// What the policy says about an action, or why it was not asked.
    pub judged: Result<Judged, Refusal>,
    /// The bundle that is published, or what is wrong with it.
    pub bundle: Result<Checked, Refusal>,
}

impl OwnFacts {
    /// As the rules take them.
    #[must_use]
    pub fn borrow(&self) -> Facts<'_> {
        Facts {
            now: self.now,
            actor: &self.actor,
            intent: &self.intent,
            parts: &self.parts,
            works_for: self.works_for.as_ref(),
            timer: self.timer,
            directory: &self.directory,
            // Only member commands change keys, and the directory decides those.
            keys: Ok(()),
            approval: self.approval.as_ref(),
            assertion: self.assertion.as_ref(),
            reaches: &self.reaches,
            role: self.role.as_ref().map(|(id, role)| (id, role)),
            ticket: self.ticket.as_ref(),
            lease_key: self.lease_key.as_ref().map_err(|refusal| *refusal),
            tiers: &self.tiers,
            appended: self.appended,
            run: self.run.as_ref().map(|(id, run)| (id, run)),
            books: self.books.as_ref(),
            judged: self.judged.as_ref().map_err(|refusal| *refusal),
            bundle: self.bundle.as_ref().map_err(|refusal| *refusal),
        }
    }
}

/// A refusal as cqrs-es wants it: an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message())]
pub struct Refused(pub Refusal);

/// An event type that can be stored by name and data.
pub trait Catalogued: Sized + Clone + PartialEq + std::fmt::Debug + Send + Sync {
    /// Name and version.
    fn kind(&self) -> (&'static str, u32);
    /// The data as JSON.
    ///
    /// # Errors
    /// Never in practice.
    fn text(&self) -> serde_json::Result<String>;
    /// Reads it back; `None` for an unknown name or version.
    fn read(name: &str, version: u32, data: &serde_json::Value)
    -> Option<serde_json::Result<Self>>;
}

macro_rules! catalogued {
    ($($module:ident),*) => {$(
        impl Catalogued for $module::Event {
            fn kind(&self) -> (&'static str, u32) { (self.name(), self.version()) }
            fn text(&self) -> serde_json::Result<String> { self.data() }
            fn read(name: &str, version: u32, data: &serde_json::Value)
            -> Option<serde_json::Result<Self>> {
                Self::named(name, version, data)
            }
        }
    )*};
}
catalogued!(role, ticket, run, ext, evidence, budget, policy, action, lease);

/// An event as cqrs-es carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Carried<E>(pub E);

#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    version: u32,
    data: serde_json::Value,
}

impl<E: Catalogued> Serialize for Carried<E> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        let (name, version) = self.0.kind();
        let text = self.0.text().map_err(S::Error::custom)?;
        let data = serde_json::from_str(&text).map_err(S::Error::custom)?;
        Stored { name: name.to_owned(), version, data }.serialize(to)
    }
}

impl<'de, E: Catalogued> Deserialize<'de> for Carried<E> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(from)?;
        let event = E::read(&stored.name, stored.version, &stored.data)
            .ok_or_else(|| D::Error::custom("an event of an unknown name or version"))?;
        event.map(Self).map_err(D::Error::custom)
    }
}

impl<E: Catalogued> DomainEvent for Carried<E> {
    fn event_type(&self) -> String {
        self.0.kind().0.to_owned()
    }
    fn event_version(&self) -> String {
        self.0.kind().1.to_string()
    }
}

/// A decider that cqrs-es can host.
pub trait Hostable: Decider {
    /// The aggregate's token.
    const NAME: &'static str;
}
impl Hostable for Roles {
    const NAME: &'static str = "role";
}
impl Hostable for Tickets {
    const NAME: &'static str = "ticket";
}
impl Hostable for Runs {
    const NAME: &'static str = "run";
}
impl Hostable for Exts {
    const NAME: &'static str = "ext";
}
impl Hostable for Policies {
    const NAME: &'static str = "policy";
}
impl Hostable for Actions {
    const NAME: &'static str = "action";
}
impl Hostable for Evidences {
    const NAME: &'static str = "evidence";
}
impl Hostable for Budgets {
    const NAME: &'static str = "budget";
}
impl Hostable for Leases {
    const NAME: &'static str = "lease";
}

/// A decider's state, hosted.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "D::State: Serialize", deserialize = "D::State: DeserializeOwned"))]
pub struct Hosted<D: Decider> {
    state: Option<D::State>,
}

impl<D: Decider> Default for Hosted<D> {
    fn default() -> Self {
        Self { state: None }
    }
}

impl<D: Decider> Hosted<D> {
    /// An aggregate in a known state.
    #[must_use]
    pub const fn of(state: Option<D::State>) -> Self {
        Self { state }
    }
}

impl<D> Aggregate for Hosted<D>
where
    D: Hostable,
    D::State: Serialize + DeserializeOwned + Send + Sync,
    D::Command: Send,
    D::Event: Catalogued,
{
    const TYPE: &'static str = D::NAME;
    type Command = (OwnFacts, D::Command);
    type Event = Carried<D::Event>;
    type Error = Refused;
    type Services = ();

    async fn handle(
        &mut self,
        (facts, command): Self::Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refused> {
        let event = D::decide(self.state.as_ref(), &facts.borrow(), command).map_err(Refused)?;
        sink.write(Carried(event), self).await;
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        // Before the chain there is no position, hash or time: rules that look at them (which
        // record asked for an approval) are folded by the world, which has them.
        let nobody: ActorId = crate::ACTOR.parse().expect("the decider's token is a token");
        let applied = Applied { position: 0, hash: "", time: Time(0), actor: &nobody };
        self.state = D::evolve(self.state.take(), &applied, &event.0);
    }
}

/// Decides through the hosted aggregate: one command, one event or one refusal.
///
/// # Errors
/// The refusal.
pub fn decide<D>(
    state: Option<&D::State>,
    facts: OwnFacts,
    command: D::Command,
) -> Result<D::Event, Refusal>
where
    D: Hostable,
    D::State: Clone + Serialize + DeserializeOwned + Send + Sync,
    D::Command: Send,
    D::Event: Catalogued,
{
    let mut hosted = Hosted::<D> { state: state.cloned() };
    let sink = EventSink::default();
    ready(hosted.handle((facts, command), &(), &sink)).map_err(|Refused(refusal)| refusal)?;
    let mut events = ready(sink.collect());
    let event = events.pop().expect("a decision yields an event");
    assert!(events.is_empty(), "one command, one record");
    Ok(event.0)
}

/// The value of a future that never waits. Unconstrained, because inside a task that has used up
/// its budget even a free lock of tokio would ask to wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(tokio::task::unconstrained(future)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a pure decision waits for nothing"),
    }
}

#[cfg(test)]
mod tests {
    use canonry_schemas::tenant::{FirstMember, Founded};
    use canonry_schemas::text::Content;
    use cqrs_es::test::TestFramework;

    use super::*;

    fn facts(parts: &[Part]) -> OwnFacts {
        let actor: ActorId = "founder".parse().unwrap();
        let mut directory = Directory::default();
        directory.found(&Founded {
            keys: Vec::new(),
            members: vec![FirstMember { actor: actor.clone(), parts: parts.to_vec() }],
        });
        OwnFacts {
            now: Time(1_000_000),
            actor,
            intent: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
            parts: parts.to_vec(),
            works_for: None,
            timer: false,
            directory: Arc::new(directory),
            approval: None,
            assertion: None,
            reaches: Vec::new(),
            role: None,
            ticket: None,
            run: None,
            lease_key: Err(Refusal::KeysInvalid),
            tiers: Tiers::default(),
            appended: Ok(()),
            books: None,
            judged: Err(Refusal::ArgumentsTooLarge),
            bundle: Err(Refusal::BundleInvalid),
        }
    }

    fn open() -> ticket::Open {
        ticket::Open {
            title: Content("x".to_owned()),
            note: None,
            priority: None,
            due: None,
            role: None,
            approval_required: false,
            external: None,
        }
    }

    type Kit = TestFramework<Hosted<Tickets>>;

    #[test]
    fn the_kit_drives_our_rules() {
        let id: canonry_schemas::ids::TicketId = "tkt_00000000000000000000000000".parse().unwrap();
        let founder = facts(&[Part::Founder]);
        Kit::with(())
            .given_no_previous_events()
            .when((founder.clone(), ticket::Command::Open(open())))
            .then_expect_events(vec![Carried(ticket::Event::Opened(open()))]);
        let start = ticket::Start { id };
        Kit::with(())
            .given_no_previous_events()
            .when((founder.clone(), ticket::Command::Start(start.clone())))
            .then_expect_error(Refused(Refusal::TicketUnknown));
        Kit::with(())
            .given(vec![Carried(ticket::Event::Opened(open()))])
            .when((founder.clone(), ticket::Command::Start(start.clone())))
            .then_expect_events(vec![Carried(ticket::Event::Started(start.clone()))]);
        Kit::with(())
            .given(vec![Carried(ticket::Event::Opened(open()))])
            .when((facts(&[Part::Auditor]), ticket::Command::Start(start.clone())))
            .then_expect_error(Refused(Refusal::NotAllowed));
        Kit::with(())
            .given(vec![
                Carried(ticket::Event::Opened(open())),
                Carried(ticket::Event::Started(start.clone())),
            ])
            .when((founder, ticket::Command::Start(start)))
            .then_expect_error(Refused(Refusal::TicketStarted));
    }

    #[test]
    fn events_are_carried_by_name() {
        let event = Carried(ticket::Event::Opened(open()));
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Carried<ticket::Event>>(&text).unwrap(), event);
        let unknown = text.replace("opened", "flown");
        assert!(serde_json::from_str::<Carried<ticket::Event>>(&unknown).is_err());
    }
}
