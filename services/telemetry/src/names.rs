//! Every span and metric name, in one list. A name that is not here does not exist; dashboards
//! and alerts are written from this file.
//!
//! One trace: a client's `canonry.command` is the parent of `canonry.decide` (and, where the
//! command was handed over durably, of `canonry.store_intent`); `canonry.decide` is the parent of
//! `canonry.commit` for the first record of a batch and linked to it for the others. The record
//! keeps the `traceparent` that came with the command, and none where none came; it is the parent
//! of `canonry.project`. Over HTTP `canonry.http` stands in the place of `canonry.command`: a
//! `traceparent` that came with the request is its parent and goes on as it came, and where none
//! came its own does.

/// Span: one command at its sender, from the first try to the answer.
pub const SPAN_COMMAND: &str = "canonry.command";
/// Span: one durable intent is sealed and stored.
pub const SPAN_STORE_INTENT: &str = "canonry.store_intent";
/// Span: the rules decide one command, up to its chained record.
pub const SPAN_DECIDE: &str = "canonry.decide";
/// Span: one commit, of one record or many, to its acknowledgement.
pub const SPAN_COMMIT: &str = "canonry.commit";
/// Span: a holder takes a tenant over, up to its first served command.
pub const SPAN_TAKE_OVER: &str = "canonry.take_over";
/// Span: the projector applies one record to the read models.
pub const SPAN_PROJECT: &str = "canonry.project";
/// Span: one HTTP request.
pub const SPAN_HTTP: &str = "canonry.http";

/// Every span name.
pub const SPANS: [&str; 7] = [
    SPAN_COMMAND,
    SPAN_STORE_INTENT,
    SPAN_DECIDE,
    SPAN_COMMIT,
    SPAN_TAKE_OVER,
    SPAN_PROJECT,
    SPAN_HTTP,
];

/// Counter: records written, by `kind`.
pub const RECORDS: &str = "canonry_records_total";
/// Counter: commits acknowledged, by `way`.
pub const COMMITS: &str = "canonry_commits_total";
/// Counter: commands answered without a record, by the answer's `code`.
pub const COMMANDS_UNRECORDED: &str = "canonry_commands_unrecorded_total";
/// Histogram: seconds from sending a commit to its acknowledgement, by `way`.
pub const COMMIT_SECONDS: &str = "canonry_commit_seconds";
/// Gauge: commands that wait for a holder of this process.
pub const COMMANDS_WAITING: &str = "canonry_commands_waiting";
/// Gauge: commands decided and not yet committed.
pub const COMMANDS_IN_FLIGHT: &str = "canonry_commands_in_flight";
/// Gauge: tenants that this process holds.
pub const TENANTS_HELD: &str = "canonry_tenants_held";
/// Gauge: tenants whose commands this process refuses, because their ledger is broken.
pub const TENANTS_FROZEN: &str = "canonry_tenants_frozen";
/// Counter: HTTP requests answered, by `route` and `class` of status.
pub const HTTP_REQUESTS: &str = "canonry_http_requests_total";
/// Counter: records applied to the read models.
pub const PROJECTED: &str = "canonry_projected_records_total";
/// Gauge: records not yet applied, of the tenant that has most.
pub const PROJECTOR_LAG: &str = "canonry_projector_lag_records";
/// Gauge: streams of changes (SSE) that are open.
pub const CHANGES_STREAMS: &str = "canonry_changes_streams";

/// Counter: backups made, by `outcome`.
pub const BACKUPS: &str = "canonry_backups_total";
/// Counter: records copied to a place outside NATS.
pub const COPIED: &str = "canonry_copied_records_total";
/// Gauge: Unix seconds of the newest backup of the tenant for which that is oldest; 0 where one has
/// none.
pub const BACKUP_OLDEST: &str = "canonry_backup_oldest_timestamp_seconds";

/// Gauge: records that signed checkpoints cover, of all tenants that this process signs for.
pub const CHECKPOINT_RECORDS: &str = "canonry_checkpoint_records";
/// Gauge: Unix seconds of when a checkpoint was last found to cover the whole ledger, of the tenant
/// for which that is longest ago; 0 where this process signs for none, or found that never yet.
pub const CHECKPOINT_OLDEST: &str = "canonry_checkpoint_oldest_timestamp_seconds";
/// Gauge: tenants for which this process found a ledger that is not what was signed, or a witness
/// that refuses.
pub const CHECKPOINT_ALARMS: &str = "canonry_checkpoint_alarms";

/// Every metric name.
pub const METRICS: [&str; 18] = [
    RECORDS,
    COMMITS,
    COMMANDS_UNRECORDED,
    COMMIT_SECONDS,
    COMMANDS_WAITING,
    COMMANDS_IN_FLIGHT,
    TENANTS_HELD,
    TENANTS_FROZEN,
    HTTP_REQUESTS,
    PROJECTED,
    PROJECTOR_LAG,
    CHANGES_STREAMS,
    BACKUPS,
    COPIED,
    BACKUP_OLDEST,
    CHECKPOINT_RECORDS,
    CHECKPOINT_OLDEST,
    CHECKPOINT_ALARMS,
];
