//! Adds rows up to cells: exact sums of the stored measures, by currency, groups and bucket of the answer. Pure.
//!
//! Rows are added one by one and not kept: what a fold holds depends on the groups and buckets of the answer, and it knows how much
//! that is.

use std::collections::BTreeMap;

use tidemark_domain::calendar::{Slot, first_quarter_of};
use tidemark_domain::definition::{GroupingSet, Measure, Metric};
use tidemark_domain::{Bucket, Currency, Decimal, Group, MeasureName, Zone};
use tidemark_store::Row;

/// Bytes of a group beside its texts, sums and cells: its entry in the table, half of whose nodes may be in use, and what the
/// allocator adds.
const GROUP_BYTES: usize = 192;
/// Bytes of one text of a group beside its characters.
const TEXT_BYTES: usize = size_of::<Group>() + 16;
/// Bytes of a cell beside its sums: its place among the cells, whose capacity is up to twice what is in use.
const CELL_BYTES: usize = 2 * size_of::<(usize, Sums)>();
/// Bytes of one sum: a decimal, and its digits elsewhere.
const SUM_BYTES: usize = size_of::<Decimal>() + 32;

/// Cells by the index of their slot, in order; a cell in which everything is zero is not there. A sorted list: most groups of an answer
/// without a granularity have one cell, for which a node of a `BTreeMap` would be ten times as large.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cells(Vec<(usize, Sums)>);

/// Cells by currency (`None` on metrics without money) and by groups, in the order of the grouping set's dimensions.
pub(crate) type Table = BTreeMap<Option<Currency>, BTreeMap<Vec<Group>, Cells>>;

/// One number for each stored measure of a metric, in the order of [`Measures`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sums(Box<[Decimal]>);

/// The measures of a metric: where each stored one stands in [`Sums`], and how the others are made from them.
#[derive(Debug, Clone)]
pub(crate) struct Measures<'a> {
    metric: &'a Metric,
    stored: Vec<&'a MeasureName>,
}

/// How rows become cells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub measures: &'a Measures<'a>,
    /// The set the rows are of.
    pub set: &'a GroupingSet,
    /// The dimensions that rows are grouped by; a subset of the set's.
    pub group_by: &'a GroupingSet,
    /// Rows outside these are left out.
    pub slots: &'a [Slot],
    /// The zone whose days the day rows are.
    pub zone: &'a Zone,
}

/// Rows added up so far.
#[derive(Debug)]
pub(crate) struct Fold<'a> {
    shape: Shape<'a>,
    /// For each dimension of the set, whether rows are grouped by it.
    shown: Vec<bool>,
    table: Table,
    bytes: usize,
    has_broken: bool,
}

impl<'a> Measures<'a> {
    pub(crate) fn of(metric: &'a Metric) -> Self {
        let stored = metric.measures.iter().filter(|(_, measure)| !matches!(measure, Measure::Ratio { .. }));
        Self { metric, stored: stored.map(|(name, _)| name).collect() }
    }

    pub(crate) fn zero(&self) -> Sums {
        Sums(vec![Decimal::zero(); self.stored.len()].into())
    }

    /// About how many bytes the sums of one cell take.
    pub(crate) fn sums_bytes(&self) -> usize {
        self.stored.len() * SUM_BYTES
    }

    /// The value of a measure. A ratio is divided here, from the sums of its parts; over zero it is `None`.
    pub(crate) fn value(&self, name: &MeasureName, sums: &Sums) -> Option<Decimal> {
        match self.metric.measures.get(name)? {
            Measure::Sum { .. } | Measure::Count { .. } => self.stored(name, sums).cloned(),
            Measure::Ratio { numerator, denominator, .. } => self.stored(numerator, sums)?.ratio(self.stored(denominator, sums)?),
        }
    }

    fn stored<'s>(&self, name: &MeasureName, sums: &'s Sums) -> Option<&'s Decimal> {
        self.stored.iter().position(|stored| *stored == name).map(|at| &sums.0[at])
    }
}

