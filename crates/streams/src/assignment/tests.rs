//! The laws of the table, over any workers and any holders.

use proptest::prelude::*;

use super::*;
use crate::testing::shard_id;

type Shards = BTreeMap<ShardKey, Option<WorkerId>>;

fn worker(number: usize) -> WorkerId {
    WorkerId::new(&format!("w.{number:016x}")).unwrap()
}

fn workers(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<WorkerId> {
    numbers.into_iter().map(worker).collect()
}

fn shard(number: usize) -> ShardKey {
    (StreamId::new(["Orders/1", "Stock/1"][number % 2]).unwrap(), shard_id(&format!("shardId-{number:08}")))
}

fn free(shards: usize) -> Shards {
    (0..shards).map(|number| (shard(number), None)).collect()
}

fn counts(table: &BTreeMap<ShardKey, WorkerId>, workers: &BTreeSet<WorkerId>) -> Vec<usize> {
    workers.iter().map(|worker| table.values().filter(|owner| *owner == worker).count()).collect()
}

/// The shards that change hands, from a worker of the table to another.
fn moves(table: &BTreeMap<ShardKey, WorkerId>, shards: &Shards, workers: &BTreeSet<WorkerId>) -> usize {
    let is_moved = |(shard, holder): &(&ShardKey, &Option<WorkerId>)| {
        holder.as_ref().is_some_and(|holder| workers.contains(holder) && table[*shard] != *holder)
    };
    shards.iter().filter(is_moved).count()
}

prop_compose! {
    /// Workers, and shards held by them, by workers that are gone, or by nobody.
    fn facts()(
        (workers, seed) in (1usize..8, 0usize..1000),
        holders in proptest::collection::vec(proptest::option::weighted(0.8, 0usize..10), 0..40),
    ) -> (BTreeSet<WorkerId>, Shards) {
        let holders = holders.into_iter().enumerate();
        let shards = holders.map(|(number, holder)| (shard(number + seed), holder.map(|holder| worker(holder + seed)))).collect();
        (self::workers(seed..seed + workers), shards)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn every_shard_is_placed_and_workers_differ_by_one_at_most((workers, shards) in facts()) {
        let table = assign(&workers, &shards);
        prop_assert!(table.keys().eq(shards.keys()));
        let counts = counts(&table, &workers);
        prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    }

    /// No table with such targets has fewer moves: each worker gives up what is beyond its target, and the greater targets
    /// are where they spare moves.
    #[test]
    fn no_shard_moves_that_need_not((workers, shards) in facts()) {
        let (share, greater) = (shards.len() / workers.len(), shards.len() % workers.len());
        let holds = |worker: &WorkerId| shards.values().filter(|holder| holder.as_ref() == Some(worker)).count();
        let beyond: usize = workers.iter().map(|worker| holds(worker).saturating_sub(share)).sum();
        let spared = workers.iter().filter(|worker| holds(worker) > share).count().min(greater);
        prop_assert_eq!(moves(&assign(&workers, &shards), &shards, &workers), beyond - spared);
    }

    /// So workers that see a move at different times agree on the others.
    #[test]
    fn a_part_of_the_table_carried_out_leaves_the_rest_as_it_was((workers, shards) in facts(), steps in any::<Vec<(usize, bool)>>()) {
        let table = assign(&workers, &shards);
        let mut now = shards.clone();
        for (number, is_taken) in steps {
            let Some((shard, holder)) = now.iter_mut().nth(number % shards.len().max(1)) else { break };
            let is_moving = holder.as_ref() != Some(&table[shard]);
            match is_taken {
                true => *holder = Some(table[shard].clone()),
                // Given up, not yet taken.
                false if is_moving => *holder = None,
                false => {}
            }
            prop_assert_eq!(&assign(&workers, &now), &table);
        }
    }

    #[test]
    fn a_worker_that_leaves_moves_only_its_own_shards(count in 2usize..8, shards in 1usize..60, leaving in 0usize..8) {
        let all = workers(0..count);
        let held: Shards = assign(&all, &free(shards)).into_iter().map(|(shard, owner)| (shard, Some(owner))).collect();
        let rest = workers((0..count).filter(|number| *number != leaving % count));
        prop_assert_eq!(moves(&assign(&rest, &held), &held, &rest), 0);
    }
}

#[test]
fn without_workers_nothing_is_placed() {
    assert!(assign(&BTreeSet::new(), &free(3)).is_empty());
}

#[test]
fn one_worker_has_everything_and_three_have_a_third_each() {
    let one = assign(&workers([1]), &free(12));
    assert_eq!(counts(&one, &workers([1])), [12]);
    let held: Shards = one.into_iter().map(|(shard, owner)| (shard, Some(owner))).collect();
    let three = workers([1, 2, 3]);
    let table = assign(&three, &held);
    assert_eq!((counts(&table, &three), moves(&table, &held, &three)), (vec![4, 4, 4], 8));
}

#[test]
fn the_table_is_the_same_in_every_version() {
    let owners: Vec<WorkerId> = assign(&workers([1, 2, 3]), &free(8)).into_values().collect();
    let numbers: String = owners.iter().filter_map(|owner| owner.as_str().chars().last()).collect();
    assert_eq!(numbers, "11312322");
}

proptest! {
    #[test]
    fn every_number_is_one_workers_and_a_newcomer_takes_only_its_own(numbers in proptest::collection::btree_set(0..1000_usize, 1..9), count in 0..50_u16) {
        let before = workers(numbers.iter().copied());
        let mut all: Vec<u16> = before.iter().flat_map(|worker| share(&before, worker, count)).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
        let newcomer = worker(5000);
        let after = before.iter().cloned().chain([newcomer.clone()]).collect();
        let taken = share(&after, &newcomer, count);
        for worker in &before {
            let kept: Vec<u16> = share(&before, worker, count).into_iter().filter(|number| !taken.contains(number)).collect();
            prop_assert_eq!(share(&after, worker, count), kept);
        }
        prop_assert_eq!(share(&before, &newcomer, count), Vec::<u16>::new());
    }
}
