//! Tokens end to end: forged, of another key, ended, for something else, and shown again.

use canonry_decider::serve::connect_cell;
use canonry_nats::Connection;
use canonry_provision::CellUser;
use canonry_record::hash::sha256;
use canonry_record::jws::{self, Bearer, RequestToken};
use canonry_record::ring::{authorize, public_key};
use canonry_record::seal::Signer;
use canonry_record::{Hash, Line, Verifier, verify};
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::{ActorId, IntentId, KeyId};
use canonry_schemas::key::{KeyChange, PublicKey, Use};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::harness::{Person, Spine, ask, intent, now, of_intent};

fn hire() -> Value {
    json!({"title":"x","job":"x","boundaries":[],"tools":[],"escalation":["founder"],
        "budget":{"per_ticket_micros":1,"per_day_micros":1},"tier":"T0"})
}

fn claims(person: &Person, body: &[u8], id: &IntentId) -> RequestToken {
    let iat = i64::try_from(now() / 1_000).unwrap();
    RequestToken {
        iss: person.actor.to_string(),
        aud: "canonry/acme/request".to_owned(),
        aggregate: "role".to_owned(),
        verb: "hire".to_owned(),
        body: sha256(body),
        intent: id.to_string(),
        iat,
        exp: iat + 300,
    }
}

