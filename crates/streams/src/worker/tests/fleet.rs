//! Several workers on one stream of many shards, in a time the test moves: who lists, who reads what, and what moves when
//! workers come and go.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::*;
use crate::control::attribute::number_value;
use crate::control::key::Key;
use crate::control::worker::WorkerStatus;
use crate::testing::Emulator;

/// How often the applications tick.
const STEP: Duration = Duration::from_millis(500);

/// A worker and the shards its application reads.
struct Member {
    worker: Worker,
    reading: BTreeMap<ShardKey, HeldShard>,
}

/// Workers that tick in turn, each as a process of its own would.
struct Fleet {
    emulator: Emulator,
    stream: FakeStream,
    streams: Streams,
    source: SourceStream,
    members: Vec<Member>,
    mono: Instant,
    second: f64,
    /// How often each shard was acquired.
    moves: BTreeMap<ShardId, usize>,
}

/// A stream that lists `count` shards, a hundred a page.
fn pages(count: usize) -> FakeStream {
    FakeStream::new(move |_, body| {
        let first = body["ExclusiveStartShardId"].as_str().map_or(0, |after| after[1..].parse::<usize>().unwrap() + 1);
        let page: Vec<usize> = (first..count).take(100).collect();
        let next = page.last().filter(|last| **last + 1 < count).map(|last| format!("s{last:04}"));
        let shards: Vec<Value> = page.iter().map(|n| json!({"ShardId": format!("s{n:04}")})).collect();
        (200, json!({"StreamDescription": {"Shards": shards, "LastEvaluatedShardId": next}}))
    })
}

impl Fleet {
    async fn new(shards: usize) -> Self {
        let (emulator, stream) = (Emulator::start().await, pages(shards));
        let source = SourceStream { table_created_at: None, stream_created_at: None, ..emulator.orders().await };
        let streams = emulator.with_stream(&stream);
        let (mono, moves) = (Instant::now(), BTreeMap::new());
        Self { emulator, stream, streams, source, members: Vec::new(), mono, second: 0.0, moves }
    }

    async fn join(&mut self, count: usize) {
        for _ in 0..count {
            let worker = worker(&self.streams, &self.source, self.mono).await;
            self.members.push(Member { worker, reading: BTreeMap::new() });
        }
    }

    /// Lets `seconds` pass. Applications start what they are given and hand over what they are asked to.
    async fn run(&mut self, seconds: f64) {
        let end = self.second + seconds;
        while self.second < end {
            self.mono += STEP;
            self.second += STEP.as_secs_f64();
            for member in &mut self.members {
                for held in member.worker.tick(at(100), self.mono).await.unwrap() {
                    *self.moves.entry(held.shard.clone()).or_default() += 1;
                    member.reading.insert(key(&held), held);
                }
                let surplus: Vec<ShardKey> =
                    member.worker.surplus().map(|(stream, shard)| (stream.clone(), shard.clone())).collect();
                for shard in surplus {
                    let held = member.reading.remove(&shard).expect("what is surplus is being read");
                    member.worker.release(&held).await.unwrap();
                }
            }
        }
    }

    fn counts(&self) -> Vec<usize> {
        self.members.iter().map(|member| member.reading.len()).collect()
    }

    fn read_by_someone(&self) -> usize {
        self.members.iter().flat_map(|member| member.reading.keys()).collect::<BTreeSet<_>>().len()
    }

    /// The worker leaves as on SIGTERM.
    async fn leave(&mut self, index: usize) {
        let Member { mut worker, reading } = self.members.remove(index);
        worker.drain(at(0), self.mono).await.unwrap();
        for held in reading.values() {
            worker.release(held).await.unwrap();
        }
        worker.leave().await.unwrap();
    }
}

#[tokio::test]
async fn one_worker_becomes_three_and_one_again_and_each_shard_that_must_move_moves_once() {
    let mut fleet = Fleet::new(12).await;
    fleet.join(1).await;
    fleet.run(1.0).await;
    assert_eq!(fleet.counts(), [12]);
    fleet.join(2).await;
    fleet.run(TTL.as_secs_f64() + 5.0).await;
    assert_eq!((fleet.counts(), fleet.read_by_someone()), (vec![4, 4, 4], 12));
    let moves: usize = fleet.moves.values().sum();
    assert_eq!((moves, fleet.moves.values().max()), (12 + 8, Some(&2)), "{:?}", fleet.moves);
    fleet.leave(2).await;
    fleet.leave(0).await;
    fleet.run(TTL.as_secs_f64() + 5.0).await;
    assert_eq!(fleet.counts(), [12]);
    assert_eq!(fleet.moves.values().sum::<usize>(), moves + 8, "{:?}", fleet.moves);
}