impl Sums {
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, value) in self.0.iter_mut().zip(&other.0) {
            *sum += value;
        }
    }

    fn is_zero(&self) -> bool {
        self.0.iter().all(Decimal::is_zero)
    }
}

impl Cells {
    pub(crate) fn get(&self, slot: usize) -> Option<&Sums> {
        self.0.binary_search_by_key(&slot, |(at, _)| *at).ok().map(|at| &self.0[at].1)
    }

    /// The sums of the only cell, if there is one alone.
    pub(crate) fn only(&self) -> Option<&Sums> {
        match &*self.0 {
            [(_, sums)] => Some(sums),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Sums)> {
        self.0.iter().map(|(slot, sums)| (*slot, sums))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The cell of a slot, and whether it is new.
    pub(crate) fn entry(&mut self, slot: usize, zero: impl FnOnce() -> Sums) -> (&mut Sums, bool) {
        // Rows come in the order of their buckets, chunk by chunk, so that a new cell is nearly always the last.
        let found = self.0.binary_search_by_key(&slot, |(at, _)| *at);
        let at = found.unwrap_or_else(|at| {
            if self.0.is_empty() {
                self.0.reserve_exact(1);
            }
            self.0.insert(at, (slot, zero()));
            at
        });
        (&mut self.0[at].1, found.is_err())
    }
}

impl<'a> Fold<'a> {
    pub(crate) fn new(shape: Shape<'a>) -> Self {
        let shown = shape.set.dimensions().map(|dimension| shape.group_by.contains(dimension)).collect();
        Self { shape, shown, table: Table::new(), bytes: 0, has_broken: false }
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, row: &Row) {
        self.has_broken |= row.broken;
        let Some(slot) = self.shape.slot_of(row.bucket) else { return };
        let measures = self.shape.measures;
        let groups: Vec<Group> =
            row.groups.iter().zip(&self.shown).filter(|(_, shown)| **shown).map(|(group, _)| group.clone()).collect();
        let text_bytes: usize = groups.iter().map(|group| TEXT_BYTES + text_of(group).len()).sum();
        let cells = self.table.entry(row.currency.clone()).or_default().entry(groups).or_insert_with(|| {
            self.bytes += GROUP_BYTES + text_bytes;
            Cells::default()
        });
        let (sums, is_new) = cells.entry(slot, || measures.zero());
        if is_new {
            self.bytes += CELL_BYTES + measures.sums_bytes();
        }
        for (sum, name) in sums.0.iter_mut().zip(&measures.stored) {
            if let Some(value) = row.values.get(*name) {
                *sum += value;
            }
        }
    }

    /// About how many bytes are held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a row that was added has refused a delta.
    pub(crate) fn has_broken(&self) -> bool {
        self.has_broken
    }

    /// What the rows add up to.
    ///
    /// What was counted and has left again (a deleted order, one that moved to another item) leaves a row of zeros behind. Cells
    /// in which every stored measure is zero are therefore taken as never counted: an answer depends on what the source holds
    /// now, not on how it came to hold it.
    pub(crate) fn finish(self) -> Table {
        let mut table = self.table;
        for groups in table.values_mut() {
            for cells in groups.values_mut() {
                cells.0.retain(|(_, sums)| !sums.is_zero());
            }
            groups.retain(|_, cells| !cells.0.is_empty());
        }
        table.retain(|_, groups| !groups.is_empty());
        table
    }
}

impl Shape<'_> {
    fn slot_of(&self, bucket: Bucket) -> Option<usize> {
        let start = match bucket {
            Bucket::Quarter { start } => start,
            Bucket::Day { date } => first_quarter_of(date, self.zone)?,
        };
        let at = self.slots.partition_point(|slot| slot.from <= start).checked_sub(1)?;
        (start < self.slots[at].to).then_some(at)
    }
}

/// A group's characters.
pub(crate) fn text_of(group: &Group) -> &str {
    match group {
        Group::Text(text) => text,
        Group::Null => "",
    }
}
