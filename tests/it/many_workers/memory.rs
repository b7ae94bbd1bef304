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
