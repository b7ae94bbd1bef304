//! Every kind of lost history is recorded once, with its reason, and reading goes on.

use super::*;
use crate::control::shard::ShardState;
use crate::id::StreamId;
use crate::status::{Gap, StreamStatus};

async fn status(streams: &Streams, stream: &StreamId) -> StreamStatus {
    streams.stream_status(stream).await.unwrap().unwrap()
}

/// The gaps a worker tells the application of.
fn told(worker: &mut Worker) -> Vec<GapReason> {
    worker.take_gaps().into_iter().map(|(_, reason)| reason).collect()
}

fn reasons(gaps: &[Gap]) -> Vec<(&str, &str)> {
    gaps.iter().map(|gap| (gap.shard.as_str(), gap.reason.as_str())).collect()
}

#[tokio::test]
async fn a_shard_that_neither_the_reader_nor_the_listings_know_is_lost_and_its_children_start() {
    let listed = shards(&[("a", None), ("b", None), ("child", Some("a"))]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let held = worker.tick(at(0), mono).await.unwrap();
    let a = held.iter().find(|held| held.shard == shard_id("a")).unwrap();
    let step = a.advance(&after(7), 1);
    assert_eq!(streams.advance(&step).await.unwrap(), Verdict::Committed);
    let a = a.after(&step);
    worker.vanished(&a);
    // Listed all the same: so it is tried again, under the same lease.
    assert_eq!(run(&mut worker, mono, 1..=45).await, std::slice::from_ref(&a));
    assert!(status(&streams, &source.id).await.watermark.exact);

    worker.vanished(&a);
    listed.lock().unwrap().retain(|(shard, _)| *shard != "a");
    let acquired = run(&mut worker, mono, 46..=110).await;
    assert!(acquired.iter().all(|held| held.shard == a.shard), "one listing without it proves nothing: {acquired:?}");
    worker.vanished(&a);
    let acquired = run(&mut worker, mono, 111..=160).await;
    assert_eq!(names(&acquired), ["child"]);
    let status = status(&streams, &source.id).await;
    assert_eq!((status.watermark.exact, reasons(&status.gaps)), (false, vec![("a", "vanished")]));
    assert_eq!(status.gaps[0].position, after(7));
    assert_eq!((told(&mut worker), told(&mut worker)), (vec![GapReason::Vanished], vec![]), "told once");
    let stored = streams.shard(&source.id, &a.shard).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.fence.position), (ShardState::Lost, Position::ShardEnd));
    assert_eq!(streams.advance(&a.advance(&after(8), 1)).await.unwrap(), Verdict::LeaseLost);
}

#[tokio::test]
async fn a_listing_that_fails_says_nothing_about_a_vanished_shard() {
    let emulator = Emulator::start().await;
    let source = SourceStream { table_created_at: None, stream_created_at: None, ..emulator.orders().await };
    let fails = Arc::new(Mutex::new(false));
    let is_failing = fails.clone();
    let stream = FakeStream::new(move |_, _| match *is_failing.lock().unwrap() {
        true => refusal("ResourceNotFoundException"),
        false => (200, serde_json::json!({"StreamDescription": {"Shards": [{"ShardId": "a"}]}})),
    });
    let streams = emulator.with_stream(&stream);
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let held = acquire_one(&mut worker, mono).await;
    *fails.lock().unwrap() = true;
    let mut errors = 0;
    for second in (1..200).step_by(5) {
        match worker.tick(at(0), mono + Duration::from_secs(second)).await {
            Ok(acquired) => assert!(acquired.iter().all(|again| *again == held)),
            Err(error) => {
                assert!(matches!(error, Error::StreamGone { .. }), "{error:?}");
                errors += 1;
            }
        }
        worker.vanished(&held);
    }
    assert!(errors > 10, "and it is shown: {errors}");
    let status = status(&streams, &source.id).await;
    assert!(status.watermark.exact && status.gaps.is_empty());
}

/// What an application does with a shard it is given at `now`: its first page comes at once.
async fn read(streams: &Streams, held: &HeldShard, now: fn() -> Timestamp) -> Result<(), crate::ReadError> {
    let mut reader = crate::ShardReader::new(streams.clone(), FakeStream::source().arn, held);
    reader.next(now).await.map(|_| ())
}

/// A stream that lists `shards`, and gives empty pages of each.
fn readable(shards: &Shards) -> FakeStream {
    let listing = FakeStream::listing(shards.clone());
    FakeStream::new(move |call, body| match call {
        "GetShardIterator" => (200, serde_json::json!({"ShardIterator": "i"})),
        "GetRecords" => (200, serde_json::json!({"Records": [], "NextShardIterator": "i"})),
        _ => listing.answer(call, body),
    })
}

