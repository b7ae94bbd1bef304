//! `tidemark dev`: the whole system in one process, on an embedded DynamoDB.
//!
//! It reaches nothing but its own emulator: no AWS variable, profile or metadata service is looked at. Telemetry goes where the
//! standard variables say, as it does from the services.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use tidemark_api::{EdgeSettings, Rate, Rates};
use tidemark_domain::definition::Source;
use tidemark_domain::{Definitions, TenantId, Zone};
use tidemark_ingest::{Pace, WebhookSettings};
use tidemark_runtime::health::Health;
use tidemark_runtime::process::{self, Failure};
use tidemark_runtime::settings::{SecretKeys, Vars};
use tidemark_runtime::telemetry::{self, LogFormat, RUST_LOG, Telemetry};
use tidemark_runtime::{admin, aws, clock, definitions, listen, shutdown};
use tidemark_store::{AdoptError, Holder, KeySigner, NewKey, Scope, Store, Tables, Tenant};
use tidemark_streams::{Start, Streams};
use tidemark_webhooks::policy::Networks;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::command::{Dev, Tenants};
use crate::connection::Connection;
use crate::init::{create_sources, create_tables, create_tenants};
use crate::progress::Progress;

mod banner;
mod directory;
mod emulator;
mod example;
mod receiver;
mod sample;
mod secret;

use banner::Banner;
use directory::Directory;
use emulator::Emulator;
use receiver::{Outlet, Receiver};

const RETAIL: &str = include_str!("../../../definitions/retail.yaml");
/// Nobody shares the leases of a dev process, so a killed one's need not be waited for long.
const LEASE_TTL: Duration = Duration::from_secs(2);
/// What is logged on a terminal unless RUST_LOG says otherwise. The receiver logs what arrives only where it does not print it.
const QUIET: &str = "warn,tidemark::dev::receiver=info,dynoxide=error,opentelemetry=error,opentelemetry_sdk=error";
/// Ten times the default rates of a deployment, writes included: scripts that fill a trial with data need not wait. There is one user.
const RATES: Rates = Rates { key: Rate { per_second: 1000, burst: 2000 }, tenant: Rate { per_second: 4000, burst: 8000 } };
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
/// What keys are named that a run makes for itself.
const KEY_NAME: &str = "dev";
/// The keys of so many runs stay good, this one's included.
const RUNS_KEPT: usize = 10;

pub(crate) async fn run(options: Dev) -> Result<(), Failure> {
    let telemetry = telemetry::init("tidemark-dev", LogFormat::of_stderr(), &log_settings());
    let ran = Box::pin(work(options, &telemetry)).await;
    process::end(telemetry, ran).await
}

