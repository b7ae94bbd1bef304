//! What a dashboard or an alert asks for is what the binaries show: both workloads are put through everything that is counted, and
//! every query of the chart finds its metrics and its labels on their `/metrics`. No attribute is unbounded.

mod page;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tidemark_runtime::clock;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, Fault, Reaction, Receiver, When, wait_until};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use self::page::Page;
use super::pod::variables;
use super::process::{Process, ask, http, post};

const DEFINITIONS: &str = "
sources:
  shelf:
    table: Stock
    key: { partition: item_number, sort: location }
    tenant: { constant: acme }
metrics:
  counts:
    source: shelf
    time: counted_on
    measures: { units: { sum: on_hand } }
    dimensions: { item: item_number }
    group_by: [[], [item]]
inventory:
  stock:
    source: shelf
    item: item_number
    location: { attribute: location, default: main }
    on_hand: on_hand
    reorder_point: reorder_point
";
/// Names of a tenant's, which no metric may show.
const TENANT: &str = "acme";
const ITEM: &str = "oolong";

/// Requests at once: more than are answered at once, and than a key's burst.
const FLOOD: usize = 320;
/// More connections than one peer may have.
const SILENT: usize = 520;
/// How long each of them is held at its first call, so that they are all there at once.
const HELD: Duration = Duration::from_secs(2);

/// Every label that a metric of ours may have. A new one has to be bounded: by what is deployed and defined, never by what is stored
/// or sent.
const LABELS: [&str; 27] = [
    "db_collection_name",
    "db_operation_name",
    "db_system_name",
    "decision",
    "error_type",
    "held",
    "http_request_method",
    "http_response_status_code",
    "http_route",
    "kind",
    "le",
    "outcome",
    "percent",
    "reason",
    "resource",
    "slot",
    "source",
    "state",
    "task",
    "trigger",
    "type",
    // Of `target_info`: which process this is.
    "service_instance_id",
    "service_name",
    "service_version",
    "telemetry_sdk_language",
    "telemetry_sdk_name",
    "telemetry_sdk_version",
];

/// A deployment and what its processes are told.
struct Scene {
    deployment: Deployment,
    receiver: Receiver,
    key: String,
    variables: Vec<(&'static str, String)>,
}

/// A process and where it is scraped.
struct Scraped {
    process: Process,
    metrics_url: String,
}

impl Scene {
    async fn start(folder: &Path) -> Self {
        let definitions = folder.join("shelf.yaml");
        std::fs::write(&definitions, DEFINITIONS).unwrap();
        let deployment = Deployment::start_with_shards(DEFINITIONS, 1).await;
        deployment.create_tenant(TENANT, "UTC").await;
        let mut variables = variables(&deployment, &definitions);
        variables.push(("TIDEMARK_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8".to_owned()));
        Self { key: deployment.key_of(TENANT).await, receiver: Receiver::start().await, deployment, variables }
    }

    async fn spawn(&self, workload: &str) -> Scraped {
        let mut process = Process::spawn(workload, &[], &self.variables);
        let admin = process.until_logged("probes and metrics are answered").await;
        let metrics_url = format!("http://{}/metrics", admin["addr"].as_str().expect("an address"));
        Scraped { process, metrics_url }
    }

    async fn put(&self, item: &str, on_hand: Value) {
        let counted_on = clock::now().strftime("%F").to_string();
        let item = json!({
            "item_number": {"S": item}, "location": {"S": "main"}, "on_hand": on_hand, "reorder_point": {"N": "10"},
            "counted_on": {"S": counted_on},
        });
        self.deployment.put("Stock", item).await;
    }

    /// Has every such call refused until a process has counted it.
    async fn refuse(&self, call: &'static str, fault: Fault, by: &Scraped, counted: &str) {
        self.deployment.world.front().fault(call, When::Matching(Box::new(|_| true)), fault);
        by.until_shown(counted).await;
        self.deployment.world.front().no_faults();
    }
}

impl Scraped {
    async fn scrape(&self) -> String {
        http().get(&self.metrics_url).send().await.unwrap().text().await.unwrap()
    }

    async fn shows(&self, series: &str) -> bool {
        let mut page = Page::default();
        page.add(&self.scrape().await);
        page.lacks(series).is_empty()
    }

