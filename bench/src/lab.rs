//! What the rows of one run share, and the deployments that they measure.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use aws_types::SdkConfig;
use futures::future::try_join_all;
use rand::distr::{Alphanumeric, SampleString};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tidemark_domain::TenantId;
use tidemark_runtime::{aws, clock};
use tidemark_store::{Holder, NewKey, Scope, Store, Tenant};
use tidemark_tests::client::key_signer;
use tidemark_tests::deployment::{SECRET_KEY, tables, total};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::orders::Total;
use crate::process::{Process, SELF};
use crate::profile::{Profiles, Recording};
use crate::row::Endpoint;
use crate::stub::{Latency, Stub};

/// The source table of orders in `definitions/retail.yaml`.
pub(crate) const ORDERS: &str = "Order_by_item";
/// The source table of stock in `definitions/retail.yaml`.
pub(crate) const STOCK: &str = "Stock";
/// The definitions that a shop with one table of orders and one of stock has.
pub(crate) const RETAIL: &str = include_str!("../../definitions/retail.yaml");
/// Longest a backlog may take.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);
/// Most tenants whose totals are verified.
const VERIFIED_MAX: usize = 20;
/// Between two looks at tables.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks at the metrics of a worker, which take it 1 ms each.
const METRICS_LOOK: Duration = Duration::from_millis(100);

/// How much is measured, and where.
pub(crate) struct Lab {
    /// Every row runs with 1 % of its work. The figures have no meaning.
    pub(crate) quick: bool,
    /// The URL of a running DynamoDB Local.
    pub(crate) local: Option<String>,
    pub(crate) http: reqwest::Client,
    /// Where profiles go; `None`: nothing is profiled, which would take time itself.
    pub(crate) profiles: Option<Profiles>,
}

/// An isolated DynamoDB with Tidemark's tables and the source tables of some definitions.
pub(crate) struct Deployment {
    url: String,
    direct_url: String,
    access_key: String,
    stub: Option<Stub>,
    folder: TempDir,
    /// Its calls are not counted.
    pub(crate) store: Store,
}

/// A running worker or API.
pub(crate) struct Workload {
    pub(crate) process: Process,
    /// How long after its start it was ready.
    pub(crate) ready_after: Duration,
    /// Of the API: where it listens.
    pub(crate) url: String,
    /// Where its metrics are.
    admin: SocketAddr,
}

impl Lab {
    /// An amount of work, or of seconds: the whole of it, or a hundredth, and at least one.
    pub(crate) fn amount(&self, whole: usize) -> usize {
        if self.quick { whole.div_ceil(100) } else { whole }
    }

    /// Records a profile of a process, if profiles are asked for.
    ///
    /// # Errors
    /// When there is no `perf`.
    pub(crate) fn profile(&self, name: &str, process: &mut Process) -> anyhow::Result<Option<Recording>> {
        self.profiles.as_ref().map(|profiles| profiles.record(name, process.id()?)).transpose()
    }

    /// How often a measurement is repeated.
    pub(crate) fn repetitions(&self, whole: usize) -> usize {
        if self.quick { 1 } else { whole }
    }

    /// How long a measurement that has a length of its own takes.
    pub(crate) fn span(&self, whole: Duration) -> Duration {
        if self.quick { whole / 20 } else { whole }
    }

    /// A deployment on a stub of its own, whose stream of orders has so many shards.
    ///
    /// # Errors
    /// When its tables cannot be created.
    pub(crate) async fn on_stub(&self, definitions: &str, shards: usize, latency: Latency) -> anyhow::Result<Deployment> {
        let deployment = self.on_tables(definitions, latency).await?;
        deployment.stub().stream(ORDERS, shards);
        deployment.stub().stream(STOCK, 1);
        Ok(deployment)
    }

    /// A deployment on a stub of its own, whose streams show the writes of its source tables.
    ///
    /// # Errors
    /// When its tables cannot be created.
    pub(crate) async fn on_tables(&self, definitions: &str, latency: Latency) -> anyhow::Result<Deployment> {
        let stub = Stub::start(latency).await?;
        let (url, direct) = (stub.url().to_owned(), stub.direct_url().to_owned());
        let deployment = Deployment::prepare(url, direct, definitions).await?;
        Ok(Deployment { stub: Some(stub), ..deployment })
    }

