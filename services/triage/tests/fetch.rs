//! The download against a server on this machine that answers as scripted: one script entry
//! for each request, the request's range is kept for the test to look at.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use canonry_triage::digest::Digest;
use canonry_triage::fetch::{Error, Fetched, Progress, fetch_incidents};
use canonry_triage::limits::{MAX_ATTEMPTS, MAX_DOWNLOAD_BYTES, MAX_REDIRECTS};
use canonry_triage::log::IncidentLog;
use canonry_triage::sample;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How the server answers one request.
#[derive(Clone, Copy)]
enum Answer {
    /// Honours the range, sends everything.
    Honest,
    /// Honours the range, but closes the connection after so many bytes.
    Break(usize),
    /// Ignores the range and sends everything.
    Whole,
    /// Answers with a range that begins elsewhere.
    WrongRange,
    /// Promises a body of so many bytes and sends a little of it.
    Promise(u64),
    /// Answers with a status and no body.
    Status(u16),
    /// Points to itself.
    Redirect,
}

/// A server that answers by the script; the last entry repeats.
struct Server {
    address: SocketAddr,
    ranges: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Server {
    async fn start(body: Vec<u8>, script: &'static [Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ranges);
        tokio::spawn(async move {
            for turn in 0.. {
                let (mut stream, _) = listener.accept().await.expect("accepts");
                let range = requested(&mut stream).await;
                seen.lock().expect("not poisoned").push(range);
                let answer = script[turn.min(script.len() - 1)];
                respond(&mut stream, answer, range, &body).await;
            }
        });
        Self { address, ranges }
    }

    async fn fetch(&self, dest: &Path, expected: Digest) -> Result<Fetched, Error> {
        let mut last = Progress { received: 0, total: None };
        let url = format!("http://{}/log.zip", self.address);
        let outcome = fetch_incidents(&url, expected, dest, &mut |now| last = now).await;
        if let Ok(Fetched::Downloaded { body, .. }) = outcome {
            assert!(last.received == body || last.received == 0, "{last:?} of {body}");
        }
        outcome
    }

    fn ranges(&self) -> Vec<Option<usize>> {
        self.ranges.lock().expect("not poisoned").clone()
    }
}

async fn requested(stream: &mut TcpStream) -> Option<usize> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.expect("a whole request"));
    }
    let request = String::from_utf8(request).expect("text").to_lowercase();
    let range = request.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
    Some(range.trim_end_matches('-').parse().expect("an open range"))
}

