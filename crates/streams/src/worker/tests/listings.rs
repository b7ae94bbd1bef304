//! What a listing says and what it does not, however large it is and however often it is refused.

use serde_json::{Value, json};

use super::*;
use crate::control::shard::ShardItem;
use crate::id::StreamId;

/// How often the application ticks.
const STEP: Duration = Duration::from_millis(500);
/// Most shards of one page.
const PAGE: usize = 100;

/// Why pages are refused just now, all but the first.
type Refused = Arc<Mutex<Option<&'static str>>>;

/// A stream of `count` shards, the last of them a child of the first, whose pages can be refused.
fn paged(count: usize, refused: &Refused) -> FakeStream {
    let refused = refused.clone();
    FakeStream::new(move |_, body| {
        let after = body["ExclusiveStartShardId"].as_str();
        if let Some(code) = refused.lock().unwrap().filter(|_| after.is_some()) {
            return refusal(code);
        }
        let first = after.map_or(0, |after| after[1..].parse::<usize>().unwrap() + 1);
        let last = count.min(first + PAGE) - 1;
        let shard = |n: usize| json!({"ShardId": numbered(n), "ParentShardId": (n + 1 == count).then(|| numbered(0))});
        let shards: Vec<Value> = (first..=last).map(shard).collect();
        let next = (last + 1 < count).then(|| numbered(last));
        (200, json!({"StreamDescription": {"Shards": shards, "LastEvaluatedShardId": next}}))
    })
}

fn numbered(number: usize) -> String {
    format!("s{number:04}")
}

/// Behind which shards the pages began that were asked for since the last time this was asked.
fn asked(stream: &FakeStream, seen: &mut usize) -> Vec<String> {
    let calls = stream.calls().split_off(*seen);
    *seen += calls.len();
    calls.iter().map(|(_, body)| body["ExclusiveStartShardId"].as_str().unwrap_or("first").to_owned()).collect()
}

