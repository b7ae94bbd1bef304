//! The values each dimension has had, so that they can be listed without reading aggregates.

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use tidemark_domain::{DimensionName, Group, MetricName, TenantId};

use crate::error::Error;
use crate::item::{Stored, key_item};
use crate::key::{self, KNOWN_VALUE_PREFIX, SK};
use crate::read::{Order, Stretch};
use crate::{Store, Tenant};

/// Most puts of one BatchWriteItem (AWS: BatchWriteItem).
const BATCH_MAX: usize = 25;
/// How often what a batch left unprocessed is sent again.
const ROUNDS_MAX: usize = 8;

/// One value of one dimension of one tenant's metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KnownValue {
    pub tenant: TenantId,
    pub metric: MetricName,
    pub dimension: DimensionName,
    pub value: Group,
}

/// Which values to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuesQuery {
    pub metric: MetricName,
    pub dimension: DimensionName,
    /// What the values begin with; empty: any, the null group included.
    pub prefix: String,
    /// Continue behind this one, which begins so.
    pub after: Option<Group>,
    pub limit: usize,
}

/// Some values, in the order of the bytes of their keys: that of the texts, but for `#`, `%` and control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuesPage {
    pub values: Vec<Group>,
    pub more: bool,
}

impl Store {
    /// Lists values that a dimension has had, whether or not anything is counted by them now. One Query that reads one item more than
    /// the page has: a hundred bytes each as a rule, so 200 of them take 5 RCU; 50 when every value fills its key.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn known_values(&self, tenant: &Tenant, query: &ValuesQuery) -> Result<ValuesPage, Error> {
        let pk = key::known_values(tenant.id(), &query.metric, &query.dimension);
        let key_of = |encoded: String| KNOWN_VALUE_PREFIX.to_owned() + &encoded;
        let prefix = key_of(Group::Text(query.prefix.clone()).encoded());
        let after = query.after.as_ref().map(|after| key_of(after.encoded()));
        let wanted = Stretch { pk: &pk, prefix: &prefix, after: after.as_deref(), order: Order::Rising, limit: query.limit };
        let found = self.stretch(&wanted).await?;
        let value = |item| {
            let stored = Stored(item);
            let sk = stored.text(SK)?;
            let value = sk.strip_prefix(KNOWN_VALUE_PREFIX).and_then(Group::decoded);
            value.ok_or_else(|| stored.corrupt(SK, "is no value's"))
        };
        Ok(ValuesPage { values: found.items.iter().map(value).collect::<Result<_, _>>()?, more: found.more })
    }

    /// Remembers values. It happens before the commit that first counts them, outside its transaction: a value known
    /// without a row does no harm, a row without its value would be invisible.
    ///
    /// # Errors
    /// When DynamoDB does not take them; the call can be made again.
    pub async fn remember_values(&self, values: &[KnownValue]) -> Result<(), Error> {
        for batch in values.chunks(BATCH_MAX) {
            let mut left: Vec<WriteRequest> = batch.iter().map(put).collect();
            for round in 0..=ROUNDS_MAX {
                if left.is_empty() {
                    break;
                }
                if round == ROUNDS_MAX {
                    return Err(Error::Throttled("BatchWriteItem leaves items unprocessed".into()));
                }
                tokio::time::sleep(std::time::Duration::from_millis(if round == 0 { 0 } else { 25 << round })).await;
                let sent = self.client.batch_write_item().request_items(&self.tables.data, left).send().await;
                let output = sent.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
                left = output.unprocessed_items.unwrap_or_default().remove(&self.tables.data).unwrap_or_default();
            }
        }
        Ok(())
    }
}

fn put(known: &KnownValue) -> WriteRequest {
    let key = key::known_value(&known.tenant, &known.metric, &known.dimension, &known.value);
    let put = PutRequest::builder().set_item(Some(key_item(&key))).build().expect("the item is set");
    WriteRequest::builder().put_request(put).build()
}
