//! The running definitions, as one process knows them.

use std::sync::Arc;

use tidemark_domain::Running;
use tokio::sync::watch;

use crate::Store;
use crate::error::Error;

/// The newest running document this process has seen; it is only replaced by a newer one.
#[derive(Debug, Clone)]
pub struct RunningDefinitions {
    store: Store,
    newest: watch::Sender<Arc<Running>>,
}

impl RunningDefinitions {
    /// Begins with what runs, or is to.
    pub fn new(store: Store, running: Running) -> Self {
        Self { store, newest: watch::Sender::new(Arc::new(running)) }
    }

    /// The newest document known; it does not wait.
    pub fn current(&self) -> Arc<Running> {
        self.newest.borrow().clone()
    }

    /// Reads the document again.
    ///
    /// # Errors
    /// When it cannot be read, or a newer binary wrote it; what was known stays.
    pub async fn reload(&self) -> Result<(), Error> {
        let Some(read) = self.store.running().await? else { return Ok(()) };
        self.newest.send_if_modified(|known| {
            let is_newer = read.version > known.version;
            if is_newer {
                tracing::info!(from = known.version, to = read.version, "running definitions changed");
                *known = Arc::new(read);
            }
            is_newer
        });
        Ok(())
    }
}
