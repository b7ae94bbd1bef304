//! What must be true when a schedule has come to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use tidemark_runtime::clock;
use tidemark_streams::{ShardState, ShardStatus, StreamId};
use tidemark_tests::judge::{Read, judge, summary};
use tidemark_tests::oracle;
use tidemark_tests::oracle::stock::{check_episodes_beside, check_levels_beside};

use crate::history::{HOSTILE, ZONES};
use crate::plan::Retention;
use crate::schedule::{World, until};

/// Longest that workers need, without new misfortunes, to apply everything: zombies thaw, leases end, shards are listed.
const DEADLINE: Duration = Duration::from_secs(240);

/// Waits until the workers say that everything written so far is included, and holds them to it.
pub(crate) async fn settled(world: &World) {
    // Records are stamped with whole seconds, so the watermark passes them only a second later.
    let target = clock::now() + SignedDuration::from_secs(1);
    let closed = closed_shards(world).await;
    until("every closed shard to be finished", DEADLINE, async || {
        let ledger = world.network.ledger.lock().unwrap();
        closed.iter().all(|shard| ledger.has_ended(shard))
    })
    .await;
    let stream = stream(world).await;
    until("the watermark to pass the last write", DEADLINE, async || {
        world.streams.watermark(&stream).await.unwrap().unwrap().watermark >= Some(target)
    })
    .await;
    if world.retention == Retention::Kept {
        everything_is_exact(world).await;
    }
}

/// The end, with every worker gone and nothing on its way.
pub(crate) async fn check(world: &World) {
    if world.retention == Retention::Kept {
        everything_is_exact(world).await;
    }
    world.network.ledger.lock().unwrap().check(&world.parents);
    let status = world.streams.stream_status(&stream(world).await).await.unwrap().unwrap();
    let gaps = world.network.ledger.lock().unwrap().gaps();
    assert_eq!(status.gaps.len(), gaps, "each gap is recorded, once: {:?}", status.gaps);
    assert_eq!(status.watermark.exact, gaps == 0, "and shown: {:?}", status.gaps);
    assert!(world.retention == Retention::Trimmed || gaps == 0, "nothing was trimmed: {:?}", status.gaps);
    let states: BTreeMap<_, _> = status.shards.iter().map(|shard| (shard.shard.as_str(), shard)).collect();
    for shard in closed_shards(world).await {
        assert_eq!(states[shard.as_str()].state, ShardState::Done, "{shard}");
    }
    // A child that was never begun need not be released: whoever finished its parent has left, and whoever comes next takes what belongs
    // to a worker that is not there.
    let ledger = world.network.ledger.lock().unwrap();
    let is_kept = |shard: &&ShardStatus| {
        shard.state == ShardState::Active && shard.owner.is_some() && ledger.was_acquired(shard.shard.as_str())
    };
    let owned: Vec<_> = status.shards.iter().filter(is_kept).collect();
    assert!(owned.is_empty(), "workers that stop in peace leave their shards free: {owned:?}");
}

/// Every answer that the schedule's reader got is true.
pub(crate) fn check_reads(world: &World, reads: &[Read]) {
    let untrue = summary(&judge(&world.writes, reads));
    assert!(untrue.is_empty(), "of {} reads: {untrue:#?}", reads.len());
}

async fn closed_shards(world: &World) -> Vec<String> {
    let (all, open) = (world.shards.all().await, world.shards.open().await);
    all.into_iter().filter(|shard| !open.contains(shard)).collect()
}

/// The stream, once some worker has begun to read it.
async fn stream(world: &World) -> StreamId {
    until("a worker to begin", DEADLINE, async || !world.streams.streams_of(oracle::TABLE).await.unwrap().is_empty()).await;
    world.streams.streams_of(oracle::TABLE).await.unwrap().remove(0).id
}

async fn everything_is_exact(world: &World) {
    let scan = world.client.scan().table_name(oracle::TABLE).consistent_read(true).send().await.unwrap();
    let expected = oracle::expected(scan.items(), &BTreeMap::from(ZONES), clock::now());
    let stored = oracle::stored_by(&world.client).await;
    let missing: Vec<_> = expected.iter().filter(|(cell, value)| stored.get(*cell) != Some(value)).take(5).collect();
    let wrong: Vec<_> = stored.iter().filter(|(cell, value)| expected.get(*cell) != Some(value)).take(5).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "expected, not stored: {missing:?}\nstored, not expected: {wrong:?}");
    // The oracle of alerts knows no rules, and the hostile tenant's change while its stock does: which alerts it must have depends on the
    // order in which both were found. What is stored of them must be consistent.
    let tenants = BTreeMap::from(ZONES);
    check_levels_beside(&world.client, &tenants, Some(HOSTILE)).await;
    check_episodes_beside(&world.client, &tenants, &world.history, Some(HOSTILE)).await;
}
