//! STREAMS §3: the children of a shard are read at once after its end.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::fleet::{Fleet, Stored};

const SHARDS: usize = 6;
const UNDER_WAY: Duration = Duration::from_millis(100);

/// How long after its parent's last page each child was read first.
async fn pauses(fleet: &Fleet, since: Instant) -> BTreeMap<String, Duration> {
    let (calls, stored) = (fleet.calls_since(since), fleet.stored().await);
    let reads = || calls.iter().filter(|call| call.name == "GetRecords");
    let ended: BTreeMap<_, _> = reads().filter(|call| call.closed).map(|call| (call.shard(), call.at)).collect();
    let mut begun = BTreeMap::new();
    for call in reads() {
        begun.entry(call.shard()).or_insert(call.at);
    }
    let child = |(shard, stored): (&String, &Stored)| {
        let ended = ended.get(stored.parent.as_ref()?)?;
        let begun = begun.get(shard).unwrap_or_else(|| panic!("{shard} is not read"));
        Some((shard.clone(), *begun - *ended))
    };
    stored.iter().filter_map(child).collect()
}

#[tokio::test(start_paused = true)]
async fn children_are_read_within_300_ms_of_their_parents_end() {
    let mut fleet = Fleet::of_shards(SHARDS).await;
    for name in ["a", "b", "c"] {
        fleet.start(name).await;
    }
    fleet.balance(SHARDS).await;
    fleet.write(20).await;

    // A call that is under way may be the one that finds the end.
    let since = Instant::now() - UNDER_WAY;
    let open = fleet.shards().open().await;
    let rotated = fleet.shards().rotate(&open[0]).await;
    let split = fleet.shards().split(&open[1]).await;
    fleet.write_for(Duration::from_secs(3)).await;
    let found = pauses(&fleet, since).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.contains_key(&rotated) && split.iter().all(|child| found.contains_key(child)), "{found:?}");
    assert!(found.values().all(|pause| *pause <= Duration::from_millis(300)), "{found:?}");

    sleep(Duration::from_secs(40)).await;
    let since = Instant::now() - UNDER_WAY;
    fleet.shards().rotate_all().await;
    fleet.write_for(Duration::from_secs(3)).await;
    let found = pauses(&fleet, since).await;
    assert_eq!(found.len(), SHARDS + 1, "all at once: {found:?}");
    assert!(found.values().all(|pause| *pause <= Duration::from_millis(300)), "{found:?}");
    fleet.expect_counted(fleet.written()).await;
}
