//! What a worker tells of its streams: how far each is included (the least of its shards' watermarks, published once a second
//! while it moves), and to the application how its shards are and which gaps there were.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Source, Worker};
use crate::control::GapReason;
use crate::control::watermark::WatermarkItem;
use crate::error::Error;
use crate::id::{ShardId, StreamId, WorkerId};
use crate::status::ShardCounts;
use crate::watermark;

/// Or with every beat, if those are closer.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is published of one stream.
#[derive(Debug)]
pub(super) struct Publication {
    watermark: Option<Timestamp>,
    due: Instant,
    /// This worker publishes it.
    is_ours: bool,
}

impl Publication {
    pub(super) fn new(watermark: Option<Timestamp>, mono: Instant) -> Self {
        Self { watermark, due: mono, is_ours: false }
    }

    pub(super) fn is_due(&self, mono: Instant) -> bool {
        mono >= self.due
    }
}

impl Worker {
    /// The gaps that this worker has recorded since it was asked last, each with its stream; those of
    /// [`crate::Streams::record_gap`] are the application's own and not among them.
    pub fn take_gaps(&mut self) -> Vec<(StreamId, GapReason)> {
        let gaps_of = |source: &mut Source| {
            let stream = source.graph.stream().clone();
            std::mem::take(&mut source.gaps).into_iter().map(move |reason| (stream.clone(), reason))
        };
        self.sources.iter_mut().flat_map(gaps_of).collect()
    }

    /// How many shards are in which state, of each stream that this worker lists; another worker knows about the rest.
    /// As of the last look at what is stored, which is a second old at most when something has changed.
    pub fn shard_counts(&self, mono: Instant) -> Vec<(StreamId, ShardCounts)> {
        let is_lister = |source: &&Source| self.is_first(source.graph.stream(), mono);
        let is_read = |owner: &WorkerId| *owner == self.membership.id || !self.membership.is_dead(owner, mono);
        let counts = |source: &Source| (source.graph.stream().clone(), ShardCounts::of(&source.graph, is_read));
        self.sources.iter().filter(is_lister).map(counts).collect()
    }

    pub(super) async fn publish(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        for source in &mut self.sources {
            let publication = &mut source.publication;
            // What holds shards that are not stored yet is not known to be included.
            if !publication.is_due(mono) || !source.listing.was_made() {
                continue;
            }
            let stream = source.graph.stream();
            let interval = INTERVAL.min(self.membership.interval());
            let was_ours = std::mem::replace(&mut publication.is_ours, self.membership.publishes(stream, mono));
            if !publication.is_ours {
                publication.due = mono + interval;
                continue;
            }
            if !was_ours {
                // What the one before knew of its own shards is in their items.
                self.looks.force();
            }
            let of_shard = |shard: &ShardId| {
                let own = self.held.get(&(stream.clone(), shard.clone())).copied().flatten();
                let seen = self.seen.by_others(stream, shard);
                // Each of them stays true, so the latest is.
                let known = own.max(seen).max(source.graph.included_up_to(shard))?;
                // A shard whose children are there gets no more records, however idle it looks: theirs are yet to be read.
                Some(source.graph.children_born(shard).map_or(known, |born| known.min(born)))
            };
            let watermark = watermark::of_stream(source.graph.bounding().map(of_shard), publication.watermark);
            // Whatever a worker of another version says: nothing is included before it happens.
            let watermark = watermark.map(|watermark| watermark.min(now));
            if let Some(watermark) = watermark.filter(|watermark| Some(*watermark) > publication.watermark) {
                // Before the write: one that fails is not made again with every tick.
                publication.due = mono + interval;
                let (delay, learnt) = (Some(source.delay.value()), source.delay.known());
                let skew = self.membership.largest_skew(mono);
                let item = WatermarkItem { watermark, published_at: now, delay, learnt, skew };
                self.streams.publish_watermark(stream, item).await?;
                publication.watermark = Some(watermark);
            }
        }
        Ok(())
    }

    /// Whether this worker lists a stream and speaks for it.
    pub(super) fn is_first(&self, stream: &StreamId, mono: Instant) -> bool {
        !self.membership.is_draining() && self.membership.rank(stream, mono) == 0
    }
}
