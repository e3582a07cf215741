//! `canonry dataset fetch` against a server of our own. What the published file holds is pinned by
//! its hash, so nothing that this server can make is ever put in place; how a download resumes
//! and ends well is the library's to show.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use crate::program::{Ran, canonry, ran};

const BODY: &[u8] = b"number,incident_state\nINC1,New\n";

/// What the server does with one request.
#[derive(Clone, Copy)]
enum Turn {
    /// Sends so many bytes of the body and hangs up.
    Break(usize),
    /// Sends all that was asked for.
    Rest,
    /// Answers with a status.
    Status(&'static str),
}

/// A server that answers by the script, then hangs up on everybody; told are the ranges.
fn server(script: &'static [Turn]) -> (String, Receiver<Option<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/log.csv", listener.local_addr().unwrap());
    let (sender, ranges) = channel();
    std::thread::spawn(move || {
        for turn in script {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request: Vec<String> =
                lines.map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
            let range = request.iter().find_map(|l| {
                let lower = l.to_lowercase();
                lower.strip_prefix("range: bytes=")?.trim_end_matches('-').parse::<usize>().ok()
            });
            let from = range.unwrap_or(0);
            let (status, sent) = match turn {
                Turn::Status(status) => ((*status).to_owned(), &BODY[..0]),
                Turn::Break(count) => ("200 OK".to_owned(), &BODY[from..from + count]),
                Turn::Rest if range.is_some() => {
                    let (last, all) = (BODY.len() - 1, BODY.len());
                    let head = format!("206 Partial\r\nContent-Range: bytes {from}-{last}/{all}");
                    (head, &BODY[from..])
                }
                Turn::Rest => ("200 OK".to_owned(), BODY),
            };
            let length = BODY.len() - from;
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close");
            // Who asked may have gone.
            let _ = stream.write_all(format!("{head}\r\n\r\n").as_bytes());
            let _ = stream.write_all(sent);
            let _ = sender.send(range);
        }
    });
    (url, ranges)
}

fn fetch(folder: &std::path::Path, url: &str) -> Ran {
    let words = ["--json", "dataset", "fetch", "incidents", "--url", url, "--out", "log.csv"];
    ran(&mut canonry(folder, &words))
}

#[test]
fn a_cut_download_goes_on_and_a_wrong_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (url, ranges) = server(&[Turn::Break(10), Turn::Rest]);
    let done = fetch(folder.path(), &url);
    assert_eq!(done.code, 1, "{}", done.err);
    assert_eq!(ranges.iter().take(2).collect::<Vec<_>>(), [None, Some(10)]);
    assert!(done.err.contains("the SHA-256 of the CSV is"), "{}", done.err);
    assert_eq!(done.out, "", "nothing is told as data");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "what is wrong is deleted");
}

#[test]
fn a_server_that_fails_is_69_and_what_came_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (url, _ranges) = server(&[Turn::Status("503 No")]);
    let done = fetch(folder.path(), &url);
    assert_eq!(done.code, 69, "{}", done.err);
    assert!(done.err.contains("503"), "{}", done.err);

    // One try that breaks off; then nobody listens any more.
    let (url, ranges) = server(&[Turn::Break(10)]);
    let done = fetch(folder.path(), &url);
    assert_eq!(done.code, 69, "{}", done.err);
    assert_eq!(ranges.recv(), Ok(None));
    let kept = std::fs::read(folder.path().join("log.csv.part")).unwrap();
    assert_eq!(kept, &BODY[..10]);
    let (url, ranges) = server(&[Turn::Rest]);
    assert_eq!(fetch(folder.path(), &url).code, 1);
    assert_eq!(ranges.recv(), Ok(Some(10)), "the next call goes on there");

    let done = fetch(folder.path(), "ftp://127.0.0.1/x");
    assert_eq!(done.code, 2, "{}", done.err);
}
