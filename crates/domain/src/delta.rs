//! What changes in which rows: contributions added up, new minus old.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::bucket::Bucket;
use crate::currency::Currency;
use crate::decimal::Decimal;
use crate::group::Group;
use crate::name::{MeasureName, MetricName};
use crate::tenant::TenantId;

/// Stored measures by name.
pub type Measures = BTreeMap<MeasureName, Decimal>;

/// The identity of one aggregate row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    pub tenant: TenantId,
    pub metric: MetricName,
    /// The grouping set, as [`crate::definition::GroupingSet::key`] spells it.
    pub set: std::sync::Arc<str>,
    pub generation: u32,
    /// One per dimension of the set, in the set's order.
    pub groups: Vec<Group>,
    pub currency: Option<Currency>,
    pub bucket: Bucket,
}

/// Sums of deltas by row. A delta of zero is no delta, and a row without deltas is no row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deltas(BTreeMap<RowKey, Measures>);

impl Deltas {
    /// Adds to one row.
    pub fn add(&mut self, key: &RowKey, measures: &Measures) {
        self.accumulate(key, measures.iter().map(|(name, value)| (name, value.clone())));
    }

    /// Takes away from one row.
    pub fn subtract(&mut self, key: &RowKey, measures: &Measures) {
        self.accumulate(key, measures.iter().map(|(name, value)| (name, -value.clone())));
    }

    /// Adds another sum of deltas.
    pub fn merge(&mut self, other: &Self) {
        for (key, measures) in &other.0 {
            self.add(key, measures);
        }
    }

    /// How many rows change.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows may change once `other` is merged in: no fewer than will.
    pub fn len_with(&self, other: &Self) -> usize {
        self.len() + other.0.keys().filter(|key| !self.0.contains_key(key)).count()
    }

    pub fn rows(&self) -> impl Iterator<Item = (&RowKey, &Measures)> {
        self.0.iter()
    }

    fn accumulate<'a>(&mut self, key: &RowKey, deltas: impl Iterator<Item = (&'a MeasureName, Decimal)>) {
        let row = self.0.entry(key.clone()).or_default();
        for (name, delta) in deltas {
            match row.entry(name.clone()) {
                Entry::Vacant(vacant) if !delta.is_zero() => {
                    vacant.insert(delta);
                }
                Entry::Vacant(_) => {}
                Entry::Occupied(mut sum) => {
                    *sum.get_mut() += &delta;
                    if sum.get().is_zero() {
                        sum.remove();
                    }
                }
            }
        }
        if row.is_empty() {
            self.0.remove(key);
        }
    }
}

impl IntoIterator for Deltas {
    type Item = (RowKey, Measures);
    type IntoIter = std::collections::btree_map::IntoIter<RowKey, Measures>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
