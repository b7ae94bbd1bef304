//! Profiles of the processes that are measured, by `perf`: where the CPU time of a row goes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use tokio::process::{Child, Command};

/// Samples of a stack in each second of CPU time.
const FREQUENCY: &str = "997";
/// Bytes of a stack that a sample takes. Futures within futures make deep stacks.
const STACK: &str = "dwarf,32768";

/// Functions that a summary names.
const FUNCTIONS: usize = 80;

/// Where profiles are written to.
#[derive(Debug, Clone)]
pub(crate) struct Profiles(PathBuf);

/// A profile that is being recorded.
pub(crate) struct Recording {
    perf: Child,
    data: PathBuf,
}

impl Profiles {
    /// # Errors
    /// When the directory cannot be made.
    pub(crate) fn into_directory(directory: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self(directory.to_owned()))
    }

    /// Records a running process from now on.
    ///
    /// # Errors
    /// When there is no `perf`.
    pub(crate) fn record(&self, name: &str, process: u32) -> anyhow::Result<Recording> {
        let data = self.0.join(name).with_added_extension("data");
        let mut perf = Command::new("perf");
        perf.args(["record", "--freq", FREQUENCY, "--call-graph", STACK, "--pid", &process.to_string(), "--output"]).arg(&data);
        let perf = perf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
        Ok(Recording { perf: perf.context("cannot start perf; Debian has it in the package linux-perf")?, data })
    }
}

impl Recording {
    /// Ends the recording, and writes beside it which functions take how much, those that they call included.
    ///
    /// # Errors
    /// When `perf` fails.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        let id = self.perf.id().context("perf has ended early: may this user record?")?.to_string();
        Command::new("kill").args(["-INT", &id]).status().await?;
        // Ended by a signal, perf has a status of its own; without samples the summary fails.
        self.perf.wait().await?;
        let mut script = Command::new("perf");
        script.args(["script", "--no-inline", "--fields", "ip,sym", "--input"]).arg(&self.data).stdin(Stdio::null());
        let script = script.stderr(Stdio::null()).output().await?;
        anyhow::ensure!(script.status.success(), "perf script cannot read {}", self.data.display());
        Ok(std::fs::write(self.data.with_extension("txt"), summary(&String::from_utf8_lossy(&script.stdout)))?)
    }
}

/// The functions that take most of the samples, first by themselves and then with what they call. Takes what `perf script` prints: a block of
/// lines for each sample, the innermost function first, each line an address and a name.
fn summary(script: &str) -> String {
    let mut samples = 0_u32;
    let (mut alone, mut inclusive) = (BTreeMap::<&str, u32>::new(), BTreeMap::<&str, u32>::new());
    for names in script.split("\n\n").map(names_of).filter(|names| !names.is_empty()) {
        samples += 1;
        *alone.entry(names[0]).or_default() += 1;
        // A function that calls itself is in the sample once.
        for name in BTreeSet::from_iter(names) {
            *inclusive.entry(name).or_default() += 1;
        }
    }
    let mut text = format!("{samples} samples\n");
    for (title, counts) in [("by themselves", alone), ("with what they call", inclusive)] {
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(name, count)| (Reverse(*count), *name));
        text.push_str(&format!("\n{title}\n"));
        for (name, count) in counts.into_iter().take(FUNCTIONS) {
            text.push_str(&format!("{:6.1} %  {name}\n", f64::from(count) * 100.0 / f64::from(samples)));
        }
    }
    text
}

/// The functions of one sample, the innermost first.
fn names_of(block: &str) -> Vec<&str> {
    block.lines().filter_map(|line| Some(line.trim().split_once(' ')?.1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_its_own_samples_and_those_of_what_it_calls() {
        let text = summary("\n  1 inner\n  2 outer\n  3 main\n\n\n  2 outer\n  2 outer\n  3 main\n\n");
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "2 samples",
                "",
                "by themselves",
                "  50.0 %  inner",
                "  50.0 %  outer",
                "",
                "with what they call",
                " 100.0 %  main",
                " 100.0 %  outer",
                "  50.0 %  inner",
            ]
        );
    }
}