/// A worker that starts then, and where a stream begins that it is the first to read.
async fn start_at(streams: &Streams, source: &SourceStream, now: Timestamp, mono: Instant) -> Worker {
    let config = WorkerConfig { name: "w".to_owned(), lease_ttl: TTL, start: Start::TrimHorizon };
    Worker::start(streams.clone(), config, vec![source.clone()], now, mono).await.unwrap()
}

fn hours(hours: i64) -> Timestamp {
    at(hours * 3600)
}

/// Made at second 0.
const MADE: &str = "shardId-00000001800000000000-2bac9cd2";

#[tokio::test]
async fn a_shard_first_read_a_day_after_it_was_made_has_a_gap_however_soon_it_was_acquired() {
    let listed = shards(&[(MADE, None)]);
    let (emulator, _, source) = world(&listed).await;
    let streams = emulator.with_stream(&readable(&listed));
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let held = acquire_one(&mut worker, mono).await;
    assert!(read(&streams, &held, || hours(23)).await.is_ok());
    // Whatever keeps the first page away: a refusal, a pause, a shard that the stream does not know for a while.
    assert!(matches!(read(&streams, &held, || hours(24)).await, Err(crate::ReadError::Aged)));
    worker.vanished(&held);
    let again = run(&mut worker, mono, 1..=35).await.remove(0);
    assert!(matches!(read(&streams, &again, || hours(24)).await, Err(crate::ReadError::Aged)), "it comes back with its age");

    let stepped = streams.record_gap(&held, GapReason::Aged, hours(24)).await.unwrap();
    assert_eq!(stepped.lease.epoch, held.lease.epoch + 1);
    assert!(read(&streams, &stepped, || hours(24)).await.is_ok(), "the gap says it, once");
    assert_eq!(reasons(&status(&streams, &source.id).await.gaps), [(MADE, "aged")]);
    worker.lost(&held);
    let next = run(&mut worker, mono, 36..=40).await.remove(0);
    assert!(read(&streams, &next, || hours(48)).await.is_ok(), "and so it is for who comes next");
}

#[tokio::test]
async fn what_was_there_before_the_first_start_has_an_age_where_history_is_said_to_be_complete() {
    for is_complete in [true, false] {
        let listed = shards(&[(MADE, None)]);
        let (emulator, _, source) = world(&listed).await;
        let table_created_at = Some(if is_complete { at(0) } else { at(-90_000) });
        let source = SourceStream { table_created_at, ..source };
        let streams = emulator.with_stream(&readable(&listed));
        let mono = Instant::now();
        let mut first = start_at(&streams, &source, hours(20), mono).await;
        first.tick(hours(20), mono).await.unwrap();
        first.leave().await.unwrap();
        assert_eq!(status(&streams, &source.id).await.watermark.history_complete, is_complete);
        let mut second = start_at(&streams, &source, hours(26), mono).await;
        let held = run(&mut second, mono, 1..=2).await.remove(0);
        let read = read(&streams, &held, || hours(26)).await;
        assert_eq!(matches!(read, Err(crate::ReadError::Aged)), is_complete, "{read:?}");
    }
}

