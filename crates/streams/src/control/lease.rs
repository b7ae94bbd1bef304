//! The expressions by which shards are created, opened, and change hands.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use jiff::Timestamp;

use super::attribute::{number_value, text_value};
use super::key::{Key, PARTITION};
use super::shard::{CHILDREN, DEFS, EPOCH, OPENED, OWNER, POSITION, ShardItem, WATERMARK_MS};
use crate::advance::refused;
use crate::client::Streams;
use crate::error::Error;
use crate::id::{ShardId, StreamId, WorkerId};
use crate::lease::{HeldShard, Lease};
use crate::position::Position;

impl Streams {
    /// Takes over the lease of a shard, if it still is as `seen`. Whether that is allowed is the caller's to know: the
    /// shard is free, or its owner dead. Reading goes on from the returned position, never from the seen one.
    /// None: another worker was quicker, or the shard is finished.
    pub(crate) async fn acquire(&self, stream: &StreamId, seen: &ShardItem, me: &WorkerId) -> Result<Option<HeldShard>, Error> {
        let lease = Lease { owner: me.clone(), epoch: seen.fence.epoch + 1 };
        let request = self
            .dynamodb
            .update_item()
            .table_name(&*self.control_table)
            .set_key(Some(Key::shard(stream, &seen.shard).into_item()))
            .update_expression("SET #owner = :me, #epoch = #epoch + :one")
            .condition_expression("#epoch = :seen AND #pos <> :end")
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#epoch", EPOCH)
            .expression_attribute_names("#pos", POSITION)
            .expression_attribute_values(":me", text_value(me))
            .expression_attribute_values(":one", number_value(1))
            .expression_attribute_values(":seen", number_value(seen.fence.epoch))
            .expression_attribute_values(":end", text_value(Position::ShardEnd))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let stored = match request.send().await {
            Ok(answer) => answer.attributes,
            Err(error) => match refused(&error) {
                Some(stored) => stored.cloned(),
                None => return Err(self.failed("UpdateItem", error)),
            },
        };
        let Some(stored) = stored else { return Ok(None) };
        let stored = ShardItem::of_item(&stored)?;
        // After a lost acknowledgement the retry is refused, but the item shows that the first attempt had won.
        let won = stored.fence.owner.as_ref() == Some(me) && stored.fence.epoch == lease.epoch;
        Ok(won.then(|| HeldShard::new(self.control_table.clone(), stream.clone(), lease, &stored)))
    }

    /// Gives a lease back, so that the next worker need not wait, and stores up to when the shard is included. A lease already lost is
    /// given back already.
    pub(crate) async fn release(&self, held: &HeldShard, watermark: Option<Timestamp>) -> Result<(), Error> {
        let request = self
            .dynamodb
            .update_item()
            .table_name(&*self.control_table)
            .set_key(Some(Key::shard(&held.stream, &held.shard).into_item()))
            .condition_expression("#owner = :me AND #epoch = :epoch")
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#epoch", EPOCH)
            .expression_attribute_values(":me", text_value(&held.lease.owner))
            .expression_attribute_values(":epoch", number_value(held.lease.epoch));
        let request = match watermark.max(held.watermark) {
            None => request.update_expression("REMOVE #owner"),
            Some(watermark) => request
                .update_expression("SET #watermark = :watermark REMOVE #owner")
                .expression_attribute_names("#watermark", WATERMARK_MS)
                .expression_attribute_values(":watermark", number_value(watermark.as_millisecond())),
        };
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if refused(&error).is_some() => Ok(()),
            Err(error) => Err(self.failed("UpdateItem", error)),
        }
    }

    /// Opens the gate of a child whose parent's end is committed: stores that once, and raises the child's definitions
    /// version to its parent's, so that a worker that is behind cannot go on with older ones.
    pub(crate) async fn open(&self, stream: &StreamId, child: &ShardItem, parent: &ShardItem) -> Result<(), Error> {
        let request = self
            .dynamodb
            .update_item()
            .table_name(&*self.control_table)
            .set_key(Some(Key::shard(stream, &child.shard).into_item()))
            .update_expression("SET #opened = :true, #defs = :defs")
            .condition_expression("attribute_exists(#pk) AND attribute_not_exists(#opened)")
            .expression_attribute_names("#pk", PARTITION)
            .expression_attribute_names("#opened", OPENED)
            .expression_attribute_names("#defs", DEFS)
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":defs", number_value(parent.fence.defs.max(child.fence.defs)));
        match request.send().await {
            Ok(_) => Ok(()),
            // Another worker has opened it.
            Err(error) if refused(&error).is_some() => Ok(()),
            Err(error) => Err(self.failed("UpdateItem", error)),
        }
    }

    /// Notes on a shard that its children are stored. A shard that is not stored is left alone.
    pub(crate) async fn link(&self, stream: &StreamId, parent: &ShardId, children: &[ShardId]) -> Result<(), Error> {
        let request = self
            .dynamodb
            .update_item()
            .table_name(&*self.control_table)
            .set_key(Some(Key::shard(stream, parent).into_item()))
            .update_expression("ADD #children :children")
            .condition_expression("attribute_exists(#pk)")
            .expression_attribute_names("#pk", PARTITION)
            .expression_attribute_names("#children", CHILDREN)
            .expression_attribute_values(":children", AttributeValue::Ss(children.iter().map(ShardId::to_string).collect()));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if refused(&error).is_some() => Ok(()),
            Err(error) => Err(self.failed("UpdateItem", error)),
        }
    }
}

#[cfg(test)]
mod tests;
