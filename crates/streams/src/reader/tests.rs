//! Reading pages from the emulator, and from a scripted service where the emulator is too kind.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::control::attribute::text_value;
use crate::control::shard::ShardItem;
use crate::id::WorkerId;
use crate::lease::Lease;
use crate::position::SequenceNumber;
use crate::testing::{Emulator, FakeStream, at, config, refusal, shard_id};

fn record(number: u32, second: u32) -> Value {
    let change = json!({"SequenceNumber": number.to_string(), "ApproximateCreationDateTime": second, "SizeBytes": 10});
    json!({"eventName": "MODIFY", "dynamodb": change})
}

fn page(records: &[Value], next: Option<&str>) -> (u16, Value) {
    (200, json!({"Records": records, "NextShardIterator": next}))
}

/// A stream whose calls get these answers, in turn; GetShardIterator gets one of its own unless it is scripted, too.
fn script(answers: Vec<(&'static str, (u16, Value))>) -> FakeStream {
    let answers = Mutex::new(VecDeque::from(answers));
    FakeStream::new(move |call, _| {
        let mut answers = answers.lock().unwrap();
        match answers.front() {
            Some((expected, _)) if *expected == call => answers.pop_front().unwrap().1,
            _ if call == "GetShardIterator" => (200, json!({"ShardIterator": "fresh"})),
            _ => panic!("{call} was not expected"),
        }
    })
}

fn reader(stream: &FakeStream, position: Position) -> ShardReader {
    reader_until(stream, position, None)
}

/// A reader of a shard that is whole until then.
fn reader_until(stream: &FakeStream, position: Position, whole_until: Option<Timestamp>) -> ShardReader {
    let streams = Streams { streams: stream.client(), ..Streams::new(&config("http://fake"), "control".to_owned()) };
    let stored = ShardItem::unread(shard_id("s"), None, position);
    let lease = Lease { owner: WorkerId::new("w.1").unwrap(), epoch: 1 };
    let held = HeldShard::new(streams.control_table.clone(), FakeStream::source().id, lease, &stored);
    ShardReader::new(streams, FakeStream::source().arn, &HeldShard { whole_until, ..held })
}

/// A reader of a shard of which records behind the position are gone.
fn reader_behind_gap(stream: &FakeStream, position: Position) -> ShardReader {
    let ShardReader { streams, arn, .. } = reader(stream, position.clone());
    let stored = ShardItem::unread(shard_id("s"), None, position);
    let lease = Lease { owner: WorkerId::new("w.1").unwrap(), epoch: 2 };
    let held = HeldShard::new(streams.control_table.clone(), FakeStream::source().id, lease, &stored);
    ShardReader::new(streams, arn, &HeldShard { is_trimmed: true, ..held })
}

fn after(number: u32) -> Position {
    Position::After(SequenceNumber::new(&number.to_string()).unwrap())
}

fn numbers(page: &Page) -> Vec<&str> {
    page.records.iter().map(|record| record.sequence_number.as_str()).collect()
}

#[tokio::test]
async fn the_last_page_of_a_closed_shard_still_carries_its_records() {
    let stream = script(vec![("GetRecords", page(&[record(1, 5), record(2, 5)], None))]);
    let mut reader = reader(&stream, Position::TrimHorizon);
    let last = reader.next(|| at(0)).await.unwrap();
    assert_eq!((numbers(&last), last.closed, last.bytes), (vec!["1", "2"], true, 20));
    let again = reader.next(|| at(0)).await.unwrap();
    assert!(again.closed && again.is_empty(), "the end stays the end, and nobody is asked: {again:?}");
}

#[tokio::test]
async fn an_expired_iterator_is_replaced_behind_the_last_record_read() {
    let stream = script(vec![
        ("GetRecords", page(&[record(7, 5)], Some("a"))),
        ("GetRecords", refusal("ExpiredIteratorException")),
        ("GetRecords", page(&[record(8, 6)], Some("b"))),
    ]);
    let mut reader = reader(&stream, after(6));
    assert_eq!(numbers(&reader.next(|| at(0)).await.unwrap()), ["7"]);
    assert_eq!(numbers(&reader.next(|| at(0)).await.unwrap()), ["8"]);
    let iterators = stream.calls().into_iter().filter(|(call, _)| call == "GetShardIterator");
    let from: Vec<Value> = iterators.map(|(_, body)| body["SequenceNumber"].clone()).collect();
    assert_eq!(from, ["6", "7"]);
}

#[tokio::test]
async fn an_iterator_that_expires_before_anything_was_read_starts_over_where_it_started() {
    let stream = script(vec![
        ("GetRecords", page(&[], Some("a"))),
        ("GetRecords", refusal("ExpiredIteratorException")),
        ("GetRecords", page(&[record(1, 5)], Some("b"))),
    ]);
    let mut reader = reader(&stream, Position::TrimHorizon);
    assert!(reader.next(|| at(0)).await.unwrap().is_empty());
    assert_eq!(numbers(&reader.next(|| at(0)).await.unwrap()), ["1"]);
    let iterators = stream.calls().into_iter().filter(|(call, _)| call == "GetShardIterator");
    let from: Vec<Value> = iterators.map(|(_, body)| body["ShardIteratorType"].clone()).collect();
    assert_eq!(from, ["TRIM_HORIZON", "TRIM_HORIZON"]);
}

#[tokio::test]
async fn a_beginning_that_the_first_record_passed_is_taken_anew_and_no_gap() {
    let passed = || ("GetRecords", refusal("TrimmedDataAccessException"));
    let first = ("GetRecords", page(&[record(9, 5)], Some("a")));
    let held = script(vec![("GetRecords", page(&[], Some("a"))), passed(), first.clone()]);
    let mut held = reader(&held, Position::TrimHorizon);
    assert!(held.next(|| at(0)).await.unwrap().is_empty());
    assert_eq!(numbers(&held.next(|| at(0)).await.unwrap()), ["9"]);
    let fresh = script(vec![passed(), passed(), first]);
    assert_eq!(numbers(&reader(&fresh, Position::TrimHorizon).next(|| at(0)).await.unwrap()), ["9"]);
    let always = script(vec![passed(), passed(), passed()]);
    assert!(matches!(reader(&always, Position::TrimHorizon).next(|| at(0)).await, Err(ReadError::Trimmed)));
}

#[tokio::test]
async fn behind_a_gap_nothing_up_to_the_position_is_read_again() {
    // The stream said that records were gone, and they are there all the same.
    let stream = script(vec![
        ("GetRecords", page(&[record(5, 5), record(6, 5)], Some("a"))),
        ("GetRecords", refusal("ExpiredIteratorException")),
        ("GetRecords", page(&[record(6, 5), record(7, 5), record(8, 5)], Some("b"))),
        ("GetRecords", page(&[record(9, 5)], Some("c"))),
    ]);
    let mut reader = reader_behind_gap(&stream, after(7));
    let old = reader.next(|| at(0)).await.unwrap();
    assert_eq!((old.records.len(), old.skipped, old.is_empty()), (0, 2, false));
    assert_eq!(numbers(&reader.next(|| at(0)).await.unwrap()), ["8"]);
    assert_eq!(numbers(&reader.next(|| at(0)).await.unwrap()), ["9"]);
    let of_type = |(call, body): &(String, Value)| (call == "GetShardIterator").then(|| body["ShardIteratorType"].clone());
    assert_eq!(stream.calls().iter().filter_map(of_type).collect::<Vec<_>>(), ["TRIM_HORIZON", "TRIM_HORIZON"]);
}

/// The shard of the next tests is whole until second 0.
fn is_aged(read: &Result<Page, ReadError>) -> bool {
    matches!(read, Err(ReadError::Aged))
}

#[tokio::test]
async fn a_beginning_whose_first_page_comes_too_late_is_lost_history() {
    for position in [Position::TrimHorizon, Position::At(at(-90).as_millisecond())] {
        let stream =
            script(vec![("GetRecords", page(&[record(7, 5)], Some("a"))), ("GetRecords", page(&[record(7, 5)], Some("a")))]);
        let mut reader = reader_until(&stream, position.clone(), Some(at(0)));
        assert!(is_aged(&reader.next(|| at(1)).await), "{position}");
        assert!(is_aged(&reader.next(|| at(2)).await), "and stays so");
        let in_time = script(vec![("GetRecords", page(&[record(7, 5)], Some("a"))), ("GetRecords", page(&[], Some("b")))]);
        let mut reader = reader_until(&in_time, position, Some(at(0)));
        assert_eq!(numbers(&reader.next(|| at(0)).await.unwrap()), ["7"]);
        assert!(reader.next(|| at(1)).await.is_ok(), "what follows is bound to it");
    }
    let read_before = script(vec![("GetRecords", page(&[record(7, 5)], Some("a")))]);
    assert!(reader_until(&read_before, after(6), Some(at(0))).next(|| at(1)).await.is_ok(), "a position tells what is missing");
}

#[tokio::test]
async fn a_beginning_that_is_taken_anew_too_late_is_lost_history() {
    for renewed in ["ExpiredIteratorException", "TrimmedDataAccessException"] {
        let first = ("GetRecords", page(&[record(9, 5)], Some("a")));
        let stream = script(vec![("GetRecords", page(&[], Some("a"))), ("GetRecords", refusal(renewed)), first]);
        let mut reader = reader_until(&stream, Position::TrimHorizon, Some(at(0)));
        assert!(reader.next(|| at(-1)).await.unwrap().is_empty());
        assert!(is_aged(&reader.next(|| at(1)).await), "{renewed}");
    }
    // Denied for days: what counts is when the page came, not when the iterator was taken.
    let denied = ("GetRecords", refusal("AccessDeniedException"));
    let stream = script(vec![denied, ("GetRecords", page(&[record(9, 5)], Some("a")))]);
    let mut reader = reader_until(&stream, Position::TrimHorizon, Some(at(0)));
    assert!(matches!(reader.next(|| at(-1)).await, Err(ReadError::Failed(_))));
    assert!(is_aged(&reader.next(|| at(1)).await));
}

#[tokio::test]
async fn a_shard_that_was_seen_idle_is_whole_for_another_day() {
    let idle_then_renewed = || {
        let idle = std::iter::repeat_n(("GetRecords", page(&[], Some("a"))), EMPTY_PAGES_BEHIND);
        let renewed = [("GetRecords", refusal("ExpiredIteratorException")), ("GetRecords", page(&[record(9, 5)], Some("a")))];
        script(idle.chain(renewed).collect())
    };
    let stream = idle_then_renewed();
    let mut reader = reader_until(&stream, Position::TrimHorizon, Some(at(0)));
    for _ in 0..EMPTY_PAGES_BEHIND {
        assert!(reader.next(|| at(0)).await.unwrap().is_empty());
    }
    assert_eq!(numbers(&reader.next(|| at(0) + RETENTION).await.unwrap()), ["9"]);

    // Before its age is one at which records go, empty pages may as well come before records.
    let stream = idle_then_renewed();
    let mut reader = reader_until(&stream, Position::TrimHorizon, Some(at(0)));
    for _ in 0..EMPTY_PAGES_BEHIND {
        assert!(reader.next(|| at(-1)).await.unwrap().is_empty());
    }
    assert!(is_aged(&reader.next(|| at(1)).await));
}

#[tokio::test]
async fn each_refusal_is_a_decision() {
    let refused = async |call: &'static str, code: &str| {
        let stream = script(vec![(call, refusal(code)), ("GetRecords", page(&[record(7, 5)], Some("a")))]);
        let mut reader = reader(&stream, after(6));
        (reader.next(|| at(0)).await.unwrap_err(), reader)
    };
    for call in ["GetShardIterator", "GetRecords"] {
        assert!(matches!(refused(call, "TrimmedDataAccessException").await.0, ReadError::Trimmed));
        assert!(matches!(refused(call, "ResourceNotFoundException").await.0, ReadError::Vanished));
        assert!(matches!(refused(call, "AccessDeniedException").await.0, ReadError::Failed(Error::Denied { .. })));
        for (code, is_contended) in
            [("LimitExceededException", true), ("ThrottlingException", false), ("InternalServerError", false)]
        {
            let (error, mut reader) = refused(call, code).await;
            assert_eq!(matches!(error, ReadError::Contended { .. }), is_contended, "{error:?}");
            assert!(error.retry_after().unwrap() <= Duration::from_millis(100), "{error:?}");
            assert_eq!(numbers(&reader.next(|| at(0)).await.unwrap()), ["7"], "the same records are asked for again");
        }
    }
}

