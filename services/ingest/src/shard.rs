//! One shard's pipeline: read ahead → effect → fold → commit, one commit at a time, until the shard ends or is given up.
//!
//! While a commit is in flight, reading goes on; whatever came meanwhile is the next batch. So batches grow by themselves under
//! load, and a lone record at the tip is committed at once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidemark_domain::SourceName;
use tidemark_store::Batch;
use tidemark_streams::{
    Advance, GapReason, HeldShard, Position, Record, ShardReader, ShardWatermark, StreamArn, Streams, Verdict,
};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commit::{self, Backoff, Committer, Outcome, chain};
use crate::definitions::RunningDefinitions;
use crate::effect::Effect;
use crate::fetch::{self, Budget, Fetched, PAGES_AHEAD};
use crate::fold::Fold;
use crate::instruments::Instruments;
use crate::pending::Pending;
use crate::values::Values;
use crate::zones::Zones;

/// A position that moves without any writes is stored at most this often…
const IDLE_ADVANCE: Duration = Duration::from_secs(5);
/// …unless so many records wait for it.
const IDLE_RECORDS_MAX: usize = 2_000;

/// What all shards of a worker share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) streams: Streams,
    pub(crate) committer: Committer,
    pub(crate) definitions: RunningDefinitions,
    pub(crate) zones: Arc<Zones>,
    pub(crate) values: Arc<Values>,
    pub(crate) budget: Budget,
    pub(crate) instruments: Instruments,
    pub(crate) flush_interval: Duration,
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
}

/// Why reading and committing stopped.
enum Halt {
    Ended(Ended),
    /// The position is another one now.
    Reread,
    /// Records behind the position are gone.
    Trimmed,
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
}

/// What comes after an attempt to commit.
enum Next {
    /// More records, or time.
    Wait,
    /// The next batch, at once.
    Again,
    Halt(Halt),
}

