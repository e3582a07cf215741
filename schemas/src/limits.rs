//! Every bound of Canonry, as a number in one place. Sizes are bytes, times say their unit.
//! A limit that the server also keeps is asserted against `nats-config` by a test.

use std::time::Duration;

/// Bytes of a command's body.
pub const COMMAND_BYTES: usize = 64 * 1024;
/// Bytes of clear text in one `x-content` field.
pub const CONTENT_BYTES: usize = 500;
/// Bytes of authored governance text in one field (job description and the like).
pub const GOVERNANCE_TEXT_BYTES: usize = 8 * 1024;
/// Characters of a short label (name of a step, a tool, a group).
pub const LABEL_CHARS: usize = 120;
/// Items in a list of a command.
pub const LIST_ITEMS: usize = 64;
/// Bytes of a signed request, approval or bearer.
pub const JWT_BYTES: usize = 4 * 1024;
/// Bytes of a record's body.
pub const RECORD_BYTES: usize = 128 * 1024;
/// Bytes of one line of an export, its line break included.
pub const EXPORT_LINE_BYTES: usize = 8 * 1024 * 1024;
/// Depth of nested JSON.
pub const JSON_DEPTH: usize = 32;
/// The greatest integer that every JSON reader keeps exact, 2^53 - 1.
pub const JSON_INTEGER: i64 = 9_007_199_254_740_991;

/// Records in one atomic batch.
pub const BATCH_RECORDS: usize = 500;
/// Up to this many waiting commands leave as plain publishes, one after the other.
pub const PLAIN_PUBLISHES: usize = 8;
/// After a batch was committed, the next one waits for those who were just answered, if they come
/// back at once: at most this part of the time that the batch took (ADR 15).
pub const GATHER_PART: u32 = 2;
/// And never longer than this.
pub const GATHER_MOST: Duration = Duration::from_millis(4);
/// Commands that wait for one tenant's holder; more are answered `retry`.
pub const COMMANDS_WAITING: usize = 8_192;
/// Decided records that may wait for their commit.
pub const RECORDS_AHEAD: usize = 2 * BATCH_RECORDS;

/// Commands a second that one actor of a tenant may send for long.
pub const ACTOR_RATE: u32 = 20_000;
/// Commands that one actor may send at once.
pub const ACTOR_BURST: u32 = 40_000;
/// What a refused command costs in the actor's bucket, where a fact costs 1: a flood of
/// refusals ends at `ACTOR_RATE / REFUSAL_COST` records a second.
pub const REFUSAL_COST: u32 = 100;
/// How often what was throttled is summed into a record.
pub const THROTTLE_SUMMARY: Duration = Duration::from_secs(60);
/// Bytes that one tenant's ledger may hold.
pub const TENANT_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// Intents kept for idempotency, per tenant.
pub const INTENTS_KEPT: usize = 1_000_000;
/// Age of an intent that is still known.
pub const INTENT_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How far an intent's or token's time may lie ahead of the holder's clock.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// Intents held in memory before they are only in the snapshot store, per tenant.
pub const INTENTS_HOT: usize = 20_000;
/// Aggregates held in memory, per tenant.
pub const AGGREGATES_HOT: usize = 4_096;
/// Bytes that a ticket in memory takes at most, with its key and its intent: of a thousand tenants
/// with a thousand tickets each, half of 1 GiB.
pub const TICKET_MEMORY: i64 = 512;
/// Deadlines held in memory before the later ones are only in the snapshot store, per tenant.
pub const DEADLINES_HOT: usize = 4_096;
/// Records after which a holder writes what changed into its snapshot store.
pub const SNAPSHOT_RECORDS: u64 = 2_000;
/// After this time it does so for fewer.
pub const SNAPSHOT_EVERY: Duration = Duration::from_secs(10);
/// How often a decider that does not hold a tenant looks for its new records, at first.
pub const FOLLOW_EVERY: Duration = Duration::from_secs(2);
/// The same for a tenant that rests.
pub const FOLLOW_EVERY_MOST: Duration = Duration::from_secs(30);
/// Tenants that a decider reads at once to follow or to check them.
pub const FOLLOWED_AT_ONCE: usize = 4;
/// Members of a tenant, removed ones included.
pub const MEMBERS: usize = 10_000;
/// Bytes of the schema of a custom record type.
pub const EXT_SCHEMA_BYTES: usize = 16 * 1024;
/// Depth of a custom type's schema, and so of its data.
pub const EXT_DEPTH: usize = 12;
/// Bytes that one compiled pattern of a custom type may take.
pub const EXT_PATTERN_BYTES: usize = 256 * 1024;
/// Content fields in the data of one custom record: each grows when it is sealed.
pub const EXT_CONTENT_FIELDS: usize = 64;
/// Versions of one custom type.
pub const EXT_VERSIONS: usize = 64;
/// Compiled schemas of custom types held in memory, for all tenants of a decider.
pub const EXT_COMPILED: usize = 256;
/// Runs that one ticket may have.
pub const RUNS_PER_TICKET: u32 = 1_000;
/// Steps that one run may record.
pub const STEPS_PER_RUN: u32 = 10_000;

