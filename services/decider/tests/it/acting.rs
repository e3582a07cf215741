//! A worker at work under a policy: what the tests of actions have in common.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use canonry_policy::bundle::build::{Plan, Signing, build};
use canonry_provision::testing::TestCell;
use canonry_record::seal::Signer;
use canonry_schemas::answer::Answer;
use canonry_schemas::member::Part;
use canonry_schemas::time::Time;
use ed25519_dalek::Signer as _;
use serde_json::{Value, json};

use crate::harness::{Person, Spine, id, intent};

/// What each tool of the tests may do: allowed, held for one or for two, throttled, routed, denied.
pub const REGO: &str = r#"package canonry.acts

decisions contains {"rule": "read", "verdict": "ALLOW", "obligations": {"redact": ["/secret"]}} if {
    input.action.tool == "read"
}

decisions contains {"rule": "write-ask", "verdict": "REQUIRE_HITL", "four_eyes": true,
    "expiry": 3600, "approvals": [{"approvers": 1, "group": "approver"}]} if {
    input.action.tool == "write"
}

decisions contains {"rule": "wipe-ask-two", "verdict": "REQUIRE_HITL", "four_eyes": true,
    "expiry": 3600, "approvals": [{"approvers": 2, "group": "approver"}]} if {
    input.action.tool == "wipe"
}

decisions contains {"rule": "soon-ask", "verdict": "REQUIRE_HITL", "four_eyes": true,
    "expiry": 3, "escalate_after": 1, "approvals": [{"approvers": 1, "group": "approver"}]} if {
    input.action.tool == "soon"
}

decisions contains {"rule": "nobody", "verdict": "REQUIRE_HITL", "four_eyes": true,
    "expiry": 3600, "approvals": [{"approvers": 1, "group": "nobody-we-know"}]} if {
    input.action.tool == "nobody"
}

decisions contains {"rule": "strong", "verdict": "REQUIRE_STEP_UP", "level": 2} if {
    input.action.tool in {"strong", "both"}
}

decisions contains {"rule": "both-ask", "verdict": "REQUIRE_HITL", "four_eyes": true,
    "expiry": 3600, "approvals": [{"approvers": 1, "group": "approver"}]} if {
    input.action.tool == "both"
}

decisions contains {"rule": "strongest", "verdict": "REQUIRE_STEP_UP", "level": 9} if {
    input.action.tool == "strongest"
}

decisions contains {"rule": "slow", "verdict": "THROTTLE", "retry_after": 30} if {
    input.action.tool == "slow"
}

decisions contains {"rule": "elsewhere", "verdict": "ROUTE", "to": {"queue": "people"}} if {
    input.action.tool == "elsewhere"
}

decisions contains {"rule": "no-force", "verdict": "DENY"} if {
    input.action.args.force == true
}

decisions contains {"rule": "only-without-force", "verdict": "ALLOW"} if {
    input.action.tool == "careful"
    input.action.args.force == false
}

decisions contains {"rule": "odd", "verdict": "PERHAPS"} if {
    input.action.tool == "odd"
}
"#;

pub const TOOLS: [&str; 13] = [
    "read",
    "write",
    "wipe",
    "soon",
    "nobody",
    "slow",
    "elsewhere",
    "careful",
    "odd",
    "other",
    "strong",
    "both",
    "strongest",
];

/// What a bundle is made of.
pub fn plan(revision: u64, rules: &str, seconds: i64) -> Plan {
    let expires = Time(canonry_decider::holder::now().0 + seconds * 1_000_000);
    let files = BTreeMap::from([("acts.rego".to_owned(), rules.as_bytes().to_vec())]);
    Plan { files, revision, expires, roots: vec!["canonry".to_owned()] }
}

