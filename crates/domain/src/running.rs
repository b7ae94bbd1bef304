//! The definitions a deployment runs: what the file proposed, when each part began, and how proposals are adopted.
//! STREAMS §5.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::definition::{Definitions, GroupingSet, Inventory, Measure, Metric, Source};
use crate::name::{InventoryName, MeasureName, MetricName, SourceName};
use crate::zone;

mod operate;
mod propose;
mod refused;
#[cfg(test)]
mod tests;

pub use operate::Error;
pub use propose::{Proposal, Warning};
pub use refused::{Refusal, Refused};

/// The format of everything stored. A binary that meets a higher number refuses to start.
pub const FORMAT: u32 = 1;
/// How long a writer has known of a rise of a metric's lanes before it writes the new ones, so that every reader has learnt of them.
pub const LANES_SETTLE: Duration = Duration::from_secs(10);
/// A rise that follows another sooner than this settles from the number before both. It is told by wall clocks of two processes, so it
/// allows for their difference.
const RISES_APART_MIN: SignedDuration = SignedDuration::from_mins(1);

/// The running definition document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Raised by one with every adopted change.
    pub version: u64,
    pub format: u32,
    /// The compiled-in time-zone database of the binary that wrote this, such as `2026a`.
    pub tzdb: String,
    pub sources: BTreeMap<SourceName, Source>,
    pub metrics: BTreeMap<MetricName, RunningMetric>,
    pub inventories: BTreeMap<InventoryName, Inventory>,
    /// The last generation of metrics that were removed: a metric that comes back must not meet its old rows.
    #[serde(default)]
    pub retired: BTreeMap<MetricName, u32>,
}

/// One running metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningMetric {
    pub definition: Metric,
    /// Part of every row's key, from 1; a changed meaning gets a new one.
    pub generation: u32,
    /// When it began to count; `None`: with the deployment's first definitions.
    pub since: Option<Timestamp>,
    /// Stored measures that began later than the metric.
    pub measures_since: BTreeMap<MeasureName, Timestamp>,
    /// Grouping sets that began later than the metric, by [`GroupingSet::key`].
    pub sets_since: BTreeMap<String, Timestamp>,
    /// When the number of lanes was last raised, by the clock of whoever adopted it, and the number that writers use until they have
    /// known of it for [`LANES_SETTLE`].
    pub lanes_raised: Option<(Timestamp, u16)>,
}

impl Running {
    /// A deployment's first document: the file as it is.
    pub fn first(file: &Definitions) -> Self {
        let begin = |(name, metric): (&MetricName, &Metric)| (name.clone(), RunningMetric::begin(metric, 1, None));
        Self {
            version: 1,
            format: FORMAT,
            tzdb: zone::database_version().to_owned(),
            sources: file.sources.clone(),
            metrics: file.metrics.iter().map(begin).collect(),
            inventories: file.inventories.clone(),
            retired: BTreeMap::new(),
        }
    }

    /// Reads a stored document; its format is judged before its content.
    ///
    /// # Errors
    /// [`Error::Format`] when a newer binary wrote it, [`Error::Unreadable`] when it is no such document.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Stamp {
            format: u32,
        }
        let stamp: Stamp = serde_json::from_str(text).map_err(Error::Unreadable)?;
        supported(stamp.format)?;
        serde_json::from_str(text).map_err(Error::Unreadable)
    }

    /// # Errors
    /// [`Error::Format`] when this binary is too old for what is stored.
    pub fn is_supported(&self) -> Result<(), Error> {
        supported(self.format)
    }

    /// What runs, as a file would say it.
    pub fn definitions(&self) -> Definitions {
        let metrics = self.metrics.iter().map(|(name, metric)| (name.clone(), metric.definition.clone())).collect();
        Definitions { sources: self.sources.clone(), metrics, inventories: self.inventories.clone() }
    }

    /// This document's successor, written by this binary.
    fn successor(&self) -> Self {
        Self { version: self.version + 1, tzdb: zone::database_version().to_owned(), ..self.clone() }
    }

    /// The metrics and inventories made from a source, as paths of a definition file.
    fn readers_of<'a>(&'a self, source: &'a SourceName) -> impl Iterator<Item = String> + 'a {
        let metrics = self.metrics.iter().filter(move |(_, metric)| metric.definition.source == *source);
        let inventories = self.inventories.iter().filter(move |(_, inventory)| inventory.source == *source);
        metrics.map(|(name, _)| format!("metrics.{name}")).chain(inventories.map(|(name, _)| format!("inventory.{name}")))
    }
}

