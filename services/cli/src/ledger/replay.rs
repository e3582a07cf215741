//! `canonry ledger replay`: verified records in order, to stdout, a file or a stream elsewhere. The
//! chain is checked from the first record on whatever is asked for, because keys come from it.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use canonry_nats::Stored;
use canonry_provision::permission::matches;
use canonry_record::Verifier;
use canonry_record::export::write_line;
use canonry_record::verify::Pins;
use canonry_schemas::ids::TenantId;

use super::scan::{Stop, followed, last, line, verified};
use super::show::print;
use super::target::{self, Target};
use crate::args::{Nats, Of};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::serve::StopSignals;

/// Records that are read before what is wanted of them is written.
const STRIDE: u64 = 8_192;

/// Print verified records in order, or write them to a file or another stream.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The chain and the signatures are checked as it goes. On stdout each record is a line for people, or \
with --json its body. With --out each line is that of an export, without a head. With --stream the \
records are stored in another stream, with their subjects, headers and bodies; started again, it \
goes on behind the last one there.

EXAMPLES:
    canonry ledger replay --of acme --from 100 --to 200
    canonry ledger replay --of acme --subject 'ticket.>' --json | jq -r .type | sort | uniq -c
    canonry ledger replay --of acme --subject run.failed --follow
    canonry ledger replay --of acme --out part.jsonl
    canonry ledger replay --of acme --stream COPY --creds copy.creds --stream-nats nats://h:4222")]
pub struct Args {
    #[command(flatten)]
    of: Of,
    /// The first position
    #[arg(long, default_value_t = 1, value_name = "POSITION", value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// The last position; without it, the last one of now
    #[arg(long, value_name = "POSITION", conflicts_with = "follow", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
    /// Only these: <aggregate>.<event>, with * and > as NATS has them
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    subject: Option<String>,
    /// Go on with new records as they are stored
    #[arg(long)]
    follow: bool,
    /// Write to this file
    #[arg(long, short, value_name = "FILE", conflicts_with = "stream")]
    out: Option<PathBuf>,
    /// Write into this stream, which must have the ledger's subjects and be none of a cell
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Creds for that stream
    #[arg(long, value_name = "FILE", requires = "stream")]
    creds: Option<PathBuf>,
    /// What inboxes of those creds begin with
    #[arg(long, value_name = "PREFIX", requires = "stream", default_value = "_INBOX")]
    stream_inbox: String,
    /// The server of that stream; without it, the ledger's
    #[arg(long, value_name = "URL", requires = "stream")]
    stream_nats: Option<String>,
    #[command(flatten)]
    nats: Nats,
}

/// Reads `ticket.*`, `ticket.opened`, `>` and the like.
fn pattern(text: &str) -> Result<String, String> {
    let fits = |t: &str| {
        matches!(t, "*" | ">")
            || (!t.is_empty() && t.bytes().all(|c| c.is_ascii_lowercase() || c == b'-'))
    };
    let tokens: Vec<&str> = text.split('.').collect();
    let ends = tokens.iter().position(|t| *t == ">").is_none_or(|at| at + 1 == tokens.len());
    if tokens.len() <= 2 && ends && tokens.iter().all(|t| fits(t)) {
        return Ok(text.to_owned());
    }
    Err("expected <aggregate>.<event>, such as ticket.opened, ticket.* or *.created".to_owned())
}

/// What is wanted.
struct Wanted {
    from: u64,
    subject: Option<String>,
}

impl Wanted {
    fn of(args: &Args) -> Self {
        let whole = |p: &String| format!("ledger.{}.{p}", args.of.tenant);
        Self { from: args.from, subject: args.subject.as_ref().map(whole) }
    }

    fn takes(&self, stored: &Stored) -> bool {
        let subject = |p: &String| matches(p, &stored.subject);
        stored.seq >= self.from && self.subject.as_ref().is_none_or(subject)
    }
}

