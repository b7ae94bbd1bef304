//! What a process says of itself: ready for work, and alive.
//!
//! Readiness is a state that the process sets; a probe makes no call of its own. Liveness is a set of watchdogs, each touched
//! by a task that makes progress.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The health of one process; clones share it.
#[derive(Debug, Clone)]
pub struct Health {
    readiness: watch::Sender<Readiness>,
    watchdogs: Arc<Mutex<Vec<Watchdog>>>,
}

/// Whether the process takes work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// It does not, for this reason, which `/readyz` shows.
    NotReady(Cow<'static, str>),
}

/// A watchdog says that its task makes no progress.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{task}: no progress for {idle_ms} ms, {allowed_ms} ms allowed")]
pub struct Stalled {
    task: &'static str,
    idle_ms: u128,
    allowed_ms: u128,
}

/// Held by a task that must make progress; clones share it. Dropping the last one ends the watch.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Mutex<Instant>>);

#[derive(Debug)]
struct Watchdog {
    task: &'static str,
    allowed: Duration,
    touched: Weak<Mutex<Instant>>,
}

impl Health {
    /// The health of a process that is starting: alive, not ready.
    pub fn starting() -> Self {
        Self { readiness: watch::Sender::new(Readiness::NotReady("starting".into())), watchdogs: Arc::default() }
    }

    /// From now on the process takes work.
    pub fn ready(&self) {
        self.readiness.send_replace(Readiness::Ready);
    }

    /// From now on the process takes no new work.
    pub fn not_ready(&self, reason: impl Into<Cow<'static, str>>) {
        self.readiness.send_replace(Readiness::NotReady(reason.into()));
    }

    pub fn readiness(&self) -> Readiness {
        self.readiness.borrow().clone()
    }

    /// Returns once the process is ready.
    pub async fn until_ready(&self) {
        let ready = |readiness: &Readiness| *readiness == Readiness::Ready;
        self.readiness.subscribe().wait_for(ready).await.expect("self holds the sender");
    }

    /// Watches a task: the process counts as stalled when [`Progress::touch`] has not been called for longer than `allowed`.
    pub fn watch(&self, task: &'static str, allowed: Duration) -> Progress {
        let progress = Progress(Arc::new(Mutex::new(Instant::now())));
        let mut watchdogs = self.watchdogs.lock().unwrap_or_else(PoisonError::into_inner);
        watchdogs.retain(|watchdog| watchdog.touched.strong_count() > 0);
        watchdogs.push(Watchdog { task, allowed, touched: Arc::downgrade(&progress.0) });
        progress
    }

    /// Whether every watched task makes progress.
    ///
    /// # Errors
    /// The first that does not.
    pub fn liveness(&self) -> Result<(), Stalled> {
        let watchdogs = self.watchdogs.lock().unwrap_or_else(PoisonError::into_inner);
        watchdogs.iter().try_for_each(Watchdog::check)
    }
}

impl Watchdog {
    fn check(&self) -> Result<(), Stalled> {
        let Some(touched) = self.touched.upgrade() else { return Ok(()) };
        let idle = touched.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if idle <= self.allowed {
            return Ok(());
        }
        Err(Stalled { task: self.task, idle_ms: idle.as_millis(), allowed_ms: self.allowed.as_millis() })
    }
}

impl Progress {
    /// The task has just made progress.
    pub fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_without_progress_is_stalled_until_it_makes_some() {
        let health = Health::starting();
        let progress = health.watch("reader", Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(health.liveness(), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        let stalled = health.liveness().unwrap_err().to_string();
        assert_eq!(stalled, "reader: no progress for 61000 ms, 60000 ms allowed");
        progress.touch();
        assert_eq!(health.liveness(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ended_is_watched_no_more() {
        let health = Health::starting();
        let progress = health.watch("shard", Duration::from_secs(1));
        drop(progress.clone());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(health.liveness().is_err(), "a clone is left");
        drop(progress);
        assert_eq!(health.liveness(), Ok(()));
    }

    #[tokio::test]
    async fn readiness_is_seen_by_every_clone() {
        let health = Health::starting();
        assert_eq!(health.readiness(), Readiness::NotReady("starting".into()));
        health.clone().ready();
        health.until_ready().await;
        health.clone().not_ready("draining");
        assert_eq!(health.readiness(), Readiness::NotReady("draining".into()));
    }
}
