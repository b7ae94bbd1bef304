//! STREAMS §3, Gap: history that is lost is recorded and told once, with its shard and reason, and what can be read still
//! counts once. DESIGN §6, 4: skipped history is never silent.

use std::time::Duration;

use tidemark_streams::GapReason;
use tokio::time::sleep;

use super::fleet::Fleet;
use super::told::expect_gaps;

/// Some listings and takeovers later a gap is still one.
const AFTERWARDS: Duration = Duration::from_secs(100);
/// Longer than a stream keeps its records.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Two workers on two shards; something is counted of both.
async fn fleet(source: &str) -> Fleet {
    let mut fleet = Fleet::of_source(source, 2).await;
    start_all(&mut fleet).await;
    fleet.write(20).await;
    fleet.expect_counted(20).await;
    let [status] = &fleet.status().await[..] else { panic!("one stream") };
    assert!(status.watermark.exact && status.gaps.is_empty());
    fleet
}

async fn start_all(fleet: &mut Fleet) {
    fleet.start("a").await;
    fleet.start("b").await;
}

/// Stops all, so that what is written next stays unread.
async fn stop_all(fleet: &mut Fleet) {
    let workers: Vec<_> = fleet.reading().into_keys().collect();
    fleet.stop(&workers).await;
}

/// All but so many orders are counted, and so are those written from now on, once.
async fn expect_to_go_on(fleet: &mut Fleet, lost: usize) {
    fleet.expect_counted(fleet.written() - lost).await;
    fleet.write(10).await;
    fleet.expect_counted(fleet.written() - lost).await;
    sleep(AFTERWARDS).await;
    assert_eq!(fleet.counted().await, fleet.written() - lost);
}

#[tokio::test(start_paused = true)]
async fn trimmed_records_are_one_gap_and_the_rest_counts_once() {
    let mut fleet = fleet("trimmed").await;
    stop_all(&mut fleet).await;
    let shard = fleet.shards().open().await[0].clone();
    let read = fleet.shards().records_of(&shard).await;
    fleet.write(20).await;
    let unread = fleet.shards().records_of(&shard).await - read;
    assert!(unread > 3, "{unread}");
    fleet.shards().trim(&shard, read + 3).await;
    start_all(&mut fleet).await;
    expect_to_go_on(&mut fleet, 3).await;
    expect_gaps(&fleet, "trimmed", &[(shard, GapReason::Trimmed)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_vanished_shard_is_one_gap_and_its_child_goes_on() {
    let mut fleet = fleet("vanished").await;
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
    fleet.stop(&[b]).await;
    expect_to_go_on(&mut fleet, lost).await;
    expect_gaps(&fleet, "vanished", &[(shard, GapReason::Vanished)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_of_unknown_lineage_is_one_gap_beside_that_of_its_lost_forebear() {
    let mut fleet = fleet("lineage").await;
    stop_all(&mut fleet).await;
    let shard = fleet.shards().open().await[0].clone();
    // While nobody reads, the shard ends, and so does its child, which nobody will ever have seen.
    let child = fleet.shards().rotate(&shard).await;
    fleet.write(10).await;
    let lost = fleet.shards().records_of(&child).await;
    let grandchild = fleet.shards().rotate(&child).await;
    fleet.write(10).await;
    assert!(lost > 0 && fleet.shards().records_of(&grandchild).await > 0);
    fleet.shards().vanish(&shard).await;
    fleet.shards().vanish(&child).await;
    start_all(&mut fleet).await;
    expect_to_go_on(&mut fleet, lost).await;
    expect_gaps(&fleet, "lineage", &[(shard, GapReason::Vanished), (grandchild, GapReason::Lineage)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_first_read_a_day_late_is_one_gap_and_what_is_left_counts_once() {
    let mut fleet = fleet("aged").await;
    stop_all(&mut fleet).await;
    let shard = fleet.shards().open().await[0].clone();
    let child = fleet.shards().rotate(&shard).await;
    fleet.write(20).await;
    assert!(fleet.shards().records_of(&child).await > 3);
    sleep(DAY).await;
    // A reader at the beginning is not told.
    fleet.shards().trim(&child, 3).await;
    start_all(&mut fleet).await;
    expect_to_go_on(&mut fleet, 3).await;
    expect_gaps(&fleet, "aged", &[(child, GapReason::Aged)]).await;
}

#[tokio::test(start_paused = true)]
async fn history_that_was_promised_at_the_first_start_and_is_trimmed_before_the_second_is_a_gap() {
    let mut fleet = Fleet::of_source("promised", 1).await;
    fleet.write(20).await;
    sleep(Duration::from_secs(20 * 3600)).await;
    fleet.deny(["GetRecords"]);
    let worker = fleet.start("a").await;
    sleep(Duration::from_secs(60)).await;
    let [status] = &fleet.status().await[..] else { panic!("one stream") };
    assert!(status.watermark.exact && status.watermark.history_complete);
    fleet.stop(&[worker]).await;
    fleet.deny([]);
    sleep(Duration::from_secs(6 * 3600)).await;
    let shard = fleet.shards().open().await[0].clone();
    fleet.shards().trim(&shard, 3).await;
    start_all(&mut fleet).await;
    expect_to_go_on(&mut fleet, 3).await;
    expect_gaps(&fleet, "promised", &[(shard, GapReason::Aged)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_acquired_in_time_that_cannot_be_read_before_records_go_is_one_gap() {
    let mut fleet = Fleet::of_source("late", 1).await;
    fleet.write(20).await;
    sleep(Duration::from_secs(23 * 3600 + 20 * 60)).await;
    fleet.deny(["GetRecords"]);
    start_all(&mut fleet).await;
    sleep(Duration::from_secs(15 * 60)).await;
    assert_eq!(fleet.counted().await, 0);
    let shard = fleet.shards().open().await[0].clone();
    fleet.shards().trim(&shard, 3).await;
    fleet.deny([]);
    expect_to_go_on(&mut fleet, 3).await;
    expect_gaps(&fleet, "late", &[(shard, GapReason::Aged)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_begins_with_a_gap_after_all_of_the_old_one() {
    let mut fleet = fleet("replaced").await;
    fleet.write(20).await;
    let (old, new) = (fleet.shards().arn().await, fleet.shards().new_arn().await);
    assert_ne!(old, new);
    fleet.write(20).await;
    // A table is looked at for another stream once a minute.
    expect_to_go_on(&mut fleet, 0).await;
    let [status, before] = &fleet.status().await[..] else { panic!("two streams") };
    assert!(!status.watermark.exact);
    assert!(before.watermark.exact && before.gaps.is_empty(), "the old one was read to its end");
    let roots: Vec<_> = fleet.shards().open().await.into_iter().map(|shard| (shard, GapReason::Replaced)).collect();
    expect_gaps(&fleet, "replaced", &roots).await;
}
