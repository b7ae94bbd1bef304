//! The values each dimension has had, so that they can be listed without reading aggregates.

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use tidemark_domain::{DimensionName, Group, MetricName, TenantId};

use crate::Store;
use crate::error::Error;
use crate::item::key_item;
use crate::key;

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

impl Store {
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