#[tokio::test]
async fn a_start_at_an_instant_skips_to_the_first_record_where_the_service_cannot() {
    let stream = script(vec![
        ("GetShardIterator", refusal("ValidationException")),
        ("GetRecords", page(&[record(1, 3), record(2, 4)], Some("a"))),
        ("GetRecords", page(&[record(3, 4), record(4, 5), record(5, 4)], Some("b"))),
        ("GetRecords", page(&[record(6, 4)], Some("c"))),
    ]);
    let mut reader = reader(&stream, Position::At(5_000));
    let early = reader.next(|| at(0)).await.unwrap();
    assert_eq!((early.records.len(), early.skipped, early.is_empty()), (0, 2, false));
    assert_eq!(numbers(&reader.next(|| at(0)).await.unwrap()), ["4", "5"], "behind the first one nothing is skipped");
    assert_eq!(numbers(&reader.next(|| at(0)).await.unwrap()), ["6"]);
}

#[tokio::test]
async fn a_start_at_an_instant_is_left_to_the_service_where_it_can() {
    let stream = script(vec![("GetRecords", page(&[record(1, 3)], Some("a")))]);
    let read = reader(&stream, Position::At(5_250)).next(|| at(0)).await.unwrap();
    assert_eq!(numbers(&read), ["1"]);
    let (_, iterator) = stream.calls().remove(0);
    assert_eq!((&iterator["ShardIteratorType"], &iterator["Timestamp"]), (&json!("AT_TIMESTAMP"), &json!(5.25)));
}

