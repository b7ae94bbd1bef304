//! Workers that start, take over, finish shards and publish, in a time the test moves.

mod fleet;
mod gaps;
mod listings;
mod refusals;

use std::sync::{Arc, Mutex};

use super::*;
use crate::advance::Verdict;
use crate::control::GapReason;
use crate::control::worker::WorkerStatus;
use crate::position::SequenceNumber;
use crate::status::ShardCounts;
use crate::testing::{Emulator, FakeStream, Shards, TTL, acquire_one, at, refusal, shard_id, worker};

fn shards(listed: &[(&'static str, Option<&'static str>)]) -> Shards {
    Arc::new(Mutex::new(listed.to_vec()))
}

fn after(number: u32) -> Position {
    Position::After(SequenceNumber::new(&number.to_string()).unwrap())
}

fn names(held: &[HeldShard]) -> Vec<&str> {
    held.iter().map(|held| held.shard.as_str()).collect()
}

/// A fresh control table, and a table whose stream lists `shards`.
async fn world(shards: &Shards) -> (Emulator, Streams, SourceStream) {
    let emulator = Emulator::start().await;
    let source = SourceStream { table_created_at: None, stream_created_at: None, ..emulator.orders().await };
    let streams = emulator.with_stream(&FakeStream::listing(shards.clone()));
    (emulator, streams, source)
}

/// What an application does at a shard's end.
async fn end(worker: &mut Worker, streams: &Streams, held: &HeldShard) -> usize {
    let linked = streams.link_children(&FakeStream::source().arn, held).await.unwrap();
    let verdict = streams.advance(&held.advance(&Position::ShardEnd, 7)).await.unwrap();
    assert_eq!(verdict, Verdict::Committed);
    worker.finished(held);
    linked
}

/// Ticks until `seconds` after `from`, and gives what was acquired meanwhile.
async fn run(worker: &mut Worker, from: Instant, seconds: std::ops::RangeInclusive<u64>) -> Vec<HeldShard> {
    let mut acquired = Vec::new();
    for second in seconds {
        acquired.extend(worker.tick(at(100), from + Duration::from_secs(second)).await.unwrap());
    }
    acquired
}

#[tokio::test]
async fn a_shard_of_a_dead_worker_is_taken_over_where_it_stood() {
    let emulator = Emulator::start().await;
    let source = emulator.orders().await;
    let start = Instant::now();
    let mut first = worker(&emulator.streams, &source, start).await;
    let held = acquire_one(&mut first, start).await;
    assert_eq!(held.position, Position::TrimHorizon);
    let step = held.advance(&after(7), 1);
    assert_eq!(emulator.streams.advance(&step).await.unwrap(), Verdict::Committed);

    let mut second = worker(&emulator.streams, &source, start).await;
    assert_ne!(first.id(), second.id(), "the same name, another incarnation");
    assert!(second.tick(at(1), start).await.unwrap().is_empty());
    assert!(second.tick(at(15), start + TTL - Duration::from_millis(1)).await.unwrap().is_empty(), "not before the TTL");
    let taken = acquire_one(&mut second, start + TTL * 2).await;
    assert_eq!((taken.position.clone(), taken.defs, taken.lease.epoch), (after(7), 1, held.lease.epoch + 1));
    let zombie = held.after(&step).advance(&after(8), 1);
    assert_eq!(emulator.streams.advance(&zombie).await.unwrap(), Verdict::LeaseLost);
}

