//! The tables, and the views under the names that Canonry's sources use.

/// Grows with every change of the tables or of the fold; a file of another version is rebuilt.
pub const VERSION: i32 = 11;

/// What is laid out in a new file. Positions serve as row ids wherever a row begins with a
/// record, so that the order of the ledger costs no index of its own.
pub const TABLES: &str = "
CREATE TABLE head (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  position INTEGER NOT NULL, hash TEXT NOT NULL, time TEXT NOT NULL, verifier TEXT
) STRICT;
INSERT INTO head VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', '', NULL);

CREATE TABLE events (
  position INTEGER PRIMARY KEY,
  hash TEXT NOT NULL, id TEXT NOT NULL, time TEXT NOT NULL, kind TEXT NOT NULL,
  actor TEXT NOT NULL, via TEXT, intentid TEXT, entity TEXT NOT NULL, touches TEXT,
  refusal INTEGER NOT NULL, code TEXT, tier TEXT, data TEXT NOT NULL
) STRICT;
CREATE INDEX events_evidence ON events(id) WHERE kind = 'canonry.evidence.attached.v1';
CREATE TABLE touched (position INTEGER NOT NULL, entity TEXT NOT NULL) STRICT;
CREATE VIEW folded AS
  SELECT entity, position FROM events UNION ALL SELECT entity, position FROM touched;

CREATE TABLE roles (
  position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  title TEXT NOT NULL, job TEXT NOT NULL, boundaries TEXT NOT NULL,
  per_ticket_micros INTEGER NOT NULL, per_day_micros INTEGER NOT NULL,
  tools TEXT NOT NULL, escalation TEXT NOT NULL, tier TEXT NOT NULL,
  status TEXT NOT NULL, reason TEXT, hired_by TEXT NOT NULL, hired_at TEXT NOT NULL,
  updated_at TEXT NOT NULL, updated_position INTEGER NOT NULL, erased_at TEXT
) STRICT;

CREATE TABLE tickets (
  position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  title TEXT NOT NULL, note TEXT, priority INTEGER NOT NULL, due TEXT, role TEXT,
  approval_required INTEGER NOT NULL, external TEXT, status TEXT NOT NULL,
  approval TEXT NOT NULL, asked_by TEXT, asked_at TEXT, asked_position INTEGER, asked_hash TEXT,
  asked_reason TEXT, answered_by TEXT, answered_at TEXT, answered_position INTEGER,
  answered_reason TEXT, breached INTEGER NOT NULL, run TEXT, runs INTEGER NOT NULL,
  evidence TEXT, result TEXT, reason TEXT, opened_by TEXT NOT NULL, opened_at TEXT NOT NULL,
  updated_at TEXT NOT NULL, updated_position INTEGER NOT NULL, erased_at TEXT
) STRICT;

CREATE TABLE runs (
  position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  ticket TEXT NOT NULL, role TEXT NOT NULL, worker TEXT NOT NULL, status TEXT NOT NULL,
  steps INTEGER NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, ended_position INTEGER,
  reason TEXT, updated_position INTEGER NOT NULL, erased_at TEXT
) STRICT;

CREATE TABLE steps (
  position INTEGER PRIMARY KEY, run TEXT NOT NULL, name TEXT NOT NULL, outcome TEXT NOT NULL,
  summary TEXT, confidence INTEGER, time TEXT NOT NULL
) STRICT;

