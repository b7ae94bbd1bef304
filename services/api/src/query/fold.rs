//! Adds rows up to cells: exact sums of the stored measures, by currency, groups and bucket of the answer. Pure.

use std::collections::BTreeMap;

use tidemark_domain::calendar::{Slot, first_quarter_of};
use tidemark_domain::definition::{GroupingSet, Measure, Metric};
use tidemark_domain::{Bucket, Currency, Decimal, Group, MeasureName, Zone};
use tidemark_store::Row;

/// Cells by the index of their slot; a cell in which everything is zero is not there.
pub(crate) type Cells = BTreeMap<usize, Sums>;
/// Cells by currency (`None` on metrics without money) and by groups, in the order of the grouping set's dimensions.
pub(crate) type Table = BTreeMap<Option<Currency>, BTreeMap<Vec<Group>, Cells>>;

/// One number for each stored measure of a metric, in the order of [`Measures`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sums(Vec<Decimal>);

/// The measures of a metric: where each stored one stands in [`Sums`], and how the others are made from them.
#[derive(Debug, Clone)]
pub(crate) struct Measures<'a> {
    metric: &'a Metric,
    stored: Vec<&'a MeasureName>,
}

/// How rows become cells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fold<'a> {
    pub measures: &'a Measures<'a>,
    /// The set the rows are of.
    pub set: &'a GroupingSet,
    /// The dimensions that are told apart; a subset of the set's.
    pub group_by: &'a GroupingSet,
    /// Rows outside these are left out.
    pub slots: &'a [Slot],
    /// The zone whose days the day rows are.
    pub zone: &'a Zone,
}

impl<'a> Measures<'a> {
    pub(crate) fn of(metric: &'a Metric) -> Self {
        let stored = metric.measures.iter().filter(|(_, measure)| !matches!(measure, Measure::Ratio { .. }));
        Self { metric, stored: stored.map(|(name, _)| name).collect() }
    }

    pub(crate) fn zero(&self) -> Sums {
        Sums(vec![Decimal::zero(); self.stored.len()])
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

impl Fold<'_> {
    /// Adds up rows.
    ///
    /// What was counted and has left again (a deleted order, one that moved to another item) leaves a row of zeros behind. Cells
    /// in which every stored measure is zero are therefore taken as never counted: an answer depends on what the source holds
    /// now, not on how it came to hold it.
    pub(crate) fn table(&self, rows: &[Row]) -> Table {
        let shown: Vec<bool> = self.set.dimensions().map(|dimension| self.group_by.contains(dimension)).collect();
        let mut table = Table::new();
        for row in rows {
            let Some(slot) = self.slot_of(row.bucket) else { continue };
            let groups = row.groups.iter().zip(&shown).filter(|(_, shown)| **shown).map(|(group, _)| group.clone()).collect();
            let cells = table.entry(row.currency.clone()).or_default().entry(groups).or_default();
            let sums = cells.entry(slot).or_insert_with(|| self.measures.zero());
            for (sum, name) in sums.0.iter_mut().zip(&self.measures.stored) {
                if let Some(value) = row.values.get(*name) {
                    *sum += value;
                }
            }
        }
        for groups in table.values_mut() {
            for cells in groups.values_mut() {
                cells.retain(|_, sums| !sums.is_zero());
            }
            groups.retain(|_, cells| !cells.is_empty());
        }
        table.retain(|_, groups| !groups.is_empty());
        table
    }

    fn slot_of(&self, bucket: Bucket) -> Option<usize> {
        let start = match bucket {
            Bucket::Quarter { start } => start,
            Bucket::Day { date } => first_quarter_of(date, self.zone)?,
        };
        let at = self.slots.partition_point(|slot| slot.from <= start).checked_sub(1)?;
        (start < self.slots[at].to).then_some(at)
    }
}
