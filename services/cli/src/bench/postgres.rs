//! The peer: an append-only table in PostgreSQL with a SHA-256 chain for its tenant and an ed25519
//! signature in every row, as one would build it without this project. Sixteen writers on one
//! tenant take turns on the row that holds the chain's head.

use std::sync::Arc;
use std::time::{Duration, Instant};

use canonry_record::hash::sha256;
use ed25519_dalek::{Signer as _, SigningKey};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Statement};

use super::cell::failed;
use super::raw::BYTES;
use super::stats::rate;
use crate::failure::{Failure, chain};

/// Writers at once.
const WRITERS: usize = 16;
/// The schema that is made and dropped.
const SCHEMA: &str = "canonry_bench";

const TABLES: &str = "
    DROP SCHEMA IF EXISTS canonry_bench CASCADE;
    CREATE SCHEMA canonry_bench;
    CREATE TABLE canonry_bench.heads (
        tenant text PRIMARY KEY, position bigint NOT NULL, hash bytea NOT NULL);
    CREATE TABLE canonry_bench.records (
        tenant text NOT NULL, position bigint NOT NULL, body bytea NOT NULL,
        prevhash bytea NOT NULL, hash bytea NOT NULL, signature bytea NOT NULL,
        PRIMARY KEY (tenant, position));
    CREATE FUNCTION canonry_bench.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'append only'; END $$;
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON canonry_bench.records
        FOR EACH ROW EXECUTE FUNCTION canonry_bench.refuse();
    INSERT INTO canonry_bench.heads VALUES ('acme', 0, decode(repeat('00', 32), 'hex'))";

async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .map_err(|e| failed(format!("--postgres: {}", chain(&e))))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to PostgreSQL ended");
        }
    });
    Ok(client)
}

/// Rows a second with so many rows in a transaction.
///
/// # Errors
/// No server, or it syncs nothing.
pub async fn rows(url: &str, together: usize, seconds: Duration) -> Result<f64, Failure> {
    let pg = |e: tokio_postgres::Error| failed(chain(&e));
    let main = connect(url).await?;
    for setting in ["fsync", "synchronous_commit"] {
        let row = main.query_one(&format!("SHOW {setting}"), &[]).await.map_err(pg)?;
        let value: String = row.get(0);
        if value != "on" {
            let why =
                format!("--postgres: {setting} is {value}; a peer that keeps nothing is none");
            return Err(Failure::config(why));
        }
    }
    main.batch_execute(TABLES).await.map_err(pg)?;
    let key = Arc::new(SigningKey::from_bytes(&[7; 32]));
    let (begun, mut writers) = (Instant::now(), JoinSet::new());
    for writer in 0..WRITERS {
        let client = connect(url).await?;
        let key = Arc::clone(&key);
        writers.spawn(async move {
            let mut writer = Writer::new(client, key, writer).await.map_err(pg)?;
            let mut stored = 0;
            while begun.elapsed() < seconds {
                writer.transaction(together).await.map_err(pg)?;
                stored += together as u64;
            }
            Ok::<u64, Failure>(stored)
        });
    }
    let mut stored = 0;
    while let Some(done) = writers.join_next().await {
        stored += done.map_err(failed)??;
    }
    let taken = begun.elapsed();
    main.batch_execute(&format!("DROP SCHEMA {SCHEMA} CASCADE")).await.map_err(pg)?;
    Ok(rate(stored, taken))
}

struct Writer {
    client: Client,
    key: Arc<SigningKey>,
    number: usize,
    head: Statement,
    insert: Statement,
    update: Statement,
}

impl Writer {
    async fn new(
        client: Client,
        key: Arc<SigningKey>,
        number: usize,
    ) -> Result<Self, tokio_postgres::Error> {
        let head =
            "SELECT position, hash FROM canonry_bench.heads WHERE tenant = 'acme' FOR UPDATE";
        let insert = "INSERT INTO canonry_bench.records
            SELECT 'acme', * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[])";
        let update =
            "UPDATE canonry_bench.heads SET position = $1, hash = $2 WHERE tenant = 'acme'";
        let head = client.prepare(head).await?;
        let insert = client.prepare(insert).await?;
        let update = client.prepare(update).await?;
        Ok(Self { client, key, number, head, insert, update })
    }

    async fn transaction(&mut self, together: usize) -> Result<(), tokio_postgres::Error> {
        let transaction = self.client.transaction().await?;
        let head = transaction.query_one(&self.head, &[]).await?;
        let (mut position, mut hash): (i64, Vec<u8>) = (head.get(0), head.get(1));
        let mut columns: (Vec<i64>, [Vec<Vec<u8>>; 4]) = Default::default();
        for _ in 0..together {
            position += 1;
            let mut body = vec![b'x'; BYTES];
            body[..28].copy_from_slice(format!("{:08}{position:020}", self.number).as_bytes());
            let mut chained = hash.clone();
            chained.extend_from_slice(&body);
            let next = sha256(&chained).0.to_vec();
            let signature = self.key.sign(&next).to_bytes().to_vec();
            columns.0.push(position);
            for (column, value) in columns.1.iter_mut().zip([body, hash, next.clone(), signature]) {
                column.push(value);
            }
            hash = next;
        }
        let (positions, [bodies, before, hashes, signatures]) = &columns;
        transaction.execute(&self.insert, &[positions, bodies, before, hashes, signatures]).await?;
        transaction.execute(&self.update, &[&position, &hash]).await?;
        transaction.commit().await
    }
}
