//! Reads: each waits for `min_position` where one is given, answers from one moment, and says in
//! `Canonry-Position` which.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use canonry_projections::leases::LeaseFilter;
use canonry_projections::{
    EventFilter, Head, PageRequest, RunFilter, Snapshot, TicketFilter, TicketSort, page, rows,
};
use canonry_schemas::limits::PAGE_MAX;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::time::Time;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Api;
use crate::auth::{Caller, Claims, authenticate};
use crate::content::{self, Field};
use crate::problem::{Problem, QUERY_INVALID, ROUTE_UNKNOWN};
use crate::query::{Events, Kinds, Leases, Many, One, Plain, Roles, Runs, Steps, Tickets, Window};

/// The position that an answer belongs to.
pub const POSITION: HeaderName = HeaderName::from_static("canonry-position");

/// An authenticated read with its query.
pub struct Asked<Q> {
    pub caller: Caller,
    pub query: Q,
}

impl<Q: DeserializeOwned + Window + Send> FromRequestParts<Api> for Asked<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Query(query): Query<Q> = Query::try_from_uri(&parts.uri)?;
        let min_position = query.min_position();
        let caller = authenticate(api, &parts.headers, min_position).await?;
        if let Claims::Request(_) = caller.claims {
            return Err(Refusal::TokenInvalid.into());
        }
        if let Some(position) = min_position {
            api.projections.wait(&caller.tenant, position).await?;
        }
        Ok(Self { caller, query })
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(QUERY_INVALID, without_theirs(&rejection.body_text()))
    }
}

/// What was expected, without the client's own words, which come before it: they may be content,
/// or a secret, and answers end up in logs of others.
fn without_theirs(text: &str) -> String {
    match text.rsplit_once("expected") {
        Some((_, ours)) => format!("a parameter is unknown or does not fit: expected{ours}"),
        None if text.contains(['`', '"', '\'']) => "a parameter does not fit".to_owned(),
        None => text.to_owned(),
    }
}

/// The id in a path.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(Problem::new(ROUTE_UNKNOWN, "the id in the path does not read")),
        }
    }
}

pub type Answered = Result<Response, Problem>;
type Answer<T> = Result<T, canonry_projections::Error>;

impl<Q> Asked<Q> {
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        api: &Api,
        query: impl FnOnce(&Snapshot<'_>) -> Answer<T> + Send + 'static,
    ) -> Result<(Head, T), Problem> {
        Ok(api.projections.read(&self.caller.tenant, query).await?)
    }

    /// One entity, or with none everything, as it is or as it was.
    async fn read_as_of<T: Send + 'static>(
        &self,
        api: &Api,
        as_of: Option<u64>,
        entity: Option<String>,
        query: impl FnOnce(&Snapshot<'_>) -> Answer<T> + Send + 'static,
    ) -> Result<(Head, T), Problem> {
        let Some(position) = as_of else { return self.read(api, query).await };
        if position == 0 {
            return Err(Problem::new(QUERY_INVALID, "as_of: positions begin at 1"));
        }
        api.projections.wait(&self.caller.tenant, position).await?;
        let past = self.read(api, move |s| {
            let mut past = match &entity {
                Some(entity) => s.as_of(entity, position)?,
                None => s.all_as_of(position)?,
            };
            let past = past.snapshot()?;
            Ok((past.head().clone(), query(&past)?))
        });
        Ok(past.await?.1)
    }

    /// Rows as JSON, with their content opened.
    fn open<T: Serialize>(
        &self,
        api: &Api,
        row: &T,
        entity: &str,
        fields: &[Field],
    ) -> Result<Value, Problem> {
        let mut row = serde_json::to_value(row).map_err(|e| Problem::internal(&e))?;
        content::open(&*api.content, &self.caller.tenant, entity, fields, &mut row);
        Ok(row)
    }

