//! The HTTP API over the aggregates. API.md is its contract.
//!
//! A request passes the layers of `router.rs`, is given a tenant by `auth.rs`, and answered by a handler in `routes/`; the one
//! query lives in `query/`. Everything that refuses ends in `problem.rs`.

use std::sync::Arc;

use aws_types::SdkConfig;
use tidemark_domain::{Definitions, Running};
use tidemark_runtime::aws::calls;
use tidemark_runtime::clock;
use tidemark_store::{AdoptError, KeySigner, RunningDefinitions, Store};
use tidemark_streams::Streams;
use tidemark_webhooks::policy::UrlPolicy;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod accept;
mod answers;
mod auth;
mod body;
mod connections;
mod definitions;
mod docs;
mod edge;
mod etag;
mod freshness;
mod idempotency;
mod instruments;
mod inventory;
mod iso8601;
mod layers;
mod limits;
pub mod openapi;
mod own_rates;
mod page;
mod params;
mod problem;
mod query;
mod router;
mod routes;
mod serve;
mod settings;
mod sources;
mod state;
mod webhooks;
mod zones;

pub use connections::ConnectionLimits;
pub use edge::{DRAIN_DELAY, Docs, EdgeSettings, InvalidDocs, InvalidOrigin, Origins};
pub use limits::{Rate, Rates};
pub use settings::{ALL as SETTINGS, API_ADDR, InvalidIssuer, IssuerUrl, OidcSettings, Settings};

use answers::Answers;
use auth::oidc::Tokens;
use connections::Connections;
use limits::Limits;
use own_rates::{OwnRates, Waiting};
use state::ApiState;
use webhooks::Webhooks;
use zones::Zones;

/// One API over one pair of tables, with its definitions running.
#[derive(Debug)]
pub struct Api {
    state: ApiState,
    edge: EdgeSettings,
    rates_waiting: Waiting,
}

/// Why an API does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] tidemark_store::Error),
}

impl Api {
    /// Checks the tables and the definition file. What runs is for workers to change: they know whether its tables are there.
    ///
    /// # Errors
    /// When a table is missing or cannot be reached.
    pub async fn start(aws: &SdkConfig, settings: &Settings, file: &Definitions) -> Result<Self, Error> {
        let calls = calls::interceptor();
        let store = Store::new(aws, settings.tables.clone()).with_interceptor(calls.clone());
        store.verify_tables().await?;
        let running = running(&store, file).await?;
        tracing::info!(definitions = running.version, "API started");
        let running = RunningDefinitions::new(store.clone(), running);
        let streams = Streams::new(aws, settings.tables.control.clone()).with_interceptor(calls);
        let policy = UrlPolicy::new(settings.webhook_allow.clone(), settings.webhook_deny.clone());
        let webhooks = Webhooks::new(policy, &settings.keys);
        let (limits, answers) = (Arc::new(Limits::new(settings.edge.rates)), Answers::new(settings.edge.shared_for));
        let keys = Arc::new(settings.keys.clone());
        let key_signer = Arc::new(KeySigner::new(&keys.current, keys.previous.as_deref()));
        let tokens = settings.oidc.clone().map(Tokens::new);
        let zones = Zones::new(store.clone());
        let (own_rates, rates_waiting) = OwnRates::new(settings.edge.own_rates_known_for);
        let skew_watch = Arc::default();
        let state = ApiState {
            store,
            streams,
            keys,
            key_signer,
            running,
            webhooks,
            limits,
            own_rates,
            answers,
            zones,
            skew_watch,
            tokens,
        };
        Ok(Self { state, edge: settings.edge.clone(), rates_waiting })
    }

    /// Answers requests until `shutdown`, and goes on for the drain's delay; then those under way are finished, and it returns.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(definitions::follow(self.state.running.clone(), shutdown.clone()));
        tasks.spawn(self.state.own_rates.clone().follow(self.state.store.clone(), self.rates_waiting, shutdown.clone()));
        let memory = Arc::clone(&self.state.limits.memory);
        let router = router::router(self.state, &self.edge, shutdown.clone());
        let connections = Connections::new(self.edge.connections);
        serve::serve(listener, router, connections, memory, shutdown, self.edge.drain_delay).await;
        while tasks.join_next().await.is_some() {}
    }
}

/// What an API serves: what runs. A file that contradicts it ends the start of workers only: it would be served as before, whatever
/// the file says. Where nothing runs yet, the file is served, until a worker has adopted one.
async fn running(store: &Store, file: &Definitions) -> Result<Running, Error> {
    let refused = match store.propose(file, clock::now()).await {
        Ok(proposal) => {
            proposal.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            if proposal.next.is_some() {
                tracing::info!("the definition file has what does not run yet: it begins when a worker has adopted it");
            }
            return Ok(proposal.running);
        }
        Err(AdoptError::Store(error)) => return Err(error.into()),
        Err(AdoptError::Refused(refused)) => refused,
    };
    tracing::error!("no worker will start with this definition file, and what runs is served: {refused}");
    let running = store.running().await?;
    Ok(running.expect("only what runs refuses a file"))
}
