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
    let births =
        graph(vec![]).missing(&listed(&[("a", Some("b")), ("b", Some("c")), ("c", None)]), &Position::At(5), false, false);
    assert_eq!(names(&births), ["c", "b", "a"]);
    let positions: Vec<&Position> = births.iter().map(|shard| &shard.fence.position).collect();
    assert_eq!(
        positions,
        [&Position::At(5), &Position::At(5), &Position::At(5)],
        "what was there at the start begins at the start"
    );
}

#[test]
fn a_parent_that_was_trimmed_before_the_start_is_no_gap_and_later_it_is_one() {
    let at_start = graph(vec![]).missing(&listed(&[("a", Some("gone"))]), &Position::At(5), false, false);
    assert_eq!((at_start[0].gap, &at_start[0].parent, &at_start[0].fence.position), (false, &None, &Position::At(5)));
    let later = graph(vec![]).missing(&listed(&[("a", Some("gone"))]), &Position::At(5), true, false);
    assert_eq!((later[0].gap, &later[0].parent, &later[0].fence.position), (true, &None, &Position::TrimHorizon));
}

#[test]
fn a_parent_that_is_stored_but_no_longer_listed_still_gates() {
    let graph = graph(vec![stored("p", None, ShardState::Done)]);
    let births = graph.missing(&listed(&[("a", Some("p"))]), &Position::TrimHorizon, true, false);
    assert_eq!((births[0].gap, &births[0].parent), (false, &Some(shard_id("p"))));
}

#[test]
fn the_first_shards_of_a_streams_successor_begin_with_a_gap() {
    let listed = listed(&[("a", None), ("b", Some("gone")), ("c", Some("a"))]);
    let births = graph(vec![]).missing(&listed, &Position::TrimHorizon, false, true);
    let gaps: Vec<(&str, bool)> = births.iter().map(|shard| (shard.shard.as_str(), shard.gap)).collect();
    assert_eq!(gaps, [("a", true), ("b", true), ("c", false)]);
    let later = graph(vec![]).missing(&listed, &Position::TrimHorizon, true, true);
    assert!(later.iter().all(|shard| shard.gap == (shard.shard == shard_id("b"))), "{later:?}");
}

#[test]
fn a_missing_parent_is_never_a_go_ahead() {
    let orphan = stored("a", Some("gone"), ShardState::Active);
    assert_eq!(names(graph(vec![orphan]).runnable()), [""; 0]);
}

#[test]
fn what_is_unfinished_and_behind_no_unfinished_parent_is_runnable() {
    let opened = ShardItem { opened: true, ..stored("opened", Some("gone"), ShardState::Active) };
    let mut graph = graph(vec![
        opened,
        stored("behind-done", Some("done"), ShardState::Active),
        stored("behind-lost", Some("lost"), ShardState::Active),
        stored("behind-root", Some("root"), ShardState::Active),
        stored("done", None, ShardState::Done),
        stored("lost", None, ShardState::Lost),
        stored("root", None, ShardState::Active),
    ]);
    assert_eq!(names(graph.runnable()), ["behind-done", "behind-lost", "opened", "root"]);
    graph.hold_roots(true);
    assert_eq!(names(graph.runnable()), ["behind-done", "behind-lost", "opened"], "another stream is to be read before");
}

#[test]
fn listings_tell_which_shards_are_gone_and_whose_items_have_served() {
    let with_child = |shard, child| ShardItem { children: vec![shard_id(child)], ..stored(shard, None, ShardState::Done) };
    let opened = ShardItem { opened: true, ..stored("opened", Some("served"), ShardState::Active) };
    let graph = graph(vec![
        opened,
        stored("active", None, ShardState::Active),
        stored("kept", None, ShardState::Done),
        stored("lost", None, ShardState::Lost),
        ShardItem { unlisted: true, ..stored("noted", None, ShardState::Active) },
        ShardItem { unlisted: true, ..stored("back", None, ShardState::Active) },
        ShardItem { expires_at: Some(5), ..stored("back-too", None, ShardState::Done) },
        stored("unopened", Some("needed"), ShardState::Active),
        with_child("childless", "deleted-before"),
        with_child("needed", "unopened"),
        with_child("served", "opened"),
    ]);
    let listed = ["back", "back-too", "opened", "unopened"].map(shard_id);
    let notes = graph.notes(&listed.iter().collect(), |shard| shard.as_str() != "kept");
    let notes: Vec<(&str, Note)> = notes.iter().map(|(shard, note)| (shard.as_str(), *note)).collect();
    let expected = [
        ("active", Note::Unlisted),
        ("back", Note::Listed),
        ("back-too", Note::Listed),
        ("childless", Note::Served),
        ("lost", Note::Served),
        ("served", Note::Served),
    ];
    assert_eq!(notes, expected);
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
        ShardItem { expires_at: Some(1), ..stored("served", None, ShardState::Done) },
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
        let births = graph(vec![]).missing(&listed, &Position::At(5), boot_done, false);
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
