//! Waiting for a condition, with a deadline: the tests' only way to let time pass.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Returns as soon as the condition holds.
///
/// # Panics
/// When it does not within the deadline; the message says `what` was waited for.
pub async fn wait_until(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !condition().await {
        assert!(Instant::now() < end, "{what}: not within {deadline:?}");
        sleep(POLL).await;
    }
}
