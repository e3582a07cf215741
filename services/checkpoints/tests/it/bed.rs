//! A cell with a founded tenant whose ledger the test writes itself, with the tenant's real keys,
//! and can cut or write anew; checkpointers and witnesses beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use canonry_checkpoints::{Checkpointer, Config, Store, Witness};
use canonry_decider::OverNats;
use canonry_decider::found::found;
use canonry_decider::serve::connect_cell;
use canonry_keystore::KeyUse;
use canonry_nats::{Append, Bytes, Connection, Kv, Log, Outgoing};
use canonry_provision::CellUser;
use canonry_provision::testing::TestCell;
use canonry_record::envelope::Envelope;
use canonry_record::seal::{Signer, headers, seal};
use canonry_record::{Hash, record_hash};
use canonry_schemas::ids::TenantId;
use canonry_schemas::member::Part;
use canonry_tlog::{Checkpoint, Note, VerifierKey};

pub struct Bed {
    pub test: TestCell,
    pub tenant: TenantId,
    /// Every record that was ever stored, in order.
    pub records: Vec<Outgoing>,
    signer: Signer,
}

fn hash(record: &Outgoing) -> Hash {
    record_hash(&record.subject, &record.body)
}

impl Bed {
    /// With record 1 alone.
    pub async fn start() -> Self {
        let test = TestCell::start().await.unwrap();
        let tenant: TenantId = "acme".parse().unwrap();
        let people = [("founder".parse().unwrap(), vec![Part::Founder])];
        found(&test.cell, &test.url(), &tenant, &people, 1).await.unwrap();
        let keys = test.cell.key_store();
        let signer = Signer::new(keys.signing_key(&tenant, KeyUse::Record).unwrap());
        let mut bed = Self { test, tenant, records: Vec::new(), signer };
        let first = bed.log(&CellUser::Reader).await.get(1).await.unwrap().unwrap();
        let kept = ["Nats-Msg-Id", "Canonry-Hash", "Canonry-Signature"];
        let headers = kept.map(|name| (name, first.header(name).unwrap().to_owned()));
        let (subject, body) = (first.subject.clone(), first.body.clone());
        bed.records.push(Outgoing { subject, headers: headers.into(), body });
        bed
    }

    pub async fn user(&self, user: &CellUser) -> Connection {
        connect_cell(&self.test.url(), self.test.cell.key_store(), user).await.unwrap()
    }

    async fn log(&self, user: &CellUser) -> Log {
        Log::open(self.user(user).await, &format!("LEDGER_{}", self.tenant)).await.unwrap()
    }

    /// A lawful next record that says `word`.
    fn next(&self, before: &[Outgoing], word: &str) -> Outgoing {
        let position = before.len() as u64 + 1;
        let (id, data) = (format!("{word}-{position}"), format!("{{\"word\":\"{word}\"}}"));
        let envelope = Envelope {
            id: &id,
            tenant: self.tenant.as_str(),
            workspace: None,
            actor: "founder",
            via: None,
            authdigest: None,
            intentid: None,
            intentdigest: None,
            correlationid: None,
            entity: "ticket/t",
            touches: &[],
            epoch: 0,
            position,
            prevhash: before.last().map_or(Hash::ZERO, hash),
            time: canonry_decider::holder::now(),
            aggregate: "ticket",
            event: "noted",
            version: 1,
            traceparent: None,
            data: data.as_bytes(),
        };
        let (subject, body) = (envelope.subject(), envelope.to_body());
        let sealed = seal(&subject, &body, &self.signer);
        let headers = headers(&id, &sealed.hash, &sealed.signature, None);
        Outgoing { subject, headers, body: Bytes::from(body) }
    }

    async fn store(&self, from: usize) {
        let log = self.log(&CellUser::Committer).await;
        for (n, batch) in self.records[from..].chunks(400).enumerate() {
            let last = (from + n * 400) as u64;
            let done = log.append(batch, last, Duration::from_secs(20)).await;
            assert!(matches!(done, Append::Committed { .. }), "{done:?}");
        }
    }

    /// Adds records that say `word`.
    pub async fn append(&mut self, count: usize, word: &str) {
        let from = self.records.len();
        for _ in 0..count {
            let next = self.next(&self.records, word);
            self.records.push(next);
        }
        self.store(from).await;
    }

