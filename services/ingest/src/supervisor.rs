//! One worker: it keeps its membership alive, starts a pipeline for every shard it acquires, and hands shards on when it stops.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tidemark_domain::SourceName;
use tidemark_runtime::clock;
use tidemark_runtime::health::Health;
use tidemark_streams::{HeldShard, StreamArn, StreamId, Worker};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::commit::chain;
use crate::pause::PauseSwitch;
use crate::shard::{Ended, ShardTask, Shared};

/// How often the worker looks at what is due.
const TICK: Duration = Duration::from_millis(100);
/// How often the running definitions are read again.
const RELOAD: Duration = Duration::from_secs(5);
/// The worker counts as stuck when it could not finish a look for this long.
const STALLED: Duration = Duration::from_secs(60);
/// How long shards have to commit and be released once the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(25);

/// A stream and the source it feeds.
#[derive(Debug, Clone)]
pub(crate) struct SourceOfStream {
    pub(crate) source: SourceName,
    pub(crate) arn: StreamArn,
}

/// A worker at work.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) shared: Shared,
    pub(crate) worker: Worker,
    pub(crate) sources: HashMap<StreamId, SourceOfStream>,
    pub(crate) shards: JoinSet<Ended>,
    pub(crate) pause_switch: PauseSwitch,
    pub(crate) watermarks: Vec<(HeldShard, watch::Receiver<Option<Timestamp>>)>,
}

impl Supervisor {
    /// Works until asked to stop, then commits what is folded, releases every shard and leaves.
    pub(crate) async fn run(mut self, health: Health, stop: CancellationToken) {
        let progress = health.watch("worker", STALLED);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reload_due = Instant::now() + RELOAD;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = self.shards.join_next() => self.settle(ended).await,
                _ = ticks.tick() => {
                    if self.tick(&stop).await {
                        progress.touch();
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
        self.watermarks.retain(|(_, watermark)| watermark.has_changed().is_ok());
        for (held, watermark) in &self.watermarks {
            self.worker.report(held, *watermark.borrow());
        }
        let ticked = self.worker.tick(clock::now(), Instant::now()).await;
        self.pause_switch.set(self.worker.is_paused(Instant::now()));
        let acquired = match ticked {
            Ok(acquired) => acquired,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the worker's look at its streams failed; trying again");
                return false;
            }
        };
        for held in acquired {
            self.start(held, stop);
        }
        self.shared.instruments.shards_held(self.shards.len());
        self.measure_lag();
        true
    }

    fn start(&mut self, held: HeldShard, stop: &CancellationToken) {
        let SourceOfStream { source, arn } = self.sources.get(&held.stream).expect("only streams of sources are read").clone();
        let task = ShardTask::new(self.shared.clone(), source, arn, held.clone());
        self.watermarks.push((held, task.watermark()));
        self.shards.spawn(task.run(stop.child_token()));
    }

    async fn settle(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(Ended::Finished(held)) => {
                tracing::info!(stream = %held.stream, shard = %held.shard, "shard finished");
                self.report_last(&held);
                self.worker.finished(&held);
            }
            Ok(Ended::Lost(held)) => {
                tracing::warn!(stream = %held.stream, shard = %held.shard, "the lease is lost; another worker goes on");
                self.worker.lost(&held);
            }
            Ok(Ended::Stopped(held)) => match self.worker.release(&held).await {
                Ok(()) => tracing::info!(stream = %held.stream, shard = %held.shard, "shard released"),
                Err(error) => {
                    tracing::warn!(shard = %held.shard, error = %chain(&error), "a shard was not released; others wait for the lease to end");
                }
            },
            // Which shard it was is gone with the task: only this process's end frees its lease.
            Err(panicked) => {
                tracing::error!(error = %chain(&panicked), "a shard's pipeline panicked; ending, so that the shard is taken over");
                std::process::abort();
            }
        }
    }

    /// A finished shard's last watermark bounds its stream until its children are read.
    fn report_last(&mut self, held: &HeldShard) {
        if let Some((_, watermark)) =
            self.watermarks.iter().find(|(known, _)| known.shard == held.shard && known.stream == held.stream)
        {
            let last = *watermark.borrow();
            self.worker.report(held, last);
        }
    }

    async fn drain(mut self) {
        let deadline = Instant::now() + DRAIN;
        if let Err(error) = self.worker.drain(clock::now(), Instant::now()).await {
            tracing::warn!(error = %chain(&error), "the drain could not be announced");
        }
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.shards.join_next()).await {
            self.settle(ended).await;
        }
        if !self.shards.is_empty() {
            tracing::warn!(shards = self.shards.len(), "some shards did not finish in time; their leases end by themselves");
        }
        if let Err(error) = self.worker.leave().await {
            tracing::warn!(error = %chain(&error), "the worker could not leave; others wait for its leases to end");
        }
    }

    fn measure_lag(&self) {
        let now = clock::now();
        for (held, watermark) in &self.watermarks {
            if let (Some(watermark), Some(source)) = (*watermark.borrow(), self.sources.get(&held.stream)) {
                let seconds = now.duration_since(watermark).as_secs_f64();
                self.shared.instruments.watermark_lag(source.source.as_str(), seconds);
            }
        }
    }
}
