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

fn born(births: &[Birth]) -> Vec<&str> {
    names(births.iter().map(|birth| &birth.shard))
}

fn gaps(births: &[Birth]) -> Vec<(&str, Option<GapReason>)> {
    assert!(births.iter().all(|birth| birth.shard.gap == birth.gap.is_some()), "{births:?}");
    births.iter().map(|birth| (birth.shard.shard.as_str(), birth.gap)).collect()
}

#[test]
fn parents_are_stored_before_their_children() {
    let births =
        graph(vec![]).missing(&listed(&[("a", Some("b")), ("b", Some("c")), ("c", None)]), &Position::At(5), false, false);
    assert_eq!(born(&births), ["c", "b", "a"]);
    let positions: Vec<&Position> = births.iter().map(|birth| &birth.shard.fence.position).collect();
    assert_eq!(
        positions,
        [&Position::At(5), &Position::At(5), &Position::At(5)],
        "what was there at the start begins at the start"
    );
}

#[test]
fn a_parent_that_was_trimmed_before_the_start_is_no_gap_and_later_it_is_one() {
    let listed = listed(&[("a", Some("gone"))]);
    let at_start = graph(vec![]).missing(&listed, &Position::At(5), false, false);
    assert_eq!(gaps(&at_start), [("a", None)]);
    assert_eq!((&at_start[0].shard.parent, &at_start[0].shard.fence.position), (&None, &Position::At(5)));
    let later = graph(vec![]).missing(&listed, &Position::At(5), true, false);
    assert_eq!(gaps(&later), [("a", Some(GapReason::Lineage))]);
    assert_eq!((&later[0].shard.parent, &later[0].shard.fence.position), (&None, &Position::At(5)));
}

#[test]
fn a_parent_that_is_stored_but_no_longer_listed_still_gates() {
    let graph = graph(vec![stored("p", None, ShardState::Done)]);
    let births = graph.missing(&listed(&[("a", Some("p"))]), &Position::TrimHorizon, true, false);
    assert_eq!((gaps(&births), &births[0].shard.parent), (vec![("a", None)], &Some(shard_id("p"))));
}

#[test]
fn the_first_shards_of_a_streams_successor_begin_with_a_gap_whatever_was_noted_before() {
    let listed = listed(&[("a", None), ("b", Some("gone")), ("c", Some("a"))]);
    let births = |stored, boot_done| graph(stored).missing(&listed, &Position::TrimHorizon, boot_done, true);
    let replaced = Some(GapReason::Replaced);
    assert_eq!(gaps(&births(vec![], false)), [("a", replaced), ("b", replaced), ("c", None)]);
    let lineage = ("b", Some(GapReason::Lineage));
    assert_eq!(gaps(&births(vec![], true)), [("a", replaced), lineage, ("c", None)], "an empty listing was taken for the first");
    let first = || vec![stored("z", None, ShardState::Active)];
    assert_eq!(
        gaps(&births(first(), false)),
        [("a", replaced), ("b", replaced), ("c", None)],
        "the first listing is being stored"
    );
    assert_eq!(gaps(&births(first(), true)), [("a", None), lineage, ("c", None)]);
}

#[test]
fn a_shard_begins_where_its_stream_does_unless_it_is_younger() {
    let (before, since) = ("shardId-00000001799999999999-2bac9cd2", "shardId-00000001800000000000-2bac9cd2");
    let (start, beginning) = (Position::At(1_800_000_000_000), Position::TrimHorizon);
    let graph = graph(vec![stored("done", None, ShardState::Done)]);
    for parent in [None, Some("done"), Some("gone"), Some("unknown-age")] {
        let listed = listed(&[(before, parent), (since, parent), ("unknown-age", None)]);
        for boot_done in [false, true] {
            let births = graph.missing(&listed, &start, boot_done, false);
            let position = |id| &births.iter().find(|birth| birth.shard.shard.as_str() == id).unwrap().shard.fence.position;
            assert_eq!([before, since, "unknown-age"].map(position), [&start, &beginning, &start]);
            let births = graph.missing(&listed, &beginning, boot_done, false);
            assert!(births.iter().all(|birth| birth.shard.fence.position == beginning), "{births:?}");
        }
    }
}

#[test]
fn children_are_linked_that_are_stored_or_about_to_be_and_were_not() {
    let linked = ShardItem { children: vec![shard_id("linked")], ..stored("p", None, ShardState::Done) };
    let graph = graph(vec![
        linked,
        stored("linked", Some("p"), ShardState::Active),
        stored("lost-link", Some("p"), ShardState::Active),
        stored("orphan", Some("expired"), ShardState::Active),
    ]);
    let births =
        graph.missing(&listed(&[("born", Some("p")), ("grandchild", Some("born"))]), &Position::TrimHorizon, true, false);
    let expected = [("born", vec!["grandchild"]), ("p", vec!["lost-link", "born"])];
    assert_eq!(
        graph.unlinked(&births),
        expected.map(|(parent, children)| (shard_id(parent), children.into_iter().map(shard_id).collect())).into()
    );
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
fn a_shard_that_was_never_read_is_included_up_to_its_beginning_unless_it_waits_for_another_stream() {
    const ROOT: &str = "shardId-00000001800000030000-2bac9cd2";
    let at = |ms| Timestamp::from_millisecond(ms).unwrap();
    let mut graph = graph(vec![
        stored(ROOT, None, ShardState::Active),
        ShardItem { watermark: Some(at(7)), ..stored("emulated", None, ShardState::Active) },
    ]);
    let included = |graph: &ShardGraph, shard| graph.included_up_to(&shard_id(shard));
    assert_eq!((included(&graph, ROOT), included(&graph, "emulated")), (Some(at(1_800_000_030_000)), Some(at(7))));
    graph.hold_roots(true);
    assert_eq!((included(&graph, ROOT), included(&graph, "emulated")), (None, None));
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
            let was = listed.iter().find(|listed| listed.shard == birth.shard.shard).unwrap();
            match (&was.parent, &birth.shard.parent) {
                (Some(_), None) => prop_assert_eq!(birth.gap.is_some(), boot_done),
                (was, is) => prop_assert_eq!(was, is),
            }
            let is_cyclic = successors(birth.shard.parent.as_ref(), |shard| {
                listed.iter().find(|listed| listed.shard == **shard).and_then(|listed| listed.parent.as_ref())
            }).take(20).count() == 20;
            if let (Some(parent), false) = (&birth.shard.parent, is_cyclic) {
                prop_assert!(births[..at].iter().any(|earlier| earlier.shard.shard == *parent), "{:?}", births);
            }
        }
    }
}
