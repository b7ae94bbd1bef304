//! Pausing: a worker that could not show for a while that it lives stops reading and committing until it can.
//!
//! Others may be taking its shards meanwhile. Safety does not depend on it (the fence refuses what comes too late); it spares
//! work that would be thrown away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Tells all shards of a worker to pause.
#[derive(Debug, Default)]
pub(crate) struct PauseSwitch(Pause);

/// Whether to pause; one for each that must.
///
/// A `watch` would wake those that wait in an order of chance; here they go on in the order in which they came, so that the
/// simulation can replay it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pause(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_paused: AtomicBool,
    lifted: Notify,
}

impl PauseSwitch {
    /// Sets whether shards pause.
    pub(crate) fn set(&self, is_paused: bool) {
        let State { is_paused: paused, lifted } = &*self.0.0;
        if paused.swap(is_paused, Ordering::SeqCst) == is_paused {
            return;
        }
        if is_paused {
            tracing::warn!("this worker could not show that it lives; its shards pause until it can");
        } else {
            tracing::info!("this worker's shards go on");
            lifted.notify_waiters();
        }
    }

    pub(crate) fn subscribe(&self) -> Pause {
        self.0.clone()
    }
}

impl Pause {
    /// Returns at once, or as soon as the pause is over.
    pub(crate) async fn over(&self) {
        loop {
            // Before the look: whatever is lifted after it wakes this.
            let lifted = self.0.lifted.notified();
            if !self.0.is_paused.load(Ordering::SeqCst) {
                return;
            }
            lifted.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pause_holds_until_it_is_lifted() {
        let switch = PauseSwitch::default();
        let pause = switch.subscribe();
        pause.over().await;
        switch.set(true);
        tokio::select! {
            biased;
            () = pause.over() => panic!("the pause is not over"),
            () = tokio::task::yield_now() => {}
        }
        switch.set(false);
        pause.over().await;
    }
}
