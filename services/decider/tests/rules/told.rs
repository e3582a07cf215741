//! An aggregate for cqrs-es's kit whose facts stand somewhere. [`Hosted`] folds before the chain
//! knows position, hash and actor; rules that look at them (whose run, which request) need a
//! history that has them. It decides through [`Hosted`] all the same.

use canonry_decider::hosted::{self, Carried, Catalogued, Hostable, Hosted, OwnFacts, Refused};
use canonry_domain::action::Actions;
use canonry_domain::ext::Exts;
use canonry_domain::lease::Leases;
use canonry_domain::policy::Policies;
use canonry_domain::role::Roles;
use canonry_domain::run::Runs;
use canonry_domain::ticket::Tickets;
use canonry_schemas::event::Event;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::{run, ticket};
use cqrs_es::event_sink::EventSink;
use cqrs_es::test::TestFramework;
use cqrs_es::{Aggregate, DomainEvent};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::tenant::{At, Fact};

/// What happened: to the aggregate itself, or to a run of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "E: Catalogued")]
pub enum What<E> {
    /// To itself.
    Own(Carried<E>),
    /// To a run with this id.
    Run(String, Carried<run::Event>),
}

/// A fact with its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound = "E: Catalogued")]
pub struct Placed<E> {
    at: Option<At>,
    what: What<E>,
}

/// What happened counts; an event that was just decided has no place yet.
impl<E: PartialEq> PartialEq for Placed<E> {
    fn eq(&self, other: &Self) -> bool {
        self.what == other.what
    }
}

impl<E: Catalogued> DomainEvent for Placed<E> {
    fn event_type(&self) -> String {
        match &self.what {
            What::Own(own) => own.event_type(),
            What::Run(_, run) => run.event_type(),
        }
    }
    fn event_version(&self) -> String {
        match &self.what {
            What::Own(own) => own.event_version(),
            What::Run(_, run) => run.event_version(),
        }
    }
}

/// A decider of which a history can be told.
pub trait Tellable: Hostable {
    /// Its own event, if this is one.
    fn own(event: &Event) -> Option<Self::Event>;
    /// Its state after a run's event.
    fn touch(state: Option<Self::State>, _: &str, _: &run::Event) -> Option<Self::State> {
        state
    }
    /// Whether a fold needs to know where this stands.
    fn placed(_: &Self::Event) -> bool {
        false
    }
}

impl Tellable for Roles {
    fn own(event: &Event) -> Option<Self::Event> {
        if let Event::Role(e) = event { Some(e.clone()) } else { None }
    }
}

impl Tellable for Tickets {
    fn own(event: &Event) -> Option<Self::Event> {
        if let Event::Ticket(e) = event { Some(e.clone()) } else { None }
    }
    fn touch(state: Option<Self::State>, id: &str, event: &run::Event) -> Option<Self::State> {
        state.map(|ticket| ticket.evolve_run(id, event))
    }
    fn placed(event: &Self::Event) -> bool {
        matches!(event, ticket::Event::ApprovalRequested(_))
    }
}

impl Tellable for Runs {
    fn own(event: &Event) -> Option<Self::Event> {
        if let Event::Run(e) = event { Some(e.clone()) } else { None }
    }
    fn placed(event: &Self::Event) -> bool {
        matches!(event, run::Event::Started(_))
    }
}

impl Tellable for Leases {
    fn own(event: &Event) -> Option<Self::Event> {
        if let Event::Lease(e) = event { Some(e.clone()) } else { None }
    }
}

impl Tellable for Exts {
    fn own(event: &Event) -> Option<Self::Event> {
        if let Event::Ext(e) = event { Some(e.clone()) } else { None }
    }
}

impl Tellable for Policies {
    fn own(event: &Event) -> Option<Self::Event> {
        if let Event::Policy(e) = event { Some(e.clone()) } else { None }
    }
    fn placed(_: &Self::Event) -> bool {
        true
    }
}

impl Tellable for Actions {
    fn own(event: &Event) -> Option<Self::Event> {
        if let Event::Action(e) = event { Some(e.clone()) } else { None }
    }
    fn placed(_: &Self::Event) -> bool {
        true
    }
}

/// An aggregate of which a history is told.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "D::State: Serialize", deserialize = "D::State: DeserializeOwned"))]
pub struct Told<D: Tellable> {
    state: Option<D::State>,
}

impl<D: Tellable> Default for Told<D> {
    fn default() -> Self {
        Self { state: None }
    }
}

impl<D> Aggregate for Told<D>
where
    D: Tellable,
    D::State: Clone + Serialize + DeserializeOwned + Send + Sync,
    D::Command: Send,
    D::Event: Catalogued,
{
    const TYPE: &'static str = D::NAME;
    type Command = (OwnFacts, D::Command);
    type Event = Placed<D::Event>;
    type Error = Refused;
    type Services = ();

    async fn handle(
        &mut self,
        (facts, command): Self::Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refused> {
        let event = hosted::decide::<D>(self.state.as_ref(), facts, command).map_err(Refused)?;
        sink.write(Placed { at: None, what: What::Own(Carried(event)) }, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        let Some(at) = event.at else { return };
        let old = self.state.take();
        self.state = match &event.what {
            What::Own(Carried(e)) => at.evolve::<D>(old, e),
            What::Run(id, Carried(e)) => D::touch(old, id, e),
        };
    }
}

/// Given these facts of one entity, when this is asked, then that is the answer: in cqrs-es's kit.
/// Where no fact needs to know its place, the same holds of [`Hosted`] alone.
pub fn expect<D>(
    given: &[Fact],
    entity: &str,
    facts: OwnFacts,
    command: D::Command,
    then: Result<D::Event, Refusal>,
) where
    D: Tellable,
    D::State: Clone + Serialize + DeserializeOwned + Send + Sync,
    D::Command: Clone + Send,
    D::Event: Catalogued,
{
    let what = |fact: &Fact| match (&fact.event, D::own(&fact.event)) {
        (_, Some(own)) if fact.id == entity => What::Own(Carried(own)),
        (Event::Run(e), _) => What::Run(fact.id.clone(), Carried(e.clone())),
        (other, _) => panic!("{} is no fact of {entity}", other.name()),
    };
    let told: Vec<_> =
        given.iter().map(|f| Placed { at: Some(f.at.clone()), what: what(f) }).collect();
    let plain = told.iter().all(|f| matches!(&f.what, What::Own(Carried(e)) if !D::placed(e)));
    let kit = TestFramework::<Told<D>>::with(()).given(told);
    let answer = kit.when((facts.clone(), command.clone()));
    match &then {
        Ok(event) => {
            let what = What::Own(Carried(event.clone()));
            answer.then_expect_events(vec![Placed { at: None, what }]);
        }
        Err(refusal) => answer.then_expect_error(Refused(*refusal)),
    }
    if plain {
        let own: Vec<_> = given.iter().filter_map(|f| D::own(&f.event)).map(Carried).collect();
        let answer = TestFramework::<Hosted<D>>::with(()).given(own).when((facts, command));
        match then {
            Ok(event) => answer.then_expect_events(vec![Carried(event)]),
            Err(refusal) => answer.then_expect_error(Refused(refusal)),
        }
    }
}
