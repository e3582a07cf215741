//! What one decision and one fold cost: `cargo bench -p canonry-domain`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use canonry_domain::directory::Directory;
use canonry_domain::ticket::{Ticket, Tickets};
use canonry_domain::tier::Tiers;
use canonry_domain::{Applied, Decider as _, Facts};
use canonry_schemas::ids::ActorId;
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::text::Content;
use canonry_schemas::ticket::{Command, Event, Open, Start};
use canonry_schemas::time::Time;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

static NO_TIERS: Tiers = Tiers { position: 0, set: None };

fn open() -> Open {
    Open {
        title: Content("Printer on fire".to_owned()),
        note: None,
        priority: None,
        due: None,
        role: None,
        approval_required: true,
        external: None,
    }
}

fn facts<'a>(actor: &'a ActorId, directory: &'a Directory) -> Facts<'a> {
    Facts {
        now: Time(1_000_000),
        actor,
        intent: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        parts: &[Part::Operator],
        works_for: None,
        timer: false,
        directory,
        keys: Ok(()),
        approval: None,
        assertion: None,
        reaches: &[],
        role: None,
        ticket: None,
        lease_key: Err(Refusal::KeysInvalid),
        tiers: &NO_TIERS,
        appended: Ok(()),
        run: None,
        books: None,
        judged: Err(Refusal::ArgumentsTooLarge),
        bundle: Err(Refusal::BundleInvalid),
    }
}

fn opened(actor: &ActorId) -> Option<Ticket> {
    let applied = Applied { position: 7, hash: "00", time: Time(1), actor };
    Tickets::evolve(None, &applied, &Event::Opened(open()))
}

#[divan::bench]
fn open_a_ticket(bencher: Bencher<'_, '_>) {
    let (actor, directory): (ActorId, _) = ("olga".parse().unwrap(), Directory::default());
    bencher.with_inputs(|| Command::Open(open())).bench_values(|command| {
        Tickets::decide(None, &facts(&actor, &directory), command).unwrap()
    });
}

#[divan::bench]
fn refuse_a_second_start(bencher: Bencher<'_, '_>) {
    let (actor, directory): (ActorId, _) = ("olga".parse().unwrap(), Directory::default());
    let start = Start { id: "tkt_00000000000000000000000000".parse().unwrap() };
    let applied = Applied { position: 8, hash: "00", time: Time(2), actor: &actor };
    let started = Tickets::evolve(opened(&actor), &applied, &Event::Started(start.clone()));
    bencher.with_inputs(|| Command::Start(start.clone())).bench_values(|command| {
        Tickets::decide(started.as_ref(), &facts(&actor, &directory), command).unwrap_err()
    });
}

#[divan::bench]
fn fold_a_ticket(bencher: Bencher<'_, '_>) {
    let actor: ActorId = "olga".parse().unwrap();
    bencher.bench(|| opened(black_box(&actor)));
}
