//! Spans arrive at a collector, sent by a process of its own: the environment is the interface,
//! and a test must not change its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const SERVICE: &str = "canonry-export-test";
const CHILD: &str = "CANONRY_TEST_CHILD";

/// Runs [`child`] in a process of its own.
fn run(environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(CHILD, "1");
    for name in std::env::vars().map(|(n, _)| n).filter(|n| n.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command.env_remove("CANONRY_LOG").envs(environment.iter().copied()).output().unwrap()
}

/// What the process under test does; nothing when the tests are run.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let guard = canonry_telemetry::init(SERVICE);
    tracing::info_span!(target: "canonry_test", "canonry.decide").in_scope(|| {
        tracing::info!("not shown by default");
    });
    tracing::info_span!(target: "elsewhere", "not.ours").in_scope(|| {});
    tracing::warn!(exports = guard.exports(), "shown");
}

/// One request: its first line and its body.
fn request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut part).unwrap();
        assert!(n > 0, "the request ended early");
        bytes.extend_from_slice(&part[..n]);
        let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
        let length = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map(|(_, value)| value.trim().parse::<usize>().unwrap())
            .unwrap();
        if bytes.len() >= head + 4 + length {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            return (text.lines().next().unwrap().to_owned(), bytes[head + 4..].to_vec());
        }
    }
}

/// Waits for one connection.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            return stream;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody connected");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

#[test]
fn spans_are_flushed_to_the_endpoint_when_the_guard_drops() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let collector = std::thread::spawn(move || request(&mut accept(&listener)));
    let output = run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let (line, body) = collector.join().unwrap();
    assert_eq!(line, "POST /v1/traces HTTP/1.1");
    assert!(contains(&body, SERVICE) && contains(&body, "canonry.decide"));
    assert!(!contains(&body, "not.ours"));
    assert!(stderr.contains("shown exports=true"), "{stderr}");
    assert!(!stderr.contains("not shown by default"), "{stderr}");
}

#[test]
fn nothing_is_exported_unless_asked_for() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    for environment in [&[][..], &[endpoint, ("OTEL_SDK_DISABLED", "true")]] {
        let output = run(environment);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.contains("shown exports=false"), "{stderr}");
    }
}

#[test]
fn what_is_wrong_with_the_environment_is_said_and_the_process_goes_on() {
    let output = run(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address"),
        ("CANONRY_LOG", "canonry=loudest=now"),
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    for said in ["CANONRY_LOG is not a filter", "spans are not exported", "exports=false"] {
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
}
