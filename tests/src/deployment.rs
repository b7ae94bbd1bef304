//! Tidemark deployed into a world: its tables, source tables, and what tests do with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_types::SdkConfig;
use jiff::ToSpan;
use serde_json::Value;
use tidemark_domain::definition::GroupingSet;
use tidemark_domain::{Decimal, Definitions, DimensionName, Group, MeasureName, MetricName, SourceName, TenantId, Zone};
use tidemark_ingest::{Ingest, Pace, Settings, WebhookSettings};
use tidemark_runtime::clock;
use tidemark_runtime::health::Health;
use tidemark_runtime::settings::SecretKeys;
use tidemark_store::{NewTenant, RowRange, Span, Store, Tables, Tenant, TenantCreated, TenantRates};
use tidemark_streams::{Start, Streams};
use tidemark_webhooks::policy::Networks;
use tidemark_webhooks::send::Timeouts;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Workload, World, wait_until};

/// How long a worker of a test may be silent before another takes its shards.
pub const LEASE_TTL: Duration = Duration::from_millis(600);
/// The variable that sets the clock of a `hasty-ingest` ahead, by so many seconds.
pub const CLOCK_AHEAD_SECONDS: &str = "TIDEMARK_TEST_CLOCK_AHEAD_SECONDS";
/// How fast the dispatcher of a test goes: a minute of the retry schedule is 60 ms, and what a killed one had claimed comes back soon.
pub const PACE: Pace = Pace {
    second: Duration::from_millis(1),
    claim: Duration::from_secs(2),
    look: Pace::STANDARD.look,
    idle_after: Duration::from_secs(1),
    idle_look: Duration::from_secs(1),
    empty_look: Duration::from_secs(2),
    timeouts: Timeouts {
        resolve: Duration::from_millis(500),
        connect: Duration::from_millis(500),
        exchange: Duration::from_secs(1),
    },
};
/// Longest a test waits for what takes a moment.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A world with Tidemark's tables and the source tables of some definitions.
pub struct Deployment {
    pub world: World,
    pub definitions: Definitions,
    /// Past the front.
    pub store: Store,
    /// Past the front.
    pub streams: Streams,
}

/// A worker running in this process.
pub struct RunningIngest {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    pub health: Health,
}

impl Deployment {
    /// Creates all tables.
    ///
    /// # Panics
    /// When they cannot be created, or the definitions are bad.
    pub async fn start(definitions: &str) -> Self {
        Self::start_in(World::start().await, definitions).await
    }

    /// Creates all tables in a world whose streams begin with so many shards; see [`World::shards`].
    ///
    /// # Panics
    /// As [`start`](Self::start) does.
    pub async fn start_with_shards(definitions: &str, shards: usize) -> Self {
        Self::start_in(World::start_with_shards(shards).await, definitions).await
    }

    async fn start_in(world: World, definitions: &str) -> Self {
        let definitions = Definitions::parse(definitions).unwrap_or_else(|invalid| panic!("{invalid}"));
        let direct = world.direct_config();
        let store = Store::new(&direct, tables());
        let streams = Streams::new(&direct, tables().control);
        store.create_data_table().await.expect("the data table");
        streams.create_control_table().await.expect("the control table");
        for source in definitions.sources.values() {
            let key = source.key.as_ref().expect("sources of tests have a key");
            streams.create_source_table(&source.table, &key.partition, key.sort.as_deref()).await.expect("a source table");
        }
        Self { world, definitions, store, streams }
    }

    /// Starts a worker through the front and waits until it is ready.
    pub async fn start_ingest(&self) -> RunningIngest {
        self.start_ingest_with(&self.world.config_of(Workload::Ingest), &self.definitions).await
    }