    /// A deployment on DynamoDB Local; `None` where there is none.
    ///
    /// # Errors
    /// When its tables cannot be created.
    pub(crate) async fn on_local(&self, definitions: &str) -> anyhow::Result<Option<Deployment>> {
        let Some(url) = self.local.clone() else {
            eprintln!("         a row of DynamoDB Local is left out: there is none (tests/dynamodb-local.sh COMMAND starts one)");
            return Ok(None);
        };
        Deployment::prepare(url.clone(), url, definitions).await.map(Some)
    }
}

impl Lab {
    /// Waits until workers have committed so many records since their start.
    ///
    /// # Errors
    /// When they have not in time.
    pub(crate) async fn counted(&self, workers: &[Workload], records: usize) -> anyhow::Result<()> {
        self.until(workers, "tidemark_ingest_records_total", |counted| counted.iter().sum::<f64>() as usize >= records).await
    }

    /// Waits until the values that workers have of a metric are as they should be.
    async fn until(&self, workers: &[Workload], metric: &str, is_right: impl Fn(&[f64]) -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + DRAINED_WITHIN;
        loop {
            let values = try_join_all(workers.iter().map(|worker| worker.metric(&self.http, metric))).await?;
            if is_right(&values) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < end, "{metric} is {values:?} after {DRAINED_WITHIN:?}");
            sleep(METRICS_LOOK).await;
        }
    }
}

