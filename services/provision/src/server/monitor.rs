//! The server's monitoring port, read with a request written by hand: an HTTP client would be the
//! only reason for one in this crate.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::Error;

const PATIENCE: Duration = Duration::from_secs(5);
/// More than `/varz` of the largest cell.
const MAX_ANSWER_BYTES: u64 = 8 << 20;

/// Reads a page of the monitoring port as JSON.
///
/// # Errors
/// [`Error::Monitor`] when there is no answer, or not a good one.
pub async fn get(address: &str, path: &str) -> Result<Value, Error> {
    let failed =
        |why: String| Error::Monitor { address: address.to_owned(), path: path.to_owned(), why };
    let answer = timeout(PATIENCE, fetch(address, path))
        .await
        .map_err(|_| failed("no answer in time".to_owned()))?
        .map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| failed("not HTTP".to_owned()))?;
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        return Err(failed(format!("{status}: {body}")));
    }
    serde_json::from_str(body).map_err(|e| failed(e.to_string()))
}

async fn fetch(address: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Refuses a server that does not sync every write; it says so nowhere but in `/varz`.
///
/// # Errors
/// [`Error::LazySync`], or [`Error::Monitor`] when it cannot be asked.
pub async fn check_sync_always(address: &str) -> Result<(), Error> {
    let varz = get(address, "/varz").await?;
    if varz["jetstream"]["config"]["sync_always"] == Value::Bool(true) {
        Ok(())
    } else {
        Err(Error::LazySync(address.to_owned()))
    }
}
