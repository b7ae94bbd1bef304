//! Chaos: three workers as processes, which are killed and terminated again and again, on a DynamoDB that misbehaves, under a
//! load of changes, while the stream's shards rotate and split. Whatever happens, the API equals the oracle in every cell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bigdecimal::{BigDecimal, Zero};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_domain::Zone;
use tidemark_runtime::clock;
use tidemark_runtime::settings::Vars;
use tidemark_tests::deployment::{DEADLINE, SECRET_KEY, item_of};
use tidemark_tests::oracle::{self, Cells, stock};
use tidemark_tests::{Client, Deployment, RunningApi, wait_until};
use tokio::time::Instant;

use super::process::{CALLS, Process};

const ZONES: [(&str, &str); 2] = [("demo", "UTC"), ("acme", "Europe/Berlin")];
/// Each stored set as the API names it, and as the oracle does.
const SETS: [(&str, &str); 4] = [("", ""), ("item", "item"), ("region", "region"), ("item,region", "item+region")];
const WORKERS: usize = 3;
/// As few as the workers, so that two of them often have the same name.
const NAMES: [&str; WORKERS] = ["blue", "green", "red"];
const FAULTY_PER_MILLE: u32 = 20;
/// From one strike at a worker to the next, in milliseconds: some reach a worker that still starts, some one in full work.
const CALM_MS: std::ops::Range<u64> = 500..2500;
/// How long the chaos lasts, unless `TIDEMARK_CHAOS_SECONDS` says otherwise.
const SECONDS: u64 = 10;
/// Fewer would prove too little, however slow the machine: each kind twice, and everything that happens to shards once.
const STRIKES_MIN: usize = 4;
/// Open shards beyond which none is split any more: what they do is the same.
const OPEN_MAX: usize = 10;
const LEASE_TTL: Duration = Duration::from_secs(1);
/// Longest that a shard that somebody has begun to read may be read by nobody. STREAMS §7.
const IDLE_MAX: Duration = Duration::from_secs(LEASE_TTL.as_secs() + 10);
/// The longest drain, and a little.
const DRAIN: Duration = Duration::from_secs(35);

/// A number from the environment. `TIDEMARK_CHAOS_SEED` fixes what the test does; nothing fixes the pace of the processes.
fn setting(vars: &Vars, name: &str) -> Option<u64> {
    let text = vars.get(name).unwrap()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: `{text}` is no number")))
}

struct Chaos {
    deployment: Deployment,
    random: StdRng,
    workers: Vec<Process>,
    /// Were sent SIGTERM.
    leaving: Vec<Process>,
    /// Holds the definition file.
    folder: TempDir,
    /// Every change made so far.
    history: stock::History,
}

