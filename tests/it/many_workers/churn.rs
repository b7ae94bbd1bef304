//! STREAMS §4: the watermark while workers come and go and shards rotate. There is one soon, its lag is bounded, and every read is judged
//! by the watermark that came with it (`tidemark_tests::judge`).
//!
//! `TIDEMARK_CHURN_SEED` begins with another seed, and runs only it unless `TIDEMARK_CHURN_SEEDS` says how many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tidemark_runtime::clock;
use tidemark_runtime::settings::Vars;
use tidemark_streams::Streams;
use tidemark_tests::Wire;
use tidemark_tests::deployment::{item_of, tables};
use tidemark_tests::judge::{Read, Writes, judge, summary};
use tidemark_tests::oracle::{self, Cells};
use tokio::time::{Instant, sleep, sleep_until};

use super::fleet::{Fleet, LATENCY, WorkerNumber};

const SEEDS: u64 = 3;
const FIRST_SEED: u64 = 1;
const LEASE_TTL: Duration = Duration::from_secs(3);
const WORKERS: usize = 3;
/// Open shards that the stream begins with, and beyond which none is split.
const SHARDS: usize = 4;
const OPEN_MAX: usize = 10;
/// How long workers come and go. Then it is quiet for the rest of the time.
const CHURN: Duration = Duration::from_secs(140);
const QUIET: Duration = Duration::from_secs(15);
/// From one lost worker to the next, in ms.
const STRIKES_MS: std::ops::Range<u64> = 2_000..5_000;
/// From one change of the source to the next, in ms.
const CHANGES_MS: std::ops::Range<u64> = 20..150;
const READS: Duration = Duration::from_millis(200);
const ORDERS: usize = 60;
/// While only so few orders change, most shards are idle: for some time in the middle, and with every second seed at the beginning.
const ORDERS_WHILE_IDLE: usize = 2;
const IDLE: std::ops::Range<Duration> = Duration::from_secs(50)..Duration::from_secs(90);
const IDLE_FIRST: Duration = Duration::from_secs(10);
/// From the start of the first worker to the first watermark.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// The 99th percentile of the lag.
const LAG_MAX: Duration = Duration::from_secs(LEASE_TTL.as_secs() + 5);
/// The same at hard times: while most shards are idle, for an idle shard is known to be included only after a delivery delay and some empty
/// pages; and after a loss that hits a worker which has just taken over the shards of one that was lost before, for those stand still for two
/// leases in a row, or three.
const LAG_MAX_AT_HARD_TIMES: Duration = Duration::from_secs(3 * LEASE_TTL.as_secs() + 11);
/// What a worker has taken over so short a time ago it has hardly read.
const JUST: Duration = Duration::from_secs(2);

/// What one seed showed.
struct Shown {
    /// From the start of the first worker to the first watermark.
    first: Duration,
    /// Of each read from the first watermark on, in ascending order; and of those at hard times.
    lags: Vec<Duration>,
    hard_lags: Vec<Duration>,
    strikes: usize,
    shards: usize,
    /// What is wrong.
    failures: Vec<String>,
}

/// A number from the environment.
fn setting(vars: &Vars, name: &str) -> Option<u64> {
    let text = vars.get(name).unwrap()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: `{text}` is no number")))
}

/// The wire by which the test itself writes and reads: a call takes time on its way there and back, so what a call did is not known at once.
fn slow(wire: &Wire) -> Wire {
    wire.with_hook(|call| async move {
        sleep(LATENCY / 2).await;
        let answer = call.carry_out().await;
        sleep(LATENCY / 2).await;
        Ok(answer)
    })
}

fn order(random: &mut StdRng, id: &str) -> Value {
    let item = ["tea", "mug"][random.random_range(0..2)];
    let mut order = json!({
        "id": {"S": id},
        "order_date": {"S": clock::now().to_string()},
        "item_number": {"S": item},
        "quantity": {"N": random.random_range(-5..50).to_string()},
        "unit_price": {"N": format!("{}.25", random.random_range(0..90))},
    });
    if random.random_ratio(1, 8) {
        order["status"] = json!({ "S": "cancelled" });
    }
    order
}

