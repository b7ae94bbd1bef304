//! What the lister notes on stored shards: that the stream has not listed one for a while, or that an item has served.

use aws_sdk_dynamodb::types::AttributeValue;

use super::attribute::{number_value, text_value};
use super::key::{EXPIRES_AT, Key, PARTITION};
use super::shard::{STATE, ShardState, UNLISTED};
use crate::advance::refused;
use crate::client::Streams;
use crate::error::Error;
use crate::id::{ShardId, StreamId};

/// What a complete listing says about a stored shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// It is unfinished, and gone from the listings. Whoever finds it unreadable, too, knows that it is lost.
    Unlisted,
    /// It is finished, and nothing needs its item any more: it may be deleted.
    Served,
    /// It is listed again: neither holds.
    Listed,
}

impl Streams {
    /// Writes a note on a shard, unless the shard has changed so that it does not apply. Items that have served go at
    /// `expires_at`, in epoch seconds.
    pub(crate) async fn note(&self, stream: &StreamId, shard: &ShardId, note: Note, expires_at: i64) -> Result<(), Error> {
        let request =
            self.dynamodb.update_item().table_name(&*self.control_table).set_key(Some(Key::shard(stream, shard).into_item()));
        let active = text_value(ShardState::Active.as_str());
        let request = match note {
            Note::Unlisted => request
                .update_expression("SET #unlisted = :true")
                .condition_expression("#state = :active")
                .expression_attribute_names("#unlisted", UNLISTED)
                .expression_attribute_names("#state", STATE)
                .expression_attribute_values(":true", AttributeValue::Bool(true))
                .expression_attribute_values(":active", active),
            Note::Served => request
                .update_expression("SET #expires_at = :expires_at")
                .condition_expression("attribute_exists(#state) AND #state <> :active")
                .expression_attribute_names("#expires_at", EXPIRES_AT)
                .expression_attribute_names("#state", STATE)
                .expression_attribute_values(":expires_at", number_value(expires_at))
                .expression_attribute_values(":active", active),
            Note::Listed => request
                .update_expression("REMOVE #unlisted, #expires_at")
                .condition_expression("attribute_exists(#pk)")
                .expression_attribute_names("#pk", PARTITION)
                .expression_attribute_names("#unlisted", UNLISTED)
                .expression_attribute_names("#expires_at", EXPIRES_AT),
        };
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if refused(&error).is_some() => Ok(()),
            Err(error) => Err(self.failed("UpdateItem", error)),
        }
    }
}
