//! Where a run took place: the machine, and the revision of the code. Read from Linux's files and from git.

use std::path::Path;
use std::process::Command;
use std::{fs, thread};

use serde::{Deserialize, Serialize};

/// The text for a fact that the system does not report. A missing fact does not stop a run.
const UNKNOWN: &str = "unknown";

/// The machine of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// `model name` of /proc/cpuinfo; `unknown` where there is none, as on ARM.
    pub(crate) cpu: String,
    /// The cores that the process may use.
    pub(crate) cores: usize,
    /// 1 000 000 000 bytes each, rounded to a tenth; `None` without /proc/meminfo.
    pub(crate) memory_gb: Option<f64>,
    /// The distribution and the kernel.
    pub(crate) os: String,
}

impl Machine {
    /// The machine that this process runs on.
    pub(crate) fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: cpu(&read("/proc/cpuinfo")),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory_gb: memory_gb(&read("/proc/meminfo")),
            os: os(&read("/etc/os-release"), &read("/proc/sys/kernel/osrelease")),
        }
    }

    /// The machine in one line, such as `AMD EPYC 7B13, 2 cores, 25.2 GB, Debian GNU/Linux 12 (bookworm), Linux 6.1.0`.
    pub(crate) fn line(&self) -> String {
        let cores = format!("{} core{}", self.cores, if self.cores == 1 { "" } else { "s" });
        let memory = self.memory_gb.map(|gb| format!("{gb} GB"));
        let parts = [Some(self.cpu.clone()), Some(cores), memory, Some(self.os.clone())];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// The git commit of a folder, with `+` behind it if the folder has changes that are not committed; `unknown` without git. Blocks on two
/// child processes.
pub(crate) fn revision(folder: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = git_in(folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), Some(_)) => commit + "+",
        _ => UNKNOWN.to_owned(),
    }
}

/// A git hook sets variables that name its own repository, and they would win over the folder.
fn git_in(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder);
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(variable);
    }
    git
}

fn cpu(cpuinfo: &str) -> String {
    let named = |line: &str| line.strip_prefix("model name")?.trim_start().strip_prefix(':').map(|name| name.trim().to_owned());
    cpuinfo.lines().find_map(named).unwrap_or_else(|| UNKNOWN.to_owned())
}

fn memory_gb(meminfo: &str) -> Option<f64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: f64 = total.trim().strip_suffix(" kB")?.parse().ok()?;
    Some((kib * 1024.0 / 1e8).round() / 10.0)
}

fn os(os_release: &str, kernel: &str) -> String {
    let pretty = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches(['"', '\'']));
    match (pretty, kernel.trim()) {
        (None, "") => UNKNOWN.to_owned(),
        (Some(name), "") => name.to_owned(),
        (None, kernel) => format!("Linux {kernel}"),
        (Some(name), kernel) => format!("{name}, Linux {kernel}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_the_model_name() {
        assert_eq!(cpu("processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7B13\nmodel name\t: other\n"), "AMD EPYC 7B13");
        assert_eq!(cpu("processor\t: 0\nBogoMIPS\t: 243.75\n"), "unknown");
    }

    #[test]
    fn memory_is_in_units_of_a_billion_bytes() {
        assert_eq!(memory_gb("MemTotal:       24576000 kB\nMemFree: 1 kB\n"), Some(25.2));
        assert_eq!(memory_gb("MemTotal: many\n"), None);
        assert_eq!(memory_gb(""), None);
    }

    #[test]
    fn os_is_the_distribution_and_the_kernel() {
        assert_eq!(os("ID=debian\nPRETTY_NAME=\"Debian 12\"\n", "6.1.0-9\n"), "Debian 12, Linux 6.1.0-9");
        assert_eq!(os("ID=debian\n", "6.1.0-9\n"), "Linux 6.1.0-9");
        assert_eq!(os("", ""), "unknown");
    }

    #[test]
    fn line_leaves_out_unknown_memory() {
        let machine = Machine { cpu: "EPYC".to_owned(), cores: 1, memory_gb: None, os: "Debian".to_owned() };
        assert_eq!(machine.line(), "EPYC, 1 core, Debian");
        assert_eq!(Machine { cores: 2, memory_gb: Some(25.2), ..machine }.line(), "EPYC, 2 cores, 25.2 GB, Debian");
    }

    #[test]
    fn revision_marks_uncommitted_changes() {
        let folder = std::env::temp_dir().join(format!("tidemark-bench-revision-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let before_git = revision(&folder);
        let git = |arguments: &[&str]| {
            let names = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
            assert!(git_in(&folder).args(names).args(arguments).output().unwrap().status.success());
        };
        git(&["init"]);
        git(&["commit", "--allow-empty", "--message", "first"]);
        let clean = revision(&folder);
        fs::write(folder.join("file"), "changed").unwrap();
        let changed = revision(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(before_git, "unknown");
        assert!(clean.len() >= 40 && clean.chars().all(|c| c.is_ascii_hexdigit()), "{clean}");
        assert_eq!(changed, format!("{clean}+"));
    }
}
