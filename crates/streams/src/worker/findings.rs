//! What a complete listing has found that is not stored yet. It is written some at a time: a worker that has found thousands
//! of shards goes on beating meanwhile.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::client::Streams;
use crate::control::GapReason;
use crate::control::note::Note;
use crate::error::Error;
use crate::graph::{Birth, ShardGraph};
use crate::id::{ShardId, StreamId};

/// Most writes of one tick, for all streams: about a second's, and a beat is due every three.
pub(super) const WRITES_MAX: usize = 100;
/// Finished shards' items stay this long after nothing needs them: a listing can name a finished shard again, and one that
/// was stored anew would be counted twice.
const KEPT: SignedDuration = SignedDuration::from_hours(72);

/// What is still to be written, in this order: shards, parents before their children; then whose children they are, because a
/// finished shard with children noted no longer holds the stream's watermark, so all of them must be there; then notes.
#[derive(Debug)]
pub(super) struct Findings {
    writes: VecDeque<Finding>,
    /// There was something to write at all.
    pub(super) are_some: bool,
}

/// One write. Each may be made again.
#[derive(Debug)]
enum Finding {
    Shard(Birth),
    Children { of: ShardId, children: Vec<ShardId> },
    Note(ShardId, Note),
}

impl Findings {
    /// What is to be stored of these shards and notes, beside what the graph has stored.
    pub(super) fn new(graph: &ShardGraph, births: Vec<Birth>, notes: Vec<(ShardId, Note)>) -> Self {
        let links = graph.unlinked(&births).into_iter().map(|(of, children)| Finding::Children { of, children });
        let mut writes: VecDeque<Finding> = links.collect();
        births.into_iter().rev().for_each(|birth| writes.push_front(Finding::Shard(birth)));
        writes.extend(notes.into_iter().map(|(shard, note)| Finding::Note(shard, note)));
        Self { are_some: !writes.is_empty(), writes }
    }

    /// Writes the next ones, as many as are left of this tick's, and adds the gaps among them to `gaps`. Says whether that was all.
    ///
    /// # Errors
    /// The first write that failed. It is the first one to be made by the next call.
    pub(super) async fn write(
        &mut self,
        streams: &Streams,
        stream: &StreamId,
        gaps: &mut Vec<GapReason>,
        (now, left): (Timestamp, &mut usize),
    ) -> Result<bool, Error> {
        while *left > 0
            && let Some(finding) = self.writes.front()
        {
            *left -= 1;
            match finding {
                Finding::Shard(birth) => gaps.extend(streams.store_birth(stream, birth, now).await?),
                Finding::Children { of, children } => streams.link(stream, of, children).await?,
                Finding::Note(shard, note) => streams.note(stream, shard, *note, (now + KEPT).as_second()).await?,
            }
            self.writes.pop_front();
        }
        Ok(self.writes.is_empty())
    }
}

impl Streams {
    /// Stores a shard that was found, unless another worker has stored it meanwhile. Gives the gap that was recorded with it.
    async fn store_birth(&self, stream: &StreamId, birth: &Birth, now: Timestamp) -> Result<Option<GapReason>, Error> {
        let Birth { shard, gap } = birth.clone();
        tracing::info!(%stream, shard = %shard.shard, parent = shard.parent.as_ref().map(ShardId::as_str), "shard found");
        let Some(reason) = gap else {
            self.put_new(shard.into_item(stream)).await?;
            return Ok(None);
        };
        tracing::error!(%stream, shard = %shard.shard, reason = reason.as_str(), "history before it is lost: a gap is recorded");
        Ok(self.create_with_gap(stream, shard, reason, now).await?.then_some(reason))
    }
}
