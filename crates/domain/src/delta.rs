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
        self.accumulate(key, measures);
    }

    /// Takes away from one row.
    pub fn subtract(&mut self, key: &RowKey, measures: &Measures) {
        self.accumulate(key, &measures.iter().map(|(name, value)| (name.clone(), -value.clone())).collect());
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

    fn accumulate(&mut self, key: &RowKey, deltas: &Measures) {
        let row = self.0.entry(key.clone()).or_default();
        accumulate(row, deltas);
        if row.is_empty() {
            self.0.remove(key);
        }
    }
}

/// Adds deltas of one row to others of it; those that become zero vanish.
pub fn accumulate(row: &mut Measures, deltas: &Measures) {
    for (name, delta) in deltas {
        match row.entry(name.clone()) {
            Entry::Vacant(vacant) if !delta.is_zero() => {
                vacant.insert(delta.clone());
            }
            Entry::Vacant(_) => {}
            Entry::Occupied(mut sum) => {
                *sum.get_mut() += delta;
                if sum.get().is_zero() {
                    sum.remove();
                }
            }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bucket::Bucket;

    fn effect() -> impl Strategy<Value = (RowKey, Measures)> {
        ((0_i64..4), prop::option::of(-5_i64..5), prop::option::of(-3_i64..3)).prop_map(|(quarter, units, orders)| {
            let key = RowKey {
                tenant: TenantId::new("acme").expect("an id"),
                metric: MetricName::new("sales").expect("a name"),
                set: "*".into(),
                generation: 1,
                groups: Vec::new(),
                currency: None,
                bucket: Bucket::quarter_of(jiff::Timestamp::from_second(quarter * 900).expect("in range")),
            };
            let measures = [("units", units), ("orders", orders)]
                .into_iter()
                .filter_map(|(name, value)| value.map(|value| (MeasureName::new(name).expect("a name"), Decimal::from(value))));
            (key, measures.collect())
        })
    }

    fn sum(effects: &[(RowKey, Measures)]) -> Deltas {
        let mut deltas = Deltas::default();
        for (key, measures) in effects {
            deltas.add(key, measures);
        }
        deltas
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn merging_commutes_and_is_the_sum_of_all(
            left in prop::collection::vec(effect(), 0..12),
            right in prop::collection::vec(effect(), 0..12),
        ) {
            let (mut one, mut other) = (sum(&left), sum(&right));
            let foreseen = one.len_with(&other);
            one.merge(&sum(&right));
            other.merge(&sum(&left));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(&one, &sum(&[left, right].concat()));
            prop_assert!(one.len() <= foreseen);
        }

        #[test]
        fn what_is_taken_away_again_leaves_nothing(effects in prop::collection::vec(effect(), 0..12)) {
            let mut deltas = sum(&effects);
            for (_, measures) in deltas.rows() {
                prop_assert!(!measures.is_empty() && measures.values().all(|delta| !delta.is_zero()));
            }
            for (key, measures) in effects.iter().rev() {
                deltas.subtract(key, measures);
            }
            prop_assert!(deltas.is_empty());
        }
    }
}
