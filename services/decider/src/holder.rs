//! The holder of one tenant: decides in arrival order, chains, signs ahead, and keeps one commit
//! in flight. It ends when it is deposed, told to stop, or finds the chain broken.
//!
//! *Invariant:* `world` has folded exactly the records up to `head`; those up to `committed` are
//! in the store, the others in `ready` or in flight, in order.

mod beating;
mod beside;
mod committing;
mod erasing;
mod gathering;
mod signing;
mod storing;
mod ticking;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use canonry_nats::Log;
use canonry_record::{Hash, KeyRing, record};
use canonry_schemas::answer::Answer;
use canonry_schemas::event::Event;
use canonry_schemas::ids::{ActorId, TenantId, generated};
use canonry_schemas::limits::{
    BATCH_RECORDS, COMMANDS_WAITING, COMMIT_CALLERS, RECORDS_AHEAD, REFUSAL_COST, TENANT_BYTES,
    TIMER_EVERY,
};
use canonry_schemas::refusal::unrecorded;
use canonry_schemas::tenant;
use canonry_schemas::tenant::{Reason, TakenOver};
use canonry_schemas::time::Time;
use canonry_schemas::validate::Commands;
use canonry_telemetry::Metrics;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::Span;
use zeroize::Zeroizing;

use crate::commit::Ended;
use crate::content_keys::ContentKeys;
use crate::desk::{Asked, Decided, Desk, Verdict};
use crate::draft::{self, Draft, Head, Signed};
use crate::judge::Judge;
use crate::keeper::Keeper;
use crate::rebuild::{self, Rebuilt, Standing, unstored};
use crate::reply::Reply;
use crate::serve::told;
use crate::signers::{Signers, Timeline};
use crate::snapshot::{self, Change, Snapshot};
use crate::throttle::{self, Throttle};
use crate::traced;
use crate::world::{Folded, Need, World};

/// What callers are told while the outcome of a commit is unknown.
const NOT_YET: &str = "the store has not answered yet";

/// What callers are told whose actor sends too much.
const TOO_MANY: &str = "too many commands: slow down";
/// What a caller is told whose command became no record.
const UNRECORDABLE: &str = "this command cannot be recorded; report it";
/// What a caller is told whose command needs what could not be read.
const MISSING: &str = "what the command needs could not be read";

/// One message for a holder.
pub type Message = (Arc<Asked>, Reply);

/// What others may see of a holder.
#[derive(Debug, Default)]
pub struct Status {
    /// The store has not answered for a long time.
    pub unavailable: Arc<AtomicBool>,
    /// Position of the last committed record.
    pub committed: AtomicU64,
    /// Position of the last decided record.
    pub decided: AtomicU64,
    /// Whether it answers commands.
    pub serving: AtomicBool,
    /// A commit has waited so long that nothing is decided until it ends.
    pub stalled: AtomicBool,
}

/// Why a holder ended.
#[derive(Debug)]
pub enum Over {
    /// Told to, or somebody else took over.
    Stopped,
    /// The chain or the configuration is not as it must be; the tenant is frozen.
    Frozen {
        /// Where.
        position: u64,
        /// What is wrong.
        why: String,
    },
    /// The assignment's epoch was used before; the ledger's own epoch.
    Behind(u64),
    /// The store or a key could not be reached: try again later.
    Failed(String),
    /// A record of a type or version that this program does not know: a newer one must serve.
    TooNew {
        /// Where it stands.
        position: u64,
    },
}

/// What a holder is made of.
pub struct Setup {
    /// Which tenant.
    pub tenant: TenantId,
    /// This decider.
    pub me: ActorId,
    /// The tenant's stream.
    pub log: Log,
    /// The keys that sign.
    pub signers: Signers,
    /// Content keys, heads, freezing.
    pub keeper: Keeper,
    /// The tenant's snapshot store.
    pub store: Arc<Snapshot>,
    /// Compiled schemas.
    pub commands: Arc<Commands>,
    /// What policies say.
    pub judge: Arc<Judge>,
    /// The epoch that the assignment gave.
    pub epoch: u64,
    /// Why it was taken over.
    pub reason: Reason,
    /// Shared with readiness and tests.
    pub status: Arc<Status>,
    /// What is counted.
    pub metrics: Metrics,
    /// How much one actor may send.
    pub throttle: throttle::Settings,
}

