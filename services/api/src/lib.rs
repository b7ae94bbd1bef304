//! The HTTP API over the aggregates. API.md is its contract.
//!
//! A request passes the layers of `router.rs`, is given a tenant by `auth.rs`, and answered by a handler in `routes/`; the one
//! query lives in `query/`. Everything that refuses ends in `problem.rs`.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use tidemark_domain::Definitions;
use tidemark_runtime::clock;
use tidemark_store::{AdoptError, RunningDefinitions, Store};
use tidemark_streams::Streams;
use tidemark_webhooks::policy::UrlPolicy;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod accept;
mod auth;
mod body;
mod definitions;
mod etag;
mod freshness;
mod inventory;
mod iso8601;
mod layers;
pub mod openapi;
mod page;
mod params;
mod problem;
mod query;
mod router;
mod routes;
mod settings;
mod sources;
mod state;
mod webhooks;

pub use settings::{ALL as SETTINGS, API_ADDR, Settings};
use state::ApiState;
use webhooks::Webhooks;

/// Longest time that requests under way at shutdown are waited for; each has its own, shorter limit.
const DRAIN_MAX: Duration = Duration::from_secs(15);

/// One API over one pair of tables, with its definitions running.
#[derive(Debug)]
pub struct Api {
    state: ApiState,
}

/// Why an API does not start, or ends early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] tidemark_store::Error),
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    #[error("the API cannot go on listening")]
    Listen(#[source] std::io::Error),
}

impl Api {
    /// Checks the tables and adopts the definition file.
    ///
    /// # Errors
    /// When a table is missing or cannot be reached, or the file contradicts what runs.
    pub async fn start(aws: &SdkConfig, settings: &Settings, file: &Definitions) -> Result<Self, Error> {
        let store = Store::new(aws, settings.tables.clone());
        store.verify_tables().await?;
        let adopted = store.adopt(file, clock::now()).await?;
        for warning in &adopted.warnings {
            tracing::warn!("{warning}");
        }
        tracing::info!(definitions = adopted.running.version, "API started");
        let running = RunningDefinitions::new(store.clone(), adopted.running);
        let streams = Streams::new(aws, settings.tables.control.clone());
        let policy = UrlPolicy::new(settings.webhook_allow.clone(), settings.webhook_deny.clone());
        let webhooks = Webhooks::new(policy, &settings.keys);
        let state = ApiState { store, streams, keys: Arc::new(settings.keys.clone()), running, webhooks };
        Ok(Self { state })
    }

    /// Answers requests until `shutdown`; then those under way are finished, and it returns.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), Error> {
        let mut tasks = JoinSet::new();
        tasks.spawn(definitions::follow(self.state.running.clone(), shutdown.clone()));
        let server = axum::serve(listener, router::router(self.state)).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        tokio::select! {
            served = server.into_future() => served.map_err(Error::Listen)?,
            () = overdue(&shutdown) => tracing::warn!("requests still under way were dropped at shutdown"),
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

async fn overdue(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(DRAIN_MAX).await;
}
