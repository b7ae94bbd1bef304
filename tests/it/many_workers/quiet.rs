//! STREAMS §3: what a fleet that has nothing to do asks of DynamoDB.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::fleet::Fleet;
use super::trace::Traced;

const SHARDS: usize = 200;
const WORKERS: usize = 5;
const MINUTE: Duration = Duration::from_secs(60);

/// Of the calls of one kind: all, and the most in any second of the clock that starts at `since`.
fn rate(calls: &[Traced], since: Instant, is_it: impl Fn(&Traced) -> bool) -> (usize, usize) {
    let mut seconds: BTreeMap<u64, usize> = BTreeMap::new();
    for call in calls.iter().filter(|call| is_it(call)) {
        *seconds.entry((call.at - since).as_secs()).or_default() += 1;
    }
    (seconds.values().sum(), seconds.values().copied().max().unwrap_or(0))
}

#[tokio::test(start_paused = true)]
async fn an_idle_fleet_lists_and_writes_little() {
    let mut fleet = Fleet::of_shards(SHARDS).await;
    // Four pages a listing.
    fleet.shards().rule(|rules| (rules.listed_max, rules.limits_listings) = (60, true)).await;
    fleet.read_slowly(Duration::from_secs(3));
    let started = Instant::now();
    for name in ["a", "b", "c", "d", "e"] {
        fleet.start(name).await;
        // A worker that starts looks at its sources twice; ten such calls a second are all there are.
        sleep(Duration::from_millis(500)).await;
    }
    // A stream that has shown no record is taken to be 90 s late, and no watermark moves before that.
    sleep(Duration::from_secs(120).saturating_sub(started.elapsed())).await;
    assert!(fleet.is_balanced(SHARDS), "{:?}", fleet.reading().values().map(|shards| shards.len()).collect::<Vec<_>>());

    let since = Instant::now();
    sleep(MINUTE).await;
    let calls = fleet.calls_since(since);
    let (listings, at_once) = rate(&calls, since, |call| call.name == "DescribeStream");
    assert!(listings >= 8, "two listings of four pages: {listings}");
    assert!(at_once <= 3 && listings <= 24, "{listings} calls, up to {at_once} a second");

    let is_write = |call: &Traced| call.is_control_write() && !call.is_of_watermark();
    for worker in 0..WORKERS {
        let (writes, at_once) = rate(&calls, since, |call| call.worker == worker && is_write(call));
        assert!(writes >= 20, "it beats five times a TTL: {writes}");
        assert!(writes <= 60 && at_once <= 2, "worker {worker}: {writes} writes, up to {at_once} a second");
    }
    let publishers: BTreeMap<_, _> =
        calls.iter().filter(|call| call.is_of_watermark()).fold(BTreeMap::new(), |mut count, call| {
            *count.entry(call.worker).or_insert(0) += 1;
            count
        });
    assert_eq!(publishers.len(), 1, "one worker publishes: {publishers:?}");
    assert!(publishers.values().all(|writes| *writes <= 60), "{publishers:?}");
    let lister = calls.iter().find(|call| call.name == "DescribeStream").map(|call| call.worker);
    assert_eq!(publishers.keys().next(), lister.as_ref(), "the one that lists");
}
