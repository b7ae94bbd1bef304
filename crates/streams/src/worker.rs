//! One process's membership among the workers of some streams: it shows that it lives, finds shards, acquires those
//! that are free, and publishes how far the streams are included.
//!
//! The worker holds no task and no clock: the application calls [`Worker::tick`] a few times a second, reads and commits
//! the shards it is given, and tells the worker what became of them. Everything a worker decides by time is about
//! liveness; that nothing is counted twice rests on the conditions of each write alone.

mod absence;
mod claim;
mod discovery;
mod findings;
mod look;
mod membership;
mod publish;
mod register;
mod retry;
mod seen;
mod succession;
#[cfg(test)]
mod tests;
mod vanished;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use self::discovery::Listing;
use self::look::Looks;
use self::membership::Membership;
use self::publish::Publication;
use self::register::register;
use self::retry::Retry;
use self::seen::Exchange;
use self::succession::STREAMS_INTERVAL;
use self::vanished::Vanished;
use crate::assignment::{self, ShardKey};
use crate::client::Streams;
use crate::control::GapReason;
use crate::control::stream::StreamItem;
use crate::control::watermark::WatermarkItem;
use crate::delay::DeliveryDelay;
use crate::error::Error;
use crate::graph::ShardGraph;
use crate::id::{ShardId, StreamArn, StreamId, WorkerId};
use crate::lease::HeldShard;
use crate::position::Position;
use crate::source::{SourceStream, Start};
use crate::watermark::ShardWatermark;

/// A release meets another write to the same item for some milliseconds at most.
const RELEASE_TRIES: u32 = 5;
const RELEASE_WAIT: Duration = Duration::from_millis(20);

/// How a worker takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerConfig {
    /// The process's name, for people; each process adds its own incarnation.
    pub name: String,
    /// How long a worker may be silent before others take its shards. Its pace follows: it beats five times in that span.
    pub lease_ttl: Duration,
    /// Where a stream that was never read begins.
    pub start: Start,
}

/// One process among the workers of some streams.
#[derive(Debug)]
pub struct Worker {
    streams: Streams,
    membership: Membership,
    sources: Vec<Source>,
    /// The shards this process holds, with what was last reported of each.
    held: BTreeMap<ShardKey, Option<Timestamp>>,
    /// Acquired, but not handed out yet: a tick that fails halfway keeps them.
    acquired: Vec<HeldShard>,
    /// Held, but another worker's by now.
    surplus: BTreeSet<ShardKey>,
    /// This worker's, but still held by another: under which epoch, and since when.
    awaited: BTreeMap<ShardKey, (u64, Instant)>,
    vanished: Vec<Vanished>,
    looks: Looks,
    seen: Exchange,
    /// Of ticks that fail.
    retry: Retry,
    is_stalled: bool,
}

/// One stream this worker reads, and what it knows of it.
#[derive(Debug)]
struct Source {
    arn: StreamArn,
    start: Position,
    started_at: Timestamp,
    has_history: bool,
    /// The stream the table had before, which is read first.
    follows: Option<StreamId>,
    /// It was replaced, and all its shards are stored.
    is_closed: bool,
    graph: ShardGraph,
    listing: Listing,
    publication: Publication,
    delay: DeliveryDelay,
    /// The gaps this process has recorded and not told of yet.
    gaps: Vec<GapReason>,
}

impl Worker {
    /// Joins the workers of the streams of `sources`. What is decided once about a stream (where it begins, whether its
    /// history is complete) is decided and stored now, unless it was before.
    ///
    /// # Errors
    /// When the name cannot be a worker's, or the control table cannot be read or written.
    pub async fn start(
        streams: Streams,
        config: WorkerConfig,
        sources: Vec<SourceStream>,
        now: Timestamp,
        mono: Instant,
    ) -> Result<Self, Error> {
        let mut worker = Self {
            sources: register(&streams, sources, config.start, now, mono).await?,
            streams,
            membership: Membership::new(WorkerId::incarnate(&config.name)?, config.lease_ttl, mono),
            held: BTreeMap::new(),
            acquired: Vec::new(),
            surplus: BTreeSet::new(),
            awaited: BTreeMap::new(),
            vanished: Vec::new(),
            looks: Looks::new(mono + STREAMS_INTERVAL, mono),
            seen: Exchange::new(mono),
            retry: Retry::default(),
            is_stalled: false,
        };
        // Before any shard is acquired: an owner without a worker item counts as dead.
        worker.beat(now, mono).await?;
        Ok(worker)
    }

