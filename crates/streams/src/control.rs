//! The control table: its keys, its items, and every expression that writes them. Nothing else in this crate
//! spells an attribute's name.
//!
//! ```text
//! SHARDS#<stream>#<hash(shard) mod 16> / <shard>   owner?, epoch, pos, defs, parent?, opened?, children?, created_ms?, state, gap?,
//!                                                  unlisted?, pos_ms?, watermark_ms?, expires_at?
//! WORKERS / <id>                                   beat, status, streams, changes, delays { <stream> → ms }, skew_ms, expires_at
//! SEEN#<worker> / <stream>#<part>                  shards { <shard> → watermark_ms }, expires_at
//! STREAMS / <stream>                               arn, table, started_at, start, boot_done, exact, history, listed_at?, follows?, closed?
//! WATERMARK / <stream>                             watermark_ms, published_ms, delay_ms, learnt_ms?, skew_ms
//! GAPS#<stream> / <shard>#<pos>                    detected_at, reason
//! ```
//!
//! `…_at` is RFC 3339 text, `…_ms` epoch milliseconds, `expires_at` (the table's TTL attribute) epoch seconds.
//! Every list is a Query; there is no Scan.

pub(crate) mod attribute;
pub(crate) mod gap;
pub(crate) mod key;
pub(crate) mod lease;
pub(crate) mod note;
pub(crate) mod seen;
pub(crate) mod shard;
pub(crate) mod stream;
pub(crate) mod watermark;
pub(crate) mod worker;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;

use self::attribute::Item;
use self::key::Key;
use crate::client::Streams;
use crate::error::Error;

pub use self::attribute::Malformed;
pub use self::gap::GapReason;
pub use self::shard::ShardState;

impl Streams {
    /// Every item of one partition, read consistently.
    pub(crate) async fn query(&self, partition: String) -> Result<Vec<Item>, Error> {
        let pages = self
            .dynamodb
            .query()
            .table_name(&*self.control_table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", key::PARTITION)
            .expression_attribute_values(":pk", AttributeValue::S(partition))
            .into_paginator()
            .items()
            .send();
        pages.collect::<Result<Vec<Item>, _>>().await.map_err(|error| self.failed("Query", error))
    }

    /// One item, read consistently.
    pub(crate) async fn get(&self, key: Key) -> Result<Option<Item>, Error> {
        let request = self.dynamodb.get_item().table_name(&*self.control_table).set_key(Some(key.into_item()));
        let answer = request.consistent_read(true).send().await.map_err(|error| self.failed("GetItem", error))?;
        Ok(answer.item)
    }

    /// Puts an item unless its key is taken. Says whether it was put.
    pub(crate) async fn put_new(&self, item: Item) -> Result<bool, Error> {
        let request = self
            .dynamodb
            .put_item()
            .table_name(&*self.control_table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#pk)")
            .expression_attribute_names("#pk", key::PARTITION);
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(self.failed("PutItem", error)),
        }
    }

    /// A failed call on the control table. A missing table is named; everywhere else its absence means something else.
    pub(crate) fn failed<E>(&self, operation: &'static str, error: SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if error.code() == Some("ResourceNotFoundException") {
            Error::ControlTableMissing { table: self.control_table.to_string() }
        } else {
            Error::of(operation, error)
        }
    }
}
