//! Invariants 1, 2, 6 and 8: whatever happens to commits and workers, the stored aggregates and levels equal a naive recomputation,
//! and alerts have told of each crossing of the history once.
//!
//! The code under test is the worker's own: the reader, effects, folding, the commit rules and leases, through the real SDK. The
//! test plays the scheduler: it decides which worker does what next, how much it takes into one batch, and what happens to the
//! request: a crash before or after it, a lost answer, a conflict, a steal while the batch is in hand. Workers whose lease was
//! stolen keep trying, as zombies do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tidemark_domain::alert::Act;
use tidemark_domain::{AlertId, Level, Running, SourceName, TenantId};
use tidemark_ingest::{Committer, Effects, Fold, FullRows, Instruments, Outcome, StockReader, Writing, Zones};
use tidemark_runtime::clock;
use tidemark_store::{AlertQuery, AlertRecord, AlertsWanted, Change as AlertChange, Provenance, RulesLane, Store, Tenant};
use tidemark_streams::{HeldShard, Position, Record, ShardReader, SourceStream, Start, Streams, Verdict, Worker, WorkerConfig};
use tidemark_tests::deployment::{item_of, tables};
use tidemark_tests::oracle::stock;
use tidemark_tests::{Deployment, Fault, When, Workload, oracle};
use tokio::sync::watch;
use tokio::time::Instant;

/// Cases of one run; `TIDEMARK_EXACTNESS_CASES` asks for more.
const CASES: u32 = 32;
const ZONES: [(&str, &str); 3] = [("demo", "UTC"), ("acme", "America/Santiago"), ("Zed-9", "Asia/Kathmandu")];
const WORKERS: usize = 3;
/// A late request arrives after fewer other calls than this, or at the end.
const LATE_MAX: u64 = 12;

/// One change of the source.
#[derive(Debug, Clone)]
enum Change {
    Put(Value),
    Delete(usize),
}

/// What the scheduler does next.
#[derive(Debug, Clone)]
enum Step {
    /// Writes the next changes of the history.
    Write(usize),
    /// Another worker takes the shard, whoever holds it.
    Steal(usize),
    /// A worker, rightful or not, commits a batch of at most so many records.
    Commit { worker: usize, records: usize, request: Request },
}

/// What happens to a commit's request.
#[derive(Debug, Clone, Copy)]
enum Request {
    Answered,
    /// The worker dies before sending it.
    CrashBefore,
    /// The worker dies right after sending it: it is carried out, and nobody knows.
    CrashAfter,
    /// Carried out, and the answer lost.
    AnswerLost,
    /// Carried out, but the worker goes on as if it had never sent anything: the same records are delivered to it again.
    Forgotten,
    /// The answer is lost, and the request is carried out only after so many other calls: before the position is read back, before it is
    /// sent again, or after that.
    Late(u64),
    /// Never arrives.
    Dropped,
    /// Meets another transaction first.
    Conflict,
    /// Arrives after the shard was stolen by the next worker.
    StolenMeanwhile,
    /// Arrives after somebody has acknowledged every alert that fires.
    AcknowledgedMeanwhile,
}