fn supported(format: u32) -> Result<(), Error> {
    if format > FORMAT { Err(Error::Format { found: format }) } else { Ok(()) }
}

impl RunningMetric {
    fn begin(definition: &Metric, generation: u32, since: Option<Timestamp>) -> Self {
        Self {
            definition: definition.clone(),
            generation,
            since,
            measures_since: BTreeMap::new(),
            sets_since: BTreeMap::new(),
            lanes_raised: None,
        }
    }

    /// Whether it counted before an instant: then what became of stored numbers at that instant concerns it.
    pub fn began_before(&self, instant: Timestamp) -> bool {
        self.since.is_none_or(|since| since < instant)
    }

    /// How many lanes a writer spreads a row over that has known this document for so long, by its own monotonic clock: the number before
    /// the last rise until [`LANES_SETTLE`] has passed. Whoever learns of a rise does so after it was made, so no clocks are compared.
    pub fn lanes_written(&self, known_for: Duration) -> u16 {
        match self.lanes_raised {
            Some((_, before)) if known_for < LANES_SETTLE => before,
            _ => self.definition.lanes,
        }
    }

    /// The number of lanes that some reader may still not know to be outdated.
    fn lanes_settled(&self, now: Timestamp) -> u16 {
        match self.lanes_raised {
            Some((raised, before)) if now.duration_since(raised) < RISES_APART_MIN => before,
            _ => self.definition.lanes,
        }
    }

    /// How many lanes a reader sums.
    pub fn lanes_read(&self) -> u16 {
        self.definition.lanes
    }

    /// The stored measures by when they began, the metric's own first. A cohort is a function of an image that never
    /// changes: an image that a later measure cannot read still counts for the earlier ones, as it did before.
    pub fn measure_cohorts(&self) -> Vec<Vec<(&MeasureName, &Measure)>> {
        let mut cohorts: BTreeMap<Option<Timestamp>, Vec<_>> = BTreeMap::new();
        for (name, measure) in self.definition.stored_measures() {
            cohorts.entry(self.measures_since.get(name).copied()).or_default().push((name, measure));
        }
        cohorts.into_values().collect()
    }

    /// The grouping sets by when they began, the metric's own first. As with measures, a dimension that only a later set
    /// uses must not change what the earlier sets count.
    pub fn set_cohorts(&self) -> Vec<Vec<&GroupingSet>> {
        let mut cohorts: BTreeMap<Option<Timestamp>, Vec<_>> = BTreeMap::new();
        for set in &self.definition.group_by {
            cohorts.entry(self.sets_since.get(&set.key()).copied()).or_default().push(set);
        }
        cohorts.into_values().collect()
    }

    /// When a measure began to count; a ratio began with the later of its parts. `None`: with the first definitions.
    pub fn measure_since(&self, measure: &MeasureName) -> Option<Timestamp> {
        let stored = |name| self.measures_since.get(name).copied().or(self.since);
        match self.definition.measures.get(measure) {
            Some(Measure::Ratio { numerator, denominator, .. }) => stored(numerator).max(stored(denominator)),
            _ => stored(measure),
        }
    }

    /// When a grouping set began to count. `None`: with the first definitions.
    pub fn set_since(&self, set: &GroupingSet) -> Option<Timestamp> {
        self.sets_since.get(&set.key()).copied().or(self.since)
    }
}
