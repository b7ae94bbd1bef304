//! `tidemark` as a process, as far as it comes without a DynamoDB but its own.
//!
//! `cargo test --workspace` builds this package's binary because this test is here.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longest that sample stock may take to be low, and then to be refilled, and that to be told.
const TOLD_WITHIN: Duration = Duration::from_secs(120);
/// Longest that Ctrl-C may take. It takes a fraction of a second; a busy machine gets more.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

fn tidemark(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidemark")).args(arguments).env_clear().output().expect("it can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// A file with the given text, for as long as the test runs.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("definitions.yaml");
    std::fs::write(&path, text).expect("written");
    (folder, path)
}

fn shipped(name: &str) -> String {
    format!("{}/../../definitions/{name}", env!("CARGO_MANIFEST_DIR"))
}

const BAD: &str = "\
sources:
  orders:
    tabel: Orders
    tenant: { constant: demo }
metrics:
  sales: { source: order, time: at, measures: { n: { count: true } }, group_by: [[itm]] }
";

#[test]
fn help_lists_every_command_and_each_has_its_own() {
    let help = text(&tidemark(&["--help"]).stdout);
    let commands = ["dev", "init", "check", "tenant create", "key create", "status", "quarantine list", "quarantine show"];
    for command in commands.into_iter().chain(["definitions show", "definitions accept", "definitions remove", "secrets reseal"])
    {
        let words: Vec<&str> = command.split(' ').collect();
        assert!(help.contains(&format!("\n  {} ", words[0])), "{command}: {help}");
        let own = tidemark(&[&words[..], &["--help"]].concat());
        assert_eq!(own.status.code(), Some(0), "{command}");
        assert!(text(&own.stdout).contains(&format!("Usage: tidemark {command}")), "{command}");
    }
}

