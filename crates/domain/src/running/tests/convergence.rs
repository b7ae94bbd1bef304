//! Rollouts side by side: whatever two files propose, in any order, the document grows and comes to rest.

use proptest::prelude::*;

use super::*;

/// Files over a few names, whose parts may contradict each other.
fn any_file() -> impl Strategy<Value = Definitions> {
    let measures = proptest::collection::btree_map(0..4u8, 0..8u8, 1..4);
    let sets = proptest::collection::btree_set(0..4usize, 1..4);
    let metric = (measures, sets, 1..4u16, prop_oneof![9 => Just("at"), 1 => Just("created")]);
    let metrics = proptest::collection::btree_map(0..3u8, metric, 1..3);
    let on_hand = proptest::option::of(prop_oneof![9 => Just("on_hand"), 1 => Just("units")]);
    (metrics, on_hand).prop_map(|(metrics, on_hand)| {
        let mut text = "sources: { s: { table: Table, tenant: { constant: t } } }\nmetrics:\n".to_owned();
        for (name, (measures, sets, lanes, time)) in metrics {
            let measures: Vec<_> = measures
                .into_iter()
                .map(|(name, variant)| format!("m{name}: {{ {} }}", if variant == 0 { "sum: other" } else { "sum: quantity" }))
                .collect();
            let sets: Vec<_> = sets.into_iter().map(|set| ["[]", "[a]", "[b]", "[a, b]"][set]).collect();
            let (measures, sets) = (measures.join(", "), sets.join(", "));
            let parts = format!("dimensions: {{ a: a, b: b }}, measures: {{ {measures} }}, group_by: [{sets}]");
            text.push_str(&format!("  k{name}: {{ source: s, time: {time}, lanes: {lanes}, {parts} }}\n"));
        }
        if let Some(on_hand) = on_hand {
            text.push_str(&format!("inventory: {{ i: {{ source: s, item: sku, on_hand: {on_hand} }} }}\n"));
        }
        file(&text)
    })
}

/// What adoption may never do to what already runs.
fn assert_only_grows(before: &Running, after: &Running) -> Result<(), TestCaseError> {
    prop_assert_eq!(after.version, before.version + 1);
    for (name, old) in &before.metrics {
        let new = &after.metrics[name];
        prop_assert_eq!((new.generation, new.since), (old.generation, old.since));
        prop_assert!(old.measures_since.iter().all(|(name, since)| new.measures_since.get(name) == Some(since)));
        prop_assert!(old.sets_since.iter().all(|(set, since)| new.sets_since.get(set) == Some(since)));
        prop_assert!(old.definition.measures.iter().all(|(name, formula)| new.definition.measures.get(name) == Some(formula)));
        prop_assert!(old.definition.group_by.is_subset(&new.definition.group_by));
        prop_assert!(new.definition.lanes >= old.definition.lanes);
    }
    Ok(())
}

/// Proposes the files in turn; refused ones leave the document as it is.
fn propose_all(first: &Running, files: &[&Definitions]) -> Result<Running, TestCaseError> {
    let mut running = first.clone();
    for (file, second) in files.iter().zip(100..) {
        if let Ok(Proposal { next: Some(next), .. }) = running.propose(file, at(second)) {
            assert_only_grows(&running, &next)?;
            running = next;
        }
    }
    Ok(running)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn two_rollouts_side_by_side_come_to_rest(start in any_file(), a in any_file(), b in any_file(), order in any::<[bool; 6]>()) {
        let start = Running::first(&start);
        let files: Vec<_> = [true, false].into_iter().chain(order).map(|first| if first { &a } else { &b }).collect();
        let settled = propose_all(&start, &files)?;
        prop_assert_eq!(&propose_all(&settled, &[&a, &b, &a, &b])?, &settled);

        // When neither is refused, the order of the two does not matter either.
        let adoptable = |running: &Running, file| running.propose(file, at(100)).is_ok();
        if adoptable(&settled, &a) && adoptable(&settled, &b) {
            prop_assert_eq!(propose_all(&start, &[&b, &a])?.definitions(), settled.definitions());
        }
    }

    #[test]
    fn a_document_holds_every_adopted_file(start in any_file(), a in any_file()) {
        let start = Running::first(&start);
        if let Ok(Proposal { next, .. }) = start.propose(&a, at(100)) {
            let now = next.unwrap_or(start);
            for (name, metric) in &a.metrics {
                let running = &now.metrics[name].definition;
                prop_assert!(metric.measures.iter().all(|(name, formula)| running.measures.get(name) == Some(formula)));
                prop_assert!(metric.group_by.is_subset(&running.group_by));
            }
        }
    }
}
