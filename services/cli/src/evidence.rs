//! `canonry evidence add|list|get`, over the HTTP API: files flow through, a piece at a time.
//! Bundles are in [`export`] and [`verify`].

mod export;
mod verify;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use canonry_nats::Bytes;
use canonry_record::encoding::base64url;
use canonry_schemas::evidence::MediaType;
use canonry_schemas::header::INTENT_ID;
use canonry_schemas::ids::{IntentId, WorkId};
use canonry_schemas::limits::{CONTENT_BYTES, EVIDENCE_BYTES};
use clap::{Args as ClapArgs, Subcommand};
use futures_util::{Stream, stream};
use reqwest::Body;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::Value;

use crate::args::{Api, Who};
use crate::client::{Pen, new_intent};
use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::{http, output};

/// Bytes of a file that are read at once.
const PIECE: usize = 256 * 1024;
/// How long the bearer of an upload lives, in minutes: the record is asked for at its end.
const UPLOAD_MINUTES: u32 = 60;

/// Attach files to tickets and runs, get them back; bundles for strangers.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry evidence add tkt_01hzy3v7m8q6k4n2r9s5t1w0xa report.pdf
    canonry evidence list tkt_01hzy3v7m8q6k4n2r9s5t1w0xa
    canonry evidence get 17 --out report.pdf
    canonry evidence export --ticket tkt_01hzy3v7m8q6k4n2r9s5t1w0xa --out ticket.evidence.tar
    canonry evidence verify ticket.evidence.tar --tenant sha256:9f2c…")]
pub enum Command {
    /// Attach a file to a ticket or run
    Add(Add),
    /// List what is attached to a ticket or run
    List(List),
    /// Get an attached file back
    Get(Get),
    /// Write a bundle about a ticket or run that a stranger can check offline
    Export(export::Args),
    /// Check a bundle offline
    Verify(verify::Args),
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The file is sealed under the content key of the ticket or run: once that is erased, nobody can read \
it. Its name is kept sealed too.
Exit codes: 0 attached; 1 refused, the code is told; 64 no key; 69 no answer.

EXAMPLES:
    canonry evidence add tkt_01hzy3v7m8q6k4n2r9s5t1w0xa report.pdf --media-type application/pdf
    canonry evidence add run_01hzy3v7m8q6k4n2r9s5t1w0xa trace.log --as operator --json")]
pub struct Add {
    /// The ticket or run
    id: WorkId,
    /// The file
    file: PathBuf,
    /// What it is
    #[arg(long, value_name = "TYPE", default_value = "application/octet-stream")]
    media_type: MediaType,
    /// Keep no name of it
    #[arg(long)]
    no_name: bool,
    /// The command's intent id; a fresh one without it
    #[arg(long, value_name = "ULID")]
    intent_id: Option<IntentId>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "EXAMPLES:
    canonry evidence list tkt_01hzy3v7m8q6k4n2r9s5t1w0xa
    canonry evidence list tkt_01hzy3v7m8q6k4n2r9s5t1w0xa --json | jq -r .data.name")]
pub struct List {
    /// The ticket or run
    id: WorkId,
    /// Wait until the read models have reached this position
    #[arg(long, value_name = "POSITION")]
    min_position: Option<u64>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A file appears under its name only when it is complete.

EXAMPLES:
    canonry evidence get 17 --out report.pdf
    canonry evidence get 17 | sha256sum")]
pub struct Get {
    /// Position or id of the record that attached it
    record: String,
    /// Where to write; stdout without it
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Wait until the read models have reached this position
    #[arg(long, value_name = "POSITION")]
    min_position: Option<u64>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

/// Runs it.
///
/// # Errors
/// The API does not answer, or refuses; a file cannot be read or written.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add(args) => add(context, args).await,
        Command::List(args) => list(context, args).await,
        Command::Get(args) => get(context, args).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Verify(args) => verify::run(context, &args),
    }
}

fn reach(context: &Context, api: &Api, who: &Who) -> Result<(String, Pen), Failure> {
    let pen = context.pen(&who.tenant, &who.actor);
    crate::context::both(context.api(api.url.as_deref()), pen)
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::refused(format!("{}: {e}", path.display()))
}

/// A file in pieces, read beside the runtime.
fn pieces(
    file: File,
    told: impl Fn(u64) + Send + 'static,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((file, told), |(mut file, told)| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE];
            let count = file.read(&mut piece)?;
            piece.truncate(count);
            std::io::Result::Ok((file, piece))
        });
        let (file, piece) = read.await.map_err(std::io::Error::other)??;
        told(piece.len() as u64);
        Ok((!piece.is_empty()).then(|| (Bytes::from(piece), (file, told))))
    })
}

