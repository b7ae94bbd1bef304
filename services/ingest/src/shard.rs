//! One shard's pipeline: read ahead → effect → fold → commit, one commit at a time, until the shard ends or is given up.
//!
//! While a commit is in flight, reading goes on; whatever came meanwhile is the next batch. So batches grow by themselves under
//! load, and a lone record at the tip is committed at once.

mod batch;
mod gather;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidemark_domain::SourceName;
use tidemark_runtime::process::chain;
use tidemark_store::RunningDefinitions;
use tidemark_streams::{GapReason, HeldShard, ShardReader, ShardWatermark, StreamArn, Streams};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commit::Backoff;
use crate::fetch::{self, Budget, Fetched, PAGES_AHEAD};
use crate::instruments::Instruments;
use crate::pause::Pause;
use crate::pending::Pending;
use crate::pool::Pool;
use crate::stock::StockReader;
use crate::values::Values;
use crate::wake::Wake;
use crate::zones::Zones;

/// A position that moves without any writes is stored at most this often…
const IDLE_ADVANCE: Duration = Duration::from_secs(5);
/// …unless so many records wait for it.
const IDLE_RECORDS_MAX: usize = 2_000;

/// Most records gathered for one batch: it never takes that many, but those that change nothing are cheap to pass.
const GATHERED_MAX: usize = 10_000;
/// Longest pause before a batch is decided again: one tenant's changes are not to hold up the others of the shard.
const STALE_PAUSE_MAX: Duration = Duration::from_millis(100);
/// How long a commit that is under way when the process is asked to stop may still take.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What all shards of a worker share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) streams: Streams,
    pub(crate) pool: Pool,
    pub(crate) definitions: RunningDefinitions,
    pub(crate) zones: Arc<Zones>,
    pub(crate) values: Arc<Values>,
    pub(crate) stock: Arc<StockReader>,
    pub(crate) wake: Wake,
    /// Events of alerts that are older when they are committed are held until their stream has caught up.
    pub(crate) alert_max_age: SignedDuration,
    pub(crate) budget: Budget,
    pub(crate) instruments: Instruments,
    pub(crate) flush_interval: Duration,
    pub(crate) pause: Pause,
}

impl Shared {
    /// DynamoDB's time: this machine's clock may be wrong.
    pub(crate) fn now(&self) -> Timestamp {
        self.streams.now_or(tidemark_runtime::clock::now())
    }
}

/// How a shard's pipeline came to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Everything is committed, the end too.
    Finished(HeldShard),
    /// Another worker commits for the shard now.
    Lost(HeldShard),
    /// Asked to stop: what was folded is committed, and the lease can be released.
    Stopped(HeldShard),
    /// The stream does not know the shard, and everything read from it is committed.
    Vanished(HeldShard),
}

/// Why reading and committing stopped.
enum Halt {
    Ended(Ended),
    /// The position is another one now.
    Reread,
    /// Records behind the position are gone, or may be.
    Lost(GapReason),
}

/// One shard being consumed.
#[derive(Debug)]
pub(crate) struct ShardTask {
    shared: Shared,
    source: SourceName,
    arn: StreamArn,
    held: HeldShard,
    watermark: ShardWatermark,
    published: watch::Sender<Option<Timestamp>>,
    advanced_at: Instant,
    /// So many of the first pending records are known to change nothing: they count as committed before their position is.
    harmless: usize,
    /// Batches are cut to this many records after one was too large.
    records_max: usize,
    /// How much of the next batch is left out, because DynamoDB did not take it otherwise.
    resort: Resort,
    /// Between attempts of a batch whose decisions others overtake.
    stale_backoff: Backoff,
}

/// How much of a batch is committed. Every further step is for one record that DynamoDB took in no earlier form. Levels that DynamoDB
/// refuses are left out of all of them ([`StockReader::were_refused`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resort {
    Whole,
    /// Its rows are marked broken, and its deltas are kept in quarantine.
    Diverted,
    /// The position, and a quarantine record that names it.
    SetAside,
    /// The position, and a gap: items of the control table, whose sizes do not depend on the record.
    Skipped,
}

/// What comes after an attempt to commit.
enum Next {
    /// More records, or time.
    Wait,
    /// The next batch, at once.
    Again,
    Halt(Halt),
}

impl Resort {
    /// The next one, after DynamoDB refused this one.
    fn next(self) -> Self {
        match self {
            Self::Whole => Self::Diverted,
            Self::Diverted => Self::SetAside,
            Self::SetAside | Self::Skipped => Self::Skipped,
        }
    }
}