/// Where they go.
enum Sink {
    Lines,
    File { out: BufWriter<File>, path: PathBuf },
    Stream(Box<Target>),
}

impl Sink {
    async fn open(context: &Context, args: &Args) -> Result<Self, Failure> {
        if let Some(path) = &args.out {
            let file = File::create(path).map_err(|e| unwritable(path, &e))?;
            return Ok(Self::File { out: BufWriter::new(file), path: path.clone() });
        }
        let Some(stream) = &args.stream else { return Ok(Self::Lines) };
        let url = args.stream_nats.as_deref().or(args.nats.named());
        let url = context.nats(url)?;
        let creds = args.creds.as_deref();
        let connection = target::connect(&url, creds, &args.stream_inbox).await?;
        let target = Target::open(connection, stream, &args.of.tenant).await?;
        Ok(Self::Stream(Box::new(target)))
    }

    /// How many were written: what a stream has already is not written again.
    async fn put(&mut self, context: &Context, records: &[Stored]) -> Result<u64, Failure> {
        match self {
            Self::Lines => records.iter().try_for_each(|stored| print(context, stored))?,
            Self::File { out, path } => records
                .iter()
                .try_for_each(|stored| writeln!(out, "{}", write_line(&line(stored))))
                .and_then(|()| out.flush())
                .map_err(|e| unwritable(path, &e))?,
            Self::Stream(target) => return target.put(records).await,
        }
        Ok(records.len() as u64)
    }

    fn end(self) -> Result<(), Failure> {
        if let Self::File { out, path } = self {
            let file = out.into_inner().map_err(|e| unwritable(&path, e.error()))?;
            file.sync_all().map_err(|e| unwritable(&path, &e))?;
        }
        Ok(())
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::refused(format!("{}: {error}", path.display()))
}

pub(super) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let tenant: &TenantId = &args.of.tenant;
    let log = context.ledger(args.nats.named(), tenant).await?;
    let stands = last(&log).await?;
    let upto = args.to.unwrap_or(stands);
    if upto > stands {
        return Err(Failure::refused(format!("there is no position {upto}; the last is {stands}")));
    }
    let mut sink = Sink::open(context, &args).await?;
    let wanted = Wanted::of(&args);
    let bars = match sink {
        Sink::Lines => context.bars().beside_lines(),
        _ => context.bars(),
    };
    let mut verifier = Verifier::new(tenant.clone(), Pins::default());
    let mut written = 0;
    loop {
        let next = log.next_after(verifier.position());
        if next > upto {
            break;
        }
        let stop = next.saturating_add(STRIDE - 1).min(upto);
        let mut found = Vec::new();
        let read = verified(&log, &mut verifier, stop, bars, |stored| {
            if wanted.takes(stored) {
                found.push(stored.clone());
            }
            Ok(())
        });
        let read = read.await;
        written += sink.put(context, &found).await?;
        read?;
    }
    if args.follow {
        let signals = StopSignals::hear()?;
        let each = async |stored: &Stored| {
            if wanted.takes(stored) {
                written += sink.put(context, std::slice::from_ref(stored)).await?;
            }
            Ok(())
        };
        followed(&log, &mut verifier, signals.wait(), each).await.map_err(|stop: Stop| stop)?;
    }
    let to = match &sink {
        Sink::Lines => None,
        Sink::File { path, .. } => Some(path.display().to_string()),
        Sink::Stream(target) => Some(target.name().to_owned()),
    };
    sink.end()?;
    let Some(to) = to else { return Ok(()) };
    if context.json {
        return output::json(&serde_json::json!({"to": to, "records": written, "upto": upto}));
    }
    output::line(&format!("{to}: {written} records"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_strictly() {
        for good in ["ticket.opened", "ticket.*", "ticket.>", ">", "*.command-refused"] {
            assert!(pattern(good).is_ok(), "{good}");
        }
        for bad in ["", "Ticket.x", "a.b.c", ">.a", "a.", "ledger.acme.ticket.opened"] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
    }
}
