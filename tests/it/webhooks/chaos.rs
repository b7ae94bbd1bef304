//! Chaos: workers as processes, killed every second or two, on a DynamoDB that misbehaves, with a receiver that fails, dawdles and
//! hangs up. Every event reaches every endpoint that is to hear of it, under one id, byte for byte, and nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tidemark_domain::rule::Severity;
use tidemark_runtime::clock;
use tidemark_runtime::settings::Vars;
use tidemark_store::{DeliveryState, EventKey, EventState};
use tidemark_tests::deployment::{DEADLINE, LEASE_TTL, SECRET_KEY};
use tidemark_tests::{Deployment, Reaction, Received, Workload, wait_until};
use tidemark_webhooks::event::EventType;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{DEFINITIONS, Scene};

const WORKERS: usize = 3;
const ITEMS: u32 = 15;
/// What there may be of an item: enough, little, nothing.
const ON_HAND: [i64; 5] = [50, 20, 8, 3, 0];
/// How long the chaos lasts, unless `TIDEMARK_CHAOS_SECONDS` says otherwise.
const SECONDS: u64 = 8;
/// From one kill to the next, in milliseconds.
const CALM_MS: std::ops::Range<u64> = 500..2000;
const FAULTY_PER_MILLE: u32 = 10;
const CALLS: [&str; 5] = ["GetItem", "Query", "UpdateItem", "TransactWriteItems", "BatchGetItem"];
/// An event is refused by an endpoint this often at most, so that none is ever given up.
const REFUSED_MAX: usize = 3;
const TYPES: [(&str, Option<&[EventType]>); 3] =
    [("all", None), ("begins", Some(&[EventType::AlertFired])), ("ends", Some(&[EventType::AlertResolved]))];

/// A worker as a process.
struct Worker {
    child: Child,
    folder: TempDir,
}

impl Worker {
    fn spawn(scene: &Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let definitions = folder.path().join("definitions.yaml");
        std::fs::write(&definitions, DEFINITIONS).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hasty-ingest"));
        command.env_clear().env("HOME", folder.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        command.envs(scene.deployment.world.variables_of(Workload::Ingest)).env("TIDEMARK_DEFINITIONS", definitions);
        command.env("TIDEMARK_ADMIN_ADDR", "127.0.0.1:0").env("TIDEMARK_WORKER_ID", "chaos").env(SECRET_KEY.0, SECRET_KEY.1);
        command.env("TIDEMARK_LEASE_TTL_MS", LEASE_TTL.as_millis().to_string()).env("TIDEMARK_FLUSH_INTERVAL_MS", "50");
        command.env("TIDEMARK_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8");
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command.stderr(File::create(folder.path().join("stderr")).unwrap());
        Self { child: command.spawn().unwrap(), folder }
    }

    async fn kill(mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "it ended by itself");
        self.child.kill().await.unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("a worker said:\n{}", std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default());
        }
    }
}

/// What the receiver does: much of it wrong, but for each event and endpoint the same in every run with the same ids.
fn badly(received: &Received) -> Reaction {
    if received.nth > REFUSED_MAX {
        return Reaction::Status(200);
    }
    let lot = received
        .id()
        .bytes()
        .chain(received.endpoint.bytes())
        .fold(received.nth, |sum, byte| sum * 31 % 9973 + usize::from(byte));
    match lot % 10 {
        0..=2 => Reaction::Status(500),
        3 => Reaction::Drop,
        4 => Reaction::Slow(Duration::from_millis(100), 200),
        // Says that it is overloaded: each of these halves what is sent to it at once.
        5 => Reaction::Slow(Duration::from_millis(200), 503),
        _ => Reaction::Status(200),
    }
}

/// Which endpoints are to hear of an event.
fn expected(kind: &str) -> &'static [&'static str] {
    match kind {
        "fired" => &["all", "begins"],
        "resolved" => &["all", "begins", "ends"],
        _ => &["all"],
    }
}

/// Every event there is, by id: its kind and its body.
async fn events(scene: &Scene) -> BTreeMap<String, (String, Vec<u8>)> {
    let mut events = BTreeMap::new();
    for alert in scene.alerts().await {
        for sequence in 1..=alert.sequence {
            let key = EventKey::Alert { alert: alert.id.clone(), sequence };
            let event = scene.store().event(&scene.tenant, &key).await.unwrap().expect("no gap in the sequence");
            assert_eq!(event.state, EventState::Done, "{key:?}");
            let kind = event.event_type.rsplit('.').next().unwrap().to_owned();
            assert!(events.insert(event.id.as_str().to_owned(), (kind, event.body)).is_none(), "an id names one event");
        }
    }
    events
}

#[tokio::test]
async fn every_event_reaches_every_endpoint_whoever_is_killed_and_however_bad_the_receiver() {
    let setting = |name| Vars::from_process().get(name).unwrap().map(|text| text.parse::<u64>().expect("a number"));
    let time = Duration::from_secs(setting("TIDEMARK_CHAOS_SECONDS").unwrap_or(SECONDS));
    let seed = setting("TIDEMARK_CHAOS_SEED").unwrap_or_else(rand::random);
    println!("{time:?} of chaos with TIDEMARK_CHAOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let scene = Scene::of(Deployment::start_with_shards(DEFINITIONS, 3).await).await;
    let rule = scene.rule(None, &[(Severity::Warning, "10"), (Severity::Critical, "0")]);
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    let mut endpoints = Vec::new();
    for (name, types) in TYPES {
        endpoints.push(scene.endpoint(name, types).await);
        scene.receiver.react(name, badly);
    }
    let front = scene.deployment.world.front();
    front.random_faults(seed, FAULTY_PER_MILLE, &CALLS);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| Worker::spawn(&scene)).collect();
    let (end, mut kills) = (Instant::now() + time, 0);
    while Instant::now() < end || kills < WORKERS {
        let calm = Instant::now() + Duration::from_millis(random.random_range(CALM_MS));
        wait_until("the calm to end", DEADLINE, async || {
            let (item, on_hand) = (random.random_range(0..ITEMS), ON_HAND[random.random_range(0..ON_HAND.len())]);
            scene.stock_without_point(&format!("item-{item}"), on_hand).await;
            Instant::now() >= calm
        })
        .await;
        workers.swap_remove(random.random_range(0..workers.len())).kill().await;
        workers.push(Worker::spawn(&scene));
        kills += 1;
    }
    front.no_faults();
    scene.deployment.settled("stock").await;
    scene.until_nothing_is_due().await;

    let events = events(&scene).await;
    let received = scene.receiver.all();
    println!("{kills} kills, {} events, {} requests", events.len(), received.len());
    assert!(events.len() > 20 && received.len() > events.len(), "too little happened to prove anything");
    for request in &received {
        let (kind, body) = events.get(request.id()).unwrap_or_else(|| panic!("an id of no event: {request:?}"));
        assert_eq!(&request.body[..], &body[..], "the bodies of one event are the same");
        assert!(expected(kind).contains(&request.endpoint.as_str()), "{kind} to {}", request.endpoint);
    }
    let taken: BTreeSet<(&str, &str)> =
        received.iter().filter(|request| request.is_taken()).map(|request| (request.id(), request.endpoint.as_str())).collect();
    for (id, (kind, _)) in &events {
        for endpoint in expected(kind) {
            assert!(taken.contains(&(id.as_str(), *endpoint)), "{kind} {id} never reached {endpoint}");
        }
    }
    for endpoint in &endpoints {
        let deliveries = scene.deliveries(endpoint).await;
        assert!(deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered), "{deliveries:?}");
    }
    for worker in workers {
        worker.kill().await;
    }
}