#[tokio::test]
async fn a_tables_new_stream_waits_for_the_end_of_the_old_one_and_begins_with_a_gap() {
    let listed = shards(&[("a", None), ("b", None)]);
    let (emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let held = worker.tick(at(0), mono).await.unwrap();
    assert_eq!(names(&held), ["a", "b"]);
    emulator.renew_stream("Orders").await;
    let new = streams.current_stream("Orders").await.unwrap();
    assert_ne!(new, source.arn);
    assert!(run(&mut worker, mono, 1..=130).await.is_empty(), "the old stream is not read to its end");
    assert_eq!(worker.arn(&new.id()), Some(&new));
    for held in &held {
        assert_eq!(streams.advance(&held.advance(&Position::ShardEnd, 3)).await.unwrap(), Verdict::Committed);
        worker.finished(held);
    }
    let next = worker.tick(at(1), mono + Duration::from_secs(131)).await.unwrap();
    assert_eq!((names(&next), &next[0].stream), (vec!["a", "b"], &new.id()));
    assert!(next.iter().all(|held| held.position == Position::TrimHorizon));
    assert!(status(&streams, &source.id).await.watermark.exact);
    let status = status(&streams, &new.id()).await;
    assert_eq!((status.watermark.exact, reasons(&status.gaps)), (false, vec![("a", "replaced"), ("b", "replaced")]));
    assert_eq!(told(&mut worker), [GapReason::Replaced; 2]);
}

#[tokio::test]
async fn a_worker_that_starts_after_a_new_stream_began_reads_the_old_one_first() {
    let listed = shards(&[("a", None)]);
    let (emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut first = worker(&streams, &source, mono).await;
    let held = acquire_one(&mut first, mono).await;
    first.release(&held).await.unwrap();
    first.leave().await.unwrap();
    emulator.renew_stream("Orders").await;
    let renewed = streams.current_stream("Orders").await.unwrap();
    let mut second = worker(&streams, &SourceStream { id: renewed.id(), arn: renewed.clone(), ..source.clone() }, mono).await;
    let old = acquire_one(&mut second, mono).await;
    assert_eq!(old.stream, source.id);
    assert_eq!(streams.advance(&old.advance(&Position::ShardEnd, 0)).await.unwrap(), Verdict::Committed);
    second.finished(&old);
    let new = acquire_one(&mut second, mono + Duration::from_secs(31)).await;
    assert_eq!(new.stream, renewed.id());
}

#[tokio::test]
async fn a_stream_that_comes_back_with_another_view_type_is_refused_and_the_old_one_is_read_on() {
    let listed = shards(&[("a", None)]);
    let (emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    acquire_one(&mut worker, mono).await;
    emulator.set_stream("Orders", Some("KEYS_ONLY")).await;
    let refused = worker.tick(at(60), mono + Duration::from_secs(61)).await.unwrap_err();
    assert!(matches!(refused, Error::WrongViewType { .. }), "{refused:?}");
    assert!(worker.tick(at(60), mono + Duration::from_secs(62)).await.unwrap().is_empty());
    assert_eq!(worker.surplus().count(), 0);
}

#[tokio::test]
async fn a_finished_shards_item_may_go_three_days_after_listings_and_children_need_it_no_more() {
    let listed = shards(&[("parent", None), ("child", Some("parent"))]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let parent = acquire_one(&mut worker, mono).await;
    end(&mut worker, &streams, &parent).await;
    let expires_at = async || streams.shard(&source.id, &parent.shard).await.unwrap().unwrap().expires_at;
    acquire_one(&mut worker, mono).await;
    run(&mut worker, mono, 1..=100).await;
    assert_eq!(expires_at().await, None, "it is listed");
    let gone = listed.lock().unwrap().remove(0);
    run(&mut worker, mono, 101..=155).await;
    assert_eq!(expires_at().await, None, "one listing without it proves nothing");
    run(&mut worker, mono, 156..=220).await;
    assert_eq!(expires_at().await, Some((at(100) + jiff::SignedDuration::from_hours(72)).as_second()));
    listed.lock().unwrap().push(gone);
    run(&mut worker, mono, 221..=260).await;
    assert_eq!(expires_at().await, None, "it is listed again, and must not be stored anew");
}

#[tokio::test]
async fn a_worker_whose_tasks_are_stuck_leaves_its_shards_and_one_that_only_could_not_beat_does_not() {
    let (_emulator, streams, source) = world(&shards(&[("a", None)])).await;
    let mono = Instant::now();
    let mut stuck = worker(&streams, &source, mono).await;
    let held = acquire_one(&mut stuck, mono).await;
    stuck.progress(mono);
    let mut other = worker(&streams, &source, mono).await;
    assert!(run(&mut stuck, mono, 1..=59).await.is_empty() && !stuck.is_stalled(mono + Duration::from_secs(59)));
    let mut taken = Vec::new();
    for second in 60..=80 {
        let mono = mono + Duration::from_secs(second);
        taken.extend(other.tick(at(0), mono).await.unwrap());
        stuck.tick(at(0), mono).await.unwrap();
        assert!(stuck.is_stalled(mono) && !stuck.is_paused(mono));
    }
    assert_eq!(names(&taken), ["a"]);
    stuck.lost(&held);
    let mono = mono + Duration::from_secs(81);
    stuck.tick(at(0), mono).await.unwrap();
    assert!(!stuck.is_stalled(mono), "with nothing to do it is as good as any other");

    // Paused tasks make no progress, and that must not keep their worker from beating.
    let late = mono + Duration::from_secs(600);
    other.progress(mono);
    assert!(other.is_stalled(late), "a process that was frozen");
    other.progress(late);
    assert!(other.is_paused(late));
    other.tick(at(0), late).await.unwrap();
    assert!(!other.is_paused(late) && !other.is_stalled(late));
}