#[tokio::test]
async fn an_emulators_records_are_read_with_both_images() {
    let emulator = Emulator::start().await;
    let source = emulator.orders().await;
    emulator.put_order("a", 1).await;
    emulator.put_order("a", 2).await;
    emulator.streams.dynamodb.delete_item().table_name("Orders").key("id", text_value("a")).send().await.unwrap();
    let listed = emulator.streams.list_page(&source.arn, None, None).await.unwrap();
    let stored = ShardItem::unread(listed.shards[0].shard.clone(), None, Position::TrimHorizon);
    let lease = Lease { owner: WorkerId::new("w.1").unwrap(), epoch: 1 };
    let held = HeldShard::new(emulator.streams.control_table.clone(), source.id, lease, &stored);
    let mut reader = ShardReader::new(emulator.streams.clone(), source.arn, &held);
    let page = reader.next(|| at(0)).await.unwrap();
    let images: Vec<(bool, bool)> = page.records.iter().map(|record| (record.old.is_some(), record.new.is_some())).collect();
    assert_eq!(images, [(false, true), (true, true), (true, false)]);
    assert!(page.records.is_sorted_by_key(|record| record.sequence_number.clone()));
    assert!(!page.closed && page.bytes > 0);
    assert!(reader.next(|| at(0)).await.unwrap().is_empty());
    assert!(reader.pause() > Duration::ZERO);
}
