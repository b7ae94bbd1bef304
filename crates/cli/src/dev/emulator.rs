//! The embedded DynamoDB: a library, served over HTTP on loopback so that everything talks to it through the real SDK.

use std::path::Path;

use dynoxide::Database;
use tidemark_runtime::process::Failure;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A running emulator.
pub(crate) struct Emulator {
    database: Database,
    url: String,
}

impl Emulator {
    /// Opens the database and serves it until its task is stopped.
    pub(crate) fn start(data_dir: Option<&Path>, listener: TcpListener, tasks: &mut JoinSet<()>) -> Result<Self, Failure> {
        let database = match data_dir {
            None => Database::memory(),
            Some(directory) => Database::new(&file_in(directory)?),
        };
        let database = database.map_err(|error| Failure::failed(format!("the embedded database cannot be opened: {error}")))?;
        let url = format!("http://{}", listener.local_addr()?);
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

/// The database file of a data directory.
fn file_in(directory: &Path) -> Result<String, Failure> {
    let file = directory.join("dynamodb.sqlite").into_os_string().into_string();
    file.map_err(|_| {
        Failure::wrong_use(format!("--data-dir {}: the embedded database takes only names in UTF-8", directory.display()))
    })
}
