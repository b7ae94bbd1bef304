//! STREAMS §3, Discovery: what a listing does not name yet.

use tidemark_streams::GapReason;

use super::fleet::Fleet;
use super::told::expect_gaps;

#[tokio::test(start_paused = true)]
async fn a_new_stream_that_lists_nothing_at_first_begins_with_a_gap_all_the_same() {
    let mut fleet = Fleet::of_source("beginning", 2).await;
    fleet.start("a").await;
    fleet.start("b").await;
    fleet.write(20).await;
    fleet.expect_counted(20).await;
    fleet.shards().rule(|rules| rules.late_beginnings = 3).await;
    fleet.shards().new_arn().await;
    fleet.write(20).await;
    fleet.expect_counted(40).await;
    let roots: Vec<_> = fleet.shards().open().await.into_iter().map(|shard| (shard, GapReason::Replaced)).collect();
    assert_eq!(roots.len(), 2);
    expect_gaps(&fleet, "beginning", &roots).await;
}
