//! `tidemark-ingest` as a process, as far as it comes without DynamoDB.
//!
//! `cargo test --workspace` builds this package's binary because this test is here.

use std::process::{Command, Output};

fn ingest(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemark-ingest"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).output().expect("it can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn help_lists_every_setting() {
    let output = ingest(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for setting in tidemark_ingest::SETTINGS {
        assert!(help.contains(&format!("  {} ", setting.name)), "{}: {help}", setting.name);
    }
}

#[test]
fn version_is_the_packages() {
    let output = ingest(&["--version"], &[]);
    assert_eq!(text(&output.stdout), format!("tidemark-ingest {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn bad_usage_is_told_and_exits_2() {
    let output = ingest(&["--fast"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("unexpected argument '--fast'"), "{output:?}");
}

#[test]
fn all_bad_settings_are_named_at_once_and_nothing_else_is_printed() {
    let output = ingest(&[], &[("TIDEMARK_LEASE_TTL_MS", "soon"), ("TIDEMARK_START", "yesterday")]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    let lines: Vec<&str> = told.lines().collect();
    let [definitions, start, ttl, key] = lines[..] else { panic!("{told}") };
    assert!(definitions.starts_with("error: TIDEMARK_DEFINITIONS: not set"), "{told}");
    assert!(start.starts_with("TIDEMARK_START: `yesterday`"), "{told}");
    assert!(ttl.starts_with("TIDEMARK_LEASE_TTL_MS: `soon`"), "{told}");
    assert!(key.starts_with("TIDEMARK_SECRET_KEY: not set"), "{told}");
}