/// Places, edits and deletes orders until then.
async fn write(wire: Wire, seed: u64, writes: Arc<Mutex<Writes>>, end: Instant) {
    let (client, begun, mut random) = (Client::new(&slow(&wire).config()), Instant::now(), StdRng::seed_from_u64(seed));
    while Instant::now() < end {
        sleep(Duration::from_millis(random.random_range(CHANGES_MS))).await;
        let orders = if is_idle(seed, begun.elapsed()) { ORDERS_WHILE_IDLE } else { ORDERS };
        let id = format!("order-{}", random.random_range(0..orders));
        let begin = |cells: Cells| writes.lock().unwrap().begin(&id, cells, clock::now());
        if random.random_ratio(1, 6) {
            begin(Cells::new());
            let key = item_of(&json!({ "id": {"S": id} }));
            client.delete_item().table_name(oracle::TABLE).set_key(Some(key)).send().await.unwrap();
        } else {
            let item = item_of(&order(&mut random, &id));
            begin(oracle::expected(std::slice::from_ref(&item), &BTreeMap::from([("demo", "UTC")]), clock::now()));
            client.put_item().table_name(oracle::TABLE).set_item(Some(item)).send().await.unwrap();
        }
        writes.lock().unwrap().acknowledge(&id, clock::now());
    }
}

/// Reads all numbers until then, as the API does: the watermark first, then the rows, consistently.
async fn read(wire: Wire, end: Instant) -> Vec<Read> {
    let config = slow(&wire).config();
    let (client, streams) = (Client::new(&config), Streams::new(&config, tables().control));
    let mut reads = Vec::new();
    while Instant::now() < end {
        let (begun, begun_at) = (Instant::now(), clock::now());
        let known = streams.table_watermark(oracle::TABLE).await.unwrap();
        let cells = oracle::stored_by(&client).await;
        reads.push(Read {
            begun_at,
            answered_at: clock::now(),
            watermark: known.and_then(|known| known.watermark),
            exact: known.is_some_and(|known| known.exact),
            cells,
            complete: BTreeSet::new(),
        });
        sleep_until(begun + READS).await;
    }
    reads
}

/// Whether most shards are idle, so long after the beginning.
fn is_idle(seed: u64, passed: Duration) -> bool {
    IDLE.contains(&passed) || passed >= CHURN || seed.is_multiple_of(2) && passed < IDLE_FIRST
}

/// Workers that come and go, and shards that rotate and split, until then. How many workers were lost, and when each that had just taken
/// shards over was.
async fn churn(fleet: &mut Fleet, seed: u64, end: Instant) -> (usize, Vec<Timestamp>) {
    let mut twice = Vec::new();
    let (mut workers, mut started, mut random) = (Vec::<WorkerNumber>::new(), 0, StdRng::seed_from_u64(seed.rotate_left(32)));
    while workers.len() < WORKERS {
        started += 1;
        workers.push(fleet.start(&format!("worker-{started}")).await);
    }
    while Instant::now() < end {
        sleep(Duration::from_millis(random.random_range(STRIKES_MS))).await;
        shift(fleet, &mut random).await;
        let lost = workers.swap_remove(random.random_range(0..workers.len()));
        let lately = fleet.calls_since(Instant::now() - JUST);
        if lately.iter().any(|call| call.worker == lost && call.acquires()) {
            twice.push(clock::now());
        }
        if random.random_ratio(3, 4) {
            fleet.kill(lost).await;
        } else {
            fleet.stop(&[lost]).await;
        }
        started += 1;
        workers.push(fleet.start(&format!("worker-{started}")).await);
    }
    (started - WORKERS, twice)
}

/// Something happens to the shards, now and then.
async fn shift(fleet: &Fleet, random: &mut StdRng) {
    let (shards, open) = (fleet.shards(), fleet.shards().open().await);
    let shard = &open[random.random_range(0..open.len())];
    match random.random_range(0..12) {
        0 | 1 => drop(shards.rotate(shard).await),
        2 if open.len() < OPEN_MAX => drop(shards.split(shard).await),
        3 => shards.rotate_all().await,
        _ => {}
    }
}

