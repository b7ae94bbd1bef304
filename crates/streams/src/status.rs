//! The read side: how far streams are included, and what there is to know about their shards. For an API and a command.

use std::collections::BTreeSet;

use futures::future::{try_join, try_join_all, try_join3};
use jiff::{SignedDuration, Timestamp};

use crate::client::Streams;
use crate::control::gap::GapItem;
use crate::control::shard::ShardItem;
use crate::control::stream::StreamItem;
use crate::control::watermark::WatermarkItem;
use crate::control::{GapReason, ShardState};
use crate::error::Error;
use crate::graph::{Gate, ShardGraph};
use crate::id::{ShardId, StreamArn, StreamId, WorkerId};
use crate::position::Position;

/// Streams of one table that are looked at, newest first. A table has a second one only after its stream was switched off and on.
const STREAMS_MAX: usize = 4;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamWatermark {
    /// Every change up to here is included. None before anything was read.
    pub watermark: Option<Timestamp>,
    /// When the watermark last moved.
    pub published_at: Option<Timestamp>,
    /// How late the stream shows changes: the watermark of an idle stream lags by as much. None before anything was published.
    pub delay: Option<SignedDuration>,
    /// How far the clock of the worker that is most wrong is ahead of DynamoDB's; negative: behind. No watermark depends on it.
    pub skew: SignedDuration,
    /// No gap was recorded.
    pub exact: bool,
    /// The stream was read from its table's first change on.
    pub history_complete: bool,
}

/// Everything about one stream, or about all streams of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStatus {
    pub watermark: StreamWatermark,
    pub shards: Vec<ShardStatus>,
    pub counts: ShardCounts,
    pub gaps: Vec<Gap>,
}

/// How many shards are in which state. Of a stream's readers only those know who is alive; elsewhere, a shard counts as held
/// for as long as its lease names somebody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardCounts {
    /// Read by a worker.
    pub held: usize,
    /// Nobody reads it, though somebody could.
    pub free: usize,
    /// Not to be read before another is read to its end.
    pub waiting: usize,
    /// Closed, and everything in it is applied.
    pub done: usize,
    /// It went away before its end was applied.
    pub lost: usize,
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

    /// How far a table is included, whichever of its streams is read: to be read before what it speaks of. None when no
    /// stream of it was ever read.
    ///
    /// # Errors
    /// When the control table cannot be read.
    pub async fn table_watermark(&self, table: &str) -> Result<Option<StreamWatermark>, Error> {
        let known = self.streams_of(table).await?;
        let watermarks = try_join_all(known.iter().take(STREAMS_MAX).map(|stream| self.watermark(&stream.id))).await?;
        Ok(watermarks.into_iter().flatten().reduce(StreamWatermark::after))
    }

    /// Everything about a stream. None when it was never read.
    ///
    /// # Errors
    /// When the control table cannot be read.
    pub async fn stream_status(&self, stream: &StreamId) -> Result<Option<StreamStatus>, Error> {
        let (watermark, shards, gaps) = try_join3(self.watermark(stream), self.shards(stream), self.gaps(stream)).await?;
        let mut graph = ShardGraph::new(stream.clone());
        graph.replace(shards.clone());
        let counts = ShardCounts::of(&graph, |_| true);
        let shards = shards.into_iter().map(ShardStatus::from).collect();
        let gaps = gaps.into_iter().map(Gap::from).collect();
        Ok(watermark.map(|watermark| StreamStatus { watermark, shards, counts, gaps }))
    }

    /// Everything about a table's streams together. None when no stream of it was ever read.
    ///
    /// # Errors
    /// When the control table cannot be read.
    pub async fn table_status(&self, table: &str) -> Result<Option<StreamStatus>, Error> {
        let known = self.streams_of(table).await?;
        let statuses = try_join_all(known.iter().take(STREAMS_MAX).map(|stream| self.stream_status(&stream.id))).await?;
        Ok(statuses.into_iter().flatten().reduce(StreamStatus::after))
    }
}

impl StreamStatus {
    /// How many workers read shards.
    pub fn owners(&self) -> usize {
        let unfinished = self.shards.iter().filter(|shard| shard.state == ShardState::Active);
        unfinished.filter_map(|shard| shard.owner.as_ref()).collect::<BTreeSet<_>>().len()
    }

    /// This stream, and one that its table had before it.
    fn after(mut self, before: Self) -> Self {
        self.shards.extend(before.shards);
        self.gaps.extend(before.gaps);
        Self { watermark: self.watermark.after(before.watermark), counts: self.counts.and(before.counts), ..self }
    }
}

impl ShardCounts {
    /// Counts a stream's shards; `is_read` says whether an owner may still be reading.
    pub(crate) fn of(graph: &ShardGraph, is_read: impl Fn(&WorkerId) -> bool) -> Self {
        let mut counts = Self::default();
        for shard in graph.ids().filter_map(|shard| graph.shard(shard)) {
            let count = match shard.state {
                ShardState::Done => &mut counts.done,
                ShardState::Lost => &mut counts.lost,
                // First: a parent's owner owns its children, too, before they may be read.
                ShardState::Active if graph.gate(shard) == Gate::Closed => &mut counts.waiting,
                ShardState::Active if shard.fence.owner.as_ref().is_some_and(&is_read) => &mut counts.held,
                ShardState::Active => &mut counts.free,
            };
            *count += 1;
        }
        counts
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            held: self.held + other.held,
            free: self.free + other.free,
            waiting: self.waiting + other.waiting,
            done: self.done + other.done,
            lost: self.lost + other.lost,
        }
    }

    /// Each state's name, as it is shown, and how many shards are in it.
    pub fn by_state(self) -> [(&'static str, usize); 5] {
        let Self { held, free, waiting, done, lost } = self;
        [("held", held), ("free", free), ("waiting", waiting), ("done", done), ("lost", lost)]
    }
}

impl StreamWatermark {
    fn of(published: Option<WatermarkItem>, stored: &StreamItem) -> Self {
        Self {
            watermark: published.map(|published| published.watermark),
            published_at: published.map(|published| published.published_at),
            delay: published.and_then(|published| published.delay),
            skew: published.map(|published| published.skew).unwrap_or_default(),
            exact: stored.exact,
            history_complete: stored.history,
        }
    }

    /// This stream's, and that of one its table had before it. The older one is read to its end first, so the newer one's
    /// speaks for both as soon as there is one: it has none before that.
    fn after(self, before: Self) -> Self {
        let speaks = if self.watermark.is_some() { self } else { before };
        Self {
            watermark: speaks.watermark,
            published_at: speaks.published_at,
            delay: speaks.delay,
            skew: speaks.skew,
            exact: self.exact && before.exact,
            history_complete: self.history_complete && before.history_complete,
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
