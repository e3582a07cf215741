//! Every route, in two tables: the router and the OpenAPI document are both made of them.

use std::any::type_name;

use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, get, on, post as post_of};
use axum::{Json, Router};
use canonry_projections::approvers::Approver;
use canonry_projections::leases::Lease;
use canonry_projections::{acts, page::Page, rows};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::problem::{METHOD_UNKNOWN, Problem, ROUTE_UNKNOWN};
use crate::{
    Api, actions, changes, diff, drafts, evidence, health, openapi, policy, query, read, spend,
    tlog, traced, write,
};

/// A route that changes something: one command.
#[derive(Debug)]
pub struct Write {
    /// `POST`, `PATCH` or `PUT`.
    pub method: Method,
    /// The whole path.
    pub path: &'static str,
    /// The command's aggregate.
    pub aggregate: &'static str,
    /// The command's verb.
    pub verb: &'static str,
    /// The field of the command that the path's last parameter is.
    pub id: Option<&'static str>,
    /// Whether something comes into being.
    pub creates: bool,
}

/// The methods of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// POST.
    Post,
    /// PATCH.
    Patch,
    /// PUT.
    Put,
}

/// A route that reads.
pub struct Read {
    /// The whole path.
    pub path: &'static str,
    /// In a line.
    pub summary: &'static str,
    /// Whether a bearer is needed.
    pub bearer: bool,
    /// The schema of its query, where it has one.
    pub query: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// The media type and schema of its answer.
    pub answer: (&'static str, fn(&mut SchemaGenerator) -> Schema),
    handler: fn() -> MethodRouter<Api>,
}

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GET {} ({})", self.path, type_name::<Self>())
    }
}

const fn post(path: &'static str, aggregate: &'static str, verb: &'static str) -> Write {
    Write { method: Method::Post, path, aggregate, verb, id: None, creates: true }
}

const fn act(path: &'static str, aggregate: &'static str, verb: &'static str) -> Write {
    Write { method: Method::Post, path, aggregate, verb, id: Some("id"), creates: false }
}

const fn patch(path: &'static str, aggregate: &'static str) -> Write {
    Write { method: Method::Patch, path, aggregate, verb: "amend", id: Some("id"), creates: false }
}

/// Every route that changes something.
pub const WRITES: &[Write] = &[
    post("/api/v1/roles", "role", "hire"),
    patch("/api/v1/roles/{id}", "role"),
    act("/api/v1/roles/{id}/pause", "role", "pause"),
    act("/api/v1/roles/{id}/resume", "role", "resume"),
    act("/api/v1/roles/{id}/retire", "role", "retire"),
    act("/api/v1/roles/{id}/fingerprint", "role", "fingerprint"),
    Write { creates: false, ..post("/api/v1/tiers", "tier", "configure") },
    post("/api/v1/tickets", "ticket", "open"),
    patch("/api/v1/tickets/{id}", "ticket"),
    act("/api/v1/tickets/{id}/assign", "ticket", "assign"),
    act("/api/v1/tickets/{id}/request-approval", "ticket", "request-approval"),
    act("/api/v1/tickets/{id}/approve", "ticket", "approve"),
    act("/api/v1/tickets/{id}/reject", "ticket", "reject"),
    act("/api/v1/tickets/{id}/start", "ticket", "start"),
    act("/api/v1/tickets/{id}/complete", "ticket", "complete"),
    act("/api/v1/tickets/{id}/reopen", "ticket", "reopen"),
    act("/api/v1/tickets/{id}/cancel", "ticket", "cancel"),
    Write { id: Some("ticket"), ..post("/api/v1/exec/start/{id}", "run", "start") },
    act("/api/v1/exec/{id}/steps", "run", "record-step"),
    act("/api/v1/exec/{id}/complete", "run", "complete"),
    act("/api/v1/exec/{id}/fail", "run", "fail"),
    act("/api/v1/exec/{id}/cancel", "run", "cancel"),
    post("/api/v1/leases", "lease", "issue"),
    act("/api/v1/leases/{id}/revoke", "lease", "revoke"),
    Write { creates: false, ..post("/api/v1/tenant/keys", "tenant", "rotate-keys") },
    Write { creates: false, ..post("/api/v1/content/erase", "content", "erase") },
    post("/api/v1/events", "ext", "append"),
    post("/api/v1/events/kinds", "ext", "register"),
    Write { creates: false, ..post("/api/v1/budgets", "budget", "limit") },
    Write { creates: false, ..post("/api/v1/prices", "budget", "price") },
    Write { method: Method::Put, creates: false, ..post("/api/v1/policy", "policy", "publish") },
    post("/api/v1/actions", "action", "propose"),
    act("/api/v1/actions/{id}/approve", "action", "approve"),
    act("/api/v1/actions/{id}/reject", "action", "reject"),
    act("/api/v1/actions/{id}/step-up", "action", "step-up"),
    act("/api/v1/actions/{id}/resume", "action", "resume"),
    act("/api/v1/actions/{id}/ask-again", "action", "ask-again"),
    act("/api/v1/actions/{id}/settle", "action", "settle"),
    Write { creates: false, ..post("/api/v1/delegation", "member", "delegate") },
    Write { creates: false, ..post("/api/v1/delegation/end", "member", "end-delegation") },
    post("/api/v1/members", "member", "enrol"),
    Write { id: Some("actor"), ..act("/api/v1/members/{id}/remove", "member", "remove") },
    Write { id: Some("actor"), ..act("/api/v1/members/{id}/keys", "member", "rotate-keys") },
];

