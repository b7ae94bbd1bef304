//! The worker item: one process's sign of life, and what it knows about the shards it reads.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use super::attribute::{Item, Malformed, number, number_value, parsed, text_value};
use super::key::{self, Key};
use crate::client::Streams;
use crate::error::Error;
use crate::id::{ShardId, StreamId, WorkerId};

/// How long a dead worker's item stays, for people to look at.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Most shards one worker reports: a bound on its item's size (400 KB). What it does not report keeps the stream's
/// watermark where it is.
const SEEN_MAX: usize = 2000;

const BEAT: &str = "beat";
const STATUS: &str = "status";
const SEEN: &str = "seen";
const STREAMS: &str = "streams";
const CHANGES: &str = "changes";

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

/// The watermarks of the shards a worker reads, by [`seen_key`].
pub(crate) type Seen = BTreeMap<String, Timestamp>;

/// A shard's full name. Ids of shards are unique within a stream only.
pub(crate) fn seen_key(stream: &StreamId, shard: &ShardId) -> String {
    format!("{stream}/{shard}")
}

fn streams_of(item: &Item) -> Result<BTreeSet<StreamId>, Malformed> {
    let stream = |value: &AttributeValue| value.as_s().ok()?.parse().ok();
    let streams = item.get(STREAMS).and_then(|value| value.as_l().ok());
    streams.and_then(|streams| streams.iter().map(stream).collect()).ok_or_else(|| Malformed::new(item, STREAMS))
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
    pub(crate) seen: Seen,
}

impl WorkerItem {
    fn of_item(item: &Item) -> Result<Self, Malformed> {
        let malformed = || Malformed::new(item, SEEN);
        let seen = match item.get(SEEN) {
            None => HashMap::new(),
            Some(value) => value.as_m().map_err(|_| malformed())?.clone(),
        };
        let watermark = |(shard, value): (String, AttributeValue)| {
            let ms = value.as_n().ok()?.parse().ok()?;
            Some((shard, Timestamp::from_millisecond(ms).ok()?))
        };
        Ok(Self {
            id: parsed(item, key::SORT)?,
            beat: number(item, BEAT)?,
            status: parsed(item, STATUS)?,
            streams: streams_of(item)?,
            changes: number(item, CHANGES)?,
            seen: seen.into_iter().map(|entry| watermark(entry).ok_or_else(malformed)).collect::<Result<_, _>>()?,
        })
    }
}

const EXPRESSION: &str = "SET #status = :status, #streams = :streams, #changes = :changes, #seen = :seen, \
    #expires_at = :expires_at ADD #beat :one";

impl Streams {
    /// Shows that a worker lives, with what it has to say.
    pub(crate) async fn beat(&self, worker: &WorkerItem, now: Timestamp) -> Result<(), Error> {
        let WorkerItem { id, beat: _, status, streams, changes, seen } = worker;
        let seen = seen.iter().take(SEEN_MAX).map(|(shard, at)| (shard.clone(), number_value(at.as_millisecond()))).collect();
        let request = self
            .dynamodb
            .update_item()
            .table_name(&*self.control_table)
            .set_key(Some(Key::worker(id).into_item()))
            .update_expression(EXPRESSION)
            .expression_attribute_names("#status", STATUS)
            .expression_attribute_names("#seen", SEEN)
            .expression_attribute_names("#streams", STREAMS)
            .expression_attribute_names("#changes", CHANGES)
            .expression_attribute_names("#expires_at", key::EXPIRES_AT)
            .expression_attribute_names("#beat", BEAT)
            .expression_attribute_values(":status", text_value(status.as_str()))
            .expression_attribute_values(":seen", AttributeValue::M(seen))
            .expression_attribute_values(":streams", AttributeValue::L(streams.iter().map(text_value).collect()))
            .expression_attribute_values(":changes", number_value(*changes))
            .expression_attribute_values(":expires_at", number_value((now + KEPT).as_second()))
            .expression_attribute_values(":one", number_value(1));
        request.send().await.map_err(|error| self.failed("UpdateItem", error))?;
        Ok(())
    }

    pub(crate) async fn workers(&self) -> Result<Vec<WorkerItem>, Error> {
        let items = self.query(key::WORKERS.to_owned()).await?;
        items.iter().map(|item| WorkerItem::of_item(item).map_err(Error::from)).collect()
    }

    pub(crate) async fn forget_worker(&self, id: &WorkerId) -> Result<(), Error> {
        let request = self.dynamodb.delete_item().table_name(&*self.control_table).set_key(Some(Key::worker(id).into_item()));
        request.send().await.map_err(|error| self.failed("DeleteItem", error))?;
        Ok(())
    }
}
