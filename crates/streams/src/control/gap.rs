//! The gap item: history that was skipped, where, and why. A gap and the step over it are one transaction, so that
//! no history is skipped silently.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use jiff::Timestamp;

use super::attribute::{Item, Malformed, number_value, parsed, text_value};
use super::key::{self, Key};
use super::shard::{EPOCH, Fence, GAP, OWNER, POSITION, STATE, ShardItem, ShardState};
use super::stream::EXACT;
use crate::advance::{Advance, Verdict};
use crate::client::Streams;
use crate::error::Error;
use crate::id::{ShardId, StreamId};
use crate::lease::{HeldShard, Lease};
use crate::position::Position;

const DETECTED_AT: &str = "detected_at";
const REASON: &str = "reason";

/// Why history was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// Records were trimmed (after 24 hours) before they were read.
    Trimmed,
    /// A shard appeared whose parent is neither stored nor listed: what the parent held is unknown.
    Lineage,
    /// The stream no longer knows a shard that was not read to its end.
    Vanished,
    /// A shard was read for the first time when its first records may have been trimmed already.
    Aged,
    /// The table has another stream than before: what was changed while it had none is unknown.
    Replaced,
    /// The target table stores the effects of a record in no form: the record was skipped.
    Uncommittable,
}

impl GapReason {
    const ALL: [Self; 6] = [Self::Trimmed, Self::Lineage, Self::Vanished, Self::Aged, Self::Replaced, Self::Uncommittable];

    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Lineage => "lineage",
            Self::Vanished => "vanished",
            Self::Aged => "aged",
            Self::Replaced => "replaced",
            Self::Uncommittable => "uncommittable",
        }
    }
}

impl std::str::FromStr for GapReason {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(())
    }
}

/// One gap, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GapItem {
    pub(crate) shard: ShardId,
    /// Where the shard stood: what comes right after is unknown.
    pub(crate) position: Position,
    pub(crate) reason: GapReason,
    pub(crate) detected_at: Timestamp,
}

impl GapItem {
    fn of_item(item: &Item) -> Result<Self, Malformed> {
        let malformed = || Malformed::new(item, key::SORT);
        let sort: String = parsed(item, key::SORT)?;
        let (shard, position) = sort.split_once('#').ok_or_else(malformed)?;
        Ok(Self {
            shard: shard.parse().map_err(|_| malformed())?,
            position: position.parse().map_err(|_| malformed())?,
            reason: parsed(item, REASON)?,
            detected_at: parsed(item, DETECTED_AT)?,
        })
    }

    fn into_item(self, stream: &StreamId) -> Item {
        let mut item = Key::gap(stream, &self.shard, &self.position).into_item();
        item.insert(DETECTED_AT.to_owned(), text_value(self.detected_at));
        item.insert(REASON.to_owned(), text_value(self.reason.as_str()));
        item
    }
}

impl Streams {
    pub(crate) async fn gaps(&self, stream: &StreamId) -> Result<Vec<GapItem>, Error> {
        let items = self.query(key::gaps_partition(stream)).await?;
        items.iter().map(|item| GapItem::of_item(item).map_err(Error::from)).collect()
    }

    /// Records that history after the held position is gone, and goes on at the oldest record there is. A position behind a record stays:
    /// records up to it, should they be there after all, are not read again. The epoch rises: whatever was sent under the old lease is
    /// refused.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when the shard is no longer held at this position. After a retryable error the gap may have
    /// been recorded; calling again settles it.
    pub async fn record_gap(&self, held: &HeldShard, reason: GapReason, now: Timestamp) -> Result<HeldShard, Error> {
        let to = match &held.position {
            position @ Position::After(_) => position.clone(),
            _ => Position::TrimHorizon,
        };
        self.step_over(held, to, reason, now).await
    }

    /// Makes a step without the effects of its records, and records them as a gap.
    ///
    /// # Errors
    /// When the transaction fails. It may have been made all the same: a later call finds the position at the step's end.
    pub async fn skip(&self, advance: &Advance, now: Timestamp) -> Result<Verdict, Error> {
        let held = advance.held();
        let reason = GapReason::Uncommittable;
        let gap = GapItem { shard: held.shard.clone(), position: held.position.clone(), reason, detected_at: now };
        match self.transact(TransactWriteItem::builder().update(advance.update()).build(), gap, &held.stream).await {
            Ok(()) => Ok(Verdict::Committed),
            Err(error) => match refusal(&error) {
                Some(stored) => Ok(advance.judge(stored)),
                None => Err(self.failed_transaction(error)),
            },
        }
    }

    /// Records that the whole rest of a shard is gone: it counts as finished, and its children may start.
    pub(crate) async fn record_loss(&self, held: &HeldShard, now: Timestamp) -> Result<HeldShard, Error> {
        self.step_over(held, Position::ShardEnd, GapReason::Vanished, now).await
    }