/// Actions that one run may propose.
pub const ACTIONS_PER_RUN: u32 = 10_000;
/// Bytes of an action's arguments, as canonical JSON.
pub const ARGUMENTS_BYTES: usize = 8 * 1024;
/// Bytes of clear text of a policy's input, sealed in the record of its decision.
pub const INPUT_BYTES: usize = 16 * 1024;
/// Bytes of a policy bundle's archive.
pub const BUNDLE_BYTES: usize = 32 * 1024;
/// Decisions that one simulation of a draft asks about.
pub const SIMULATED: u64 = 10_000;
/// Of these, one request over HTTP asks about so many; and for so long.
pub const SIMULATED_AT_ONCE: u64 = 1_000;
/// How long a request over HTTP asks a draft; what was not asked by then it says.
pub const SIMULATION_TIME: Duration = Duration::from_secs(20);
/// Drafts that one API process works on at once.
pub const SIMULATIONS_AT_ONCE: usize = 2;
/// Questions to policies that one API process answers at once; more wait.
pub const CHECKS_AT_ONCE: usize = 8;
/// Bytes of a request with a draft of a policy.
pub const DRAFT_BYTES: usize = 256 * 1024;
/// Compiled policies held in memory, for all tenants of a decider.
pub const POLICIES_COMPILED: usize = 64;
/// Time on the wall of an action that names none.
pub const ACTION_WALL: Duration = Duration::from_secs(60 * 60);
/// Time on the wall that counts at the most when it is said by when an action must be settled.
pub const ACTION_WALL_MOST: Duration = Duration::from_secs(24 * 60 * 60);
/// How much longer than its time on the wall an allowed action may wait to be settled.
pub const ACTION_GRACE: Duration = Duration::from_secs(5 * 60);
/// How long a question waits for an answer when the policy does not say, and at the most.
pub const QUESTION_LIFE: (u32, u32) = (24 * 60 * 60, 30 * 24 * 60 * 60);
/// How long one member may hand the right to approve to another.
pub const DELEGATION_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// People of one group whom one action may need, and groups.
pub const APPROVERS: u16 = 16;

/// Longest life of a worker's lease; each tier's own life is in its file.
pub const LEASE_LIFE: Duration = Duration::from_secs(60 * 60);
/// Living leases of one role.
pub const LEASES_PER_ROLE: usize = 64;
/// How long the issuer of leases waits until it has read the record that it is asked about.
pub const LEASE_WAIT: Duration = Duration::from_secs(5);
/// How often the warden looks at a ledger of which no news came.
pub const WARDEN_LOOK: Duration = Duration::from_millis(500);
/// How often it looks again for connections of a lease that ended, until its life is over.
pub const WARDEN_AGAIN: Duration = Duration::from_secs(5);
/// How long it waits for the servers' answers to one question.
pub const WARDEN_WAIT: Duration = Duration::from_secs(1);

