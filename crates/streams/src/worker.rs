//! One process's membership among the workers of some streams: it shows that it lives, finds shards, acquires those
//! that are free, and publishes how far the streams are included.
//!
//! The worker holds no task and no clock: the application calls [`Worker::tick`] a few times a second, reads and commits
//! the shards it is given, and tells the worker what became of them. Everything a worker decides by time is about
//! liveness; that nothing is counted twice rests on the conditions of each write alone.

mod claim;
mod discovery;
mod membership;
mod publish;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use self::discovery::Listing;
use self::membership::Membership;
use self::publish::Publication;
use crate::client::Streams;
use crate::control::stream::StreamItem;
use crate::error::Error;
use crate::graph::ShardGraph;
use crate::id::{ShardId, StreamArn, StreamId, WorkerId};
use crate::lease::HeldShard;
use crate::position::Position;
use crate::source::{SourceStream, Start, history_is_complete};

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
    /// When the stored shards and workers are to be read again; none: with the next tick.
    refresh_due: Option<Instant>,
}

type ShardKey = (StreamId, ShardId);

/// One stream this worker reads, and what it knows of it.
#[derive(Debug)]
struct Source {
    arn: StreamArn,
    start: Position,
    graph: ShardGraph,
    listing: Listing,
    publication: Publication,
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
        let mut membership = Membership::new(WorkerId::incarnate(&config.name)?, config.lease_ttl, mono);
        let mut registered = Vec::with_capacity(sources.len());
        for source in sources {
            let stored = streams.register_stream(first_start(source, config.start, now)).await?;
            let published = streams.stored_watermark(&stored.id).await?;
            registered.push(Source {
                arn: stored.arn,
                start: stored.start,
                graph: ShardGraph::new(stored.id),
                listing: Listing::due_at(mono),
                publication: Publication::new(published.map(|item| item.watermark), mono),
            });
        }
        // Before any shard is acquired: an owner without a worker item counts as dead.
        membership.beat(&streams, &BTreeMap::new(), now, mono).await?;
        Ok(Self { streams, membership, sources: registered, held: BTreeMap::new(), acquired: Vec::new(), refresh_due: None })
    }

    pub fn id(&self) -> &WorkerId {
        &self.membership.id
    }

    /// Does what is due: beats, lists, acquires, publishes. Returns the shards acquired since the last tick; the application
    /// reads each from its position on. To be called every 100 ms or so; most calls do nothing.
    ///
    /// `now` is written, never compared with another machine's clock; `mono` decides what is due.
    ///
    /// # Errors
    /// The first call that failed. What did not depend on it was done; the next tick goes on with the rest.
    pub async fn tick(&mut self, now: Timestamp, mono: Instant) -> Result<Vec<HeldShard>, Error> {
        if self.membership.is_beat_due(mono) {
            let seen = self.seen();
            self.membership.beat(&self.streams, &seen, now, mono).await?;
        }
        // One stream that cannot be listed must not keep the others from being read.
        let mut outcome = Ok(());
        if !self.membership.is_draining() {
            outcome = self.discover(now, mono).await;
            self.refresh(mono).await?;
            outcome = outcome.and(self.claim(mono).await);
        }
        outcome.and(self.publish(now, mono).await)?;
        Ok(std::mem::take(&mut self.acquired))
    }

    /// No beat has succeeded for ⅔ of the TTL: others may soon take this worker's shards, so it should stop reading and
    /// committing until it beats again.
    pub fn is_paused(&self, mono: Instant) -> bool {
        self.membership.is_paused(mono)
    }

    /// Tells how far a held shard is included, by its [`ShardWatermark`](crate::ShardWatermark).
    pub fn report(&mut self, held: &HeldShard, watermark: Option<Timestamp>) {
        if let Some(reported) = self.held.get_mut(&key(held)) {
            *reported = watermark.max(*reported);
        }
    }

    /// A shard's end is committed. Its children are acquired with the next tick.
    pub fn finished(&mut self, held: &HeldShard) {
        let last = self.held.remove(&key(held)).flatten();
        // Its children were stored by a call this worker did not see.
        self.refresh_due = None;
        if let Some(source) = self.source(&held.stream) {
            source.publication.ended(held.shard.clone(), last);
        }
    }

    /// The lease of a shard is lost: the shard is another worker's, or comes back with a later tick.
    pub fn lost(&mut self, held: &HeldShard) {
        self.held.remove(&key(held));
        self.refresh_due = None;
    }

    /// Gives a shard back, so that another worker can go on at once. Whatever the application still commits is refused.
    ///
    /// # Errors
    /// When the release cannot be written. The shard is given up all the same; others wait for the TTL.
    pub async fn release(&mut self, held: &HeldShard) -> Result<(), Error> {
        self.held.remove(&key(held));
        for _ in 1..RELEASE_TRIES {
            match self.streams.release(held).await {
                // A commit of this very shard whose answer came late, or a note of its children.
                Err(Error::Conflict { .. }) => tokio::time::sleep(RELEASE_WAIT).await,
                answer => return answer,
            }
        }
        self.streams.release(held).await
    }

    /// Stops acquiring, and says so to the others.
    ///
    /// # Errors
    /// When that cannot be written. Nothing is acquired all the same.
    pub async fn drain(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        self.membership.drain();
        let seen = self.seen();
        self.membership.beat(&self.streams, &seen, now, mono).await
    }

    /// Leaves the workers, after the last shard was released.
    ///
    /// # Errors
    /// When the worker item cannot be deleted. The others find this worker dead after the TTL.
    pub async fn leave(self) -> Result<(), Error> {
        self.streams.forget_worker(&self.membership.id).await
    }

    fn source(&mut self, stream: &StreamId) -> Option<&mut Source> {
        self.sources.iter_mut().find(|source| source.graph.stream() == stream)
    }
}

fn key(held: &HeldShard) -> ShardKey {
    (held.stream.clone(), held.shard.clone())
}

fn first_start(source: SourceStream, start: Start, now: Timestamp) -> StreamItem {
    StreamItem {
        history: history_is_complete(source.stream_created_at, source.table_created_at, now, start),
        id: source.id,
        arn: source.arn,
        table: source.table,
        started_at: now,
        start: start.position(now),
        boot_done: false,
        exact: true,
        listed_at: None,
    }
}