impl ShardTask {
    pub(crate) fn new(
        shared: Shared,
        source: SourceName,
        arn: StreamArn,
        (held, watermark): (HeldShard, ShardWatermark),
    ) -> Self {
        Self {
            shared,
            source,
            arn,
            held,
            published: watch::Sender::new(watermark.value()),
            watermark,
            advanced_at: Instant::now(),
            harmless: 0,
            records_max: usize::MAX,
            resort: Resort::Whole,
            stale_backoff: Backoff::up_to(STALE_PAUSE_MAX),
        }
    }

    /// The shard's watermark, as it moves.
    pub(crate) fn watermark(&self) -> watch::Receiver<Option<Timestamp>> {
        self.published.subscribe()
    }

    /// Consumes the shard until it ends, is lost, or `stop` is asked for.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Ended {
        loop {
            match self.read_and_commit(&stop).await {
                Halt::Ended(ended) => return ended,
                Halt::Reread => {}
                Halt::Lost(reason) => {
                    if let Err(ended) = self.step_over_gap(reason, &stop).await {
                        return ended;
                    }
                }
            }
        }
    }

    /// Reads from the held position on, and commits beside it.
    async fn read_and_commit(&mut self, stop: &CancellationToken) -> Halt {
        let reader = ShardReader::new(self.shared.streams.clone(), self.arn.clone(), &self.held);
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        let fetching = fetch::fetch(reader, sender, self.shared.budget.clone(), self.shared.pause.clone());
        let consuming = self.consume(pages, stop);
        tokio::pin!(fetching, consuming);
        // Whatever is still being fetched when consuming ends is read again by whoever comes next.
        tokio::select! {
            biased;
            halt = &mut consuming => halt,
            () = &mut fetching => consuming.await,
        }
    }

    /// Records that history is lost, and goes on at the oldest record there is.
    async fn step_over_gap(&mut self, reason: GapReason, stop: &CancellationToken) -> Result<(), Ended> {
        let mut backoff = Backoff::default();
        loop {
            let now = self.shared.now();
            match self.shared.streams.record_gap(&self.held, reason, now).await {
                Ok(held) => {
                    tracing::error!(shard = %held.shard, reason = reason.as_str(), "history was lost before it was read: a gap is recorded");
                    self.shared.instruments.gap(self.source.as_str(), reason);
                    self.held = held;
                    return Ok(());
                }
                Err(tidemark_streams::Error::LeaseLost { .. }) => return Err(Ended::Lost(self.held.clone())),
                Err(error) => {
                    tracing::warn!(shard = %self.held.shard, error = %chain(&error), "a gap cannot be recorded; trying again");
                    backoff.wait().await;
                }
            }
            if stop.is_cancelled() {
                return Err(Ended::Stopped(self.held.clone()));
            }
        }
    }

    /// Commits what is fetched.
    async fn consume(&mut self, mut pages: mpsc::Receiver<Fetched>, stop: &CancellationToken) -> Halt {
        let mut pending = Pending::default();
        let mut backoff = Backoff::default();
        let mut next = Next::Wait;
        // What is known of an earlier reading does not hold for this one.
        self.harmless = 0;
        self.resort = Resort::Whole;
        self.watermark.reading_begins();
        loop {
            if matches!(next, Next::Wait)
                && let Some(halt) = self.gather(&mut pages, &mut pending, stop).await
            {
                return halt;
            }
            let committed = tokio::select! {
                biased;
                committed = self.commit(&mut pending, stop) => committed,
                // Dropping a commit in flight is safe: whoever holds the shard next sees whether it was applied.
                () = out_of_patience(stop) => return self.stopped(),
            };
            next = match committed {
                Ok(Next::Halt(halt)) => return halt,
                Ok(_) if stop.is_cancelled() => return self.stopped(),
                Ok(next) => {
                    backoff = Backoff::default();
                    next
                }
                Err(error) => {
                    tracing::warn!(shard = %self.held.shard, error = %chain(&error), "a commit failed; trying again");
                    self.shared.instruments.abandoned("failed");
                    self.shows_life();
                    backoff.wait().await;
                    if stop.is_cancelled() {
                        return self.stopped();
                    }
                    Next::Again
                }
            };
        }
    }

    /// Tells how far the shard is included; that it is told at all shows that the shard goes on, moved or not.
    fn shows_life(&self) {
        self.published.send_replace(self.watermark.value());
    }

    fn stopped(&self) -> Halt {
        Halt::Ended(Ended::Stopped(self.held.clone()))
    }
}

async fn out_of_patience(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_PATIENCE).await;
}
