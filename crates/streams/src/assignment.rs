//! Which worker reads which shard. Pure: a table computed from facts that every worker can read, so that workers need no
//! leader to agree on it.
//!
//! Nothing depends on two workers having the same table at the same time: a shard that two take for their own is won by one
//! of them, and one that none takes waits until their views are the same again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::id::{ShardId, StreamId, WorkerId};

/// A shard's full name: ids of shards are unique within a stream only.
pub(crate) type ShardKey = (StreamId, ShardId);

/// Gives every shard to one of `workers`, none when there are none.
///
/// Each worker gets ⌊S/W⌋ or ⌈S/W⌉ shards. A holder keeps what it holds up to that; only what is beyond it, and what none of
/// `workers` holds, is placed anew. Carrying out a part of the table leaves the rest of it as it was: so each shard that has
/// to move moves once, in whatever order the moves are made.
pub(crate) fn assign(
    workers: &BTreeSet<WorkerId>,
    shards: &BTreeMap<ShardKey, Option<WorkerId>>,
) -> BTreeMap<ShardKey, WorkerId> {
    let mut kept: BTreeMap<&WorkerId, Vec<&ShardKey>> = workers.iter().map(|worker| (worker, Vec::new())).collect();
    let mut homeless = Vec::new();
    for (shard, holder) in shards {
        match holder.as_ref().and_then(|holder| kept.get_mut(holder)) {
            Some(kept) => kept.push(shard),
            None => homeless.push(shard),
        }
    }
    let targets = targets(&kept, shards.len());
    for (worker, kept) in &mut kept {
        kept.sort_by_cached_key(|shard| Reverse(affinity(worker, shard)));
        homeless.extend(kept.split_off(targets[*worker].min(kept.len())));
    }
    homeless.sort();
    for shard in homeless {
        let below_target = kept.iter_mut().filter(|(worker, kept)| kept.len() < targets[**worker]);
        if let Some((_, kept)) = below_target.max_by_key(|(worker, _)| affinity(worker, shard)) {
            kept.push(shard);
        }
    }
    let table = kept.into_iter().flat_map(|(worker, kept)| kept.into_iter().map(move |shard| (shard.clone(), worker.clone())));
    table.collect()
}

/// How many shards each worker is to have. Those that hold more than the lesser share get the greater one first: that spares
/// moves. Otherwise the choice must not follow what workers hold, or it would change while shards move.
fn targets(kept: &BTreeMap<&WorkerId, Vec<&ShardKey>>, shards: usize) -> BTreeMap<WorkerId, usize> {
    let workers = kept.len().max(1);
    let (share, greater) = (shards / workers, shards % workers);
    let mut ranked: Vec<&WorkerId> = kept.keys().copied().collect();
    ranked.sort_by_key(|worker| (kept[worker].len() <= share, *worker));
    let target = |(rank, worker): (usize, &WorkerId)| (worker.clone(), share + usize::from(rank < greater));
    ranked.into_iter().enumerate().map(target).collect()
}

/// Those of the numbers below `count` that are one worker's, when each goes to one of `workers`. There are no holders to spare:
/// when a worker comes or goes, only what it gets or had changes hands.
pub(crate) fn share(workers: &BTreeSet<WorkerId>, worker: &WorkerId, count: u16) -> Vec<u16> {
    let is_mine = |number: &u16| workers.iter().max_by_key(|other| slot_affinity(other, *number)) == Some(worker);
    (0..count).filter(is_mine).collect()
}

fn affinity(worker: &WorkerId, (stream, shard): &ShardKey) -> u64 {
    hash(&[worker.as_str(), stream.as_str(), shard.as_str()])
}

fn slot_affinity(worker: &WorkerId, slot: u16) -> u64 {
    hash(&[worker.as_str(), "slot", &slot.to_string()])
}

/// How much a worker is to be preferred for something: rendezvous hashing. The same on every machine and in every version, since
/// workers of two versions run side by side (FNV-1a, then the finalizer of SplitMix64).
fn hash(names: &[&str]) -> u64 {
    let bytes = names.join("#").into_bytes();
    let hash =
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests;
