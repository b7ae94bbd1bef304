//! How the commands other than `dev` reach Tidemark's tables.

use std::path::Path;

use anyhow::Context;
use tidemark_domain::Definitions;
use tidemark_runtime::settings::deployment::{CONTROL_TABLE, TABLE};
use tidemark_runtime::settings::{Reader, Vars, parse};
use tidemark_store::{Store, Tables};
use tidemark_streams::Streams;

use crate::Failure;
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
        let (data, control) = (reader.read(&TABLE, parse::text), reader.read(&CONTROL_TABLE, parse::text));
        let tables = reader.finish(|| Some(Tables { data: data?, control: control? })).map_err(Failure::wrong_use)?;
        let config = tidemark_runtime::aws::from_environment().await.map_err(Failure::wrong_use)?;
        let streams = Streams::new(&config, tables.control.clone());
        Ok(Self { store: Store::new(&config, tables), streams })
    }
}

/// Reads and checks a definition file.
pub(crate) fn read_definitions(path: &Path) -> Result<Definitions, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{shown} cannot be read")).map_err(Failure::WrongUse)?;
    Definitions::parse(&text).map_err(|invalid| Failure::WrongUse(anyhow::anyhow!("{shown} has problems:\n{invalid}")))
}

impl DefinitionFile {
    pub(crate) fn read(&self) -> Result<Definitions, Failure> {
        let missing =
            || Failure::WrongUse(anyhow::anyhow!("no definition file: give --definitions FILE, or set TIDEMARK_DEFINITIONS"));
        read_definitions(self.path.as_deref().ok_or_else(missing)?)
    }
}