/// Ticks for so many seconds, from `second` on. Refusals are expected.
async fn tick_on(worker: &mut Worker, from: Instant, second: &mut f64, seconds: f64) {
    let end = *second + seconds;
    while *second < end {
        *second += STEP.as_secs_f64();
        match worker.tick(at(100), from + Duration::from_secs_f64(*second)).await {
            Ok(_) | Err(Error::Throttled { .. } | Error::Denied { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// A fresh control table, and a table with this stream.
async fn world_of(stream: &FakeStream) -> (Emulator, Streams, SourceStream) {
    let emulator = Emulator::start().await;
    let source = SourceStream { table_created_at: None, stream_created_at: None, ..emulator.orders().await };
    let streams = emulator.with_stream(stream);
    (emulator, streams, source)
}

async fn stored(streams: &Streams, stream: &StreamId, shard: &str) -> ShardItem {
    streams.shard(stream, &shard_id(shard)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_tables_new_stream_that_lists_nothing_at_first_begins_with_a_gap_all_the_same() {
    let (old, new) = (shards(&[("a", None)]), shards(&[]));
    let emulator = Emulator::start().await;
    let source = SourceStream { table_created_at: None, stream_created_at: None, ..emulator.orders().await };
    let (first, of_old, of_new) = (source.arn.to_string(), old.clone(), new.clone());
    let streams = emulator.with_stream(&FakeStream::new(move |_, body| {
        let listed = if body["StreamArn"] == *first { &of_old } else { &of_new };
        let shards: Vec<Value> = listed.lock().unwrap().iter().map(|(shard, _)| json!({"ShardId": shard})).collect();
        (200, json!({"StreamDescription": {"Shards": shards, "StreamStatus": "ENABLING"}}))
    }));
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let held = acquire_one(&mut worker, mono).await;
    emulator.renew_stream("Orders").await;
    let id = streams.current_stream("Orders").await.unwrap().id();
    assert_eq!(streams.advance(&held.advance(&Position::ShardEnd, 0)).await.unwrap(), Verdict::Committed);
    worker.finished(&held);
    assert!(run(&mut worker, mono, 1..=130).await.is_empty(), "nothing is listed yet");
    new.lock().unwrap().extend([("b", None), ("c", None)]);
    assert_eq!(names(&run(&mut worker, mono, 131..=170).await), ["b", "c"]);
    let status = streams.stream_status(&id).await.unwrap().unwrap();
    let gaps: Vec<_> = status.gaps.iter().map(|gap| (gap.shard.as_str(), gap.reason)).collect();
    assert_eq!((status.watermark.exact, gaps), (false, vec![("b", GapReason::Replaced), ("c", GapReason::Replaced)]));
    assert_eq!(worker.take_gaps(), [(id.clone(), GapReason::Replaced), (id, GapReason::Replaced)]);
}

#[tokio::test]
async fn a_child_that_may_be_older_than_the_start_begins_there_whoever_stores_it() {
    let (before, after_start) = ("shardId-00000001800000099999-2bac9cd2", "shardId-00000001800000100000-2bac9cd2");
    let listed = shards(&[("root", None), ("other", None)]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let config = WorkerConfig { name: "w".to_owned(), lease_ttl: TTL, start: Start::Now };
    let mut worker = Worker::start(streams.clone(), config, vec![source.clone()], at(100), mono).await.unwrap();
    let held = worker.tick(at(100), mono).await.unwrap();
    let start = Position::At(at(100).as_millisecond());
    assert!(held.iter().all(|held| held.position == start), "{held:?}");
    let [other, root] = &held[..] else { panic!("two shards") };

    // At the end of a shard that was read to its end before the listing knew its children.
    listed.lock().unwrap().extend([("child", Some("root")), (before, Some("root")), (after_start, Some("root"))]);
    assert_eq!(end(&mut worker, &streams, root).await, 3);
    for (child, position) in [("child", &start), (before, &start), (after_start, &Position::TrimHorizon)] {
        assert_eq!(stored(&streams, &source.id, child).await.fence.position, *position, "{child}");
    }
    // By a listing that is not the first.
    let younger = "shardId-00000001800000100001-2bac9cd2";
    listed.lock().unwrap().extend([("late", Some("other")), ("later", Some("late")), (younger, Some("other"))]);
    run(&mut worker, mono, 1..=31).await;
    for (child, position) in [("late", &start), ("later", &start), (younger, &Position::TrimHorizon)] {
        assert_eq!(stored(&streams, &source.id, child).await.fence.position, *position, "{child}");
    }
    // What was counted of a shard came after the start, and so did its children.
    let step = other.advance(&after(7), 1);
    assert_eq!(streams.advance(&step).await.unwrap(), Verdict::Committed);
    listed.lock().unwrap().push(("last", Some("other")));
    assert_eq!(end(&mut worker, &streams, &other.after(&step)).await, 3);
    assert_eq!(stored(&streams, &source.id, "last").await.fence.position, Position::TrimHorizon);
}

#[tokio::test]
async fn a_page_that_is_refused_is_asked_for_again_and_those_before_it_are_not() {
    let refused = Refused::default();
    let stream = paged(3 * PAGE, &refused);
    let (_emulator, streams, source) = world_of(&stream).await;
    let (mono, mut second, mut seen) = (Instant::now(), 0.0, 0);
    let mut worker = worker(&streams, &source, mono).await;
    *refused.lock().unwrap() = Some("LimitExceededException");
    tick_on(&mut worker, mono, &mut second, 4.0).await;
    *refused.lock().unwrap() = None;
    tick_on(&mut worker, mono, &mut second, 20.0).await;
    assert_eq!(asked(&stream, &mut seen), ["first", "s0099", "s0099", "s0099", "s0199"]);
    assert_eq!(streams.shards(&source.id).await.unwrap().len(), 3 * PAGE);

    // A refusal that is no one's fault but ours starts over, and so does one that lasts.
    *refused.lock().unwrap() = Some("AccessDeniedException");
    tick_on(&mut worker, mono, &mut second, 20.0).await;
    assert!(asked(&stream, &mut seen).starts_with(&["first", "s0099", "first", "s0099"].map(str::to_owned)));
    *refused.lock().unwrap() = Some("LimitExceededException");
    tick_on(&mut worker, mono, &mut second, 600.0).await;
    let restarts = asked(&stream, &mut seen).iter().filter(|page| *page == "first").count();
    assert!((1..=3).contains(&restarts), "{restarts}");
}

#[tokio::test]
async fn a_reader_that_lists_for_one_that_does_not_reads_every_page() {
    let stream = paged(2 * PAGE, &Refused::default());
    let (emulator, streams, source) = world_of(&stream).await;
    let denied = emulator.with_stream(&FakeStream::new(|_, _| refusal("AccessDeniedException")));
    let mono = Instant::now();
    let join = async |streams: &Streams, name: &str| {
        let config = WorkerConfig { name: name.to_owned(), lease_ttl: TTL, start: Start::TrimHorizon };
        Worker::start(streams.clone(), config, vec![source.clone()], at(0), mono).await.unwrap()
    };
    let (mut first, mut second) = (join(&denied, "a").await, join(&streams, "b").await);
    let (mut of_first, mut of_second) = (0.0, 0.0);
    while of_first < 170.0 {
        tick_on(&mut first, mono, &mut of_first, 0.5).await;
        tick_on(&mut second, mono, &mut of_second, 0.5).await;
    }
    assert!(streams.shards(&source.id).await.unwrap().is_empty(), "it may be about to");
    // As often as a process ticks, which is more often than pages are due.
    for tenth in 1..=200 {
        let mono = mono + Duration::from_secs(170) + Duration::from_millis(100) * tenth;
        assert!(matches!(first.tick(at(0), mono).await, Ok(_) | Err(Error::Denied { .. })));
        second.tick(at(0), mono).await.unwrap();
    }
    assert_eq!(streams.shards(&source.id).await.unwrap().len(), 2 * PAGE);
}

#[tokio::test]
async fn a_child_that_nobody_linked_is_linked_by_the_next_listing() {
    let listed = shards(&[("a", None)]);
    let (_emulator, streams, source) = world(&listed).await;
    let mono = Instant::now();
    let mut worker = worker(&streams, &source, mono).await;
    let held = acquire_one(&mut worker, mono).await;
    // Whoever stored the child was killed before it could link it.
    let child = ShardItem::unread(shard_id("child"), Some(held.shard.clone()), Position::TrimHorizon);
    assert!(streams.put_new(child.into_item(&source.id)).await.unwrap());
    listed.lock().unwrap().push(("child", Some("a")));
    assert_eq!(streams.advance(&held.advance(&Position::ShardEnd, 0)).await.unwrap(), Verdict::Committed);
    worker.report(&held, Some(at(40)));
    worker.finished(&held);
    let child = run(&mut worker, mono, 1..=2).await.remove(0);
    worker.report(&child, Some(at(90)));
    run(&mut worker, mono, 3..=35).await;
    assert_eq!(stored(&streams, &source.id, "a").await.children, [shard_id("child")]);
    let published = streams.watermark(&source.id).await.unwrap().unwrap().watermark;
    assert_eq!(published, Some(at(90)), "nothing holds it any more");
}

#[tokio::test]
async fn a_listing_of_many_shards_is_stored_some_at_a_time() {
    const SHARDS: usize = 3 * PAGE + 50;
    let stream = paged(SHARDS, &Refused::default());
    let (_emulator, streams, source) = world_of(&stream).await;
    let (mono, mut second) = (Instant::now(), 0.0);
    let mut worker = worker(&streams, &source, mono).await;
    let mut counts = vec![0];
    while *counts.last().unwrap() < SHARDS && second < 30.0 {
        let item = streams.stored_stream(&source.id).await.unwrap().unwrap();
        assert!(!item.boot_done && item.listed_at.is_none(), "before all of it is stored");
        let parent = streams.shard(&source.id, &shard_id("s0000")).await.unwrap();
        assert!(parent.is_none_or(|parent| parent.children.is_empty()), "before all of its children are stored");
        tick_on(&mut worker, mono, &mut second, 0.5).await;
        counts.push(streams.shards(&source.id).await.unwrap().len());
    }
    assert_eq!(*counts.last().unwrap(), SHARDS);
    assert!(counts.windows(2).all(|pair| pair[1] - pair[0] <= 100), "{counts:?}");
    tick_on(&mut worker, mono, &mut second, 1.0).await;
    let item = streams.stored_stream(&source.id).await.unwrap().unwrap();
    assert!(item.boot_done && item.listed_at.is_some());
    let parent = stored(&streams, &source.id, "s0000").await;
    assert_eq!(parent.children, [shard_id(&numbered(SHARDS - 1))]);
    tick_on(&mut worker, mono, &mut second, 10.0).await;
    assert_eq!(worker.shard_counts(mono)[0].1.held, SHARDS - 1, "all but the child");
}

#[tokio::test]
async fn nothing_is_published_of_a_stream_before_its_first_listing_is_stored() {
    let listed: Refused = Arc::new(Mutex::new(Some("LimitExceededException")));
    let refused = listed.clone();
    let stream = FakeStream::new(move |_, _| match *refused.lock().unwrap() {
        Some(code) => refusal(code),
        None => (200, json!({"StreamDescription": {"Shards": [{"ShardId": "a"}, {"ShardId": "b"}]}})),
    });
    let (_emulator, streams, source) = world_of(&stream).await;
    // Whoever listed the stream was killed while it stored what it had found.
    let first = ShardItem::unread(shard_id("a"), None, Position::TrimHorizon);
    assert!(streams.put_new(first.into_item(&source.id)).await.unwrap());
    let (mono, mut second) = (Instant::now(), 0.0);
    let mut worker = worker(&streams, &source, mono).await;
    tick_on(&mut worker, mono, &mut second, 1.0).await;
    let published = async || streams.watermark(&source.id).await.unwrap().unwrap().watermark;
    let reports = |worker: &mut Worker, watermark| {
        let held: Vec<ShardKey> = worker.held.keys().cloned().collect();
        held.iter().for_each(|shard| *worker.held.get_mut(shard).unwrap() = Some(watermark));
        held.len()
    };
    assert_eq!(reports(&mut worker, at(50)), 1);
    tick_on(&mut worker, mono, &mut second, 5.0).await;
    assert_eq!(published().await, None, "what the other shard holds is not known to be included");
    *listed.lock().unwrap() = None;
    tick_on(&mut worker, mono, &mut second, 5.0).await;
    assert_eq!((reports(&mut worker, at(60)), published().await), (2, None));
    tick_on(&mut worker, mono, &mut second, 2.0).await;
    assert_eq!(published().await, Some(at(60)));
}
