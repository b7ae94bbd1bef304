//! The seen items: how far the shards that one worker reads are included, for the worker that publishes the watermarks of their
//! streams. They are apart from the worker's own item, which everybody reads several times a second.
//!
//! What is told stays true: a shard that was included up to some time is so for good. An item that is behind only says less.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use super::attribute::{Item, Malformed, number_value, parsed};
use super::key::{self, Key};
use crate::assignment::ShardKey;
use crate::client::Streams;
use crate::error::Error;
use crate::id::{ShardId, StreamId, WorkerId};

/// Most shards of one item; there are as many items as are needed. The longest ids (300 bytes) make it 310 KB, of the 400 KB that an
/// item may have.
const SHARDS_MAX: usize = 1000;
/// How long the items of a worker stay that has left. Nobody reads them.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

pub(crate) const SHARDS: &str = "shards";

/// How far shards are included.
pub(crate) type Seen = BTreeMap<ShardKey, Timestamp>;

fn into_item(worker: &WorkerId, stream: &StreamId, part: usize, shards: &[(&ShardId, Timestamp)], now: Timestamp) -> Item {
    let watermark = |(shard, at): &(&ShardId, Timestamp)| (shard.to_string(), number_value(at.as_millisecond()));
    let mut item = Key::seen(worker, stream, part).into_item();
    item.insert(SHARDS.to_owned(), AttributeValue::M(shards.iter().map(watermark).collect()));
    item.insert(key::EXPIRES_AT.to_owned(), number_value((now + KEPT).as_second()));
    item
}

fn of_item(item: &Item) -> Result<Seen, Malformed> {
    let malformed = || Malformed::new(item, SHARDS);
    let sort: String = parsed(item, key::SORT)?;
    let stream: StreamId = sort.split('#').next().and_then(|stream| stream.parse().ok()).ok_or_else(malformed)?;
    let shards = item.get(SHARDS).and_then(|value| value.as_m().ok()).ok_or_else(malformed)?;
    let entry = |(shard, at): (&String, &AttributeValue)| Some(((stream.clone(), shard.parse().ok()?), instant(at)?));
    shards.iter().map(|shard| entry(shard).ok_or_else(malformed)).collect()
}

/// A watermark as it stands in a map.
pub(crate) fn instant(value: &AttributeValue) -> Option<Timestamp> {
    Timestamp::from_millisecond(value.as_n().ok()?.parse().ok()?).ok()
}

impl Streams {
    /// Tells what a worker has seen.
    pub(crate) async fn tell_seen(&self, worker: &WorkerId, seen: &Seen, now: Timestamp) -> Result<(), Error> {
        let mut by_stream: BTreeMap<&StreamId, Vec<(&ShardId, Timestamp)>> = BTreeMap::new();
        for ((stream, shard), at) in seen {
            by_stream.entry(stream).or_default().push((shard, *at));
        }
        for (stream, shards) in by_stream {
            for (part, shards) in shards.chunks(SHARDS_MAX).enumerate() {
                let item = into_item(worker, stream, part, shards, now);
                let request = self.dynamodb.put_item().table_name(&*self.control_table).set_item(Some(item));
                request.send().await.map_err(|error| self.failed("PutItem", error))?;
            }
        }
        Ok(())
    }

    /// What a worker has told.
    pub(crate) async fn seen_by(&self, worker: &WorkerId) -> Result<Seen, Error> {
        let mut seen = Seen::new();
        for item in self.query(key::seen_partition(worker)).await? {
            // A part that is written no more, because there are fewer shards, may name some of another part's.
            merge(&mut seen, of_item(&item)?);
        }
        Ok(seen)
    }
}

/// Adds what is known from elsewhere: the later of two times is true as well.
pub(crate) fn merge(seen: &mut Seen, other: Seen) {
    for (shard, at) in other {
        let known = seen.entry(shard).or_insert(at);
        *known = at.max(*known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Emulator, at};

    /// Shards with ids of the longest kind.
    fn shards(table: &str, count: usize, seen_at: Timestamp) -> Seen {
        let stream = StreamId::new(&format!("{table}/2026-01-02T03:04:05.678")).unwrap();
        (0..count).map(|n| ((stream.clone(), ShardId::new(&format!("{n:0300}")).unwrap()), seen_at)).collect()
    }

    #[tokio::test]
    async fn however_many_shards_a_worker_reads_and_however_long_their_names_all_are_told() {
        let emulator = Emulator::start().await;
        let me = WorkerId::new("w.1").unwrap();
        let mut seen = shards(&"t".repeat(255), 2 * SHARDS_MAX + 1, at(40));
        seen.extend(shards("Stock", 1, at(50)));
        emulator.streams.tell_seen(&me, &seen, at(60)).await.unwrap();
        assert_eq!(emulator.streams.seen_by(&me).await.unwrap(), seen);
        assert_eq!(emulator.streams.seen_by(&WorkerId::new("w.2").unwrap()).await.unwrap(), Seen::new());
    }

    #[tokio::test]
    async fn what_was_told_of_a_shard_is_never_taken_back() {
        let emulator = Emulator::start().await;
        let me = WorkerId::new("w.1").unwrap();
        let many = shards("Orders", SHARDS_MAX + 1, at(40));
        emulator.streams.tell_seen(&me, &many, at(40)).await.unwrap();
        let fewer: Seen = many.keys().skip(1).map(|shard| (shard.clone(), at(50))).collect();
        emulator.streams.tell_seen(&me, &fewer, at(50)).await.unwrap();
        let told = emulator.streams.seen_by(&me).await.unwrap();
        assert!(
            fewer.iter().all(|(shard, at)| told[shard] == *at),
            "the old second part says less of its shard, and does no harm"
        );
    }
}
