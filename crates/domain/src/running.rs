//! The definitions a deployment runs: what the file proposed, when each part began, and how proposals are adopted.
//! STREAMS §5.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::definition::{Definitions, GroupingSet, Inventory, Metric, Source};
use crate::name::{InventoryName, MeasureName, MetricName, SourceName};

/// The format of everything stored. A binary that meets a higher number refuses to start.
pub const FORMAT: u32 = 1;

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
}

/// One running metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningMetric {
    pub definition: Metric,
    /// Part of every row's key; a changed meaning gets a new one.
    pub generation: u32,
    /// When it began to count; `None`: with the deployment's first definitions.
    pub since: Option<Timestamp>,
    /// Measures that began later than the metric.
    pub measures_since: BTreeMap<MeasureName, Timestamp>,
    /// Grouping sets that began later than the metric.
    pub sets_since: BTreeMap<String, Timestamp>,
    /// When the number of lanes was last raised: writers use the old number until 10 s later.
    pub lanes_raised: Option<(Timestamp, u16)>,
}
