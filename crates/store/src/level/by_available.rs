//! The levels of an inventory in the order of what is available: entries of several index partitions, merged at read.
//!
//! An inventory's entries are spread over the partitions of [`key::level_order_partitions`]. Each partition is in order, so a page
//! is a merge of their beginnings. The place in the list is the sort key of the last entry, which is the same in all partitions.

use std::collections::VecDeque;

use futures::future::try_join_all;
use tidemark_domain::InventoryName;

use super::{LevelCursor, LevelPage, LevelQuery, level_key};
use crate::error::Error;
use crate::item::{Item, Stored};
use crate::key::{self, INDEX_SK, LEVEL_ORDER_PARTITIONS};
use crate::read::{Found, IndexStretch, Order};
use crate::{Store, Tenant};

/// Entries that the first Query of a partition asks for beyond its equal share of a page. Hashes spread entries evenly, so the
/// share plus this and [`SPARE_PART`] is enough for almost every page without a second Query.
const SPARE: usize = 8;
/// The part of a page that is asked for as well, as a divisor: the spread of hashed counts grows with the page.
const SPARE_PART: usize = 16;

/// An entry of the index with its sort key, which is its place.
type Entry = (String, Item);

/// One partition, as far as it has been read for this page.
struct Partition<T> {
    pk: String,
    /// Read and not yet on the page, in order.
    read: VecDeque<(String, T)>,
    /// The place after which the partition is to be read next.
    after: Option<String>,
    has_unread: bool,
}

/// The page of one merge.
struct Merged<T> {
    entries: Vec<(String, T)>,
    has_more: bool,
}

impl Store {
    /// One page of an inventory's levels, least available first. It is empty only if there is no more.
    ///
    /// It takes one Query for each partition, and at most a second one where a partition holds more of the page than its share.
    pub(super) async fn levels_by_available(
        &self,
        tenant: &Tenant,
        inventory: &InventoryName,
        query: &LevelQuery,
    ) -> Result<LevelPage, Error> {
        let mut next = query.after.clone();
        loop {
            let found = self.level_entries(tenant, inventory, next.as_ref(), query.limit).await?;
            let key = |(_, item): &Entry| level_key(tenant, inventory, &Stored(item));
            let keys = found.entries.iter().map(key).collect::<Result<Vec<_>, _>>()?;
            let mut read = self.level_rows(&keys).await?;
            next = found.entries.last().filter(|_| found.has_more).map(|(place, _)| LevelCursor(place.clone()));
            // A row may be gone since the index had it.
            let there = keys.into_iter().zip(found.entries).filter_map(|(key, (place, _))| {
                let row = read.remove(&key)?;
                Some(((key, row), LevelCursor(place)))
            });
            let (rows, places): (Vec<_>, Vec<_>) = there.unzip();
            if !rows.is_empty() || next.is_none() {
                return Ok(LevelPage { rows, places, next });
            }
        }
    }

    /// The first `limit` entries of all partitions after a place.
    async fn level_entries(
        &self,
        tenant: &Tenant,
        inventory: &InventoryName,
        after: Option<&LevelCursor>,
        limit: usize,
    ) -> Result<Merged<Item>, Error> {
        let after = after.map(LevelCursor::as_str);
        let partitions = key::level_order_partitions(tenant.id(), inventory);
        let mut partitions: Vec<_> = partitions.into_iter().map(|pk| Partition::new(pk, after)).collect();
        let mut page = Vec::new();
        let mut wanted = first_share(limit);
        loop {
            let dry = partitions.iter_mut().filter(|partition| partition.is_dry());
            try_join_all(dry.map(|partition| self.read_on(partition, wanted))).await?;
            if take_in_order(&mut partitions, &mut page, limit) {
                let has_more = partitions.iter().any(Partition::has_more);
                return Ok(Merged { entries: page, has_more });
            }
            // No partition can give more than this, so each is read at most once more.
            wanted = limit - page.len();
        }
    }

    async fn read_on(&self, partition: &mut Partition<Item>, limit: usize) -> Result<(), Error> {
        let above = partition.after.as_deref();
        let wanted = IndexStretch { pk: &partition.pk, above, after: None, order: Order::Rising, limit };
        let Found { items, more } = self.index_stretch(wanted).await?;
        let entry = |item: Item| Ok((Stored(&item).text(INDEX_SK)?, item));
        partition.add(items.into_iter().map(entry).collect::<Result<_, Error>>()?, more);
        Ok(())
    }
}

impl<T> Partition<T> {
    /// A partition of which nothing has been read.
    fn new(pk: String, after: Option<&str>) -> Self {
        Self { pk, read: VecDeque::new(), after: after.map(str::to_owned), has_unread: true }
    }

