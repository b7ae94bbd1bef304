//! The shards of one stream and their lineage, as last seen. Pure: decides which shards must be stored, which may be
//! read, and which of them bound the stream's watermark; does nothing about it.

use std::collections::BTreeMap;
use std::iter::successors;

use crate::control::shard::{ShardItem, ShardState};
use crate::id::{ShardId, StreamId, WorkerId};
use crate::listing::ListedShard;
use crate::position::Position;

/// The stored shards of one stream, as last read.
#[derive(Debug, Clone)]
pub(crate) struct ShardGraph {
    stream: StreamId,
    shards: BTreeMap<ShardId, ShardItem>,
}

/// Whether a shard's lineage lets it be read. Judged by consistent reads only; and an end, once stored, stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate<'a> {
    Open,
    /// The parent (this one) is at its end, which is yet to be noted on the child.
    Passing(&'a ShardItem),
    Closed,
}

impl ShardGraph {
    pub(crate) fn new(stream: StreamId) -> Self {
        Self { stream, shards: BTreeMap::new() }
    }

    pub(crate) fn stream(&self) -> &StreamId {
        &self.stream
    }

    pub(crate) fn replace(&mut self, stored: Vec<ShardItem>) {
        self.shards = stored.into_iter().map(|shard| (shard.shard.clone(), shard)).collect();
    }

    /// Notes that this process has changed a stored shard, ahead of the next [`replace`](Self::replace).
    pub(crate) fn change(&mut self, shard: &ShardId, change: impl FnOnce(&mut ShardItem)) {
        if let Some(shard) = self.shards.get_mut(shard) {
            change(shard);
        }
    }

    /// The shards of a complete listing that are not stored yet, parents before their children. `start` is where roots begin
    /// that were there at the start; one that appears later is new, and so read from its beginning. A shard whose parent is
    /// neither stored nor listed after the start is marked as a gap: what its parent held is lost.
    pub(crate) fn missing(&self, listed: &[ListedShard], start: &Position, boot_done: bool) -> Vec<ShardItem> {
        let parents: BTreeMap<&ShardId, Option<&ShardId>> =
            listed.iter().map(|listed| (&listed.shard, listed.parent.as_ref())).collect();
        let is_known = |parent: &ShardId| self.shards.contains_key(parent) || parents.contains_key(parent);
        let birth = |listed: &ListedShard| {
            let shard = listed.shard.clone();
            match &listed.parent {
                Some(parent) if is_known(parent) => ShardItem::unread(shard, Some(parent.clone()), Position::TrimHorizon),
                Some(_) if boot_done => ShardItem { gap: true, ..ShardItem::unread(shard, None, Position::TrimHorizon) },
                None if boot_done => ShardItem::unread(shard, None, Position::TrimHorizon),
                // At the start a parent that is gone was trimmed before anything was read: no gap, but the beginning.
                _ => ShardItem::unread(shard, None, start.clone()),
            }
        };
        let depth = |shard: &ShardItem| {
            let parent = |shard: &&ShardId| parents.get(*shard).copied().flatten();
            // The bound is for a lineage that bites its tail; one more for the parent that is no longer listed.
            successors(Some(&shard.shard), parent).take(parents.len() + 1).count()
        };
        let missing = listed.iter().filter(|listed| !self.shards.contains_key(&listed.shard));
        let mut births: Vec<ShardItem> = missing.map(birth).collect();
        births.sort_by_cached_key(depth);
        births
    }

    /// The shards that may be acquired: unfinished, not held by this process, their lineage not known to forbid it, and free
    /// or left by a dead owner. What is stored as owned by this very process is not held by it any more, so it may be taken
    /// again.
    pub(crate) fn claimable(
        &self,
        me: &WorkerId,
        is_held: impl Fn(&ShardId) -> bool,
        is_dead: impl Fn(&WorkerId) -> bool,
    ) -> Vec<&ShardItem> {
        let is_free = |owner: Option<&WorkerId>| owner.is_none_or(|owner| owner == me || is_dead(owner));
        let shards = self.shards.values();
        shards
            .filter(|shard| !shard.is_finished() && !is_held(&shard.shard))
            .filter(|shard| is_free(shard.fence.owner.as_ref()) && self.gate(shard) != Gate::Closed)
            .collect()
    }

    pub(crate) fn gate(&self, shard: &ShardItem) -> Gate<'_> {
        match &shard.parent {
            None => Gate::Open,
            Some(_) if shard.opened => Gate::Open,
            // Also closed where the parent is not stored: a missing parent never means go.
            Some(parent) => match self.shards.get(parent) {
                Some(parent) if parent.fence.position == Position::ShardEnd => Gate::Passing(parent),
                _ => Gate::Closed,
            },
        }
    }

    /// The shards that bound the stream's watermark: the unfinished ones, except children whose parents bound it for them;
    /// and finished ones whose children are not stored yet, for what follows them is not known.
    pub(crate) fn bounding(&self) -> impl Iterator<Item = &ShardId> {
        self.shards.values().filter(|shard| self.bounds(shard)).map(|shard| &shard.shard)
    }

    fn bounds(&self, shard: &ShardItem) -> bool {
        if shard.is_finished() {
            return shard.state == ShardState::Done && shard.children.is_empty();
        }
        let parent = shard.parent.as_ref().and_then(|parent| self.shards.get(parent));
        parent.is_none_or(ShardItem::is_finished)
    }
}

#[cfg(test)]
mod tests;
