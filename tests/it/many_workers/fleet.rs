//! Workers in this process over one wire, and a record of every call they make.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use jiff::Timestamp;
use serde_json::{Value, json};
use tidemark_domain::Definitions;
use tidemark_ingest::{Ingest, Settings};
use tidemark_runtime::clock::{self, Simulated};
use tidemark_runtime::health::{Health, Readiness};
use tidemark_store::Store;
use tidemark_streams::{StreamStatus, Streams};
use tidemark_tests::deployment::{item_of, settings, tables};
use tidemark_tests::wire::{Answer, Lost};
use tidemark_tests::{Shards, Wire, oracle, wait_until};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::told;
use super::trace::Traced;

/// The default of `TIDEMARK_LEASE_TTL`.
pub(super) const TTL: Duration = Duration::from_secs(15);
/// What a call takes, there and back.
pub(super) const LATENCY: Duration = Duration::from_millis(5);
/// An idle shard is asked this often at least, so a shard that was not asked for so long is not being read.
const IDLE: Duration = Duration::from_millis(600);
/// Virtual: no test waits for it.
const LONG: Duration = Duration::from_secs(300);

/// A worker of a [`Fleet`]; never another's number again.
pub(super) type WorkerNumber = usize;

/// Workers over one wire; time is virtual, the clocks of the workers too.
pub(super) struct Fleet {
    /// Past the recording, and at once.
    pub(super) wire: Wire,
    definitions: Definitions,
    /// Of every worker there was.
    names: Vec<String>,
    running: BTreeMap<WorkerNumber, Running>,
    trace: Arc<Mutex<Vec<Traced>>>,
    writes_held: watch::Sender<bool>,
    /// Transactions that move one of these shards meet others again and again.
    contended: Arc<Mutex<BTreeSet<String>>>,
    /// Calls of these names are denied.
    denied: Arc<Mutex<BTreeSet<&'static str>>>,
    /// What GetRecords takes.
    read_latency: Duration,
    /// What a transaction takes.
    write_latency: Duration,
    lease_ttl: Duration,
    written: usize,
    _time: Simulated,
}

struct Running {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    health: Health,
}

/// A shard, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) owner: Option<String>,
    pub(super) epoch: u64,
    pub(super) position: String,
    pub(super) parent: Option<String>,
}

impl Fleet {
    /// No worker yet, and a source whose stream begins with so many shards.
    pub(super) async fn of_shards(shards: usize) -> Self {
        Self::of_source("orders", shards).await
    }

    /// The same, with a name for the source: all tests of this process share its metrics, and find their own by that.
    pub(super) async fn of_source(source: &str, shards: usize) -> Self {
        told::telemetry();
        // Incarnations and jitter come from here: every run is the same.
        fastrand::seed(7);
        let starts_at: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let wire = Wire::start(shards, 5, starts_at);
        let time = clock::simulate({
            let wire = wire.clone();
            move || wire.now()
        });
        let (store, streams) = (Store::new(&wire.config(), tables()), Streams::new(&wire.config(), tables().control));
        store.create_data_table().await.unwrap();
        streams.create_control_table().await.unwrap();
        streams.create_source_table(oracle::TABLE, "id", None).await.unwrap();
        let definitions = oracle::DEFINITIONS
            .replace("\n  orders:\n", &format!("\n  {source}:\n"))
            .replace("source: orders\n", &format!("source: {source}\n"));
        let mut definitions = Definitions::parse(&definitions).unwrap();
        // Commits with levels are not shared, and what these tests measure is sharing and pace.
        definitions.inventories.clear();
        Self {
            wire,
            definitions,
            names: Vec::new(),
            running: BTreeMap::new(),
            trace: Arc::default(),
            writes_held: watch::Sender::new(false),
            contended: Arc::default(),
            denied: Arc::default(),
            read_latency: LATENCY,
            write_latency: LATENCY,
            lease_ttl: TTL,
            written: 0,
            _time: time,
        }
    }

    /// Workers that start from now on wait so long for each page: thousands of idle reads would only cost real time.
    pub(super) fn read_slowly(&mut self, latency: Duration) {
        self.read_latency = latency;
    }

    /// Transactions of workers that start from now on take so long.
    pub(super) fn write_slowly(&mut self, latency: Duration) {
        self.write_latency = latency;
    }

    /// Workers that start from now on have another TTL.
    pub(super) fn set_lease_ttl(&mut self, ttl: Duration) {
        self.lease_ttl = ttl;
    }

    /// From now on, every transaction that moves one of these shards, and no other, meets another one.
    pub(super) fn contend(&self, shards: impl IntoIterator<Item = String>) {
        *self.contended.lock().unwrap() = shards.into_iter().collect();
    }

