//! What `/livez` says of a worker: stuck for good, it is to be restarted; a DynamoDB that is slow or out of reach is none of its fault.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::config::{AsyncSleep, Sleep};
use tidemark_ingest::{Ingest, Settings};
use tidemark_runtime::health::Health;
use tidemark_tests::deployment::settings;
use tidemark_tests::wire::Call;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::fleet::{Fleet, Stored, TTL};

/// How long a task may make no progress, and the look at it.
const STALLED: Duration = Duration::from_secs(60 + 2);
/// How long an outage is watched.
const OUTAGE: Duration = Duration::from_secs(600);
/// Just short of what one attempt may take.
const SLOW: Duration = Duration::from_millis(4_900);
/// As many leases are acquired in one look.
const SHARDS: usize = 24;

/// Wakes nobody, so no time-out of the SDK ends a call: whoever waits for one is stuck.
#[derive(Debug)]
struct Endless;

impl AsyncSleep for Endless {
    fn sleep(&self, _: Duration) -> Sleep {
        Sleep::new(std::future::pending())
    }
}

/// A worker at work, some of whose calls are never answered from the moment that is said.
struct Worker {
    health: Health,
    silent: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Worker {
    async fn start(fleet: &Fleet, has_time_outs: bool, is_hit: fn(&Call) -> bool) -> Self {
        let silent = watch::Sender::new(false);
        let hook = silent.subscribe();
        let wire = fleet.wire.with_hook(move |call| {
            let mut silent = hook.clone();
            async move {
                if is_hit(&call) {
                    silent.wait_for(|silent| !silent).await.expect("the test is there");
                }
                Ok(call.carry_out().await)
            }
        });
        let mut config = wire.config();
        if !has_time_outs {
            config = config.into_builder().sleep_impl(Endless).build();
        }
        let settings = Settings { worker_id: "w".to_owned(), lease_ttl: TTL, ..settings() };
        let ingest = Ingest::start(&config, &settings, fleet.definitions()).await.unwrap();
        let (health, mut tasks) = (Health::starting(), JoinSet::new());
        tasks.spawn(ingest.run(health.clone(), CancellationToken::new()));
        health.until_ready().await;
        Self { health, silent, _tasks: tasks }
    }

    /// Sees that it counts as alive for so long.
    async fn stays_alive(&self, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            assert_eq!(self.health.liveness(), Ok(()));
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn is_told_stuck(&self) -> String {
        self.stays_alive(Duration::from_secs(5)).await;
        self.silent.send_replace(true);
        sleep(STALLED).await;
        let stuck = self.health.liveness().expect_err("it is stuck").to_string();
        self.silent.send_replace(false);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(self.health.liveness(), Ok(()), "it goes on");
        stuck
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_look_never_returns_is_stuck() {
    let fleet = Fleet::of_shards(2).await;
    let worker = Worker::start(&fleet, false, |call| call.name == "UpdateItem").await;
    let stuck = worker.is_told_stuck().await;
    assert!(stuck.starts_with("worker: no progress for 6"), "{stuck}");
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_whose_look_at_a_slot_never_returns_is_stuck() {
    let fleet = Fleet::of_shards(2).await;
    let worker = Worker::start(&fleet, false, |call| call.name == "Query" && !call.request["IndexName"].is_null()).await;
    let stuck = worker.is_told_stuck().await;
    assert!(stuck.starts_with("slot: no progress for 6"), "{stuck}");
}

#[tokio::test(start_paused = true)]
async fn a_dynamodb_that_answers_no_more_makes_no_worker_stuck() {
    let fleet = Fleet::of_shards(2).await;
    let worker = Worker::start(&fleet, true, |_| true).await;
    worker.silent.send_replace(true);
    worker.stays_alive(OUTAGE).await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_meets_others_for_minutes_makes_no_worker_stuck() {
    let mut fleet = Fleet::of_shards(1).await;
    fleet.start("a").await;
    fleet.start("b").await;
    fleet.write(1).await;
    fleet.expect_counted(1).await;
    let held = fleet.stored().await;
    fleet.contend(held.keys().cloned());
    fleet.write(1).await;
    let since = Instant::now();
    sleep(3 * STALLED).await;
    let attempts = fleet.calls_since(since).iter().filter(|call| call.name == "TransactWriteItems").count();
    assert!(attempts > 60, "the commit is tried again and again: {attempts}");
    let still = fleet.stored().await;
    let lease =
        |stored: &BTreeMap<String, Stored>| stored.values().map(|shard| (shard.owner.clone(), shard.epoch)).collect::<Vec<_>>();
    assert_eq!(lease(&still), lease(&held), "nobody takes a shard whose worker does what can be done");
    fleet.contend([]);
    fleet.expect_counted(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_dynamodb_that_takes_almost_too_long_makes_no_worker_stuck() {
    let fleet = Fleet::of_shards(SHARDS).await;
    let wire = fleet.wire.with_hook(|call| async move {
        sleep(SLOW).await;
        Ok(call.carry_out().await)
    });
    let settings = Settings { worker_id: "w".to_owned(), lease_ttl: TTL, ..settings() };
    let ingest = Ingest::start(&wire.config(), &settings, fleet.definitions()).await.unwrap();
    let (health, mut tasks) = (Health::starting(), JoinSet::new());
    tasks.spawn(ingest.run(health.clone(), CancellationToken::new()));
    let worker = Worker { health, silent: watch::Sender::new(false), _tasks: tasks };
    worker.stays_alive(OUTAGE).await;
}
