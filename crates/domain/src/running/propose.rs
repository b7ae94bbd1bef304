//! How a definition file is adopted: it may add, it may not change what has been counted, and it never removes.
//!
//! So two rollouts side by side, each proposing its own file again and again, come to rest on one document. Only a unit and
//! a source's `key`, which enter no number, are always the last file's.

use std::fmt;

use jiff::Timestamp;

use super::refused::{Refusal, Refused};
use super::{Running, RunningMetric};
use crate::definition::{Definitions, GroupingSet, Inventory, Measure, Metric, Source, check};
use crate::name::{InventoryName, MeasureName, MetricName, SourceName};
use crate::zone;

/// What a file makes of a running document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The next version; `None` when the file adds nothing to what runs.
    pub next: Option<Running>,
    /// What the operator should know, whether or not anything changes.
    pub warnings: Vec<Warning>,
}

/// Where a file and what runs differ, though nothing is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// These are not in the file and keep running.
    SourceMissing(SourceName),
    MetricMissing(MetricName),
    InventoryMissing(InventoryName),
    /// These are not in the file's metric and keep counting.
    MeasureMissing(MetricName, MeasureName),
    SetMissing(MetricName, GroupingSet),
    /// The file asks for fewer lanes than have been written.
    LanesKept {
        metric: MetricName,
        running: u16,
        file: u16,
    },
    /// This binary cuts days by another time-zone database than the one that wrote the document.
    OtherTimeZones {
        running: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceMissing(name) => missing(f, "source", name),
            Self::MetricMissing(name) => missing(f, "metric", name),
            Self::InventoryMissing(name) => missing(f, "inventory", name),
            Self::MeasureMissing(metric, measure) => part_missing(f, metric, &format!("measure `{measure}`")),
            Self::SetMissing(metric, set) => part_missing(f, metric, &format!("grouping set {set}")),
            Self::LanesKept { metric, running, file } => {
                write!(f, "metric `{metric}` keeps its {running} lanes; the file's {file} would leave rows unread")
            }
            Self::OtherTimeZones { running } => write!(
                f,
                "the running definitions were written with time zones of {running}, this binary has those of {}: a worker \
                 compares each zone that it uses with what was stored, and metrics of a zone whose days moved are not exact \
                 (reason `zones`)",
                zone::database_version()
            ),
        }
    }
}

fn missing(f: &mut fmt::Formatter<'_>, kind: &str, name: &impl fmt::Display) -> fmt::Result {
    write!(f, "{kind} `{name}` is not in the file and keeps running, until `tidemark definitions remove {name}`")
}

fn part_missing(f: &mut fmt::Formatter<'_>, metric: &MetricName, part: &str) -> fmt::Result {
    write!(
        f,
        "{part} of metric `{metric}` is not in the file and keeps counting, until `tidemark definitions accept {metric} \
         --from-now` (the metric starts anew) or `tidemark definitions remove {metric} --for-good`"
    )
}

impl Running {
    /// What becomes of this document when `file` is proposed at `now`.
    ///
    /// # Errors
    /// When the file changes what has already been counted: every such change, each with the ways on.
    pub fn propose(&self, file: &Definitions, now: Timestamp) -> Result<Proposal, Refused> {
        let mut adoption = Adoption { running: self, now, next: self.successor(), refusals: Vec::new(), warnings: Vec::new() };
        if self.tzdb != zone::database_version() {
            adoption.warnings.push(Warning::OtherTimeZones { running: self.tzdb.clone() });
        }
        adoption.sources(file);
        adoption.metrics(file);
        adoption.inventories(file);
        adoption.finish()
    }
}

/// A proposal while it is made.
struct Adoption<'a> {
    running: &'a Running,
    now: Timestamp,
    next: Running,
    refusals: Vec<Refusal>,
    warnings: Vec<Warning>,
}