    pub fn id(&self) -> &WorkerId {
        &self.membership.id
    }

    /// The stream of a held shard. A table has another one after its stream was switched off and on.
    pub fn arn(&self, stream: &StreamId) -> Option<&StreamArn> {
        self.sources.iter().find(|source| source.graph.stream() == stream).map(|source| &source.arn)
    }

    /// Does what is due: beats, lists, acquires, publishes. Returns the shards acquired since the last tick; the application
    /// reads each from its position on, and hands over those that are [`surplus`](Self::surplus). To be called every 100 ms
    /// or so, and at once after a shard has [`finished`](Self::finished); most calls do nothing.
    ///
    /// `now` is DynamoDB's time ([`Streams::now_or`]): it is written, and no watermark is later; `mono` decides what is due.
    ///
    /// # Errors
    /// The first call that failed. What did not depend on it was done; a later tick goes on with the rest. While every one fails,
    /// most do nothing: the worker is [held up](Self::is_held_up).
    pub async fn tick(&mut self, now: Timestamp, mono: Instant) -> Result<Vec<HeldShard>, Error> {
        if !self.withholds_beat(mono) && self.retry.is_due(mono) {
            let outcome = self.do_what_is_due(now, mono).await;
            self.retry.note(outcome.is_ok(), self.membership.patience(mono), mono);
            outcome?;
        }
        Ok(std::mem::take(&mut self.acquired))
    }

    /// The last tick that did anything failed, and the next one waits: for up to half of the time between two beats, or 5 s once the
    /// leases may be lost.
    pub fn is_held_up(&self) -> bool {
        self.retry.is_waiting()
    }

    async fn do_what_is_due(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        if self.membership.is_beat_due(mono) {
            self.beat(now, mono).await?;
        }
        // One stream that cannot be listed must not keep the others from being read.
        let mut outcome = Ok(());
        if !self.membership.is_draining() {
            let mut has_looked = self.look(mono).await?;
            outcome = self.find_successors(now, mono).await;
            outcome = outcome.and(self.discover(now, mono).await);
            // Once more, if that has changed anything.
            has_looked |= self.look(mono).await?;
            if has_looked {
                outcome = outcome.and(self.claim(mono).await);
            }
            outcome = outcome.and(self.settle_vanished(now, mono).await);
        }
        let outcome = outcome.and(self.exchange_seen(now, mono).await);
        outcome.and(self.publish(now, mono).await)
    }

    /// The held shards that are another worker's by now, because workers came or shards went. The application stops reading
    /// each, commits what it has folded, and [`release`](Self::release)s it; the other one waits for that.
    pub fn surplus(&self) -> impl Iterator<Item = (&StreamId, &ShardId)> {
        self.surplus.iter().filter(|shard| self.held.contains_key(*shard)).map(|(stream, shard)| (stream, shard))
    }

    /// Tells that the application's shard tasks go on: some page was read or asked for, some commit made or tried. Without
    /// any such word for a minute (or two TTLs, if that is longer) this worker stops beating, so that others take its shards; it
    /// beats again after the next. Time while it is [paused](Self::is_paused) or holds no shard does not count. An application
    /// that never calls this is not watched.
    pub fn progress(&mut self, mono: Instant) {
        self.membership.progressed(mono);
    }

    /// The shard tasks have shown no [`progress`](Self::progress) for too long: others may take its shards. Something in
    /// this process is stuck.
    pub fn is_stalled(&self, mono: Instant) -> bool {
        self.membership.is_stalled(mono)
    }

    /// No beat has succeeded for ⅔ of the TTL: others may soon take this worker's shards, so it should stop reading and
    /// committing until it beats again. A worker that beats no more because its tasks are stuck is not paused: they could never
    /// show that they go on.
    pub fn is_paused(&self, mono: Instant) -> bool {
        self.membership.is_paused(mono)
    }

    /// Those of the numbers below `count` that are this worker's: work beside the streams that all workers share. Each number is one
    /// live worker's, but for moments: while their views differ, two of them have it, or none. A worker that drains, is
    /// [paused](Self::is_paused) or [stalled](Self::is_stalled) has none.
    pub fn share(&self, count: u16, mono: Instant) -> Vec<u16> {
        if self.is_paused(mono) || self.is_stalled(mono) {
            return Vec::new();
        }
        assignment::share(&self.membership.takers(mono), &self.membership.id, count)
    }

