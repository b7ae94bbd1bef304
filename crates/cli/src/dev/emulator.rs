//! The embedded DynamoDB: a library, served over HTTP on loopback so that everything talks to it through the real SDK.

use std::path::Path;

use anyhow::{Context, anyhow};
use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A running emulator.
pub(crate) struct Emulator {
    database: Database,
    url: String,
}

impl Emulator {
    /// Opens the database and serves it until its task is stopped.
    pub(crate) fn start(data_dir: Option<&Path>, listener: TcpListener, tasks: &mut JoinSet<()>) -> anyhow::Result<Self> {
        let database = match data_dir {
            None => Database::memory(),
            Some(directory) => Database::new(&super::database_file(directory)?),
        };
        let database = database.map_err(|error| anyhow!("the embedded database cannot be opened: {error}"))?;
        let url = format!("http://{}", listener.local_addr().context("the emulator's address")?);
        tasks.spawn(dynoxide::server::serve_on(listener, database.clone()));
        Ok(Self { database, url })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn database(&self) -> Database {
        self.database.clone()
    }
}
