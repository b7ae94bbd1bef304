//! STREAMS §2, Throughput: small commits of several shards of one worker are one transaction, and one shard that does not get
//! through keeps no other waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::fleet::Fleet;
use super::trace::Traced;

/// As long as a commit may take: two under way at once, and the next ones queue up.
const SLOW: Duration = Duration::from_millis(300);
/// How long a commit that goes alone keeps others waiting (`SLOT_HELD_MAX`).
const SLOT_HELD_MAX: Duration = Duration::from_millis(500);
/// What a commit that nothing keeps waiting takes from its records' arrival to its first request.
const PROMPT: Duration = Duration::from_millis(100);

/// The transactions that moved shards.
fn committed(calls: &[Traced]) -> Vec<&Traced> {
    calls.iter().filter(|call| call.is_committed && !call.moved().is_empty()).collect()
}

#[tokio::test(start_paused = true)]
async fn shards_that_commit_at_once_share_transactions() {
    const SHARDS: usize = 8;
    let mut fleet = Fleet::of_shards(SHARDS).await;
    fleet.write_slowly(SLOW);
    fleet.start("a").await;
    fleet.balance(SHARDS).await;
    let since = Instant::now();
    for _ in 0..20 {
        fleet.write(SHARDS * 2).await;
        sleep(Duration::from_millis(250)).await;
    }
    fleet.expect_counted(fleet.written()).await;
    let calls = fleet.calls_since(since);
    let transactions = committed(&calls);
    let batches: usize = transactions.iter().map(|call| call.moved().len()).sum();
    println!("{batches} batches in {} transactions", transactions.len());
    assert!(batches > SHARDS * 5, "{batches}: too few to prove anything");
    assert!(transactions.len() * 2 <= batches, "{} transactions of {batches} batches", transactions.len());
}

/// An order of each shard.
async fn orders_of_shards(fleet: &mut Fleet) -> BTreeMap<String, usize> {
    let mut orders = BTreeMap::new();
    let shards = fleet.shards().open().await;
    while orders.len() < shards.len() {
        let mut before = Vec::new();
        for shard in &shards {
            before.push(fleet.shards().records_of(shard).await);
        }
        fleet.write(1).await;
        for (shard, before) in shards.iter().zip(before) {
            if fleet.shards().records_of(shard).await > before {
                orders.insert(shard.clone(), fleet.written());
            }
        }
    }
    orders
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_meets_others_again_and_again_keeps_its_slot_for_half_a_second() {
    let mut fleet = Fleet::of_shards(4).await;
    fleet.start("a").await;
    fleet.balance(4).await;
    let orders = orders_of_shards(&mut fleet).await;
    fleet.expect_counted(fleet.written()).await;
    let [one, other, third, fourth] = &orders.keys().cloned().collect::<Vec<_>>()[..] else { panic!("four shards") };

    // As many as there are slots.
    fleet.contend([one.clone(), other.clone()]);
    let since = Instant::now();
    for shard in [one, other] {
        fleet.reprice(orders[shard], "2").await;
        let is_tried = |call: &Traced| call.moved().contains(shard);
        tidemark_tests::wait_until("a commit to be tried", PROMPT * 10, async || fleet.calls_since(since).iter().any(is_tried))
            .await;
    }
    let since = Instant::now();
    for shard in [third, fourth] {
        fleet.reprice(orders[shard], "2").await;
    }
    sleep(Duration::from_secs(10)).await;
    let calls = fleet.calls_since(since);
    for shard in [third, fourth] {
        let read = calls.iter().find(|call| call.records > 0 && call.shard() == *shard).expect("it is read");
        let tried = calls.iter().find(|call| call.moved().contains(shard)).expect("it is committed");
        let waited = tried.at - read.at;
        assert!(waited <= SLOT_HELD_MAX + PROMPT, "{waited:?}");
    }
    let moved_contended = committed(&calls).iter().any(|call| call.moved().contains(one) || call.moved().contains(other));
    assert!(!moved_contended && !committed(&calls).is_empty());
    fleet.contend([]);
    fleet.write(8).await;
    fleet.expect_counted(fleet.written()).await;
}
