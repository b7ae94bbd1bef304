//! What workers know of shards that others read. The first of a stream's readers publishes its watermark, for which it asks the others
//! how far theirs are included; each of them tells it.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Worker;
use crate::control::seen::{Seen, merge};
use crate::error::Error;
use crate::id::{ShardId, StreamId};

/// A worker asks the others this often, if it publishes at all…
const ASKS: Duration = Duration::from_secs(1);
/// …and tells what it has seen this often at most, or with every beat if those are closer.
const TELLS: Duration = Duration::from_secs(3);

/// What was told, and by the others.
#[derive(Debug)]
pub(super) struct Exchange {
    told: Seen,
    tell_due: Instant,
    of_others: Seen,
    ask_due: Instant,
}

impl Exchange {
    pub(super) fn new(mono: Instant) -> Self {
        Self { told: Seen::new(), tell_due: mono, of_others: Seen::new(), ask_due: mono }
    }

    /// How far a shard is included, by the last word of those live workers that are not this one.
    pub(super) fn by_others(&self, stream: &StreamId, shard: &ShardId) -> Option<Timestamp> {
        self.of_others.get(&(stream.clone(), shard.clone())).copied()
    }
}

impl Worker {
    /// Asks the others, and tells them, if it is time.
    pub(super) async fn exchange_seen(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        let told = if mono >= self.seen.tell_due { self.tell(now, mono).await } else { Ok(()) };
        let asked = if mono >= self.seen.ask_due { self.ask(mono).await } else { Ok(()) };
        told.and(asked)
    }

    /// Tells what has moved of the shards whose streams' watermarks another publishes.
    async fn tell(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        self.seen.tell_due = mono + TELLS.min(self.membership.interval());
        let mut seen = Seen::new();
        for stream in self.sources.iter().map(|source| source.graph.stream()).filter(|stream| !self.is_first(stream, mono)) {
            let held = self.held.iter().filter(|((of, _), _)| of == stream);
            seen.extend(held.filter_map(|(shard, watermark)| Some((shard.clone(), (*watermark)?))));
        }
        if seen != self.seen.told {
            self.streams.tell_seen(&self.membership.id, &seen, now).await?;
            self.seen.told = seen;
        }
        Ok(())
    }

    /// Asks the others, when this worker publishes any stream's watermark.
    async fn ask(&mut self, mono: Instant) -> Result<(), Error> {
        self.seen.ask_due = mono + ASKS;
        if !self.sources.iter().any(|source| self.is_first(source.graph.stream(), mono)) {
            return Ok(());
        }
        let told = self.membership.others(mono).map(async |worker| {
            let mut seen = worker.seen.clone();
            merge(&mut seen, self.streams.seen_by(&worker.id).await?);
            Ok::<_, Error>(seen)
        });
        let told = try_join_all(told).await?;
        self.seen.of_others = Seen::new();
        told.into_iter().for_each(|seen| merge(&mut self.seen.of_others, seen));
        Ok(())
    }
}
