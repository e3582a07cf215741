//! `canonry witness`: a witness of logs, in a process and a folder of its own. It needs no home of
//! a cell and should run where the cell's people cannot reach it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use canonry_tlog::{Kind, VerifierKey};
use canonry_witness::{Home, Witness};
use clap::Subcommand;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::output;
use crate::serve::StopSignals;

/// `canonry witness`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry witness key --dir /srv/witness --name witness.example/w1
    canonry witness serve --dir /srv/witness --name witness.example/w1 --log canonry/acme/9f2c…+33d7b496+AeHT…")]
pub enum Command {
    /// Print its key, which checkpointers and verifiers need; the first time, make it
    Key(Key),
    /// Cosign checkpoints that continue what it cosigned before
    Serve(Serve),
}

/// Whose folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:
    canonry witness key --dir /srv/witness --name witness.example/w1
    canonry witness key --dir /srv/witness --name witness.example/w1 --json")]
pub struct Key {
    /// Its folder: the key and what it cosigned; made if it is not there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Its name in cosignatures, such as an address without a scheme
    #[arg(long, value_name = "NAME")]
    name: String,
}

/// Cosign checkpoints.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It speaks plain HTTP, POST /add-checkpoint of C2SP tlog-witness; put TLS before it where others can \
reach it. What it cosigned is on the disk before the cosignature leaves. A folder that is lost must \
not be replaced by an empty one: take another name and key.

EXAMPLES:
    canonry witness serve --dir /srv/witness --name witness.example/w1 --log \"$(canonry ledger checkpoint --json | jq -r .key)\"
    canonry serve checkpoints --witness \"http://127.0.0.1:8082,$(canonry witness key --dir /srv/witness --name witness.example/w1)\"")]
pub struct Serve {
    #[command(flatten)]
    key: Key,
    /// Where it listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8082", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The key of a log that it watches; may be repeated
    #[arg(long, required = true, value_name = "KEY", value_parser = crate::ledger::log_key)]
    log: Vec<VerifierKey>,
}

fn open(key: &Key, logs: Vec<VerifierKey>) -> Result<Witness, Failure> {
    let home = Home::open(&key.dir).map_err(|e| Failure::config(chain(&e)))?;
    Witness::new(home, &key.name, logs).map_err(Failure::config)
}

/// Runs it.
///
/// # Errors
/// The folder or the address cannot be used.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Key(key) => {
            // Read beside a witness that runs: its lock guards what it cosigned, not its key.
            let name = &key.name;
            let signer = Home::read_key(&key.dir).map_err(|e| Failure::config(chain(&e)))?;
            let key = VerifierKey::new(name, Kind::Witness, signer.key.verifying_key());
            let key = key.map_err(Failure::usage)?;
            if context.json {
                return output::json(&json!({"name": name, "key": key.to_string()}));
            }
            output::line(&key.to_string());
            Ok(())
        }
        Command::Serve(args) => {
            let witness = Arc::new(open(&args.key, args.log)?);
            let failed =
                |e: std::io::Error| Failure::config(format!("--listen {}: {e}", args.listen));
            let listener = tokio::net::TcpListener::bind(args.listen).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let stop = StopSignals::hear()?;
            if context.json {
                let key = witness.key().to_string();
                output::json(&json!({"listen": format!("http://{address}"), "key": key}))?;
            } else {
                output::line(&format!("http://{address},{}", witness.key()));
                output::say("a checkpointer takes this line as --witness; ctrl-c stops it");
            }
            let served = canonry_witness::serve(listener, witness, stop.wait()).await;
            served.map_err(Failure::unavailable)
        }
    }
}
