//! One worker: it keeps its membership alive, starts a pipeline for every shard it acquires, and hands shards on when it stops.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidemark_domain::SourceName;
use tidemark_runtime::clock::{self, SkewWatch};
use tidemark_runtime::health::{Health, Progress};
use tidemark_runtime::process::chain;
use tidemark_store::{SLOTS, Slot};
use tidemark_streams::{HeldShard, ShardCounts, Worker};
use tokio::sync::watch;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::pause::PauseSwitch;
use crate::shard::{Ended, ShardTask, Shared};
use crate::trouble::Troubles;

/// How often the worker looks at what is due.
const TICK: Duration = Duration::from_millis(100);
/// How often the running definitions are read again.
const RELOAD: Duration = Duration::from_secs(5);
/// The process counts as stuck when its look at the streams, or at a slot, did not go on for so long: in that time no call to DynamoDB
/// has come to its end, and each does within 15 s.
pub(crate) const STALLED: Duration = Duration::from_secs(60);
/// How long shards have to commit and be released once the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(25);
/// How long leaving may take after that.
const LEAVE: Duration = Duration::from_secs(2);
/// Wait before a shard whose pipeline panicked is read again, or a slot is looked at again, so that a panic that repeats does not fill
/// the log.
pub(crate) const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// A worker at work.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) shared: Shared,
    pub(crate) worker: Worker,
    /// By table: its stream may be another one some day.
    pub(crate) sources: HashMap<String, SourceName>,
    pub(crate) shards: JoinSet<Ended>,
    pub(crate) pipelines: HashMap<task::Id, Pipeline>,
    pub(crate) pause_switch: PauseSwitch,
    pub(crate) troubles: Troubles,
    pub(crate) skew_watch: SkewWatch,
    /// The slots that this worker's dispatcher is to look at.
    pub(crate) slots: watch::Sender<BTreeSet<Slot>>,
}

/// A shard whose pipeline runs, or has just ended.
#[derive(Debug)]
pub(crate) struct Pipeline {
    held: HeldShard,
    watermark: watch::Receiver<Option<Timestamp>>,
    stop: CancellationToken,
}

impl Supervisor {
    /// Works until asked to stop, then commits what is folded, releases every shard and leaves.
    pub(crate) async fn run(self, health: Health, stop: CancellationToken) {
        let progress = health.watch("worker", STALLED);
        Box::pin(progress.clone().around(self.work(health, progress, stop))).await;
    }