impl Adoption<'_> {
    fn sources(&mut self, file: &Definitions) {
        for (name, proposed) in &file.sources {
            let changed = self.running.sources.get(name).map(|running| source_changes(running, proposed)).unwrap_or_default();
            if !changed.is_empty() {
                let readers = self.running.readers_of(name).collect();
                self.refusals.push(Refusal::Source { source_name: name.clone(), changed, readers });
            }
            self.next.sources.insert(name.clone(), proposed.clone());
        }
        let missing = self.running.sources.keys().filter(|name| !file.sources.contains_key(name));
        self.warnings.extend(missing.cloned().map(Warning::SourceMissing));
    }

    fn metrics(&mut self, file: &Definitions) {
        for (name, proposed) in &file.metrics {
            let next = match self.running.metrics.get(name) {
                Some(running) => self.metric(name, running, proposed),
                None => {
                    let generation = self.running.retired.get(name).map_or(1, |last| last + 1);
                    RunningMetric::begin(proposed, generation, Some(self.now))
                }
            };
            self.next.metrics.insert(name.clone(), next);
        }
        let missing = self.running.metrics.keys().filter(|name| !file.metrics.contains_key(name));
        self.warnings.extend(missing.cloned().map(Warning::MetricMissing));
    }

    fn metric(&mut self, name: &MetricName, running: &RunningMetric, proposed: &Metric) -> RunningMetric {
        let old = &running.definition;
        let changed = metric_changes(old, proposed);
        if !changed.is_empty() {
            self.refusals.push(Refusal::Metric { metric: name.clone(), changed });
        }
        let measures = old.measures.keys().filter(|measure| !proposed.measures.contains_key(measure));
        self.warnings.extend(measures.map(|measure| Warning::MeasureMissing(name.clone(), measure.clone())));
        let sets = old.group_by.difference(&proposed.group_by);
        self.warnings.extend(sets.map(|set| Warning::SetMissing(name.clone(), set.clone())));
        if proposed.lanes < old.lanes {
            self.warnings.push(Warning::LanesKept { metric: name.clone(), running: old.lanes, file: proposed.lanes });
        }
        running.extended(proposed, self.now)
    }

    fn inventories(&mut self, file: &Definitions) {
        for (name, proposed) in &file.inventories {
            let changed = self.running.inventories.get(name).map(|running| inventory_changes(running, proposed));
            if let Some(changed) = changed.filter(|changed| !changed.is_empty()) {
                self.refusals.push(Refusal::Inventory { inventory: name.clone(), changed });
            }
            self.next.inventories.insert(name.clone(), proposed.clone());
        }
        let missing = self.running.inventories.keys().filter(|name| !file.inventories.contains_key(name));
        self.warnings.extend(missing.cloned().map(Warning::InventoryMissing));
    }

    fn finish(mut self) -> Result<Proposal, Refused> {
        if self.refusals.is_empty() {
            let together = |finding: check::Finding| Refusal::Together { path: finding.path, message: finding.message };
            self.refusals.extend(check::findings(&self.next.definitions()).into_iter().map(together));
        }
        if !self.refusals.is_empty() {
            return Err(Refused(self.refusals));
        }
        let (next, running) = (self.next, self.running);
        let same = next.sources == running.sources && next.metrics == running.metrics && next.inventories == running.inventories;
        Ok(Proposal { next: (!same).then_some(next), warnings: self.warnings })
    }
}

impl RunningMetric {
    /// The metric with what a file adds to it.
    fn extended(&self, proposed: &Metric, now: Timestamp) -> Self {
        let mut next = self.clone();
        let definition = &mut next.definition;
        for (name, measure) in &proposed.measures {
            let added = definition.measures.insert(name.clone(), measure.clone()).is_none();
            if added && measure.is_stored() {
                next.measures_since.insert(name.clone(), now);
            }
        }
        definition.dimensions.extend(proposed.dimensions.clone());
        for set in &proposed.group_by {
            if definition.group_by.insert(set.clone()) {
                next.sets_since.insert(set.key(), now);
            }
        }
        if proposed.lanes > definition.lanes {
            definition.lanes = proposed.lanes;
            next.lanes_raised = Some((now, self.lanes_settled(now)));
        }
        next
    }
}

/// What of a source decides which items are counted, and for whom; its `key` does not.
pub(super) fn source_changes(running: &Source, proposed: &Source) -> Vec<&'static str> {
    // Taken apart, so that a field added later cannot be forgotten here.
    let Source { table, key: _, tenant, ttl_delete } = running;
    differing([
        ("table", *table != proposed.table),
        ("tenant", *tenant != proposed.tenant),
        ("ttl_delete", *ttl_delete != proposed.ttl_delete),
    ])
}

fn metric_changes(running: &Metric, proposed: &Metric) -> Vec<String> {
    let Metric { source, time, conditions, currency, measures, dimensions, group_by: _, lanes: _ } = running;
    let fields = differing([
        ("source", *source != proposed.source),
        ("time", *time != proposed.time),
        ("where", *conditions != proposed.conditions),
        ("currency", *currency != proposed.currency),
    ]);
    let measures = measures
        .iter()
        .filter(|(name, running)| proposed.measures.get(name).is_some_and(|proposed| !running.has_formula_of(proposed)));
    let dimensions =
        dimensions.iter().filter(|(name, running)| proposed.dimensions.get(name).is_some_and(|proposed| proposed != *running));
    fields
        .into_iter()
        .map(str::to_owned)
        .chain(measures.map(|(name, _)| format!("measure `{name}`")))
        .chain(dimensions.map(|(name, _)| format!("dimension `{name}`")))
        .collect()
}

fn inventory_changes(running: &Inventory, proposed: &Inventory) -> Vec<&'static str> {
    let Inventory { source, item, location, on_hand, committed, incoming, reorder_point } = running;
    differing([
        ("source", *source != proposed.source),
        ("item", *item != proposed.item),
        ("location", *location != proposed.location),
        ("on_hand", *on_hand != proposed.on_hand),
        ("committed", *committed != proposed.committed),
        ("incoming", *incoming != proposed.incoming),
        ("reorder_point", *reorder_point != proposed.reorder_point),
    ])
}

fn differing<const N: usize>(fields: [(&'static str, bool); N]) -> Vec<&'static str> {
    fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

impl Measure {
    /// Whether both are made alike; the unit is only shown.
    fn has_formula_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sum { factors: mine, .. }, Self::Sum { factors, .. }) => mine == factors,
            (Self::Count { .. }, Self::Count { .. }) => true,
            (Self::Ratio { numerator: n, denominator: d, .. }, Self::Ratio { numerator, denominator, .. }) => {
                n == numerator && d == denominator
            }
            _ => false,
        }
    }
}