fn item(id: usize) -> impl Strategy<Value = Value> {
    let tenant = prop_oneof![
        // Most often the same one, so that items stay where they are.
        4 => Just(None),
        3 => prop::sample::select(vec![Some(json!({"S": "demo"})), Some(json!({"S": "acme"})), Some(json!({"S": "Zed-9"}))]),
        1 => prop::sample::select(vec![Some(json!({"S": "no tenant"})), Some(json!({"N": "7"})), Some(json!({"S": "T#x"}))]),
    ];
    let quantity = prop_oneof![
        8 => (-50_i64..500).prop_map(|n| Some(json!({"N": n.to_string()}))),
        2 => (1_i64..i64::MAX, 0_u32..18).prop_map(|(n, scale)| Some(json!({"N": format!("{n}E-{scale}")}))),
        1 => prop::sample::select(vec![None, Some(json!({"S": "many"})), Some(json!({"NULL": true}))]),
    ];
    let price = prop_oneof![
        8 => (0_i64..100_000).prop_map(|cents| Some(json!({"N": format!("{}.{:02}", cents / 100, cents % 100)}))),
        1 => Just(None),
    ];
    let today = clock::now();
    let date = prop_oneof![
        6 => (0_i64..200).prop_map(move |days| Some(json!({"S": (today - jiff::SignedDuration::from_hours(days * 7)).to_string()}))),
        2 => (0_i64..60).prop_map(move |days| {
            Some(json!({"N": (today - jiff::SignedDuration::from_hours(days * 24)).as_second().to_string()}))
        }),
        // Days around Santiago's change of clocks, as dates and local times.
        2 => prop::sample::select(vec![Some(json!({"S": "2026-04-05"})), Some(json!({"S": "2026-09-06"})), Some(json!({"S": "2026-09-06T00:30:00"}))]),
        1 => Just(Some(json!({"S": (today - jiff::SignedDuration::from_hours(24 * 450)).to_string()}))),
        1 => prop::sample::select(vec![None, Some(json!({"S": "soon"})), Some(json!({"BOOL": true}))]),
    ];
    let texts = |texts: &[Option<&str>]| {
        prop::sample::select(texts.iter().map(|text| text.map(|text| json!({"S": text}))).collect::<Vec<_>>())
    };
    let product = texts(&[Some("tea"), Some("mug"), Some("a#b%"), None]);
    let region = texts(&[Some("north"), Some("north"), Some("north"), Some(""), None]);
    let status = texts(&[None, Some("placed"), Some("cancelled")]);
    let currency = texts(&[None, Some("EUR"), Some("USD")]);
    let reserved = prop_oneof![
        3 => Just(None),
        2 => (0_i64..100).prop_map(|n| Some(json!({"N": n.to_string()}))),
        1 => prop::sample::select(vec![Some(json!({"S": "few"})), Some(json!({"NULL": true}))]),
    ];
    (tenant, quantity, price, date, product, region, (status, currency, reserved)).prop_map(
        move |(tenant, quantity, price, date, product, region, (status, currency, reserved))| {
            let mut item = json!({ "id": {"S": format!("order-{id}")} });
            let attributes = [
                ("tenant_id", tenant),
                ("quantity", quantity),
                ("unit_price", price),
                ("order_date", date),
                ("item_number", product),
                ("region", region),
                ("status", status),
                ("currency", currency),
                ("reserved", reserved),
            ];
            for (name, value) in attributes {
                if let Some(value) = value {
                    item[name] = value;
                }
            }
            item
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        5 => (0..6_usize).prop_flat_map(|id| item(id).prop_map(Change::Put)),
        1 => (0..6_usize).prop_map(Change::Delete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    use Request::{
        AcknowledgedMeanwhile, AnswerLost, Answered, Conflict, CrashAfter, CrashBefore, Dropped, Forgotten, Late, StolenMeanwhile,
    };
    // The two that send a batch twice are what the condition on the position is for.
    let request = prop_oneof![14 => prop::sample::select(vec![
        Answered,
        Answered,
        Answered,
        CrashBefore,
        CrashAfter,
        AnswerLost,
        AnswerLost,
        Forgotten,
        Forgotten,
        Dropped,
        Conflict,
        StolenMeanwhile,
        AcknowledgedMeanwhile,
        AcknowledgedMeanwhile,
    ]), 3 => (1..LATE_MAX).prop_map(Late)];
    prop_oneof![
        2 => (1..6_usize).prop_map(Step::Write),
        1 => (0..WORKERS).prop_map(Step::Steal),
        4 => (0..WORKERS, 1..8_usize, request).prop_map(|(worker, records, request)| Step::Commit { worker, records, request }),
    ]
}

/// One process that consumes the shard; it may be a zombie.
struct Process {
    worker: Worker,
    held: Option<HeldShard>,
}

struct Schedule {
    deployment: Deployment,
    running: Running,
    source: SourceName,
    stream: SourceStream,
    zones: Zones,
    committer: Committer,
    processes: Vec<Process>,
    /// The clock by which workers find each other dead; the test moves it.
    mono: Instant,
    stock: StockReader,
    /// Every change made so far.
    history: stock::History,
    acknowledged: BTreeSet<(TenantId, AlertId)>,
}

impl Schedule {
    async fn start() -> Self {
        let deployment = Deployment::start(oracle::DEFINITIONS).await;
        for (tenant, zone) in ZONES {
            deployment.create_tenant(tenant, zone).await;
        }
        let running = deployment.store.adopt(&deployment.definitions, clock::now()).await.unwrap().running;
        // Without the SDK's own retries every fault reaches our rules.
        let config = without_retries(&deployment.world.config_of(Workload::Ingest));
        let (store, streams) = (Store::new(&config, tables()), Streams::new(&config, tables().control));
        let stream = deployment.streams.describe_source(oracle::TABLE).await.unwrap();
        let mut schedule = Self {
            committer: Committer::new(store, streams, Instruments::default()),
            zones: Zones::new(deployment.store.clone()),
            stock: StockReader::new(deployment.store.clone()),
            history: Vec::new(),
            acknowledged: BTreeSet::new(),
            source: SourceName::new("orders").unwrap(),
            processes: Vec::new(),
            mono: Instant::now(),
            deployment,
            running,
            stream,
        };
        for _ in 0..WORKERS {
            let process = schedule.new_process().await;
            schedule.processes.push(process);
        }
        schedule
    }

    async fn new_process(&self) -> Process {
        let config = WorkerConfig { name: "test".to_owned(), lease_ttl: Duration::from_secs(10), start: Start::TrimHorizon };
        let sources = vec![self.stream.clone()];
        let worker = Worker::start(self.deployment.streams.clone(), config, sources, clock::now(), self.mono).await.unwrap();
        Process { worker, held: None }
    }

    /// Lets a worker see the others silent for longer than the TTL, so that it takes the shard.
    async fn steal(&mut self, index: usize) {
        if self.processes[index].held.is_some() {
            self.processes[index] = self.new_process().await;
        }
        for _ in 0..4 {
            self.mono += Duration::from_secs(11);
            let acquired = self.processes[index].worker.tick(clock::now(), self.mono).await.unwrap();
            if let Some(held) = acquired.into_iter().next() {
                self.processes[index].held = Some(held);
                return;
            }
        }
        panic!("a worker that finds the owner dead takes the shard");
    }

    async fn read(&self, held: &HeldShard) -> VecDeque<Record> {
        let arn = self.stream.arn.clone();
        let mut reader = ShardReader::new(self.deployment.streams.clone(), arn, held);
        reader.next(clock::now).await.unwrap().records.into()
    }

    /// One batch of one worker, and what becomes of it.
    async fn commit(&mut self, index: usize, records_max: usize, request: Request) {
        let Some(held) = self.processes[index].held.clone() else { return };
        let records = self.read(&held).await;
        let (running, source, zones) = (&self.running, &self.source, &self.zones);
        let effects = Effects { running, source, table: oracle::TABLE, zones, now: clock::now() };
        let (mut fold, mut taken) = (Fold::default(), Vec::new());
        for record in records.iter().take(records_max) {
            let effect = effects.of(record).await.unwrap();
            if !fold.take(&effect) {
                break;
            }
            taken.push(effect);
        }
        let lane = RulesLane::of(held.shard.as_str());
        let fold = Fold::decided(&taken, self.stock.read(fold.stock().unread(), lane).await.unwrap());
        let Some(last) = fold.records().checked_sub(1).map(|last| &records[last]) else { return };
        let advance = held.advance(&Position::After(last.sequence_number.clone()), self.running.version);
        let from =
            Provenance { source: self.source.clone(), sequence: last.sequence_number.as_str().to_owned(), at: last.created_at };
        let (stream, now) = (self.stream.arn.as_str(), clock::now());
        let writing = Writing { stream, now, alert_max_age: SignedDuration::MAX, traceparent: None };
        let writes = fold.writes(|_| 0, &writing).unwrap();
        let call = if writes.is_empty() { "UpdateItem" } else { "TransactWriteItems" };
        let front = self.deployment.world.front();
        match request {
            Request::Answered | Request::Forgotten => {}
            Request::Late(after) => front.fault(call, When::Nth(1), Fault::Late(after)),
            Request::CrashBefore => {
                self.processes[index] = self.new_process().await;
                return;
            }
            Request::CrashAfter | Request::AnswerLost => front.fault(call, When::Nth(1), Fault::CommitThenDrop),
            Request::Dropped => front.fault(call, When::Nth(1), Fault::Reset),
            Request::Conflict => front.fault(call, When::Nth(1), Fault::TransactionConflict),
            Request::StolenMeanwhile => self.steal((index + 1) % WORKERS).await,
            Request::AcknowledgedMeanwhile => self.acknowledge_all().await,
        }
        let life = watch::Sender::new(None);
        let committing = tidemark_ingest::Step { advance: &advance, from: &from, full: FullRows::Split, life: &life };
        let outcome = self.committer.commit(&committing, writes).await.unwrap();
        match outcome {
            _ if matches!(request, Request::CrashAfter) => self.processes[index] = self.new_process().await,
            Outcome::Decided(Verdict::Committed) if matches!(request, Request::Forgotten) => {}
            Outcome::Decided(Verdict::Committed) => self.processes[index].held = Some(held.after(&advance)),
            // A zombie forgets nothing and tries again whenever it is its turn.
            Outcome::Decided(Verdict::LeaseLost) => {}
            // It will be read and decided anew.
            Outcome::DecisionsStale(tenants) if matches!(request, Request::AcknowledgedMeanwhile) => {
                self.stock.were_stale(fold.stock(), &tenants).await;
            }
            Outcome::Decided(Verdict::Moved(position)) => self.processes[index].held = Some(held.moved(position)),
            other => panic!("not to be had in this schedule: {other:?}"),
        }
    }

    async fn acknowledge_all(&mut self) {
        for (tenant, _) in ZONES {
            let tenant = Tenant::named_by_operator(TenantId::new(tenant).unwrap());
            let query = AlertQuery { which: AlertsWanted::Firing, after: None, limit: 100 };
            for AlertRecord { alert, .. } in self.deployment.store.alerts(&tenant, &query).await.unwrap().alerts {
                let act = Act::Acknowledge { by: "key_test".to_owned(), note: None };
                let decide = |record: &AlertRecord, level: Option<&Level>| {
                    let acted = act.apply(&record.alert, level, clock::now())?;
                    Ok::<_, tidemark_domain::alert::Error>(acted.map(|acted| AlertChange { acted, event: None }))
                };
                self.deployment.store.act(&tenant, &alert.id, clock::now(), decide).await.unwrap();
                self.acknowledged.insert((alert.key.tenant, alert.id));
            }
        }
    }

    /// A worker without misfortune commits all that is left, while somebody acknowledges whatever fires.
    async fn finish(&mut self) {
        // Whatever is still on its way arrives before the end.
        self.deployment.world.front().late_calls_arrive().await;
        self.steal(0).await;
        loop {
            let held = self.processes[0].held.clone().unwrap();
            if self.read(&held).await.is_empty() {
                return;
            }
            self.commit(0, 4, Request::AcknowledgedMeanwhile).await;
        }
    }

    async fn check(&self) {
        let scan = self.deployment.world.dynamodb().scan().table_name(oracle::TABLE).consistent_read(true).send().await.unwrap();
        let expected = oracle::expected(scan.items(), &BTreeMap::from(ZONES), clock::now());
        let stored = oracle::stored(&self.deployment).await;
        pretty(&expected, &stored);
        let (client, tenants) = (self.deployment.world.dynamodb(), BTreeMap::from(ZONES));
        stock::check_levels(&client, &tenants).await;
        stock::check_episodes(&client, &tenants, &self.history).await;
        for (tenant, id) in &self.acknowledged {
            let tenant = Tenant::named_by_operator(tenant.clone());
            let record = self.deployment.store.alert(&tenant, id).await.unwrap().unwrap();
            assert!(record.alert.acknowledged.is_some(), "no commit undoes what was acknowledged: {record:?}");
        }
    }

    async fn write(&mut self, change: Change) {
        match change {
            Change::Put(item) => {
                self.history.push((item["id"]["S"].as_str().unwrap().to_owned(), Some(item_of(&item))));
                self.deployment.put(oracle::TABLE, item).await;
            }
            Change::Delete(id) => {
                let id = format!("order-{id}");
                self.history.push((id.clone(), None));
                self.deployment.delete(oracle::TABLE, json!({ "id": {"S": id} })).await;
            }
        }
    }
}

fn pretty(expected: &oracle::Cells, stored: &oracle::Cells) {
    let missing: Vec<_> = expected.iter().filter(|(cell, value)| stored.get(*cell) != Some(value)).collect();
    let wrong: Vec<_> = stored.iter().filter(|(cell, value)| expected.get(*cell) != Some(value)).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "expected, not stored: {missing:#?}\nstored, not expected: {wrong:#?}");
}

/// Without time-outs, too: how fast the machine is must not decide what happens.
fn without_retries(config: &SdkConfig) -> SdkConfig {
    config.clone().into_builder().retry_config(RetryConfig::disabled()).timeout_config(TimeoutConfig::disabled()).build()
}

async fn run(history: Vec<Change>, steps: Vec<Step>) {
    let mut schedule = Schedule::start().await;
    let mut history = VecDeque::from(history);
    for step in steps {
        match step {
            Step::Write(count) => {
                for change in history.drain(..count.min(history.len())).collect::<Vec<_>>() {
                    schedule.write(change).await;
                }
            }
            Step::Steal(worker) => schedule.steal(worker).await,
            Step::Commit { worker, records, request } => schedule.commit(worker, records, request).await,
        }
    }
    for change in history {
        schedule.write(change).await;
    }
    schedule.finish().await;
    schedule.check().await;
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a longer run by hand is asked for by a variable")]
fn aggregates_equal_a_recomputation_whatever_happens_to_commits() {
    let cases = std::env::var("TIDEMARK_EXACTNESS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let mut runner = TestRunner::new(Config { cases, source_file: Some(file!()), max_shrink_iters: 40, ..Config::default() });
    let strategy = (prop::collection::vec(change(), 8..40), prop::collection::vec(step(), 10..40));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runner.run(&strategy, |(history, steps)| {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(run(history, steps))));
        outcome.map_err(|panic| TestCaseError::fail(panic.downcast_ref::<String>().cloned().unwrap_or_default()))
    });
    result.unwrap();
}
