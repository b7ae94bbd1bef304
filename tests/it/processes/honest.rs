//! No answer says `complete` or `exact` of numbers that then change, though the worker's clock is wrong and the stream shows records late.
//! The worker and the API are processes; the API's clock is right.
//!
//! `TIDEMARK_HONEST_LATE_SECONDS` is how late the stream is.

use std::collections::BTreeSet;
use std::time::Duration;

use bigdecimal::BigDecimal;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_runtime::clock;
use tidemark_runtime::settings::Vars;
use tidemark_tests::deployment::{CLOCK_AHEAD_SECONDS, DEADLINE};
use tidemark_tests::judge::{Read, Writes, judge, summary};
use tidemark_tests::oracle::Cells;
use tidemark_tests::{Client, Deployment, wait_until};
use tokio::time::Instant;

use super::pod::{Pod, variables};
use super::process::Process;

const TABLE: &str = "Orders";
const DEFINITIONS: &str = "
sources: { orders: { table: Orders, key: { partition: id }, tenant: { constant: demo } } }
metrics: { sales: { source: orders, time: order_date, measures: { orders: { count: true } }, group_by: [[]] } }
";
const SHARDS: usize = 2;
/// How old a record is when the stream shows it, unless the environment says otherwise.
const LATE_SECONDS: u64 = 12;
/// How far the clock of a worker is ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(15);
/// How long orders are placed after the first of them can be seen.
const SELLING: Duration = Duration::from_secs(6);
/// From one order to the next, and from one question to the next.
const ORDER_PERIOD: Duration = Duration::from_millis(700);
const ASK_PERIOD: Duration = Duration::from_millis(100);
/// What the API says of a source whose worker has a wrong clock, and a part of what that worker logs as a warning.
const CLOCK_STATUS: &str = "clock";
const CLOCK_WARNING: &str = "clock";

/// A worker, an API, and what they were asked.
struct Scene {
    deployment: Deployment,
    client: Client,
    worker: Process,
    _api: Pod,
    /// Holds the definition file.
    _folder: TempDir,
    late: Duration,
    writes: Writes,
    placed: usize,
    reads: Vec<Read>,
}

impl Scene {
    /// Starts both, the worker with a clock that is so far ahead.
    async fn start(ahead: SignedDuration) -> Self {
        let late = Vars::from_process().get("TIDEMARK_HONEST_LATE_SECONDS").unwrap().map(|text| text.parse().unwrap());
        let late = Duration::from_secs(late.unwrap_or(LATE_SECONDS));
        let deployment = Deployment::start_with_shards(DEFINITIONS, SHARDS).await;
        deployment.create_tenant("demo", "UTC").await;
        let shown_after = SignedDuration::try_from(late).unwrap();
        deployment.world.shards(TABLE).rule(|rules| rules.shown_after = shown_after).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("definitions.yaml");
        std::fs::write(&file, DEFINITIONS).unwrap();
        let (api, serving) = Pod::api(&deployment, &file).await;
        let client = Client::at(serving, deployment.key_of("demo").await);
        let mut of_worker = variables(&deployment, &file);
        of_worker.push((CLOCK_AHEAD_SECONDS, ahead.as_secs().to_string()));
        of_worker.push(("TIDEMARK_LEASE_TTL_MS", "3000".to_owned()));
        let worker = Process::spawn("hasty-ingest", &[], &of_worker);
        Self {
            deployment,
            client,
            worker,
            _api: api,
            _folder: folder,
            late,
            writes: Writes::default(),
            placed: 0,
            reads: Vec::new(),
        }
    }

    /// Places an order that is dated now.
    async fn place_order(&mut self) {
        self.placed += 1;
        let (id, now) = (format!("order-{}", self.placed), clock::now());
        self.writes.begin(&id, Cells::from([(cell(quarter(now)), BigDecimal::from(1))]), now);
        self.deployment.put(TABLE, json!({ "id": {"S": id}, "order_date": {"S": now.to_string()} })).await;
        self.writes.acknowledge(&id, clock::now());
    }

