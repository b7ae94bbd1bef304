//! The running definitions, as this process knows them.

use std::sync::Arc;

use tidemark_domain::Running;
use tidemark_store::Store;
use tokio::sync::watch;

/// The newest running document this process has seen; it is only replaced by a newer one.
#[derive(Debug, Clone)]
pub(crate) struct RunningDefinitions {
    store: Store,
    newest: watch::Sender<Arc<Running>>,
}

impl RunningDefinitions {
    pub(crate) fn new(store: Store, running: Running) -> Self {
        Self { store, newest: watch::Sender::new(Arc::new(running)) }
    }

    pub(crate) fn current(&self) -> Arc<Running> {
        self.newest.borrow().clone()
    }

    /// Reads the document again.
    ///
    /// # Errors
    /// When it cannot be read, or a newer binary wrote it; what was known stays.
    pub(crate) async fn reload(&self) -> Result<(), tidemark_store::Error> {
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