async fn work(options: Dev, telemetry: &Telemetry) -> Result<(), Failure> {
    let file = match &options.definitions {
        None => Definitions::parse(RETAIL).expect("the built-in definitions are tested"),
        Some(path) => definitions::read(path, "--definitions").map_err(Failure::wrong_use)?,
    };
    let stop = shutdown::on_signal()?;
    let api_listener = listen::listen(loopback(options.port), "--port").await?;
    let admin_listener = listen::listen(loopback(0), "the admin port").await?;
    let emulator_listener = listen::listen(loopback(options.dynamodb_port), "--dynamodb-port").await?;
    let webhook_listener = listen::listen(loopback(0), "the receiver's port").await?;
    let [api_url, admin_url, webhook_url] =
        [url_of(&api_listener)?, url_of(&admin_listener)?, format!("{}/", url_of(&webhook_listener)?)];

    let _until_the_end = options.data_dir.as_deref().map(Directory::take).transpose()?;
    let mut tasks = JoinSet::new();
    let emulator = Emulator::start(options.data_dir.as_deref(), emulator_listener, &mut tasks)?;
    let config = aws::at_endpoint(emulator.url(), "tidemark");
    let tables = Tables { data: "tidemark".to_owned(), control: "tidemark-control".to_owned() };
    let connection =
        Connection { store: Store::new(&config, tables.clone()), streams: Streams::new(&config, tables.control.clone()) };
    create_tables(&connection, Progress::Silent).await?;
    create_tenants(&connection, &options.tenants, Progress::Silent).await?;
    create_sources(&connection, &file, Progress::Silent).await?;
    sources_are_there(&connection, &file).await?;
    let secret_keys = secret::keys(options.data_dir.as_deref())?;
    let signer = KeySigner::new(&secret_keys.current, secret_keys.previous.as_deref());
    let keys = create_keys(&connection.store, &signer, &file, &options.tenants).await?;
    let operator_key = create_key(&connection.store, &signer, Holder::Operator).await?;

    // Before a worker runs: what an earlier run left to be delivered goes to where this one listens.
    let receiver = Receiver::register(&connection.store, &secret_keys, webhook_url.clone()).await?;
    let health = Health::starting();
    let ingest = tidemark_ingest::Ingest::start(&config, &ingest_settings(tables.clone(), secret_keys.clone()), &file).await;
    let ingest = ingest.map_err(|error| not_started(error, options.data_dir.as_deref()))?;
    let api = tidemark_api::Api::start(&config, &api_settings(tables, secret_keys), &file).await?;
    let services = stop.child_token();
    let mut workloads: JoinSet<Result<(), Failure>> = JoinSet::new();
    workloads.spawn(worker(ingest, health.clone(), services.clone()));
    let serving = services.clone();
    workloads.spawn(async move {
        api.serve(api_listener, serving).await;
        Ok(())
    });
    tasks.spawn(admin::serve(admin_listener, health.clone(), telemetry.registry().clone(), CancellationToken::new()));
    tokio::select! {
        () = health.until_ready() => {}
        () = services.cancelled() => {}
        Some(ended) = workloads.join_next() => return Err(ended_early(ended)),
    }
    let banner = Banner { api_url, admin_url, dynamodb_url: emulator.url().to_owned(), webhook_url, keys, operator_key };
    let outlet = if options.json {
        banner.print_json();
        Outlet::Log
    } else {
        banner.print(&file, Zone::utc().date_of(clock::now()));
        Outlet::Terminal
    };
    // Webhooks that came before wait in the socket's queue: the banner is the first thing to be seen.
    tasks.spawn(receiver.serve(webhook_listener, outlet));
    if !options.no_sample_data {
        tasks.spawn(sample::write(emulator.database(), file, services.clone()));
    }
    let mut result = Ok(());
    while let Some(ended) = workloads.join_next().await {
        if !services.is_cancelled() {
            services.cancel();
            result = Err(ended_early(ended));
        }
    }
    // The emulator goes last: the worker has released its shards, and a database on disk is whole at any moment.
    tasks.shutdown().await;
    result
}

/// On a terminal the banner is what a newcomer needs to see, not the log.
fn log_settings() -> Vars {
    let vars = Vars::from_process();
    if std::io::stderr().is_terminal() { vars.or(RUST_LOG.name, QUIET) } else { vars }
}

async fn worker(ingest: tidemark_ingest::Ingest, health: Health, stop: CancellationToken) -> Result<(), Failure> {
    ingest.run(health, stop).await;
    Ok(())
}

/// A table that is not there after what can be created was created comes by nobody: the emulator is this process's own.
///
/// # Errors
/// When there is such a one.
async fn sources_are_there(connection: &Connection, definitions: &Definitions) -> Result<(), Failure> {
    for (name, Source { table, .. }) in definitions.sources.iter().filter(|(_, source)| source.key.is_none()) {
        if let Err(tidemark_streams::Error::TableMissing { .. }) = connection.streams.describe_source(table).await {
            return Err(Failure::wrong_use(format!(
                "source {name}: `dev` has a DynamoDB of its own, and no table `{table}` in it; give the source a \
                 `key: {{ partition: … }}` with the names of the table's key attributes, and `dev` creates it"
            )));
        }
    }
    Ok(())
}

