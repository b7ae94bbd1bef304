//! Keys of the control table.

use aws_sdk_dynamodb::types::AttributeValue;

use super::attribute::{Item, text_value};
use crate::id::{ShardId, StreamId, WorkerId};
use crate::position::Position;

pub(crate) const PARTITION: &str = "pk";
pub(crate) const SORT: &str = "sk";
/// The table's time-to-live attribute, in epoch seconds.
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// A stream's shard items are spread over this many partitions, so that commits of a large stream meet no hot one.
/// It is part of the stored keys and can never change.
pub(crate) const SHARD_PARTITIONS: u32 = 16;

pub(crate) const STREAMS: &str = "STREAMS";
pub(crate) const WORKERS: &str = "WORKERS";
const WATERMARK: &str = "WATERMARK";

/// One item's primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    partition: String,
    sort: String,
}

impl Key {
    pub(crate) fn shard(stream: &StreamId, shard: &ShardId) -> Self {
        let spread = crc32fast::hash(shard.as_str().as_bytes()) % SHARD_PARTITIONS;
        Self { partition: shards_partition(stream, spread), sort: shard.to_string() }
    }

    pub(crate) fn worker(id: &WorkerId) -> Self {
        Self { partition: WORKERS.to_owned(), sort: id.to_string() }
    }

    pub(crate) fn stream(stream: &StreamId) -> Self {
        Self { partition: STREAMS.to_owned(), sort: stream.to_string() }
    }

    pub(crate) fn watermark(stream: &StreamId) -> Self {
        Self { partition: WATERMARK.to_owned(), sort: stream.to_string() }
    }

    /// One part of what a worker has seen of a stream.
    pub(crate) fn seen(worker: &WorkerId, stream: &StreamId, part: usize) -> Self {
        Self { partition: seen_partition(worker), sort: format!("{stream}#{part}") }
    }

    pub(crate) fn gap(stream: &StreamId, shard: &ShardId, position: &Position) -> Self {
        Self { partition: gaps_partition(stream), sort: format!("{shard}#{position}") }
    }

    pub(crate) fn into_item(self) -> Item {
        Item::from([(PARTITION.to_owned(), AttributeValue::S(self.partition)), (SORT.to_owned(), text_value(self.sort))])
    }
}

pub(crate) fn shards_partition(stream: &StreamId, spread: u32) -> String {
    format!("SHARDS#{stream}#{spread}")
}

pub(crate) fn seen_partition(worker: &WorkerId) -> String {
    format!("SEEN#{worker}")
}

pub(crate) fn gaps_partition(stream: &StreamId) -> String {
    format!("GAPS#{stream}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_keys_stay_as_they_are() {
        let stream = StreamId::new("Orders/2026-01-02T03:04:05.678").unwrap();
        let shard = ShardId::new("shardId-00000001414562045508-2bac9cd2").unwrap();
        let key = Key::shard(&stream, &shard);
        assert_eq!(key.partition, "SHARDS#Orders/2026-01-02T03:04:05.678#11", "the hash is part of the stored format");
        assert_eq!(key.sort, "shardId-00000001414562045508-2bac9cd2");
        let gap = Key::gap(&stream, &shard, &Position::At(5));
        assert_eq!(
            (gap.partition.as_str(), gap.sort.as_str()),
            ("GAPS#Orders/2026-01-02T03:04:05.678", "shardId-00000001414562045508-2bac9cd2#AT:5")
        );
    }
}
