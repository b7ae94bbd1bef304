//! From signals to an orderly end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process ended by SIGINT: 128 + 2, as shells count.
const INTERRUPTED: i32 = 130;

/// A token that is cancelled by the first SIGTERM or SIGINT. A SIGINT after that ends the process at once with exit code 130:
/// whoever presses Ctrl-C twice does not want to wait for the drain.
///
/// Call it once, early in `main`: from then on these signals no longer end the process by themselves.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn on_signal() -> io::Result<CancellationToken> {
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    #[allow(clippy::disallowed_methods, reason = "the listener lives as long as the process, so it joins no group")]
    tokio::spawn(listen(terminate, interrupt, token.clone()));
    Ok(token)
}

async fn listen(mut terminate: Signal, mut interrupt: Signal, token: CancellationToken) {
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "shutting down");
    token.cancel();
    interrupt.recv().await;
    tracing::warn!(signal = "SIGINT", "interrupted while shutting down: ending at once");
    std::process::exit(INTERRUPTED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sigterm_cancels_the_token() {
        let token = on_signal().unwrap();
        assert!(!token.is_cancelled());
        // The handler is installed, so this test's own process outlives the signal.
        let status = std::process::Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
        assert!(status.success());
        token.cancelled().await;
    }
}