/// The holder.
pub struct Holder {
    s: Setup,
    world: World,
    ring: KeyRing,
    /// Who signs records, and who heads, at which position.
    records: Timeline,
    heads: Timeline,
    erasing: erasing::Erasing,
    head: Head,
    committed: Head,
    bytes: u64,
    keys: ContentKeys,
    throttle: Throttle,
    ready: VecDeque<Draft>,
    in_flight: Option<JoinHandle<Ended>>,
    launched: Instant,
    gathering: gathering::Gathering,
    /// The last record in flight.
    flying: Option<Head>,
    late: HashMap<u64, Vec<Reply>>,
    signed_head: u64,
    summed: Instant,
    headed: Instant,
    founder: Hash,
    /// What is to be written into the snapshot store once its last record is committed.
    captured: Option<Change>,
    storing: Option<JoinHandle<Result<(u64, u64), snapshot::Error>>>,
    captured_at: (u64, Instant),
    captured_keys: Option<Hash>,
    dice: Dice,
    /// Signatures of drafts that wait, made while a commit is in flight.
    signing: Option<JoinHandle<Vec<Signed>>>,
    beside: beside::Beside,
    beating: beating::Beating,
}

/// The clock, in the ledger's form.
#[must_use]
pub fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time(since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
}

/// Random bits from the operating system, fetched for many draws at once.
struct Dice {
    drawn: Zeroizing<[u8; 1_024]>,
    used: usize,
}

impl Dice {
    fn new() -> Self {
        Self { drawn: Zeroizing::new([0; 1_024]), used: 1_024 }
    }

    fn draw(&mut self) -> u128 {
        if self.used == self.drawn.len() {
            let drawn = self.drawn.as_mut_slice();
            getrandom::fill(drawn).expect("the operating system yields random bytes");
            self.used = 0;
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.drawn[self.used..self.used + 16]);
        // Nothing is drawn twice, and a nonce is not kept for longer than it is needed.
        self.drawn[self.used..self.used + 16].fill(0);
        self.used += 16;
        u128::from_le_bytes(bytes)
    }
}

impl Holder {
    /// Brings a standing to the head and writes `tenant.taken-over`.
    ///
    /// # Errors
    /// As [`Over`] says.
    pub async fn take_over(mut s: Setup, mut standing: Standing) -> Result<Self, Over> {
        standing.catch_up(&s.log).await?;
        let rebuilt = standing.into_rebuilt()?;
        s.keeper.check_head(&s.log, rebuilt.head.position).await?;
        let (records, heads) = signing::begin(&mut s.signers, &rebuilt.ring)?;
        if rebuilt.head.epoch >= s.epoch {
            return Err(Over::Behind(rebuilt.head.epoch));
        }
        let Rebuilt { world, ring, head, founder, bytes } = rebuilt;
        let keys = s.keeper.load_ahead(world.last_content_key).await?;
        let settings = s.throttle;
        let mut holder = Self {
            s,
            world,
            ring,
            records,
            heads,
            erasing: erasing::Erasing::default(),
            head,
            committed: head,
            bytes,
            keys,
            throttle: Throttle::new(settings),
            ready: VecDeque::new(),
            in_flight: None,
            launched: Instant::now(),
            gathering: gathering::Gathering::default(),
            flying: None,
            late: HashMap::new(),
            signed_head: 0,
            summed: Instant::now(),
            headed: Instant::now(),
            founder,
            captured: None,
            storing: None,
            captured_at: (head.position, Instant::now()),
            captured_keys: None,
            dice: Dice::new(),
            signing: None,
            beside: beside::Beside::default(),
            beating: beating::Beating::at(head.position),
        };
        let event = Event::Tenant(tenant::Event::TakenOver(TakenOver {
            decider: holder.s.me.clone(),
            reason: holder.s.reason,
        }));
        holder.own_record(event, format!("tenant/{}", holder.s.tenant)).await?;
        holder.launch();
        match holder.landed().await {
            Ended::Committed(_) => Ok(holder),
            // The one before committed meanwhile: fold it and come again.
            Ended::Moved(_) => Err(Over::Failed("the chain moved during the take-over".into())),
        }
    }

