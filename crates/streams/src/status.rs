//! The read side: how far streams are included, and what there is to know about their shards. For an API and a command.

use futures::future::{try_join, try_join3};
use jiff::Timestamp;

use crate::client::Streams;
use crate::control::gap::GapItem;
use crate::control::shard::ShardItem;
use crate::control::stream::StreamItem;
use crate::control::watermark::WatermarkItem;
use crate::control::{GapReason, ShardState};
use crate::error::Error;
use crate::id::{ShardId, StreamArn, StreamId, WorkerId};
use crate::position::Position;

/// A stream some worker has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownStream {
    pub id: StreamId,
    pub arn: StreamArn,
    pub table: String,
    /// When it was first read.
    pub started_at: Timestamp,
}

/// How far a stream is included, and how much of its past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamWatermark {
    /// Every change up to here is included. None before anything was read.
    pub watermark: Option<Timestamp>,
    /// When the watermark last moved.
    pub published_at: Option<Timestamp>,
    /// No gap was recorded.
    pub exact: bool,
    /// The stream was read from its table's first change on.
    pub history_complete: bool,
}

/// Everything about one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStatus {
    pub watermark: StreamWatermark,
    pub shards: Vec<ShardStatus>,
    pub gaps: Vec<Gap>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardStatus {
    pub shard: ShardId,
    pub state: ShardState,
    pub owner: Option<WorkerId>,
    pub position: Position,
}

/// History that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub shard: ShardId,
    /// Where the shard stood: what came right after is lost.
    pub position: Position,
    pub reason: GapReason,
    pub detected_at: Timestamp,
}

impl Streams {
    /// The streams of a table that were ever read, the one started last first.
    ///
    /// # Errors
    /// When the control table cannot be read.
    pub async fn streams_of(&self, table: &str) -> Result<Vec<KnownStream>, Error> {
        let mut streams = self.stored_streams().await?;
        streams.retain(|stream| stream.table == table);
        streams.sort_by_key(|stream| std::cmp::Reverse(stream.started_at));
        let known = |StreamItem { id, arn, table, started_at, .. }| KnownStream { id, arn, table, started_at };
        Ok(streams.into_iter().map(known).collect())
    }

    /// How far a stream is included: two consistent reads of one item each. To be read before what it speaks of. None
    /// when the stream was never read.
    ///
    /// # Errors
    /// When the control table cannot be read.
    pub async fn watermark(&self, stream: &StreamId) -> Result<Option<StreamWatermark>, Error> {
        let (published, stored) = try_join(self.stored_watermark(stream), self.stored_stream(stream)).await?;
        Ok(stored.map(|stored| StreamWatermark::of(published, &stored)))
    }

    /// Everything about a stream. None when it was never read.
    ///
    /// # Errors
    /// When the control table cannot be read.
    pub async fn stream_status(&self, stream: &StreamId) -> Result<Option<StreamStatus>, Error> {
        let (watermark, shards, gaps) = try_join3(self.watermark(stream), self.shards(stream), self.gaps(stream)).await?;
        let shards = shards.into_iter().map(ShardStatus::from).collect();
        let gaps = gaps.into_iter().map(Gap::from).collect();
        Ok(watermark.map(|watermark| StreamStatus { watermark, shards, gaps }))
    }
}

impl StreamWatermark {
    fn of(published: Option<WatermarkItem>, stored: &StreamItem) -> Self {
        Self {
            watermark: published.map(|published| published.watermark),
            published_at: published.map(|published| published.published_at),
            exact: stored.exact,
            history_complete: stored.history,
        }
    }
}

impl From<ShardItem> for ShardStatus {
    fn from(item: ShardItem) -> Self {
        Self { shard: item.shard, state: item.state, owner: item.fence.owner, position: item.fence.position }
    }
}

impl From<GapItem> for Gap {
    fn from(item: GapItem) -> Self {
        Self { shard: item.shard, position: item.position, reason: item.reason, detected_at: item.detected_at }
    }
}