async fn hires(person: &Person, id: &IntentId, token: &str, body: &[u8]) -> Answer {
    let headers = [("Canonry-Intent-Id", id.as_str()), ("Canonry-Request-Token", token)];
    person.raw(&person.subject("role", "hire"), &headers, body.to_vec()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_token_is_good_for_one_request_by_one_key() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let operator = spine.person("operator").await;
    let body = serde_json::to_vec(&hire()).unwrap();
    let iat = i64::try_from(now() / 1_000).unwrap();
    type Change = Box<dyn Fn(&mut RequestToken)>;
    let wrong: Vec<(&str, Change, &str)> = vec![
        ("audience", Box::new(|t| t.aud = "canonry/other/request".into()), "token-invalid"),
        ("use", Box::new(|t| t.aud = "canonry/acme/approval".into()), "token-invalid"),
        ("body", Box::new(|t| t.body = sha256(b"{}")), "token-invalid"),
        ("verb", Box::new(|t| t.verb = "retire".into()), "token-invalid"),
        ("aggregate", Box::new(|t| t.aggregate = "ticket".into()), "token-invalid"),
        ("intent", Box::new(|t| t.intent = intent().to_string()), "token-invalid"),
        ("issuer", Box::new(|t| t.iss = "operator".into()), "token-invalid"),
        ("ended", Box::new(move |t| (t.iat, t.exp) = (iat - 300, iat - 1)), "token-expired"),
        ("ahead", Box::new(move |t| (t.iat, t.exp) = (iat + 500, iat + 600)), "token-expired"),
        ("long", Box::new(move |t| t.exp = iat + 86_400), "token-expired"),
    ];
    for (name, change, code) in wrong {
        let id = intent();
        let mut claims = claims(&founder, &body, &id);
        change(&mut claims);
        let answer = hires(&founder, &id, &jws::sign(&claims, &founder.signer), &body).await;
        assert_eq!(answer.code.as_deref(), Some(code), "{name}");
        assert!(answer.position.is_some(), "{name}");
    }
    let id = intent();
    let good = jws::sign(&claims(&founder, &body, &id), &founder.signer);
    // Another member's valid key, a flipped signature, another algorithm, no token at all.
    let foreign = jws::sign(&claims(&operator, &body, &id), &operator.signer);
    let mut forged = good.clone().into_bytes();
    let at = good.rfind('.').unwrap() + 5;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let payload = good.split('.').nth(1).unwrap();
    let none = format!("eyJhbGciOiJub25lIn0.{payload}.");
    let own_kid = jws::sign(&claims(&founder, &body, &id), &Signer::from_seed(&[7; 32]));
    let long = format!("{good}{}", "A".repeat(5_000));
    for (name, token, code) in [
        ("foreign", foreign, "token-invalid"),
        ("forged", String::from_utf8(forged).unwrap(), "token-invalid"),
        ("alg none", none, "token-invalid"),
        ("stranger", own_kid, "key-unknown"),
        ("too long", long, "token-invalid"),
        ("words", "not a token".to_owned(), "token-invalid"),
    ] {
        let id = intent();
        let answer = hires(&founder, &id, &token, &body).await;
        assert_eq!(answer.code.as_deref(), Some(code), "{name}");
    }

    // The login key is enrolled, and signs nothing.
    let keys = spine.test.cell.key_store();
    let creds = keys.tenant_creds_path(&spine.tenant, &founder.actor);
    let creds = keys.read_text(&creds).unwrap();
    let seed = creds.lines().find(|l| l.starts_with("SU")).unwrap();
    let (_, seed) = nkeys::decode_seed(seed).unwrap();
    let login = Signer::from_seed(&seed);
    let log_in = intent();
    let token = jws::sign(&claims(&founder, &body, &log_in), &login);
    let answer = hires(&founder, &log_in, &token, &body).await;
    assert_eq!(answer.code.as_deref(), Some("key-unknown"));

    // The good one works; the very same message again is the same answer; for another intent not.
    let first = hires(&founder, &id, &good, &body).await;
    assert!(first.ok, "{first:?}");
    assert_eq!(hires(&founder, &id, &good, &body).await, first);
    let replayed = hires(&founder, &intent(), &good, &body).await;
    assert_eq!(replayed.code.as_deref(), Some("token-invalid"));
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.role.hired.v1"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_gets_the_first_answer_whatever_became_of_its_token() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let body = serde_json::to_vec(&hire()).unwrap();
    // Refused, and sent again: one refusal.
    let bad = intent();
    let refused = hires(&founder, &bad, "a.b.c", &body).await;
    assert_eq!(refused.code.as_deref(), Some("token-invalid"));
    assert_eq!(hires(&founder, &bad, "a.b.c", &body).await, refused);
    // Committed, the answer lost, the token ended before the client came again.
    let good = intent();
    let mut claims = claims(&founder, &body, &good);
    let first = hires(&founder, &good, &jws::sign(&claims, &founder.signer), &body).await;
    assert!(first.ok, "{first:?}");
    (claims.iat, claims.exp) = (claims.iat - 600, claims.iat - 300);
    let ended = jws::sign(&claims, &founder.signer);
    assert_eq!(hires(&founder, &good, &ended, &body).await, first);
    spine.stop().await;
    spine.decider = Some(spine.decider("decider-b").await);
    spine.served().await;
    assert_eq!(hires(&founder, &good, &ended, &body).await, first);
    assert_eq!(hires(&founder, &bad, "a.b.c", &body).await, refused);
    spine.stop().await;
    let ledger = spine.ledger().await;
    assert_eq!(of_intent(&ledger, &good).len(), 1);
    assert_eq!(of_intent(&ledger, &bad).len(), 1);
}

async fn for_someone(
    service: &Connection,
    verb: (&str, &str),
    token: &[&str],
    id: &IntentId,
    body: &Value,
) -> Answer {
    let mut headers = vec![("Canonry-Intent-Id", id.as_str())];
    headers.extend(token.iter().map(|t| ("Canonry-On-Behalf-Of", *t)));
    let subject = format!("command.acme.svc_api.{}.{}", verb.0, verb.1);
    ask(service, &subject, &headers, serde_json::to_vec(body).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_acts_only_for_whom_it_can_show() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let service = spine.service("svc_api").await;
    let iat = i64::try_from(now() / 1_000).unwrap();
    let bearer = |change: &dyn Fn(&mut Bearer)| {
        let mut bearer = Bearer {
            iss: "founder".into(),
            aud: "canonry/acme/api".into(),
            ten: "acme".into(),
            iat,
            exp: iat + 600,
            jti: "one".into(),
        };
        change(&mut bearer);
        jws::sign(&bearer, &founder.signer)
    };
    let good = bearer(&|_| ());
    let open = ("ticket", "open");
    let title = json!({"title": "for someone"});
    for (name, token, code) in [
        ("none", vec![], "on-behalf-of-missing"),
        ("two", vec![good.clone(), good.clone()], "bad-header"),
        ("ended", vec![bearer(&|b| (b.iat, b.exp) = (iat - 60, iat - 1))], "token-expired"),
        ("long", vec![bearer(&|b| b.exp = iat + 864_000)], "token-expired"),
        ("audience", vec![bearer(&|b| b.aud = "canonry/acme/request".into())], "token-invalid"),
        ("tenant", vec![bearer(&|b| b.ten = "other".into())], "token-invalid"),
        ("issuer", vec![bearer(&|b| b.iss = "operator".into())], "token-invalid"),
    ] {
        let token: Vec<&str> = token.iter().map(String::as_str).collect();
        let answer = for_someone(&service, open, &token, &intent(), &title).await;
        assert_eq!(answer.code.as_deref(), Some(code), "{name}");
        assert!(answer.position.is_some(), "{name}");
    }
    let own = [("Canonry-Request-Token", good.as_str())];
    let answer = ask(&service, "command.acme.svc_api.ticket.open", &own, title.to_string()).await;
    assert_eq!(answer.unwrap().code.as_deref(), Some("bad-header"));
    let id = intent();
    let first = for_someone(&service, open, &[&good], &id, &title).await;
    assert!(first.ok, "{first:?}");
    assert_eq!(for_someone(&service, open, &[&good], &id, &title).await, first);
    // A bearer does not hire; a token bound to the request does.
    let answer = for_someone(&service, ("role", "hire"), &[&good], &intent(), &hire()).await;
    assert_eq!(answer.code.as_deref(), Some("request-token-missing"));
    let id = intent();
    let bound = claims(&founder, &serde_json::to_vec(&hire()).unwrap(), &id);
    let bound = jws::sign(&bound, &founder.signer);
    let answer = for_someone(&service, ("role", "hire"), &[&bound], &id, &hire()).await;
    assert!(answer.ok, "{answer:?}");
    // A member's own word for another is refused, be the token good or not.
    let operator = spine.person("operator").await;
    let headers = [("Canonry-On-Behalf-Of", good.as_str())];
    let subject = operator.subject("ticket", "open");
    let answer = operator.raw(&subject, &headers, title.to_string()).await.unwrap();
    assert_eq!(answer.code.as_deref(), Some("on-behalf-of-foreign"));
    spine.stop().await;
    let ledger = spine.ledger().await;
    let record = of_intent(&ledger, &id);
    assert_eq!(record.len(), 1);
    assert_eq!((&record[0]["actor"], &record[0]["via"]), (&json!("founder"), &json!("svc_api")));
    assert_eq!(record[0]["authdigest"], jws::digest(&bound).to_string());
}

/// The hash of the last record that changed keys.
pub async fn keyhead(spine: &Spine) -> Hash {
    let keys = spine.test.cell.key_store();
    let reader = connect_cell(&spine.test.url(), keys, &CellUser::Reader).await.unwrap();
    let log = canonry_nats::Log::open(reader, "LEDGER_acme").await.unwrap();
    let log = log.with_reader_name("reader");
    let mut verifier = Verifier::new(spine.tenant.clone(), verify::Pins::default());
    let mut records = log.read(1, None).await.unwrap();
    while let Some(stored) = records.next().await {
        let s = stored.unwrap();
        let line = Line { seq: s.seq, subject: &s.subject, headers: &s.headers, body: &s.body };
        verifier.push(&line).unwrap();
    }
    verifier.state().unwrap().ring.keyhead()
}

/// The keys that an enrolment by these tests gives.
fn keys_of(actor: &str) -> Vec<PublicKey> {
    let of: ActorId = actor.parse().unwrap();
    let key = |number: u8, uses| {
        let seed = sha256(format!("{actor} {number}").as_bytes()).0;
        public_key(&Signer::from_seed(&seed).public(), uses, of.clone())
    };
    vec![key(1, vec![Use::Login]), key(2, vec![Use::Member])]
}

async fn change(spine: &Spine, keys: Vec<PublicKey>, revoked: Vec<KeyId>) -> KeyChange {
    let store = spine.test.cell.key_store();
    let enrol = store.signing_key(&spine.tenant, canonry_keystore::KeyUse::Enrol).unwrap();
    authorize(&spine.tenant, &keyhead(spine).await, keys, revoked, &Signer::new(enrol))
}

/// A body that removes a member who was enrolled by [`enrolment`].
pub async fn removal(spine: &Spine, actor: &str) -> Value {
    let revoked = keys_of(actor).into_iter().map(|k| k.id).collect();
    let change = change(spine, Vec::new(), revoked).await;
    json!({"actor": actor, "keys": change.keys, "revoked": change.revoked,
        "authorization": change.authorization})
}

/// A body that enrols, signed by the enrol key.
pub async fn enrolment(spine: &Spine, actor: &str, more: Value) -> Value {
    let change = change(spine, keys_of(actor), Vec::new()).await;
    let mut body = json!({"actor": actor, "parts": ["operator"], "keys": change.keys,
        "revoked": change.revoked, "authorization": change.authorization});
    if let Value::Object(more) = more {
        body.as_object_mut().unwrap().extend(more);
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_enrolled_as_a_service() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    for actor in ["svc_api", "svc_", "svc_decider"] {
        let body = enrolment(&spine, actor, json!({})).await;
        let answer = founder.send("member", "enrol", body).await;
        assert_eq!(answer.code.as_deref(), Some("service-token"), "{actor}: {answer:?}");
    }
    let body = enrolment(&spine, "ines", json!({})).await;
    let answer = founder.send("member", "enrol", body.clone()).await;
    assert!(answer.ok, "{answer:?}");
    let answer = founder.send("member", "enrol", body).await;
    assert!(!answer.ok, "the same change of keys is not taken twice: {answer:?}");
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.member.enrolled.v1"], 1);
}
