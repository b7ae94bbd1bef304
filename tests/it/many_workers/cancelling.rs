//! STREAMS §4: records that cancel each other out are included once the position behind them is stored. A worker that takes the shard over
//! before may find only the first of them in its page, and commits that.

use std::time::Duration;

use jiff::Timestamp;
use tidemark_tests::wait_until;
use tokio::time::sleep;

use super::fleet::Fleet;

const DEADLINE: Duration = Duration::from_secs(30);

async fn position(fleet: &Fleet) -> String {
    fleet.stored().await.into_values().map(|shard| shard.position).next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_records_that_cancel_each_other_are_included_once_their_position_is_stored() {
    let mut fleet = Fleet::of_shards(1).await;
    fleet.start("a").await;
    fleet.write(1).await;
    fleet.expect_counted(1).await;
    // While a commit is under way, what is read becomes one batch.
    fleet.hold_writes(true);
    fleet.write(1).await;
    sleep(Duration::from_secs(2)).await;
    fleet.reprice(1, "2.50").await;
    fleet.reprice(1, "1.50").await;
    let changed_at = Timestamp::from_second(fleet.wire.now().as_second()).unwrap();
    sleep(Duration::from_secs(2)).await;
    fleet.hold_writes(false);

    let is_included = async || fleet.status().await[0].watermark.watermark >= Some(changed_at);
    wait_until("both to be included", DEADLINE, is_included).await;
    let then = position(&fleet).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(then, position(&fleet).await, "the position behind the second one");
}
