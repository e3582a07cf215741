//! The command line as a whole: it parses, and every command says how it is used.

use clap::{Command as Clap, CommandFactory as _, Parser as _};

use super::*;

fn leaves(command: &Clap, path: &str, found: &mut Vec<(String, Clap)>) {
    let path = format!("{path} {}", command.get_name());
    found.push((path.clone(), command.clone()));
    // What only this program itself calls is nobody's to read.
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        leaves(sub, &path, found);
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_help_has_an_example_and_a_sentence() {
    let mut found = Vec::new();
    leaves(&Cli::command(), "", &mut found);
    assert!(found.len() > 20);
    for (path, mut command) in found {
        let help = command.render_long_help().to_string();
        assert!(help.contains("EXAMPLES:") && help.contains("    canonry "), "{path}:\n{help}");
        assert!(command.get_about().is_some(), "{path} has no sentence");
    }
}

#[test]
fn examples_parse() {
    let mut found = Vec::new();
    leaves(&Cli::command(), "", &mut found);
    let (mut tried, mut wrong) = (0, Vec::new());
    for (path, command) in found {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter_map(|l| l.trim().strip_prefix("canonry ")) {
            // What a shell would do to quotes, pipes and substitutions is not tried here.
            if line.contains(['\'', '"', '|', '$', '>', '<']) {
                continue;
            }
            // A verifier key that is cut short is none any more.
            let words = ["--key ", "--witness ", "--log "];
            if line.contains('…') && words.iter().any(|word| line.contains(word)) {
                continue;
            }
            let line = line.replace('…', &"0".repeat(60));
            let words = std::iter::once("canonry").chain(line.split_whitespace());
            tried += 1;
            if let Err(error) = Cli::try_parse_from(words) {
                wrong.push(format!("{path}: {line}: {error}"));
            }
        }
    }
    assert!(tried > 20, "{tried}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn bad_lines_are_usage_errors() {
    for bad in [
        "canonry",
        "canonry submit ticket",
        "canonry approve ticket-1",
        "canonry token --minutes 61",
        "canonry tenant found No_Name",
        "canonry ledger verify --head 7",
        "canonry ledger show 0",
        "canonry submit a b {} --wait",
    ] {
        let error = Cli::try_parse_from(bad.split(' ')).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{bad}: {error}");
    }
}

#[test]
fn json_and_home_stand_anywhere() {
    let line = "canonry ledger tail --json --home /x --last 3";
    let cli = Cli::try_parse_from(line.split(' ')).unwrap();
    assert!(cli.json);
    assert_eq!(cli.home, PathBuf::from("/x"));
}
