//! A cell's home, and the processes that run from it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use canonry_provision::server::Options;
use canonry_provision::testing::TestCell;
use canonry_provision::{Cell, CellUser, Error, TenantUser, creds, jwt};

use crate::support::{actor, tenant};

#[test]
fn a_cell_is_made_once_and_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let cell = Cell::create(&home).unwrap();
    assert!(matches!(Cell::create(&home), Err(Error::KeyStore(_))), "keys are never replaced");
    assert_eq!(Cell::open(&home).unwrap().accounts(), cell.accounts());
    for user in [CellUser::Committer, CellUser::ProvisionSys, CellUser::ProvisionStreams] {
        let path = cell.creds_path(&user).unwrap();
        assert_eq!(path.components().any(|c| c.as_os_str() == "offline"), user.is_offline());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(creds::seed(&text).unwrap().starts_with("SU"));
        let claims = jwt::decode(creds::jwt(&text).unwrap()).unwrap();
        assert_eq!(claims["name"], user.name());
    }
}

#[test]
fn logins_are_for_people_and_workers() {
    let dir = tempfile::tempdir().unwrap();
    let cell = Cell::create(&dir.path().join("home")).unwrap();
    let acme = tenant("acme");
    let refused = cell.tenant_user(&acme, &actor("svc_api"), TenantUser::Member);
    assert!(matches!(refused, Err(Error::ServiceToken(_))));
    let login = cell.tenant_user(&acme, &actor("founder"), TenantUser::Member).unwrap();
    let member = cell.member_key(&acme, &actor("founder")).unwrap();
    assert_ne!(&login.public, member.key.verifying_key().as_bytes(), "never the same key");
    let text = fs::read_to_string(&login.creds).unwrap();
    let claims = jwt::decode(creds::jwt(&text).unwrap()).unwrap();
    let (_, public) = nkeys::from_public_key(claims["sub"].as_str().unwrap()).unwrap();
    assert_eq!(public, login.public);
}

#[test]
fn contexts_are_what_the_nats_cli_reads() {
    let dir = tempfile::tempdir().unwrap();
    let cell = Cell::create(&dir.path().join("home")).unwrap();
    let (acme, url) = (tenant("acme"), "nats://127.0.0.1:4222");
    let read = |path| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let path = cell.write_context(&acme, &actor("founder"), TenantUser::Member, url).unwrap();
    assert!(path.ends_with("nats/context/acme-founder.json"));
    let founder = read(path);
    assert_eq!(founder["inbox_prefix"], "_INBOX.founder");
    assert_eq!(founder["url"], url);
    let auditor =
        read(cell.write_context(&acme, &actor("auditor"), TenantUser::Auditor, url).unwrap());
    assert_eq!(auditor["jetstream_api_prefix"], "audit.api");
    assert_eq!(auditor["inbox_prefix"], "_INBOX.acme.auditor");
    let guarded = "tls://n1:4222?ca=/etc/ca.pem&cert=/etc/me.pem&key=/etc/me.key";
    let path = cell.write_context(&acme, &actor("founder"), TenantUser::Member, guarded);
    let founder = read(path.unwrap());
    assert_eq!((&founder["url"], &founder["ca"]), (&"tls://n1:4222".into(), &"/etc/ca.pem".into()));
    assert_eq!((&founder["cert"], &founder["key"]), (&"/etc/me.pem".into(), &"/etc/me.key".into()));
    let operator = read(cell.write_cell_context(&CellUser::CellOperator, url).unwrap());
    assert_eq!(operator["inbox_prefix"], "_INBOX.cell-operator");
}

#[tokio::test]
async fn a_server_runs_under_its_limit_and_ends_with_its_handle() {
    let options = Options { file_size_limit: Some(64 << 20), ..Options::default() };
    let test = TestCell::start_with(options).await.unwrap();
    let process = format!("/proc/{}", test.server().pid().unwrap());
    if cfg!(target_os = "linux") {
        let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
        let size = limits.lines().find(|l| l.starts_with("Max file size")).unwrap();
        assert!(size.contains(&(64 << 20).to_string()), "{size}");
    }
    let dir = test.dir();
    drop(test);
    assert!(!fs::exists(&process).unwrap() && !dir.exists());
}

#[tokio::test]
async fn a_restarted_cell_keeps_its_address() {
    let dir = tempfile::tempdir().unwrap();
    let cell = Cell::create(&dir.path().join("home")).unwrap();
    let mut first = cell.start_server(Options::default()).await.unwrap();
    let url = first.url();
    first.stop().await.unwrap();
    let second = cell.start_server(Options::default()).await.unwrap();
    assert_eq!(second.url(), url);
}
