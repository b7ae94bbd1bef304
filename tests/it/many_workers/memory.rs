//! STREAMS §2: reading runs ahead of committing within a bound, whatever waits in the stream.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::fleet::Fleet;

const RECORDS: usize = 2_000;
const PAGE: usize = 50;
/// Of a shard: one page in the commit that stands still, eight that wait for it (`PAGES_AHEAD`), and one that waits to wait.
const PAGES_READ_MAX: usize = 1 + 8 + 1;
/// Shorter than what a worker takes for stuck.
const STALL: Duration = Duration::from_secs(40);

/// What all shards of a worker may hold together (`BUDGET_BYTES`).
const BUDGET: usize = 256 * 1024 * 1024;

#[tokio::test(start_paused = true)]
async fn a_stalled_data_table_stops_reading_and_nothing_is_lost_or_counted_twice() {
    let mut fleet = Fleet::of_shards(1).await;
    fleet.shards().rule(|rules| rules.records_max = PAGE).await;
    fleet.write(RECORDS).await;
    fleet.hold_writes(true);
    let since = Instant::now();
    fleet.start("a").await;
    let pages_read = || fleet.calls_since(since).iter().filter(|call| call.records > 0).count();
    sleep(STALL / 4).await;
    assert_eq!(pages_read(), PAGES_READ_MAX);
    sleep(STALL - STALL / 4).await;
    assert_eq!(pages_read(), PAGES_READ_MAX, "it does not go on by and by");
    assert_eq!(fleet.counted().await, 0);
    fleet.hold_writes(false);
    fleet.expect_counted(RECORDS).await;
    assert_eq!(pages_read(), RECORDS / PAGE, "each page once");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_data_table_stops_reading_of_all_shards_at_the_memory_they_share() {
    const SHARDS: usize = 12;
    /// On the wire an order with so many is of 10 KB. In memory a flag takes about 145 bytes, twice (`COPIES`).
    const FLAGS: usize = 1000;
    const IN_MEMORY: usize = 2 * 145 * FLAGS;
    let mut fleet = Fleet::of_shards(SHARDS).await;
    fleet.shards().rule(|rules| rules.records_max = 20).await;
    // More than the budget, though each shard alone might read most of its own.
    fleet.write_wide(BUDGET / IN_MEMORY * 3 / 2, FLAGS).await;
    fleet.hold_writes(true);
    let since = Instant::now();
    fleet.start("a").await;
    let read = || fleet.calls_since(since).iter().map(|call| call.records).sum::<usize>();
    sleep(STALL / 4).await;
    let held = read() * IN_MEMORY;
    println!("{} MiB of {} MiB", held >> 20, BUDGET >> 20);
    assert!((BUDGET / 10 * 8..=BUDGET).contains(&held), "{held}");
    sleep(STALL - STALL / 4).await;
    assert_eq!(read() * IN_MEMORY, held, "it does not go on by and by");
    fleet.hold_writes(false);
    fleet.expect_counted(fleet.written()).await;
}