    async fn work(mut self, health: Health, progress: Progress, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reload_due = Instant::now() + RELOAD;
        loop {
            // An outage is not mended by restarting: only a look that does not return counts as stuck.
            progress.touch();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = self.shards.join_next_with_id() => {
                    let is_finished = matches!(ended, Ok((_, Ended::Finished(_))));
                    self.end(ended).await;
                    // Its children go on at once.
                    if is_finished {
                        self.tick(&stop).await;
                    }
                }
                _ = ticks.tick() => {
                    if self.tick(&stop).await {
                        health.ready();
                    }
                    if Instant::now() >= reload_due {
                        reload_due = Instant::now() + RELOAD;
                        if let Err(error) = self.shared.definitions.reload().await {
                            tracing::warn!(error = %chain(&error), "the running definitions cannot be read; going on with those known");
                        }
                    }
                }
            }
        }
        health.not_ready("draining");
        self.drain().await;
    }

    /// Does what is due; says whether all of it went well.
    async fn tick(&mut self, stop: &CancellationToken) -> bool {
        self.report();
        self.check_clock();
        let ticked = self.worker.tick(self.shared.now(), Instant::now()).await;
        self.pause_switch.set(self.worker.is_paused(Instant::now()));
        self.share_slots();
        self.hand_over();
        self.count_gaps();
        let acquired = match ticked {
            Ok(acquired) => acquired,
            Err(error) => {
                if let Some(times) = self.troubles.met(&error, Instant::now()) {
                    tracing::warn!(error = %chain(&error), times, "the worker's look at its streams failed; trying again");
                }
                return false;
            }
        };
        for (trouble, times) in self.troubles.over(Instant::now()) {
            tracing::info!(%trouble, times, "the worker's look at its streams goes well again");
        }
        for held in acquired {
            self.start(held, stop);
        }
        self.shared.instruments.shards_held(self.shards.len());
        self.count_shards();
        self.measure_lag();
        !self.worker.is_held_up()
    }

    /// Compares this machine's clock with DynamoDB's.
    fn check_clock(&mut self) {
        let skew = self.shared.streams.clock().skew(clock::now(), Instant::now());
        self.skew_watch.note(skew);
        self.worker.set_skew(skew);
    }

    /// Tells the dispatcher which slots are this worker's.
    fn share_slots(&self) {
        let share = self.worker.share(SLOTS.into(), Instant::now());
        let mine: BTreeSet<Slot> = Slot::all().filter(|slot| share.contains(&slot.number().into())).collect();
        self.slots.send_if_modified(|slots| {
            let has_changed = *slots != mine;
            if has_changed {
                tracing::debug!(slots = ?mine, "the slots of the dispatcher");
                *slots = mine;
            }
            has_changed
        });
    }

    /// Tells the worker how far the shards are, and that they go on.
    fn report(&mut self) {
        for Pipeline { held, watermark, .. } in self.pipelines.values_mut() {
            // Set with every page and every commit, moved or not.
            if watermark.has_changed().is_ok_and(|has_changed| has_changed) {
                self.worker.progress(Instant::now());
            }
            self.worker.report(held, *watermark.borrow_and_update());
        }
    }

    /// Stops the pipelines of shards that are another worker's by now; each is released when it has committed what is folded.
    fn hand_over(&self) {
        for (stream, shard) in self.worker.surplus() {
            let is_its = |pipeline: &&Pipeline| pipeline.held.shard == *shard && pipeline.held.stream == *stream;
            if let Some(pipeline) = self.pipelines.values().find(is_its).filter(|pipeline| !pipeline.stop.is_cancelled()) {
                tracing::info!(%stream, %shard, "handing the shard over to another worker");
                pipeline.stop.cancel();
            }
        }
    }

    fn start(&mut self, held: HeldShard, stop: &CancellationToken) {
        let source = self.sources.get(held.stream.table()).expect("only tables of sources are read").clone();
        let arn = self.worker.arn(&held.stream).expect("the worker reads the streams it acquires shards of").clone();
        let watermark = self.worker.shard_watermark(&held);
        let task = ShardTask::new(self.shared.clone(), source, arn, (held.clone(), watermark));
        let stop = stop.child_token();
        let pipeline = Pipeline { held, watermark: task.watermark(), stop: stop.clone() };
        let id = self.shards.spawn(task.run(stop)).id();
        self.pipelines.insert(id, pipeline);
        self.worker.progress(Instant::now());
    }

    /// A pipeline's task has come to its end, of its own or by a panic.
    async fn end(&mut self, ended: Result<(task::Id, Ended), JoinError>) {
        match ended {
            Ok((id, ended)) => {
                if let Some(pipeline) = self.pipelines.remove(&id) {
                    // A finished shard's last watermark bounds its stream until its children are read.
                    self.worker.report(&pipeline.held, *pipeline.watermark.borrow());
                }
                self.settle(ended).await;
            }
            Err(panicked) => {
                tracing::error!(error = %chain(&panicked), "a shard's pipeline panicked; it begins anew");
                tokio::time::sleep(PANIC_PAUSE).await;
                if let Some(pipeline) = self.pipelines.remove(&panicked.id()) {
                    self.worker.lost(&pipeline.held);
                }
            }
        }
    }

    async fn settle(&mut self, ended: Ended) {
        match ended {
            Ended::Finished(held) => {
                tracing::info!(stream = %held.stream, shard = %held.shard, "shard finished");
                self.worker.finished(&held);
            }
            Ended::Lost(held) => {
                tracing::warn!(stream = %held.stream, shard = %held.shard, "the lease is lost; another worker goes on");
                self.worker.lost(&held);
            }
            Ended::Vanished(held) => self.worker.vanished(&held),
            Ended::Stopped(held) => match self.worker.release(&held).await {
                Ok(()) => tracing::info!(stream = %held.stream, shard = %held.shard, "shard released"),
                Err(error) => {
                    tracing::warn!(shard = %held.shard, error = %chain(&error), "a shard was not released; others wait for the lease to end");
                }
            },
        }
    }

    async fn drain(mut self) {
        let deadline = Instant::now() + DRAIN;
        if let Err(error) = self.worker.drain(self.shared.now(), Instant::now()).await {
            tracing::warn!(error = %chain(&error), "the drain could not be announced");
        }
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.shards.is_empty() {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(deadline) => break,
                Some(ended) = self.shards.join_next_with_id() => self.end(ended).await,
                // Beats, so that nobody takes a shard that is still being committed.
                _ = ticks.tick() => self.tick_while_draining().await,
            }
        }
        if !self.shards.is_empty() {
            tracing::warn!(shards = self.shards.len(), "some shards did not finish in time; their leases end by themselves");
        }
        match tokio::time::timeout(LEAVE, self.worker.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "the worker could not leave; others wait for its leases to end");
            }
            Err(_) => tracing::warn!("the worker could not leave in time; others wait for its leases to end"),
        }
    }

    async fn tick_while_draining(&mut self) {
        self.report();
        match self.worker.tick(self.shared.now(), Instant::now()).await {
            // Acquired by the last tick before, which failed after that.
            Ok(acquired) => {
                for held in acquired {
                    self.settle(Ended::Stopped(held)).await;
                }
            }
            Err(error) => {
                if let Some(times) = self.troubles.met(&error, Instant::now()) {
                    tracing::warn!(error = %chain(&error), times, "the draining worker could not show that it lives");
                }
            }
        }
    }

    fn count_gaps(&mut self) {
        for (stream, reason) in self.worker.take_gaps() {
            if let Some(source) = self.sources.get(stream.table()) {
                self.shared.instruments.gap(source.as_str(), reason);
            }
        }
    }

    fn count_shards(&self) {
        let mut counts: HashMap<&SourceName, ShardCounts> =
            self.sources.values().map(|source| (source, ShardCounts::default())).collect();
        for (stream, of_stream) in self.worker.shard_counts(Instant::now()) {
            if let Some(count) = self.sources.get(stream.table()).and_then(|source| counts.get_mut(source)) {
                *count = count.and(of_stream);
            }
        }
        for (source, counts) in counts {
            self.shared.instruments.stream_shards(source.as_str(), counts);
        }
    }

    /// How far the watermarks are behind what the streams must have shown by now: what more workers may mend.
    fn measure_lag(&self) {
        let now = self.shared.now();
        let mut delays = HashMap::new();
        for (stream, delay) in self.worker.delays() {
            if let Some(source) = self.sources.get(stream.table()) {
                self.shared.instruments.delivery_delay(source.as_str(), delay);
            }
            delays.insert(stream, delay);
        }
        // None of a source's shards, no lag: its last one must not stay.
        let mut lags: HashMap<&SourceName, SignedDuration> =
            self.sources.values().map(|source| (source, SignedDuration::ZERO)).collect();
        for Pipeline { held, watermark, .. } in self.pipelines.values() {
            if let (Some(watermark), Some(source)) = (*watermark.borrow(), self.sources.get(held.stream.table())) {
                let lag = lags.entry(source).or_default();
                *lag =
                    now.duration_since(watermark).saturating_sub(delays.get(&held.stream).copied().unwrap_or_default()).max(*lag);
            }
        }
        for (source, lag) in lags {
            self.shared.instruments.watermark_lag(source.as_str(), lag);
        }
    }
}