#[test]
fn version_is_the_packages() {
    assert_eq!(text(&tidemark(&["--version"]).stdout), format!("tidemark {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn bad_usage_is_told_and_exits_2() {
    for (arguments, told) in [
        (&["serve"][..], "unrecognized subcommand 'serve'"),
        (&["key", "create"], "<--tenant <TENANT>|--operator>"),
        (&["key", "create", "--operator", "--tenant", "acme"], "cannot be used with"),
        (&["key", "create", "--tenant", "acme", "--scopes", "metrics:write"], "`metrics:write` is no scope"),
        (&["key", "create", "--tenant", "acme", "--scopes", "operator"], "use --operator"),
        (&["key", "create", "--tenant", "acme", "--scopes", "metrics:read operator"], "use --operator"),
        (&["key", "create", "--tenant", "acme", "--scopes", " , "], "is no scope"),
        (&["key", "create", "--tenant", "acme", "--expires-at", "2026-01-01T00:00:00Z"], "--expires-at: that moment has passed"),
        (&["key", "create", "--tenant", "acme", "--name", &"n".repeat(201)], "has 1 to 200 characters"),
        (&["tenant", "create", "acme", "--name", ""], "has 1 to 200 characters"),
        (&["tenant", "create", "a b"], "invalid value 'a b'"),
        (&["tenant", "create", "acme", "--key-rps", "0"], "0 is not in 1..=1000000"),
        (&["tenant", "create", "acme", "--time-zone", "Mars/Olympus"], "invalid value 'Mars/Olympus'"),
        (&["quarantine", "show", "qua_20261122_orders_1"], "<--tenant <TENANT>|--source <SOURCE>>"),
        (&["quarantine", "list", "--tenant", "acme", "--source", "orders"], "cannot be used with"),
        (&["definitions", "accept", "sales"], "--from-now"),
        (&["init", "--with-sources"], "TIDEMARK_DEFINITIONS"),
        (&["init", "--tenant", "main"], "it is a tenant and its time zone, such as main=Europe/Berlin"),
        (&["init", "--tenant", "a b=UTC"], "a tenant id is 1 to 64 of"),
        (&["dev", "--tenant", "main=Mars/Olympus"], "`Mars/Olympus` is not an IANA time zone"),
        (&["dev", "--port", "70000"], "invalid value '70000'"),
    ] {
        let output = tidemark(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(told), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn the_shipped_definitions_are_fine() {
    for name in ["retail.yaml", "orders-by-item.yaml"] {
        let output = tidemark(&["check", &shipped(name)]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("metric sales ("), "{}", text(&output.stdout));
    }
    let output = tidemark(&["check", "--json", &shipped("retail.yaml")]);
    let meaning: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(meaning["sources"]["stock"]["table"], "Stock");
}

#[test]
fn check_warns_of_a_source_that_nothing_uses() {
    let fine = std::fs::read_to_string(shipped("orders-by-item.yaml")).expect("a text");
    let (_folder, path) =
        file(&fine.replacen("sources:\n", "sources:\n  spare: { table: Spare, tenant: { constant: acme } }\n", 1));
    let path = path.to_str().expect("text");
    let output = tidemark(&["check", path]);
    let warning = "sources.spare: no metric and no inventory uses this source: its stream is read, and paid for, all the same";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), format!("warning: {warning}\n")));
    let meaning: serde_json::Value = serde_json::from_slice(&tidemark(&["check", "--json", path]).stdout).expect("JSON");
    assert_eq!(
        (&meaning["warnings"][0]["path"], meaning["warnings"].as_array().map(Vec::len)),
        (&"sources.spare".into(), Some(1))
    );
}

#[test]
fn nothing_is_told_where_nobody_reads_any_more() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemark"));
    let output = command.args(["check", &shipped("retail.yaml")]).env_clear().stdout(writer).output().expect("it can be run");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn what_cannot_be_written_is_one_line_and_a_failure() {
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemark"));
    let output = command.args(["check", &shipped("retail.yaml")]).env_clear().stdout(full()).output().expect("it can be run");
    let told = "error: standard output: No space left on device (os error 28)\n";
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), told));
    // Where nothing can be told, the exit code is.
    let output = command.stderr(full()).output().expect("it can be run");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn check_tells_every_problem_with_its_line_and_exits_2() {
    let (_folder, path) = file(BAD);
    let path = path.to_str().expect("text");
    let output = tidemark(&["check", path]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    for problem in
        ["line 3: sources.orders: unknown field `tabel`; allowed: table,", "line 6: metrics.sales.source: ", "line 6: "]
    {
        assert!(told.contains(problem), "{problem}: {told}");
    }
    assert!(told.starts_with(&format!("error: {path} has problems:\n")), "{told}");

    let output = tidemark(&["check", "--json", path]);
    assert_eq!(output.status.code(), Some(2));
    let problems: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(problems["problems"].as_array().map(Vec::len), Some(told.lines().count() - 1), "{problems:#}");
}

#[test]
fn a_definition_file_that_is_missing_or_bad_stops_every_command_that_needs_one() {
    let (_folder, path) = file(BAD);
    let path = path.to_str().expect("text");
    for command in [&["dev"][..], &["init", "--with-sources"], &["definitions", "accept", "sales", "--from-now"]] {
        let output = tidemark(&[command, &["--definitions", "no/such.yaml"]].concat());
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert_eq!(
            text(&output.stderr),
            "error: --definitions: the definition file no/such.yaml cannot be read: No such file or directory (os error 2)\n"
        );
        let output = tidemark(&[command, &["--definitions", path]].concat());
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(text(&output.stderr).contains("\nline 3: "), "{}", text(&output.stderr));
    }
}

#[test]
fn dev_asks_for_the_key_of_a_table_that_nobody_else_can_create() {
    let keyless = "\
sources: { payments: { table: Payments, tenant: { attribute: account, default: main } } }
metrics: { payments: { source: payments, time: paid_at, measures: { count: { count: true } }, group_by: [[]] } }
";
    let (_folder, path) = file(keyless);
    let output = tidemark(&["dev", "--port", "0", "--dynamodb-port", "0", "--definitions", path.to_str().expect("text")]);
    let told = text(&output.stderr);
    let last = told.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(last.starts_with("error: source payments: ") && last.contains("give the source a `key: { partition: … }`"), "{told}");
    assert!(!last.contains("tidemark init"), "{told}");
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, as it should.
        self.0.kill().ok();
    }
}

#[test]
fn dev_shows_a_newcomer_an_alert_and_its_end_and_stops_cleanly() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemark"));
    command.args(["dev", "--port", "0", "--dynamodb-port", "0"]).env_clear().stdin(Stdio::null());
    let mut dev = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it can be run"));
    let (sender, lines) = mpsc::channel();
    let output = BufReader::new(dev.0.stdout.take().expect("piped"));
    let reading = std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let until = |part: &str| {
        let end = Instant::now() + TOLD_WITHIN;
        loop {
            let line = lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("{part}: not told within {TOLD_WITHIN:?}"));
            assert!(!line.contains("NOT TAKEN"), "{line}");
            if line.contains(part) {
                return line;
            }
        }
    };
    assert!(until("  Webhooks  ").contains("http://127.0.0.1:"));
    let fired = until("inventory.alert.fired");
    assert!(fired.starts_with("webhook  ") && fired.ends_with("at or below 10 (warning)  verified"), "{fired}");
    let resolved = until("inventory.alert.resolved");
    assert!(resolved.ends_with("resolved (recovered)  verified"), "{resolved}");

    let id = dev.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("it can be run").success());
    let end = Instant::now() + STOPPED_WITHIN;
    // Its output ends when it does.
    while lines.recv_timeout(end.saturating_duration_since(Instant::now())) != Err(mpsc::RecvTimeoutError::Disconnected) {
        assert!(Instant::now() < end, "it runs on");
    }
    assert_eq!(dev.0.wait().expect("it has ended").code(), Some(0));
    reading.join().expect("no panic").expect("all lines were taken");
}
