//! Verification of an export and of a live ledger, beside the batch verification of the same
//! signatures alone, all of it on every core.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use canonry_keystore::KeyUse;
use canonry_nats::Stored;
use canonry_record::export::{Head, sign_head, write_line};
use canonry_record::seal::{Signer, parse_signature, signature_message};
use canonry_record::verify::{Pins, State};
use canonry_record::{Verifier, record_hash};
use canonry_schemas::header::RECORD_SIGNATURE;
use canonry_schemas::ids::TenantId;
use ed25519_dalek::{Signature, VerifyingKey, verify_batch};
use futures_util::StreamExt as _;

use super::cell::{Bench, failed};
use super::stats::rate;
use crate::failure::{Failure, chain};
use crate::ledger::scan::{line, threads, verified};
use crate::ledger::verify::verify_file;
use crate::progress::Bars;

/// Signatures that are verified together, as the figures of the design were measured.
const TOGETHER: usize = 1_024;

/// A ledger read into memory, and its export on disk.
pub struct Ledger {
    /// The records.
    pub records: Vec<Stored>,
    tenant: TenantId,
    state: State,
    file: PathBuf,
}

/// One message with its signature and key.
type Signed = (Vec<u8>, Signature, VerifyingKey);

impl Ledger {
    /// Reads the first records of a tenant and writes them as an export.
    ///
    /// # Errors
    /// The ledger cannot be read, or does not verify.
    pub async fn read(bench: &Bench, tenant: &TenantId, most: u64) -> Result<Self, Failure> {
        let log = bench.ledger(tenant).await?;
        let last = log.info().await.map_err(|e| failed(chain(&e)))?.last_seq;
        let mut stream = log.read(1, Some(last.min(most))).await.map_err(|e| failed(chain(&e)))?;
        let mut records = Vec::new();
        while let Some(stored) = stream.next().await {
            records.push(stored.map_err(|e| failed(chain(&e)))?);
        }
        log.connection().close().await;
        let mut verifier = Verifier::new(tenant.clone(), Pins::default());
        let lines: Vec<_> = records.iter().map(line).collect();
        verifier.push_parallel(&lines, threads()).map_err(Failure::refused)?;
        let state = verifier.state().cloned().ok_or_else(|| failed("the ledger is empty"))?;
        let file = bench.folder().join("bench.jsonl");
        let mut out = std::io::BufWriter::new(std::fs::File::create(&file).map_err(failed)?);
        for line in &lines {
            writeln!(out, "{}", write_line(line)).map_err(failed)?;
        }
        let key = bench.cell.key_store().signing_key(tenant, KeyUse::Checkpoint);
        let head = Head {
            tenant: tenant.clone(),
            position: state.position,
            hash: state.hash,
            time: state.time,
        };
        let head = sign_head(head, &Signer::new(key.map_err(failed)?));
        writeln!(out, "{}", head.to_text()).map_err(failed)?;
        out.flush().map_err(failed)?;
        Ok(Self { records, tenant: tenant.clone(), state, file })
    }

    fn count(&self) -> u64 {
        self.records.len() as u64
    }

    /// `canonry ledger verify --file`; records a second.
    ///
    /// # Errors
    /// It does not verify.
    pub fn export(&self) -> Result<f64, Failure> {
        let begun = Instant::now();
        let (records, answer) = verify_file(&self.file, Pins::default(), Bars::new(true))?;
        answer.map_err(Failure::refused)?;
        if records != self.count() {
            return Err(Failure::refused(format!("{records} of {} verified", self.count())));
        }
        Ok(rate(records, begun.elapsed()))
    }

    /// `canonry ledger verify`; records a second.
    ///
    /// # Errors
    /// It does not verify.
    pub async fn live(&self, bench: &Bench) -> Result<f64, Failure> {
        let log = bench.ledger(&self.tenant).await?;
        let begun = Instant::now();
        let mut verifier = Verifier::new(self.tenant.clone(), Pins::default());
        verified(&log, &mut verifier, self.count(), Bars::new(true), |_| Ok(())).await?;
        let taken = begun.elapsed();
        log.connection().close().await;
        if verifier.position() != self.count() {
            return Err(Failure::refused("the live ledger ended early"));
        }
        Ok(rate(self.count(), taken))
    }

    fn signed(&self) -> Result<Vec<Signed>, Failure> {
        let missing = || failed("a record without a signature");
        self.records
            .iter()
            .map(|stored| {
                let text = stored.header(RECORD_SIGNATURE).ok_or_else(missing)?;
                let (key, signature) = parse_signature(text).ok_or_else(missing)?;
                let key = self.state.ring.key(&key).ok_or_else(missing)?.verifying;
                let hash = record_hash(&stored.subject, &stored.body);
                let message = signature_message(&hash).to_vec();
                Ok((message, Signature::from_bytes(&signature), key))
            })
            .collect()
    }

    /// Batch verification of the same signatures and nothing else, on every core; a second.
    ///
    /// # Errors
    /// One is wrong.
    pub fn signatures_alone(&self) -> Result<f64, Failure> {
        let signed = self.signed()?;
        let messages: Vec<&[u8]> = signed.iter().map(|(m, ..)| m.as_slice()).collect();
        let signatures: Vec<Signature> = signed.iter().map(|(_, s, _)| *s).collect();
        let keys: Vec<VerifyingKey> = signed.iter().map(|(.., k)| *k).collect();
        let batches = signed.len().div_ceil(TOGETHER);
        let next = std::sync::atomic::AtomicUsize::new(0);
        let begun = Instant::now();
        let right = std::thread::scope(|scope| {
            let work = || {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if at >= batches {
                        return true;
                    }
                    let part = at * TOGETHER..signed.len().min((at + 1) * TOGETHER);
                    let (m, s, k) =
                        (&messages[part.clone()], &signatures[part.clone()], &keys[part]);
                    if verify_batch(m, s, k).is_err() {
                        return false;
                    }
                }
            };
            let threads: Vec<_> = (0..threads()).map(|_| scope.spawn(work)).collect();
            threads.into_iter().all(|t| t.join().unwrap_or(false))
        });
        if right {
            Ok(rate(self.count(), begun.elapsed()))
        } else {
            Err(Failure::refused("a signature is wrong"))
        }
    }
}