    /// Waits until it has such a series, `metric{label="value"}`.
    async fn until_shown(&self, series: &str) {
        wait_until(&format!("{series} to be shown"), DEADLINE, async || self.shows(series).await).await;
    }
}

/// Has the worker commit, quarantine, fire an alert, deliver, and meet refusals of each kind.
async fn exercise_ingest(scene: &Scene, worker: &Scraped) {
    scene.receiver.react("gone", |_| Reaction::Status(410));
    scene.put(ITEM, json!({ "N": "3" })).await;
    scene.put("unreadable", json!({ "S": "many" })).await;
    // It may have heard of the other's end already, too.
    scene.receiver.until_received("works", 1).await;
    scene.receiver.until_received("gone", 1).await;
    worker.until_shown(r#"tidemark_ingest_records_total{outcome="quarantined"}"#).await;
    worker.until_shown(r#"tidemark_alert_latency_seconds_count{type="inventory.alert.fired"}"#).await;
    worker.until_shown(r#"tidemark_webhook_deliveries_total{state="held"}"#).await;
    scene.put(ITEM, json!({ "N": "4" })).await;
    scene.refuse("TransactWriteItems", Fault::Throttle, worker, "tidemark_ingest_commit_contended_total{}").await;
    for (call, fault, counted) in [
        ("UpdateItem", Fault::Throttle, r#"tidemark_dynamodb_throttles_total{db_collection_name="tidemark-control"}"#),
        ("UpdateItem", Fault::ThrottleIndex, r#"tidemark_dynamodb_throttles_total{resource="index"}"#),
        ("GetRecords", Fault::Throttle, r#"tidemark_dynamodb_throttles_total{db_operation_name="GetRecords"}"#),
        ("UpdateItem", Fault::TransactionConflict, r#"tidemark_dynamodb_conflicts_total{db_collection_name="tidemark-control"}"#),
    ] {
        scene.refuse(call, fault, worker, counted).await;
    }
    worker.until_shown(r#"tidemark_dynamodb_throttles_total{db_operation_name="TransactWriteItems"}"#).await;
}

/// Has a worker find that records are gone which nobody has read.
async fn lose_records(scene: &Scene) -> Scraped {
    let shards = scene.deployment.world.shards("Stock");
    let shard = shards.open().await.remove(0);
    scene.put("unread", json!({ "N": "70" })).await;
    scene.put("unread", json!({ "N": "80" })).await;
    let records = shards.records_of(&shard).await;
    shards.trim(&shard, records - 1).await;
    let worker = scene.spawn("tidemark-ingest").await;
    worker.until_shown(r#"tidemark_ingest_gaps_total{source="shelf"}"#).await;
    worker
}

/// Has the API answer, refuse a stranger, refuse what comes too often, give up what is too much, and close connections that say nothing.
async fn exercise_api(scene: &Scene, api: &Scraped, url: &str) {
    let values = format!("{url}/v1/metrics/counts/values?{}", super::process::since_yesterday());
    ask(&values, &scene.key).await;
    let stranger = http().get(&values).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    api.until_shown(r#"tidemark_auth_failures_total{reason="missing"}"#).await;
    scene.deployment.world.front().fault("GetItem", When::Matching(Box::new(|_| true)), Fault::Delay(HELD));
    let client = http();
    wait_until("requests to be refused and given up", 4 * DEADLINE, async || {
        let mut flood = JoinSet::new();
        for _ in 0..FLOOD {
            flood.spawn(client.get(&values).bearer_auth(&scene.key).send());
        }
        while flood.join_next().await.is_some() {}
        api.shows(r#"tidemark_ratelimit_decisions_total{decision="key"}"#).await
            && api.shows(r#"tidemark_load_shed_total{reason="overloaded"}"#).await
    })
    .await;
    scene.deployment.world.front().no_faults();
    let address = url.strip_prefix("http://").expect("it has a scheme");
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    api.until_shown(r#"tidemark_connections_ended_total{reason="crowded"}"#).await;
}

/// Every query of the chart, with where it is.
fn queries() -> Vec<(String, String)> {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/tidemark/files");
    let alerts = std::fs::read_to_string(files.join("alerts.yaml")).unwrap();
    let mut queries: Vec<(String, String)> = Vec::new();
    for rule in alerts.split("- alert: ").skip(1) {
        let (name, rest) = rule.split_once('\n').expect("a rule has lines");
        let (query, _) = rest.split_once("labels: {").expect("labels follow the query");
        queries.push((name.to_owned(), query.to_owned()));
    }
    for file in std::fs::read_dir(files.join("dashboards")).unwrap() {
        let path = file.unwrap().path();
        let board: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for panel in board["panels"].as_array().expect("panels") {
            let place = format!("{}: {}", path.file_stem().expect("a name").display(), panel["title"]);
            let targets = panel["targets"].as_array().expect("targets").iter();
            queries.extend(targets.map(|target| (place.clone(), target["expr"].as_str().expect("a query").to_owned())));
        }
    }
    assert!(queries.len() > 40, "the scan misses most queries: {queries:?}");
    queries
}

#[tokio::test]
async fn every_query_of_the_chart_finds_its_metrics_and_no_attribute_is_unbounded() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start(folder.path()).await;
    let mut api = scene.spawn("tidemark-api").await;
    let url = format!("http://{}", api.process.until_logged("the API listens").await["addr"].as_str().expect("an address"));
    for endpoint in ["works", "gone"] {
        post(&format!("{url}/v1/webhook-endpoints"), &scene.key, json!({ "url": scene.receiver.url(endpoint) })).await;
    }
    let worker = scene.spawn("tidemark-ingest").await;
    exercise_ingest(&scene, &worker).await;
    let mut texts = vec![worker.scrape().await];
    worker.process.signal("-TERM").await;
    assert_eq!(worker.process.ended(DEADLINE).await.code, Some(0));
    let successor = lose_records(&scene).await;
    exercise_api(&scene, &api, &url).await;
    texts.extend([successor.scrape().await, api.scrape().await]);

    let mut page = Page::default();
    texts.iter().for_each(|text| page.add(text));
    let lacking: Vec<_> =
        queries().into_iter().map(|(place, query)| (place, page.lacks(&query))).filter(|(_, lacks)| !lacks.is_empty()).collect();
    assert!(lacking.is_empty(), "{lacking:#?}");
    let unknown: Vec<_> = page.labels().into_iter().filter(|label| !LABELS.contains(label)).collect();
    assert!(unknown.is_empty(), "these labels are not known to be bounded: {unknown:?}");
    for secret in [TENANT, ITEM, &scene.key, "127.0.0.1", "SHARDS#", "shardId"] {
        assert!(texts.iter().all(|text| !text.contains(secret)), "a metric shows {secret}");
    }
}
