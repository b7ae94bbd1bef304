//! Acquiring and releasing, lost answers included.

use super::*;
use crate::testing::{Emulator, shard_id};

fn worker(id: &str) -> WorkerId {
    WorkerId::new(id).unwrap()
}

async fn stored(emulator: &Emulator) -> (StreamId, ShardItem) {
    let stream = StreamId::new("Orders/1").unwrap();
    let shard = ShardItem::unread(shard_id("s"), None, Position::At(5));
    assert!(emulator.streams.put_new(shard.clone().into_item(&stream)).await.unwrap());
    (stream, shard)
}

#[tokio::test]
async fn of_two_workers_that_see_a_shard_free_one_gets_it() {
    let emulator = Emulator::start().await;
    let (stream, seen) = stored(&emulator).await;
    let (a, b) = (worker("a.1"), worker("b.1"));
    let (first, second) =
        tokio::join!(emulator.streams.acquire(&stream, &seen, &a), emulator.streams.acquire(&stream, &seen, &b));
    let won = [first.unwrap(), second.unwrap()];
    assert_eq!(won.iter().flatten().count(), 1, "{won:?}");
}

#[tokio::test]
async fn an_acquisition_whose_acknowledgement_was_lost_had_won() {
    let emulator = Emulator::start().await;
    let (stream, seen) = stored(&emulator).await;
    let me = worker("a.1");
    let first = emulator.streams.acquire(&stream, &seen, &me).await.unwrap().unwrap();
    let retried = emulator.streams.acquire(&stream, &seen, &me).await.unwrap();
    assert_eq!(retried.as_ref(), Some(&first), "the same lease, not another epoch");
    assert_eq!((&first.position, first.lease.epoch), (&Position::At(5), 1));
    let reborn = emulator.streams.acquire(&stream, &seen, &worker("a.2")).await.unwrap();
    assert_eq!(reborn, None, "another incarnation of the same name is another worker");
}

#[tokio::test]
async fn a_shard_is_created_once() {
    let emulator = Emulator::start().await;
    let (stream, shard) = stored(&emulator).await;
    emulator.streams.acquire(&stream, &shard, &worker("a.1")).await.unwrap();
    assert!(!emulator.streams.put_new(shard.clone().into_item(&stream)).await.unwrap());
    let kept = emulator.streams.shard(&stream, &shard.shard).await.unwrap().unwrap();
    assert_eq!(kept.fence.owner, Some(worker("a.1")));
}

#[tokio::test]
async fn a_gate_is_opened_once_and_never_lowers_the_definitions() {
    let emulator = Emulator::start().await;
    let (stream, child) = stored(&emulator).await;
    let at_defs = |defs| {
        let mut parent = ShardItem::unread(shard_id("p"), None, Position::ShardEnd);
        parent.fence.defs = defs;
        parent
    };
    emulator.streams.open(&stream, &child, &at_defs(4)).await.unwrap();
    emulator.streams.open(&stream, &child, &at_defs(9)).await.unwrap();
    let opened = emulator.streams.shard(&stream, &child.shard).await.unwrap().unwrap();
    assert_eq!((opened.opened, opened.fence.defs), (true, 4));
}

#[tokio::test]
async fn linking_a_shard_that_is_not_stored_stores_nothing() {
    let emulator = Emulator::start().await;
    let (stream, shard) = stored(&emulator).await;
    emulator.streams.link(&stream, &shard_id("gone"), &[shard_id("c")]).await.unwrap();
    assert_eq!(emulator.streams.shard(&stream, &shard_id("gone")).await.unwrap(), None);
    emulator.streams.link(&stream, &shard.shard, &[shard_id("c")]).await.unwrap();
    emulator.streams.link(&stream, &shard.shard, &[shard_id("c"), shard_id("d")]).await.unwrap();
    let linked = emulator.streams.shard(&stream, &shard.shard).await.unwrap().unwrap();
    assert_eq!(linked.children, [shard_id("c"), shard_id("d")]);
}