    /// Serves until it is over.
    pub async fn serve(
        mut self,
        mut inbox: mpsc::Receiver<Message>,
        mut stop: watch::Receiver<bool>,
    ) -> Over {
        self.s.status.serving.store(true, Ordering::Relaxed);
        let mut tick = tokio::time::interval(TIMER_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut buffer = Vec::with_capacity(BATCH_RECORDS);
        let over = loop {
            let open = self.ready.len() < RECORDS_AHEAD || self.stalled();
            tokio::select! {
                biased;
                () = told(&mut stop) => break Over::Stopped,
                ended = landing(&mut self.in_flight), if self.in_flight.is_some() => {
                    match self.land(ended).await {
                        Ok(()) => {}
                        Err(over) => break over,
                    }
                }
                signed = committing::signed(&mut self.signing), if self.signing.is_some() => {
                    self.take_signatures(signed);
                }
                stored = storing::landing(&mut self.storing), if self.storing.is_some() => {
                    if let Err(over) = self.stored(stored) { break over; }
                }
                done = self.beside.done(), if self.beside.is_busy() => {
                    if let Err(over) = self.take_done(done) { break over; }
                }
                () = self.gathering.over() => {}
                _ = tick.tick() => if let Err(over) = self.tick().await { break over },
                count = inbox.recv_many(&mut buffer, BATCH_RECORDS), if open => {
                    if count == 0 { break Over::Stopped; }
                    let mut taken = buffer.drain(..);
                    while let Some((asked, reply)) = taken.next() {
                        if let Err(over) = self.take(asked, reply).await {
                            tracing::error!(?over, "holder cannot go on");
                            for (_, reply) in taken {
                                reply.retry("the tenant is changing hands").await;
                            }
                            return self.leave(inbox, over).await;
                        }
                    }
                }
            }
            self.launch();
            self.make_keys();
            self.s.status.decided.store(self.head.position, Ordering::Relaxed);
            self.store();
        };
        self.leave(inbox, over).await
    }

    /// Lets a commit in flight end, then answers everybody else `retry`.
    async fn leave(mut self, mut inbox: mpsc::Receiver<Message>, over: Over) -> Over {
        self.s.status.serving.store(false, Ordering::Relaxed);
        if self.in_flight.is_some() && !matches!(over, Over::Frozen { .. }) {
            let wait = tokio::time::timeout(Duration::from_secs(5), self.landed());
            if let Ok(Ended::Committed(done)) = wait.await {
                self.answer_late(&done.answers).await;
            }
        }
        self.end_beside().await;
        if matches!(over, Over::Stopped) {
            self.store_last().await;
        } else if let Some(storing) = self.storing.take() {
            // The next holder opens the same file: nobody may write it any more.
            drop(storing.await);
        }
        let why = "the tenant is changing hands";
        for draft in self.ready.drain(..) {
            draft.reply.retry(why).await;
        }
        for reply in self.late.drain().flat_map(|(_, r)| r) {
            reply.retry(why).await;
        }
        inbox.close();
        while let Some((_, reply)) = inbox.recv().await {
            reply.retry(why).await;
        }
        over
    }

    /// Whether the commit in flight has waited longer than callers are to wait.
    fn stalled(&self) -> bool {
        self.in_flight.is_some() && self.launched.elapsed() >= COMMIT_CALLERS
    }

    /// Answers everybody who waits behind a commit of unknown outcome; what was decided stays.
    async fn answer_waiting(&mut self) {
        self.s.status.stalled.store(true, Ordering::Relaxed);
        let late = std::mem::take(&mut self.late).into_values().flatten();
        let ready = self.ready.iter_mut().filter(|d| !matches!(d.reply, Reply::Intent { .. }));
        let waiting = ready.map(|d| std::mem::replace(&mut d.reply, Reply::Nobody));
        for reply in waiting.chain(late) {
            reply.retry(NOT_YET).await;
        }
    }

    async fn take(&mut self, asked: Arc<Asked>, reply: Reply) -> Result<(), Over> {
        if self.stalled() {
            reply.retry(NOT_YET).await;
            return Ok(());
        }
        let known = self.world.directory.member(&asked.actor).is_some();
        if known || asked.actor.is_service() {
            // Whom a service acts for is known only after the decision.
            if known && !self.throttle.pass(&asked.actor, Instant::now()) {
                return self.turn_away(unrecorded::THROTTLED, TOO_MANY, reply).await;
            }
            if self.bytes >= TENANT_BYTES && !asked.timer {
                let text = "the tenant's ledger has reached its quota";
                return self.turn_away(unrecorded::QUOTA, text, reply).await;
            }
        }
        self.decide(asked, reply, true).await
    }

    async fn turn_away(&self, code: &'static str, text: &str, reply: Reply) -> Result<(), Over> {
        self.s.metrics.unrecorded(code);
        let again = self.s.throttle.intent_again;
        reply.turn_away(&Answer::unrecorded(code, text), again).await;
        Ok(())
    }

    /// Decides a command that was let in; `fresh` unless it was decided before the chain moved.
    async fn decide(&mut self, asked: Arc<Asked>, reply: Reply, fresh: bool) -> Result<(), Over> {
        let mut loaded = None;
        let span = traced::decide(&self.s.tenant, &asked);
        loop {
            let now = now().max(self.head.time);
            let desk = Desk {
                commands: &self.s.commands,
                tenant: &self.s.tenant,
                world: &self.world,
                ring: &self.ring,
                keys: &self.keys,
                signers: &self.s.signers,
                digest_key: self.s.keeper.digest_key(),
                action_keys: self.s.keeper.action_keys(),
                judge: &self.s.judge,
                now,
            };
            let dice = &mut self.dice;
            let verdict = desk.decide(&asked, &mut || dice.draw());
            match verdict {
                Verdict::Unattributed(refusal) => {
                    self.s.metrics.unrecorded(refusal.code());
                    traced::ended(&span, Some(refusal.code()));
                    reply.answer(&Answer::unrecorded(refusal.code(), refusal.message())).await;
                    return Ok(());
                }
                Verdict::Repeat(position) => {
                    span.record("position", position);
                    self.repeat(position, reply);
                    return Ok(());
                }
                Verdict::Need(need) => {
                    if loaded.as_ref() == Some(&need) {
                        reply.retry(MISSING).await;
                        return Err(Over::Failed(format!("{need:?} is not where it must be")));
                    }
                    if let Err(over) = self.bring(&need).await {
                        reply.retry(MISSING).await;
                        return Err(over);
                    }
                    loaded = Some(need);
                }
                Verdict::Decided(decided) => {
                    let person = &decided.actor;
                    let served = fresh && asked.actor.is_service() && !asked.timer;
                    if served && !self.throttle.pass(person, Instant::now()) {
                        traced::ended(&span, Some(unrecorded::THROTTLED));
                        return self.turn_away(unrecorded::THROTTLED, TOO_MANY, reply).await;
                    }
                    if decided.event.no().is_some() && fresh {
                        self.throttle.charge(person, REFUSAL_COST);
                    }
                    return self.draft(&decided, now, Some(asked), reply, &span).await;
                }
            }
        }
    }

    /// Brings into memory what a decision needs.
    async fn bring(&mut self, need: &Need) -> Result<(), Over> {
        match need {
            Need::Group(group) => self.bring_group(*group).await,
            Need::Key(id) => self.s.signers.look(id).map(drop).map_err(Over::Failed),
            Need::Entity(entity) => self.world.warm(entity).map_err(|e| unstored(&e)),
            Need::Intent(key) => self.world.recall(*key).map_err(|e| unstored(&e)),
        }
    }

    fn repeat(&mut self, position: u64, reply: Reply) {
        if position > self.committed.position {
            self.late.entry(position).or_default().push(reply);
            return;
        }
        let (log, tenant) = (self.s.log.clone(), self.s.tenant.clone());
        tokio::spawn(async move {
            match rebuild::answer_at(&log, &tenant, position).await {
                Some(answer) => reply.answer(&answer).await,
                None => reply.retry("the first answer could not be read").await,
            }
        });
    }

    async fn draft(
        &mut self,
        decided: &Decided,
        now: Time,
        asked: Option<Arc<Asked>>,
        reply: Reply,
        span: &Span,
    ) -> Result<(), Over> {
        let id = generated("", now.millis(), self.dice.draw());
        let chained =
            draft::chain(&self.s.tenant, &self.head, self.s.epoch, now, id.clone(), decided);
        let Some((head, subject, body)) = chained else {
            reply.answer(&Answer::unrecorded(unrecorded::UNRECORDABLE, UNRECORDABLE)).await;
            return Ok(());
        };
        // What verifiers would refuse must never be signed: the ledger could not be mended.
        if let Err(error) = record::parse(&body) {
            tracing::error!(%error, tenant = %self.s.tenant, "a record that does not read: not signed");
            self.s.metrics.unrecorded(unrecorded::UNRECORDABLE);
            reply.answer(&Answer::unrecorded(unrecorded::UNRECORDABLE, UNRECORDABLE)).await;
            return Ok(());
        }
        if let Err(over) = self.fold(&head, decided) {
            reply.retry(MISSING).await;
            return Err(over);
        }
        if let Err(over) = self.take_up_keys(&decided.event, &head) {
            reply.retry(MISSING).await;
            return Err(over);
        }
        self.note_erasure(&decided.event, head.position);
        self.note_beat(&decided.event, head.position);
        self.head = head;
        self.bytes += body.len() as u64;
        let answer = draft::answer(
            &self.s.tenant,
            head.position,
            &head.hash,
            &decided.entity,
            &decided.event,
        );
        self.ready.push_back(Draft {
            head,
            id,
            subject,
            body: body.into(),
            traceparent: decided.traceparent.clone(),
            trace: traced::drafted(span, answer.code.as_deref(), head.position),
            answer,
            asked,
            reply,
            signature: None,
        });
        Ok(())
    }

    fn fold(&mut self, head: &Head, decided: &Decided) -> Result<(), Over> {
        let hash = head.hash.to_string();
        rebuild::fold_keys(&mut self.ring, &decided.event, head.hash, head.position);
        let folded = Folded {
            position: head.position,
            hash: &hash,
            time: head.time,
            actor: &decided.actor,
            intent: decided.intent.as_ref().map(|(id, digest)| (id, digest)),
            entity: &decided.entity,
            event: &decided.event,
            content_key: decided.content_key,
        };
        self.world.fold(&folded).map_err(|e| unstored(&e))
    }

    async fn own_record(&mut self, event: Event, entity: String) -> Result<(), Over> {
        let decided = Decided {
            actor: self.actor(),
            via: None,
            authdigest: None,
            intent: None,
            entity,
            touches: Vec::new(),
            event,
            content_key: None,
            traceparent: None,
        };
        let now = now().max(self.head.time);
        self.draft(&decided, now, None, Reply::Nobody, &Span::none()).await
    }

    fn actor(&self) -> ActorId {
        crate::ACTOR.parse().expect("the decider's token is a token")
    }
}

async fn landing(in_flight: &mut Option<JoinHandle<Ended>>) -> Ended {
    let Some(handle) = in_flight.as_mut() else { return std::future::pending().await };
    let ended = handle.await;
    *in_flight = None;
    ended.unwrap_or_else(|_| Ended::Moved(Vec::new()))
}

/// The channel into a holder.
#[must_use]
pub fn inbox() -> (mpsc::Sender<Message>, mpsc::Receiver<Message>) {
    mpsc::channel(COMMANDS_WAITING)
}