CREATE TABLE members (
  actor TEXT PRIMARY KEY, position INTEGER NOT NULL, parts TEXT NOT NULL, role TEXT, name TEXT,
  enrolled_at TEXT NOT NULL, removed_at TEXT, erased_at TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE keys (
  id TEXT PRIMARY KEY, actor TEXT NOT NULL, public TEXT NOT NULL, uses TEXT NOT NULL,
  position INTEGER NOT NULL, revoked INTEGER NOT NULL, revoked_at TEXT, revoked_position INTEGER,
  notafter TEXT, level INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE erased (
  content_key TEXT PRIMARY KEY, entity TEXT NOT NULL, position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE kinds (
  position INTEGER PRIMARY KEY, kind TEXT NOT NULL, version INTEGER NOT NULL, schema TEXT NOT NULL,
  registered_by TEXT NOT NULL, registered_at TEXT NOT NULL
) STRICT;
CREATE INDEX kinds_kind ON kinds(kind);
CREATE TABLE appended (
  position INTEGER PRIMARY KEY, kind TEXT NOT NULL, version INTEGER NOT NULL
) STRICT;
CREATE INDEX appended_kind ON appended(kind, position);

CREATE TABLE limits (
  scope TEXT NOT NULL, period TEXT NOT NULL,
  money_micros INTEGER, tokens INTEGER, calls INTEGER, wall_seconds INTEGER,
  set_by TEXT NOT NULL, set_at TEXT NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (scope, period)
) STRICT, WITHOUT ROWID;
CREATE TABLE prices (
  position INTEGER PRIMARY KEY, currency TEXT NOT NULL, models TEXT NOT NULL,
  set_by TEXT NOT NULL, set_at TEXT NOT NULL
) STRICT;
CREATE TABLE spend (
  position INTEGER PRIMARY KEY, action TEXT NOT NULL UNIQUE,
  run TEXT NOT NULL, ticket TEXT NOT NULL, role TEXT NOT NULL, tool TEXT NOT NULL,
  model TEXT NOT NULL, day TEXT NOT NULL, open INTEGER NOT NULL, overrun INTEGER NOT NULL,
  reserved_money_micros INTEGER NOT NULL, reserved_tokens INTEGER NOT NULL,
  reserved_calls INTEGER NOT NULL, reserved_wall_seconds INTEGER NOT NULL,
  spent_money_micros INTEGER NOT NULL, spent_tokens INTEGER NOT NULL,
  spent_calls INTEGER NOT NULL, spent_wall_seconds INTEGER NOT NULL
) STRICT;

CREATE TABLE policies (
  position INTEGER PRIMARY KEY, revision INTEGER NOT NULL, version TEXT NOT NULL,
  digest TEXT NOT NULL, expires TEXT NOT NULL, ttl_seconds INTEGER NOT NULL, bundle TEXT NOT NULL,
  published_by TEXT NOT NULL, published_at TEXT NOT NULL
) STRICT;
CREATE TABLE actions (
  position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  run TEXT NOT NULL, ticket TEXT NOT NULL, role TEXT NOT NULL, tool TEXT NOT NULL,
  action TEXT NOT NULL, status TEXT NOT NULL, verdict TEXT NOT NULL, rules TEXT NOT NULL,
  obligations TEXT NOT NULL, code TEXT, policy INTEGER, asked_position INTEGER, asked_hash TEXT,
  asked_at TEXT, approvals TEXT, expires TEXT, given INTEGER NOT NULL, escalated INTEGER NOT NULL,
  reached INTEGER, stepped_up_by TEXT,
  until TEXT, outcome TEXT, error TEXT, proposed_by TEXT NOT NULL, proposed_at TEXT NOT NULL,
  updated_at TEXT NOT NULL, updated_position INTEGER NOT NULL
) STRICT;
CREATE TABLE answers (
  position INTEGER PRIMARY KEY, entity TEXT NOT NULL, approver TEXT NOT NULL, stood_in_for TEXT,
  yes INTEGER NOT NULL, asked_at TEXT, answered_at TEXT NOT NULL, reversed INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_entity ON answers(entity);

CREATE VIEW approver_statistics AS SELECT
  a.approver, count(*) AS answers, sum(a.yes) AS approvals,
  CAST(round(coalesce(avg((julianday(a.answered_at) - julianday(a.asked_at)) * 86400), 0))
    AS INTEGER) AS seconds_to_decide,
  (SELECT count(*) FROM answers b WHERE b.approver = a.approver AND b.yes = 1 AND b.position >
    coalesce((SELECT max(position) FROM answers c WHERE c.approver = a.approver AND c.yes = 0), 0))
    AS approvals_in_a_row,
  sum(a.reversed) AS later_reversals
  FROM answers a GROUP BY a.approver;
CREATE TABLE leases (
  position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  run TEXT NOT NULL, ticket TEXT NOT NULL, role TEXT NOT NULL, worker TEXT NOT NULL,
  tier TEXT NOT NULL, login TEXT NOT NULL, key TEXT NOT NULL, issued_by TEXT NOT NULL,
  issued_at TEXT NOT NULL, expires TEXT NOT NULL, status TEXT NOT NULL, ended_at TEXT,
  updated_position INTEGER NOT NULL
) STRICT;
CREATE INDEX leases_open ON leases(run) WHERE status = 'issued';

CREATE VIEW ai_roles AS SELECT
  id, title, job AS job_description, boundaries, per_ticket_micros, per_day_micros, tools,
  escalation, tier, status, hired_by, hired_at, updated_at FROM roles;
CREATE VIEW work_tickets AS SELECT
  id, title, role AS owner, due AS deadline, breached AS deadline_breached, priority,
  approval_required, approval, status, evidence, external, run, runs, opened_by, opened_at,
  updated_at FROM tickets;
CREATE VIEW governance_events AS SELECT
  position, id, time, kind AS type, actor, via, entity, touches, intentid, refusal, code, data,
  hash FROM events;
CREATE VIEW agent_actions AS SELECT
  e.time, e.actor AS agent, NULL AS agent_version, e.tier, e.kind AS action, e.entity,
  CASE e.refusal WHEN 1 THEN 'refused' ELSE 'allowed' END AS decision, s.confidence,
  e.refusal = 0 AND coalesce(s.outcome, '') <> 'failed' AND e.kind NOT LIKE 'canonry.run.failed.%'
    AS success,
  e.code AS error_type,
  CASE e.refusal WHEN 1 THEN json_extract(e.data, '$.message') END AS error_message, e.position
  FROM events e LEFT JOIN steps s ON s.position = e.position WHERE e.tier IS NOT NULL;
CREATE VIEW agent_metrics AS SELECT
  m.actor AS agent, r.tier AS current_tier,
  (SELECT count(*) FROM runs WHERE worker = m.actor) AS total_runs,
  (SELECT count(*) FROM runs WHERE worker = m.actor AND status = 'completed') AS compliant_runs,
  (SELECT count(*) FROM runs WHERE worker = m.actor AND status = 'completed' AND ended_position >
    coalesce((SELECT max(ended_position) FROM runs
      WHERE worker = m.actor AND status = 'failed'), 0)) AS consecutive_compliant,
  (SELECT time FROM events WHERE actor = m.actor ORDER BY position DESC LIMIT 1) AS last_active
  FROM members m LEFT JOIN roles r ON r.id = m.role
  WHERE EXISTS (SELECT 1 FROM json_each(m.parts) WHERE value = 'worker');
";

/// Indexes that only queries need. They are made when a new file has caught up: in one go that
/// costs far less than row by row.
pub const INDEXES: &str = "
CREATE INDEX IF NOT EXISTS events_entity ON events(entity);
CREATE INDEX IF NOT EXISTS touched_entity ON touched(entity, position);
CREATE INDEX IF NOT EXISTS events_actor ON events(actor);
CREATE INDEX IF NOT EXISTS events_kind ON events(kind);
CREATE INDEX IF NOT EXISTS events_intent ON events(intentid) WHERE intentid IS NOT NULL;
CREATE INDEX IF NOT EXISTS tickets_status ON tickets(status);
CREATE INDEX IF NOT EXISTS tickets_role ON tickets(role);
CREATE INDEX IF NOT EXISTS tickets_priority ON tickets(priority);
CREATE INDEX IF NOT EXISTS tickets_due ON tickets(coalesce(due, '9'));
CREATE INDEX IF NOT EXISTS tickets_asked ON tickets(approval) WHERE approval = 'asked';
CREATE INDEX IF NOT EXISTS tickets_external ON tickets(external) WHERE external IS NOT NULL;
CREATE INDEX IF NOT EXISTS runs_ticket ON runs(ticket);
CREATE INDEX IF NOT EXISTS runs_worker ON runs(worker);
CREATE INDEX IF NOT EXISTS steps_run ON steps(run);
CREATE INDEX IF NOT EXISTS actions_status ON actions(status);
CREATE INDEX IF NOT EXISTS actions_run ON actions(run);
CREATE INDEX IF NOT EXISTS actions_ticket ON actions(ticket);
CREATE INDEX IF NOT EXISTS answers_approver ON answers(approver, position);
CREATE INDEX IF NOT EXISTS leases_role ON leases(role);
CREATE INDEX IF NOT EXISTS keys_actor ON keys(actor);
CREATE INDEX IF NOT EXISTS spend_ticket ON spend(ticket);
CREATE INDEX IF NOT EXISTS spend_run ON spend(run);
CREATE INDEX IF NOT EXISTS spend_role ON spend(role, day);
CREATE INDEX IF NOT EXISTS spend_day ON spend(day);
";

/// For the connection that writes.
pub const WRITER: &str = "
PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 8000; PRAGMA busy_timeout = 5000;";

/// For a connection that reads.
pub const READER: &str = "
PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048;
PRAGMA busy_timeout = 5000;";
