//! The shards of one stream and their lineage, as last seen. Pure: decides which shards must be stored, which may be
//! read, and which of them bound the stream's watermark; does nothing about it.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::successors;

use jiff::Timestamp;

use crate::control::note::Note;
use crate::control::shard::{ShardItem, ShardState};
use crate::id::{ShardId, StreamId};
use crate::listing::ListedShard;
use crate::position::Position;

/// The stored shards of one stream, as last read.
#[derive(Debug, Clone)]
pub(crate) struct ShardGraph {
    stream: StreamId,
    shards: BTreeMap<ShardId, ShardItem>,
    /// Shards without a parent wait for another stream's end.
    holds_roots: bool,
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
        Self { stream, shards: BTreeMap::new(), holds_roots: false }
    }

    pub(crate) fn stream(&self) -> &StreamId {
        &self.stream
    }

    pub(crate) fn replace(&mut self, stored: Vec<ShardItem>) {
        self.shards = stored.into_iter().map(|shard| (shard.shard.clone(), shard)).collect();
    }

    pub(crate) fn shard(&self, shard: &ShardId) -> Option<&ShardItem> {
        self.shards.get(shard)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &ShardId> {
        self.shards.keys()
    }

    /// Says whether shards without a parent have to wait: the stream before this one is not read to its end.
    pub(crate) fn hold_roots(&mut self, holds_roots: bool) {
        self.holds_roots = holds_roots;
    }

    /// Notes that this process has changed a stored shard, ahead of the next [`replace`](Self::replace).
    pub(crate) fn change(&mut self, shard: &ShardId, change: impl FnOnce(&mut ShardItem)) {
        if let Some(shard) = self.shards.get_mut(shard) {
            change(shard);
        }
    }

    /// The shards of a complete listing that are not stored yet, parents before their children. `start` is where shards begin
    /// that were there at the start; one that appears later is new, and so read from its beginning. A shard whose parent is
    /// neither stored nor listed after the start is marked as a gap: what its parent held is lost. So are the first shards of
    /// a stream that is another one's successor: what was changed between the two is lost.
    pub(crate) fn missing(
        &self,
        listed: &[ListedShard],
        start: &Position,
        boot_done: bool,
        is_successor: bool,
    ) -> Vec<ShardItem> {
        let parents: BTreeMap<&ShardId, Option<&ShardId>> =
            listed.iter().map(|listed| (&listed.shard, listed.parent.as_ref())).collect();
        let is_known = |parent: &ShardId| self.shards.contains_key(parent) || parents.contains_key(parent);
        let birth = |listed: &ListedShard| {
            let shard = listed.shard.clone();
            match &listed.parent {
                // Where every change since an instant is wanted, what a child held before it is not: with shards rotating every
                // few hours, a day's children would otherwise be read in full.
                Some(parent) if is_known(parent) => {
                    let position = if boot_done { Position::TrimHorizon } else { start.clone() };
                    ShardItem::unread(shard, Some(parent.clone()), position)
                }
                Some(_) if boot_done => ShardItem { gap: true, ..ShardItem::unread(shard, None, Position::TrimHorizon) },
                None if boot_done => ShardItem::unread(shard, None, Position::TrimHorizon),
                // At the start a parent that is gone was trimmed before anything was read: no gap, but the beginning.
                _ => ShardItem { gap: is_successor, ..ShardItem::unread(shard, None, start.clone()) },
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

    /// The shards that can be read by someone: unfinished, and their lineage not known to forbid it.
    pub(crate) fn runnable(&self) -> impl Iterator<Item = &ShardItem> {
        self.shards.values().filter(|shard| !shard.is_finished() && self.gate(shard) != Gate::Closed)
    }

    /// What a complete listing tells about stored shards: `gone` says which ones have been missing from listings for a while.
    pub(crate) fn notes(&self, listed: &BTreeSet<&ShardId>, gone: impl Fn(&ShardId) -> bool) -> Vec<(ShardId, Note)> {
        let note = |shard: &ShardItem| match shard {
            _ if listed.contains(&shard.shard) => (shard.unlisted || shard.expires_at.is_some()).then_some(Note::Listed),
            _ if !gone(&shard.shard) => None,
            _ if !shard.is_finished() => (!shard.unlisted).then_some(Note::Unlisted),
            _ => (shard.expires_at.is_none() && self.children_have_opened(shard)).then_some(Note::Served),
        };
        self.shards.values().filter_map(|shard| Some((shard.shard.clone(), note(shard)?))).collect()
    }

    /// A child that is no longer stored has served before.
    fn children_have_opened(&self, shard: &ShardItem) -> bool {
        shard.children.iter().all(|child| self.shards.get(child).is_none_or(|child| child.opened || child.is_finished()))
    }

    pub(crate) fn all_finished(&self) -> bool {
        self.shards.values().all(ShardItem::is_finished)
    }

    /// No shard's item is needed any more.
    pub(crate) fn all_served(&self) -> bool {
        self.shards.values().all(|shard| shard.expires_at.is_some())
    }

    /// A shard has ended, and no other goes on from there: the stream may have been switched off.
    pub(crate) fn has_loose_end(&self) -> bool {
        let is_loose = |shard: &ShardItem| shard.is_finished() && shard.children.is_empty() && shard.expires_at.is_none();
        self.shards.values().any(is_loose)
    }

    pub(crate) fn gate(&self, shard: &ShardItem) -> Gate<'_> {
        match &shard.parent {
            None if self.holds_roots => Gate::Closed,
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

    /// When the first of a shard's stored children was made, as far as their ids tell: later changes are in them.
    pub(crate) fn children_born(&self, shard: &ShardId) -> Option<Timestamp> {
        let children = &self.shards.get(shard)?.children;
        children.iter().filter_map(|child| Timestamp::from_millisecond(child.created_ms()?).ok()).min()
    }

    fn bounds(&self, shard: &ShardItem) -> bool {
        if shard.is_finished() {
            // Once it has served, no listing will name children of it: those there were are lost, and a gap says so.
            return shard.state == ShardState::Done && shard.children.is_empty() && shard.expires_at.is_none();
        }
        let parent = shard.parent.as_ref().and_then(|parent| self.shards.get(parent));
        parent.is_none_or(ShardItem::is_finished)
    }
}

#[cfg(test)]
mod tests;
