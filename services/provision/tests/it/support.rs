//! A client per user, with the server's violations in a channel, and a founded tenant.

use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Message};
use canonry_provision::testing::TestCell;
use canonry_provision::{BoxError, Bus, CellUser, TenantUser};
use canonry_schemas::ids::{ActorId, TenantId};
use futures_util::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// Longer than anything here takes; a test that reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct User {
    pub client: Client,
    events: UnboundedReceiver<Event>,
    /// A subject that it may publish to; see [`Self::settle`].
    probe: String,
}

impl User {
    pub async fn connect(url: &str, creds: &Path, inbox: &str, probe: &str) -> Self {
        let (sender, events) = unbounded_channel();
        let client = ConnectOptions::with_credentials_file(creds)
            .await
            .unwrap()
            .custom_inbox_prefix(inbox)
            .request_timeout(Some(PATIENCE))
            .event_callback(move |event| {
                let sent = sender.send(event);
                async move { drop(sent) }
            })
            .connect(url)
            .await
            .unwrap();
        Self { client, events, probe: probe.to_owned() }
    }

    /// The next permissions violation that the server reports.
    pub async fn violation(&mut self) -> String {
        timeout(PATIENCE, async {
            loop {
                let text = self.events.recv().await.unwrap().to_string();
                if text.to_lowercase().contains("permissions violation") {
                    return text;
                }
            }
        })
        .await
        .expect("the server reports a violation")
    }

    /// A subscription that the server has seen.
    pub async fn listen(&self, subject: &str) -> async_nats::Subscriber {
        let subscriber = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.settle().await;
        subscriber
    }

    /// Answers every message on a subject with `answer`, for ever.
    pub async fn serve(&self, subject: &str, answer: &'static str) {
        let mut requests =
            self.client.queue_subscribe(subject.to_owned(), "q".into()).await.unwrap();
        self.settle().await;
        let client = self.client.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                if let Some(reply) = request.reply {
                    client.publish(reply, answer.into()).await.unwrap();
                    client.flush().await.unwrap();
                }
            }
        });
    }

    /// Waits until the server has handled everything that was sent before: whatever it answers,
    /// it answers in order.
    pub async fn settle(&self) {
        let answer = self.client.request(self.probe.clone(), "".into()).await;
        drop(answer);
    }

    pub async fn request(&self, subject: &str, payload: &str) -> Message {
        self.client.request(subject.to_owned(), payload.to_owned().into()).await.unwrap()
    }

    /// Pulls from a consumer. Not a request: the answers carry the stream's subjects, which the
    /// client's own reply routing does not know.
    pub async fn pull(&self, api: &str, inbox: &str, count: usize) -> Vec<Message> {
        let answers = self.listen(inbox).await;
        let body = format!(r#"{{"batch":{count},"no_wait":true}}"#);
        let (api, inbox) = (api.to_owned(), inbox.to_owned());
        self.client.publish_with_reply(api, inbox, body.into()).await.unwrap();
        timeout(PATIENCE, answers.take(count).collect()).await.expect("the messages arrive")
    }

    pub async fn json(&self, subject: &str, payload: &str) -> serde_json::Value {
        serde_json::from_slice(&self.request(subject, payload).await.payload).unwrap()
    }
}

impl Bus for User {
    async fn request(&self, subject: &str, payload: Vec<u8>) -> Result<Vec<u8>, BoxError> {
        let answer = self.client.request(subject.to_owned(), payload.into()).await?;
        Ok(answer.payload.to_vec())
    }
}

pub fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub fn actor(name: &str) -> ActorId {
    name.parse().unwrap()
}

pub async fn cell_user(test: &TestCell, user: CellUser) -> User {
    let creds = test.creds(&user).unwrap();
    let probe = match &user {
        CellUser::Responder => "_INBOX.probe".to_owned(),
        CellUser::CellOperator => "$SRV.PROBE".to_owned(),
        CellUser::ProvisionSys => "$SYS.REQ.CLAIMS.LIST".to_owned(),
        CellUser::Warden => "$SYS.REQ.SERVER.PING.CONNZ".to_owned(),
        CellUser::LeaseIssuer => "_R_.probe".to_owned(),
        CellUser::Intake => "queue.api.CONSUMER.MSG.NEXT.INTENTS_none.intake".to_owned(),
        CellUser::Reader | CellUser::Checkpointer => "audit.api.STREAM.INFO.KV_assign".to_owned(),
        CellUser::Evidence => "$O.evidence-none.C.probe".to_owned(),
        CellUser::Service(actor) => format!("command.acme.{actor}.probe"),
        _ => "$JS.API.INFO".to_owned(),
    };
    let inbox = format!("_INBOX.{}", user.name());
    User::connect(&test.server().url(), &creds, &inbox, &probe).await
}

pub async fn member(test: &TestCell, of: &TenantId, name: &str) -> User {
    person(test, of, name, TenantUser::Member).await
}

pub async fn person(test: &TestCell, of: &TenantId, name: &str, kind: TenantUser) -> User {
    let login = test.cell.tenant_user(of, &actor(name), kind).unwrap();
    let (inbox, probe) = (format!("_INBOX.{name}"), format!("command.{of}.{name}.probe"));
    User::connect(&test.server().url(), &login.creds, &inbox, &probe).await
}

pub async fn auditor(test: &TestCell, of: &TenantId, name: &str) -> User {
    let login = test.cell.tenant_user(of, &actor(name), TenantUser::Auditor).unwrap();
    let (inbox, probe) =
        (format!("_INBOX.{of}.{name}"), format!("audit.api.STREAM.INFO.AUDIT_{of}"));
    User::connect(&test.server().url(), &login.creds, &inbox, &probe).await
}

/// Founds tenants with the provisioning users.
pub async fn found(test: &TestCell, tenants: &[&TenantId]) {
    let sys = cell_user(test, CellUser::ProvisionSys).await;
    let streams = cell_user(test, CellUser::ProvisionStreams).await;
    for name in tenants {
        test.cell.found_accounts(&sys, &streams, name, test.replicas()).await.unwrap();
    }
}

/// One server with the tenants `acme` and `other`.
pub async fn start() -> (TestCell, TenantId, TenantId) {
    let test = TestCell::start().await.unwrap();
    let (acme, other) = (tenant("acme"), tenant("other"));
    found(&test, &[&acme, &other]).await;
    (test, acme, other)
}