/// A bundle's archive, signed by somebody.
pub fn archive(plan: &Plan, by: &Signer) -> Vec<u8> {
    let sign = |message: &[u8]| by.key.sign(message).to_bytes().to_vec();
    let signing = Signing { key: by.id.as_str(), algorithm: "EdDSA", sign: &sign };
    build(plan, Some(&signing)).unwrap()
}

/// The body of `policy.publish`.
pub fn publish(revision: u64, archive: &[u8]) -> Value {
    json!({"bundle": STANDARD.encode(archive), "revision": revision})
}

/// A tenant with a policy, and an operator's run at a ticket. `approver` and `founder` may agree.
pub struct Work {
    pub spine: Spine,
    pub founder: Person,
    pub operator: Person,
    pub approver: Person,
    /// Somebody who has nothing to do with it and is not asked.
    pub clerk: Person,
    pub role: String,
    pub ticket: String,
    pub run: String,
}

impl Work {
    pub async fn begin() -> Self {
        let test = TestCell::start().await.unwrap();
        let spine = Spine::among(test, &[("clerk", Part::Operator)]).await;
        spine.served().await;
        let founder = spine.person("founder").await;
        let operator = spine.person("operator").await;
        let approver = spine.person("approver").await;
        let clerk = spine.person("clerk").await;
        let hire = json!({"title": "Clerk", "job": "Sort.", "boundaries": [], "tools": TOOLS,
            "budget": {"per_ticket_micros": 1_000, "per_day_micros": 5_000},
            "escalation": ["clerk"], "tier": "T1"});
        let role = id(&founder.send("role", "hire", hire).await);
        let open = json!({"title": "work", "role": role});
        let ticket = id(&operator.send("ticket", "open", open).await);
        let run = id(&operator.send("run", "start", json!({"ticket": ticket})).await);
        Self { spine, founder, operator, approver, clerk, role, ticket, run }
    }

    /// Publishes the policy of these tests.
    pub async fn publish(&self) -> Answer {
        let archive = archive(&plan(1, REGO, 3_600), &self.founder.signer);
        self.founder.send("policy", "publish", publish(1, &archive)).await
    }

    pub fn proposal(&self, tool: &str, arguments: &Value, money: u64) -> Value {
        json!({"run": self.run, "tool": tool, "action": "read", "arguments": arguments,
            "worst": {"money_micros": money}})
    }

    pub async fn propose(&self, tool: &str, arguments: Value) -> Answer {
        let proposal = self.proposal(tool, &arguments, 1);
        in_time(async || self.operator.send("action", "propose", proposal.clone()).await).await
    }

    /// A person's answer to the question that a record put.
    pub async fn answer(&self, by: &Person, action: &str, yes: bool, receipt: &str) -> Answer {
        let this = intent();
        let approval = by.approval(&format!("action/{action}"), yes, receipt, &this);
        let verb = if yes { "approve" } else { "reject" };
        by.send_as(&this, "action", verb, &json!({"id": action, "approval": approval})).await
    }

    pub async fn resume(&self, action: &str, arguments: Value) -> Answer {
        let body = json!({"id": action, "arguments": arguments});
        self.operator.send("action", "resume", body).await
    }

    /// The newest record of an action.
    pub async fn record(&self, action: &str) -> Value {
        let entity = format!("action/{action}");
        let ledger = self.spine.ledger().await;
        ledger.into_iter().rfind(|body| body["entity"] == entity.as_str()).unwrap()
    }

    pub async fn stop(mut self) {
        self.spine.stop().await;
    }
}

/// Proposes again while this machine is too busy to evaluate the policy in time, which denies.
pub async fn in_time(propose: impl AsyncFn() -> Answer) -> Answer {
    loop {
        let answer = propose().await;
        if said(&answer) != "policy-timeout" {
            return answer;
        }
    }
}

/// What an answer says: the event, or the code.
pub fn said(answer: &Answer) -> &str {
    match &answer.code {
        Some(code) => code,
        None => answer.event.as_deref().unwrap_or("ok"),
    }
}