    fn open_page<T: Serialize>(
        &self,
        api: &Api,
        page: &page::Page<T>,
        entity: impl Fn(&T) -> (String, &'static [Field]),
    ) -> Result<Value, Problem> {
        let open = |row: &T| {
            let (entity, fields) = entity(row);
            self.open(api, row, &entity, fields)
        };
        let items: Vec<Value> = page.items.iter().map(open).collect::<Result<_, _>>()?;
        let mut out = json!({ "items": items });
        if let Some(next) = &page.next {
            out["next"] = json!(next);
        }
        Ok(out)
    }
}

pub(crate) fn answer(head: &Head, body: Value) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(POSITION, HeaderValue::from(head.position));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn time(text: Option<&String>) -> Result<Option<Time>, Problem> {
    let read =
        |t: &String| Time::lenient(t).map_err(|e| Problem::new(QUERY_INVALID, e.to_string()));
    text.map(read).transpose()
}

pub async fn roles(State(api): State<Api>, asked: Asked<Roles>) -> Answered {
    let (status, page) = (asked.query.status.clone(), asked.query.page());
    let (head, page) = asked
        .read_as_of(&api, asked.query.as_of, None, move |s| s.roles(status.as_deref(), &page))
        .await?;
    let entity = |r: &rows::Role| (format!("role/{}", r.id), content::ROLE);
    Ok(answer(&head, asked.open_page(&api, &page, entity)?))
}

pub async fn role(State(api): State<Api>, Id(id): Id, asked: Asked<One>) -> Answered {
    let (as_of, entity) = (asked.query.as_of, Some(format!("role/{id}")));
    let (head, role) = asked.read_as_of(&api, as_of, entity, move |s| s.role(&id)).await?;
    let role = role.ok_or(Refusal::RoleUnknown)?;
    Ok(answer(&head, asked.open(&api, &role, &format!("role/{}", role.id), content::ROLE)?))
}

pub async fn tickets(State(api): State<Api>, asked: Asked<Tickets>) -> Answered {
    let q = &asked.query;
    let mut status = Vec::new();
    for name in q.status.iter().flat_map(|s| s.split(',')) {
        match name {
            "active" => status.extend(["open".to_owned(), "started".to_owned()]),
            "open" | "started" | "completed" | "cancelled" => status.push(name.to_owned()),
            _ => return Err(Problem::new(QUERY_INVALID, "status: there is no such status")),
        }
    }
    let sort = match &q.sort {
        None => TicketSort::default(),
        Some(name) => TicketSort::ALL
            .iter()
            .find_map(|(n, sort)| (n == name).then_some(*sort))
            .ok_or_else(|| Problem::new(QUERY_INVALID, "sort: opened, -opened, priority or due"))?,
    };
    let filter = TicketFilter {
        status,
        role: q.role.clone(),
        priority: q.priority,
        breached: q.breached,
        approval_pending: q.approval_pending,
        external: q.external.clone(),
    };
    let page = q.page();
    let (head, page) = asked
        .read_as_of(&api, asked.query.as_of, None, move |s| s.tickets(&filter, sort, &page))
        .await?;
    let entity = |t: &rows::Ticket| (format!("ticket/{}", t.id), content::TICKET);
    Ok(answer(&head, asked.open_page(&api, &page, entity)?))
}

/// A ticket and its attempts, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TicketDetail {
    #[serde(flatten)]
    ticket: rows::Ticket,
    attempts: Vec<rows::Run>,
}

pub async fn ticket(State(api): State<Api>, Id(id): Id, asked: Asked<One>) -> Answered {
    let (as_of, entity) = (asked.query.as_of, Some(format!("ticket/{id}")));
    let found = asked.read_as_of(&api, as_of, entity, move |s| {
        let Some(ticket) = s.ticket(&id)? else { return Ok(None) };
        let filter = RunFilter { ticket: Some(id), ..RunFilter::default() };
        let page = PageRequest { limit: Some(PAGE_MAX), cursor: None };
        Ok(Some(TicketDetail { ticket, attempts: s.runs(&filter, &page)?.items }))
    });
    let (head, found) = found.await?;
    let found = found.ok_or(Refusal::TicketUnknown)?;
    let entity = format!("ticket/{}", found.ticket.id);
    let mut row = asked.open(&api, &found, &entity, content::TICKET)?;
    for (place, run) in row["attempts"].as_array_mut().into_iter().flatten().zip(&found.attempts) {
        *place = asked.open(&api, run, &format!("run/{}", run.id), content::RUN)?;
    }
    Ok(answer(&head, row))
}

pub async fn runs(State(api): State<Api>, asked: Asked<Runs>) -> Answered {
    let q = &asked.query;
    let filter =
        RunFilter { ticket: q.ticket.clone(), worker: q.worker.clone(), status: q.status.clone() };
    let page = q.page();
    let (head, page) =
        asked.read_as_of(&api, asked.query.as_of, None, move |s| s.runs(&filter, &page)).await?;
    let entity = |r: &rows::Run| (format!("run/{}", r.id), content::RUN);
    Ok(answer(&head, asked.open_page(&api, &page, entity)?))
}

/// A run and a page of its steps, in order.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunDetail {
    #[serde(flatten)]
    run: rows::Run,
    recorded: page::Page<rows::Step>,
}

pub async fn run(State(api): State<Api>, Id(id): Id, asked: Asked<Steps>) -> Answered {
    let page = asked.query.page();
    let (as_of, entity) = (asked.query.as_of, Some(format!("run/{id}")));
    let found = asked.read_as_of(&api, as_of, entity, move |s| {
        let Some(run) = s.run(&id)? else { return Ok(None) };
        Ok(Some(RunDetail { run, recorded: s.steps(&id, &page)? }))
    });
    let (head, found) = found.await?;
    let found = found.ok_or(Refusal::RunUnknown)?;
    let entity = format!("run/{}", found.run.id);
    let mut row = asked.open(&api, &found, &entity, content::RUN)?;
    let step = |_: &rows::Step| (entity.clone(), content::STEP);
    row["recorded"] = asked.open_page(&api, &found.recorded, step)?;
    Ok(answer(&head, row))
}

