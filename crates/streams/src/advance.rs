//! The commit's half that this crate owns: moving a shard's position, together with whatever the application writes
//! in the same transaction, or alone.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure, Update};
use jiff::Timestamp;

use crate::client::Streams;
use crate::control::attribute::{number_value, text_value};
use crate::control::key::Key;
use crate::control::shard::{DEFS, EPOCH, Fence, OWNER, POSITION, POSITION_MS, STATE, ShardState, WATERMARK_MS};
use crate::error::Error;
use crate::id::ShardId;
use crate::lease::HeldShard;
use crate::position::Position;

const CONDITION: &str = "#owner = :me AND #epoch = :epoch AND #pos = :from AND #defs <= :defs";

/// One step of a shard's position, under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    from: HeldShard,
    to: Position,
    defs: u64,
    /// When the record at `to` was created.
    record_at: Option<Timestamp>,
    /// Up to when the shard is included with this step.
    watermark: Option<Timestamp>,
}

/// What the stored shard says about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The position stands at the step's end: the step was made, and with it everything in its transaction.
    Committed,
    /// The position stands at the step's beginning: nothing of it was applied. It may be sent again.
    NotCommitted,
    /// Another worker may commit now, or the position was moved on purpose: drop the shard and everything read from it.
    LeaseLost,
    /// A worker with newer definitions (this version) has committed: load them and compute the step anew.
    DefinitionsBehind(u64),
    /// The position is another one, under the same lease: drop what was read and read again after it.
    Moved(Position),
}

impl Advance {
    pub(crate) fn new(from: HeldShard, to: Position, defs: u64) -> Self {
        debug_assert_ne!(from.position, to, "a step moves the position");
        let watermark = from.watermark;
        Self { from, to, defs, record_at: None, watermark }
    }

    /// The same step, which stores when its last record was created, and up to when the shard is included with it: that, or `watermark`, if
    /// it is later.
    #[must_use]
    pub fn with_times(self, record_at: Option<Timestamp>, watermark: Option<Timestamp>) -> Self {
        Self { record_at, watermark: self.watermark.max(record_at).max(watermark), ..self }
    }

    /// The shard whose position moves.
    pub fn shard(&self) -> &ShardId {
        &self.from.shard
    }

    /// The shard as it is held before the step.
    pub(crate) fn held(&self) -> &HeldShard {
        &self.from
    }

    pub fn from(&self) -> &Position {
        &self.from.position
    }

    pub fn to(&self) -> &Position {
        &self.to
    }

    pub fn defs(&self) -> u64 {
        self.defs
    }

    pub(crate) fn watermark(&self) -> Option<Timestamp> {
        self.watermark
    }

    /// The times to store, each by its alias and its attribute.
    fn times(&self) -> impl Iterator<Item = (&'static str, &'static str, Timestamp)> {
        let times = [("pos_ms", POSITION_MS, self.record_at), ("watermark_ms", WATERMARK_MS, self.watermark)];
        times.into_iter().filter_map(|(alias, attribute, at)| Some((alias, attribute, at?)))
    }

    /// The write of the shard's item, to be one item of a transaction. When its condition fails, the answer carries the
    /// stored item; give that to [`judge`](Self::judge).
    pub fn update(&self) -> Update {
        Update::builder()
            .table_name(&*self.from.control_table)
            .set_key(Some(Key::shard(&self.from.stream, &self.from.shard).into_item()))
            .update_expression(self.expression())
            .condition_expression(CONDITION)
            .set_expression_attribute_names(Some(self.names()))
            .set_expression_attribute_values(Some(self.values()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table, key and expression are set")
    }

    /// Judges a step whose condition failed, or whose answer never came, by the shard's item as stored.
    pub fn judge(&self, stored: Option<&HashMap<String, AttributeValue>>) -> Verdict {
        // An item that is gone or unreadable allows no conclusion, so nothing may be committed by it.
        let Some(stored) = stored.and_then(|item| Fence::of_item(item).ok()) else { return Verdict::LeaseLost };
        let lease = &self.from.lease;
        if stored.epoch != lease.epoch || stored.owner.as_ref() != Some(&lease.owner) {
            Verdict::LeaseLost
        } else if stored.position == self.to {
            Verdict::Committed
        } else if stored.defs > self.defs {
            Verdict::DefinitionsBehind(stored.defs)
        } else if stored.position == self.from.position {
            Verdict::NotCommitted
        } else {
            Verdict::Moved(stored.position)
        }
    }

    fn ends_shard(&self) -> bool {
        self.to == Position::ShardEnd
    }

    fn expression(&self) -> String {
        let state = if self.ends_shard() { ", #state = :done" } else { "" };
        let times: String = self.times().map(|(alias, _, _)| format!(", #{alias} = :{alias}")).collect();
        format!("SET #pos = :to, #defs = :defs{state}{times}")
    }

    fn names(&self) -> HashMap<String, String> {
        let mut names = vec![("owner", OWNER), ("epoch", EPOCH), ("pos", POSITION), ("defs", DEFS)];
        names.extend(self.ends_shard().then_some(("state", STATE)));
        names.extend(self.times().map(|(alias, attribute, _)| (alias, attribute)));
        names.into_iter().map(|(alias, name)| (format!("#{alias}"), name.to_owned())).collect()
    }

    fn values(&self) -> HashMap<String, AttributeValue> {
        let mut values = vec![
            ("me", text_value(&self.from.lease.owner)),
            ("epoch", number_value(self.from.lease.epoch)),
            ("from", text_value(&self.from.position)),
            ("to", text_value(&self.to)),
            ("defs", number_value(self.defs)),
        ];
        values.extend(self.ends_shard().then(|| ("done", text_value(ShardState::Done.as_str()))));
        values.extend(self.times().map(|(alias, _, at)| (alias, number_value(at.as_millisecond()))));
        values.into_iter().map(|(alias, value)| (format!(":{alias}"), value)).collect()
    }
}

impl Streams {
    /// Makes a step alone, when there is nothing else to write.
    ///
    /// # Errors
    /// After a retryable error the step may have been made: ask [`reread`](Self::reread).
    pub async fn advance(&self, advance: &Advance) -> Result<Verdict, Error> {
        let request = self
            .dynamodb
            .update_item()
            .table_name(&*advance.from.control_table)
            .set_key(Some(Key::shard(&advance.from.stream, &advance.from.shard).into_item()))
            .update_expression(advance.expression())
            .condition_expression(CONDITION)
            .set_expression_attribute_names(Some(advance.names()))
            .set_expression_attribute_values(Some(advance.values()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.send().await {
            Ok(_) => Ok(Verdict::Committed),
            Err(error) => match refused(&error) {
                Some(stored) => Ok(advance.judge(stored)),
                None => Err(self.failed("UpdateItem", error)),
            },
        }
    }

    /// Reads the shard's item back and judges a step whose answer never came.
    ///
    /// # Errors
    /// When the item cannot be read; the step stays undecided.
    pub async fn reread(&self, advance: &Advance) -> Result<Verdict, Error> {
        let stored = self.get(Key::shard(&advance.from.stream, &advance.from.shard)).await?;
        Ok(advance.judge(stored.as_ref()))
    }
}

/// Whether an update's condition failed, and the item as stored, if there is one.
pub(crate) fn refused<R>(error: &SdkError<UpdateItemError, R>) -> Option<Option<&HashMap<String, AttributeValue>>> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(failure)) => Some(failure.item()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
