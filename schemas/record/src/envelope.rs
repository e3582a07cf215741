//! The write side: a record's body, written once in a fixed order and never serialised again.
//! Reading is in [`crate::record`].

use canonry_schemas::time::Time;

use crate::encoding::hex;
use crate::hash::Hash;
use crate::stamp;

/// Everything that stands in a record's body. `source`, `type`, `subject` and `dataschema` follow
/// from the tenant, the aggregate, the event and the version.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The record's id, visible ASCII, at most 64 characters; also `Nats-Msg-Id`.
    pub id: &'a str,
    /// The tenant.
    pub tenant: &'a str,
    /// The workspace, where there is one.
    pub workspace: Option<&'a str>,
    /// Whose name stands on the command.
    pub actor: &'a str,
    /// The service that sent it for the actor.
    pub via: Option<&'a str>,
    /// SHA-256 of the token by which the actor let the service act.
    pub authdigest: Option<Hash>,
    /// The command's idempotency id.
    pub intentid: Option<&'a str>,
    /// Keyed digest of the command's body.
    pub intentdigest: Option<Hash>,
    /// What it belongs to, as the client named it.
    pub correlationid: Option<&'a str>,
    /// The entity commanded, `<aggregate>/<id>`.
    pub entity: &'a str,
    /// Further entities that fold this record; written sorted, none twice; may be empty.
    pub touches: &'a [String],
    /// The holder's epoch.
    pub epoch: u64,
    /// The record's number in its tenant's chain, from 1.
    pub position: u64,
    /// Hash of the record before.
    pub prevhash: Hash,
    /// The moment.
    pub time: Time,
    /// Aggregate of the subject.
    pub aggregate: &'a str,
    /// Event of the subject.
    pub event: &'a str,
    /// Version of the event's data.
    pub version: u32,
    /// W3C trace context.
    pub traceparent: Option<&'a str>,
    /// The event's data, an object, serialised.
    pub data: &'a [u8],
}

/// Room for the attributes of a usual record.
const ATTRIBUTES: usize = 900;

impl Envelope<'_> {
    /// `ledger.<tenant>.<aggregate>.<event>`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("ledger.{}.{}.{}", self.tenant, self.aggregate, self.event)
    }

    /// The body's bytes. Whoever signs them first reads them with [`crate::record::parse`]: a
    /// record that no verifier accepts could never be taken back.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        let mut body = Body(Vec::with_capacity(ATTRIBUTES + self.data.len()));
        let version = self.version.to_string();
        body.0.extend_from_slice(b"{\"specversion\":\"1.0\"");
        body.text("id", &[self.id]);
        body.text("source", &["canonry/", self.tenant]);
        body.text("type", &["canonry.", self.aggregate, ".", self.event, ".v", &version]);
        body.text("subject", &["ledger.", self.tenant, ".", self.aggregate, ".", self.event]);
        body.key("time");
        body.0.extend_from_slice(&stamp::print(self.time));
        body.0.push(b'"');
        body.text("datacontenttype", &["application/json"]);
        let schema = ["schemas/records/", self.aggregate, ".", self.event, ".v", &version, ".json"];
        body.text("dataschema", &schema);
        body.optional("traceparent", self.traceparent);
        body.text("tenant", &[self.tenant]);
        body.optional("workspace", self.workspace);
        body.text("actor", &[self.actor]);
        body.optional("via", self.via);
        body.hash("authdigest", self.authdigest);
        body.optional("intentid", self.intentid);
        body.hash("intentdigest", self.intentdigest);
        body.optional("correlationid", self.correlationid);
        body.text("entity", &[self.entity]);
        if !self.touches.is_empty() {
            let mut touches: Vec<_> = self.touches.iter().map(String::as_str).collect();
            touches.sort_unstable();
            touches.dedup();
            body.text("touches", &[&touches.join(" ")]);
        }
        body.text("epoch", &[&self.epoch.to_string()]);
        body.text("position", &[&self.position.to_string()]);
        body.hash("prevhash", Some(self.prevhash));
        body.0.extend_from_slice(b",\"data\":");
        body.0.extend_from_slice(self.data);
        body.0.push(b'}');
        body.0
    }
}

struct Body(Vec<u8>);

impl Body {
    fn key(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":\"");
    }

    fn text(&mut self, name: &str, parts: &[&str]) {
        self.key(name);
        for part in parts {
            if part.bytes().all(|c| c >= 0x20 && c != b'"' && c != b'\\') {
                self.0.extend_from_slice(part.as_bytes());
            } else {
                // Only a caller's mistake comes here: no attribute's grammar knows such characters.
                let quoted = serde_json::Value::from(*part).to_string();
                self.0.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
            }
        }
        self.0.push(b'"');
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.text(name, &[value]);
        }
    }

    fn hash(&mut self, name: &str, value: Option<Hash>) {
        if let Some(value) = value {
            self.text(name, &[&hex(&value.0)]);
        }
    }
}