    /// The watermark of a held shard: from up to when it is included as stored, in a stream that is as late as this worker knows.
    pub fn shard_watermark(&self, held: &HeldShard) -> ShardWatermark {
        let source = self.sources.iter().find(|source| *source.graph.stream() == held.stream);
        ShardWatermark::new(held.watermark, held.position_at, source.map(|source| source.delay.clone()).unwrap_or_default())
    }

    /// How late each stream is taken to show changes.
    pub fn delays(&self) -> impl Iterator<Item = (&StreamId, SignedDuration)> {
        self.sources.iter().map(|source| (source.graph.stream(), source.delay.value()))
    }

    /// Tells how far this machine's clock is ahead of DynamoDB's ([`ServiceClock::skew`](crate::ServiceClock::skew)), for others to see.
    pub fn set_skew(&mut self, skew: SignedDuration) {
        self.membership.skew = skew;
    }

    /// Tells how far a held shard is included, by its [`ShardWatermark`].
    pub fn report(&mut self, held: &HeldShard, watermark: Option<Timestamp>) {
        if let Some(reported) = self.held.get_mut(&key(held)) {
            *reported = watermark.max(*reported);
        }
    }

    /// A shard's end is committed. Its children are acquired with the next tick.
    pub fn finished(&mut self, held: &HeldShard) {
        self.held.remove(&key(held));
        // Its children were stored by a call this worker did not see.
        self.looks.force();
        self.membership.changed();
    }

    /// The lease of a shard is lost: the shard is another worker's, or comes back with a later tick.
    pub fn lost(&mut self, held: &HeldShard) {
        self.held.remove(&key(held));
        self.looks.force();
    }

    /// Gives a shard back, so that another worker can go on at once. Whatever the application still commits is refused.
    ///
    /// # Errors
    /// When the release cannot be written. The shard is given up all the same; others wait for the TTL.
    pub async fn release(&mut self, held: &HeldShard) -> Result<(), Error> {
        let watermark = self.held.remove(&key(held)).flatten();
        self.membership.changed();
        let mut answer = self.streams.release(held, watermark).await;
        for _ in 1..RELEASE_TRIES {
            // A commit of this very shard whose answer came late, or a note of its children.
            let Err(Error::Conflict { .. }) = answer else { break };
            tokio::time::sleep(RELEASE_WAIT).await;
            answer = self.streams.release(held, watermark).await;
        }
        if answer.is_ok()
            && let Some(source) = self.source(&held.stream)
        {
            source
                .graph
                .change(&held.shard, |shard| (shard.fence.owner, shard.watermark) = (None, watermark.max(shard.watermark)));
        }
        answer
    }

    /// Stops acquiring, and says so to the others.
    ///
    /// # Errors
    /// When that cannot be written. Nothing is acquired all the same.
    pub async fn drain(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        self.membership.drain();
        self.beat(now, mono).await
    }

    /// Leaves the workers, after the last shard was released.
    ///
    /// # Errors
    /// When the worker item cannot be deleted. The others find this worker dead after the TTL.
    pub async fn leave(self) -> Result<(), Error> {
        self.streams.forget_worker(&self.membership.id).await
    }

    async fn beat(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        let read = self.sources.iter().map(|source| (source.graph.stream().clone(), source.delay.own())).collect();
        self.membership.beat(&self.streams, read, now, mono).await
    }

    fn withholds_beat(&mut self, mono: Instant) -> bool {
        if self.held.is_empty() || self.membership.is_paused(mono) {
            self.membership.excuse(mono);
        }
        let was_stalled = std::mem::replace(&mut self.is_stalled, self.membership.is_stalled(mono));
        if self.is_stalled && !was_stalled {
            tracing::error!(worker = %self.membership.id, shards = self.held.len(), "shards make no progress; others may take them");
        }
        self.is_stalled
    }

    fn source(&mut self, stream: &StreamId) -> Option<&mut Source> {
        self.sources.iter_mut().find(|source| source.graph.stream() == stream)
    }
}

fn key(held: &HeldShard) -> ShardKey {
    (held.stream.clone(), held.shard.clone())
}

impl Source {
    fn new(item: StreamItem, published: Option<WatermarkItem>, mono: Instant) -> Self {
        Self {
            arn: item.arn,
            start: item.start,
            started_at: item.started_at,
            has_history: item.history,
            listing: Listing::new(item.listed_at, mono),
            publication: Publication::new(published.map(|published| published.watermark), mono),
            delay: DeliveryDelay::stored(published.and_then(|published| published.learnt)),
            graph: ShardGraph::new(item.id),
            follows: item.follows,
            is_closed: item.closed,
            gaps: Vec::new(),
        }
    }
}
