//! Canaries: texts that must stand nowhere in clear, and the search for them. The tests of the
//! whole program use this file as well.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Every canary begins so.
pub const BIRD: &str = "CANARY7Q2XV9KQZJ";

/// The forms in which a text could lie somewhere.
pub fn forms(bird: &str) -> Vec<String> {
    let bytes = bird.as_bytes();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let mut forms = vec![
        bird.to_owned(),
        bird.chars().rev().collect(),
        hex.to_uppercase(),
        bytes.iter().map(|b| format!("\\u{b:04x}")).collect(),
        bytes.iter().map(|b| format!("{b}, ")).collect::<String>().trim_end().to_owned(),
        bytes.iter().map(|b| format!("{b},")).collect(),
        hex,
    ];
    for offset in 0..3 {
        let padded = [&b"\0\0"[..offset], bytes].concat();
        let (from, to) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
        for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            forms.push(text[from..to].to_owned());
        }
    }
    forms
}

/// Where one of the needles, a line each, lies below a directory.
pub fn birds(needles: &Path, dir: &Path) -> String {
    let mut grep = Command::new("grep");
    let grep = grep.args(["-r", "-a", "-o", "-F", "-f"]).arg(needles).arg(dir).output().unwrap();
    assert!(grep.status.code().is_some_and(|c| c < 2), "{grep:?}");
    String::from_utf8_lossy(&grep.stdout).into_owned()
}
