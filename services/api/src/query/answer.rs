//! The answer's shape, and how cells are put into it: order, limit, remainder, comparison, filled buckets. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::calendar::Slot;
use tidemark_domain::{Currency, Decimal, DimensionName, Group, MeasureName, MetricName, Zone};
use utoipa::ToSchema;

use super::ask::{Ask, Direction, Fill, Order};
use super::fold::{Cells, Measures, Sums, Table};
use super::plan::CELLS_MAX;
use crate::freshness::Freshness;
use crate::openapi::ValuesShape;
use crate::problem::{Code, ParameterError};

mod example;

pub(crate) use example::example;

/// Measures by name: canonical decimal numbers as text; null for a ratio over zero.
pub(crate) type Values = BTreeMap<MeasureName, Option<Decimal>>;

/// The answer to one query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Answer {
    #[schema(value_type = String)]
    pub metric: MetricName,
    /// The version of the metric's definition.
    pub version: String,
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Exclusive.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// Null: the whole range is one bucket.
    #[schema(required)]
    pub granularity: Option<&'static str>,
    #[schema(value_type = String)]
    pub time_zone: Zone,
    pub freshness: Freshness,
    /// The range of `previous`, when there is a comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<ComparedRange>,
    /// One per currency, over everything the filter lets in, whatever the limit.
    pub totals: Vec<Total>,
    pub data: Vec<DataRow>,
}

/// A range of time, `[from, to)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ComparedRange {
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
}

/// Numbers over the whole range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Total {
    /// Only on metrics with money.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub currency: Option<Currency>,
    #[schema(value_type = ValuesShape)]
    pub values: Values,
    /// The same over the range compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ValuesShape>, nullable = false)]
    pub previous: Option<Values>,
    /// `values − previous`; null where either is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ValuesShape>, nullable = false)]
    pub change: Option<Values>,
}

/// The numbers of one group, or of all groups beyond the limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DataRow {
    /// The group of each dimension of `group_by`; null where the source had no such attribute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>, nullable = false)]
    pub dimensions: Option<BTreeMap<DimensionName, Group>>,
    /// True on the remainder: what is beyond the limit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub other: bool,
    #[serde(flatten)]
    pub total: Total,
    pub buckets: Vec<BucketValues>,
}

/// The numbers of one bucket, `[from, to)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct BucketValues {
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    #[schema(value_type = ValuesShape)]
    pub values: Values,
    /// Whether the bucket ended before the watermark and is not clipped by the range.
    pub complete: bool,
}

/// What rows are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compose<'a> {
    pub ask: &'a Ask,
    pub measures: &'a Measures<'a>,
    pub slots: &'a [Slot],
    pub current: &'a Table,
    /// In one cell each.
    pub previous: Option<&'a Table>,
    pub watermark: Option<Timestamp>,
}

/// One row before it is shown.
struct Entry {
    /// `None`: the remainder.
    groups: Option<Vec<Group>>,
    cells: Cells,
    total: Sums,
    previous: Option<Sums>,
}

