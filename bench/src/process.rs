//! Processes that are measured: started with a known environment, and asked for their CPU time and memory through `/proc` (Linux only).

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Ticks of `/proc` per second: `USER_HZ`, which Linux keeps at 100 on all of its platforms (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;
/// Longest a process may take to become ready or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// A running process. It is killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    /// Its home directory, and its output.
    folder: TempDir,
    started: Instant,
}

/// Resident memory, in MB of 1 000 000 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    /// The most so far.
    pub(crate) peak: f64,
}

impl Process {
    /// Starts a binary of this workspace, from the directory that this one is in.
    ///
    /// # Errors
    /// When it is not built, or does not start.
    pub(crate) fn start<V: AsRef<OsStr>>(name: &str, arguments: &[&str], variables: &[(&str, V)]) -> anyhow::Result<Self> {
        let path = binary(name)?;
        let folder = tempfile::tempdir()?;
        let output = |name: &str| anyhow::Ok(Stdio::from(std::fs::File::create(folder.path().join(name))?));
        let mut command = Command::new(&path);
        command.args(arguments).current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(output("stdout")?).stderr(output("stderr")?);
        command.env_clear().env("HOME", folder.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let child = command.spawn().with_context(|| format!("{} does not start", path.display()))?;
        Ok(Self { name: format!("{name} {}", arguments.join(" ")), child, folder, started: Instant::now() })
    }

    /// CPU time so far, user and system, in seconds; steps of 10 ms.
    ///
    /// # Errors
    /// When the process has ended.
    pub(crate) fn cpu_seconds(&mut self) -> anyhow::Result<f64> {
        let id = self.id()?;
        cpu_seconds(&format!("/proc/{id}/stat")).with_context(|| self.failure())
    }

    /// # Errors
    /// When the process has ended.
    pub(crate) fn memory(&mut self) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let megabytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
            kib.map(|kib| kib * 1024.0 / 1e6).with_context(|| format!("/proc has no {name}"))
        };
        Ok(Memory { now: megabytes("VmRSS:")?, peak: megabytes("VmHWM:")? })
    }

    /// Waits until `GET url` answers with success. How long after the start that was.
    ///
    /// # Errors
    /// When the process ends before, or is not ready in time.
    pub(crate) async fn ready(&mut self, http: &reqwest::Client, url: &str) -> anyhow::Result<Duration> {
        let end = Instant::now() + PATIENCE;
        loop {
            if http.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(self.started.elapsed());
            }
            anyhow::ensure!(self.child.try_wait()?.is_none(), "{}", self.failure());
            anyhow::ensure!(Instant::now() < end, "{} is not ready after {PATIENCE:?}: {}", self.name, self.failure());
            sleep(LOOK).await;
        }
    }

    /// Waits until the process has ended with status 0, and gives the JSON that it printed.
    ///
    /// # Errors
    /// When it fails, takes too long, or printed something else.
    pub(crate) async fn result<T: DeserializeOwned>(mut self, within: Duration) -> anyhow::Result<T> {
        self.until_ended(within).await?;
        let printed = self.output("stdout");
        serde_json::from_str(&printed).with_context(|| format!("{} printed `{printed}`", self.name))
    }

    /// Waits until the process has ended with status 0.
    ///
    /// # Errors
    /// When it fails, or takes too long.
    pub(crate) async fn ended(mut self, within: Duration) -> anyhow::Result<()> {
        self.until_ended(within).await
    }

    async fn until_ended(&mut self, within: Duration) -> anyhow::Result<()> {
        let status = tokio::time::timeout(within, self.child.wait()).await;
        let status = status.with_context(|| format!("{} does not end within {within:?}", self.name))??;
        anyhow::ensure!(status.success(), "{}", self.failure());
        Ok(())
    }

    /// Asks the process to stop, as Kubernetes does, and waits for it.
    ///
    /// # Errors
    /// When it does not stop in time, or ends with an error.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.id()?.to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await?;
        anyhow::ensure!(sent.success(), "kill -TERM {id} failed");
        self.until_ended(PATIENCE).await
    }

    /// The number of the process.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn id(&mut self) -> anyhow::Result<u32> {
        let running = self.child.try_wait()?.is_none();
        self.child.id().filter(|_| running).with_context(|| self.failure())
    }

    fn failure(&self) -> String {
        let errors = self.output("stderr");
        let last: Vec<&str> = errors.lines().rev().take(5).collect();
        format!("{} has ended or failed; its last lines: {}", self.name, last.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    fn output(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

/// The name of this binary.
pub(crate) const SELF: &str = "tidemark-bench";

/// CPU time of this process so far, in seconds.
///
/// # Errors
/// When there is no `/proc`.
pub(crate) fn own_cpu_seconds() -> anyhow::Result<f64> {
    cpu_seconds("/proc/self/stat")
}

fn cpu_seconds(path: &str) -> anyhow::Result<f64> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {path}: CPU time is measured on Linux only"))?;
    // The second field is the name in parentheses, and may contain spaces. utime and stime are fields 14 and 15 (proc(5)).
    let fields: Vec<&str> = text.rsplit_once(") ").map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).with_context(|| format!("{path} has no CPU times"))?;
    Ok((user + system) / TICKS_PER_SECOND)
}

/// A binary that Cargo built beside this one.
///
/// # Errors
/// When it is not there.
pub(crate) fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    if name == SELF {
        return Ok(own);
    }
    let path = own.with_file_name(name);
    anyhow::ensure!(path.is_file(), "{} is not built: cargo build --release --workspace --bins", path.display());
    Ok(path)
}
