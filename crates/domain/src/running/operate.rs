//! What an operator may do to running definitions beyond proposing a file: let a metric start anew, or remove a name.

use jiff::Timestamp;

use super::propose::source_changes;
use super::{FORMAT, Running, RunningMetric};
use crate::definition::{Definitions, check};
use crate::name::{InventoryName, MetricName, SourceName};

/// Why a document cannot be read, or an operator's command not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("what is stored has format {found}, and this binary knows formats up to {FORMAT}: run a newer binary")]
    Format { found: u32 },
    #[error("the stored definitions cannot be read")]
    Unreadable(#[source] serde_json::Error),
    #[error("no metric `{0}` is running; a new one needs no acceptance")]
    MetricNotRunning(MetricName),
    #[error("the file has no metric `{0}`; to stop it, run `tidemark definitions remove {0}`")]
    MetricNotInFile(MetricName),
    #[error("the metric `{0}` runs exactly as the file says; there is nothing to accept")]
    Unchanged(MetricName),
    #[error(
        "source `{source_name}` changed too, and {} read it as it is: give the changed source a new name, or first remove them \
         with `tidemark definitions remove NAME --for-good`",
        .readers.join(", ")
    )]
    SourceShared { source_name: SourceName, readers: Vec<String> },
    #[error("together with what else is running: {}", .0.join("; "))]
    Invalid(Vec<String>),
    #[error("nothing of the name `{0}` is running")]
    NothingNamed(String),
    #[error("`{name}` names several things; say which: {}", .paths.join(", "))]
    Ambiguous { name: String, paths: Vec<String> },
    #[error("source `{source_name}` is still read by {}; remove those, and it goes with the last", .readers.join(", "))]
    SourceInUse { source_name: SourceName, readers: Vec<String> },
}

impl Running {
    /// Takes a changed metric from the file: its rows of before are left behind, and it counts anew from `now`.
    ///
    /// The metric's source is taken too, if it is new or nothing else is made from it. A metric that has not changed is started again
    /// only if it began before `moved_at`, when a new time-zone database last moved days of a zone.
    ///
    /// # Errors
    /// When the metric is not both running and in the file, has no reason to start again, or shares its changed source.
    pub fn accept_from_now(
        &self,
        file: &Definitions,
        metric: &MetricName,
        now: Timestamp,
        moved_at: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let running = self.metrics.get(metric).ok_or_else(|| Error::MetricNotRunning(metric.clone()))?;
        let proposed = file.metrics.get(metric).ok_or_else(|| Error::MetricNotInFile(metric.clone()))?;
        let source = file.sources.get(&proposed.source).expect("a file's metrics name its own sources");
        let source_changed = self.sources.get(&proposed.source).is_none_or(|running| !source_changes(running, source).is_empty());
        let has_moved = moved_at.is_some_and(|moved_at| running.began_before(moved_at));
        if running.definition == *proposed && !source_changed && !has_moved {
            return Err(Error::Unchanged(metric.clone()));
        }
        let mine = format!("metrics.{metric}");
        let readers: Vec<_> = self.readers_of(&proposed.source).filter(|reader| *reader != mine).collect();
        if source_changed && !readers.is_empty() {
            return Err(Error::SourceShared { source_name: proposed.source.clone(), readers });
        }

        let mut next = self.successor();
        if source_changed {
            next.sources.insert(proposed.source.clone(), source.clone());
        }
        let anew = RunningMetric::begin(proposed, running.generation + 1, Some(now));
        next.metrics.insert(metric.clone(), anew);
        next.drop_if_unread(&running.definition.source);
        let findings = check::findings(&next.definitions());
        if !findings.is_empty() {
            return Err(Error::Invalid(findings.into_iter().map(|found| format!("{}: {}", found.path, found.message)).collect()));
        }
        Ok(next)
    }

    /// Stops a metric or an inventory, and the source that nothing else reads; or a source that nothing reads.
    ///
    /// `name` is the bare name, or `metrics.NAME`, `inventory.NAME`, `sources.NAME` where that names several things.
    ///
    /// # Errors
    /// When nothing, or several things, are so named, or a source is in use.
    pub fn remove(&self, name: &str) -> Result<Self, Error> {
        let mut found = self.named(name);
        let target = match found.len() {
            0 => return Err(Error::NothingNamed(name.chars().take(80).collect())),
            1 => found.remove(0),
            _ => {
                let paths = found.iter().map(Target::path).collect();
                return Err(Error::Ambiguous { name: name.to_owned(), paths });
            }
        };
        let mut next = self.successor();
        match target {
            Target::Metric(name) => {
                if let Some(metric) = next.metrics.remove(&name) {
                    next.retired.insert(name, metric.generation);
                    next.drop_if_unread(&metric.definition.source);
                }
            }
            Target::Inventory(name) => {
                if let Some(inventory) = next.inventories.remove(&name) {
                    next.drop_if_unread(&inventory.source);
                }
            }
            Target::Source(source_name) => {
                let readers: Vec<_> = self.readers_of(&source_name).collect();
                if !readers.is_empty() {
                    return Err(Error::SourceInUse { source_name, readers });
                }
                next.sources.remove(&source_name);
            }
        }
        Ok(next)
    }

    fn named(&self, name: &str) -> Vec<Target> {
        let metrics = self.metrics.keys().cloned().map(Target::Metric);
        let inventories = self.inventories.keys().cloned().map(Target::Inventory);
        // A bare name never means the source while it also names what is made from it: that takes the source along.
        let sources = self.sources.keys().cloned().map(Target::Source);
        let mut found: Vec<_> =
            metrics.chain(inventories).filter(|target| target.name() == name || target.path() == name).collect();
        if found.is_empty() {
            found.extend(sources.filter(|target| target.name() == name || target.path() == name));
        }
        found
    }

    fn drop_if_unread(&mut self, source: &SourceName) {
        if self.readers_of(source).next().is_none() {
            self.sources.remove(source);
        }
    }
}

/// What a name may stand for.
enum Target {
    Metric(MetricName),
    Inventory(InventoryName),
    Source(SourceName),
}

impl Target {
    fn name(&self) -> &str {
        match self {
            Self::Metric(name) => name.as_str(),
            Self::Inventory(name) => name.as_str(),
            Self::Source(name) => name.as_str(),
        }
    }

    /// As a path of a definition file.
    fn path(&self) -> String {
        let section = match self {
            Self::Metric(_) => "metrics",
            Self::Inventory(_) => "inventory",
            Self::Source(_) => "sources",
        };
        format!("{section}.{}", self.name())
    }
}