/// Lifetime of a decider's liveness key.
pub const LIVENESS_TTL: Duration = Duration::from_secs(10);
/// How often a decider renews it.
pub const LIVENESS_EVERY: Duration = Duration::from_secs(3);
/// How often unheld tenants are looked for, and a held one's assignment is read.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Within this another decider serves a tenant whose holder died, if the store answers at once.
pub const TAKE_OVER: Duration = Duration::from_secs(15);
/// How often the holder says which policy is in force; also at once when another is, or keys changed.
/// Several fit into the shortest life of a copy ([`POLICY_TTL`]).
pub const BEAT_EVERY: Duration = Duration::from_secs(60);
/// For how long a copy of a policy may be used after a beat: at least, at most.
pub const POLICY_TTL: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(900));
/// By how much a beat may be ahead of the clock of whoever hears it.
pub const BEAT_SKEW: Duration = Duration::from_secs(5);
/// Beats that one process holds to their ledgers at once.
pub const BEATS_AT_ONCE: usize = 16;
/// Bytes of a stored beat.
pub const BEAT_BYTES: usize = 4 * 1024;
/// How often the holder writes a signed head when the ledger moved.
pub const HEAD_EVERY: Duration = Duration::from_secs(1);
/// Difference of clocks between holder and server beyond which the holder does not serve.
pub const HOLDER_CLOCK: Duration = Duration::from_secs(1);
/// First time to wait for the answer to a commit, before the same bytes are sent again.
pub const COMMIT_TRY: Duration = Duration::from_secs(2);
/// After this time callers of a commit of unknown outcome are answered `retry`.
pub const COMMIT_CALLERS: Duration = Duration::from_secs(5);
/// After this time a commit of unknown outcome makes the decider not ready.
pub const COMMIT_STORE: Duration = Duration::from_secs(30);
/// How long our own clients repeat a command that was answered `retry`.
pub const CLIENT_RETRY: Duration = Duration::from_secs(15);
/// How often a deadline is looked at.
pub const TIMER_EVERY: Duration = Duration::from_millis(500);
/// Deliveries of a durable intent before it is a dead letter.
pub const INTENT_DELIVERIES: i64 = 10;

/// After which a durable intent that met an empty bucket or a full quota is delivered again; after
/// [`INTENT_DELIVERIES`] of them it is a dead letter.
pub const INTENT_AGAIN: Duration = Duration::from_secs(30);

/// Longest life of a bearer for reads and ordinary writes.
pub const BEARER_LIFE: Duration = Duration::from_secs(60 * 60);
/// Longest life of an assertion that somebody stepped up.
pub const ASSERTION_LIFE: Duration = Duration::from_secs(2 * 60);
/// Levels of authentication that a policy may ask for and a key may reach.
pub const LEVELS: std::ops::RangeInclusive<u8> = 1..=9;
/// Longest life of a request-bound token and of an approval.
pub const REQUEST_LIFE: Duration = Duration::from_secs(10 * 60);

