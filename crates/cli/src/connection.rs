//! How the commands other than `dev` reach Tidemark's tables.

use tidemark_domain::{Definitions, Running};
use tidemark_runtime::definitions;
use tidemark_runtime::process::Failure;
use tidemark_runtime::settings::{Reader, Vars, deployment};
use tidemark_store::{Store, Tables};
use tidemark_streams::Streams;

use crate::command::DefinitionFile;

/// Both halves of what Tidemark stores.
pub(crate) struct Connection {
    pub(crate) store: Store,
    pub(crate) streams: Streams,
}

impl Connection {
    pub(crate) async fn open() -> Result<Self, Failure> {
        let vars = Vars::from_process();
        let mut reader = Reader::new(&vars);
        let tables = deployment::tables(&mut reader).map(|(data, control)| Tables { data, control });
        let tables = reader.finish(|| tables).map_err(Failure::wrong_use)?;
        let config = tidemark_runtime::aws::from_environment().await.map_err(Failure::wrong_use)?;
        let streams = Streams::new(&config, tables.control.clone());
        Ok(Self { store: Store::new(&config, tables), streams })
    }

    /// The running definitions.
    pub(crate) async fn running(&self) -> Result<Running, Failure> {
        let running = self.store.running().await?;
        running.ok_or_else(|| Failure::failed("nothing runs yet: start tidemark-ingest with a definition file first"))
    }
}

impl DefinitionFile {
    pub(crate) fn read(&self) -> Result<Definitions, Failure> {
        let missing = || Failure::wrong_use("no definition file: give --definitions FILE, or set TIDEMARK_DEFINITIONS");
        definitions::read(self.path.as_deref().ok_or_else(missing)?, "--definitions").map_err(Failure::wrong_use)
    }
}