async fn run(seed: u64) -> Shown {
    let mut fleet = Fleet::of_shards(SHARDS).await;
    fleet.set_lease_ttl(LEASE_TTL);
    // Incarnations and jitter of the workers.
    fastrand::seed(seed);
    let (wire, writes) = (fleet.wire.clone(), Arc::<Mutex<Writes>>::default());
    let (begun_at, end) = (clock::now(), Instant::now() + CHURN);
    let ((strikes, twice), (), reads) =
        tokio::join!(churn(&mut fleet, seed, end), write(wire.clone(), seed, Arc::clone(&writes), end), read(wire, end + QUIET));
    let shards = fleet.shards().all().await.len();
    let writes = writes.lock().unwrap();
    let lags = |of_hard_times: bool| {
        let is_hard = |read: &&Read| {
            let passed = span(begun_at, read.answered_at);
            let is_after =
                |lost: &Timestamp| (Duration::ZERO..LAG_MAX).contains(&span(*lost, read.answered_at)) && *lost < read.answered_at;
            // What happens at the end of an idle span shows for some time after it.
            is_idle(seed, passed) || is_idle(seed, passed.saturating_sub(LAG_MAX)) || twice.iter().any(is_after)
        };
        let these = reads.iter().filter(|read| is_hard(read) == of_hard_times);
        let mut lags: Vec<Duration> = these.filter_map(|read| Some(span(read.watermark?, read.answered_at))).collect();
        lags.sort();
        lags
    };
    let first = reads.iter().find(|read| read.watermark.is_some()).expect("there is a watermark");
    let mut failures = summary(&judge(&writes, &reads));
    if reads.last().and_then(|last| last.watermark) <= writes.last_acknowledged_at() {
        failures.push(format!("{QUIET:?} after the last change the watermark has not passed it"));
    }
    let first = span(begun_at, first.answered_at);
    Shown { first, lags: lags(false), hard_lags: lags(true), strikes, shards, failures }
}

fn span(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

/// Half of these, which are in ascending order, 99 of 100, and all of them are no longer than this.
fn percentiles(lags: &[Duration]) -> [Duration; 3] {
    [50, 99, 100].map(|percent| lags[(lags.len() * percent).div_ceil(100).max(1) - 1])
}

#[tokio::test(start_paused = true)]
async fn while_workers_and_shards_come_and_go_the_watermark_keeps_up_and_every_read_is_true() {
    let vars = Vars::from_process();
    let one = setting(&vars, "TIDEMARK_CHURN_SEED");
    let seeds = setting(&vars, "TIDEMARK_CHURN_SEEDS").or(one.map(|_| 1)).unwrap_or(SEEDS);
    let (mut failures, mut all_lags, mut all_hard_lags) = (Vec::new(), Vec::new(), Vec::new());
    for seed in (one.unwrap_or(FIRST_SEED)..).take(usize::try_from(seeds).unwrap()) {
        let Shown { first, lags, hard_lags, strikes, shards, failures: found } = Box::pin(run(seed)).await;
        let figures = format!(
            "seed {seed}: {strikes} workers lost, {shards} shards; first watermark after {first:?}; lag p50, p99, max {:?}, at hard \
             times {:?}, of {} and {} reads",
            percentiles(&lags),
            percentiles(&hard_lags),
            lags.len(),
            hard_lags.len(),
        );
        println!("{figures}");
        assert!(strikes > 20 && shards > 2 * SHARDS, "too little happened to prove anything: {figures}");
        failures.extend(found.iter().map(|failure| format!("seed {seed}: {failure}")));
        if first > FIRST_WITHIN {
            failures.push(figures);
        }
        all_lags.extend(lags);
        all_hard_lags.extend(hard_lags);
    }
    all_lags.sort_unstable();
    all_hard_lags.sort_unstable();
    let (lags, hard_lags) = (percentiles(&all_lags), percentiles(&all_hard_lags));
    let figures = format!("all seeds: lag p50, p99, max {lags:?}, at hard times {hard_lags:?}");
    println!("{figures}");
    if lags[1] > LAG_MAX || hard_lags[1] > LAG_MAX_AT_HARD_TIMES {
        failures.push(figures);
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
