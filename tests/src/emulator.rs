//! The DynamoDB behind a world: embedded, or DynamoDB Local where a variable names one.

use anyhow::Context;
use dynoxide::Database;
use rand::distr::{Alphanumeric, SampleString};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The variable that names a running DynamoDB Local, such as `http://127.0.0.1:8000`. `tests/dynamodb-local.sh` sets it.
const ENDPOINT: &str = "TIDEMARK_TEST_DYNAMODB";

/// A DynamoDB that holds this world's data and no other's.
pub(crate) struct Emulator {
    pub(crate) url: String,
    /// DynamoDB Local keeps one database per access key, so a random one (its alphabet is `A-Z a-z 0-9`) is a world of its own.
    pub(crate) access_key: String,
}

impl Emulator {
    pub(crate) async fn start(tasks: &mut JoinSet<()>) -> anyhow::Result<Self> {
        let access_key = Alphanumeric.sample_string(&mut rand::rng(), 16);
        #[allow(clippy::disallowed_methods, reason = "which emulator the tests run against is no setting of Tidemark's")]
        let url = match std::env::var(ENDPOINT) {
            Ok(url) => url.trim_end_matches('/').to_owned(),
            Err(_) => embed(tasks).await?,
        };
        Ok(Self { url, access_key })
    }
}

async fn embed(tasks: &mut JoinSet<()>) -> anyhow::Result<String> {
    let database = Database::memory().context("cannot make an embedded DynamoDB")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tasks.spawn(dynoxide::server::serve_on(listener, database));
    Ok(url)
}