async fn respond(stream: &mut TcpStream, answer: Answer, range: Option<usize>, body: &[u8]) {
    let all = body.len();
    let (head, sent) = match (answer, range) {
        (Answer::Status(status), _) => (format!("{status} No"), &body[..0]),
        (Answer::Redirect, _) => ("302 Found\r\nLocation: /log.zip".to_owned(), &body[..0]),
        (Answer::Promise(len), _) => (format!("200 OK\r\nContent-Length: {len}"), &body[..10]),
        (Answer::Honest | Answer::Break(_), Some(from)) if from >= all => {
            (format!("416 No\r\nContent-Range: bytes */{all}"), &body[..0])
        }
        (Answer::Honest | Answer::Break(_), Some(from)) => {
            let range = format!("Content-Range: bytes {from}-{}/{all}", all - 1);
            (format!("206 Partial\r\n{range}\r\nContent-Length: {}", all - from), &body[from..])
        }
        (Answer::WrongRange, Some(_)) => {
            (format!("206 Partial\r\nContent-Range: bytes 1-9/{all}"), &body[1..10])
        }
        (_, _) => (format!("200 OK\r\nContent-Length: {all}"), body),
    };
    let sent = match answer {
        Answer::Break(after) => &sent[..after.min(sent.len())],
        _ => sent,
    };
    // The client may have hung up by then, as it should when it refuses.
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(sent).await;
    let _ = stream.shutdown().await;
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

/// A zip archive with the sample in it, deflated, as Python or Info-ZIP would write it; the CRC
/// is left out, since nobody reads it.
fn zipped() -> Vec<u8> {
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut packer, sample::CSV).expect("to memory");
    let data = packer.finish().expect("to memory");
    let name = b"incident_event_log.csv";
    let size = |len: usize| u32::try_from(len).expect("small").to_le_bytes();
    let common = [
        &[20, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &size(data.len()),
        &size(sample::CSV.len()),
        &[u8::try_from(name.len()).expect("small"), 0, 0, 0],
    ]
    .concat();
    let local = [b"PK\x03\x04", &common[..], name, &data].concat();
    let entry = [b"PK\x01\x02\x14\x00", &common[..], &[0; 14], name].concat();
    let end =
        [b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &size(entry.len())[..], &size(local.len()), &[0, 0]];
    [&local[..], &entry, &end.concat()].concat()
}

/// Runs one download into a fresh folder and checks what is left there.
async fn try_once(
    body: Vec<u8>,
    script: &'static [Answer],
    there: &[u8],
    expected: Digest,
) -> (Result<Fetched, String>, Vec<Option<usize>>, Option<u64>) {
    let folder = tempfile::tempdir().expect("a folder");
    let dest = folder.path().join("cache/incident_event_log.csv");
    let part = folder.path().join("cache/incident_event_log.csv.part");
    if !there.is_empty() {
        std::fs::create_dir_all(part.parent().expect("has one")).expect("made");
        std::fs::write(&part, there).expect("written");
    }
    let server = Server::start(body, script).await;
    let outcome = server.fetch(&dest, expected).await;
    assert_eq!(dest.is_file(), outcome.is_ok(), "a file appears exactly when all went well");
    assert!(!folder.path().join("cache/incident_event_log.csv.raw").exists());
    if outcome.is_ok() {
        assert_eq!(IncidentLog::open(&dest).expect("a log").sha256, expected);
        assert_eq!(server.fetch(&dest, expected).await.expect("again"), Fetched::Present);
    }
    let left = part.metadata().ok().map(|part| part.len());
    let outcome = outcome.map_err(|error| error.code().to_owned());
    (outcome, server.ranges(), left)
}

fn downloaded(resumed_at: usize, body: usize) -> Result<Fetched, String> {
    Ok(Fetched::Downloaded { resumed_at: resumed_at as u64, body: body as u64 })
}

#[tokio::test]
async fn plain_gzip_and_zip_bodies() {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut packer, sample::CSV).expect("to memory");
    for body in [sample::CSV.to_vec(), packer.finish().expect("to memory"), zipped()] {
        let size = body.len();
        let got = try_once(body, &[Answer::Honest], b"", sha256(sample::CSV)).await;
        assert_eq!(got, (downloaded(0, size), vec![None], None));
    }
}

#[tokio::test]
async fn goes_on_where_an_earlier_call_stopped() {
    let (body, want) = (zipped(), sha256(sample::CSV));
    let size = body.len();
    let got = try_once(body.clone(), &[Answer::Honest], &body[..1000], want).await;
    assert_eq!(got, (downloaded(1000, size), vec![Some(1000)], None));
    // All of it was there: the server says so and nothing comes twice.
    let got = try_once(body.clone(), &[Answer::Honest], &body, want).await;
    assert_eq!(got, (downloaded(size, size), vec![Some(size)], None));
}

#[tokio::test]
async fn goes_on_within_a_call_when_the_body_breaks_off() {
    let body = zipped();
    let size = body.len();
    let script = &[Answer::Break(700), Answer::Break(300), Answer::Honest];
    let got = try_once(body, script, b"", sha256(sample::CSV)).await;
    assert_eq!(got, (downloaded(0, size), vec![None, Some(700), Some(1000)], None));
}