#[tokio::test]
async fn the_shards_of_a_killed_worker_are_shared_by_the_others_after_the_ttl() {
    let mut fleet = Fleet::new(9).await;
    fleet.join(3).await;
    fleet.run(TTL.as_secs_f64()).await;
    assert_eq!(fleet.counts(), [3, 3, 3]);
    fleet.members.remove(1);
    fleet.run(TTL.as_secs_f64() - 4.0).await;
    assert_eq!(fleet.read_by_someone(), 6, "it may live");
    fleet.run(4.0 + 5.0).await;
    let counts = fleet.counts();
    assert_eq!((counts.iter().sum::<usize>(), counts.iter().max()), (9, Some(&5)), "{counts:?}");
}

#[tokio::test]
async fn a_shard_that_is_not_released_is_taken_after_two_ttls() {
    let mut fleet = Fleet::new(2).await;
    fleet.join(1).await;
    fleet.run(1.0).await;
    fleet.join(1).await;
    let start = fleet.mono;
    let mut taken = Vec::new();
    // The first worker lives and beats, but its application is deaf.
    while taken.is_empty() && fleet.mono < start + TTL * 3 {
        fleet.mono += STEP;
        assert!(fleet.members[0].worker.tick(at(0), fleet.mono).await.unwrap().is_empty());
        taken = fleet.members[1].worker.tick(at(0), fleet.mono).await.unwrap();
    }
    assert_eq!(taken.len(), 1);
    assert!(fleet.mono >= start + TTL * 2 && fleet.mono <= start + TTL * 2 + TTL / 2);
    let deaf = &fleet.members[0].reading[&key(&taken[0])];
    let late = fleet.streams.advance(&deaf.advance(&after(1), 0)).await.unwrap();
    assert_eq!(late, Verdict::LeaseLost, "the epoch fences");
}

#[tokio::test]
async fn five_workers_on_two_hundred_shards_list_three_pages_a_second_at_most_and_write_little_when_idle() {
    let mut fleet = Fleet::new(201).await;
    fleet.join(5).await;
    let describes = |fleet: &Fleet| fleet.stream.calls().len();
    let mut listed = describes(&fleet);
    for _ in 0..40 {
        fleet.run(1.0).await;
        let now = describes(&fleet);
        assert!(now - listed <= 3, "{} calls in a second", now - listed);
        listed = now;
    }
    assert_eq!((fleet.read_by_someone(), fleet.counts().iter().sum::<usize>()), (201, 201), "{:?}", fleet.counts());
    assert!(fleet.counts().iter().all(|count| (40..=41).contains(count)), "{:?}", fleet.counts());

    // Idle by now: only beats are written, and only workers are read.
    let beats = async |fleet: &Fleet| fleet.streams.workers().await.unwrap().iter().map(|worker| worker.beat).sum::<u64>();
    let (before, described) = (beats(&fleet).await, describes(&fleet));
    fleet.run(60.0).await;
    assert!(beats(&fleet).await - before <= 5 * 21 + 5, "a beat each fifth of the TTL, and one for the listings");
    assert!((3..=6).contains(&(describes(&fleet) - described)), "one worker lists, every 30 to 60 seconds");
}

#[tokio::test]
async fn the_worker_that_publishes_is_told_how_far_the_others_are() {
    let mut fleet = Fleet::new(4).await;
    fleet.join(2).await;
    fleet.run(5.0).await;
    assert_eq!(fleet.counts(), [2, 2]);
    let streams = fleet.streams.clone();
    let stream = fleet.source.id.clone();
    let published = async || streams.watermark(&stream).await.unwrap().unwrap().watermark;
    let report = |fleet: &mut Fleet, second| {
        for Member { worker, reading } in &mut fleet.members {
            reading.values().for_each(|held| worker.report(held, Some(at(second))));
        }
    };
    report(&mut fleet, 40);
    fleet.run(5.0).await;
    assert_eq!(published().await, Some(at(40)));
    // One that publishes asks, and tells nobody.
    let told = try_join_all(fleet.members.iter().map(|member| streams.seen_by(member.worker.id()))).await.unwrap();
    assert_eq!(told.iter().map(BTreeMap::len).sum::<usize>(), 2, "{told:?}");
    report(&mut fleet, 60);
    fleet.run(5.0).await;
    assert_eq!(published().await, Some(at(60)));
}

