//! Reading pages from the emulator, and from a scripted service where the emulator is too kind.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;
use crate::control::attribute::text_value;
use crate::position::SequenceNumber;
use crate::testing::{Emulator, FakeStream, config, refusal, shard_id};

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
    let streams = Streams { streams: stream.client(), ..Streams::new(&config("http://fake"), "control".to_owned()) };
    ShardReader::new(streams, FakeStream::source().arn, shard_id("s"), position)
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
    let last = reader.next().await.unwrap();
    assert_eq!((numbers(&last), last.closed, last.bytes), (vec!["1", "2"], true, 20));
    let again = reader.next().await.unwrap();
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
    assert_eq!(numbers(&reader.next().await.unwrap()), ["7"]);
    assert_eq!(numbers(&reader.next().await.unwrap()), ["8"]);
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
    assert!(reader.next().await.unwrap().is_empty());
    assert_eq!(numbers(&reader.next().await.unwrap()), ["1"]);
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
    assert!(held.next().await.unwrap().is_empty());
    assert_eq!(numbers(&held.next().await.unwrap()), ["9"]);
    let fresh = script(vec![passed(), passed(), first]);
    assert_eq!(numbers(&reader(&fresh, Position::TrimHorizon).next().await.unwrap()), ["9"]);
    let always = script(vec![passed(), passed(), passed()]);
    assert!(matches!(reader(&always, Position::TrimHorizon).next().await, Err(ReadError::Trimmed)));
}

#[tokio::test]
async fn each_refusal_is_a_decision() {
    let refused = async |call: &'static str, code: &str| {
        let stream = script(vec![(call, refusal(code)), ("GetRecords", page(&[record(7, 5)], Some("a")))]);
        let mut reader = reader(&stream, after(6));
        (reader.next().await.unwrap_err(), reader)
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
            assert_eq!(numbers(&reader.next().await.unwrap()), ["7"], "the same records are asked for again");
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
    let early = reader.next().await.unwrap();
    assert_eq!((early.records.len(), early.skipped, early.is_empty()), (0, 2, false));
    assert_eq!(numbers(&reader.next().await.unwrap()), ["4", "5"], "behind the first one nothing is skipped");
    assert_eq!(numbers(&reader.next().await.unwrap()), ["6"]);
}

#[tokio::test]
async fn a_start_at_an_instant_is_left_to_the_service_where_it_can() {
    let stream = script(vec![("GetRecords", page(&[record(1, 3)], Some("a")))]);
    let read = reader(&stream, Position::At(5_250)).next().await.unwrap();
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
    let shard = listed.shards[0].shard.clone();
    let mut reader = ShardReader::new(emulator.streams.clone(), source.arn, shard, Position::TrimHorizon);
    let page = reader.next().await.unwrap();
    let images: Vec<(bool, bool)> = page.records.iter().map(|record| (record.old.is_some(), record.new.is_some())).collect();
    assert_eq!(images, [(false, true), (true, true), (true, false)]);
    assert!(page.records.is_sorted_by_key(|record| record.sequence_number.clone()));
    assert!(!page.closed && page.bytes > 0);
    assert!(reader.next().await.unwrap().is_empty());
    assert!(reader.pause() > Duration::ZERO);
}