    /// From now on, every call of these names, and no other, is denied.
    pub(super) fn deny(&self, calls: impl IntoIterator<Item = &'static str>) {
        *self.denied.lock().unwrap() = calls.into_iter().collect();
    }

    /// Starts a worker, and waits until it is ready.
    pub(super) async fn start(&mut self, name: &str) -> WorkerNumber {
        let worker = self.names.len();
        self.names.push(name.to_owned());
        let settings = Settings { worker_id: name.to_owned(), lease_ttl: self.lease_ttl, ..settings() };
        let ingest = Ingest::start(&self.recorded(worker).config(), &settings, &self.definitions).await.unwrap();
        let (health, stop, mut tasks) = (Health::starting(), CancellationToken::new(), JoinSet::new());
        tasks.spawn(ingest.run(health.clone(), stop.clone()));
        health.until_ready().await;
        self.running.insert(worker, Running { stop, tasks, health });
        worker
    }

    /// Ends a worker in the middle of whatever it does, as SIGKILL does.
    pub(super) async fn kill(&mut self, worker: WorkerNumber) {
        self.running.remove(&worker).unwrap().tasks.shutdown().await;
    }

    /// Stops workers as SIGTERM does, all at once, and waits for them.
    pub(super) async fn stop(&mut self, workers: &[WorkerNumber]) {
        let mut ending: Vec<_> = workers.iter().map(|worker| self.running.remove(worker).unwrap()).collect();
        ending.iter().for_each(|running| running.stop.cancel());
        for running in &mut ending {
            while let Some(ended) = running.tasks.join_next().await {
                ended.unwrap();
            }
            assert_ne!(running.health.readiness(), Readiness::Ready, "a worker that drains takes no work");
        }
    }

    /// Holds every transaction until it is let go.
    pub(super) fn hold_writes(&self, held: bool) {
        self.writes_held.send_replace(held);
    }

    /// Writes orders of one unit each.
    pub(super) async fn write(&mut self, orders: usize) {
        let client = Client::new(&self.wire.config());
        for _ in 0..orders {
            self.written += 1;
            let put = client.put_item().table_name(oracle::TABLE);
            put.set_item(Some(item_of(&order(self.written, self.wire.now())))).send().await.unwrap();
        }
    }

    /// Writes one of the first orders again, at another price: its shard has a record more.
    pub(super) async fn reprice(&self, number: usize, price: &str) {
        let mut order = order(number, self.wire.now());
        order["unit_price"] = json!({ "N": price });
        let put = Client::new(&self.wire.config()).put_item().table_name(oracle::TABLE);
        put.set_item(Some(item_of(&order))).send().await.unwrap();
    }

    /// Writes orders of one unit each with so many flags.
    pub(super) async fn write_wide(&mut self, orders: usize, flags: usize) {
        let client = Client::new(&self.wire.config());
        for _ in 0..orders {
            self.written += 1;
            let mut order = order(self.written, self.wire.now());
            for flag in 0..flags {
                order[format!("f{flag}")] = json!({ "BOOL": true });
            }
            client.put_item().table_name(oracle::TABLE).set_item(Some(item_of(&order))).send().await.unwrap();
        }
    }

