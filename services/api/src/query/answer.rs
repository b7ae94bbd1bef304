//! The answer's shape, and how cells are put into it: order, limit, remainder, comparison, filled buckets. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tidemark_domain::calendar::{Range, Slot};
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

/// Measures in the order of their names: canonical decimal numbers as text; null for a ratio over zero. An answer has one of these in each
/// bucket, and a node of a `BTreeMap` would be several times as large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Values(Box<[(MeasureName, Option<Decimal>)]>);

/// Bytes of a group while rows are composed, beside its sums.
const ENTRY_BYTES: usize = size_of::<Entry<'_>>() + 16;
/// Bytes of what a group is sorted by, when that is a measure.
const SORTED_BY_BYTES: usize = size_of::<(bool, Option<Decimal>, usize)>() + DIGITS_BYTES;
/// Bytes of a row or a bucket beside its values. A row has its dimensions, too, and fewer there are than buckets.
const SHOWN_BYTES: usize = size_of::<BucketValues>() + 64;
/// Bytes of one value.
const VALUE_BYTES: usize = size_of::<(MeasureName, Option<Decimal>)>() + DIGITS_BYTES;
/// Bytes of a decimal's digits.
const DIGITS_BYTES: usize = 32;

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

impl From<Range> for ComparedRange {
    fn from(range: Range) -> Self {
        Self { from: range.from, to: range.to }
    }
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
struct Entry<'t> {
    /// `None`: the remainder.
    groups: Option<&'t [Group]>,
    cells: Cow<'t, Cells>,
    total: Cow<'t, Sums>,
    previous: Option<Cow<'t, Sums>>,
}