pub async fn events(State(api): State<Api>, asked: Asked<Events>) -> Answered {
    let q = &asked.query;
    let newest_first = match q.sort.as_deref() {
        None | Some("position") => false,
        Some("-position") => true,
        Some(_) => return Err(Problem::new(QUERY_INVALID, "sort: position or -position")),
    };
    let filter = EventFilter {
        kind: q.r#type.clone(),
        actor: q.actor.clone(),
        entity: q.entity.clone(),
        custom: q.kind.clone(),
        intent: q.intent.clone(),
        refusal: q.refusal,
        from_time: time(q.from_time.as_ref())?,
        to_time: time(q.to_time.as_ref())?,
        from_position: q.from_position,
        to_position: q.to_position,
        newest_first,
    };
    let page = q.page();
    let opened = q.content.unwrap_or(false);
    let (reader, leased) = (asked.caller.actor.to_string(), asked.caller.is_leased());
    let (head, (page, works)) = asked
        .read(&api, move |s| {
            let member = s.member(&reader)?;
            let works = leased || member.is_none_or(|m| m.parts == json!(["worker"]));
            Ok((s.events(&filter, &page)?, works))
        })
        .await?;
    let entity = |e: &rows::Event| {
        let fields = match e.kind.split('.').nth(1) {
            _ if !opened || e.kind.starts_with(APPENDED) => &[],
            // What others wanted to do, with all that was known then, is not for workers.
            Some("action") if works => &[],
            Some("action") => content::ACTION_EVENT,
            Some("member") => content::MEMBER_EVENT,
            Some("evidence") => content::EVIDENCE_EVENT,
            _ => content::EVENT,
        };
        (e.entity.clone(), fields)
    };
    let mut body = asked.open_page(&api, &page, entity)?;
    for (row, event) in body["items"].as_array_mut().into_iter().flatten().zip(&page.items) {
        if opened && event.kind.starts_with(APPENDED) {
            content::open_data(&*api.content, &asked.caller.tenant, &event.entity, row);
        }
    }
    Ok(answer(&head, body))
}

pub async fn kinds(State(api): State<Api>, asked: Asked<Kinds>) -> Answered {
    let (kind, page) = (asked.query.kind.clone(), asked.query.page());
    let (head, page) = asked.read(&api, move |s| s.kinds(kind.as_deref(), &page)).await?;
    Ok(answer(&head, json!(page)))
}

pub async fn leases(State(api): State<Api>, asked: Asked<Leases>) -> Answered {
    let q = &asked.query;
    let (run, role) = (q.run.clone(), q.role.clone());
    let filter = LeaseFilter { run, role, worker: q.worker.clone(), status: q.status.clone() };
    let page = q.page();
    let (head, page) = asked.read(&api, move |s| s.leases(&filter, &page)).await?;
    Ok(answer(&head, json!(page)))
}

pub async fn lease(State(api): State<Api>, Id(id): Id, asked: Asked<Plain>) -> Answered {
    let (head, lease) = asked.read(&api, move |s| s.lease(&id)).await?;
    Ok(answer(&head, json!(lease.ok_or(Refusal::LeaseUnknown)?)))
}

/// How the type of a custom record begins.
const APPENDED: &str = "canonry.ext.appended.";

/// The projector's own verification, up to the moment of the answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verification {
    /// Records whose chain and signatures hold.
    records: u64,
    /// Whether nothing broke.
    ok: bool,
    /// The first position that does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Hash of the last record that holds.
    hash: String,
    /// Its time.
    time: String,
}

pub async fn chain_verify(State(api): State<Api>, asked: Asked<Plain>) -> Answered {
    let broken = api.projections.broken(&asked.caller.tenant)?;
    let (head, ()) = asked.read(&api, |_| Ok(())).await?;
    let (position, why) = broken.map_or((None, None), |b| (Some(b.position), Some(b.why)));
    let verification = Verification {
        records: head.position,
        ok: position.is_none(),
        position,
        why,
        hash: head.hash.clone(),
        time: head.time.clone(),
    };
    Ok(answer(&head, json!(verification)))
}

pub async fn members(State(api): State<Api>, asked: Asked<Many>) -> Answered {
    let page = asked.query.page();
    let (head, page) =
        asked.read_as_of(&api, asked.query.as_of, None, move |s| s.members(&page)).await?;
    let entity = |m: &rows::Member| (format!("member/{}", m.actor), content::MEMBER);
    Ok(answer(&head, asked.open_page(&api, &page, entity)?))
}

pub async fn member(State(api): State<Api>, Id(id): Id, asked: Asked<One>) -> Answered {
    let (as_of, entity) = (asked.query.as_of, Some(format!("member/{id}")));
    let (head, member) = asked.read_as_of(&api, as_of, entity, move |s| s.member(&id)).await?;
    let member = member.ok_or(Refusal::MemberUnknown)?;
    let entity = format!("member/{}", member.actor);
    Ok(answer(&head, asked.open(&api, &member, &entity, content::MEMBER)?))
}
