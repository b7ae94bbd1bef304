//! Looking at what is stored: the workers often, the shards only when something about them has changed.
//!
//! Shards come, go and change hands by some worker's doing alone, and each worker's item counts how often that happened. So
//! while nothing happens, one small Query tells; the shards' own sixteen are made when a count has moved, and now and then.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Worker;
use crate::error::Error;
use crate::id::WorkerId;

/// The shards are read again after this long, whatever the workers say: an operator may have changed some.
const SHARDS_INTERVAL: Duration = Duration::from_secs(30);
/// The workers are looked at this often at least: what one of them leaves or releases is read on within a second.
const WORKERS_INTERVAL: Duration = Duration::from_millis(750);
/// Before a page is listed, what is known of the others is at most this old: one of them may have begun to list.
const LISTING_INTERVAL: Duration = Duration::from_millis(500);

/// When what was looked at, and when to look again.
#[derive(Debug)]
pub(super) struct Looks {
    is_forced: bool,
    workers_at: Option<Instant>,
    retry_at: Option<Instant>,
    shards_due: Instant,
    changes: BTreeMap<WorkerId, u64>,
    pub(super) streams_due: Instant,
    pub(super) tables_at: Instant,
}

impl Looks {
    pub(super) fn new(streams_due: Instant, mono: Instant) -> Self {
        Self {
            is_forced: true,
            workers_at: None,
            retry_at: None,
            shards_due: mono,
            changes: BTreeMap::new(),
            streams_due,
            tables_at: mono,
        }
    }

    /// Looks at everything with the next tick.
    pub(super) fn force(&mut self) {
        self.is_forced = true;
    }

    /// Looks at everything at this time, or before.
    pub(super) fn retry_at(&mut self, mono: Instant) {
        self.retry_at = Some(mono);
    }

    fn must_look(&self, mono: Instant) -> bool {
        self.is_forced || self.retry_at.is_some_and(|at| mono >= at)
    }

    fn is_due(&self, interval: Duration, mono: Instant) -> bool {
        self.must_look(mono) || self.workers_at.is_none_or(|at| mono.saturating_duration_since(at) >= interval)
    }
}

impl Worker {
    /// Reads the stored workers and shards again, if it is time. Says whether it did.
    pub(super) async fn look(&mut self, mono: Instant) -> Result<bool, Error> {
        let mut interval = self.membership.interval().min(WORKERS_INTERVAL);
        if self.sources.iter().any(|source| source.is_page_due(&self.membership, mono)) {
            interval = interval.min(LISTING_INTERVAL);
        }
        // Whether one that is silent for the lease's time has beaten since.
        let since = self.looks.workers_at.filter(|at| self.membership.falls_silent(*at, mono));
        if since.is_none() && !self.looks.is_due(interval, mono) {
            return Ok(false);
        }
        let mut workers = self.streams.workers().await?;
        // Counted before the shards are read: a change between the two is looked for once too often, never missed.
        let changes = self.membership.changes_of(&workers);
        if self.looks.must_look(mono) || changes != self.looks.changes || mono >= self.looks.shards_due {
            for source in &mut self.sources {
                source.graph.replace(self.streams.shards(source.graph.stream()).await?);
            }
            // After the shards: a worker is stored before it owns any, so that every live owner of those is among these.
            workers = self.streams.workers().await?;
            self.looks.changes = changes;
            self.looks.shards_due = mono + SHARDS_INTERVAL;
            self.looks.is_forced = false;
            self.looks.retry_at = None;
            self.settle_succession();
        }
        self.membership.observe(workers, mono);
        for source in &self.sources {
            source.delay.others(self.membership.delay_by_others(source.graph.stream(), mono));
        }
        self.looks.workers_at = Some(mono);
        for dead in self.membership.to_forget(mono) {
            match self.streams.forget_dead(&dead).await {
                Ok(true) => tracing::info!(worker = %dead.id, "a worker that has been silent for the lease's time is forgotten"),
                Ok(false) => {}
                Err(error) => {
                    // It costs others a wait, and nothing else: the next look tries again.
                    tracing::debug!(%error, worker = %dead.id, "a dead worker cannot be forgotten for now");
                    break;
                }
            }
        }
        Ok(true)
    }
}
