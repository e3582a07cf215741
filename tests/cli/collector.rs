//! A collector of spans: OTLP over HTTP, protobuf, as far as a test wants to know.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long spans may take to arrive.
const WITHIN: Duration = Duration::from_secs(30);

/// A span that arrived.
#[derive(Debug, Clone)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    pub name: String,
    /// The spans that it is linked to, by their ids.
    pub links: Vec<String>,
    /// Texts and integers, as text.
    pub attributes: BTreeMap<String, String>,
}

/// Keeps what arrives.
#[derive(Debug)]
pub struct Collector {
    pub endpoint: String,
    spans: Arc<Mutex<Vec<Span>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    /// Listens on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let (kept, raw) = (Arc::clone(&spans), Arc::clone(&bytes));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, raw) = (Arc::clone(&kept), Arc::clone(&raw));
                std::thread::spawn(move || receive(stream, &kept, &raw));
            }
        });
        Self { endpoint, spans, bytes }
    }

    /// All that has arrived, byte for byte.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    /// All that has arrived.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// Waits until one span is the one.
    pub fn wait(&self, what: &str, is: impl Fn(&Span) -> bool) -> Span {
        let until = Instant::now() + WITHIN;
        loop {
            if let Some(found) = self.spans().into_iter().find(&is) {
                return found;
            }
            assert!(Instant::now() < until, "no {what} in {:#?}", self.spans());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Requests of one connection, until it ends.
fn receive(mut stream: TcpStream, kept: &Mutex<Vec<Span>>, raw: &Mutex<Vec<u8>>) {
    let (mut bytes, mut part) = (Vec::new(), [0; 8192]);
    loop {
        let Ok(n @ 1..) = stream.read(&mut part) else { return };
        bytes.extend_from_slice(&part[..n]);
        raw.lock().unwrap().extend_from_slice(&part[..n]);
        let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let text = String::from_utf8(bytes[..head].to_vec()).unwrap().to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
        let end = head + 4 + length.trim().parse::<usize>().unwrap();
        if bytes.len() < end {
            continue;
        }
        kept.lock().unwrap().extend(spans(&bytes[head + 4..end]));
        bytes.drain(..end);
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

/// A number as protobuf writes it.
fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}

/// The fields of a message: number, bytes, and the value of those that are numbers.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8], u64)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let (length, value) = match key & 7 {
            0 => (0, varint(&mut bytes)),
            1 => (8, 0),
            2 => (usize::try_from(varint(&mut bytes)).unwrap(), 0),
            5 => (4, 0),
            other => panic!("wire type {other}"),
        };
        let (field, rest) = bytes.split_at(length);
        bytes = rest;
        all.push((key >> 3, field, value));
    }
    all
}

/// The messages in one field.
fn within(bytes: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(bytes).into_iter().filter(move |(n, ..)| *n == number).map(|(_, field, _)| field)
}

/// `resource_spans` / `scope_spans` / `spans` of an export.
fn spans(export: &[u8]) -> Vec<Span> {
    let scopes = within(export, 1).flat_map(|resource| within(resource, 2));
    scopes.flat_map(|scope| within(scope, 2)).map(span).collect()
}

fn span(bytes: &[u8]) -> Span {
    let first = |number| within(bytes, number).next().unwrap_or_default();
    let written = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
    let hex = |number| written(first(number));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let attribute = |bytes: &[u8]| {
        let name = text(within(bytes, 1).next()?);
        let (kind, field, number) = *fields(within(bytes, 2).next()?).first()?;
        Some((name, if kind == 1 { text(field) } else { number.to_string() }))
    };
    Span {
        trace: hex(1),
        id: hex(2),
        parent: hex(4),
        name: text(first(5)),
        links: within(bytes, 13).map(|link| written(within(link, 2).next().unwrap())).collect(),
        attributes: within(bytes, 9).filter_map(attribute).collect(),
    }
}
