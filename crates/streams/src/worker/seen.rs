//! What workers know of shards that others read. The first of a stream's readers publishes its watermark, for which it asks the others
//! how far theirs are included; each of them tells it.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{Source, Worker};
use crate::assignment::ShardKey;
use crate::control::seen::{Seen, merge};
use crate::error::Error;
use crate::id::{ShardId, StreamId};

/// A worker asks the others this often, if it publishes at all, or with every beat if those are closer…
const ASKS: Duration = Duration::from_secs(1);
/// …and tells what it has seen this often at most, or with every beat if those are closer.
const TELLS: Duration = Duration::from_secs(3);

/// A shard that is behind by this or less, and was by a step more when it was last reported, is reported at once.
const NEAR: SignedDuration = SignedDuration::from_secs(8);
/// More than what a shard at its tip is further behind at one moment than at another.
const STEP: SignedDuration = SignedDuration::from_secs(2);

/// What was told, and by the others.
#[derive(Debug)]
pub(super) struct Exchange {
    told: Seen,
    told_at: Option<Timestamp>,
    tell_due: Instant,
    /// Also by those that have left: a shard that was included up to some time is so from then on.
    of_others: Seen,
    ask_due: Instant,
}

impl Exchange {
    pub(super) fn new(mono: Instant) -> Self {
        Self { told: Seen::new(), told_at: None, tell_due: mono, of_others: Seen::new(), ask_due: mono }
    }

    /// How far a shard is included, by the last word of those workers that are not this one.
    pub(super) fn by_others(&self, stream: &StreamId, shard: &ShardId) -> Option<Timestamp> {
        self.of_others.get(&(stream.clone(), shard.clone())).copied()
    }
}

impl Worker {
    /// Asks the others, and tells them, if it is time.
    pub(super) async fn exchange_seen(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        let told = self.tell(now, mono).await;
        let asked = if mono >= self.seen.ask_due { self.ask(now, mono).await } else { Ok(()) };
        told.and(asked)
    }

    /// Tells what has moved of the shards whose streams' watermarks another publishes, if it is time, or one of them has come near the
    /// present: it may be the one that holds its stream's watermark.
    async fn tell(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        let mut seen = Seen::new();
        for stream in
            self.sources.iter().map(|source| source.graph.stream()).filter(|stream| !self.membership.publishes(stream, mono))
        {
            let held = self.held.iter().filter(|((of, _), _)| of == stream);
            seen.extend(held.filter_map(|(shard, watermark)| Some((shard.clone(), (*watermark)?))));
        }
        let interval = TELLS.min(self.membership.interval());
        let lag_when_told = |shard: &ShardKey| Some(self.seen.told_at?.duration_since(*self.seen.told.get(shard)?));
        let has_come_near = |(shard, at): (&ShardKey, &Timestamp)| {
            let lag = now.duration_since(*at);
            lag <= NEAR && lag_when_told(shard).is_none_or(|told| told > lag + STEP)
        };
        if mono < self.seen.tell_due && !seen.iter().any(has_come_near) {
            return Ok(());
        }
        self.seen.tell_due = mono + interval;
        if seen != self.seen.told {
            self.streams.tell_seen(&self.membership.id, &seen, now).await?;
            (self.seen.told, self.seen.told_at) = (seen, Some(now));
        }
        Ok(())
    }

    /// Asks the others, when this worker may publish any stream's watermark now.
    async fn ask(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        let publishes =
            |source: &Source| source.publication.is_due(mono) && self.membership.publishes(source.graph.stream(), mono);
        if !self.sources.iter().any(publishes) {
            return Ok(());
        }
        self.seen.ask_due = mono + ASKS.min(self.membership.interval());
        let told = self.membership.others(mono).map(async |worker| {
            let mut seen = worker.seen.clone();
            merge(&mut seen, self.streams.seen_by(&worker.id).await?);
            // Told by a worker of an older version whose clock is ahead: it was never true.
            seen.retain(|_, at| *at <= now);
            Ok::<_, Error>(seen)
        });
        let told = try_join_all(told).await?;
        told.into_iter().for_each(|seen| merge(&mut self.seen.of_others, seen));
        let sources = &self.sources;
        let is_known = |(stream, shard): &ShardKey| {
            sources.iter().any(|source| source.graph.stream() == stream && source.graph.shard(shard).is_some())
        };
        self.seen.of_others.retain(|key, _| is_known(key));
        Ok(())
    }
}
