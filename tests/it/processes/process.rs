//! Running one of the workspace's binaries with a known environment, and asking what runs over HTTP.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Workload, World, wait_until};
use tokio::process::{Child, Command};

/// Every call that a workload makes: the lottery of faults draws among these.
pub(super) const CALLS: &[&str] = &[
    "DescribeTable",
    "GetItem",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "Query",
    "BatchGetItem",
    "TransactGetItems",
    "TransactWriteItems",
    "DescribeStream",
    "GetShardIterator",
    "GetRecords",
];

/// A process whose environment is the given variables and an empty home, and whose output is kept. It is killed when dropped.
pub(super) struct Process {
    name: String,
    child: Child,
    /// Its home, and its output.
    folder: TempDir,
}

/// A process that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// `None`: a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a command that ends by itself.
pub(super) async fn run<V: AsRef<OsStr>>(name: &str, arguments: &[&str], variables: &[(&'static str, V)]) -> Ended {
    Process::spawn(name, arguments, variables).ended(DEADLINE).await
}

impl Process {
    pub(super) fn spawn<V: AsRef<OsStr>>(name: &str, arguments: &[&str], variables: &[(&'static str, V)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = |name: &str| Stdio::from(std::fs::File::create(folder.path().join(name)).unwrap());
        let mut command = Command::new(World::binary(name));
        command.args(arguments).current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(output("stdout")).stderr(output("stderr"));
        command.env_clear().env("HOME", folder.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.envs(variables.iter().map(|(name, value)| (name, value.as_ref())));
        // It may do what the policy of its workload allows.
        let key = variables.iter().find(|(name, _)| *name == "AWS_ACCESS_KEY_ID").and_then(|(_, key)| key.as_ref().to_str());
        if let (Some(workload), Some(key)) = (Workload::of_command(name, arguments), key) {
            command.env("AWS_ACCESS_KEY_ID", workload.access_key(key));
        }
        let child = command.spawn().unwrap();
        Self { name: format!("{name} {}", arguments.join(" ")), child, folder }
    }

    pub(super) fn stdout(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stdout")).unwrap()
    }

    pub(super) fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// Waits until a line on standard output is whole, the first.
    pub(super) async fn first_line(&mut self) -> String {
        let what = format!("{} to print a line", self.name);
        wait_until(&what, DEADLINE, async || self.stdout().contains('\n') || self.has_ended()).await;
        self.stdout().lines().next().unwrap_or_else(|| panic!("{what}")).to_owned()
    }

    /// Waits until an event is logged.
    pub(super) async fn until_logged(&mut self, message: &str) -> Value {
        let mut found = None;
        let what = format!("{} to log `{message}`", self.name);
        wait_until(&what, DEADLINE, async || {
            let log = self.stderr();
            let mut events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found = events.find(|event| event["message"] == message);
            found.is_some() || self.has_ended()
        })
        .await;
        found.unwrap_or_else(|| panic!("{what}"))
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal, as `kill -NAME` does.
    pub(super) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it still runs").to_string();
        assert!(Command::new("kill").args([name, &id]).status().await.unwrap().success());
    }

    /// The memory it takes just now, by the system's count.
    pub(super) async fn resident_bytes(&self) -> usize {
        let id = self.child.id().expect("it still runs").to_string();
        let output = Command::new("ps").args(["-o", "rss=", "-p", &id]).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<usize>().expect("a number of KiB") * 1024
    }

    /// Ends it in the middle of whatever it does.
    pub(super) async fn kill(mut self) {
        assert!(!self.has_ended(), "{} ended by itself", self.name);
        self.child.kill().await.unwrap();
    }

    /// Waits for its end.
    pub(super) async fn ended(mut self, within: Duration) -> Ended {
        let status = tokio::time::timeout(within, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("{} does not end within {within:?}", self.name));
        Ended { code: status.unwrap().code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} ({:?}) said:\n{}", self.name, self.child.try_wait(), self.stderr());
        }
    }
}

impl Ended {
    /// What it told people on standard error, without what it logged.
    pub(super) fn told(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| !line.starts_with('{')).collect()
    }

    /// The JSON it printed.
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A definition file of the repository.
pub(super) fn shipped(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../definitions").join(name);
    path.to_str().expect("text").to_owned()
}

/// A port of loopback that nobody listened on a moment ago.
pub(super) async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// A client that goes straight to where it is sent.
pub(super) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap()
}

/// Asks an API with a key; the answer must be good.
pub(super) async fn ask(url: &str, key: &str) -> Value {
    let answer = http().get(url).header("authorization", format!("Bearer {key}")).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{url}: {status}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Posts JSON to an API with a key; the answer must be good.
pub(super) async fn post(url: &str, key: &str, body: Value) -> Value {
    let request = http().post(url).header("authorization", format!("Bearer {key}")).json(&body);
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{url}: {status}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The parameter that asks for yesterday and today, so that a test may run at midnight.
pub(super) fn since_yesterday() -> String {
    let yesterday = tidemark_runtime::clock::now() - jiff::SignedDuration::from_hours(24);
    format!("from={}", yesterday.strftime("%F"))
}

/// One measure of each group of a values answer, grouped by one dimension.
pub(super) fn groups(answer: &Value, dimension: &str, measure: &str) -> std::collections::BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let rows = answer["data"].as_array().expect("rows").iter();
    rows.map(|row| (text(&row["dimensions"][dimension]), text(&row["values"][measure]))).collect()
}