impl Compose<'_> {
    /// The totals and rows of the answer.
    ///
    /// # Errors
    /// When there are more than [`CELLS_MAX`] cells, with their number.
    pub(crate) fn rows(&self) -> Result<(Vec<Total>, Vec<DataRow>), ParameterError> {
        let currencies: BTreeSet<_> = self.current.keys().chain(self.previous.into_iter().flat_map(Table::keys)).collect();
        let mut totals = Vec::new();
        let mut entries = Vec::new();
        for currency in currencies {
            let mut of_currency = self.entries(currency);
            let all = self.merged(&of_currency);
            totals.push(self.total(currency, &all));
            self.sort(&mut of_currency);
            let beyond = of_currency.split_off(self.ask.limit.min(of_currency.len()));
            if self.ask.other && !beyond.is_empty() {
                of_currency.push(self.merged(&beyond));
            }
            entries.extend(of_currency.into_iter().map(|entry| (currency, entry)));
        }
        self.check_size(entries.iter().map(|(_, entry)| entry))?;
        Ok((totals, entries.iter().map(|(currency, entry)| self.row(currency, entry)).collect()))
    }

    /// The rows of a currency, by their groups. With a comparison, also what was there only in the range compared with: an item
    /// that stopped selling is a change to show.
    fn entries(&self, currency: &Option<Currency>) -> Vec<Entry> {
        let current = self.current.get(currency);
        let previous = self.previous.and_then(|previous| previous.get(currency));
        let groups: BTreeSet<_> = current.into_iter().chain(previous).flat_map(BTreeMap::keys).collect();
        let entry = |groups: &Vec<Group>| {
            let cells = current.and_then(|current| current.get(groups)).cloned().unwrap_or_default();
            let before = previous.and_then(|previous| previous.get(groups));
            let total = self.sum(cells.values());
            let previous = self.previous.map(|_| self.sum(before.into_iter().flat_map(BTreeMap::values)));
            Entry { groups: Some(groups.clone()), cells, total, previous }
        };
        groups.into_iter().map(entry).collect()
    }

    fn sum<'s>(&self, parts: impl Iterator<Item = &'s Sums>) -> Sums {
        parts.fold(self.measures.zero(), |mut sum, part| {
            sum.add(part);
            sum
        })
    }

    /// Several rows as one.
    fn merged(&self, entries: &[Entry]) -> Entry {
        let mut cells = Cells::new();
        for (slot, sums) in entries.iter().flat_map(|entry| &entry.cells) {
            cells.entry(*slot).or_insert_with(|| self.measures.zero()).add(sums);
        }
        let total = self.sum(entries.iter().map(|entry| &entry.total));
        let previous = self.previous.map(|_| self.sum(entries.iter().filter_map(|entry| entry.previous.as_ref())));
        Entry { groups: None, cells, total, previous }
    }

    /// Sorts rows that stand in the order of their groups; equal values keep it, and a ratio over zero comes last either way.
    fn sort(&self, entries: &mut [Entry]) {
        let Order::Measure { name, direction } = &self.ask.order else { return };
        let value = |entry: &Entry| self.measures.value(name, &entry.total);
        entries.sort_by_cached_key(|entry| {
            let value = value(entry);
            let signed = match direction {
                Direction::Ascending => value,
                Direction::Descending => value.map(std::ops::Neg::neg),
            };
            (signed.is_none(), signed)
        });
    }

    fn check_size<'e>(&self, entries: impl Iterator<Item = &'e Entry>) -> Result<(), ParameterError> {
        let cells: usize = match self.ask.fill {
            Fill::Zero => entries.count() * self.slots.len(),
            Fill::None => entries.map(|entry| entry.cells.len()).sum(),
        };
        if cells <= CELLS_MAX {
            return Ok(());
        }
        let detail = format!(
            "the answer has {cells} cells (rows × buckets), and may have {CELLS_MAX}: ask for fewer rows or longer \
             buckets, or set a filter"
        );
        Err(ParameterError::new("limit", Code::QueryTooLarge, detail))
    }

    fn row(&self, currency: &Option<Currency>, entry: &Entry) -> DataRow {
        let name = |groups: &Vec<Group>| self.ask.group_by.dimensions().cloned().zip(groups.iter().cloned()).collect();
        let dimensions = entry.groups.as_ref().filter(|groups| !groups.is_empty()).map(name);
        DataRow {
            dimensions,
            other: entry.groups.is_none(),
            total: self.total(currency, entry),
            buckets: self.buckets(&entry.cells),
        }
    }

    fn total(&self, currency: &Option<Currency>, entry: &Entry) -> Total {
        let values = self.values(&entry.total);
        let previous = entry.previous.as_ref().map(|previous| self.values(previous));
        let changed = |previous: &Values| {
            let pairs = values.iter().zip(previous.values());
            pairs.map(|((name, now), before)| (name.clone(), difference(now.as_ref(), before.as_ref()))).collect()
        };
        let change = previous.as_ref().map(changed);
        Total { currency: currency.clone(), values, previous, change }
    }

    fn buckets(&self, cells: &Cells) -> Vec<BucketValues> {
        let zero = self.measures.zero();
        let bucket = |(at, slot): (usize, &Slot)| {
            let sums = match (cells.get(&at), self.ask.fill) {
                (Some(sums), _) => sums,
                (None, Fill::Zero) => &zero,
                (None, Fill::None) => return None,
            };
            let ended = self.watermark.is_some_and(|watermark| slot.to <= watermark);
            Some(BucketValues { from: slot.from, to: slot.to, values: self.values(sums), complete: ended && !slot.clipped })
        };
        self.slots.iter().enumerate().filter_map(bucket).collect()
    }

    fn values(&self, sums: &Sums) -> Values {
        self.ask.measures.iter().map(|name| (name.clone(), self.measures.value(name, sums))).collect()
    }
}

fn difference(now: Option<&Decimal>, before: Option<&Decimal>) -> Option<Decimal> {
    let mut difference = now?.clone();
    difference += &-before?.clone();
    Some(difference)
}
