//! Streams and buckets as nats-config has them, with a tenant's name and the number of replicas
//! filled in, and the comparison of a live one with what is wanted. Pure: the requests are sent by
//! [`crate::cell`]. A stream that differs is reported, never changed or made anew.

use canonry_schemas::ids::TenantId;
use canonry_schemas::subject::{audit_volume_stream, ledger_volume_stream};
use serde_json::{Value, json};

const LEDGER: &str = include_str!("../../../nats-config/ledger.json");
const AUDIT: &str = include_str!("../../../nats-config/audit.json");
const INTENTS: &str = include_str!("../../../nats-config/intents.json");
const INTAKE_CONSUMER: &str = include_str!("../../../nats-config/intake-consumer.json");
const DEAD: &str = include_str!("../../../nats-config/dead.json");
const TLOG: &str = include_str!("../../../nats-config/tlog.json");
const CONTENT_KEYS: &str = include_str!("../../../nats-config/kv-content-keys.json");
const EVIDENCE: &str = include_str!("../../../nats-config/obj-evidence.json");
const CELL_BUCKETS: [&str; 5] = [
    include_str!("../../../nats-config/kv-assign.json"),
    include_str!("../../../nats-config/kv-heads.json"),
    include_str!("../../../nats-config/kv-frozen.json"),
    include_str!("../../../nats-config/kv-liveness.json"),
    include_str!("../../../nats-config/kv-policies.json"),
];

/// The server's default for a field that a configuration leaves out.
const DEFAULTS: [(&str, Default); 32] = [
    ("subjects", Default::Null),
    ("retention", Default::Text("limits")),
    ("storage", Default::Text("file")),
    ("discard", Default::Text("old")),
    ("discard_new_per_subject", Default::False),
    ("max_msgs", Default::Number(-1)),
    ("max_bytes", Default::Number(-1)),
    ("max_age", Default::Number(0)),
    ("max_msgs_per_subject", Default::Number(-1)),
    ("max_msg_size", Default::Number(-1)),
    ("max_consumers", Default::Number(-1)),
    ("num_replicas", Default::Number(1)),
    ("duplicate_window", Default::Number(120_000_000_000)),
    ("deny_delete", Default::False),
    ("deny_purge", Default::False),
    ("allow_rollup_hdrs", Default::False),
    ("allow_direct", Default::False),
    ("mirror_direct", Default::False),
    ("allow_atomic", Default::False),
    ("allow_batched", Default::False),
    ("allow_msg_ttl", Default::False),
    ("allow_msg_counter", Default::False),
    ("allow_msg_schedules", Default::False),
    ("subject_delete_marker_ttl", Default::Number(0)),
    ("persist_mode", Default::Text("default")),
    ("no_ack", Default::False),
    ("sealed", Default::False),
    ("first_seq", Default::Number(0)),
    ("republish", Default::Null),
    ("mirror", Default::Null),
    ("sources", Default::Null),
    ("subject_transform", Default::Null),
];

#[derive(Clone, Copy)]
enum Default {
    Null,
    False,
    Number(i64),
    Text(&'static str),
}

impl Default {
    fn value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::False => false.into(),
            Self::Number(n) => n.into(),
            Self::Text(t) => t.into(),
        }
    }
}

/// The buckets that every tenant shares: `assign`, `heads`, `frozen`, `liveness`, `policies`.
#[must_use]
pub fn cell(replicas: u8) -> Vec<Value> {
    CELL_BUCKETS.iter().map(|text| fill(text, "", replicas)).collect()
}

/// Everything of one tenant, in the order in which it is made: the ledger before its mirror.
#[must_use]
pub fn tenant(tenant: &TenantId, replicas: u8) -> Vec<Value> {
    [LEDGER, AUDIT, INTENTS, DEAD, CONTENT_KEYS, TLOG, EVIDENCE]
        .iter()
        .map(|text| fill(text, tenant.as_str(), replicas))
        .collect()
}

/// The first volume of a ledger.
#[must_use]
pub fn ledger(tenant: &TenantId, replicas: u8) -> Value {
    fill(LEDGER, tenant.as_str(), replicas)
}

/// The request that makes the one consumer of a tenant's durable intents.
#[must_use]
pub fn intake_consumer(tenant: &TenantId) -> Value {
    fill(INTAKE_CONSUMER, tenant.as_str(), 1)
}

/// A volume, `LEDGER_<tenant>` and later `LEDGER_<tenant>_v<n>`, whose first record gets the
/// position `first_seq`.
#[must_use]
pub fn ledger_volume(tenant: &TenantId, volume: u32, first_seq: u64, replicas: u8) -> Value {
    let mut config = ledger(tenant, replicas);
    if volume > 1 {
        config["name"] = ledger_volume_stream(tenant, volume).into();
        config["first_seq"] = first_seq.into();
    }
    config
}

/// A closed volume: sealed, its subject aside, where no tenant's token can be, so that the next
/// volume takes the tenant's. It stays below `ledger`, which is what readers may read.
#[must_use]
pub fn closed_volume(tenant: &TenantId, volume: u32, first_seq: u64, replicas: u8) -> Value {
    let mut config = ledger_volume(tenant, volume, first_seq, replicas);
    config["subjects"] = json!([format!("ledger._closed.{tenant}.v{volume}")]);
    config["sealed"] = true.into();
    config["republish"] = Value::Null;
    config
}

