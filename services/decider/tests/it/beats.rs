//! Copies of a policy away from the decider: fresh while its holder says so, worth nothing without;
//! and every beat that is not what it must be counts for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use canonry_decider::keeper::Keeper;
use canonry_nats::{Append, Kv};
use canonry_policy::Input;
use canonry_policy::distributed::{Advice, Moment, Standing};
use canonry_policy_feed::{Clock, Deaf, Feed};
use canonry_provision::CellUser;
use canonry_record::Hash;
use canonry_record::beat::{Beat, BeatLine, sign};
use canonry_record::seal::Signer;
use canonry_schemas::decision::Verdict;
use canonry_schemas::event::Event;
use canonry_schemas::policy;
use canonry_schemas::subject::BUCKET_POLICIES;
use canonry_schemas::time::Time;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::acting::{REGO, Work, archive, plan, publish, said};
use crate::faults::{answered_with, ledger_block, load, truncate};
use crate::harness::{Spine, until};
use crate::race::{head, next, signed};
use crate::volumes::{close, mend};

/// What the policy of the other tests allows, this one does not.
const STRICT: &str = "package canonry.acts\n\ndecisions contains {\"rule\": \"none\", \
    \"verdict\": \"DENY\"} if {\n    input.action.tool == \"read\"\n}\n";

