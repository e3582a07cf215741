//! `canonry bench`, small: what it measures is there, with a ratio to each limit, and the peer is a
//! real PostgreSQL. How fast it is says nothing here.

use std::path::Path;

use serde_json::Value;

use crate::postgres::Postgres;
use crate::program::{canonry, ran};

fn bench(folder: &Path, words: &[&str]) -> Value {
    let mut command = canonry(folder, &[&["--json", "bench"], words].concat());
    command.env("NATS_SERVER", canonry_provision::server::find().unwrap());
    let done = ran(&mut command);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    serde_json::from_str(&done.out).unwrap()
}

#[test]
fn every_figure_has_its_limit_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(folder.path(), None);
    if postgres.is_none() {
        eprintln!("skipped: no PostgreSQL server is installed, so the peer was not measured");
    }
    let mut words = vec!["--seconds", "1", "--rounds", "1", "--records", "200"];
    let url = postgres.as_ref().map(|p| p.url.clone());
    words.extend(url.iter().flat_map(|url| ["--postgres", url.as_str()]));
    let said = bench(folder.path(), &words);
    for name in [
        "raw_batch_per_s",
        "raw_batch_512_per_s",
        "raw_batch_64_p99_ms",
        "raw_single_p50_ms",
        "commit_1024_per_s",
        "commit_nats_1024_per_s",
        "commit_64_p99_ms",
        "commit_1_p50_ms",
        "commit_16_tenants_per_s",
        "verify_export_per_s",
        "verify_live_per_s",
        "ed25519_batch_verify_per_s",
        "rebuild_per_s",
        "bare_loop_per_s",
        "rss_mb",
    ] {
        assert!(said[name].as_f64().unwrap() > 0.0, "{name}: {said}");
    }
    assert_eq!(said["verified_records"], 200);
    let ratio = &said["ratios"]["commit_1024_of_raw_batch"];
    let raw = said["raw_batch_per_s"].as_f64().unwrap();
    let governed = said["commit_1024_per_s"].as_f64().unwrap();
    assert!((ratio["value"].as_f64().unwrap() - governed / raw).abs() < 1e-9, "{said}");
    assert_eq!(ratio["met"].as_bool(), Some(governed / raw >= 0.4));
    if postgres.is_some() {
        for name in ["postgres_row_per_s", "postgres_batch_64_per_s"] {
            assert!(said[name].as_f64().unwrap() > 0.0, "{name}: {said}");
        }
    }
    drop(postgres);
}

#[test]
fn take_overs_and_crowds_are_timed() {
    let folder = tempfile::tempdir().unwrap();
    let said = bench(folder.path(), &["take-over", "--records", "300", "--rest", "1", "--cold"]);
    for name in ["standby_first_answer_s", "restart_first_answer_s", "cold_first_answer_s"] {
        assert!(said[name].as_f64().unwrap() > 0.0, "{name}: {said}");
    }
    let words = ["tenants", "--tenants", "3", "--records", "20", "--in-flight", "2"];
    let said = bench(folder.path(), &words);
    assert!(said["rss_loaded_mb"].as_u64().unwrap() > 0, "{said}");
}
