//! `tidemark-api` as a process, as far as it comes without DynamoDB.
//!
//! `cargo test --workspace` builds this package's binary because this test is here.

use std::process::{Command, Output};

fn api(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemark-api"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).output().expect("it can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn help_lists_every_setting() {
    let output = api(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for setting in tidemark_api::SETTINGS {
        assert!(help.contains(&format!("  {} ", setting.name)), "{}: {help}", setting.name);
    }
}

#[test]
fn version_is_the_packages() {
    let output = api(&["--version"], &[]);
    assert_eq!(text(&output.stdout), format!("tidemark-api {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn bad_usage_is_told_and_exits_2() {
    let output = api(&["opanapi"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("unrecognized subcommand 'opanapi'"), "{output:?}");
}

#[test]
fn all_unset_variables_are_named_at_once() {
    let output = api(&[], &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    let lines: Vec<&str> = told.lines().collect();
    let [definitions, key] = lines[..] else { panic!("{told}") };
    assert!(definitions.starts_with("error: TIDEMARK_DEFINITIONS: not set"), "{told}");
    assert!(key.starts_with("TIDEMARK_SECRET_KEY: not set"), "{told}");
}

#[test]
fn openapi_prints_the_document_without_any_setting() {
    let output = api(&["openapi"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(document["paths"]["/v1/metrics/{metric}/values"].is_object());
}