    /// Whether its next entry is not known and has to be read before the merge can go on.
    fn is_dry(&self) -> bool {
        self.read.is_empty() && self.has_unread
    }

    fn has_more(&self) -> bool {
        !self.read.is_empty() || self.has_unread
    }

    fn add(&mut self, entries: Vec<(String, T)>, has_unread: bool) {
        if let Some((place, _)) = entries.last() {
            self.after = Some(place.clone());
        }
        self.read.extend(entries);
        self.has_unread = has_unread;
    }
}

/// Entries that the first Query of each partition asks for.
fn first_share(limit: usize) -> usize {
    (limit.div_ceil(usize::from(LEVEL_ORDER_PARTITIONS)) + limit / SPARE_PART + SPARE).min(limit)
}

/// Moves entries to the page in the order of their places, until the page is full or a partition has to be read on. True: the page
/// is full, or there is no more.
fn take_in_order<T>(partitions: &mut [Partition<T>], page: &mut Vec<(String, T)>, limit: usize) -> bool {
    while page.len() < limit {
        // An entry that has not been read may come before all that have.
        if partitions.iter().any(Partition::is_dry) {
            return false;
        }
        let first = partitions.iter_mut().filter(|partition| !partition.read.is_empty());
        let first = first.min_by(|a, b| place(a).cmp(&place(b)));
        let Some(entry) = first.and_then(|partition| partition.read.pop_front()) else { return true };
        page.push(entry);
    }
    true
}

fn place<T>(partition: &Partition<T>) -> Option<&str> {
    partition.read.front().map(|(place, _)| place.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The places in a partition, in order.
    type Held = Vec<String>;

    /// The Query that [`Store::read_on`] makes.
    fn read_on(partition: &mut Partition<usize>, held: &Held, of: usize, limit: usize) {
        let after = partition.after.clone();
        let left = held.iter().filter(|place| after.as_ref().is_none_or(|after| *place > after));
        let mut left: Vec<(String, usize)> = left.map(|place| (place.clone(), of)).collect();
        let more = left.len() > limit;
        left.truncate(limit);
        partition.add(left, more);
    }

    /// One page as [`Store::level_entries`] makes it, and how often the partition that was read most was read.
    fn page(held: &[Held], after: Option<&str>, limit: usize) -> (Merged<usize>, usize) {
        let mut partitions: Vec<Partition<usize>> = held.iter().map(|_| Partition::new(String::new(), after)).collect();
        let mut reads = vec![0; held.len()];
        let (mut page, mut wanted) = (Vec::new(), first_share(limit));
        loop {
            for (of, partition) in partitions.iter_mut().enumerate().filter(|(_, partition)| partition.is_dry()) {
                read_on(partition, &held[of], of, wanted);
                reads[of] += 1;
            }
            if take_in_order(&mut partitions, &mut page, limit) {
                let has_more = partitions.iter().any(Partition::has_more);
                return (Merged { entries: page, has_more }, reads.into_iter().max().unwrap_or_default());
            }
            wanted = limit - page.len();
        }
    }

    /// Places that each lie in one of the partitions.
    fn inventory() -> impl Strategy<Value = Vec<Held>> {
        let places = proptest::collection::btree_map("[a-c]{1,5}", 0..5_usize, 0..200);
        // The partition without a number holds all of an inventory that was written before there were several.
        let is_spread = prop_oneof![Just(true), Just(false)];
        (places, is_spread).prop_map(|(places, is_spread)| {
            let mut held = vec![Held::new(); 5];
            places.into_iter().for_each(|(place, of)| held[if is_spread { of } else { 4 }].push(place));
            held
        })
    }

    proptest! {
        #[test]
        fn pages_of_all_partitions_are_what_sorting_everything_gives(held in inventory(), limit in 1_usize..60) {
            let all: BTreeSet<&String> = held.iter().flatten().collect();
            let (mut met, mut after) = (Vec::new(), None::<String>);
            loop {
                let (merged, reads) = page(&held, after.as_deref(), limit);
                prop_assert!(reads <= 2, "a partition is read {reads} times");
                prop_assert!(merged.entries.len() == limit || !merged.has_more, "a page that is not full is the last");
                prop_assert!(merged.entries.iter().all(|(place, of)| held[*of].contains(place)));
                met.extend(merged.entries.into_iter().map(|(place, _)| place));
                if !merged.has_more {
                    break;
                }
                after = met.last().cloned();
            }
            prop_assert!(met.iter().eq(all), "{met:?}");
        }
    }
}
