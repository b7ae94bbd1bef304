//! The worker item: one process's sign of life.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use super::attribute::{Item, Malformed, number, number_value, parsed, span_ms, text_value};
use super::key::{self, Key};
use super::seen::{self, Seen};
use crate::client::Streams;
use crate::error::Error;
use crate::id::{StreamId, WorkerId};

/// How long a dead worker's item stays where no other worker lives to delete it.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

const BEAT: &str = "beat";
const STATUS: &str = "status";
const SEEN: &str = "seen";
const STREAMS: &str = "streams";
const CHANGES: &str = "changes";
const DELAYS: &str = "delays";
const SKEW_MS: &str = "skew_ms";

/// Whether a worker takes shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerStatus {
    Active,
    Draining,
}

impl WorkerStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
        }
    }
}

impl std::str::FromStr for WorkerStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Active, Self::Draining].into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

fn streams_of(item: &Item) -> Result<BTreeSet<StreamId>, Malformed> {
    let stream = |value: &AttributeValue| value.as_s().ok()?.parse().ok();
    let streams = item.get(STREAMS).and_then(|value| value.as_l().ok());
    streams.and_then(|streams| streams.iter().map(stream).collect()).ok_or_else(|| Malformed::new(item, STREAMS))
}

/// `<stream>` → milliseconds.
fn delays_of(item: &Item) -> Result<BTreeMap<StreamId, SignedDuration>, Malformed> {
    let malformed = || Malformed::new(item, DELAYS);
    let Some(value) = item.get(DELAYS) else { return Ok(BTreeMap::new()) };
    let delay = |(stream, ms): (&String, &AttributeValue)| {
        Some((stream.parse().ok()?, SignedDuration::from_millis(ms.as_n().ok()?.parse().ok()?)))
    };
    value.as_m().map_err(|_| malformed())?.iter().map(|entry| delay(entry).ok_or_else(malformed)).collect()
}

/// `<stream>/<shard>` → watermark.
fn seen_of(item: &Item) -> Result<Seen, Malformed> {
    let malformed = || Malformed::new(item, SEEN);
    let Some(value) = item.get(SEEN) else { return Ok(Seen::new()) };
    let entry = |(name, at): (&String, &AttributeValue)| {
        let (stream, shard) = name.rsplit_once('/')?;
        Some(((stream.parse().ok()?, shard.parse().ok()?), seen::instant(at)?))
    };
    value.as_m().map_err(|_| malformed())?.iter().map(|shard| entry(shard).ok_or_else(malformed)).collect()
}

/// One worker, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerItem {
    pub(crate) id: WorkerId,
    /// Written by the beat itself, as one more than before.
    pub(crate) beat: u64,
    pub(crate) status: WorkerStatus,
    /// The streams it reads. While versions are rolled out, not all workers read the same.
    pub(crate) streams: BTreeSet<StreamId>,
    /// How often it has changed which shards there are and who holds them: others read the shards again when this moves.
    pub(crate) changes: u64,
    /// How late the streams show changes, as far as this worker has learnt it.
    pub(crate) delays: BTreeMap<StreamId, SignedDuration>,
    /// How far its clock is ahead of DynamoDB's; negative: behind.
    pub(crate) skew: SignedDuration,
    /// What a worker of an older version has seen of its shards. This one tells it in [`seen`]'s items, which that one does not
    /// know: while it publishes a watermark, shards of newer workers hold it where it is.
    pub(crate) seen: Seen,
}

impl WorkerItem {
    fn of_item(item: &Item) -> Result<Self, Malformed> {
        Ok(Self {
            id: parsed(item, key::SORT)?,
            beat: number(item, BEAT)?,
            status: parsed(item, STATUS)?,
            streams: streams_of(item)?,
            changes: number(item, CHANGES)?,
            delays: delays_of(item)?,
            skew: span_ms(item, SKEW_MS)?.unwrap_or_default(),
            seen: seen_of(item)?,
        })
    }
}

const EXPRESSION: &str = "SET #status = :status, #streams = :streams, #changes = :changes, #delays = :delays, \
    #skew_ms = :skew, #expires_at = :expires_at ADD #beat :one";

impl Streams {
    /// Shows that a worker lives.
    pub(crate) async fn beat(&self, worker: &WorkerItem, now: Timestamp) -> Result<(), Error> {
        let WorkerItem { id, beat: _, status, streams, changes, delays, skew, seen: _ } = worker;
        let delays = delays.iter().map(|(stream, delay)| (stream.to_string(), number_value(delay.as_millis()))).collect();
        let request = self
            .dynamodb
            .update_item()
            .table_name(&*self.control_table)
            .set_key(Some(Key::worker(id).into_item()))
            .update_expression(EXPRESSION)
            .expression_attribute_names("#status", STATUS)
            .expression_attribute_names("#streams", STREAMS)
            .expression_attribute_names("#changes", CHANGES)
            .expression_attribute_names("#delays", DELAYS)
            .expression_attribute_names("#skew_ms", SKEW_MS)
            .expression_attribute_names("#expires_at", key::EXPIRES_AT)
            .expression_attribute_names("#beat", BEAT)
            .expression_attribute_values(":status", text_value(status.as_str()))
            .expression_attribute_values(":streams", AttributeValue::L(streams.iter().map(text_value).collect()))
            .expression_attribute_values(":changes", number_value(*changes))
            .expression_attribute_values(":delays", AttributeValue::M(delays))
            .expression_attribute_values(":skew", number_value(skew.as_millis()))
            .expression_attribute_values(":expires_at", number_value((now + KEPT).as_second()))
            .expression_attribute_values(":one", number_value(1));
        request.send().await.map_err(|error| self.failed("UpdateItem", error))?;
        Ok(())
    }

    pub(crate) async fn workers(&self) -> Result<Vec<WorkerItem>, Error> {
        let items = self.query(key::WORKERS.to_owned()).await?;
        items.iter().map(|item| WorkerItem::of_item(item).map_err(Error::from)).collect()
    }

    /// Deletes the item of a worker that was found dead, unless it has beaten since; one that does so later stores it anew. Says
    /// whether it was deleted.
    pub(crate) async fn forget_dead(&self, worker: &WorkerItem) -> Result<bool, Error> {
        let request = self
            .dynamodb
            .delete_item()
            .table_name(&*self.control_table)
            .set_key(Some(Key::worker(&worker.id).into_item()))
            .condition_expression("#beat = :beat")
            .expression_attribute_names("#beat", BEAT)
            .expression_attribute_values(":beat", number_value(worker.beat));
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(self.failed("DeleteItem", error)),
        }
    }

    pub(crate) async fn forget_worker(&self, id: &WorkerId) -> Result<(), Error> {
        let request = self.dynamodb.delete_item().table_name(&*self.control_table).set_key(Some(Key::worker(id).into_item()));
        request.send().await.map_err(|error| self.failed("DeleteItem", error))?;
        Ok(())
    }
}