    /// Asks for the quarters of an hour before and after now.
    async fn ask(&mut self) {
        let begun_at = clock::now();
        let [from, to] = [-1, 2].map(|hours| (quarter(begun_at) + SignedDuration::from_hours(hours)).to_string());
        let parameters = [("from", &*from), ("to", &*to), ("granularity", "PT15M")];
        let answer = self.client.values("sales", &parameters).await;
        let (fresh, answered_at) = (&answer["freshness"], clock::now());
        let (mut cells, mut complete) = (Cells::new(), BTreeSet::new());
        for bucket in answer["data"].as_array().unwrap().iter().flat_map(|row| row["buckets"].as_array().unwrap()) {
            let cell = cell(bucket["from"].as_str().unwrap().parse().unwrap());
            complete.extend((bucket["complete"] == true).then(|| cell.clone()));
            cells.insert(cell, bucket["values"]["orders"].as_str().unwrap().parse().unwrap());
        }
        let watermark = fresh["watermark"].as_str().map(|text| text.parse().unwrap());
        let exact = fresh["exact"].as_bool().unwrap();
        self.reads.push(Read { begun_at, answered_at, watermark, exact, cells, complete });
    }

    /// Asks again and again until the source is known to be included up to the last order.
    async fn ask_until_all_are_included(&mut self) {
        let mut period = tokio::time::interval(ASK_PERIOD);
        let (placed, last) = (BigDecimal::from(u64::try_from(self.placed).unwrap()), self.writes.last_acknowledged_at());
        wait_until("an exact answer with all orders", 2 * self.late + DEADLINE, async || {
            period.tick().await;
            self.ask().await;
            let read = self.reads.last().unwrap();
            read.exact && read.watermark > last && read.cells.values().sum::<BigDecimal>() == placed
        })
        .await;
    }

    /// What the API says of its source.
    async fn status(&self) -> Value {
        self.client.get("/v1/status").await.json()["data"][0].clone()
    }

    /// The warnings of the worker that tell of clocks.
    fn clock_warnings(&self) -> Vec<Value> {
        let log = self.worker.stderr();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let warnings = events.filter(|event| event["level"] == "WARN");
        warnings.filter(|event| event["message"].as_str().is_some_and(|text| text.contains(CLOCK_WARNING))).collect()
    }

    /// What was not true in the answers, in words.
    fn violations(&self) -> Vec<String> {
        println!("{} answers while {} orders were placed", self.reads.len(), self.placed);
        summary(&judge(&self.writes, &self.reads))
    }
}

/// The quarter of an hour of an instant.
fn quarter(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second().div_euclid(900) * 900).unwrap()
}

/// The orders of a quarter of an hour.
fn cell(quarter: Timestamp) -> String {
    format!("orders of {quarter}")
}

/// Places orders while the API is asked all the time: the first one before the worker has read anything that is as late as it, the others
/// before and after that one can be seen.
async fn sell_and_ask(ahead: SignedDuration) -> Scene {
    let mut scene = Scene::start(ahead).await;
    scene.worker.until_logged("probes and metrics are answered").await;
    let mut period = tokio::time::interval(ASK_PERIOD);
    let (selling, mut next_order) = (scene.late + SELLING, Instant::now());
    let end = next_order + selling;
    wait_until("the orders to be placed", selling + DEADLINE, async || {
        period.tick().await;
        if Instant::now() >= next_order {
            scene.place_order().await;
            next_order += ORDER_PERIOD;
        }
        scene.ask().await;
        Instant::now() >= end
    })
    .await;
    scene.ask_until_all_are_included().await;
    scene
}

#[tokio::test]
async fn a_worker_whose_clock_is_15_minutes_ahead_on_a_late_stream_makes_no_answer_untrue_and_is_reported() {
    let scene = sell_and_ask(AHEAD).await;
    assert_eq!(scene.violations(), Vec::<String>::new());
    let status = scene.status().await;
    assert_eq!(status["status"], CLOCK_STATUS, "{status}");
    assert!(!scene.clock_warnings().is_empty(), "{}", scene.worker.stderr());
}

#[tokio::test]
async fn a_stream_that_shows_records_late_makes_no_answer_untrue() {
    let scene = sell_and_ask(SignedDuration::ZERO).await;
    assert_eq!(scene.violations(), Vec::<String>::new());
    let status = scene.status().await;
    assert_ne!(status["status"], CLOCK_STATUS, "{status}");
    assert_eq!(scene.clock_warnings(), Vec::<Value>::new());
}
