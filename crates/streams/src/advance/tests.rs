//! Every verdict on a step, against the emulator.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::TransactWriteItem;

use super::*;
use crate::control::attribute::{Item, text_of};
use crate::control::shard::ShardItem;
use crate::id::{ShardId, StreamId, WorkerId};
use crate::position::SequenceNumber;
use crate::testing::{Emulator, at, shard_id};

fn after(number: u32) -> Position {
    Position::After(SequenceNumber::new(&number.to_string()).unwrap())
}

fn stream() -> StreamId {
    StreamId::new("Orders/1").unwrap()
}

fn me() -> WorkerId {
    WorkerId::new("me.1").unwrap()
}

/// A shard that is stored and held by `me.1`, at TRIM_HORIZON.
async fn held(emulator: &Emulator, shard: ShardId) -> HeldShard {
    let unread = ShardItem::unread(shard, None, Position::TrimHorizon);
    assert!(emulator.streams.put_new(unread.clone().into_item(&stream())).await.unwrap());
    emulator.streams.acquire(&stream(), &unread, &me()).await.unwrap().unwrap()
}

async fn stored(emulator: &Emulator, held: &HeldShard) -> Item {
    emulator.streams.get(Key::shard(&held.stream, &held.shard)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_step_is_committed_once_however_often_it_is_sent() {
    let emulator = Emulator::start().await;
    let held = held(&emulator, shard_id("s")).await;
    let step = held.advance(&after(7), 3);
    assert_eq!(emulator.streams.reread(&step).await.unwrap(), Verdict::NotCommitted);
    assert_eq!(emulator.streams.advance(&step).await.unwrap(), Verdict::Committed);
    let again = emulator.streams.advance(&step).await.unwrap();
    assert_eq!(again, Verdict::Committed, "the acknowledgement was lost, the retry finds the step made");
    assert_eq!(emulator.streams.reread(&step).await.unwrap(), Verdict::Committed);
    let other = held.advance(&after(9), 3);
    assert_eq!(emulator.streams.advance(&other).await.unwrap(), Verdict::Moved(after(7)), "a step from the old position");
    let next = held.after(&step).advance(&after(9), 3);
    assert_eq!(emulator.streams.advance(&next).await.unwrap(), Verdict::Committed);
}

#[tokio::test]
async fn up_to_when_a_shard_is_included_is_stored_with_its_steps_and_its_release_and_never_taken_back() {
    let emulator = Emulator::start().await;
    let held = held(&emulator, shard_id("s")).await;
    let stored = async || emulator.streams.shard(&stream(), &shard_id("s")).await.unwrap().unwrap().watermark;
    let step = held.advance(&after(7), 3).with_times(Some(at(40)), None);
    assert_eq!(emulator.streams.advance(&step).await.unwrap(), Verdict::Committed);
    assert_eq!(stored().await, Some(at(40)));
    let held = held.after(&step);
    let step = held.advance(&after(8), 3).with_times(Some(at(30)), None);
    assert_eq!(emulator.streams.advance(&step).await.unwrap(), Verdict::Committed);
    assert_eq!(stored().await, Some(at(40)), "a record whose time is earlier");
    emulator.streams.release(&held.after(&step), Some(at(50))).await.unwrap();
    assert_eq!(stored().await, Some(at(50)));
    let seen = emulator.streams.shard(&stream(), &shard_id("s")).await.unwrap().unwrap();
    let next = emulator.streams.acquire(&stream(), &seen, &me()).await.unwrap().unwrap();
    assert_eq!(next.watermark, Some(at(50)), "the next owner knows it");
}

#[tokio::test]
async fn a_zombies_step_is_refused() {
    let emulator = Emulator::start().await;
    let zombie = held(&emulator, shard_id("s")).await;
    let seen = emulator.streams.shard(&zombie.stream, &zombie.shard).await.unwrap().unwrap();
    let other = WorkerId::new("other.1").unwrap();
    let taken = emulator.streams.acquire(&stream(), &seen, &other).await.unwrap().unwrap();
    assert_eq!(taken.lease.epoch, zombie.lease.epoch + 1);
    let step = zombie.advance(&after(7), 0);
    assert_eq!(emulator.streams.advance(&step).await.unwrap(), Verdict::LeaseLost);
    assert_eq!(emulator.streams.reread(&step).await.unwrap(), Verdict::LeaseLost);
    assert_eq!(emulator.streams.advance(&taken.advance(&after(7), 0)).await.unwrap(), Verdict::Committed);
    let verdict = emulator.streams.advance(&step).await.unwrap();
    assert_eq!(verdict, Verdict::LeaseLost, "the position the zombie wanted, but not by the zombie");
}

#[tokio::test]
async fn a_released_shard_takes_no_more_steps() {
    let emulator = Emulator::start().await;
    let held = held(&emulator, shard_id("s")).await;
    emulator.streams.release(&held, None).await.unwrap();
    emulator.streams.release(&held, None).await.unwrap();
    assert_eq!(emulator.streams.advance(&held.advance(&after(7), 0)).await.unwrap(), Verdict::LeaseLost);
}

#[tokio::test]
async fn older_definitions_cannot_commit_after_newer_ones() {
    let emulator = Emulator::start().await;
    let held = held(&emulator, shard_id("s")).await;
    let step = held.advance(&after(7), 5);
    assert_eq!(emulator.streams.advance(&step).await.unwrap(), Verdict::Committed);
    let slow = held.after(&step).advance(&after(9), 4);
    assert_eq!(emulator.streams.advance(&slow).await.unwrap(), Verdict::DefinitionsBehind(5));
}

#[tokio::test]
async fn the_end_of_a_shard_is_its_last_step() {
    let emulator = Emulator::start().await;
    let held = held(&emulator, shard_id("s")).await;
    let end = held.advance(&Position::ShardEnd, 1);
    assert_eq!(emulator.streams.advance(&end).await.unwrap(), Verdict::Committed);
    assert_eq!(text_of(&stored(&emulator, &held).await, STATE), Some("DONE"));
    assert_eq!(emulator.streams.advance(&end).await.unwrap(), Verdict::Committed);
    let seen = emulator.streams.shard(&held.stream, &held.shard).await.unwrap().unwrap();
    assert_eq!(emulator.streams.acquire(&stream(), &seen, &me()).await.unwrap(), None, "nobody reads it again");
}

#[tokio::test]
async fn in_a_transaction_the_step_carries_the_stored_item_back() {
    let emulator = Emulator::start().await;
    let held = held(&emulator, shard_id("s")).await;
    let step = held.advance(&after(7), 1);
    let send = async || {
        let item = TransactWriteItem::builder().update(step.update()).build();
        emulator.streams.dynamodb.transact_write_items().transact_items(item).send().await
    };
    send().await.unwrap();
    let error = send().await.unwrap_err().into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { panic!("{error:?}") };
    assert_eq!(step.judge(cancelled.cancellation_reasons()[0].item()), Verdict::Committed);
}

#[test]
fn an_item_that_cannot_be_read_allows_no_commit() {
    let lease = crate::lease::Lease { owner: me(), epoch: 1 };
    let unread = ShardItem::unread(shard_id("s"), None, Position::TrimHorizon);
    let held = HeldShard::new("control".into(), stream(), lease, &unread);
    assert_eq!(held.advance(&after(7), 1).judge(None), Verdict::LeaseLost);
    assert_eq!(held.advance(&after(7), 1).judge(Some(&Item::new())), Verdict::LeaseLost);
}
