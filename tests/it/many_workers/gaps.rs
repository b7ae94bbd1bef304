//! STREAMS §3, Gap: history that is lost is recorded once, with its shard and reason, and what can be read still counts once.

use std::time::Duration;

use tidemark_streams::{GapReason, StreamStatus};
use tokio::time::sleep;

use super::fleet::Fleet;

/// Some listings and takeovers later a gap is still one.
const AFTERWARDS: Duration = Duration::from_secs(100);

/// The gaps of a stream that has some.
fn gaps(status: &StreamStatus) -> Vec<(String, GapReason)> {
    assert!(!status.watermark.exact, "a stream with a gap is not exact");
    status.gaps.iter().map(|gap| (gap.shard.to_string(), gap.reason)).collect()
}

/// Two workers on two shards; so many orders are written and counted.
async fn fleet(orders: usize) -> Fleet {
    let mut fleet = Fleet::of_shards(2).await;
    fleet.start("a").await;
    fleet.start("b").await;
    fleet.write(orders).await;
    fleet.expect_counted(orders).await;
    let [status] = &fleet.status().await[..] else { panic!("one stream") };
    assert!(status.watermark.exact && status.gaps.is_empty());
    fleet
}

/// Stops all, so that what is written next stays unread.
async fn stop_all(fleet: &mut Fleet) {
    let workers: Vec<_> = fleet.reading().into_keys().collect();
    fleet.stop(&workers).await;
}

#[tokio::test(start_paused = true)]
async fn trimmed_records_are_one_gap_and_the_rest_counts_once() {
    let mut fleet = fleet(20).await;
    stop_all(&mut fleet).await;
    let shard = fleet.shards().open().await[0].clone();
    let read = fleet.shards().records_of(&shard).await;
    fleet.write(20).await;
    let unread = fleet.shards().records_of(&shard).await - read;
    assert!(unread > 3, "{unread}");
    fleet.shards().trim(&shard, read + 3).await;
    fleet.start("a").await;
    fleet.start("b").await;
    fleet.expect_counted(fleet.written() - 3).await;
    fleet.write(10).await;
    fleet.expect_counted(fleet.written() - 3).await;
    sleep(AFTERWARDS).await;
    assert_eq!(gaps(&fleet.status().await[0]), [(shard, GapReason::Trimmed)], "once");
    assert_eq!(fleet.counted().await, fleet.written() - 3);
}

#[tokio::test(start_paused = true)]
async fn a_vanished_shard_is_one_gap_and_its_child_goes_on() {
    let mut fleet = fleet(20).await;
    stop_all(&mut fleet).await;
    let shard = fleet.shards().open().await[0].clone();
    let read = fleet.shards().records_of(&shard).await;
    fleet.write(20).await;
    let lost = fleet.shards().records_of(&shard).await - read;
    assert!(lost > 0);
    let child = fleet.shards().rotate(&shard).await;
    fleet.write(10).await;
    assert!(fleet.shards().records_of(&child).await > 0);
    fleet.shards().vanish(&shard).await;
    fleet.start("a").await;
    let b = fleet.start("b").await;
    fleet.expect_counted(fleet.written() - lost).await;
    fleet.write(10).await;
    fleet.expect_counted(fleet.written() - lost).await;
    fleet.stop(&[b]).await;
    sleep(AFTERWARDS).await;
    assert_eq!(gaps(&fleet.status().await[0]), [(shard, GapReason::Vanished)], "once");
    assert_eq!(fleet.counted().await, fleet.written() - lost);
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_begins_with_a_gap_after_all_of_the_old_one() {
    let mut fleet = fleet(20).await;
    fleet.write(20).await;
    let (old, new) = (fleet.shards().arn().await, fleet.shards().new_arn().await);
    assert_ne!(old, new);
    fleet.write(20).await;
    // A table is looked at for another stream once a minute.
    fleet.expect_counted(fleet.written()).await;
    fleet.write(10).await;
    fleet.expect_counted(fleet.written()).await;
    sleep(AFTERWARDS).await;
    let [status, before] = &fleet.status().await[..] else { panic!("two streams") };
    let roots: Vec<_> = fleet.shards().open().await.into_iter().map(|shard| (shard, GapReason::Replaced)).collect();
    let mut found = gaps(status);
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found.len(), roots.len(), "{found:?}");
    assert!(roots.iter().all(|root| found.contains(root)), "one for each first shard: {found:?}");
    assert!(before.watermark.exact && before.gaps.is_empty(), "the old one was read to its end");
    assert_eq!(fleet.counted().await, fleet.written(), "nothing twice");
}
