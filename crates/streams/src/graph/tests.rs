//! Which shards may start, for every shape of lineage.

use proptest::prelude::*;

use super::*;
use crate::testing::shard_id;

fn listed(shards: &[(&str, Option<&str>)]) -> Vec<ListedShard> {
    shards.iter().map(|(shard, parent)| ListedShard { shard: shard_id(shard), parent: parent.map(shard_id) }).collect()
}

fn graph(stored: Vec<ShardItem>) -> ShardGraph {
    let mut graph = ShardGraph::new(StreamId::new("Orders/1").unwrap());
    graph.replace(stored);
    graph
}

fn stored(shard: &str, parent: Option<&str>, state: ShardState) -> ShardItem {
    let position = if state == ShardState::Active { Position::TrimHorizon } else { Position::ShardEnd };
    ShardItem { state, ..ShardItem::unread(shard_id(shard), parent.map(shard_id), position) }
}

fn names<'a>(shards: impl IntoIterator<Item = &'a ShardItem>) -> Vec<&'a str> {
    shards.into_iter().map(|shard| shard.shard.as_str()).collect()
}

#[test]
fn parents_are_stored_before_their_children() {
    let births = graph(vec![]).missing(&listed(&[("a", Some("b")), ("b", Some("c")), ("c", None)]), &Position::At(5), false);
    assert_eq!(names(&births), ["c", "b", "a"]);
    let positions: Vec<&Position> = births.iter().map(|shard| &shard.fence.position).collect();
    assert_eq!(positions, [&Position::At(5), &Position::TrimHorizon, &Position::TrimHorizon]);
}

#[test]
fn a_parent_that_was_trimmed_before_the_start_is_no_gap_and_later_it_is_one() {
    let at_start = graph(vec![]).missing(&listed(&[("a", Some("gone"))]), &Position::At(5), false);
    assert_eq!((at_start[0].gap, &at_start[0].parent, &at_start[0].fence.position), (false, &None, &Position::At(5)));
    let later = graph(vec![]).missing(&listed(&[("a", Some("gone"))]), &Position::At(5), true);
    assert_eq!((later[0].gap, &later[0].parent, &later[0].fence.position), (true, &None, &Position::TrimHorizon));
}

#[test]
fn a_parent_that_is_stored_but_no_longer_listed_still_gates() {
    let graph = graph(vec![stored("p", None, ShardState::Done)]);
    let births = graph.missing(&listed(&[("a", Some("p"))]), &Position::TrimHorizon, true);
    assert_eq!((births[0].gap, &births[0].parent), (false, &Some(shard_id("p"))));
}

#[test]
fn a_missing_parent_is_never_a_go_ahead() {
    let (me, nobody) = (WorkerId::new("me.1").unwrap(), |_: &ShardId| false);
    let orphan = stored("a", Some("gone"), ShardState::Active);
    assert!(graph(vec![orphan]).claimable(&me, nobody, |_| true).is_empty());
}

#[test]
fn only_free_dead_and_own_shards_are_claimable() {
    let owned = |shard, owner: &str| {
        let mut shard = stored(shard, None, ShardState::Active);
        shard.fence.owner = Some(WorkerId::new(owner).unwrap());
        shard
    };
    let graph = graph(vec![
        owned("dead", "dead.1"),
        owned("held", "me.1"),
        owned("live", "live.1"),
        owned("mine", "me.1"),
        stored("done", None, ShardState::Done),
        stored("free", None, ShardState::Active),
        stored("lost", None, ShardState::Lost),
        stored("waiting", Some("free"), ShardState::Active),
    ]);
    let me = WorkerId::new("me.1").unwrap();
    let claimable = graph.claimable(&me, |shard| shard.as_str() == "held", |owner| owner.as_str() == "dead.1");
    assert_eq!(names(claimable), ["dead", "free", "mine"]);
}

#[test]
fn a_watermark_is_bounded_by_what_is_unfinished_or_unlinked() {
    let linked = ShardItem { children: vec![shard_id("child")], ..stored("linked", None, ShardState::Done) };
    let graph = graph(vec![
        linked,
        stored("child", Some("linked"), ShardState::Active),
        stored("grandchild", Some("child"), ShardState::Active),
        stored("leaf", None, ShardState::Done),
        stored("lost", None, ShardState::Lost),
    ]);
    let bounding: Vec<&str> = graph.bounding().map(ShardId::as_str).collect();
    assert_eq!(bounding, ["child", "leaf"], "a grandchild is behind its parent, which bounds for it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever a stream lists, in whatever order and however broken its lineage: each shard is stored once, never before a
    /// listed parent, and whatever has no gate either began at the start or is marked as a gap.
    #[test]
    fn every_listed_shard_is_stored_once_behind_its_parent(parents in proptest::collection::vec(0usize..12, 1..10), boot_done: bool) {
        let name = |n: usize| format!("s{n}");
        let shard = |(n, parent): (usize, &usize)| {
            ListedShard { shard: shard_id(&name(n)), parent: (*parent != n).then(|| shard_id(&name(*parent))) }
        };
        let listed: Vec<ListedShard> = parents.iter().enumerate().map(shard).collect();
        let births = graph(vec![]).missing(&listed, &Position::At(5), boot_done);
        prop_assert_eq!(births.len(), listed.len());
        for (at, birth) in births.iter().enumerate() {
            let was = listed.iter().find(|listed| listed.shard == birth.shard).unwrap();
            match (&was.parent, &birth.parent) {
                (Some(_), None) => prop_assert_eq!(birth.gap, boot_done),
                (was, is) => prop_assert_eq!(was, is),
            }
            let is_cyclic = successors(birth.parent.as_ref(), |shard| {
                listed.iter().find(|listed| listed.shard == **shard).and_then(|listed| listed.parent.as_ref())
            }).take(20).count() == 20;
            if let (Some(parent), false) = (&birth.parent, is_cyclic) {
                prop_assert!(births[..at].iter().any(|earlier| earlier.shard == *parent), "{:?}", births);
            }
        }
    }
}