impl Deployment {
    async fn prepare(url: String, direct_url: String, definitions: &str) -> anyhow::Result<Self> {
        // DynamoDB Local keeps one database per access key, so a random one is a database of its own.
        let access_key = Alphanumeric.sample_string(&mut rand::rng(), 16);
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("definitions.yaml"), definitions)?;
        let store = Store::new(&aws::at_endpoint(&direct_url, &access_key), tables());
        let deployment = Self { url, direct_url, access_key, stub: None, folder, store };
        deployment.init().await?;
        Ok(deployment)
    }

    /// Creates all tables, as operators do.
    async fn init(&self) -> anyhow::Result<()> {
        let file = self.definitions();
        let mut variables = self.variables();
        variables.retain(|(name, _)| *name != "AWS_ENDPOINT_URL");
        variables.push(("AWS_ENDPOINT_URL", self.direct_url.clone()));
        Process::start("tidemark", &["init", "--with-sources", "--definitions", &file], &variables)?
            .ended(Duration::from_secs(60))
            .await
    }

    /// Where its calls go.
    pub(crate) fn endpoint(&self) -> Endpoint {
        if self.stub.is_some() { Endpoint::Stub } else { Endpoint::DynamodbLocal }
    }

    /// The in-memory DynamoDB of this deployment.
    ///
    /// # Panics
    /// When it is not on one.
    pub(crate) fn stub(&self) -> &Stub {
        self.stub.as_ref().expect("a deployment on a stub")
    }

    /// The SDK configuration of a client like the workloads: its calls are counted and take their time.
    pub(crate) fn config(&self) -> SdkConfig {
        aws::at_endpoint(&self.url, &self.access_key)
    }

    /// The SDK configuration of preparation and checks: nothing is counted.
    pub(crate) fn direct_config(&self) -> SdkConfig {
        aws::at_endpoint(&self.direct_url, &self.access_key)
    }

    /// The variables that lead a process to this deployment.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", self.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("TIDEMARK_DEFINITIONS", self.definitions()),
            (SECRET_KEY.0, SECRET_KEY.1.to_owned()),
            ("TIDEMARK_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8".to_owned()),
        ]
    }

    /// Starts a worker with the settings of a default installation, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start_ingest(&self, lab: &Lab) -> anyhow::Result<Workload> {
        self.start(lab, "tidemark-ingest", &[]).await
    }

    /// Starts so many workers at the same time, and waits until each holds its share of all shards of all sources.
    ///
    /// # Errors
    /// When one does not start, or the shares do not become even.
    pub(crate) async fn start_workers(&self, lab: &Lab, workers: usize, shards: usize) -> anyhow::Result<Vec<Workload>> {
        let names: Vec<String> = (0..workers).map(|worker| format!("worker-{worker}")).collect();
        let started = names.iter().map(async |name| self.start(lab, "tidemark-ingest", &[("TIDEMARK_WORKER_ID", name)]).await);
        let workers = try_join_all(started).await?;
        let share = (shards / names.len()) as f64;
        lab.until(&workers, "tidemark_ingest_shards", |held| held.iter().all(|held| *held == share)).await?;
        Ok(workers)
    }

    /// Starts an API that lets every key ask as often as it wants, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start_api(&self, lab: &Lab) -> anyhow::Result<Workload> {
        self.start(lab, "tidemark-api", &[("TIDEMARK_KEY_RPS", "1000000"), ("TIDEMARK_TENANT_RPS", "1000000")]).await
    }

    async fn start(&self, lab: &Lab, binary: &str, settings: &[(&'static str, &str)]) -> anyhow::Result<Workload> {
        let (address, admin) = (free_port().await?, free_port().await?);
        let mut variables = self.variables();
        variables.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        variables.extend([("TIDEMARK_API_ADDR", address.to_string()), ("TIDEMARK_ADMIN_ADDR", admin.to_string())]);
        let mut process = Process::start(binary, &[], &variables)?;
        let ready_after = process.ready(&lab.http, &format!("http://{admin}/readyz")).await?;
        Ok(Workload { process, ready_after, url: format!("http://{address}"), admin })
    }

    /// Waits until the orders and units of tenants are right, as the tables have them. Where tenants are many, every nth is checked.
    ///
    /// # Errors
    /// When one is not right in time: then the row has measured something that is wrong.
    pub(crate) async fn verify(&self, totals: &[(String, Total)]) -> anyhow::Result<()> {
        let end = Instant::now() + DRAINED_WITHIN;
        for (tenant, right) in totals.iter().step_by(totals.len().div_ceil(VERIFIED_MAX)) {
            loop {
                let counted = async |measure| total(&self.store, tenant, ("sales", measure), None).await;
                let found = (counted("orders").await, counted("units").await);
                if found == (right.orders.to_string(), right.units.to_string()) {
                    break;
                }
                anyhow::ensure!(
                    Instant::now() < end,
                    "{tenant}: {found:?} is counted after {DRAINED_WITHIN:?}; right is {right:?}"
                );
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Makes a key of a tenant with some scopes.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub(crate) async fn key(&self, tenant: &str, scopes: BTreeSet<Scope>) -> anyhow::Result<String> {
        let holder = Holder::Tenant(Tenant::named_by_operator(TenantId::new(tenant)?));
        let key = NewKey { holder, scopes, name: None, expires_at: None };
        let issued = self.store.create_key(&key, Some(&key_signer()), clock::now()).await?;
        Ok(issued.key.expose_secret().to_owned())
    }

    fn definitions(&self) -> String {
        self.folder.path().join("definitions.yaml").to_str().unwrap_or_default().to_owned()
    }
}

impl Workload {
    /// The sum of a metric over its labels.
    ///
    /// # Errors
    /// When the process does not answer.
    async fn metric(&self, http: &reqwest::Client, name: &str) -> anyhow::Result<f64> {
        let text = http.get(format!("http://{}/metrics", self.admin)).send().await?.text().await?;
        let is_of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        Ok(text.lines().filter(is_of).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }
}

/// Asks workloads to stop, one after the other, and waits for them.
///
/// # Errors
/// When one does not stop in time.
pub(crate) async fn stop(workloads: impl IntoIterator<Item = Workload>) -> anyhow::Result<()> {
    for workload in workloads {
        workload.process.stop().await?;
    }
    Ok(())
}

/// Starts the handler that the API is compared with. Its URL, and how long after its start it was ready.
///
/// # Errors
/// When it does not start.
pub(crate) async fn start_handler(lab: &Lab, deployment: &Deployment) -> anyhow::Result<(Process, String, Duration)> {
    let address = free_port().await?.to_string();
    let mut handler = Process::start(SELF, &["baseline", "handler", "--address", &address], &deployment.variables())?;
    let url = format!("http://{address}");
    let ready_after = handler.ready(&lab.http, &format!("{url}/readyz")).await?;
    Ok((handler, url, ready_after))
}

/// The time that so many percent of some times do not exceed, in milliseconds; 0 without times.
pub(crate) fn percentile(mut times: Vec<Duration>, percent: f64) -> f64 {
    times.sort_unstable();
    let rank = (times.len() as f64 * percent / 100.0).ceil() as usize;
    times.get(rank.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

/// An address of loopback that no one listened on a moment ago.
pub(crate) async fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
    Ok(listener.local_addr()?)
}