/// A feed whose monotonic clock a test sets forward.
struct Ear {
    feed: Arc<Feed>,
    later: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Ear {
    async fn open(spine: &Spine) -> Self {
        let reader = spine.cell_user(&CellUser::Reader).await;
        let later = Arc::new(AtomicU64::new(0));
        let (real, added) = (Clock::system(), Arc::clone(&later));
        let clock = Clock::new(move || {
            let Moment { since, wall } = real.now();
            Moment { since: since + Duration::from_secs(added.load(Ordering::Relaxed)), wall }
        });
        let feed = Arc::new(Feed::new(reader, clock));
        let (stop, stopped) = watch::channel(false);
        let running = Arc::clone(&feed);
        let task = tokio::spawn(async move { Box::pin(running.run(stopped)).await });
        Self { feed, later, stop, task }
    }

    fn pass(&self, seconds: u64) {
        self.later.fetch_add(seconds, Ordering::Relaxed);
    }

    fn advice(&self, spine: &Spine, tool: &str) -> Advice {
        let mut input = Input { tenant: spine.tenant.to_string(), ..Input::default() };
        tool.clone_into(&mut input.action.tool);
        self.feed.advise(&spine.tenant, &input)
    }

    /// The verdict on a tool, or the code with which it is denied.
    fn says(&self, spine: &Spine, tool: &str) -> String {
        let advice = self.advice(spine, tool);
        match (advice.code, advice.decision) {
            (Some(code), _) => code.to_owned(),
            (None, Some(decision)) => decision.rules.join(" "),
            (None, None) => "nothing".to_owned(),
        }
    }

    async fn says_at_last(&self, spine: &Spine, tool: &str, wanted: &str) {
        until(wanted, || async { self.says(spine, tool) == wanted }).await;
    }

    async fn close(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

/// What lies in the bucket.
async fn stored(spine: &Spine) -> BeatLine {
    let bucket = bucket(spine).await;
    let entry = bucket.get(spine.tenant.as_str()).await.unwrap().unwrap();
    BeatLine::parse(&entry.value).unwrap()
}

async fn bucket(spine: &Spine) -> Kv {
    Kv::open(spine.cell_user(&CellUser::Committer).await, BUCKET_POLICIES).unwrap()
}

fn record_key(spine: &Spine) -> Signer {
    let keys = spine.test.cell.key_store();
    Signer::new(keys.signing_key(&spine.tenant, canonry_keystore::KeyUse::Record).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_decides_while_the_holder_speaks_and_denies_when_it_is_silent() {
    let mut work = Work::begin().await;
    let ear = Ear::open(&work.spine).await;
    assert_eq!(ear.says(&work.spine, "read"), "policy-stale", "nothing was heard yet");
    ear.says_at_last(&work.spine, "read", "policy-missing").await;
    assert_eq!(said(&work.publish().await), "ok");
    // The holder says so at once, not at its next beat a minute later.
    ear.says_at_last(&work.spine, "read", "read").await;
    assert_eq!(ear.says(&work.spine, "write"), "write-ask");
    assert_eq!(ear.says(&work.spine, "other"), "policy-undefined");
    let advice = ear.advice(&work.spine, "read");
    let held = advice.view.held.unwrap();
    let decision = advice.decision.unwrap();
    assert_eq!(decision.bundle, held.published.digest.as_str());
    let recorded = canonry_policy::recorded::recorded(&decision, None, None);
    assert_eq!(recorded.verdict, Verdict::Allow);
    // The decider decides the same of the same tool, by the policy at the same position.
    let allowed = work.propose("read", json!({})).await;
    let action = crate::harness::id(&allowed);
    let record = work.record(&action).await;
    assert_eq!(record["data"]["decision"]["bundle"], held.published.digest.as_str());
    let position = held.published.position.to_string();
    assert_eq!(record["data"]["decision"]["policy"], position.as_str());

    // Nobody speaks any more: the copy lives for the bundle's 900 seconds, and not for 901.
    work.spine.stop().await;
    let age = ear.feed.view(&work.spine.tenant).age.unwrap().as_secs();
    ear.pass(895 - age);
    assert_eq!(ear.says(&work.spine, "read"), "read");
    ear.pass(6);
    assert_eq!(ear.says(&work.spine, "read"), "policy-stale");
    // A new holder takes over, and says what is in force: from then on the copy decides again.
    let before = stored(&work.spine).await.beat;
    // What the copy rests on lies in a closed volume from here on.
    close(&work.spine).await.unwrap();
    work.spine.decider = Some(work.spine.decider("decider-b").await);
    ear.says_at_last(&work.spine, "read", "read").await;
    let after = stored(&work.spine).await.beat;
    assert!(after.epoch > before.epoch && after.position > before.position, "{after:?}");
    assert_eq!(after.policy, before.policy);

    // A stricter policy is published: the old one decides nothing from its beat on.
    let bytes = archive(&plan(2, STRICT, 3_600), &work.founder.signer);
    let answer = work.founder.send("policy", "publish", publish(2, &bytes)).await;
    assert_eq!(said(&answer), "ok");
    ear.says_at_last(&work.spine, "read", "none").await;
    ear.close().await;
    // Who begins only now finds the keys in the first volume and the policy in the second.
    let late = Ear::open(&work.spine).await;
    late.says_at_last(&work.spine, "read", "none").await;
    late.close().await;
    work.stop().await;
}

/// A change to a beat, whether it is then signed by the record key, and why it counts for nothing.
type Forgery = (&'static str, fn(&mut Beat), bool, &'static str);

const FORGED: [Forgery; 13] = [
    ("its time moved on", |b| b.time = Time(b.time.0 + 1), false, "record key"),
    ("another digest, unsigned", |b| digest(b, "0"), false, "record key"),
    ("heard before", |_| {}, true, "not newer"),
    ("older than one heard", |b| b.time = Time(b.time.0 - 1), true, "not newer"),
    ("far ahead of the clock", |b| b.time = Time(b.time.0 + 3_600_000_000), true, "ahead"),
    ("of an earlier holder", |b| (b.epoch, b.time) = (b.epoch - 1, later(b)), true, "earlier"),
    ("of a head that is not there", |b| (b.position, b.time) = (999, later(b)), true, "ends"),
    ("of another ledger", |b| (b.hash, b.time) = (Hash([7; 32]), later(b)), true, "another record"),
    ("on other keys", |b| (b.keyhead, b.time) = (Hash([7; 32]), later(b)), true, "other keys"),
    ("without the policy", |b| (b.policy, b.time) = (None, later(b)), true, "knows less"),
    (
        "with the policy before",
        |b| {
            b.time = later(b);
            let policy = b.policy.as_mut().unwrap();
            (policy.position, policy.revision) = (policy.position - 1, policy.revision - 1);
        },
        true,
        "knows less",
    ),
    (
        "with a longer life",
        |b| {
            b.time = later(b);
            b.policy.as_mut().unwrap().ttl_seconds = 86_400;
        },
        true,
        "says otherwise",
    ),
    (
        "with a digest that the ledger has not",
        |b| {
            b.time = later(b);
            digest(b, "0");
        },
        true,
        "says otherwise",
    ),
];

fn later(beat: &Beat) -> Time {
    Time(beat.time.0 + 1_000)
}

fn digest(beat: &mut Beat, digit: &str) {
    beat.policy.as_mut().unwrap().digest = digit.repeat(64).parse().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beats_that_are_not_what_they_must_be_count_for_nothing() {
    let mut work = Work::begin().await;
    for revision in 1..=2 {
        let bytes = archive(&plan(revision, REGO, 3_600), &work.founder.signer);
        let answer = work.founder.send("policy", "publish", publish(revision, &bytes)).await;
        assert_eq!(said(&answer), "ok");
    }
    let ear = Ear::open(&work.spine).await;
    ear.says_at_last(&work.spine, "read", "read").await;
    let revision = || stored(&work.spine);
    until("it names the second", || async {
        revision().await.beat.policy.is_some_and(|p| p.revision == 2)
            && ear.feed.view(&work.spine.tenant).held.unwrap().published.revision == 2
    })
    .await;
    work.spine.stop().await;
    let true_one = stored(&work.spine).await;
    until("it was heard", || async {
        ear.feed.view(&work.spine.tenant).heard.unwrap().1 == true_one.beat.time
    })
    .await;
    let before = ear.feed.view(&work.spine.tenant);
    let key = record_key(&work.spine);
    let hear = async |text: String| ear.feed.hear(&work.spine.tenant, text.as_bytes()).await;
    for (what, change, signed, why) in FORGED {
        let mut beat = true_one.beat.clone();
        change(&mut beat);
        let line = if signed {
            sign(beat, &key)
        } else {
            BeatLine { beat, signature: true_one.signature.clone() }
        };
        let error = hear(line.to_text()).await.expect_err(what);
        assert!(error.to_string().contains(why), "{what}: {error}");
    }
    // Signed by others than the record key.
    let checkpoint = work.spine.test.cell.key_store();
    let checkpoint =
        checkpoint.signing_key(&work.spine.tenant, canonry_keystore::KeyUse::Checkpoint).unwrap();
    for foreign in [Signer::new(checkpoint), Signer::from_seed(&[9; 32])] {
        let mut beat = true_one.beat.clone();
        beat.time = later(&beat);
        let error = hear(sign(beat, &foreign).to_text()).await.unwrap_err();
        assert!(error.to_string().contains("record key"), "{error}");
    }
    // Not a beat, and not of this tenant.
    let text = true_one.to_text();
    for odd in [
        text.replacen("{\"beat\":{", "{\"beat\":{\"extra\":\"1\",", 1),
        text.replacen("\"epoch\":\"", "\"epoch\":\"0", 1),
        text.replacen("{\"beat\":{", "{\"beat\":{\"epoch\":\"1\",", 1),
        "{}".to_owned(),
        format!("{text}{}", " ".repeat(5_000)),
    ] {
        let error = hear(odd).await.unwrap_err();
        assert!(matches!(error, Deaf::Unsound(_) | Deaf::TooLarge), "{error}");
    }
    let globex = "globex".parse().unwrap();
    let foreign = ear.feed.hear(&globex, text.as_bytes()).await;
    assert!(matches!(foreign, Err(Deaf::Foreign)));
    // None of it moved what is known; the same said anew by the holder's key counts.
    let after = ear.feed.view(&work.spine.tenant);
    assert_eq!((after.heard, &after.held), (before.heard, &before.held));
    assert!(matches!(after.standing, Standing::Fresh(_)), "{:?}", after.standing);
    let mut beat = true_one.beat.clone();
    beat.time = later(&beat);
    hear(sign(beat, &key).to_text()).await.unwrap();
    ear.close().await;
    work.stop().await;
}

/// A record that another holder of the record key wrote behind the decider's back.
async fn written(work: &Work, epoch: u64, published: policy::Published) -> u64 {
    let log = work.spine.committer_log().await;
    loop {
        let head = head(&log).await;
        let draft = next(&work.spine, &head, head.epoch + epoch);
        let decided = canonry_decider::desk::Decided {
            actor: work.founder.actor.clone(),
            via: None,
            authdigest: None,
            intent: None,
            entity: format!("policy/{}", work.spine.tenant),
            touches: Vec::new(),
            event: Event::Policy(policy::Event::Published(published.clone())),
            content_key: None,
            traceparent: None,
        };
        let (tenant, now) = (&work.spine.tenant, canonry_decider::holder::now());
        let chained = canonry_decider::draft::chain(
            tenant,
            &head,
            head.epoch + epoch,
            now.max(head.time),
            draft.id.clone(),
            &decided,
        );
        let (head_after, subject, body) = chained.unwrap();
        let draft =
            canonry_decider::draft::Draft { head: head_after, subject, body: body.into(), ..draft };
        let message = signed(&work.spine, &draft);
        let done = log.append(&[message], head.position, Duration::from_secs(5)).await;
        if matches!(done, Append::Committed { .. }) {
            return head.position + 1;
        }
    }
}

fn published(revision: u64, bytes: &[u8], seconds: i64) -> policy::Published {
    use base64::Engine as _;
    let all = plan(revision, REGO, seconds);
    policy::Published {
        bundle: base64::engine::general_purpose::STANDARD.encode(bytes),
        revision,
        digest: canonry_policy::digest(bytes).parse().unwrap(),
        version: canonry_schemas::text::Label(revision.to_string()),
        expires: all.expires,
        ttl_seconds: 900,
    }
}

/// Who has the record key can write a policy past the decider, and say that it is in force. A copy
/// verifies the bundle itself: it is never used, and the one before is not in force any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_that_no_founder_signed_is_not_taken_from_the_ledger_either() {
    let mut work = Work::begin().await;
    assert_eq!(said(&work.publish().await), "ok");
    let ear = Ear::open(&work.spine).await;
    ear.says_at_last(&work.spine, "read", "read").await;
    work.spine.stop().await;
    let mut plan = plan(2, REGO, 3_600);
    // As it stands in the record, to the microsecond.
    let record = published(2, &[], 3_600);
    plan.expires = record.expires;
    let bytes = archive(&plan, &work.operator.signer);
    let mut tampered = published(2, &bytes, 3_600);
    tampered.expires = plan.expires;
    let position = written(&work, 0, tampered.clone()).await;
    let log = work.spine.log().await;
    let stands = head(&log).await;
    let mut beat = stored(&work.spine).await.beat;
    (beat.position, beat.hash) = (stands.position, stands.hash);
    beat.time = canonry_decider::holder::now();
    beat.policy = Some(canonry_record::beat::Published {
        position,
        hash: stands.hash,
        digest: tampered.digest,
        revision: 2,
        version: tampered.version,
        expires: tampered.expires,
        ttl_seconds: 900,
    });
    let line = sign(beat, &record_key(&work.spine)).to_text();
    let error = ear.feed.hear(&work.spine.tenant, line.as_bytes()).await.unwrap_err();
    assert!(error.to_string().contains("was not read from the ledger"), "{error}");
    assert_eq!(ear.says(&work.spine, "read"), "policy-stale");
    ear.close().await;
    work.stop().await;
}

/// A holder that does not know of a newer policy decides by the older one, and commits nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposed_holder_commits_no_decision_of_an_older_policy() {
    let work = Work::begin().await;
    assert_eq!(said(&work.publish().await), "ok");
    let plan = plan(2, STRICT, 3_600);
    let bytes = archive(&plan, &work.founder.signer);
    let mut newer = published(2, &bytes, 3_600);
    newer.expires = plan.expires;
    let position = written(&work, 1, newer).await;
    // Its own world still allows this; whatever it decides cannot stand behind that record.
    let answer = work.propose("read", json!({})).await;
    assert_eq!(said(&answer), "policy-denied", "{answer:?}");
    let ledger = work.spine.ledger().await;
    let decided = ledger.iter().filter(|body| body["data"]["decision"].is_object());
    let behind: Vec<_> = decided
        .filter(|body| body["position"].as_str().unwrap().parse::<u64>().unwrap() > position)
        .map(|body| body["data"]["decision"]["policy"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(behind, [position.to_string()], "every decision behind it is by it");
    work.stop().await;
}

/// A deposed holder that wakes up takes nothing back of what its successor said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_beat_gives_way_only_to_a_newer_one() {
    let mut spine = Spine::start().await;
    spine.served().await;
    until("there is a beat", || async {
        bucket(&spine).await.get(spine.tenant.as_str()).await.unwrap().is_some()
    })
    .await;
    spine.stop().await;
    let there = stored(&spine).await.beat;
    let committer = spine.cell_user(&CellUser::Committer).await;
    let kek = spine.test.cell.key_store().kek(&spine.tenant).unwrap();
    let keeper = Keeper::open(&committer, &spine.tenant, kek.as_bytes()).await;
    let keeper = keeper.unwrap_or_else(|over| panic!("{over:?}"));
    let key = record_key(&spine);
    let older: [fn(&mut Beat); 3] =
        [|b| b.epoch -= 1, |b| b.position -= 1, |b| b.time = Time(b.time.0 - 1_000)];
    for change in older {
        let mut beat = Beat { time: later(&there), ..there.clone() };
        change(&mut beat);
        let error = keeper.write_beat(beat, &key).await.unwrap_err();
        assert!(error.contains("newer"), "{error}");
    }
    assert_eq!(stored(&spine).await.beat, there);
    let newer = Beat { time: later(&there), ..there };
    keeper.write_beat(newer.clone(), &key).await.unwrap();
    assert_eq!(stored(&spine).await.beat, newer);
}

/// A repair leaves out what was lost, a policy among it: the one before is in force again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_a_repair_left_out_is_in_force_no_more() {
    let mut work = Work::begin().await;
    assert_eq!(said(&work.publish().await), "ok");
    load(&work.spine, 200).await;
    let bytes = archive(&plan(2, STRICT, 3_600), &work.founder.signer);
    let answer = work.founder.send("policy", "publish", publish(2, &bytes)).await;
    assert_eq!(said(&answer), "ok");
    let ear = Ear::open(&work.spine).await;
    ear.says_at_last(&work.spine, "read", "none").await;
    work.spine.stop().await;
    work.spine.test.server_mut().stop().await.unwrap();
    truncate(&ledger_block(&work.spine));
    work.spine.test.server_mut().start_again().await.unwrap();
    work.spine.decider = Some(work.spine.decider("decider-b").await);
    answered_with(&work.spine, "tenant-frozen").await;
    mend(&work.spine, 0).await.unwrap();
    ear.says_at_last(&work.spine, "read", "read").await;
    let held = ear.feed.view(&work.spine.tenant).held.unwrap();
    assert_eq!(held.published.revision, 1);
    ear.close().await;
    work.stop().await;
}

/// A copy does not outlive its bundle, whoever confirms it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_policy_denies_though_it_is_confirmed() {
    let work = Work::begin().await;
    let bytes = archive(&plan(1, REGO, 5), &work.founder.signer);
    let answer = work.founder.send("policy", "publish", publish(1, &bytes)).await;
    assert_eq!(said(&answer), "ok");
    let ear = Ear::open(&work.spine).await;
    ear.says_at_last(&work.spine, "read", "policy-expired").await;
    ear.close().await;
    work.stop().await;
}