/// Why the worker does not start, with what its own words leave out: where data are kept, they were counted by another file.
fn not_started(error: tidemark_ingest::Error, data_dir: Option<&Path>) -> Failure {
    match (error, data_dir) {
        (tidemark_ingest::Error::Adopt(AdoptError::Refused(refused)), Some(directory)) => Failure::failed(format!(
            "{refused}\n`tidemark definitions` needs a `dev` that runs, with the file it ran with before; or use another --data-dir \
             than {}",
            directory.display()
        )),
        (error, _) => error.into(),
    }
}

fn ended_early(ended: Result<Result<(), Failure>, JoinError>) -> Failure {
    match ended {
        Ok(Ok(())) => Failure::failed("a workload ended by itself"),
        Ok(Err(failure)) => failure,
        Err(panicked) => panicked.into(),
    }
}

fn url_of(listener: &TcpListener) -> std::io::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn ingest_settings(tables: Tables, keys: SecretKeys) -> tidemark_ingest::Settings {
    tidemark_ingest::Settings {
        definitions: String::new(),
        tables,
        admin_addr: loopback(0),
        start: Start::TrimHorizon,
        worker_id: "dev".to_owned(),
        flush_interval: FLUSH_INTERVAL,
        lease_ttl: LEASE_TTL,
        alert_max_age: SignedDuration::from_hours(1),
        webhooks: WebhookSettings { keys, allow: loopback_networks(), deny: Networks::default(), pace: Pace::STANDARD },
    }
}

fn api_settings(tables: Tables, keys: SecretKeys) -> tidemark_api::Settings {
    tidemark_api::Settings {
        definitions: String::new(),
        tables,
        api_addr: loopback(0),
        admin_addr: loopback(0),
        keys,
        webhook_allow: loopback_networks(),
        webhook_deny: Networks::default(),
        // Nobody balances load between this process and another.
        edge: EdgeSettings { drain_delay: Duration::ZERO, rates: RATES, ..EdgeSettings::default() },
        oidc: None,
    }
}

/// Whoever tries webhooks here has a receiver on this machine.
fn loopback_networks() -> Networks {
    "127.0.0.0/8, ::1/128".parse().expect("two networks")
}

/// A key for every tenant that the definitions or the command line name, and for the sample tenants.
async fn create_keys(
    store: &Store,
    signer: &KeySigner,
    definitions: &Definitions,
    asked: &Tenants,
) -> Result<BTreeMap<TenantId, String>, Failure> {
    use tidemark_domain::definition::TenantRule;
    let named = definitions.sources.values().filter_map(|source| match &source.tenant {
        TenantRule::Constant(tenant) => Some(tenant.clone()),
        TenantRule::Attribute { default, .. } => default.clone(),
    });
    let tenants: BTreeSet<TenantId> =
        named.chain(sample::tenants()).chain(asked.tenants.iter().map(|tenant| tenant.id.clone())).collect();
    let mut keys = BTreeMap::new();
    for tenant in tenants {
        let key = create_key(store, signer, Holder::Tenant(Tenant::named_by_operator(tenant.clone()))).await?;
        keys.insert(tenant, key);
    }
    Ok(keys)
}

async fn create_key(store: &Store, signer: &KeySigner, holder: Holder) -> Result<String, Failure> {
    use secrecy::ExposeSecret;
    let scopes = match holder {
        Holder::Operator => [Scope::Operator].into(),
        Holder::Tenant(_) => Scope::of_tenants(),
    };
    // A database that is kept has the keys of earlier runs: the oldest make room.
    let keys = store.keys(&holder, clock::now()).await?;
    for key in keys.iter().filter(|key| key.name.as_deref() == Some(KEY_NAME)).rev().skip(RUNS_KEPT - 1) {
        store.delete_key(&holder, &key.id).await?;
    }
    let new = NewKey { holder, scopes, name: Some(KEY_NAME.to_owned()), expires_at: None };
    let issued = store.create_key(&new, Some(signer), clock::now()).await?;
    Ok(issued.key.expose_secret().to_owned())
}