    /// Starts a worker with another configuration or file.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_ingest_with(&self, config: &SdkConfig, file: &Definitions) -> RunningIngest {
        self.start_ingest_as(config, &settings(), file).await
    }

    /// Starts a worker with other settings, too.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_ingest_as(&self, config: &SdkConfig, settings: &Settings, file: &Definitions) -> RunningIngest {
        let ingest = Ingest::start(config, settings, file).await.unwrap_or_else(|error| panic!("{error:?}"));
        let (health, stop) = (Health::starting(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(ingest.run(health.clone(), stop.clone()));
        health.until_ready().await;
        RunningIngest { stop, tasks, health }
    }

    /// Writes an item, given as DynamoDB JSON.
    ///
    /// # Panics
    /// When the table does not take it.
    pub async fn put(&self, table: &str, item: Value) {
        let put = self.world.dynamodb().put_item().table_name(table).set_item(Some(item_of(&item)));
        put.send().await.unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// Deletes an item by its key, given as DynamoDB JSON.
    ///
    /// # Panics
    /// When the table refuses.
    pub async fn delete(&self, table: &str, key: Value) {
        let delete = self.world.dynamodb().delete_item().table_name(table).set_key(Some(item_of(&key)));
        delete.send().await.unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// Creates a tenant with a zone.
    ///
    /// # Panics
    /// When it was there already.
    pub async fn create_tenant(&self, id: &str, zone: &str) {
        let id = TenantId::new(id).expect("a tenant id");
        let new = NewTenant {
            id,
            name: None,
            zone: Some(Zone::named(zone).expect("a zone")),
            currency: None,
            rates: TenantRates::default(),
        };
        assert_eq!(self.store.create_tenant(&new, clock::now()).await.expect("created"), TenantCreated::New);
    }

    /// See [`total`].
    pub async fn total(&self, tenant: &str, metric: (&str, &str), group: Option<(&str, &str)>) -> String {
        total(&self.store, tenant, metric, group).await
    }

    /// Waits until a total is what it should be.
    pub async fn expect_total(&self, tenant: &str, metric: (&str, &str), group: Option<(&str, &str)>, expected: &str) {
        let what = format!("{tenant}: {metric:?} of {group:?} to be {expected}");
        wait_until(&what, DEADLINE, async || self.total(tenant, metric, group).await == expected).await;
    }

    /// Waits until the workers have applied every record written so far to a source's table.
    pub async fn settled(&self, source: &str) {
        let table = &self.definitions.sources[&SourceName::new(source).expect("a name")].table;
        let written = clock::now();
        // Stream records are stamped with whole seconds, so the watermark passes them only a second later.
        let target = written + jiff::SignedDuration::from_secs(1);
        // A stream whose records were only read late, or not at all, is taken to be as late, up to 90 s.
        wait_until("the watermark to pass the last write", 4 * DEADLINE, async || {
            let Some(known) = self.streams.streams_of(table).await.expect("readable").into_iter().next() else { return false };
            let watermark = self.streams.watermark(&known.id).await.expect("readable");
            watermark.is_some_and(|watermark| watermark.watermark >= Some(target))
        })
        .await;
    }
}

impl RunningIngest {
    /// Stops the worker as SIGTERM does, and waits for it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Ends the worker in the middle of whatever it does, as SIGKILL does.
    pub async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}

/// The sum of a measure, given as (metric, measure), over the day rows of one group, or of the total, of the last 500 days and the next 30.
///
/// # Panics
/// When they cannot be read.
pub async fn total(store: &Store, tenant: &str, (metric, measure): (&str, &str), group: Option<(&str, &str)>) -> String {
    let tenant = Tenant::named_by_operator(TenantId::new(tenant).expect("a tenant id"));
    let running = store.running().await.expect("readable").expect("adopted");
    let metric = MetricName::new(metric).expect("a name");
    let (today, named) = (Zone::utc().date_of(clock::now()), |(dimension, value): (&str, &str)| {
        let groups = BTreeSet::from([Group::Text(value.to_owned())]);
        (DimensionName::new(dimension).expect("a name"), groups)
    });
    let filter: BTreeMap<_, _> = group.into_iter().map(named).collect();
    let range = RowRange {
        generation: running.metrics[&metric].generation,
        lanes: running.metrics[&metric].lanes_read(),
        metric,
        set: GroupingSet::new(filter.keys().cloned()),
        span: Span::Days { from: today - 500.days(), to: today + 30.days() },
        keyed: filter.len(),
        filter,
    };
    let measure = MeasureName::new(measure).expect("a name");
    let mut total = Decimal::zero();
    for query in range.queries(&tenant) {
        let mut next = Some(query);
        while let Some(query) = next.take() {
            let page = store.row_page(&range, query).await.expect("readable");
            next = page.next.clone();
            let rows = page.rows().map(|row| row.expect("readable"));
            rows.filter_map(|row| row.values.get(&measure).cloned()).for_each(|value| total += &value);
        }
    }
    total.to_string()
}

/// Names of Tidemark's tables in every world.
pub fn tables() -> Tables {
    Tables { data: "tidemark".to_owned(), control: "tidemark-control".to_owned() }
}

/// Settings of a worker that tests run.
pub fn settings() -> Settings {
    Settings {
        definitions: String::new(),
        tables: tables(),
        admin_addr: ([127, 0, 0, 1], 0).into(),
        start: Start::TrimHorizon,
        worker_id: "test".to_owned(),
        flush_interval: Duration::from_millis(50),
        lease_ttl: LEASE_TTL,
        alert_max_age: jiff::SignedDuration::from_hours(1),
        webhooks: WebhookSettings { keys: secret_keys(), allow: networks_allowed(), deny: Networks::default(), pace: PACE },
    }
}

/// Receivers of tests are on loopback.
pub fn networks_allowed() -> Networks {
    "127.0.0.0/8".parse().expect("a network")
}

/// The keys of every deployment, and the first of them as the environment has it.
pub fn secret_keys() -> SecretKeys {
    SecretKeys { current: (*b"01234567890123456789012345678901").into(), previous: None }
}
pub const SECRET_KEY: (&str, &str) = ("TIDEMARK_SECRET_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");

/// An item of DynamoDB JSON, for the SDK. Knows the types that tests write.
///
/// # Panics
/// For any other.
pub fn item_of(json: &Value) -> HashMap<String, AttributeValue> {
    json.as_object().expect("an object").iter().map(|(name, value)| (name.clone(), attribute_of(value))).collect()
}

fn attribute_of(json: &Value) -> AttributeValue {
    let (kind, value) = json.as_object().and_then(|object| object.iter().next()).expect("one type and its value");
    let text = || value.as_str().expect("a text").to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "BOOL" => AttributeValue::Bool(value.as_bool().expect("a flag")),
        "NULL" => AttributeValue::Null(true),
        "M" => AttributeValue::M(item_of(value)),
        "L" => AttributeValue::L(value.as_array().expect("a list").iter().map(attribute_of).collect()),
        other => panic!("tests write no {other}"),
    }
}
