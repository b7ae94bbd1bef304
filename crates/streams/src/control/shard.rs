//! The shard item: who may commit for a shard, and how far it has been applied.

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use jiff::Timestamp;

use super::attribute::{
    Item, Malformed, flag, instant_ms, number, number_value, optional_number, optional_parsed, parsed, text_set, text_value,
};
use super::key::{self, Key};
use crate::client::Streams;
use crate::error::Error;
use crate::id::{ShardId, StreamId, WorkerId};
use crate::position::Position;

pub(crate) const OWNER: &str = "owner";
pub(crate) const EPOCH: &str = "epoch";
pub(crate) const POSITION: &str = "pos";
pub(crate) const DEFS: &str = "defs";
pub(crate) const PARENT: &str = "parent";
pub(crate) const OPENED: &str = "opened";
pub(crate) const CHILDREN: &str = "children";
pub(crate) const STATE: &str = "state";
pub(crate) const GAP: &str = "gap";
pub(crate) const UNLISTED: &str = "unlisted";
pub(crate) const POSITION_MS: &str = "pos_ms";
pub(crate) const WATERMARK_MS: &str = "watermark_ms";
const CREATED_MS: &str = "created_ms";

/// Where a shard is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardState {
    /// It is read, or waits for its turn.
    Active,
    /// It is closed and everything in it has been applied.
    Done,
    /// It went away before its end was applied.
    Lost,
}

impl ShardState {
    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Done => "DONE",
            Self::Lost => "LOST",
        }
    }
}

impl std::str::FromStr for ShardState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Active, Self::Done, Self::Lost].into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// What a commit is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) owner: Option<WorkerId>,
    pub(crate) epoch: u64,
    pub(crate) position: Position,
    pub(crate) defs: u64,
}

impl Fence {
    pub(crate) fn of_item(item: &Item) -> Result<Self, Malformed> {
        Ok(Self {
            owner: optional_parsed(item, OWNER)?,
            epoch: number(item, EPOCH)?,
            position: parsed(item, POSITION)?,
            defs: number(item, DEFS)?,
        })
    }
}

/// One shard, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardItem {
    pub(crate) shard: ShardId,
    pub(crate) fence: Fence,
    pub(crate) parent: Option<ShardId>,
    /// The parent's end was seen committed.
    pub(crate) opened: bool,
    pub(crate) children: Vec<ShardId>,
    pub(crate) state: ShardState,
    /// History was skipped in this shard or just before it.
    pub(crate) gap: bool,
    /// The stream has not listed it for a while, though it is unfinished.
    pub(crate) unlisted: bool,
    /// When the record at its position was created.
    pub(crate) record_at: Option<Timestamp>,
    /// Up to when it is included, as its last owner stored it with a commit or when it released the lease.
    pub(crate) watermark: Option<Timestamp>,
    /// When its item may be deleted, in epoch seconds: it is finished, and nothing needs it any more.
    pub(crate) expires_at: Option<i64>,
}

