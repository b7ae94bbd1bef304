//! Follows the running definitions as other processes change them. STREAMS.md §5.

use std::time::Duration;

use tidemark_runtime::process::chain;
use tidemark_store::RunningDefinitions;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often the running document is read again: an answer is by definitions at most about this old.
const REREAD_EVERY: Duration = Duration::from_secs(2);

/// Keeps `running` up to date until `shutdown`. When the document cannot be read, the last one stays in force.
pub(crate) async fn follow(running: RunningDefinitions, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(REREAD_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = running.reload().await {
            tracing::warn!(error = %chain(&error), "the running definitions cannot be read; the last ones stay in force");
        }
    }
}
