//! The running definitions, as one process knows them.

use std::sync::Arc;
use std::time::Duration;

use tidemark_domain::Running;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Store;
use crate::error::Error;

/// The newest running document this process has seen; it is only replaced by a newer one.
#[derive(Debug, Clone)]
pub struct RunningDefinitions {
    store: Store,
    /// With when this process learnt of it.
    newest: watch::Sender<(Arc<Running>, Instant)>,
}

impl RunningDefinitions {
    /// Begins with what runs, or is to.
    pub fn new(store: Store, running: Running) -> Self {
        Self { store, newest: watch::Sender::new((Arc::new(running), Instant::now())) }
    }

    /// The newest document known; it does not wait.
    pub fn current(&self) -> Arc<Running> {
        self.known().0
    }

    /// The same, and for how long this process has known it.
    pub fn known(&self) -> (Arc<Running>, Duration) {
        let newest = self.newest.borrow();
        (Arc::clone(&newest.0), newest.1.elapsed())
    }

    /// Reads the document again.
    ///
    /// # Errors
    /// When it cannot be read, or a newer binary wrote it; what was known stays.
    pub async fn reload(&self) -> Result<(), Error> {
        let Some(read) = self.store.running().await? else { return Ok(()) };
        self.newest.send_if_modified(|known| {
            let is_newer = read.version > known.0.version;
            if is_newer {
                tracing::info!(from = known.0.version, to = read.version, "running definitions changed");
                *known = (Arc::new(read), Instant::now());
            }
            is_newer
        });
        Ok(())
    }
}
