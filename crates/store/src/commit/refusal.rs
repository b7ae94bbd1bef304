//! Finding out which rows could not take their delta.
//!
//! DynamoDB names them; DynamoDB Local answers a bare ValidationException. So the rows are read and the sums made here, which costs
//! one read in a case that almost never happens, and says in the same step what each row can take instead. The rejected alternative,
//! bisecting by trial, cannot work on emulators: part of a batch must not be committed.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use tidemark_domain::Decimal;

use super::{Item, RowChange, RowWrite, Writes};
use crate::Store;
use crate::aggregate::measure_attribute;
use crate::error::Error;
use crate::item::key_item;
use crate::key::{self, Key, PK, SK};

/// How often keys that a read left out are asked for again.
const ROUNDS_MAX: usize = 8;

impl Store {
    /// The rows that cannot take their delta by `ADD`, by index, and what they take instead.
    pub(super) async fn refused_rows(&self, writes: &Writes) -> Result<Vec<(usize, RowChange)>, Error> {
        let adds = writes.rows.iter().enumerate().filter(|(_, row)| row.change == RowChange::Add);
        let keyed: Vec<(usize, &RowWrite, Key)> =
            adds.map(|(index, row)| (index, row, key::aggregate(&row.key, row.lane))).collect();
        let stored = self.read_rows(keyed.iter().map(|(_, _, key)| key)).await?;
        let empty = Item::new();
        let judged = keyed.into_iter().filter_map(|(index, row, key)| {
            let change = change_for(row, stored.get(&(key.pk, key.sk)).unwrap_or(&empty));
            (change != RowChange::Add).then_some((index, change))
        });
        Ok(judged.collect())
    }

    async fn read_rows<'a>(&self, keys: impl Iterator<Item = &'a Key>) -> Result<HashMap<(String, String), Item>, Error> {
        let table = &self.tables.data;
        let mut found = HashMap::new();
        let mut left: Vec<Item> = keys.map(key_item).collect();
        for _ in 0..ROUNDS_MAX {
            if left.is_empty() {
                return Ok(found);
            }
            let wanted = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true).build().expect("keys are set");
            let sent = self.client.batch_get_item().request_items(table, wanted).send().await;
            let output = sent.map_err(|error| Error::from_sdk(table, error))?;
            for item in output.responses.unwrap_or_default().remove(table).unwrap_or_default() {
                if let (Some(AttributeValue::S(pk)), Some(AttributeValue::S(sk))) = (item.get(PK), item.get(SK)) {
                    found.insert((pk.clone(), sk.clone()), item);
                }
            }
            left = output.unprocessed_keys.unwrap_or_default().remove(table).map(|rest| rest.keys).unwrap_or_default();
        }
        if left.is_empty() { Ok(found) } else { Err(Error::Throttled("BatchGetItem leaves keys unprocessed".into())) }
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
