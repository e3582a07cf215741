//! The HTTP side: asks for the rest of a body and appends it to the file. It trusts nothing
//! that it receives; what the bytes are is checked after.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use futures_util::StreamExt;
use reqwest::header::{CONTENT_RANGE, HeaderMap, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use super::error::{Error, ErrorKind};
use crate::limits::{
    ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, MAX_ATTEMPTS, MAX_DOWNLOAD_BYTES, MAX_REDIRECTS, READ_TIMEOUT,
};

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there, those of an earlier call included.
    pub received: u64,
    /// Bytes of the whole body, where the server says it.
    pub total: Option<u64>,
}

/// The file that a body grows in.
pub(super) struct Body<'file> {
    pub(super) file: &'file mut File,
    /// Bytes of an earlier call that are part of the body.
    pub(super) resumed_at: u64,
}

impl Body<'_> {
    fn len(&mut self) -> Result<u64, Error> {
        self.file.seek(SeekFrom::End(0)).map_err(cannot_write)
    }

    fn start_over(&mut self) -> Result<(), Error> {
        self.resumed_at = 0;
        self.file.set_len(0).map_err(cannot_write)?;
        self.file.rewind().map_err(cannot_write)
    }
}

/// What one try came to.
enum Try {
    /// The body is complete.
    Complete,
    /// The body broke off; another try may go on.
    BrokeOff(reqwest::Error),
    /// What is there cannot be continued; begin again.
    StartOver,
}

/// Completes the body and gives its size.
pub(super) async fn receive(
    url: &str,
    body: &mut Body<'_>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<u64, Error> {
    let url = Url::parse(url).map_err(|cause| Error::because(ErrorKind::BadUrl, cause))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::new(ErrorKind::BadUrl));
    }
    let client = client(&url)?;
    let mut attempt = 1;
    loop {
        let there = body.len()?;
        let outcome = once(&client, &url, body, there, progress).await?;
        let now = body.len()?;
        match outcome {
            Try::Complete => {
                body.file.sync_all().map_err(cannot_write)?;
                return Ok(now);
            }
            Try::StartOver if attempt < MAX_ATTEMPTS => body.start_over()?,
            Try::StartOver => return Err(Error::new(ErrorKind::WrongRange)),
            Try::BrokeOff(_) if attempt < MAX_ATTEMPTS => {}
            Try::BrokeOff(cause) => {
                return Err(Error::because(ErrorKind::Interrupted(now), cause));
            }
        }
        attempt += 1;
    }
}

fn client(url: &Url) -> Result<Client, Error> {
    // An error here says that a provider is installed already, which is all that is needed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("canonry/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .timeout(ATTEMPT_TIMEOUT)
        .redirect(Policy::limited(MAX_REDIRECTS));
    let loopback = url
        .host_str()
        .is_some_and(|host| matches!(host, "localhost" | "[::1]") || host.starts_with("127."));
    // What runs on this machine is never behind a proxy.
    let builder = if loopback { builder.no_proxy() } else { builder };
    builder.build().map_err(|cause| Error::because(ErrorKind::Unreachable, cause))
}

/// One request for what is missing from `there` on.
async fn once(
    client: &Client,
    url: &Url,
    body: &mut Body<'_>,
    there: u64,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Try, Error> {
    let mut request = client.get(url.clone());
    if there > 0 {
        request = request.header(RANGE, format!("bytes={there}-"));
    }
    let response = match request.send().await {
        Ok(response) => response,
        // Nothing was promised yet, so only a lost body or connection is worth another try.
        Err(cause) if cause.is_connect() || cause.is_redirect() || cause.is_builder() => {
            return Err(Error::because(ErrorKind::Unreachable, cause));
        }
        Err(cause) => return Ok(Try::BrokeOff(cause)),
    };
    let (from, total) = match response.status() {
        StatusCode::OK => (0, response.content_length()),
        StatusCode::PARTIAL_CONTENT if there > 0 => match range(response.headers()) {
            Some((Some(from), total)) if from == there => (there, total),
            _ => return Ok(Try::StartOver),
        },
        StatusCode::RANGE_NOT_SATISFIABLE if there > 0 => {
            let whole = range(response.headers()).and_then(|(_, total)| total);
            return Ok(if whole == Some(there) { Try::Complete } else { Try::StartOver });
        }
        other => return Err(Error::new(ErrorKind::Status(other.as_u16()))),
    };
    if total.is_some_and(|total| total > MAX_DOWNLOAD_BYTES) {
        return Err(Error::new(ErrorKind::TooLarge(MAX_DOWNLOAD_BYTES)));
    }
    if from == 0 {
        body.start_over()?; // a first try, or a server that ignores ranges
    }
    append(response, body, Progress { received: from, total }, progress).await
}

async fn append(
    response: Response,
    body: &mut Body<'_>,
    mut so_far: Progress,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Try, Error> {
    progress(so_far);
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(cause) => return Ok(Try::BrokeOff(cause)),
        };
        so_far.received += piece.len() as u64;
        if so_far.received > MAX_DOWNLOAD_BYTES {
            body.start_over()?;
            return Err(Error::new(ErrorKind::TooLarge(MAX_DOWNLOAD_BYTES)));
        }
        body.file.write_all(&piece).map_err(cannot_write)?;
        progress(so_far);
    }
    Ok(Try::Complete)
}

/// Parses `bytes 5-9/10` and `bytes */10` into first byte and total.
fn range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let (span, total) =
        headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let from = span.split_once('-').and_then(|(from, _)| from.parse().ok());
    Some((from, total.parse().ok()))
}

fn cannot_write(cause: std::io::Error) -> Error {
    Error::because(ErrorKind::CannotWrite, cause)
}