async fn add(context: &Context, args: Add) -> Result<(), Failure> {
    let (api, pen) = reach(context, &args.api, &args.who)?;
    let file = File::open(&args.file).map_err(at(&args.file))?;
    let size = file.metadata().map_err(at(&args.file))?.len();
    if size == 0 || size > EVIDENCE_BYTES {
        let file = args.file.display();
        return Err(Failure::refused(format!("{file}: expected 1 to {EVIDENCE_BYTES} bytes")));
    }
    let intent = args.intent_id.map_or_else(new_intent, Ok)?;
    let path = match args.id.aggregate() {
        "ticket" => format!("{api}/api/v1/tickets/{}/evidence", args.id),
        _ => format!("{api}/api/v1/runs/{}/evidence", args.id),
    };
    let bar = context.bars().bytes("storing", size);
    let body = Body::wrap_stream(pieces(file, move |count| bar.inc(count)));
    let mut request =
        http::uploads(std::time::Duration::from_secs(60 * u64::from(UPLOAD_MINUTES)))?
            .post(path)
            .bearer_auth(pen.bearer(UPLOAD_MINUTES, &new_intent()?))
            .header(CONTENT_TYPE, args.media_type.as_str())
            .header(CONTENT_LENGTH, size)
            .header(INTENT_ID, intent.as_str());
    let name = args.file.file_name().and_then(|name| name.to_str());
    if let Some(name) = name.filter(|n| !args.no_name && n.len() <= CONTENT_BYTES) {
        request = request.header("Canonry-Evidence-Name", base64url(name.as_bytes()));
    }
    let answer = request.body(body).send().await.map_err(|e| Failure::unavailable(chain(&e)))?;
    let answer = http::json(answer).await?;
    output::answer(&serde_json::from_value(answer).map_err(Failure::refused)?, context.json)
}

async fn list(context: &Context, args: List) -> Result<(), Failure> {
    let (api, pen) = reach(context, &args.api, &args.who)?;
    let mut cursor = None;
    loop {
        let mut query = vec![
            ("type", "canonry.evidence.attached.v1".to_owned()),
            ("entity", args.id.entity()),
            ("content", true.to_string()),
        ];
        query.extend(args.min_position.map(|p| ("min_position", p.to_string())));
        query.extend(cursor.take().map(|c| ("cursor", c)));
        let page = http::get(&api, "/api/v1/events", &query, &pen).await?;
        for row in page["items"].as_array().into_iter().flatten() {
            print_row(context, row)?;
        }
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(()),
        }
    }
}

fn print_row(context: &Context, row: &Value) -> Result<(), Failure> {
    if context.json {
        return output::json(row);
    }
    let data = &row["data"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let cells = [
        row["position"].to_string(),
        text(&row["time"]),
        text(&row["actor"]),
        data["size"].to_string(),
        text(&data["media_type"]),
        text(&data["name"]),
    ];
    output::line(&cells.join("\t"));
    Ok(())
}

async fn get(context: &Context, args: Get) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if args.record.is_empty() || !args.record.chars().all(plain) {
        return Err(Failure::usage(format!("{:?} is no record", args.record)));
    }
    let (api, pen) = reach(context, &args.api, &args.who)?;
    let query: Vec<_> =
        args.min_position.map(|p| ("min_position", p.to_string())).into_iter().collect();
    let path = format!("/api/v1/events/{}/evidence", args.record);
    let address = http::get(&api, &path, &query, &pen).await?;
    let (Some(url), Some(size)) = (address["url"].as_str(), address["size"].as_u64()) else {
        return Err(Failure::refused("the API gave no address"));
    };
    let answer = http::transfers()?.get(format!("{api}{url}")).send().await;
    let answer = answer.map_err(|e| Failure::unavailable(chain(&e)))?;
    if !answer.status().is_success() {
        return http::json(answer).await.map(drop);
    }
    let bar = context.bars().bytes("reading", size);
    let Some(out) = args.out else {
        return copy(answer, std::io::stdout(), |count| bar.inc(count)).await;
    };
    let mut part = out.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = File::create(&part).map_err(at(&part))?;
    if let Err(failure) = copy(answer, &file, |count| bar.inc(count)).await {
        // What is not whole is not kept.
        let _ = std::fs::remove_file(&part);
        return Err(failure);
    }
    file.sync_all().map_err(at(&part))?;
    std::fs::rename(&part, &out).map_err(at(&out))?;
    if context.json {
        return output::json(&address);
    }
    output::line(&format!("{}: {size} bytes", out.display()));
    Ok(())
}

async fn copy(
    mut answer: reqwest::Response,
    mut out: impl std::io::Write,
    told: impl Fn(u64),
) -> Result<(), Failure> {
    loop {
        let piece = answer.chunk().await;
        let piece = piece.map_err(|e| Failure::refused(format!("it broke off: {}", chain(&e))))?;
        let Some(piece) = piece else { break };
        out.write_all(&piece).map_err(Failure::refused)?;
        told(piece.len() as u64);
    }
    out.flush().map_err(Failure::refused)
}