#[tokio::test]
async fn a_worker_that_beats_keeps_its_shards() {
    let (_emulator, streams, source) = world(&shards(&[("a", None)])).await;
    let start = Instant::now();
    let mut first = worker(&streams, &source, start).await;
    acquire_one(&mut first, start).await;
    let mut second = worker(&streams, &source, start).await;
    for beat in 1..10 {
        let mono = start + TTL / 3 * beat;
        assert!(first.tick(at(0), mono).await.unwrap().is_empty());
        assert!(second.tick(at(0), mono).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_worker_is_paused_between_a_late_beat_and_the_next() {
    let (_emulator, streams, source) = world(&shards(&[("a", None)])).await;
    let start = Instant::now();
    let mut worker = worker(&streams, &source, start).await;
    let late = start + TTL * 2 / 3;
    assert!(!worker.is_paused(late - Duration::from_millis(1)));
    assert!(worker.is_paused(late));
    worker.tick(at(0), late).await.unwrap();
    assert!(!worker.is_paused(late));
    assert!(worker.is_paused(late + TTL * 2 / 3));
}

#[tokio::test]
async fn a_released_shard_goes_on_at_once() {
    let (_emulator, streams, source) = world(&shards(&[("a", None)])).await;
    let start = Instant::now();
    let mut first = worker(&streams, &source, start).await;
    let held = acquire_one(&mut first, start).await;
    let mut second = worker(&streams, &source, start).await;
    assert!(second.tick(at(0), start).await.unwrap().is_empty());
    first.drain(at(0), start).await.unwrap();
    first.release(&held).await.unwrap();
    assert!(first.tick(at(1), start + TTL / 5).await.unwrap().is_empty(), "a draining worker takes nothing");
    let workers = streams.workers().await.unwrap();
    let draining = workers.iter().find(|worker| worker.id == *first.id()).unwrap();
    assert_eq!(draining.status, WorkerStatus::Draining);
    first.leave().await.unwrap();
    let next = acquire_one(&mut second, start + TTL / 5).await;
    assert_eq!(next.lease.epoch, held.lease.epoch + 1);
    assert_eq!(streams.workers().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_child_waits_for_its_parents_end() {
    let listed = shards(&[("child", Some("parent")), ("parent", None)]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let parent = acquire_one(&mut worker, mono).await;
    assert_eq!(parent.shard, shard_id("parent"));
    assert!(worker.tick(at(1), mono + TTL / 5).await.unwrap().is_empty());
    worker.finished(&parent);
    let parent = acquire_one(&mut worker, mono + TTL / 5).await;
    assert_eq!(parent.shard, shard_id("parent"), "its end was told, but not committed: it comes back, the child waits");
    assert_eq!(end(&mut worker, &streams, &parent).await, 1);
    let child = acquire_one(&mut worker, mono + TTL / 5).await;
    assert_eq!((child.shard.clone(), child.position.clone()), (shard_id("child"), Position::TrimHorizon));
    assert_eq!(child.defs, 7, "the parent's definitions version is the child's");
}

#[tokio::test]
async fn a_split_hands_both_children_to_the_parents_owner() {
    let listed = shards(&[("parent", None)]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut first = worker(&streams, &source, mono).await;
    let parent = acquire_one(&mut first, mono).await;
    let mut second = worker(&streams, &source, mono).await;
    second.tick(at(0), mono).await.unwrap();
    listed.lock().unwrap().extend([("left", Some("parent")), ("right", Some("parent")), ("other", Some("elsewhere"))]);
    assert_eq!(end(&mut first, &streams, &parent).await, 2, "whatever else an emulator lists");
    assert!(second.tick(at(1), mono + TTL / 5).await.unwrap().is_empty());
    assert_eq!(names(&first.tick(at(1), mono).await.unwrap()), ["left", "right"]);
}

#[tokio::test]
async fn the_first_shards_begin_where_the_first_start_said() {
    let listed = shards(&[("root", None), ("grown", Some("trimmed")), ("child", Some("root"))]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let config = |start| WorkerConfig { name: "w".to_owned(), lease_ttl: TTL, start };
    let join = async |start, now| Worker::start(streams.clone(), config(start), vec![source.clone()], now, mono).await.unwrap();
    // The first one dies before it has listed anything.
    join(Start::Now, at(100)).await;
    let mut second = join(Start::TrimHorizon, at(200)).await;
    assert!(second.tick(at(200), mono).await.unwrap().len() < 2, "the first one may live");
    let mono = mono + TTL;
    let held = second.tick(at(200), mono).await.unwrap();
    assert_eq!(names(&held), ["grown", "root"]);
    assert!(held.iter().all(|held| held.position == Position::At(at(100).as_millisecond())), "{held:?}");
    let root = held.iter().find(|held| held.shard == shard_id("root")).unwrap();
    assert_eq!(end(&mut second, &streams, root).await, 1);
    let child = acquire_one(&mut second, mono).await;
    assert_eq!(child.position, held[0].position, "a child that was there at the start begins at the start as well");
    let status = streams.stream_status(&source.id).await.unwrap().unwrap();
    assert!(status.watermark.exact && !status.watermark.history_complete && status.gaps.is_empty());
}

#[tokio::test]
async fn a_shard_of_unknown_lineage_is_a_gap() {
    let listed = shards(&[("root", None)]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    acquire_one(&mut worker, mono).await;
    assert!(streams.watermark(&source.id).await.unwrap().unwrap().exact);
    listed.lock().unwrap().push(("orphan", Some("never-seen")));
    let orphan = acquire_one(&mut worker, mono + Duration::from_secs(60)).await;
    assert_eq!(orphan.shard, shard_id("orphan"));
    let status = streams.stream_status(&source.id).await.unwrap().unwrap();
    assert!(!status.watermark.exact && status.watermark.history_complete);
    assert_eq!(status.gaps.len(), 1);
    assert_eq!((&status.gaps[0].shard, status.gaps[0].reason), (&orphan.shard, GapReason::Lineage));
    assert_eq!(worker.take_gaps(), [(source.id, GapReason::Lineage)]);
}

#[tokio::test]
async fn a_trimmed_shard_goes_on_at_its_oldest_record_and_says_so() {
    let (_emulator, streams, source) = world(&shards(&[("a", None)])).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let held = acquire_one(&mut worker, mono).await;
    let step = held.advance(&after(7), 1);
    assert_eq!(streams.advance(&step).await.unwrap(), Verdict::Committed);
    let held = held.after(&step);

    let stepped = streams.record_gap(&held, GapReason::Trimmed, at(50)).await.unwrap();
    assert_eq!((&stepped.position, stepped.lease.epoch), (&after(7), held.lease.epoch + 1), "nothing before it is read again");
    let again = streams.record_gap(&held, GapReason::Trimmed, at(51)).await.unwrap();
    assert_eq!(again, stepped, "an acknowledgement that was lost");
    let late = streams.advance(&held.advance(&after(8), 1)).await.unwrap();
    assert_eq!(late, Verdict::LeaseLost, "what was sent before the gap is refused");
    assert_eq!(streams.advance(&stepped.advance(&after(9), 1)).await.unwrap(), Verdict::Committed);
    assert!(matches!(streams.record_gap(&held, GapReason::Trimmed, at(52)).await, Err(Error::LeaseLost { .. })));

    let status = streams.stream_status(&source.id).await.unwrap().unwrap();
    assert!(!status.watermark.exact);
    assert_eq!(status.gaps.len(), 1);
    assert_eq!((&status.gaps[0].position, status.gaps[0].detected_at), (&after(7), at(50)));
}

#[tokio::test]
async fn the_streams_watermark_is_its_slowest_shards() {
    let (_emulator, streams, source) = world(&shards(&[("a", None), ("b", None)])).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let held = worker.tick(at(0), mono).await.unwrap();
    let published = async || streams.watermark(&source.id).await.unwrap().unwrap();
    assert_eq!((published().await.watermark, published().await.published_at), (None, None));

    worker.report(&held[0], Some(at(40)));
    worker.tick(at(60), mono + TTL).await.unwrap();
    assert_eq!(published().await.watermark, None, "nothing is known of the other shard");
    worker.report(&held[1], Some(at(30)));
    worker.tick(at(61), mono + TTL).await.unwrap();
    assert_eq!((published().await.watermark, published().await.published_at), (Some(at(30)), Some(at(61))));
    worker.report(&held[1], Some(at(50)));
    worker.tick(at(61), mono + TTL + Duration::from_millis(999)).await.unwrap();
    assert_eq!(published().await.watermark, Some(at(30)), "once a second");
    worker.tick(at(62), mono + TTL + Duration::from_secs(1)).await.unwrap();
    assert_eq!(published().await.watermark, Some(at(40)));
    let publish = async |watermark, published_at| {
        let item = WatermarkItem { watermark, published_at, delay: None, learnt: None, skew: SignedDuration::ZERO };
        streams.publish_watermark(&source.id, item).await.unwrap();
        published().await.watermark
    };
    assert_eq!(publish(at(20), at(63)).await, Some(at(40)), "never backwards");
    publish(at(900), at(900)).await;
    assert_eq!(publish(at(50), at(63)).await, Some(at(50)), "what lies in the future was never true");
}

#[tokio::test]
async fn a_publisher_has_a_bound_for_every_shard_from_its_first_look() {
    const UNREAD: &str = "shardId-00000001800000030000-2bac9cd2";
    let listed = shards(&[("a", None), ("b", None), (UNREAD, None)]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut first = worker(&streams, &source, mono).await;
    let published = async || streams.watermark(&source.id).await.unwrap().unwrap().watermark;
    let held = first.tick(at(60), mono).await.unwrap();
    assert_eq!(published().await, None, "of two shards nothing is known");
    for (held, second) in held.iter().filter(|held| held.shard != shard_id(UNREAD)).zip([40, 50]) {
        let step = held.advance(&after(7), 1).with_times(Some(at(second)), None);
        assert_eq!(streams.advance(&step).await.unwrap(), Verdict::Committed);
    }
    // It is gone, and has reported nothing.
    let mut second = worker(&streams, &source, mono).await;
    let mono = mono + Duration::from_secs(60);
    second.tick(at(60), mono).await.unwrap();
    second.tick(at(61), mono + TTL).await.unwrap();
    assert_eq!(published().await, Some(at(30)), "before it began there was nothing in it");
    let unread = second.held.keys().find(|(_, shard)| *shard == shard_id(UNREAD)).cloned();
    second.held.insert(unread.unwrap(), Some(at(55)));
    second.tick(at(62), mono + TTL + Duration::from_secs(1)).await.unwrap();
    assert_eq!(published().await, Some(at(40)));
}

#[tokio::test]
async fn nothing_is_published_that_lies_in_the_future() {
    let (_emulator, streams, source) = world(&shards(&[("a", None)])).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let held = acquire_one(&mut worker, mono).await;
    worker.report(&held, Some(at(900)));
    worker.tick(at(60), mono + TTL).await.unwrap();
    assert_eq!(streams.watermark(&source.id).await.unwrap().unwrap().watermark, Some(at(60)));
}

#[tokio::test]
async fn what_a_worker_has_learnt_of_a_stream_and_of_its_clock_the_others_know() {
    let (_emulator, streams, source) = world(&shards(&[("a", None)])).await;
    let mono = Instant::now();
    let seconds = SignedDuration::from_secs;
    let mut first = worker(&streams, &source, mono).await;
    let held = acquire_one(&mut first, mono).await;
    first.sources[0].delay.shown(seconds(40), at(0));
    first.set_skew(seconds(-900));
    let mut second = worker(&streams, &source, mono).await;
    let soon = mono + TTL / 2;
    first.tick(at(60), soon).await.unwrap();
    second.tick(at(60), soon).await.unwrap();
    assert_eq!(second.delays().collect::<Vec<_>>(), [(&source.id, seconds(50))]);

    for worker in [&mut first, &mut second] {
        worker.report(&held, Some(at(50)));
        worker.tick(at(61), soon + Duration::from_secs(2)).await.unwrap();
    }
    first.release(&held).await.unwrap();
    for mono in [soon + TTL / 2, soon + TTL] {
        first.tick(at(62), mono).await.unwrap();
        second.tick(at(62), mono).await.unwrap();
    }
    let known = streams.watermark(&source.id).await.unwrap().unwrap();
    assert_eq!((known.watermark, known.delay, known.skew), (Some(at(50)), Some(seconds(50)), seconds(-900)));
    let third = worker(&streams, &source, mono).await;
    assert_eq!(third.delays().collect::<Vec<_>>(), [(&source.id, seconds(50))], "as stored");
}

#[tokio::test]
async fn a_finished_shard_without_children_holds_the_watermark_at_its_end() {
    let listed = shards(&[("a", None), ("b", None), ("child", Some("a"))]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let held = worker.tick(at(0), mono).await.unwrap();
    let b = held.iter().find(|held| held.shard == shard_id("b")).unwrap();
    let a = held.iter().find(|held| held.shard == shard_id("a")).unwrap();
    worker.report(a, Some(at(90)));
    let end = b.advance(&Position::ShardEnd, 0).with_times(None, Some(at(40)));
    assert_eq!(streams.advance(&end).await.unwrap(), Verdict::Committed);
    worker.finished(b);
    worker.tick(at(91), mono + TTL).await.unwrap();
    assert_eq!(streams.watermark(&source.id).await.unwrap().unwrap().watermark, Some(at(40)));
    listed.lock().unwrap().push(("grandchild", Some("b")));
    let child = acquire_one(&mut worker, mono + Duration::from_secs(60)).await;
    assert_eq!(child.shard, shard_id("grandchild"), "the listing has linked it");
    worker.report(&child, Some(at(70)));
    worker.tick(at(92), mono + Duration::from_secs(61)).await.unwrap();
    assert_eq!(streams.watermark(&source.id).await.unwrap().unwrap().watermark, Some(at(70)));
}

#[tokio::test]
async fn a_shard_that_looks_open_though_it_has_children_holds_the_watermark_at_their_birth() {
    let listed = shards(&[("a", None)]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let parent = acquire_one(&mut worker, mono).await;
    listed.lock().unwrap().push(("shardId-00000001800000000030-2bac9cd2", Some("a")));
    assert!(run(&mut worker, mono, 1..=31).await.is_empty(), "it has been found, and waits");
    worker.report(&parent, Some(at(90)));
    worker.tick(at(92), mono + Duration::from_secs(32)).await.unwrap();
    let published = async || streams.watermark(&source.id).await.unwrap().unwrap().watermark;
    assert_eq!(published().await, Some(at(0) + jiff::SignedDuration::from_millis(30)), "what came later is in the child");

    assert_eq!(end(&mut worker, &streams, &parent).await, 1);
    let child = acquire_one(&mut worker, mono + Duration::from_secs(33)).await;
    worker.report(&child, Some(at(80)));
    worker.tick(at(93), mono + Duration::from_secs(34)).await.unwrap();
    assert_eq!(published().await, Some(at(80)));
}

#[tokio::test]
async fn the_worker_that_lists_counts_the_shards_by_state() {
    let listed = shards(&[("a", None), ("b", None), ("child", Some("a"))]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut first = worker(&streams, &source, mono).await;
    let held = first.tick(at(0), mono).await.unwrap();
    let counts = |worker: &Worker, mono| worker.shard_counts(mono).into_iter().map(|(_, counts)| counts).collect::<Vec<_>>();
    assert_eq!(counts(&first, mono), [ShardCounts { held: 2, waiting: 1, ..ShardCounts::default() }]);
    let b = held.iter().find(|held| held.shard == shard_id("b")).unwrap();
    assert_eq!(streams.advance(&b.advance(&Position::ShardEnd, 0)).await.unwrap(), Verdict::Committed);
    first.finished(b);
    first.tick(at(1), mono).await.unwrap();
    assert_eq!(counts(&first, mono), [ShardCounts { held: 1, waiting: 1, done: 1, ..ShardCounts::default() }]);

    let mut second = worker(&streams, &source, mono).await;
    second.tick(at(1), mono).await.unwrap();
    first.tick(at(1), mono + TTL / 5).await.unwrap();
    let told = [counts(&first, mono + TTL / 5), counts(&second, mono + TTL / 5)];
    assert_eq!(told.iter().filter(|counts| counts.is_empty()).count(), 1, "one of them speaks: {told:?}");
    let speaker = if told[0].is_empty() { &mut second } else { &mut first };
    speaker.drain(at(2), mono).await.unwrap();
    assert_eq!(counts(speaker, mono), [], "one that leaves does not");
    let status = streams.stream_status(&source.id).await.unwrap().unwrap();
    assert_eq!((status.counts, status.owners()), (ShardCounts { held: 1, waiting: 1, done: 1, ..ShardCounts::default() }, 1));
}

#[tokio::test]
async fn work_beside_the_streams_is_shared_by_workers_that_are_well() {
    const COUNT: u16 = 8;
    let emulator = Emulator::start().await;
    let source = emulator.orders().await;
    let mono = Instant::now();
    let mut first = worker(&emulator.streams, &source, mono).await;
    assert_eq!(first.share(COUNT, mono).len(), usize::from(COUNT), "it knows of no other");
    let mut second = worker(&emulator.streams, &source, mono).await;
    second.tick(at(0), mono).await.unwrap();
    first.tick(at(0), mono + TTL / 5).await.unwrap();
    let mut shares = [first.share(COUNT, mono + TTL / 5), second.share(COUNT, mono)].concat();
    shares.sort_unstable();
    assert_eq!(shares, (0..COUNT).collect::<Vec<_>>());
    second.drain(at(1), mono).await.unwrap();
    assert!(second.share(COUNT, mono).is_empty(), "one that leaves has none");
    let paused = mono + TTL * 2;
    assert!(first.is_paused(paused) && first.share(COUNT, paused).is_empty(), "one that is paused has none");
}

#[tokio::test]
async fn one_stream_that_cannot_be_listed_does_not_keep_others_from_being_read() {
    let emulator = Emulator::start().await;
    let streams = emulator.with_stream(&FakeStream::new(|_, body| match body["StreamArn"].as_str() {
        Some(arn) if arn.contains("Broken") => refusal("ResourceNotFoundException"),
        _ => (200, serde_json::json!({"StreamDescription": {"Shards": [{"ShardId": "a"}]}})),
    }));
    let good = FakeStream::source();
    let arn = StreamArn::new(&good.arn.as_str().replace("Orders", "Broken")).unwrap();
    let broken = SourceStream { table: "Broken".to_owned(), id: arn.id(), arn, ..good.clone() };
    let config = WorkerConfig { name: "w".to_owned(), lease_ttl: TTL, start: Start::TrimHorizon };
    let mono = Instant::now();
    let mut worker = Worker::start(streams, config, vec![broken, good], at(0), mono).await.unwrap();
    assert!(worker.tick(at(0), mono).await.is_err());
    assert_eq!(names(&worker.tick(at(0), mono).await.unwrap()), ["a"], "acquired by the tick that failed");
}

#[tokio::test]
async fn an_orders_watermark_follows_its_reader() {
    let emulator = Emulator::start().await;
    let source = emulator.orders().await;
    let mono = Instant::now();
    let mut worker = worker(&emulator.streams, &source, mono).await;
    let held = acquire_one(&mut worker, mono).await;
    emulator.put_order("a", 1).await;
    let mut reader = crate::ShardReader::new(emulator.streams.clone(), source.arn.clone(), &held);
    let page = reader.next(|| at(0)).await.unwrap();
    let last = page.records.last().unwrap();
    let step = held.advance(&Position::After(last.sequence_number.clone()), 1);
    assert_eq!(emulator.streams.advance(&step).await.unwrap(), Verdict::Committed);
    let mut watermark = worker.shard_watermark(&held);
    watermark.committed(last.created_at);
    worker.report(&held, watermark.value());
    worker.tick(at(1), mono).await.unwrap();
    let known = emulator.streams.streams_of("Orders").await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(emulator.streams.watermark(&known[0].id).await.unwrap().unwrap().watermark, Some(last.created_at));
    let status = emulator.streams.stream_status(&known[0].id).await.unwrap().unwrap();
    assert_eq!(status.shards[0].owner.as_ref(), Some(worker.id()));
    assert_eq!(status.shards[0].position, *step.to());
    assert!(emulator.streams.streams_of("Stock").await.unwrap().is_empty());
}
