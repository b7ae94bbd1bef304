//! What a definition file says: sources, metrics and inventories. DESIGN: "Definitions".
//!
//! These types hold only what has been checked; [`Definitions::parse`] is the one way from text.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::currency::Currency;
use crate::decimal::Decimal;
use crate::name::{DimensionName, InventoryName, MeasureName, MetricName, SourceName};
use crate::tenant::TenantId;

pub(crate) mod check;
mod metric;
mod problem;
mod read;
mod spelling;
mod spot;
mod yaml;

pub use problem::{Invalid, Problem};

/// Most rows of the data table one record may touch: a commit has 100 places, some of them taken by what is not an aggregate.
pub const ROWS_PER_RECORD_MAX: usize = 90;

/// A whole definition file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definitions {
    pub sources: BTreeMap<SourceName, Source>,
    pub metrics: BTreeMap<MetricName, Metric>,
    pub inventories: BTreeMap<InventoryName, Inventory>,
}

impl Definitions {
    /// Reads a YAML definition file.
    ///
    /// # Errors
    /// Every problem of the file, each with its line and what is allowed there.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        read::definitions(text)
    }

    /// The metrics made from a source.
    pub fn metrics_of<'a>(&'a self, source: &'a SourceName) -> impl Iterator<Item = (&'a MetricName, &'a Metric)> {
        self.metrics.iter().filter(move |(_, metric)| metric.source == *source)
    }

    /// Sources of no metric and no inventory. Nothing is wrong with them, but that their streams are read, and paid for.
    pub fn unused_sources(&self) -> impl Iterator<Item = &SourceName> {
        let of_metrics = self.metrics.values().map(|metric| &metric.source);
        let used: BTreeSet<_> = of_metrics.chain(self.inventories.values().map(|inventory| &inventory.source)).collect();
        self.sources.keys().filter(move |name| !used.contains(name))
    }
}

/// A table that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub table: String,
    /// For `init --with-sources` and `dev` alone, which create the table; other commands take the table as it is.
    pub key: Option<KeySchema>,
    pub tenant: TenantRule,
    pub ttl_delete: TtlDelete,
}

/// The key attributes of a source table; both are strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySchema {
    pub partition: String,
    pub sort: Option<String>,
}

/// Where the tenant of an item comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantRule {
    Constant(TenantId),
    Attribute { attribute: String, default: Option<TenantId> },
}

/// What a deletion by DynamoDB's TTL does to metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TtlDelete {
    /// Aged-out items stay counted.
    Keep,
    /// They leave, like any deleted item.
    Subtract,
}

/// A family of numbers made from one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    pub source: SourceName,
    /// The attribute that says when an item happened.
    pub time: String,
    /// All must hold, else the item contributes nothing.
    pub conditions: Vec<Condition>,
    /// The metric is split by currency when this is there.
    pub currency: Option<CurrencyRule>,
    pub measures: BTreeMap<MeasureName, Measure>,
    /// The attribute of each dimension.
    pub dimensions: BTreeMap<DimensionName, String>,
    pub group_by: BTreeSet<GroupingSet>,
    /// Write sharding of each row, 1 to 64.
    pub lanes: u16,
}

impl Metric {
    /// The measures that rows hold; a ratio is divided from them when it is read.
    pub fn stored_measures(&self) -> impl Iterator<Item = (&MeasureName, &Measure)> {
        self.measures.iter().filter(|(_, measure)| measure.is_stored())
    }

    /// A short name for the metric's meaning: the same for the same meaning, whatever the file's spelling.
    pub fn version(&self) -> String {
        let canonical = serde_json::to_vec(self).expect("a metric is plain data with text keys");
        Sha256::digest(canonical).iter().take(3).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Where an item's currency comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrencyRule {
    pub attribute: String,
    pub default: Option<Currency>,
}

/// How one number is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The sum over items of the exact product of these attributes (at least one).
    Sum { factors: Vec<String>, unit: Option<String> },
    /// The number of items.
    Count { unit: Option<String> },
    /// One stored measure over another, divided when read. Never stored itself.
    Ratio { numerator: MeasureName, denominator: MeasureName, unit: Option<String> },
}

impl Measure {
    /// Whether rows hold it; a ratio is divided from others when it is read.
    pub fn is_stored(&self) -> bool {
        !matches!(self, Self::Ratio { .. })
    }

    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::Sum { unit, .. } | Self::Count { unit } | Self::Ratio { unit, .. } => unit.as_deref(),
        }
    }
}

/// A set of dimensions whose combinations are stored as rows of their own; the empty set is the total.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupingSet(BTreeSet<DimensionName>);

impl GroupingSet {
    pub fn new(dimensions: impl IntoIterator<Item = DimensionName>) -> Self {
        Self(dimensions.into_iter().collect())
    }

    pub fn dimensions(&self) -> impl ExactSizeIterator<Item = &DimensionName> {
        self.0.iter()
    }

    pub fn contains(&self, dimension: &DimensionName) -> bool {
        self.0.contains(dimension)
    }

    pub fn is_superset(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }

    /// The set as a part of a key: its dimensions in order, joined by `+`; `*` for the total.
    pub fn key(&self) -> String {
        if self.0.is_empty() {
            return "*".to_owned();
        }
        self.0.iter().map(DimensionName::as_str).collect::<Vec<_>>().join("+")
    }
}

impl std::fmt::Display for GroupingSet {
    /// As a user writes it in a definition file: `[item, region]`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.0.iter().map(DimensionName::as_str).collect();
        write!(f, "[{}]", names.join(", "))
    }
}

/// One condition of a metric's `where`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    pub attribute: String,
    pub test: Test,
    /// Whether an item without the attribute passes. `exists` alone never sets it.
    pub or_missing: bool,
}

/// What a condition asks of its attribute. Texts are compared with an attribute's canonical text, as dimensions are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists(bool),
    AtLeast(Decimal),
    AtMost(Decimal),
}

/// A family of levels made from one source; the last image of an item is the level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub source: SourceName,
    pub item: String,
    /// `None`: every item is at one location, `main`.
    pub location: Option<LocationRule>,
    pub on_hand: String,
    pub committed: Option<Quantity>,
    pub incoming: Option<Quantity>,
    pub reorder_point: Option<String>,
}

/// Where a level's location comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationRule {
    pub attribute: String,
    pub default: Option<String>,
}

/// A numeric attribute and what stands for it where it is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantity {
    pub attribute: String,
    pub default: Option<Decimal>,
}

#[cfg(test)]
mod tests;
