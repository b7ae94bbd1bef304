//! `tidemark dev`: the whole system in one process, on an embedded DynamoDB.
//!
//! It reaches nothing but its own emulator: no AWS variable, profile or metadata service is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tidemark_domain::{Definitions, TenantId};
use tidemark_runtime::health::Health;
use tidemark_runtime::settings::Vars;
use tidemark_runtime::telemetry::{self, LogFormat};
use tidemark_runtime::{admin, aws, clock, listen, shutdown};
use tidemark_store::{Holder, NewKey, Scope, Store, Tables, Tenant};
use tidemark_streams::{Start, Streams};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Failure;
use crate::command::Dev;
use crate::connection::{Connection, read_definitions};
use crate::init::{create_sources, create_tables};

mod banner;
mod emulator;
mod sample;

use banner::Banner;
use emulator::Emulator;

const RETAIL: &str = include_str!("../../../definitions/retail.yaml");
/// Nobody shares the leases of a dev process, so a killed one's need not be waited for long.
const LEASE_TTL: Duration = Duration::from_secs(2);
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) async fn run(options: Dev) -> Result<(), Failure> {
    let definitions = match &options.definitions {
        None => Definitions::parse(RETAIL).expect("the built-in definitions are tested"),
        Some(path) => read_definitions(path)?,
    };
    let stop = shutdown::on_signal().context("signals cannot be handled")?;
    // Logs of a quiet run would drown the banner; RUST_LOG asks for them.
    let telemetry = telemetry::init("tidemark-dev", LogFormat::of_stderr(), &Vars::from_process());
    let api_listener = listen::listen(loopback(options.port), "--port").await.map_err(anyhow::Error::from)?;
    let admin_listener = listen::listen(loopback(0), "the admin port").await.map_err(anyhow::Error::from)?;
    let emulator_listener =
        listen::listen(loopback(options.dynamodb_port), "--dynamodb-port").await.map_err(anyhow::Error::from)?;

    let address = |listener: &tokio::net::TcpListener| listener.local_addr().map(|address| format!("http://{address}"));
    let api_url = address(&api_listener).context("the API's address")?;
    let admin_url = address(&admin_listener).context("the admin port's address")?;

    let mut tasks = JoinSet::new();
    let emulator = Emulator::start(options.data_dir.as_deref(), emulator_listener, &mut tasks)?;
    let config = aws::at_endpoint(emulator.url(), "tidemark");
    let tables = Tables { data: "tidemark".to_owned(), control: "tidemark-control".to_owned() };
    let connection =
        Connection { store: Store::new(&config, tables.clone()), streams: Streams::new(&config, tables.control.clone()) };
    create_tables(&connection, &mut |line| tracing::debug!("{line}")).await?;
    create_sources(&connection, &definitions, &mut |line| tracing::debug!("{line}")).await?;
    let keys = create_keys(&connection.store, &definitions).await?;
    let operator_key = create_key(&connection.store, Holder::Operator).await?;

    let health = Health::starting();
    let settings = ingest_settings(tables.clone());
    let ingest = tidemark_ingest::Ingest::start(&config, &settings, &definitions).await.map_err(anyhow::Error::from)?;
    let api_settings = tidemark_api::Settings { api_addr: loopback(options.port), ..api_settings(tables) };
    let api = tidemark_api::Api::start(&config, &api_settings, &definitions).await.map_err(anyhow::Error::from)?;

    let services = stop.child_token();
    let mut workloads = JoinSet::new();
    workloads.spawn({
        let (health, stop) = (health.clone(), services.clone());
        async move {
            ingest.run(health, stop).await;
            Ok(())
        }
    });
    workloads.spawn({
        let stop = services.clone();
        async move { api.serve(api_listener, stop).await.context("the API ended") }
    });
    tasks.spawn(admin::serve(admin_listener, health.clone(), telemetry.registry().clone(), CancellationToken::new()));
    tokio::select! {
        () = health.until_ready() => {}
        () = services.cancelled() => {}
        Some(ended) = workloads.join_next() => return Err(ended_early(ended).into()),
    }
    let banner = Banner { api_url, admin_url, dynamodb_url: emulator.url().to_owned(), keys, operator_key };
    if options.json {
        banner.print_json()
    } else {
        banner.print(&definitions, options.no_sample_data)
    }
    if !options.no_sample_data {
        tasks.spawn(sample::write(emulator.database(), definitions, services.clone()));
    }
    let mut result = Ok(());
    while let Some(ended) = workloads.join_next().await {
        if !services.is_cancelled() {
            services.cancel();
            result = Err(Failure::from(ended_early(ended)));
        }
    }
    // The emulator goes last: the worker has released its shards, and a database on disk is whole at any moment.
    tasks.shutdown().await;
    result
}

fn ended_early(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow::anyhow!("a workload ended by itself"),
        Ok(Err(error)) => error,
        Err(panicked) => anyhow::Error::from(panicked).context("a workload panicked"),
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn ingest_settings(tables: Tables) -> tidemark_ingest::Settings {
    tidemark_ingest::Settings {
        definitions: String::new(),
        tables,
        admin_addr: loopback(0),
        start: Start::TrimHorizon,
        worker_id: "dev".to_owned(),
        flush_interval: FLUSH_INTERVAL,
        lease_ttl: LEASE_TTL,
    }
}

fn api_settings(tables: Tables) -> tidemark_api::Settings {
    tidemark_api::Settings {
        definitions: String::new(),
        tables,
        api_addr: loopback(0),
        admin_addr: loopback(0),
        keys: tidemark_api::SecretKeys { current: rand::random(), previous: None },
    }
}

/// A key for every tenant that the definitions name, and for the sample tenants.
async fn create_keys(store: &Store, definitions: &Definitions) -> anyhow::Result<BTreeMap<TenantId, String>> {
    use tidemark_domain::definition::TenantRule;
    let named = definitions.sources.values().filter_map(|source| match &source.tenant {
        TenantRule::Constant(tenant) => Some(tenant.clone()),
        TenantRule::Attribute { default, .. } => default.clone(),
    });
    let tenants: BTreeSet<TenantId> = named.chain(sample::tenants()).collect();
    let mut keys = BTreeMap::new();
    for tenant in tenants {
        let key = create_key(store, Holder::Tenant(Tenant::named_by_operator(tenant.clone()))).await?;
        keys.insert(tenant, key);
    }
    Ok(keys)
}

async fn create_key(store: &Store, holder: Holder) -> anyhow::Result<String> {
    use secrecy::ExposeSecret;
    let scopes = match holder {
        Holder::Operator => [Scope::Operator].into(),
        Holder::Tenant(_) => Scope::of_tenants(),
    };
    let new = NewKey { holder, scopes, name: Some("dev".to_owned()), expires_at: None };
    let issued = store.create_key(&new, clock::now()).await.context("a key cannot be made")?;
    Ok(issued.key.expose_secret().to_owned())
}

/// Opens the database of a data directory, which is made if it is not there.
fn database_file(directory: &Path) -> anyhow::Result<String> {
    std::fs::create_dir_all(directory).with_context(|| format!("--data-dir {} cannot be made", directory.display()))?;
    let file = directory.join("dynamodb.sqlite");
    file.into_os_string().into_string().map_err(|_| anyhow::anyhow!("--data-dir is no text"))
}