    /// Writes orders of one unit each for so long, four a second.
    pub(super) async fn write_for(&mut self, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            self.write(1).await;
            sleep(Duration::from_millis(250)).await;
        }
    }

    pub(super) fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// How many orders were written.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// The units of the day rows of all orders: what was counted.
    pub(super) async fn counted(&self) -> usize {
        let rows = Client::new(&self.wire.config()).scan().table_name(tables().data).send().await.unwrap();
        let of_total = rows.items().iter().filter(|row| row["pk"].as_s().unwrap().starts_with("T#demo#M#sales.*#g1#d"));
        of_total.filter_map(|row| row.get("m_units")).map(|units| units.as_n().unwrap().parse::<usize>().unwrap()).sum()
    }

    /// Waits until exactly so many orders are counted, and sees that it stays so.
    pub(super) async fn expect_counted(&self, orders: usize) {
        let are_counted = async || {
            // Waiting is free, looking is not.
            sleep(Duration::from_millis(250)).await;
            self.counted().await >= orders
        };
        wait_until(&format!("{orders} orders to be counted"), LONG, are_counted).await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(self.counted().await, orders);
    }

    /// The shards of the source's stream.
    pub(super) fn shards(&self) -> Shards {
        self.wire.shards(oracle::TABLE)
    }

    /// All stored shards.
    pub(super) async fn stored(&self) -> BTreeMap<String, Stored> {
        let items = Client::new(&self.wire.config()).scan().table_name(tables().control).send().await.unwrap();
        let of_shard = items.items().iter().filter(|item| item["pk"].as_s().unwrap().starts_with("SHARDS#"));
        of_shard
            .map(|item| {
                let text = |name: &str| item.get(name).map(|value| value.as_s().unwrap().clone());
                let epoch = item["epoch"].as_n().unwrap().parse().unwrap();
                let stored = Stored { owner: text("owner"), epoch, position: text("pos").unwrap(), parent: text("parent") };
                (text("sk").unwrap(), stored)
            })
            .collect()
    }

    /// What is known of the streams of the source, the newest first.
    pub(super) async fn status(&self) -> Vec<StreamStatus> {
        let streams = Streams::new(&self.wire.config(), tables().control);
        let mut status = Vec::new();
        for known in streams.streams_of(oracle::TABLE).await.unwrap() {
            status.push(streams.stream_status(&known.id).await.unwrap().unwrap());
        }
        status
    }

    /// The calls since an instant, and none before.
    pub(super) fn calls_since(&self, since: Instant) -> Vec<Traced> {
        let trace = self.trace.lock().unwrap();
        trace[trace.partition_point(|call| call.at < since)..].to_vec()
    }

    /// Which shards each running worker reads just now.
    pub(super) fn reading(&self) -> BTreeMap<WorkerNumber, BTreeSet<String>> {
        let mut reading: BTreeMap<_, _> = self.running.keys().map(|worker| (*worker, BTreeSet::new())).collect();
        let recent = self.calls_since(Instant::now() - IDLE - self.read_latency);
        for call in recent.into_iter().filter(|call| call.name == "GetRecords" && !call.closed) {
            if let Some(shards) = reading.get_mut(&call.worker) {
                shards.insert(call.shard());
            }
        }
        reading
    }

    /// Whether each shard is read by one worker, and every worker reads as many as any other, or one less.
    pub(super) fn is_balanced(&self, shards: usize) -> bool {
        let counts: Vec<usize> = self.reading().values().map(BTreeSet::len).collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        counts.iter().sum::<usize>() == shards && most - least <= 1
    }

    /// Waits until the shards are balanced; how long that took.
    pub(super) async fn balance(&self, shards: usize) -> Duration {
        let since = Instant::now();
        wait_until("the shards to be balanced", LONG, async || self.is_balanced(shards)).await;
        since.elapsed()
    }

    /// The wire as a worker has it.
    fn recorded(&self, worker: WorkerNumber) -> Wire {
        let (trace, writes_held) = (Arc::clone(&self.trace), self.writes_held.subscribe());
        let (contended, denied) = (Arc::clone(&self.contended), Arc::clone(&self.denied));
        let (read_latency, write_latency) = (self.read_latency, self.write_latency);
        self.wire.with_hook(move |call| {
            let (trace, mut writes_held) = (Arc::clone(&trace), writes_held.clone());
            let (contended, is_denied) = (Arc::clone(&contended), denied.lock().unwrap().contains(&*call.name));
            let traced = Traced::of(worker, &call);
            let latency = match &*call.name {
                "GetRecords" => read_latency,
                "TransactWriteItems" => write_latency,
                _ => LATENCY,
            };
            async move {
                let moved = traced.moved();
                let index = {
                    let mut trace = trace.lock().unwrap();
                    trace.push(traced);
                    trace.len() - 1
                };
                sleep(latency / 2).await;
                if call.name == "TransactWriteItems" {
                    writes_held.wait_for(|held| !held).await.map_err(|_| Lost)?;
                }
                let meets_another = !contended.lock().unwrap().is_disjoint(&moved);
                let answer = if is_denied {
                    Answer::refusal(400, "AccessDeniedException", json!({ "message": "denied" }))
                } else if meets_another {
                    conflict()
                } else {
                    call.carry_out().await
                };
                if call.name == "GetRecords" && answer.status == 200 {
                    trace.lock().unwrap()[index].take(&answer);
                }
                if call.name == "TransactWriteItems" {
                    trace.lock().unwrap()[index].is_committed = answer.status == 200;
                }
                sleep(latency / 2).await;
                Ok(answer)
            }
        })
    }
}

/// A transaction that meets another one under way.
fn conflict() -> Answer {
    let reasons = json!([{ "Code": "TransactionConflict", "Message": "a transaction is under way" }]);
    Answer::refusal(400, "TransactionCanceledException", json!({ "CancellationReasons": reasons, "message": "cancelled" }))
}

fn order(number: usize, now: Timestamp) -> Value {
    json!({
        "id": {"S": format!("order-{number}")}, "order_date": {"S": now.to_string()}, "item_number": {"S": "tea"},
        "quantity": {"N": "1"}, "unit_price": {"N": "1.50"},
    })
}