    async fn step_over(&self, held: &HeldShard, to: Position, reason: GapReason, now: Timestamp) -> Result<HeldShard, Error> {
        let gap = GapItem { shard: held.shard.clone(), position: held.position.clone(), reason, detected_at: now };
        let step = self.step_over_gap(held, &to);
        let lease = Lease { epoch: held.lease.epoch + 1, ..held.lease.clone() };
        let is_trimmed = matches!(to, Position::After(_));
        let stepped = HeldShard { lease, whole_until: None, is_trimmed, ..held.moved(to) };
        let step = TransactWriteItem::builder().update(step).build();
        match self.transact(step, gap, &held.stream).await {
            Ok(()) => Ok(stepped),
            Err(error) => match refusal(&error) {
                // A lost acknowledgement: the gap was recorded by an attempt whose answer never came.
                Some(Some(stored)) if is_at(stored, &stepped) => Ok(stepped),
                Some(_) => Err(Error::LeaseLost { shard: held.shard.clone() }),
                None => Err(self.failed_transaction(error)),
            },
        }
    }

    /// Stores a shard that begins with a gap, together with that gap. Nothing happens if it is stored already; says whether
    /// it was not.
    pub(crate) async fn create_with_gap(
        &self,
        stream: &StreamId,
        shard: ShardItem,
        reason: GapReason,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let gap = GapItem { shard: shard.shard.clone(), position: shard.fence.position.clone(), reason, detected_at: now };
        let put = Put::builder()
            .table_name(&*self.control_table)
            .set_item(Some(shard.into_item(stream)))
            .condition_expression("attribute_not_exists(#pk)")
            .expression_attribute_names("#pk", key::PARTITION)
            .build()
            .expect("table and item are set");
        match self.transact(TransactWriteItem::builder().put(put).build(), gap, stream).await {
            Ok(()) => Ok(true),
            Err(error) if refusal(&error).is_some() => Ok(false),
            Err(error) => Err(self.failed_transaction(error)),
        }
    }

    fn step_over_gap(&self, held: &HeldShard, to: &Position) -> Update {
        let state = if *to == Position::ShardEnd { ShardState::Lost } else { ShardState::Active };
        Update::builder()
            .table_name(&*self.control_table)
            .set_key(Some(Key::shard(&held.stream, &held.shard).into_item()))
            .update_expression("SET #pos = :to, #epoch = :next, #gap = :true, #state = :state")
            .condition_expression("#owner = :me AND #epoch = :epoch AND #pos = :from")
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#epoch", EPOCH)
            .expression_attribute_names("#pos", POSITION)
            .expression_attribute_names("#gap", GAP)
            .expression_attribute_names("#state", STATE)
            .expression_attribute_values(":me", text_value(&held.lease.owner))
            .expression_attribute_values(":epoch", number_value(held.lease.epoch))
            .expression_attribute_values(":next", number_value(held.lease.epoch + 1))
            .expression_attribute_values(":from", text_value(&held.position))
            .expression_attribute_values(":to", text_value(to))
            .expression_attribute_values(":state", text_value(state.as_str()))
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table, key and expression are set")
    }

    /// One transaction: the shard's write (first), the gap, and the stream's loss of exactness.
    async fn transact(
        &self,
        shard: TransactWriteItem,
        gap: GapItem,
        stream: &StreamId,
    ) -> Result<(), SdkError<TransactWriteItemsError>> {
        let gap = Put::builder().table_name(&*self.control_table).set_item(Some(gap.into_item(stream))).build();
        let inexact = Update::builder()
            .table_name(&*self.control_table)
            .set_key(Some(Key::stream(stream).into_item()))
            .update_expression("SET #exact = :false")
            .expression_attribute_names("#exact", EXACT)
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .build();
        let request = self
            .dynamodb
            .transact_write_items()
            .transact_items(shard)
            .transact_items(TransactWriteItem::builder().put(gap.expect("table and item are set")).build())
            .transact_items(TransactWriteItem::builder().update(inexact.expect("table, key and expression are set")).build());
        request.send().await.map(|_| ())
    }

    /// The SDK does not retry a cancelled transaction, whatever cancelled it.
    fn failed_transaction(&self, error: SdkError<TransactWriteItemsError>) -> Error {
        const OPERATION: &str = "TransactWriteItems";
        let codes: Vec<&str> = reasons(&error).iter().filter_map(CancellationReason::code).collect();
        if codes.contains(&"TransactionConflict") {
            Error::Conflict { operation: OPERATION, source: error.into() }
        } else if codes.iter().any(|code| matches!(*code, "ThrottlingError" | "ProvisionedThroughputExceeded")) {
            Error::Throttled { operation: OPERATION, source: error.into() }
        } else {
            self.failed(OPERATION, error)
        }
    }
}

fn reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled.cancellation_reasons(),
        _ => &[],
    }
}

/// Whether the shard's condition refused the transaction, and the shard's item as stored, if there is one.
fn refusal<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<Option<&Item>> {
    let reason = reasons(error).first()?;
    (reason.code() == Some("ConditionalCheckFailed")).then(|| CancellationReason::item(reason))
}

fn is_at(stored: &Item, held: &HeldShard) -> bool {
    Fence::of_item(stored).is_ok_and(|stored| {
        stored.epoch == held.lease.epoch && stored.owner.as_ref() == Some(&held.lease.owner) && stored.position == held.position
    })
}
