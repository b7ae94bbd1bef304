//! Publishing how far each stream is included: the least of its shards' watermarks, once a second while it moves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Worker;
use crate::control::worker::seen_key;
use crate::error::Error;
use crate::id::ShardId;
use crate::watermark;

const INTERVAL: Duration = Duration::from_secs(1);

/// What is published of one stream.
#[derive(Debug)]
pub(super) struct Publication {
    watermark: Option<Timestamp>,
    due: Instant,
    /// The last watermarks of shards this worker has finished: they bound the stream until their children are stored.
    ended: BTreeMap<ShardId, Option<Timestamp>>,
}

impl Publication {
    pub(super) fn new(watermark: Option<Timestamp>, mono: Instant) -> Self {
        Self { watermark, due: mono, ended: BTreeMap::new() }
    }

    pub(super) fn ended(&mut self, shard: ShardId, last: Option<Timestamp>) {
        self.ended.insert(shard, last);
    }
}

impl Worker {
    pub(super) async fn publish(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        for source in &mut self.sources {
            let publication = &mut source.publication;
            if mono < publication.due {
                continue;
            }
            let stream = source.graph.stream();
            let bounding: BTreeSet<&ShardId> = source.graph.bounding().collect();
            publication.ended.retain(|shard, _| bounding.contains(shard));
            if self.membership.is_draining() || self.membership.rank(stream, mono) > 0 {
                publication.due = mono + INTERVAL;
                continue;
            }
            let of_shard = |shard: &ShardId| {
                let own = self.held.get(&(stream.clone(), shard.clone())).copied().flatten();
                let ended = publication.ended.get(shard).copied().flatten();
                own.or(ended).or_else(|| self.membership.seen_by_others(&seen_key(stream, shard), mono))
            };
            let watermark = watermark::of_stream(bounding.into_iter().map(of_shard), publication.watermark);
            if let Some(watermark) = watermark.filter(|watermark| Some(*watermark) > publication.watermark) {
                self.streams.publish_watermark(stream, watermark, now).await?;
                publication.watermark = Some(watermark);
                publication.due = mono + INTERVAL;
            }
        }
        Ok(())
    }
}