impl ShardTask {
    pub(crate) fn new(shared: Shared, source: SourceName, arn: StreamArn, held: HeldShard) -> Self {
        Self {
            shared,
            source,
            arn,
            held,
            watermark: ShardWatermark::default(),
            published: watch::Sender::new(None),
            advanced_at: Instant::now(),
            harmless: 0,
            records_max: usize::MAX,
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
                Halt::Trimmed => {
                    if let Err(ended) = self.step_over_gap(&stop).await {
                        return ended;
                    }
                }
            }
        }
    }

    /// Reads from the held position on, and commits beside it.
    async fn read_and_commit(&mut self, stop: &CancellationToken) -> Halt {
        let HeldShard { shard, position, .. } = self.held.clone();
        let reader = ShardReader::new(self.shared.streams.clone(), self.arn.clone(), shard, position);
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        let fetching = fetch::fetch(reader, sender, self.shared.budget.clone());
        let consuming = self.consume(pages, stop);
        tokio::pin!(fetching, consuming);
        // Whatever is still being fetched when consuming ends is read again by whoever comes next.
        tokio::select! {
            halt = &mut consuming => halt,
            () = &mut fetching => consuming.await,
        }
    }

    /// Records that history is lost, and goes on at the oldest record there is.
    async fn step_over_gap(&mut self, stop: &CancellationToken) -> Result<(), Ended> {
        let mut backoff = Backoff::default();
        loop {
            let now = tidemark_runtime::clock::now();
            match self.shared.streams.record_gap(&self.held, GapReason::Trimmed, now).await {
                Ok(held) => {
                    tracing::error!(shard = %held.shard, "records were trimmed before they were read: a gap is recorded");
                    self.shared.instruments.gap();
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
        loop {
            if matches!(next, Next::Wait)
                && let Some(halt) = self.gather(&mut pages, &mut pending, stop).await
            {
                return halt;
            }
            next = match self.commit(&mut pending, stop.is_cancelled()).await {
                Ok(Next::Halt(halt)) => return halt,
                Ok(next) => {
                    backoff = Backoff::default();
                    next
                }
                Err(error) => {
                    tracing::warn!(shard = %self.held.shard, error = %chain(&error), "a commit failed; trying again");
                    self.shared.instruments.abandoned("failed");
                    backoff.wait().await;
                    if stop.is_cancelled() {
                        return self.stopped();
                    }
                    Next::Again
                }
            };
        }
    }

    /// Waits for records, then takes what is there already and, while more are on their way, what comes within the flush interval.
    async fn gather(
        &mut self,
        pages: &mut mpsc::Receiver<Fetched>,
        pending: &mut Pending,
        stop: &CancellationToken,
    ) -> Option<Halt> {
        let mut deadline: Option<Instant> = (!pending.is_empty()).then(|| Instant::now() + IDLE_ADVANCE);
        loop {
            if stop.is_cancelled() {
                return pending.is_empty().then(|| self.stopped());
            }
            let fetched = match pages.try_recv() {
                Ok(fetched) => Some(fetched),
                Err(_) if pending.closed => return None,
                Err(_) => tokio::select! {
                    biased;
                    () = stop.cancelled() => continue,
                    () = sleep_until(deadline) => return None,
                    fetched = pages.recv() => fetched,
                },
            };
            let fetched = match fetched {
                Some(Fetched::Page(fetched)) => fetched,
                Some(Fetched::Trimmed) if pending.is_empty() => return Some(Halt::Trimmed),
                // What was read before is committed first; then reading begins anew and meets the gap again.
                Some(Fetched::Trimmed) => return None,
                None => return Some(Halt::Reread),
            };
            self.watermark.page(fetched.asked_at, fetched.page.is_empty(), pending.len() == self.harmless);
            self.published.send_replace(self.watermark.value());
            let at_tip = fetched.at_tip;
            let was_empty = fetched.page.records.is_empty();
            pending.push(fetched);
            if was_empty && !pending.closed {
                continue;
            }
            if at_tip && pages.is_empty() {
                return None;
            }
            deadline = Some(deadline.unwrap_or_else(|| Instant::now() + self.shared.flush_interval));
        }
    }

    /// Folds the first pending records into one batch and commits it.
    async fn commit(&mut self, pending: &mut Pending, stopping: bool) -> Result<Next, commit::Error> {
        if pending.is_empty() && !pending.closed {
            return Ok(Next::Wait);
        }
        let running = self.shared.definitions.current();
        if running.version < self.held.defs {
            self.shared.definitions.reload().await?;
            return Ok(Next::Again);
        }
        let now = tidemark_runtime::clock::now();
        let mut fold = Fold::default();
        for record in pending.records().iter().take(self.records_max) {
            let effect = Effect::of(&running, &self.source, record, &self.shared.zones, now).await?;
            if !fold.take(&effect) {
                break;
            }
        }
        let is_all = fold.records() == pending.len();
        let ends = is_all && pending.closed;
        let may_wait = is_all && !ends && !stopping && pending.len() < IDLE_RECORDS_MAX;
        let last = fold.records().checked_sub(1).and_then(|last| pending.records().get(last));
        if fold.changes_nothing() && may_wait && self.advanced_at.elapsed() < IDLE_ADVANCE {
            self.harmless = pending.len();
            self.included(last);
            return Ok(Next::Wait);
        }
        let to = match last {
            _ if ends => Position::ShardEnd,
            Some(record) => Position::After(record.sequence_number.clone()),
            None => return Ok(Next::Wait),
        };
        if ends {
            self.shared.streams.link_children(&self.arn, &self.held).await?;
        }
        let lane = |metric: &_| running.metrics.get(metric).map_or(0, |metric| self.lane(metric.lanes_written(now)));
        let writes = fold.writes(lane);
        self.shared.values.remember(&running, writes.rows.iter().map(|row| &row.key)).await?;
        let advance = self.held.advance(&to, running.version);
        let batch = self.batch(last, now);
        let (rows, started) = (writes.rows.len(), Instant::now());
        let outcome = self.shared.committer.commit(&self.held, &advance, writes, &batch).await?;
        if outcome == Outcome::Decided(Verdict::Committed) {
            self.shared.instruments.committed(started.elapsed(), rows, fold.records(), fold.quarantined());
        }
        self.after(outcome, &advance, &fold, pending).await
    }

    /// Draws the consequence of a commit's outcome.
    async fn after(
        &mut self,
        outcome: Outcome,
        advance: &Advance,
        fold: &Fold,
        pending: &mut Pending,
    ) -> Result<Next, commit::Error> {
        let verdict = match outcome {
            Outcome::Decided(verdict) => verdict,
            Outcome::TooLarge => {
                self.records_max = (fold.records() / 2).max(1);
                return Ok(Next::Again);
            }
        };
        match verdict {
            Verdict::Committed => {
                self.held = self.held.after(advance);
                self.advanced_at = Instant::now();
                self.records_max = usize::MAX;
                self.included(fold.records().checked_sub(1).and_then(|last| pending.records().get(last)));
                pending.committed(fold.records());
                self.harmless = 0;
                if *advance.to() == Position::ShardEnd {
                    return Ok(Next::Halt(Halt::Ended(Ended::Finished(self.held.clone()))));
                }
                Ok(if pending.is_empty() && !pending.closed { Next::Wait } else { Next::Again })
            }
            Verdict::NotCommitted => Ok(Next::Again),
            Verdict::LeaseLost => {
                self.shared.instruments.abandoned("lease_lost");
                Ok(Next::Halt(Halt::Ended(Ended::Lost(self.held.clone()))))
            }
            Verdict::DefinitionsBehind(version) => {
                self.shared.instruments.abandoned("definitions_behind");
                tracing::info!(shard = %self.held.shard, version, "newer definitions are running; computing the batch anew");
                self.shared.definitions.reload().await?;
                Ok(Next::Again)
            }
            Verdict::Moved(position) => {
                self.shared.instruments.abandoned("position_moved");
                tracing::warn!(shard = %self.held.shard, %position, "the stored position is another; reading again after it");
                self.held = self.held.moved(position);
                Ok(Next::Halt(Halt::Reread))
            }
        }
    }

    /// The effects of all records up to `last` are visible.
    fn included(&mut self, last: Option<&Record>) {
        if let Some(last) = last {
            self.watermark.committed(last.created_at);
            self.published.send_replace(self.watermark.value());
        }
    }

    fn stopped(&self) -> Halt {
        Halt::Ended(Ended::Stopped(self.held.clone()))
    }

    fn batch(&self, last: Option<&Record>, now: Timestamp) -> Batch {
        Batch {
            source: self.source.clone(),
            sequence: last.map_or_else(String::new, |record| record.sequence_number.as_str().to_owned()),
            at: last.map_or(now, |record| record.created_at),
        }
    }

    fn lane(&self, lanes: u16) -> u16 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.held.shard.as_str().hash(&mut hasher);
        // Any choice below `lanes` is right: lanes are added up when read.
        u16::try_from(hasher.finish() % u64::from(lanes.max(1))).expect("less than a u16")
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