#[tokio::test]
async fn a_worker_of_an_older_version_tells_it_in_its_own_item() {
    let mut fleet = Fleet::new(4).await;
    fleet.join(2).await;
    fleet.run(5.0).await;
    let mono = fleet.mono;
    let (publisher, older): (Vec<_>, Vec<_>) =
        fleet.members.iter_mut().partition(|member| member.worker.is_first(&fleet.source.id, mono));
    for Member { worker, reading } in publisher {
        reading.values().for_each(|held| worker.report(held, Some(at(40))));
    }
    let shards =
        older[0].reading.keys().map(|(stream, shard)| (format!("{stream}/{shard}"), number_value(at(30).as_millisecond())));
    let request = fleet.streams.dynamodb.update_item().table_name(&*fleet.streams.control_table);
    let request = request.set_key(Some(Key::worker(older[0].worker.id()).into_item())).update_expression("SET seen = :seen");
    request.expression_attribute_values(":seen", AttributeValue::M(shards.collect())).send().await.unwrap();
    fleet.run(5.0).await;
    assert_eq!(fleet.streams.watermark(&fleet.source.id).await.unwrap().unwrap().watermark, Some(at(30)));
}

#[tokio::test]
async fn a_worker_that_does_not_read_a_stream_is_given_none_of_it() {
    let mut fleet = Fleet::new(4).await;
    fleet.join(2).await;
    fleet.run(5.0).await;
    // A worker of an older version, which knows another source only.
    fleet.emulator.streams.create_source_table("Stock", "id", None).await.unwrap();
    let stock = fleet.emulator.streams.describe_source("Stock").await.unwrap();
    let mut older = worker(&fleet.emulator.streams, &stock, fleet.mono).await;
    assert_eq!(older.tick(at(0), fleet.mono).await.unwrap().len(), 1, "its own");
    fleet.run(TTL.as_secs_f64() / 2.0).await;
    assert_eq!(fleet.counts(), [2, 2]);
    let status: Vec<WorkerStatus> = fleet.streams.workers().await.unwrap().iter().map(|worker| worker.status).collect();
    assert_eq!(status, [WorkerStatus::Active; 3]);
}

#[tokio::test]
async fn an_idle_fleet_reads_the_workers_and_not_the_shards() {
    let mut fleet = Fleet::new(3).await;
    fleet.join(1).await;
    fleet.run(4.0).await;
    let stream = fleet.source.id.clone();
    let shard = fleet.streams.shards(&stream).await.unwrap().remove(0);
    // Behind the workers' backs, so that only a read of the shards could tell.
    fleet.streams.link(&stream, &shard.shard, &[shard_id("child")]).await.unwrap();
    let knows = |fleet: &Fleet| !fleet.members[0].worker.sources[0].graph.shard(&shard.shard).unwrap().children.is_empty();
    fleet.run(20.0).await;
    assert!(!knows(&fleet));
    fleet.run(15.0).await;
    assert!(knows(&fleet), "now and then they are read all the same");
}

#[tokio::test]
async fn who_starts_after_a_dead_worker_was_noticed_waits_for_nobody() {
    let mut fleet = Fleet::new(4).await;
    fleet.join(1).await;
    fleet.run(2.0).await;
    // Killed: it neither released its shards nor deleted its item.
    fleet.members.clear();
    fleet.join(1).await;
    fleet.run(TTL.as_secs_f64() + 2.0).await;
    assert_eq!(fleet.counts(), [4], "the dead worker's shards are taken after the TTL");
    assert_eq!(fleet.streams.workers().await.unwrap().len(), 1, "the dead worker is forgotten");
    fleet.leave(0).await;
    fleet.join(1).await;
    fleet.run(2.0).await;
    assert_eq!(fleet.counts(), [4], "the next one is not kept waiting by one that died long ago");
}

#[tokio::test]
async fn a_worker_that_beats_again_is_not_forgotten() {
    let mut fleet = Fleet::new(4).await;
    fleet.join(2).await;
    fleet.run(5.0).await;
    let seen = fleet.streams.workers().await.unwrap();
    fleet.run(TTL.as_secs_f64()).await;
    for stale in &seen {
        assert!(!fleet.streams.forget_dead(stale).await.unwrap());
    }
    assert_eq!(fleet.streams.workers().await.unwrap().len(), 2, "each has beaten since it was seen");
}