impl Chaos {
    async fn start(seed: u64) -> Self {
        let deployment = Deployment::start_with_shards(oracle::DEFINITIONS, 3).await;
        for (tenant, zone) in ZONES {
            deployment.create_tenant(tenant, zone).await;
        }
        // Small pages, so that shards end with pages in between; children that are listed late, so that linking has to wait.
        let shards = deployment.world.shards(oracle::TABLE);
        shards.rule(|rules| (rules.records_max, rules.late_listings, rules.empty_pages) = (20, 2, 1)).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("definitions.yaml"), oracle::DEFINITIONS).unwrap();
        Self {
            deployment,
            random: StdRng::seed_from_u64(seed),
            workers: Vec::new(),
            leaving: Vec::new(),
            folder,
            history: Vec::new(),
        }
    }

    fn faults_on(&mut self) {
        self.deployment.world.front().random_faults(self.random.random(), FAULTY_PER_MILLE, CALLS);
    }

    fn spawn(&mut self) {
        let definitions: PathBuf = self.folder.path().join("definitions.yaml");
        let mut variables = self.deployment.world.variables().to_vec();
        variables.extend([
            ("TIDEMARK_DEFINITIONS", definitions.to_str().unwrap().to_owned()),
            ("TIDEMARK_ADMIN_ADDR", "127.0.0.1:0".to_owned()),
            (SECRET_KEY.0, SECRET_KEY.1.to_owned()),
            ("TIDEMARK_WORKER_ID", NAMES[self.random.random_range(0..NAMES.len())].to_owned()),
            ("TIDEMARK_LEASE_TTL_MS", LEASE_TTL.as_millis().to_string()),
            ("TIDEMARK_FLUSH_INTERVAL_MS", "50".to_owned()),
        ]);
        self.workers.push(Process::spawn("tidemark-ingest", &[], &variables));
    }

    /// An order is placed, edited, moved to another tenant, day or group, or deleted.
    async fn change(&mut self) {
        let random = &mut self.random;
        let name = format!("order-{}", random.random_range(0..80));
        let id = json!({ "S": name });
        if random.random_ratio(1, 8) {
            self.history.push((name, None));
            return self.deployment.delete(oracle::TABLE, json!({ "id": id })).await;
        }
        let item = ["tea", "mug", "a#b%"][random.random_range(0..3)];
        let currency = ["USD", "EUR"][random.random_range(0..2)];
        let at = clock::now() - SignedDuration::from_mins(random.random_range(0..48 * 60));
        let mut order = json!({
            "id": id,
            "tenant_id": {"S": ZONES[random.random_range(0..ZONES.len())].0},
            "order_date": {"S": at.to_string()},
            "item_number": {"S": item},
            "currency": {"S": currency},
            "quantity": {"N": random.random_range(-5..50).to_string()},
            "unit_price": {"N": format!("{}.25", random.random_range(0..90))},
        });
        if let Some(region) = ["north", "south"].get(random.random_range(0..3)) {
            order["region"] = json!({ "S": region });
        }
        self.history.push((name, Some(item_of(&order))));
        self.deployment.put(oracle::TABLE, order).await;
    }

    /// Changes one order after the other until it is time for the next strike.
    async fn load(&mut self) {
        let time = Duration::from_millis(self.random.random_range(CALM_MS));
        let end = Instant::now() + time;
        wait_until("the load to end", time + DEADLINE, async || {
            self.change().await;
            Instant::now() >= end
        })
        .await;
    }

    /// Something happens to the shards.
    async fn shift(&mut self, round: usize) {
        let shards = self.deployment.world.shards(oracle::TABLE);
        // Every other time children are listed while their parents still look open.
        shards.rule(|rules| rules.parents_look_open = round % 2 == 1).await;
        let open = shards.open().await;
        let shard = &open[self.random.random_range(0..open.len())];
        match round % 4 {
            0 if open.len() < OPEN_MAX => drop(shards.split(shard).await),
            0 | 1 => drop(shards.rotate(shard).await),
            2 => shards.expire_iterators().await,
            _ => shards.rotate_all().await,
        }
    }

    /// Ends a worker, wherever it is in its work.
    async fn strike(&mut self, with: Strike) {
        let mut victim = self.workers.swap_remove(self.random.random_range(0..self.workers.len()));
        match with {
            Strike::Kill => victim.kill().await,
            Strike::Terminate => {
                // From this line on it heeds signals, though its start may go on.
                victim.until_logged("probes and metrics are answered").await;
                assert!(!victim.has_ended(), "a worker ended by itself");
                victim.signal("-TERM").await;
                self.leaving.push(victim);
            }
        }
    }

    /// Waits for those that were sent SIGTERM: each must end well.
    async fn see_off(&mut self) {
        for process in self.leaving.drain(..) {
            let ended = process.ended(DRAIN).await;
            assert_eq!((ended.code, ended.told()), (Some(0), Vec::new()), "{}", ended.stderr);
        }
    }

    /// Lets everything settle on a DynamoDB that is well again, then compares every number, stored and answered, with a
    /// recomputation.
    async fn check(&mut self, api: &RunningApi) {
        let deployment = &self.deployment;
        deployment.world.front().no_faults();
        // What seems open is found out only by the next listing, which may be half a minute away.
        deployment.world.shards(oracle::TABLE).rule(|rules| rules.parents_look_open = false).await;
        deployment.settled("orders").await;
        let scan = deployment.world.dynamodb().scan().table_name(oracle::TABLE).consistent_read(true).send().await.unwrap();
        assert!(scan.last_evaluated_key.is_none());
        let expected = oracle::expected(scan.items(), &BTreeMap::from(ZONES), clock::now());
        assert!(expected.len() > 300, "{} cells: too few to prove anything", expected.len());
        assert_same("stored", &oracle::stored(deployment).await, &expected);
        let client = deployment.world.dynamodb();
        stock::check_levels(&client, &BTreeMap::from(ZONES)).await;
        stock::check_episodes(&client, &BTreeMap::from(ZONES), &self.history).await;
        let mut answered = Cells::new();
        for (tenant, zone) in ZONES {
            let client = api.client(deployment.key_of(tenant).await);
            answered.extend(answers(&client, tenant, &TimeZone::get(zone).unwrap()).await);
        }
        assert_same("answered", &answered, &expected);
        for stream in deployment.streams.streams_of(oracle::TABLE).await.unwrap() {
            let status = deployment.streams.stream_status(&stream.id).await.unwrap().unwrap();
            assert_eq!(status.gaps, [], "nothing was skipped");
        }
        assert!(self.workers.iter_mut().all(|worker| !worker.has_ended()), "a worker ended by itself");
    }
}

#[derive(Debug, Clone, Copy)]
enum Strike {
    Kill,
    Terminate,
}

/// Says which cells differ, not all there are.
fn assert_same(what: &str, cells: &Cells, expected: &Cells) {
    let names: BTreeSet<&String> = cells.keys().chain(expected.keys()).collect();
    let differs = |name: &&String| cells.get(*name) != expected.get(*name);
    let shown = |name: &String| {
        let [cell, expected] = [cells, expected].map(|cells| cells.get(name).map(ToString::to_string));
        format!("{name}: {cell:?} {what}, {expected:?} expected")
    };
    let wrong: Vec<String> = names.into_iter().filter(differs).map(shown).collect();
    assert!(wrong.is_empty(), "{} of {} cells are wrong: {wrong:#?}", wrong.len(), expected.len());
}