impl<'t> Compose<'t> {
    /// About how many bytes composing takes beside the tables, with its result: an upper bound, for which rows are shown is not known
    /// before.
    pub(crate) fn bytes(&self) -> usize {
        let tables = || self.previous.into_iter().chain([self.current]);
        let groups: usize = tables().flat_map(Table::values).map(BTreeMap::len).sum();
        let cells = || self.current.values().flat_map(BTreeMap::values).map(Cells::len);
        // The sums of a single cell are its group's, too; a group that only one of two tables has needs zeros for the other.
        let summed = cells().filter(|cells| *cells > 1).count() + if self.previous.is_some() { groups } else { 0 };
        let sorted_by = if self.ask.order.measure().is_some() { SORTED_BY_BYTES } else { 0 };
        let currencies: usize = tables().map(BTreeMap::len).sum();
        let rows = groups.min((self.ask.limit + 1).saturating_mul(currencies));
        let buckets = match self.ask.fill {
            Fill::Zero => rows.saturating_mul(self.slots.len()),
            Fill::None => cells().sum(),
        };
        // A row has its values, those compared with, and the change.
        let of_rows = rows * if self.previous.is_some() { 3 } else { 1 };
        let shown = SHOWN_BYTES + self.ask.measures.len() * VALUE_BYTES;
        groups * (ENTRY_BYTES + sorted_by) + summed * self.measures.sums_bytes() + (of_rows + buckets.min(CELLS_MAX)) * shown
    }

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
            totals.push(self.total(currency, &self.summed(&of_currency)));
            self.sort(&mut of_currency);
            let beyond = of_currency.split_off(self.ask.limit.min(of_currency.len()));
            if self.ask.other && !beyond.is_empty() {
                let cells = Cow::Owned(self.merged_cells(&beyond));
                of_currency.push(Entry { cells, ..self.summed(&beyond) });
            }
            entries.extend(of_currency.into_iter().map(|entry| (currency, entry)));
        }
        self.check_size(&entries)?;
        Ok((totals, entries.iter().map(|(currency, entry)| self.row(currency, entry)).collect()))
    }

    /// The rows of a currency, by their groups. With a comparison, also what was there only in the range compared with: an item
    /// that stopped selling is a change to show.
    fn entries(&self, currency: &Option<Currency>) -> Vec<Entry<'t>> {
        let current = self.current.get(currency);
        let previous = self.previous.and_then(|previous| previous.get(currency));
        let groups: BTreeSet<&'t Vec<Group>> = current.into_iter().chain(previous).flat_map(BTreeMap::keys).collect();
        let entry = |groups: &'t Vec<Group>| {
            let cells = current.and_then(|current| current.get(groups));
            let before = previous.and_then(|previous| previous.get(groups));
            let (total, previous) = (self.sum_of(cells), self.previous.map(|_| self.sum_of(before)));
            Entry { groups: Some(groups), cells: cells.map_or_else(Cow::default, Cow::Borrowed), total, previous }
        };
        groups.into_iter().map(entry).collect()
    }

    /// The sums of a group's cells, which are mostly one.
    fn sum_of(&self, cells: Option<&'t Cells>) -> Cow<'t, Sums> {
        match cells.and_then(Cells::only) {
            Some(sums) => Cow::Borrowed(sums),
            None => Cow::Owned(self.sum(cells.into_iter().flat_map(Cells::iter).map(|(_, sums)| sums))),
        }
    }

    fn sum<'s>(&self, parts: impl Iterator<Item = &'s Sums>) -> Sums {
        parts.fold(self.measures.zero(), |mut sum, part| {
            sum.add(part);
            sum
        })
    }

    /// Several rows as one, without buckets.
    fn summed(&self, entries: &[Entry<'t>]) -> Entry<'t> {
        let total = Cow::Owned(self.sum(entries.iter().map(|entry| &*entry.total)));
        let previous = || self.sum(entries.iter().filter_map(|entry| entry.previous.as_deref()));
        let previous = self.previous.map(|_| Cow::Owned(previous()));
        Entry { groups: None, cells: Cow::default(), total, previous }
    }

    /// The buckets of several rows as those of one.
    fn merged_cells(&self, entries: &[Entry<'t>]) -> Cells {
        let mut merged = Cells::default();
        for (slot, sums) in entries.iter().flat_map(|entry| entry.cells.iter()) {
            merged.entry(slot, || self.measures.zero()).0.add(sums);
        }
        merged
    }

    /// Sorts rows that stand in the order of their groups; equal values keep it, and a ratio over zero comes last either way.
    fn sort(&self, entries: &mut [Entry<'t>]) {
        let Order::Measure { name, direction } = &self.ask.order else { return };
        let value = |entry: &Entry<'t>| self.measures.value(name, &entry.total);
        entries.sort_by_cached_key(|entry| {
            let value = value(entry);
            let signed = match direction {
                Direction::Ascending => value,
                Direction::Descending => value.map(std::ops::Neg::neg),
            };
            (signed.is_none(), signed)
        });
    }

    fn check_size(&self, entries: &[(&Option<Currency>, Entry<'t>)]) -> Result<(), ParameterError> {
        let cells: usize = match self.ask.fill {
            Fill::Zero => entries.len() * self.slots.len(),
            Fill::None => entries.iter().map(|(_, entry)| entry.cells.len()).sum(),
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

    fn row(&self, currency: &Option<Currency>, entry: &Entry<'t>) -> DataRow {
        let name = |groups: &[Group]| self.ask.group_by.dimensions().cloned().zip(groups.iter().cloned()).collect();
        let dimensions = entry.groups.filter(|groups| !groups.is_empty()).map(name);
        DataRow {
            dimensions,
            other: entry.groups.is_none(),
            total: self.total(currency, entry),
            buckets: self.buckets(&entry.cells),
        }
    }

    fn total(&self, currency: &Option<Currency>, entry: &Entry<'t>) -> Total {
        let values = self.values(&entry.total);
        let previous = entry.previous.as_ref().map(|previous| self.values(previous));
        let changed = |previous: &Values| {
            let pairs = values.0.iter().zip(previous.values());
            pairs.map(|((name, now), before)| (name.clone(), difference(now.as_ref(), before))).collect()
        };
        let change = previous.as_ref().map(changed);
        Total { currency: currency.clone(), values, previous, change }
    }

    fn buckets(&self, cells: &Cells) -> Vec<BucketValues> {
        let zero = self.measures.zero();
        let bucket = |(at, slot): (usize, &Slot)| {
            let sums = match (cells.get(at), self.ask.fill) {
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

impl Values {
    pub(crate) fn values(&self) -> impl Iterator<Item = Option<&Decimal>> {
        self.0.iter().map(|(_, value)| value.as_ref())
    }
}

impl FromIterator<(MeasureName, Option<Decimal>)> for Values {
    fn from_iter<I: IntoIterator<Item = (MeasureName, Option<Decimal>)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn difference(now: Option<&Decimal>, before: Option<&Decimal>) -> Option<Decimal> {
    let mut difference = now?.clone();
    difference += &-before?.clone();
    Some(difference)
}
