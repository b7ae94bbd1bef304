//! The shards of one stream and their lineage, as last seen. Pure: decides which shards must be stored, which may be
//! read, and which of them bound the stream's watermark; does nothing about it.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::successors;

use jiff::Timestamp;

use crate::control::GapReason;
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

/// A shard to be stored, and why history was lost just before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Birth {
    pub(crate) shard: ShardItem,
    pub(crate) gap: Option<GapReason>,
}

/// Where a shard begins that nobody has read, when what was there before it begins at `start`. One that is younger than that
/// instant, by its id, holds nothing before it, and is read from its own beginning.
pub(crate) fn beginning(start: &Position, shard: &ShardId) -> Position {
    match start {
        Position::At(ms) if shard.created_ms().is_none_or(|created_ms| created_ms < *ms) => start.clone(),
        _ => Position::TrimHorizon,
    }
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

    /// Up to when a shard is included, as far as its item tells. Of one that waits for another stream's end nothing is known: the table's
    /// changes before it may be in that one.
    pub(crate) fn included_up_to(&self, shard: &ShardId) -> Option<Timestamp> {
        let item = self.shard(shard)?;
        let waits = self.holds_roots && item.parent.is_none();
        item.included_up_to().filter(|_| !waits)
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

    /// The shards of a complete listing that are not stored yet, parents before their children, in a stream that begins at
    /// `start`. A shard whose parent is neither stored nor listed after the first listing (`boot_done`) is a gap: what its
    /// parent held is lost. So are the first shards of a stream that is another one's successor: what was changed between the
    /// two is lost.
    pub(crate) fn missing(&self, listed: &[ListedShard], start: &Position, boot_done: bool, is_successor: bool) -> Vec<Birth> {
        let parents: BTreeMap<&ShardId, Option<&ShardId>> =
            listed.iter().map(|listed| (&listed.shard, listed.parent.as_ref())).collect();
        let is_known = |parent: &ShardId| self.shards.contains_key(parent) || parents.contains_key(parent);
        // By what is stored, too: whoever finds the first shards of a successor, and whatever was noted before, they are a gap.
        let is_replacing = is_successor && (!boot_done || self.shards.is_empty());
        let birth = |listed: &ListedShard| {
            // Also of a child that is found late: where every change since an instant is wanted, what a shard held before that is
            // not. With shards rotating every few hours, a day's children would otherwise be read in full.
            let position = beginning(start, &listed.shard);
            let parent = listed.parent.clone().filter(is_known);
            let gap = match &listed.parent {
                Some(_) if parent.is_some() => None,
                Some(_) if boot_done => Some(GapReason::Lineage),
                // At the start a parent that is gone was trimmed before anything was read: no gap, but the beginning.
                _ => is_replacing.then_some(GapReason::Replaced),
            };
            let unread = ShardItem::unread(listed.shard.clone(), parent, position);
            Birth { shard: ShardItem { gap: gap.is_some(), ..unread }, gap }
        };
        let depth = |listed: &&ListedShard| {
            let parent = |shard: &&ShardId| parents.get(*shard).copied().flatten();
            // The bound is for a lineage that bites its tail; one more for the parent that is no longer listed.
            successors(Some(&listed.shard), parent).take(parents.len() + 1).count()
        };
        let mut missing: Vec<&ListedShard> = listed.iter().filter(|listed| !self.shards.contains_key(&listed.shard)).collect();
        missing.sort_by_cached_key(depth);
        missing.into_iter().map(birth).collect()
    }

    /// The children that are stored, or about to be, and not yet noted on their parents, by parent: whoever stored one may
    /// have ended before it could say so.
    pub(crate) fn unlinked(&self, births: &[Birth]) -> BTreeMap<ShardId, Vec<ShardId>> {
        let is_unlinked = |shard: &&ShardItem| {
            let parent = shard.parent.as_ref().and_then(|parent| self.shards.get(parent));
            parent.is_some_and(|parent| !parent.children.contains(&shard.shard))
        };
        let stored = self.shards.values().filter(is_unlinked);
        let mut unlinked: BTreeMap<ShardId, Vec<ShardId>> = BTreeMap::new();
        for shard in stored.chain(births.iter().map(|birth| &birth.shard)) {
            if let Some(parent) = &shard.parent {
                unlinked.entry(parent.clone()).or_default().push(shard.shard.clone());
            }
        }
        unlinked
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
