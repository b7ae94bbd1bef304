//! STREAMS §3: what becomes of a worker's shards when it dies, leaves, or is joined by others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::fleet::{Fleet, LATENCY, Stored, TTL, WorkerNumber};
use super::trace::Traced;

const SHARDS: usize = 6;
/// A worker looks at the others every TTL/5; its end may come at any moment between two looks.
const PHASES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(800), Duration::from_millis(1600), Duration::from_millis(2400)];

/// Three workers; something is counted of every shard.
async fn fleet_of_three(read_latency: Duration) -> (Fleet, [WorkerNumber; 3]) {
    let mut fleet = Fleet::of_shards(SHARDS).await;
    fleet.read_slowly(read_latency);
    let workers = [fleet.start("a").await, fleet.start("b").await, fleet.start("c").await];
    fleet.balance(SHARDS).await;
    fleet.write(SHARDS * 8).await;
    fleet.expect_counted(fleet.written()).await;
    (fleet, workers)
}

/// The first call of its kind for each shard, by any other than this worker.
fn first_by_others(calls: &[Traced], name: &str, shards: &BTreeSet<String>, not: WorkerNumber) -> BTreeMap<String, Traced> {
    let mut first = BTreeMap::new();
    for call in calls.iter().filter(|call| call.name == name && call.worker != not && shards.contains(&call.shard())) {
        first.entry(call.shard()).or_insert_with(|| call.clone());
    }
    first
}

/// Kills `b` at different moments; the longest time one of its shards was not read.
async fn longest_idle_after_kills(comes_back: bool) -> Duration {
    let (mut fleet, [_, mut b, _]) = fleet_of_three(Duration::from_secs(1)).await;
    let mut longest = Duration::ZERO;
    for phase in PHASES {
        sleep(phase).await;
        let shards = fleet.reading()[&b].clone();
        assert_eq!(shards.len(), SHARDS / 3);
        fleet.write(SHARDS).await;
        let (killed, killed_at) = (b, Instant::now());
        fleet.kill(killed).await;
        if comes_back {
            b = fleet.start("b").await;
        }
        fleet.write(SHARDS).await;
        sleep(TTL + Duration::from_secs(8)).await;
        let taken_over = first_by_others(&fleet.calls_since(killed_at), "GetRecords", &shards, killed);
        assert_eq!(taken_over.keys().cloned().collect::<BTreeSet<_>>(), shards, "all of them are read again");
        longest = longest.max(taken_over.values().map(|call| call.at - killed_at).max().unwrap());
        if !comes_back {
            b = fleet.start("b").await;
        }
        fleet.balance(SHARDS).await;
    }
    fleet.expect_counted(fleet.written()).await;
    longest
}

#[tokio::test(start_paused = true)]
async fn shards_of_a_killed_worker_go_on_within_the_ttl_and_2_s() {
    let longest = longest_idle_after_kills(false).await;
    assert!(longest <= TTL + Duration::from_secs(2), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_killed_and_back_under_its_name_delays_its_shards_no_longer() {
    let longest = longest_idle_after_kills(true).await;
    assert!(longest <= TTL + Duration::from_secs(2), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn shards_of_a_stopped_worker_go_on_within_1_s_right_after_what_it_committed() {
    let (mut fleet, [_, mut b, _]) = fleet_of_three(LATENCY).await;
    for phase in PHASES {
        fleet.write_for(phase + Duration::from_millis(300)).await;
        let shards = fleet.reading()[&b].clone();
        assert_eq!(shards.len(), SHARDS / 3);
        let (stopped, asked_at) = (b, Instant::now());
        fleet.stop(&[stopped]).await;
        let (ended_at, stored) = (Instant::now(), fleet.stored().await);
        fleet.write_for(Duration::from_secs(5)).await;
        let calls = fleet.calls_since(asked_at);
        let taken_over = first_by_others(&calls, "GetRecords", &shards, stopped);
        assert_eq!(taken_over.keys().cloned().collect::<BTreeSet<_>>(), shards, "all of them are read again");
        let longest = taken_over.values().map(|call| call.at.saturating_duration_since(ended_at)).max().unwrap();
        assert!(longest <= Duration::from_secs(1), "{longest:?}");
        for (shard, call) in first_by_others(&calls, "GetShardIterator", &shards, stopped) {
            assert_eq!(call.request["ShardIteratorType"], "AFTER_SEQUENCE_NUMBER", "{shard}");
            assert_eq!(
                call.request["SequenceNumber"],
                stored[&shard].position.as_str(),
                "{shard}: nothing committed is read again"
            );
        }
        b = fleet.start("b").await;
        fleet.balance(SHARDS).await;
    }
    fleet.expect_counted(fleet.written()).await;
}

#[tokio::test(start_paused = true)]
async fn scaling_out_and_in_moves_each_shard_once_and_ends_balanced() {
    const SHARDS: usize = 12;
    let mut fleet = Fleet::of_shards(SHARDS).await;
    fleet.read_slowly(Duration::from_millis(300));
    let a = fleet.start("a").await;
    fleet.balance(SHARDS).await;
    fleet.write(SHARDS * 3).await;

    let (before, since) = (fleet.stored().await, Instant::now());
    let (b, c) = (fleet.start("b").await, fleet.start("c").await);
    fleet.balance(SHARDS).await;
    assert!(since.elapsed() <= TTL + Duration::from_secs(5), "{:?}", since.elapsed());
    fleet.write_for(TTL).await;
    assert!(fleet.is_balanced(SHARDS), "it stays balanced");
    let after = fleet.stored().await;
    let moved = moved_once(&before, &after);
    assert_eq!(moved, SHARDS * 2 / 3, "the newcomers' shares");

    let (before, since) = (after, Instant::now());
    fleet.stop(&[b, c]).await;
    fleet.balance(SHARDS).await;
    assert!(since.elapsed() <= TTL + Duration::from_secs(5), "{:?}", since.elapsed());
    fleet.write_for(TTL).await;
    assert_eq!(fleet.reading()[&a].len(), SHARDS);
    assert_eq!(moved_once(&before, &fleet.stored().await), SHARDS * 2 / 3);
    fleet.expect_counted(fleet.written()).await;
}

/// How many shards have another owner; each of them has changed hands once, and no other has.
fn moved_once(before: &BTreeMap<String, Stored>, after: &BTreeMap<String, Stored>) -> usize {
    assert_eq!(before.len(), after.len());
    let has_moved = |shard: &&String| before[*shard].owner != after[*shard].owner;
    for shard in before.keys() {
        let changed_hands = after[shard].epoch - before[shard].epoch;
        assert_eq!(changed_hands, u64::from(has_moved(&shard)), "{shard}: {:?}, then {:?}", before[shard], after[shard]);
    }
    before.keys().filter(has_moved).count()
}