#[tokio::test]
async fn keeps_what_came_when_it_breaks_off_for_good() {
    let (outcome, ranges, left) =
        try_once(zipped(), &[Answer::Break(100)], b"", sha256(sample::CSV)).await;
    assert_eq!(outcome, Err("interrupted".to_owned()));
    assert_eq!(ranges.len(), MAX_ATTEMPTS as usize);
    assert_eq!(left, Some(100 * u64::from(MAX_ATTEMPTS)));
}

#[tokio::test]
async fn begins_again_when_the_server_ignores_the_range() {
    let body = zipped();
    let size = body.len();
    let want = sha256(sample::CSV);
    // What was there is longer than the body and wrong: none of it may survive.
    let there = vec![b'x'; size + 500];
    let got = try_once(body.clone(), &[Answer::Whole], &there, want).await;
    assert_eq!(got, (downloaded(0, size), vec![Some(size + 500)], None));
    // A range that begins elsewhere, or a part longer than the body, is of no use either.
    for script in [&[Answer::WrongRange, Answer::Honest][..], &[Answer::Honest]] {
        let got = try_once(body.clone(), script, &there, want).await;
        assert_eq!(got, (downloaded(0, size), vec![Some(size + 500), None], None));
    }
}

#[tokio::test]
async fn a_wrong_hash_deletes_what_came() {
    let other = sha256(b"another file");
    for there in [&b""[..], b"PK\x03\x04 of something else"] {
        let got = try_once(zipped(), &[Answer::Honest], there, other).await;
        assert_eq!((got.0, got.2), (Err("wrong-hash".to_owned()), None));
    }
    // A part of something else, continued: not an archive any more, deleted as well.
    let mixed = try_once(zipped(), &[Answer::Honest], &[b'x'; 100], sha256(sample::CSV)).await;
    assert_eq!((mixed.0, mixed.2), (Err("wrong-hash".to_owned()), None));
    let cut = zipped()[..900].to_vec();
    let cut = try_once(cut, &[Answer::Honest], b"", sha256(sample::CSV)).await;
    assert_eq!((cut.0, cut.2), (Err("bad-archive".to_owned()), None));
}

#[tokio::test]
async fn a_wrong_file_in_place_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let dest = folder.path().join("log.csv");
    std::fs::write(&dest, "something else").expect("written");
    let server = Server::start(zipped(), &[Answer::Honest]).await;
    server.fetch(&dest, sha256(sample::CSV)).await.expect("downloaded");
    assert_eq!(std::fs::read(&dest).expect("read"), sample::CSV);
}

#[tokio::test]
async fn statuses_redirects_and_sizes_are_bounded() {
    let want = sha256(sample::CSV);
    let got = try_once(zipped(), &[Answer::Status(404)], b"", want).await;
    assert_eq!((got.0, got.1.len()), (Err("http-status".to_owned()), 1));
    let got = try_once(zipped(), &[Answer::Redirect], b"", want).await;
    assert_eq!((got.0, got.1.len()), (Err("unreachable".to_owned()), MAX_REDIRECTS + 1));
    let got = try_once(zipped(), &[Answer::Promise(MAX_DOWNLOAD_BYTES + 1)], b"", want).await;
    assert_eq!((got.0, got.1.len()), (Err("too-large".to_owned()), 1));
}

#[tokio::test]
async fn addresses_locks_and_absent_servers() {
    let folder = tempfile::tempdir().expect("a folder");
    let dest = folder.path().join("log.csv");
    let fetch = async |url: &str| {
        let outcome = fetch_incidents(url, sha256(b""), &dest, &mut |_| {}).await;
        outcome.expect_err("refused").code()
    };
    assert_eq!(fetch("no url").await, "bad-url");
    assert_eq!(fetch("file:///etc/hosts").await, "bad-url");
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = free.local_addr().expect("bound");
    drop(free);
    assert_eq!(fetch(&format!("http://{address}/")).await, "unreachable");
    let part = std::fs::File::create(folder.path().join("log.csv.part")).expect("made");
    part.lock().expect("locked");
    assert_eq!(fetch(&format!("http://{address}/")).await, "in-progress");
}
