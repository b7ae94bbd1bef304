//! A rolling update of the workers, as a Deployment with `maxUnavailable: 0, maxSurge: 1` does it: one joins, then one of the old
//! leaves, and so on.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::fleet::Fleet;
use super::trace::Traced;

const SHARDS: usize = 9;
/// Longest that a shard may be read by nobody while workers come and go.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// From a newcomer's readiness to the end of the one it replaces: a pod counts as available at once, or after a while.
const OVERLAPS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(700), Duration::from_secs(9)];

/// The longest time between two reads of one shard, by whomever, until `end`.
fn longest_pause(calls: &[Traced], end: Instant) -> Duration {
    let mut read: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.name == "GetRecords") {
        read.entry(call.shard()).or_default().push(call.at);
    }
    assert_eq!(read.len(), SHARDS);
    read.values_mut().for_each(|instants| instants.push(end));
    read.values().flat_map(|instants| instants.windows(2)).map(|pair| pair[1] - pair[0]).max().expect("shards were read")
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_leaves_no_shard_unread_for_2_s() {
    let mut fleet = Fleet::of_shards(SHARDS).await;
    let mut workers = vec![fleet.start("a").await, fleet.start("b").await, fleet.start("c").await];
    fleet.balance(SHARDS).await;
    let since = Instant::now();
    for (name, overlap) in ["d", "e", "f"].into_iter().zip(OVERLAPS) {
        workers.push(fleet.start(name).await);
        fleet.write_for(overlap).await;
        let oldest = workers.remove(0);
        fleet.stop(&[oldest]).await;
    }
    fleet.balance(SHARDS).await;
    fleet.write_for(Duration::from_secs(5)).await;
    let longest = longest_pause(&fleet.calls_since(since), Instant::now());
    assert!(longest <= IDLE_MAX, "{longest:?}");
    println!("the longest pause of a shard: {longest:?}");
    fleet.expect_counted(fleet.written()).await;
}