/// Everything the API answers about a tenant: each set by days and by quarters of an hour, as the oracle names cells.
async fn answers(client: &Client, tenant: &str, zone: &TimeZone) -> Cells {
    let today = Zone::utc().date_of(clock::now());
    let (from, to) = ((today - 3.days()).to_string(), (today + 2.days()).to_string());
    let mut cells = Cells::new();
    for (set, name) in SETS {
        for (granularity, format, zone) in [("P1D", "d%Y%m%d", zone), ("PT15M", "q%Y%m%dT%H%M", &TimeZone::UTC)] {
            let mut parameters = vec![("from", &*from), ("to", &*to), ("granularity", granularity), ("fill", "none")];
            parameters.extend((!set.is_empty()).then_some(("group_by", set)));
            let answer = client.values("sales", &parameters).await;
            assert_eq!(answer["freshness"]["exact"], true, "{}", answer["freshness"]);
            for row in answer["data"].as_array().unwrap() {
                let groups: Vec<String> = set.split_terminator(',').map(|name| group(&row["dimensions"][name])).collect();
                let family = format!("{tenant}|{name}|{}|{}", groups.join(","), row["currency"].as_str().unwrap());
                cells.extend(cells_of(row, &family, |start| start.to_zoned(zone.clone()).strftime(format).to_string()));
            }
        }
    }
    cells.retain(|_, value| !value.is_zero());
    cells
}

/// The cells of one row of an answer.
fn cells_of(row: &Value, family: &str, bucket: impl Fn(Timestamp) -> String) -> Cells {
    let mut cells = Cells::new();
    for answered in row["buckets"].as_array().unwrap() {
        let bucket = bucket(answered["from"].as_str().unwrap().parse().unwrap());
        for (measure, value) in answered["values"].as_object().unwrap() {
            let value = BigDecimal::from_str(value.as_str().unwrap()).unwrap();
            cells.insert(format!("{family}|{bucket}|{measure}"), value);
        }
    }
    cells
}

/// A group as the oracle spells it.
fn group(group: &Value) -> String {
    group.as_str().map_or_else(|| "%N".to_owned(), |text| text.replace('%', "%25").replace('#', "%23"))
}

#[tokio::test]
async fn the_api_equals_the_oracle_after_kills_faults_rotation_and_a_full_restart() {
    let vars = Vars::from_process();
    let time = Duration::from_secs(setting(&vars, "TIDEMARK_CHAOS_SECONDS").unwrap_or(SECONDS));
    let seed = setting(&vars, "TIDEMARK_CHAOS_SEED").unwrap_or_else(rand::random);
    println!("{time:?} of chaos with TIDEMARK_CHAOS_SEED={seed}");
    let mut chaos = Chaos::start(seed).await;
    chaos.faults_on();
    (0..WORKERS).for_each(|_| chaos.spawn());
    let (end, mut strikes) = (Instant::now() + time, 0);
    while strikes < STRIKES_MIN || Instant::now() < end {
        chaos.load().await;
        chaos.shift(strikes).await;
        chaos.strike(if strikes % 2 == 0 { Strike::Kill } else { Strike::Terminate }).await;
        // Sometimes the next one starts only when the last is gone; mostly they overlap, as in a rollout.
        if chaos.random.random_ratio(1, 4) {
            chaos.see_off().await;
        }
        chaos.spawn();
        strikes += 1;
    }
    let front = chaos.deployment.world.front();
    let faults: u64 = CALLS.iter().map(|call| front.faults(call)).sum();
    let shards = chaos.deployment.world.shards(oracle::TABLE).all().await.len();
    println!("{strikes} strikes, {faults} faults, {shards} shards, {} transactions", front.calls("TransactWriteItems"));
    assert!(faults > 0 && shards > 3, "too little happened to prove anything");
    front.no_faults();
    chaos.see_off().await;
    let api = chaos.deployment.start_api().await;
    chaos.check(&api).await;
    let idle = chaos.deployment.world.shards(oracle::TABLE).longest_pause().await;
    println!("a shard stood still for {idle:?} at most");
    assert!(idle <= IDLE_MAX, "a shard stood still for {idle:?}");

    for with in [Strike::Terminate, Strike::Kill, Strike::Terminate] {
        chaos.strike(with).await;
    }
    chaos.see_off().await;
    // While nobody reads.
    chaos.shift(0).await;
    chaos.load().await;
    chaos.faults_on();
    (0..WORKERS).for_each(|_| chaos.spawn());
    chaos.load().await;
    chaos.check(&api).await;
    api.stop().await;
    for _ in 0..WORKERS {
        chaos.strike(Strike::Terminate).await;
    }
    chaos.see_off().await;
}
