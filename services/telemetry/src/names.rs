//! Every span and metric name, in one list. A name that is not here does not exist; dashboards
//! and alerts are written from this file.

/// Span: one command, from its arrival to its answer.
pub const SPAN_COMMAND: &str = "canonry.command";
/// Span: the rules decide one command.
pub const SPAN_DECIDE: &str = "canonry.decide";
/// Span: one commit, of one record or many, to its acknowledgement.
pub const SPAN_COMMIT: &str = "canonry.commit";
/// Span: a holder takes a tenant over, up to its first served command.
pub const SPAN_TAKE_OVER: &str = "canonry.take_over";
/// Span: the projector applies what it read to a read model.
pub const SPAN_PROJECT: &str = "canonry.project";
/// Span: one HTTP request.
pub const SPAN_HTTP: &str = "canonry.http";

/// Every span name.
pub const SPANS: [&str; 6] =
    [SPAN_COMMAND, SPAN_DECIDE, SPAN_COMMIT, SPAN_TAKE_OVER, SPAN_PROJECT, SPAN_HTTP];

/// Counter: records written, by `kind`.
pub const RECORDS: &str = "canonry_records_total";
/// Counter: commits acknowledged, by `way`.
pub const COMMITS: &str = "canonry_commits_total";
/// Counter: commands answered without a record, by the answer's `code`.
pub const COMMANDS_UNRECORDED: &str = "canonry_commands_unrecorded_total";
/// Histogram: seconds from sending a commit to its acknowledgement.
pub const COMMIT_SECONDS: &str = "canonry_commit_seconds";

/// Every metric name.
pub const METRICS: [&str; 4] = [RECORDS, COMMITS, COMMANDS_UNRECORDED, COMMIT_SECONDS];