/// The mirror of a volume, for auditors.
#[must_use]
pub fn audit_volume(tenant: &TenantId, volume: u32, replicas: u8) -> Value {
    let mut config = fill(AUDIT, tenant.as_str(), replicas);
    if volume > 1 {
        config["name"] = audit_volume_stream(tenant, volume).into();
        config["mirror"]["name"] = ledger_volume_stream(tenant, volume).into();
    }
    config
}

/// Everything of one tenant but the ledger and its mirror.
#[must_use]
pub fn beside(tenant: &TenantId, replicas: u8) -> Vec<Value> {
    [INTENTS, DEAD, CONTENT_KEYS].iter().map(|t| fill(t, tenant.as_str(), replicas)).collect()
}

/// The name in a configuration.
#[must_use]
pub fn name(config: &Value) -> &str {
    config["name"].as_str().unwrap_or_default()
}

/// Where a live configuration differs from the wanted one, one line for each field that matters;
/// empty when it does not.
#[must_use]
pub fn differences(wanted: &Value, live: &Value) -> Vec<String> {
    let field = |config: &Value, field: &str, default: Default| {
        let value = config.get(field).filter(|v| !v.is_null()).cloned();
        normal(field, value.unwrap_or_else(|| default.value()))
    };
    DEFAULTS
        .iter()
        .filter_map(|&(name, default)| {
            let (want, have) = (field(wanted, name, default), field(live, name, default));
            (want != have).then(|| format!("{name}: nats-config has {want}, the server has {have}"))
        })
        .collect()
}

/// Two spellings of the same thing made one.
fn normal(field: &str, value: Value) -> Value {
    match (field, value) {
        ("subjects", Value::Null) => json!([]),
        ("subjects", Value::Array(mut list)) => {
            list.sort_by_key(ToString::to_string);
            Value::Array(list)
        }
        ("sources", Value::Array(list)) if list.is_empty() => Value::Null,
        // The server prints a first sequence of 1 for a stream that asked for none.
        ("first_seq", Value::Number(n)) if n.as_u64() == Some(1) => 0.into(),
        // Nothing below means no limit.
        ("max_msgs" | "max_bytes" | "max_msgs_per_subject" | "max_msg_size", Value::Number(n))
            if n.as_i64() == Some(0) =>
        {
            (-1).into()
        }
        (_, value) => value,
    }
}

fn fill(template: &str, tenant: &str, replicas: u8) -> Value {
    let text =
        template.replace("\"${replicas}\"", &replicas.to_string()).replace("${tenant}", tenant);
    let mut config: Value =
        serde_json::from_str(&text).expect("the templates in nats-config are JSON, see the tests");
    if replicas > 1
        && let Some(fields) = config.as_object_mut()
    {
        // The server persists a replicated stream in its own way and refuses to be told another.
        fields.remove("persist_mode");
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> TenantId {
        "acme".parse().expect("valid")
    }

    #[test]
    fn templates_are_filled() {
        let all: Vec<Value> = cell(3).into_iter().chain(tenant(&acme(), 3)).collect();
        let names: Vec<&str> = all.iter().map(name).collect();
        assert_eq!(
            names,
            [
                "KV_assign",
                "KV_heads",
                "KV_frozen",
                "KV_liveness",
                "KV_policies",
                "LEDGER_acme",
                "AUDIT_acme",
                "INTENTS_acme",
                "DEAD_acme",
                "KV_content-keys-acme",
                "TLOG_acme",
                "OBJ_evidence-acme"
            ]
        );
        for config in &all {
            assert!(!config.to_string().contains("${"), "{config}");
            assert_eq!(config["num_replicas"], 3);
        }
    }

    #[test]
    fn every_field_of_a_template_is_compared() {
        for config in cell(1).into_iter().chain(tenant(&acme(), 1)) {
            for field in config.as_object().expect("valid").keys() {
                let known = DEFAULTS.iter().any(|(name, _)| name == field);
                assert!(known || ["name", "description"].contains(&field.as_str()), "{field}");
            }
        }
    }

    #[test]
    fn each_way_to_undo_worm_is_seen() {
        let wanted = ledger(&acme(), 1);
        assert_eq!(differences(&wanted, &wanted), [""; 0]);
        for (field, value) in [
            ("max_msgs", json!(10)),
            ("max_age", json!(1)),
            ("max_msgs_per_subject", json!(1)),
            ("max_bytes", json!(1)),
            ("deny_delete", json!(false)),
            ("deny_purge", Value::Null),
            ("allow_msg_ttl", json!(true)),
            ("retention", json!("interest")),
            ("subjects", json!(["elsewhere.>"])),
            ("sealed", json!(true)),
            ("discard", json!("old")),
            ("republish", Value::Null),
            ("first_seq", json!(7)),
        ] {
            let mut live = wanted.clone();
            live[field] = value;
            let found = differences(&wanted, &live);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("{field}: nats-config has")), "{found:?}");
        }
    }
}
