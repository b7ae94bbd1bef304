//! Pausing: a worker that could not show for a while that it lives stops reading and committing until it can.
//!
//! Others may be taking its shards meanwhile. Safety does not depend on it (the fence refuses what comes too late); it spares
//! work that would be thrown away.

use tokio::sync::watch;

/// Tells all shards of a worker to pause.
#[derive(Debug, Default)]
pub(crate) struct PauseSwitch(watch::Sender<bool>);

/// Whether to pause; one for each that must.
#[derive(Debug, Clone)]
pub(crate) struct Pause(watch::Receiver<bool>);

impl PauseSwitch {
    /// Sets whether shards pause.
    pub(crate) fn set(&self, is_paused: bool) {
        self.0.send_if_modified(|paused| {
            let has_changed = *paused != is_paused;
            if has_changed {
                *paused = is_paused;
                if is_paused {
                    tracing::warn!("this worker could not show that it lives; its shards pause until it can");
                } else {
                    tracing::info!("this worker's shards go on");
                }
            }
            has_changed
        });
    }

    pub(crate) fn subscribe(&self) -> Pause {
        Pause(self.0.subscribe())
    }
}

impl Pause {
    /// Returns at once, or as soon as the pause is over.
    pub(crate) async fn over(&self) {
        // A switch that is gone pauses nobody.
        drop(self.0.clone().wait_for(|paused| !paused).await);
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
