//! Finding out which rows could not take their delta.
//!
//! DynamoDB names them; DynamoDB Local answers a bare ValidationException. So the rows are read and the sums made here, which costs
//! one read in a case that almost never happens, and says in the same step what each row can take instead. The rejected alternative,
//! bisecting by trial, cannot work on emulators: part of a batch must not be committed.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use tidemark_domain::Decimal;

use super::{Item, RowChange, RowWrite};
use crate::Store;
use crate::aggregate::measure_attribute;
use crate::error::Error;
use crate::key::{self, Key};

impl Store {
    /// Those of some rows of a commit that cannot take their delta by `ADD`, by index, and what they take instead.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn refused_rows<'a>(
        &self,
        rows: impl Iterator<Item = (usize, &'a RowWrite)>,
    ) -> Result<Vec<(usize, RowChange)>, Error> {
        let adds = rows.filter(|(_, row)| row.change == RowChange::Add);
        let keyed: Vec<(usize, &RowWrite, Key)> =
            adds.map(|(index, row)| (index, row, key::aggregate(&row.key, row.lane))).collect();
        let keys: Vec<Key> = keyed.iter().map(|(_, _, key)| key.clone()).collect();
        let stored = self.get_all(&keys).await?;
        let empty = Item::new();
        let judged = keyed.into_iter().filter_map(|(index, row, key)| {
            let change = change_for(row, stored.get(&key).unwrap_or(&empty));
            (change != RowChange::Add).then_some((index, change))
        });
        Ok(judged.collect())
    }
}

fn change_for(row: &RowWrite, stored: &Item) -> RowChange {
    let mut read = BTreeMap::new();
    for (name, delta) in &row.delta {
        let value = match stored.get(&measure_attribute(name)) {
            None => None,
            Some(AttributeValue::N(number)) => match number.parse::<Decimal>() {
                Ok(value) => Some(value),
                Err(_) => return RowChange::Divert,
            },
            Some(_) => return RowChange::Divert,
        };
        let sum: Decimal = [Some(delta), value.as_ref()].into_iter().flatten().sum();
        if !sum.is_storable() {
            return RowChange::Divert;
        }
        read.insert(name.clone(), value);
    }
    if row.delta.values().all(Decimal::is_storable) { RowChange::Add } else { RowChange::Replace { read } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::s;
    use crate::key::PK;
    use tidemark_domain::delta::{Measures, RowKey};
    use tidemark_domain::{Bucket, MeasureName, MetricName, TenantId};

    fn change(delta: &str, stored: AttributeValue) -> RowChange {
        let units = MeasureName::new("units").expect("a name");
        let key = RowKey {
            tenant: TenantId::new("acme").expect("an id"),
            metric: MetricName::new("sales").expect("a name"),
            set: "*".into(),
            generation: 1,
            groups: vec![],
            currency: None,
            bucket: Bucket::quarter_of(jiff::Timestamp::UNIX_EPOCH),
        };
        let mut sum = Decimal::zero();
        for part in delta.split(' ') {
            sum += &part.parse().expect("a decimal");
        }
        let delta = Measures::from([(units.clone(), sum)]);
        let row = RowWrite { key, lane: 0, delta, change: RowChange::Add };
        change_for(&row, &Item::from([(measure_attribute(&units), stored), (PK.to_owned(), s("x"))]))
    }

    #[test]
    fn a_row_takes_what_its_sum_can_hold() {
        let number = |text: &str| AttributeValue::N(text.to_owned());
        assert_eq!(change("1", number("99999999999999999999999999999999999998")), RowChange::Add);
        assert_eq!(change("1.5", number("99999999999999999999999999999999999999")), RowChange::Divert);
        assert_eq!(change("1", s("text")), RowChange::Divert);
        let huge = "12345678901234567890123456789012345678";
        assert!(matches!(change(&format!("-{huge} 0.01"), number(huge)), RowChange::Replace { .. }));
    }
}