impl ShardItem {
    /// A shard nobody has read yet.
    pub(crate) fn unread(shard: ShardId, parent: Option<ShardId>, position: Position) -> Self {
        let fence = Fence { owner: None, epoch: 0, position, defs: 0 };
        Self {
            shard,
            fence,
            parent,
            opened: false,
            children: Vec::new(),
            state: ShardState::Active,
            gap: false,
            unlisted: false,
            record_at: None,
            watermark: None,
            expires_at: None,
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.state != ShardState::Active
    }

    /// The time of its position: when the record there was created, or, of a shard that was never read, when it begins.
    pub(crate) fn position_at(&self) -> Option<Timestamp> {
        let begins_ms = match self.fence.position {
            Position::TrimHorizon => self.shard.created_ms(),
            Position::At(ms) => Some(ms),
            Position::After(_) | Position::ShardEnd => return self.record_at,
        };
        Timestamp::from_millisecond(begins_ms?).ok()
    }

    /// Up to when the shard is included as far as its item tells.
    pub(crate) fn included_up_to(&self) -> Option<Timestamp> {
        self.watermark.max(self.position_at())
    }

    pub(crate) fn of_item(item: &Item) -> Result<Self, Malformed> {
        Ok(Self {
            shard: parsed(item, key::SORT)?,
            fence: Fence::of_item(item)?,
            parent: optional_parsed(item, PARENT)?,
            opened: flag(item, OPENED)?,
            children: text_set(item, CHILDREN)?,
            state: parsed(item, STATE)?,
            gap: flag(item, GAP)?,
            unlisted: flag(item, UNLISTED)?,
            record_at: instant_ms(item, POSITION_MS)?,
            watermark: instant_ms(item, WATERMARK_MS)?,
            expires_at: optional_number(item, key::EXPIRES_AT)?,
        })
    }

    pub(crate) fn into_item(self, stream: &StreamId) -> Item {
        let mut item = Key::shard(stream, &self.shard).into_item();
        let mut set = |name: &str, value| item.insert(name.to_owned(), value);
        if let Some(owner) = self.fence.owner {
            set(OWNER, text_value(owner));
        }
        set(EPOCH, number_value(self.fence.epoch));
        set(POSITION, text_value(self.fence.position));
        set(DEFS, number_value(self.fence.defs));
        if let Some(parent) = self.parent {
            set(PARENT, text_value(parent));
        }
        if self.opened {
            set(OPENED, AttributeValue::Bool(true));
        }
        if !self.children.is_empty() {
            set(CHILDREN, AttributeValue::Ss(self.children.iter().map(ShardId::to_string).collect()));
        }
        if let Some(ms) = self.shard.created_ms() {
            set(CREATED_MS, number_value(ms));
        }
        set(STATE, text_value(self.state.as_str()));
        if self.gap {
            set(GAP, AttributeValue::Bool(true));
        }
        if self.unlisted {
            set(UNLISTED, AttributeValue::Bool(true));
        }
        if let Some(record_at) = self.record_at {
            set(POSITION_MS, number_value(record_at.as_millisecond()));
        }
        if let Some(watermark) = self.watermark {
            set(WATERMARK_MS, number_value(watermark.as_millisecond()));
        }
        if let Some(at) = self.expires_at {
            set(key::EXPIRES_AT, number_value(at));
        }
        item
    }
}

impl Streams {
    /// Every shard of a stream that is stored.
    pub(crate) async fn shards(&self, stream: &StreamId) -> Result<Vec<ShardItem>, Error> {
        let partitions = (0..key::SHARD_PARTITIONS).map(|spread| self.query(key::shards_partition(stream, spread)));
        let items = try_join_all(partitions).await?;
        items.iter().flatten().map(|item| ShardItem::of_item(item).map_err(Error::from)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shard_id() -> impl Strategy<Value = ShardId> {
        "shardId-0000000[0-9]{13}-[a-f0-9]{8}".prop_map(|text| ShardId::new(&text).unwrap())
    }

    prop_compose! {
        fn shard_item()(
            shard in shard_id(),
            owner in proptest::option::of("[a-z]{1,5}\\.[0-9]{1,5}".prop_map(|text| WorkerId::new(&text).unwrap())),
            (epoch, defs) in any::<(u64, u64)>(),
            position in prop_oneof![Just(Position::TrimHorizon), any::<i64>().prop_map(Position::At), Just(Position::ShardEnd)],
            parent in proptest::option::of(shard_id()),
            children in proptest::collection::btree_set(shard_id(), 0..3),
            (opened, gap, unlisted) in any::<(bool, bool, bool)>(),
            times in any::<[Option<u32>; 2]>(),
            expires_at in proptest::option::of(any::<i64>()),
            state in prop_oneof![Just(ShardState::Active), Just(ShardState::Done), Just(ShardState::Lost)],
        ) -> ShardItem {
            let fence = Fence { owner, epoch, position, defs };
            let children = children.into_iter().collect();
            let [record_at, watermark] = times.map(|ms| Some(Timestamp::from_millisecond(i64::from(ms?)).unwrap()));
            ShardItem { shard, fence, parent, opened, children, state, gap, unlisted, record_at, watermark, expires_at }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shard_survives_its_item(shard in shard_item()) {
            let stream = StreamId::new("Orders/1.5").unwrap();
            prop_assert_eq!(ShardItem::of_item(&shard.clone().into_item(&stream)), Ok(shard));
        }
    }

    #[test]
    fn a_malformed_item_is_named() {
        let stream = StreamId::new("Orders/1.5").unwrap();
        let mut item = ShardItem::unread(ShardId::new("s").unwrap(), None, Position::TrimHorizon).into_item(&stream);
        item.insert(POSITION.to_owned(), text_value("LATEST"));
        let message = ShardItem::of_item(&item).unwrap_err().to_string();
        assert!(message.contains("SHARDS#Orders/1.5#") && message.contains("`pos`"), "{message}");
    }
}
