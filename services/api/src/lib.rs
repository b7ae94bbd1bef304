//! The HTTP API over the aggregates. API.md is its contract.
//!
//! A request passes the layers of `router.rs`, is given a tenant by `auth.rs`, and answered by a handler in `routes/`; the one
//! query lives in `query/`. Everything that refuses ends in `problem.rs`.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use tidemark_domain::definition;
use tidemark_runtime::health::Health;
use tidemark_store::{AdoptError, Store};
use tidemark_streams::Streams;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod accept;
mod auth;
mod definitions;
mod freshness;
mod layers;
pub mod openapi;
mod page;
mod params;
mod problem;
mod query;
mod router;
mod routes;
pub mod settings;
mod sources;
mod state;

use settings::Settings;
use state::ApiState;

/// Longest time that requests under way at shutdown are waited for; each has its own, shorter limit.
const DRAIN_MAX: Duration = Duration::from_secs(15);

/// One API over one pair of tables.
#[derive(Debug)]
pub struct Api {
    settings: Settings,
    store: Store,
    streams: Streams,
    health: Health,
}

/// Why an API does not start, or ends early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the definition file {path} cannot be read")]
    Unreadable {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the definition file {path} is wrong:\n{invalid}")]
    Invalid { path: String, invalid: definition::Invalid },
    #[error(transparent)]
    Adopt(AdoptError),
    #[error("the API cannot go on listening")]
    Listen(#[source] std::io::Error),
}

impl Api {
    /// An API that has not started. Nothing is read or called here.
    pub fn new(aws: &SdkConfig, settings: &Settings) -> Self {
        Self {
            store: Store::new(aws, settings.tables.clone()),
            streams: Streams::new(aws, settings.tables.control.clone()),
            settings: settings.clone(),
            health: Health::starting(),
        }
    }

    /// Ready once the definitions run and the tables are there, until the shutdown.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Starts, and answers requests until `shutdown`; then those under way are finished, and it returns.
    ///
    /// # Errors
    /// When the definition file or the tables do not let it start.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), Error> {
        let file = definitions::read_file(&self.settings.definitions)?;
        let Some(running) = definitions::adopt(&self.store, &file, &shutdown).await? else { return Ok(()) };
        let (sender, running) = watch::channel(Arc::new(running));
        let mut tasks = JoinSet::new();
        tasks.spawn(definitions::follow(self.store.clone(), sender, shutdown.clone()));
        let state = ApiState { store: self.store, streams: self.streams, keys: Arc::new(self.settings.keys), running };
        let draining = {
            let (health, shutdown) = (self.health.clone(), shutdown.clone());
            async move {
                shutdown.cancelled().await;
                health.not_ready("shutting down");
            }
        };
        let server = axum::serve(listener, router::router(state)).with_graceful_shutdown(draining).into_future();
        self.health.ready();
        tracing::info!("answering requests");
        tokio::select! {
            served = server => served.map_err(Error::Listen)?,
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
