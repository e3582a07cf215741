//! TLS and mutual TLS with the configurations in nats-config: the whole way of a command, and who
//! does not get in.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use canonry_nats::{Connect, Connection, ErrorKind};
use canonry_provision::server::{self, Options};
use canonry_provision::testing::TestCell;
use canonry_schemas::address::{Address, Tls};
use serde_json::{Value, json};

use crate::certificates::Authority;
use crate::harness::{Spine, intent, of_intent, until};

/// A server's certificate, and what its clients need.
fn guard(ours: &Authority, mutual: bool) -> (Options, Tls) {
    let (cert, key) = ours.issue("server");
    let ca = mutual.then(|| ours.ca.clone());
    let options = Options { tls: Some(server::Tls { cert, key, ca }), ..Options::default() };
    let mut tls = Tls { ca: Some(ours.ca.clone()), ..Tls::default() };
    if mutual {
        let (cert, key) = ours.issue("client");
        (tls.cert, tls.key) = (Some(cert), Some(key));
    }
    (options, tls)
}

/// A command and a durable intent, from a person to the ledger and back.
async fn goes_the_whole_way(spine: &mut Spine) {
    let founder = spine.person("founder").await;
    assert!(founder.send("ticket", "open", json!({"title": "Over TLS"})).await.ok);
    let id = intent();
    let headers = [("Canonry-Intent-Id", id.as_str())];
    let body = r#"{"title":"Later"}"#;
    let stored = founder.raw("intent.acme.founder.ticket.open", &headers, body).await.unwrap();
    assert!(stored.ok, "{stored:?}");
    until("the intent is decided", || async { of_intent(&spine.ledger().await, &id).len() == 1 })
        .await;
    founder.connection.close().await;
    spine.stop().await;
}

/// How a connection in the founder's name is refused.
async fn refused(spine: &Spine, tls: Tls) -> ErrorKind {
    let servers = spine.test.urls().join(",").replace("tls://", "nats://");
    let keys = spine.test.cell.key_store();
    let creds = keys.tenant_creds_path(&spine.tenant, &"founder".parse().unwrap());
    let mut connect = Connect::new(Address { servers, tls }.to_string(), "founder");
    connect.creds = Some(keys.read_text(&creds).unwrap().to_string());
    connect.patience = Duration::from_secs(1);
    Connection::connect(connect).await.expect_err("it gets in").kind()
}

/// What the first line of a port says, null where it says nothing in clear, and whether a client that goes on in clear is heard.
fn in_clear(address: &str) -> (Value, bool) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    let _ = reader.read_line(&mut line);
    let info = line
        .trim()
        .strip_prefix("INFO ")
        .map_or(Value::Null, |info| serde_json::from_str(info).unwrap());
    let _ = (&stream).write_all(b"CONNECT {\"verbose\":true}\r\nPING\r\n");
    let mut rest = Vec::new();
    // Cut off or silent for longer than the server waits for a handshake: not heard.
    let _ = reader.read_to_end(&mut rest);
    (info, String::from_utf8_lossy(&rest).contains("PONG"))
}

fn address(spine: &Spine) -> String {
    spine.test.server().url().trim_start_matches("tls://").to_owned()
}

fn folder() -> (tempfile::TempDir, Authority, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "theirs"));
    (dir, ours, theirs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_trusts_its_authority_alone() {
    let (_dir, ours, theirs) = folder();
    let (options, tls) = guard(&ours, false);
    let mut spine = Spine::on(TestCell::start_guarded(1, options, tls).await.unwrap()).await;
    goes_the_whole_way(&mut spine).await;
    let other = Tls { ca: Some(theirs.ca.clone()), ..Tls::default() };
    assert_eq!(refused(&spine, other).await, ErrorKind::Connect, "another authority");
    assert_eq!(refused(&spine, Tls::default()).await, ErrorKind::Connect, "the system's");
    let absent = Tls { ca: Some(PathBuf::from("/nowhere/ca.pem")), ..Tls::default() };
    assert_eq!(refused(&spine, absent).await, ErrorKind::Connect, "a file that is not there");
    let (info, heard) = in_clear(&address(&spine));
    assert_eq!((&info["tls_required"], heard), (&Value::Bool(true), false), "in clear");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_asks_for_a_certificate_of_its_authority() {
    let (_dir, ours, theirs) = folder();
    let (options, tls) = guard(&ours, true);
    let mut spine =
        Spine::on(TestCell::start_guarded(1, options, tls.clone()).await.unwrap()).await;
    goes_the_whole_way(&mut spine).await;
    let none = Tls { cert: None, key: None, ..tls.clone() };
    assert_eq!(refused(&spine, none).await, ErrorKind::Connect, "no certificate");
    let (cert, key) = theirs.issue("client");
    let stranger = Tls { cert: Some(cert), key: Some(key), ..tls.clone() };
    assert_eq!(refused(&spine, stranger).await, ErrorKind::Connect, "a stranger's");
    let wrong = Tls { ca: Some(theirs.ca.clone()), ..tls };
    assert_eq!(refused(&spine, wrong).await, ErrorKind::Connect, "another server's authority");
    let (info, heard) = in_clear(&address(&spine));
    assert_eq!((&info["tls_verify"], heard), (&Value::Bool(true), false), "in clear");
}

/// Who names an authority never speaks in clear, even where the server would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_in_clear_to_a_server_without_tls() {
    let (_dir, ours, _) = folder();
    let spine = Spine::start().await;
    let tls = Tls { ca: Some(ours.ca.clone()), ..Tls::default() };
    assert_eq!(refused(&spine, tls).await, ErrorKind::Connect);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_a_cluster_show_each_other_certificates() {
    let (_dir, ours, _) = folder();
    let (options, tls) = guard(&ours, true);
    let mut spine = Spine::guarded_cluster(options, tls).await;
    goes_the_whole_way(&mut spine).await;
    for server in spine.test.servers() {
        let conf = std::fs::read_to_string(config(&server.store_dir())).unwrap();
        let port = conf.lines().find_map(|line| line.split_once("nats-route://")).unwrap().1;
        let route = port.rsplit_once('@').unwrap().1.trim_end_matches('"');
        assert_eq!(in_clear(route), (Value::Null, false), "{route}");
    }
}

fn config(store: &Path) -> PathBuf {
    store.parent().unwrap().join("nats.conf")
}