/// A route that takes a file.
#[derive(Debug)]
pub struct Upload {
    /// The whole path.
    pub path: &'static str,
    /// The aggregate that the path's parameter names.
    pub aggregate: &'static str,
}

/// Every route that takes a file.
pub const UPLOADS: &[Upload] = &[
    Upload { path: "/api/v1/tickets/{id}/evidence", aggregate: "ticket" },
    Upload { path: "/api/v1/runs/{id}/evidence", aggregate: "run" },
];

/// A route that is asked with a body and changes nothing.
pub struct Ask {
    /// The whole path.
    pub path: &'static str,
    /// In a line.
    pub summary: &'static str,
    /// The schema of what is sent, and of the answer.
    pub schemas: [fn(&mut SchemaGenerator) -> Schema; 2],
    handler: fn() -> MethodRouter<Api>,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "POST {}", self.path)
    }
}

/// Every route that is asked with a body.
pub const ASKS: &[Ask] = &[
    Ask {
        path: "/api/v1/policy/check",
        summary: "Advice: what the policy in force says of an input (docs/policy.md); it allows nothing",
        schemas: [of::<serde_json::Map<String, serde_json::Value>>, of::<policy::Checked>],
        handler: || post_of(policy::check),
    },
    Ask {
        path: "/api/v1/policy/simulate",
        summary: "What a draft would have decided otherwise; not for workers",
        schemas: [of::<drafts::Simulate>, of::<drafts::Told>],
        handler: || post_of(drafts::simulate),
    },
    Ask {
        path: "/api/v1/policy/diff",
        summary: "What differs between a draft and the policy in force",
        schemas: [of::<drafts::Compare>, of::<drafts::Compared>],
        handler: || post_of(drafts::diff),
    },
];

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain";
const OPEN_METRICS: &str = "application/openmetrics-text";