/// Rows of a page when none is asked for.
pub const PAGE: usize = 50;
/// Rows of a page at the most.
pub const PAGE_MAX: usize = 500;
/// How long a read waits for `min_position`.
pub const READ_WAIT: Duration = Duration::from_secs(5);
/// Records that one `as_of` read folds.
pub const AS_OF_RECORDS: u64 = 20_000;
/// Positions that one `diff` spans.
pub const DIFF_RECORDS: u64 = 20_000;
/// Entities that one `diff` compares.
pub const DIFF_ENTITIES: usize = 500;
/// Tenants that one projector reads at once.
pub const PROJECTOR_CONSUMERS: usize = 64;
/// Streams of changes that one API process keeps open at once; more are refused `streams-full`.
pub const CHANGES_STREAMS: usize = 1_024;
/// Content keys that a holder shreds in one go.
pub const SHRED_AT_ONCE: usize = 64;
/// Records after which the cursor of erasures follows the head although nothing was erased.
pub const SHRED_CURSOR_EVERY: u64 = 10_000;
/// How often a group of content keys that somebody else changed meanwhile is read again.
pub const GROUP_TRIES: usize = 8;
/// Bytes of one evidence object in clear.
pub const EVIDENCE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Clear bytes in one sealed chunk of an evidence object; part of the format, never to change.
pub const EVIDENCE_CHUNK: usize = 512 * 1024;
/// Evidence objects of one ticket or run.
pub const EVIDENCE_PER_WORK: u32 = 1_000;
/// Bytes of a media type.
pub const MEDIA_TYPE_BYTES: usize = 100;
/// Uploads and downloads of evidence that one API process serves at once; more are refused
/// `evidence-busy`. Each holds a few chunks, a download up to 16 MiB that the server sent ahead.
pub const EVIDENCE_AT_ONCE: usize = 16;
/// Bytes of a refused upload that are read off, so that its sender hears the answer; a longer one
/// may find the connection closed.
pub const EVIDENCE_READ_OFF: usize = 4 * 1024 * 1024;
/// How long that may take.
pub const EVIDENCE_READ_OFF_WAIT: Duration = Duration::from_secs(10);
/// Life of a signed address of an evidence object, when none is asked for and at the most.
pub const EVIDENCE_URL_LIFE: (u32, u32) = (300, 900);
/// After which an object that no record names is removed: nobody may still be about to name it.
pub const EVIDENCE_ORPHAN_AGE: Duration = Duration::from_secs(48 * 60 * 60);
/// How often such objects are looked for.
pub const EVIDENCE_SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// Models in one price table.
pub const PRICED_MODELS: usize = 256;
/// What a million tokens may cost at the most, micro-units.
pub const PRICE_MICROS: u64 = 1_000_000_000_000;
/// Part of a limit at whose crossing a record warns, per cent.
pub const BUDGET_WARNS_AT: u64 = 80;
/// Content keys in one stored group.
pub const CONTENT_KEY_GROUP: usize = 256;
/// How often whoever closes a volume tries to write the last record of it: a holder commits until it
/// has heard that the tenant was taken from it.
pub const FENCE_TRIES: u32 = 100;
/// Volumes of one ledger.
pub const VOLUMES: u32 = 32;
/// Volumes of a ledger that an auditor's creds reach, the first one included.
pub const AUDITED_VOLUMES: u32 = 8;
/// Positions left free after a loss, beyond the highest that anybody is known to have seen: more
/// than a holder can give out between two signed heads.
pub const REPAIR_MARGIN: u64 = 1_000_000;

/// How often a checkpoint is signed while a ledger grows; the work itself comes on top, so that one
/// is signed every second under load.
pub const CHECKPOINT_EVERY: Duration = Duration::from_millis(500);
/// How long a checkpointer that went silent keeps others from signing for its tenants.
pub const CHECKPOINTER_TTL: Duration = Duration::from_secs(5);
/// Tenants whose ledgers one checkpointer reads at once.
pub const CHECKPOINTED_AT_ONCE: usize = 4;
/// Bytes of a signed note.
pub const NOTE_BYTES: usize = 64 * 1024;
/// Signatures under one note.
pub const NOTE_SIGNATURES: usize = 64;
/// Hashes in one proof of inclusion or consistency: the height of a tree of 2^63 leaves.
pub const PROOF_HASHES: usize = 63;
/// Bytes of an offline proof: a record in base64 twice over, and a note.
pub const PROOF_BYTES: usize = 1024 * 1024;
/// Files in one evidence bundle, its manifest included.
pub const BUNDLE_ENTRIES: usize = 65_536;
/// Bytes of one file in a bundle: what eleven octal digits of an archive's header can say.
pub const BUNDLE_ENTRY_BYTES: u64 = 8 * 1024 * 1024 * 1024 - 1;
/// Bytes of a bundle's manifest.
pub const BUNDLE_MANIFEST_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a bundle's records, and of its records of keys: a reader holds both.
pub const BUNDLE_TEXT_BYTES: u64 = 256 * 1024 * 1024;
/// How long one request to a witness may take.
pub const WITNESS_WAIT: Duration = Duration::from_secs(5);
/// Bytes of a request to a witness.
pub const WITNESS_REQUEST_BYTES: usize = NOTE_BYTES + 8 * 1024;
/// Witnesses that one checkpointer asks.
pub const WITNESSES: usize = 16;