    /// What somebody with the disk and every key can do: the streams are gone, and the ledger is
    /// written again: the first `kept` records as they were, then `count` others.
    pub async fn write_anew(&mut self, streams: &[&str], kept: usize, count: usize) {
        self.test.server_mut().stop().await.unwrap();
        let gone = find(&self.test.server().store_dir(), streams);
        assert_eq!(gone.len(), streams.len(), "{gone:?}");
        gone.iter().for_each(|dir| std::fs::remove_dir_all(dir).unwrap());
        self.test.server_mut().start_again().await.unwrap();
        let sys = OverNats(self.user(&CellUser::ProvisionSys).await);
        let provision = OverNats(self.user(&CellUser::ProvisionStreams).await);
        self.test.cell.found_accounts(&sys, &provision, &self.tenant, 1).await.unwrap();
        self.records.truncate(kept);
        for _ in 0..count {
            let next = self.next(&self.records, "rewritten");
            self.records.push(next);
        }
        self.store(0).await;
    }

    pub async fn checkpointer(&self, name: &str, witnesses: Vec<Witness>) -> Checkpointer {
        let keys = self.test.cell.key_store().clone();
        let (url, metrics) = (self.test.url(), canonry_telemetry::Metrics::new());
        let config = Config { url, name: name.to_owned(), keys, witnesses, metrics };
        Checkpointer::start(config).await.unwrap()
    }

    /// What is stored, as a reader has it.
    pub async fn read(&self) -> Store {
        Store::open(self.user(&CellUser::Reader).await, &self.tenant).unwrap()
    }

    pub fn record(&self, position: u64) -> Hash {
        hash(&self.records[position as usize - 1])
    }

    /// The log's key, as record 1 has it.
    pub fn key(&self) -> VerifierKey {
        let origin = canonry_tlog::origin(&self.tenant, &hash(&self.records[0]));
        let key = self.test.cell.key_store().signing_key(&self.tenant, KeyUse::Checkpoint);
        canonry_checkpoints::follow::key_of(&origin, key.unwrap().verifying_key()).unwrap()
    }

    pub async fn frozen(&self) -> Option<String> {
        let bucket = Kv::open(self.user(&CellUser::Reader).await, "frozen").unwrap();
        let entry = bucket.get(self.tenant.as_str()).await.unwrap().filter(|e| !e.deleted)?;
        Some(String::from_utf8(entry.value.to_vec()).unwrap())
    }
}

/// The folders of these streams below the server's store.
fn find(dir: &Path, names: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if names.contains(&name) {
            found.push(path);
        } else if path.is_dir() {
            found.extend(find(&path, names));
        }
    }
    found
}

/// A stored note of this size or more, whose signature by the log was checked.
pub async fn reached(bed: &Bed, key: &str, size: u64) -> (Note, Checkpoint) {
    let store = bed.read().await;
    let mut found = None;
    until(&format!("{key} of {size}"), async || {
        found = store.note(key).await.unwrap().map(|(note, _)| note);
        found.as_ref().is_some_and(|note| Checkpoint::of(note).unwrap().size >= size)
    })
    .await;
    let note = found.unwrap();
    note.verify(&[bed.key()]).unwrap();
    let at = Checkpoint::of(&note).unwrap();
    (note, at)
}

/// Waits until something holds, with a bound that only a failure reaches.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(std::time::Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A witness over HTTP, with its folder; it ends with the value.
pub struct Watcher {
    pub witness: Witness,
    task: tokio::task::JoinHandle<()>,
}

impl Watcher {
    pub async fn start(dir: &Path, log: VerifierKey) -> Self {
        // A request that was under way when the last one was killed holds its folder to its end.
        let mut home = None;
        until("the folder is free", async || {
            home = canonry_witness::Home::open(dir).ok();
            home.is_some()
        })
        .await;
        let home = home.unwrap();
        let served = canonry_witness::Witness::new(home, "witness.example/w1", vec![log]).unwrap();
        let key = served.key().clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = canonry_witness::serve(listener, Arc::new(served), std::future::pending());
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { witness: Witness { url, key }, task }
    }

    /// Ends as a crash would: nothing more is written.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