/// Every route that reads.
pub const READS: &[Read] = &[
    Read {
        path: "/api/v1/roles",
        summary: "Roles in the order of hiring",
        bearer: true,
        query: Some(of::<query::Roles>),
        answer: (JSON, of::<Page<rows::Role>>),
        handler: || get(read::roles),
    },
    Read {
        path: "/api/v1/roles/{id}",
        summary: "One role",
        bearer: true,
        query: Some(of::<query::One>),
        answer: (JSON, of::<rows::Role>),
        handler: || get(read::role),
    },
    Read {
        path: "/api/v1/tickets",
        summary: "Tickets, filtered and sorted; status=active gives all that are not ended",
        bearer: true,
        query: Some(of::<query::Tickets>),
        answer: (JSON, of::<Page<rows::Ticket>>),
        handler: || get(read::tickets),
    },
    Read {
        path: "/api/v1/tickets/{id}",
        summary: "One ticket with its attempts and the question that awaits an answer",
        bearer: true,
        query: Some(of::<query::One>),
        answer: (JSON, of::<read::TicketDetail>),
        handler: || get(read::ticket),
    },
    Read {
        path: "/api/v1/runs",
        summary: "Runs in the order of their start",
        bearer: true,
        query: Some(of::<query::Runs>),
        answer: (JSON, of::<Page<rows::Run>>),
        handler: || get(read::runs),
    },
    Read {
        path: "/api/v1/exec/{id}/status",
        summary: "One run with its steps",
        bearer: true,
        query: Some(of::<query::Steps>),
        answer: (JSON, of::<read::RunDetail>),
        handler: || get(read::run),
    },
    Read {
        path: "/api/v1/leases",
        summary: "Leases of workers in the order in which they were issued",
        bearer: true,
        query: Some(of::<query::Leases>),
        answer: (JSON, of::<Page<Lease>>),
        handler: || get(read::leases),
    },
    Read {
        path: "/api/v1/leases/{id}",
        summary: "One lease",
        bearer: true,
        query: Some(of::<query::Plain>),
        answer: (JSON, of::<Lease>),
        handler: || get(read::lease),
    },
    Read {
        path: "/api/v1/events",
        summary: "Records of the ledger, refusals included",
        bearer: true,
        query: Some(of::<query::Events>),
        answer: (JSON, of::<Page<rows::Event>>),
        handler: || get(read::events),
    },
    Read {
        path: "/api/v1/events/kinds",
        summary: "Custom record types with their schemas, in the order of registration",
        bearer: true,
        query: Some(of::<query::Kinds>),
        answer: (JSON, of::<Page<rows::Kind>>),
        handler: || get(read::kinds),
    },
    Read {
        path: "/api/v1/events/chain-verify",
        summary: "What the projector's verification of chain and signatures came to",
        bearer: true,
        query: Some(of::<query::Plain>),
        answer: (JSON, of::<read::Verification>),
        handler: || get(read::chain_verify),
    },
    Read {
        path: "/api/v1/tlog/checkpoint",
        summary: "The newest signed checkpoint of the ledger's Merkle tree, a C2SP note",
        bearer: true,
        query: Some(of::<query::Plain>),
        answer: (TEXT, of::<String>),
        handler: || get(tlog::checkpoint),
    },
    Read {
        path: "/api/v1/tlog/tile/{*id}",
        summary: "A tile of the tree or a bundle of entries, as C2SP tlog-tiles names them",
        bearer: true,
        query: Some(of::<query::Plain>),
        answer: (BYTES, of::<String>),
        handler: || get(tlog::tile),
    },
    Read {
        path: "/api/v1/tlog/inclusion",
        summary: "A C2SP tlog-proof that the record at a position is in the log",
        bearer: true,
        query: Some(of::<query::Inclusion>),
        answer: (TEXT, of::<String>),
        handler: || get(tlog::inclusion),
    },
    Read {
        path: "/api/v1/tlog/consistency",
        summary: "A proof that the tree of one size begins the tree of another",
        bearer: true,
        query: Some(of::<query::Consistency>),
        answer: (JSON, of::<tlog::ConsistencyProof>),
        handler: || get(tlog::consistency),
    },
    Read {
        path: "/api/v1/events/{id}/evidence",
        summary: "A signed address of what the record with this id or position attached",
        bearer: true,
        query: Some(of::<query::EvidenceUrl>),
        answer: (JSON, of::<evidence::Address>),
        handler: || get(evidence::address),
    },
    Read {
        path: "/api/v1/evidence/{id}",
        summary: "The bytes behind a signed address",
        bearer: false,
        query: Some(of::<query::Signed>),
        answer: (BYTES, of::<String>),
        handler: || get(evidence::download),
    },
    Read {
        path: "/api/v1/budgets",
        summary: "Accounts with their limits, what is spent and reserved, and the price table",
        bearer: true,
        query: Some(of::<query::Budgets>),
        answer: (JSON, of::<spend::Accounts>),
        handler: || get(spend::budgets),
    },
    Read {
        path: "/api/v1/spend",
        summary: "What was spent, added up by ticket, run, role, model, tool or day",
        bearer: true,
        query: Some(of::<query::Spend>),
        answer: (JSON, of::<Page<rows::Spend>>),
        handler: || get(spend::spend),
    },
    Read {
        path: "/api/v1/policy",
        summary: "The policy in force with its bundle, and how sure this process is of it",
        bearer: true,
        query: Some(of::<query::PolicyNow>),
        answer: (JSON, of::<policy::InForce>),
        handler: || get(policy::in_force),
    },
    Read {
        path: "/api/v1/actions",
        summary: "Actions in the order of their proposals; status=held gives those that wait for people",
        bearer: true,
        query: Some(of::<query::Actions>),
        answer: (JSON, of::<Page<acts::Action>>),
        handler: || get(actions::actions),
    },
    Read {
        path: "/api/v1/actions/{id}",
        summary: "One action: where it stands, what the policy said, who is asked",
        bearer: true,
        query: Some(of::<query::Plain>),
        answer: (JSON, of::<acts::Action>),
        handler: || get(actions::action),
    },
    Read {
        path: "/api/v1/members",
        summary: "Members with their parts and public keys",
        bearer: true,
        query: Some(of::<query::Many>),
        answer: (JSON, of::<Page<rows::Member>>),
        handler: || get(read::members),
    },
    Read {
        path: "/api/v1/members/{id}",
        summary: "One member with their public keys",
        bearer: true,
        query: Some(of::<query::One>),
        answer: (JSON, of::<rows::Member>),
        handler: || get(read::member),
    },
    Read {
        path: "/api/v1/approvers",
        summary: "How people answer: time to decide, approvals in a row, later reversals",
        bearer: true,
        query: Some(of::<query::Pages>),
        answer: (JSON, of::<Page<Approver>>),
        handler: || get(actions::approvers),
    },
    Read {
        path: "/api/v1/diff",
        summary: "What changed between two positions, entity by entity",
        bearer: true,
        query: Some(of::<query::Diff>),
        answer: (JSON, of::<diff::Difference>),
        handler: || get(diff::diff),
    },
    Read {
        path: "/api/v1/changes",
        summary: "Metadata of new records as server-sent events; resumes with Last-Event-ID",
        bearer: true,
        query: Some(of::<query::Changes>),
        answer: ("text/event-stream", of::<String>),
        handler: || get(changes::changes),
    },
    Read {
        path: "/api/v1/openapi.json",
        summary: "This document",
        bearer: false,
        query: None,
        answer: (JSON, of::<serde_json::Value>),
        handler: || get(async || Json(openapi::document())),
    },
    Read {
        path: "/openapi.json",
        summary: "This document",
        bearer: false,
        query: None,
        answer: (JSON, of::<serde_json::Value>),
        handler: || get(async || Json(openapi::document())),
    },
    Read {
        path: "/healthz",
        summary: "Whether the process lives",
        bearer: false,
        query: None,
        answer: (TEXT, of::<String>),
        handler: || get(health::live),
    },
    Read {
        path: "/readyz",
        summary: "Whether it can serve",
        bearer: false,
        query: None,
        answer: (TEXT, of::<String>),
        handler: || get(health::ready),
    },
    Read {
        path: "/metrics",
        summary: "Metrics as OpenMetrics text",
        bearer: false,
        query: None,
        answer: (OPEN_METRICS, of::<String>),
        handler: || get(health::metrics),
    },
];

/// The whole API.
pub fn router(api: Api) -> Router {
    let mut router: Router<Api> = Router::new();
    for route in READS {
        router = router.route(route.path, (route.handler)());
    }
    for route in ASKS {
        router = router.route(route.path, (route.handler)());
    }
    for route in WRITES {
        let method = match route.method {
            Method::Post => MethodFilter::POST,
            Method::Patch => MethodFilter::PATCH,
            Method::Put => MethodFilter::PUT,
        };
        let handler = move |State(api): State<Api>, request: Request| async move {
            Box::pin(write::handle(api, route, request)).await
        };
        router = router.route(route.path, on(method, handler));
    }
    for route in UPLOADS {
        let handler = move |State(api): State<Api>, request: Request| async move {
            Box::pin(evidence::upload(api, route, request)).await
        };
        router = router.route(route.path, on(MethodFilter::POST, handler));
    }
    router
        .fallback(async || Problem::new(ROUTE_UNKNOWN, "there is no such route"))
        .method_not_allowed_fallback(async || {
            Problem::new(METHOD_UNKNOWN, "this route knows other methods")
        })
        .layer(from_fn_with_state(api.clone(), traced::watch))
        .with_state(api)
}
