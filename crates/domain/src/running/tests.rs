//! Adoption of definition files: what is added, what is refused, and what an operator may do.

use std::time::Duration;

use super::*;
use crate::name::DimensionName;

mod convergence;

const FILE: &str = "\
sources:
  orders: { table: Orders, tenant: { attribute: tenant_id, default: demo } }
  stock: { table: Stock, key: { partition: sku }, tenant: { constant: acme } }
metrics:
  sales:
    source: orders
    time: at
    measures:
      units: { sum: quantity }
      orders: { count: true }
      average: { ratio: [units, orders] }
    dimensions: { item: item, region: region }
    group_by: [[], [item]]
    lanes: 2
inventory:
  stock: { source: stock, item: sku, on_hand: on_hand }
";

fn file(text: &str) -> Definitions {
    Definitions::parse(text).expect("a valid file")
}

/// [`FILE`] with some parts exchanged.
fn changed(parts: &[(&str, &str)]) -> Definitions {
    let mut text = FILE.to_owned();
    for (from, to) in parts {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    file(&text)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn running() -> Running {
    Running::first(&file(FILE))
}

fn sales() -> MetricName {
    MetricName::new("sales").expect("a name")
}

fn measure(name: &str) -> MeasureName {
    MeasureName::new(name).expect("a name")
}

fn adopted(running: &Running, file: &Definitions, now: i64) -> Running {
    running.propose(file, at(now)).expect("adoptable").next.expect("a change")
}

fn refused(file: &Definitions) -> String {
    running().propose(file, at(100)).map_or_else(|refused| refused.to_string(), |proposal| format!("adopted: {proposal:?}"))
}

fn warnings(file: &Definitions) -> Vec<String> {
    running().propose(file, at(100)).expect("adoptable").warnings.iter().map(Warning::to_string).collect()
}

#[test]
fn a_document_survives_being_stored() {
    let document = adopted(&running(), &changed(&[("lanes: 2", "lanes: 4"), ("[[], [item]]", "[[], [region]]")]), 100);
    let stored = serde_json::to_string(&document).expect("plain data");
    assert_eq!(Running::from_json(&stored).expect("a document"), document);
}

#[test]
fn a_newer_format_is_refused_before_its_content_is_read() {
    let error = Running::from_json(r#"{"format": 2, "what": "ever"}"#).expect_err("too new");
    assert_eq!(error.to_string(), "what is stored has format 2, and this binary knows formats up to 1: run a newer binary");
    assert!(Running { format: 2, ..running() }.is_supported().is_err());
    assert!(running().is_supported().is_ok());
    assert!(matches!(Running::from_json(r#"{"format": 1}"#), Err(Error::Unreadable(_))));
}

#[test]
fn the_same_file_changes_nothing_and_what_is_only_shown_may_change() {
    assert_eq!(running().propose(&file(FILE), at(100)), Ok(Proposal { next: None, warnings: vec![] }));
    let shown = changed(&[("{ sum: quantity }", "{ sum: quantity, unit: pieces }"), ("key: { partition: sku }, ", "")]);
    let next = adopted(&running(), &shown, 100);
    assert_eq!(next.sources, shown.sources);
    assert_eq!((next.version, next.metrics[&sales()].generation, next.metrics[&sales()].since), (2, 1, None));
    assert_eq!(next.metrics[&sales()].definition.measures[&measure("units")].unit(), Some("pieces"));
}

#[test]
fn what_is_new_counts_from_now_and_the_rest_goes_on() {
    let more = changed(&[
        ("      orders:", "      returns: { sum: returned }\n      orders:"),
        ("[[], [item]]", "[[], [item], [region]]"),
        (
            "inventory:",
            "  visits:\n    source: orders\n    time: at\n    measures: { n: { count: true } }\n    group_by: [[]]\ninventory:",
        ),
    ]);
    let next = adopted(&running(), &more, 100);
    let metric = &next.metrics[&sales()];
    assert_eq!((next.version, metric.generation, metric.since), (2, 1, None));
    assert_eq!(metric.measures_since, [(measure("returns"), at(100))].into());
    assert_eq!(metric.sets_since, [("region".to_owned(), at(100))].into());
    assert_eq!(next.metrics[&MetricName::new("visits").expect("a name")].since, Some(at(100)));
    let names: Vec<Vec<_>> =
        metric.measure_cohorts().into_iter().map(|cohort| cohort.into_iter().map(|(name, _)| name.as_str()).collect()).collect();
    assert_eq!(names, [vec!["orders", "units"], vec!["returns"]]);
}

#[test]
fn a_ratio_began_with_the_later_of_its_parts() {
    let more =
        changed(&[("average: {", "returns: { sum: returned }\n      rate: { ratio: [returns, units] }\n      average: {")]);
    let metric = &adopted(&running(), &more, 100).metrics[&sales()];
    assert_eq!(metric.measure_since(&measure("rate")), Some(at(100)));
    assert_eq!(metric.measure_since(&measure("average")), None);
    let region = GroupingSet::new([DimensionName::new("region").expect("a name")]);
    let metric = &adopted(&running(), &changed(&[("[[], [item]]", "[[], [region]]")]), 100).metrics[&sales()];
    assert_eq!((metric.set_since(&region), metric.set_since(&GroupingSet::default())), (Some(at(100)), None));
}

#[test]
fn every_changed_meaning_is_refused_with_the_ways_on() {
    let metric = |changed: &str| {
        format!(
            "metric `sales`: {changed} changed, and its rows were counted with what it was. Give the changed metric a new name, or \
             let it start anew with `tidemark definitions accept sales --from-now`"
        )
    };
    for (from, to, expected) in [
        ("source: orders", "source: stock", metric("source")),
        ("time: at", "time: created", metric("time")),
        ("time: at", "time: at\n    where: [{ attribute: x, exists: true }]", metric("where")),
        ("time: at", "time: at\n    currency: { attribute: c }", metric("currency")),
        ("{ sum: quantity }", "{ count: true }", metric("measure `units`")),
        ("[units, orders]", "[orders, units]", metric("measure `average`")),
        ("{ item: item,", "{ item: sku,", metric("dimension `item`")),
    ] {
        assert_eq!(refused(&changed(&[(from, to)])), expected);
    }
    assert_eq!(
        refused(&changed(&[
            ("table: Orders", "table: Orders2"),
            ("on_hand: on_hand", "on_hand: units"),
            ("time: at", "time: t")
        ])),
        format!(
            "source `orders`: table changed, and items were read with what it was. Give the changed source and the metric `sales` \
             new names, or let the metric start anew with `tidemark definitions accept sales --from-now`\n{}\ninventory `stock`: \
             on_hand changed, and its levels were made with what it was. Give the changed inventory a new name",
            metric("time")
        )
    );
}

#[test]
fn a_file_must_also_hold_together_with_what_keeps_running() {
    let renamed = FILE.replace("orders: { table", "buys: { table").replace("source: orders", "source: buys");
    let renamed = file(&renamed.replace("  sales:", "  purchases:"));
    assert_eq!(
        refused(&renamed),
        "sources.orders.table: the source `buys` reads the table `Orders` too; let one source serve all its metrics; parts no \
         longer in the file still count, until `tidemark definitions remove NAME`"
    );
}

#[test]
fn what_the_file_leaves_out_keeps_running_with_a_warning() {
    let less = changed(&[("      units: { sum: quantity }\n", ""), ("[units, orders]", "[orders, orders]")]);
    assert!(refused(&less).contains("measure `average` changed"));
    let less = changed(&[
        ("      average: { ratio: [units, orders] }\n", ""),
        ("[[], [item]]", "[[]]"),
        ("lanes: 2", "lanes: 1"),
        ("inventory:\n  stock: { source: stock, item: sku, on_hand: on_hand }\n", ""),
        ("  stock: { table: Stock, key: { partition: sku }, tenant: { constant: acme } }\n", ""),
    ]);
    assert_eq!(running().propose(&less, at(100)).expect("adoptable").next, None);
    let part = |name: &str| {
        format!(
            "{name} of metric `sales` is not in the file and keeps counting, until `tidemark definitions accept sales --from-now` \
             (the metric starts anew) or `tidemark definitions remove sales --for-good`"
        )
    };
    assert_eq!(
        warnings(&less),
        [
            "source `stock` is not in the file and keeps running, until `tidemark definitions remove stock`".to_owned(),
            part("measure `average`"),
            part("grouping set [item]"),
            "metric `sales` keeps its 2 lanes; the file's 1 would leave rows unread".to_owned(),
            "inventory `stock` is not in the file and keeps running, until `tidemark definitions remove stock`".to_owned(),
        ]
    );
}

#[test]
fn a_new_lane_is_written_once_its_rise_is_known_for_ten_seconds() {
    let once = adopted(&running(), &changed(&[("lanes: 2", "lanes: 4")]), 100);
    let metric = &once.metrics[&sales()];
    let written = |metric: &RunningMetric| [0, 9, 10, 100].map(|seconds| metric.lanes_written(Duration::from_secs(seconds)));
    assert_eq!((metric.lanes_read(), written(metric)), (4, [2, 2, 4, 4]));
    let twice = adopted(&once, &changed(&[("lanes: 2", "lanes: 8")]), 105);
    let metric = &twice.metrics[&sales()];
    assert_eq!((metric.lanes_read(), written(metric)), (8, [2, 2, 8, 8]), "the first rise had not settled");
    let later = adopted(&once, &changed(&[("lanes: 2", "lanes: 8")]), 200);
    assert_eq!(written(&later.metrics[&sales()]), [4, 4, 8, 8]);
}

#[test]
fn another_time_zone_database_is_a_warning() {
    let old = Running { tzdb: "1999a".to_owned(), ..running() };
    let proposal = old.propose(&file(FILE), at(100)).expect("adoptable");
    assert_eq!(proposal, Proposal { next: None, warnings: vec![Warning::OtherTimeZones { running: "1999a".to_owned() }] });
}

#[test]
fn an_accepted_metric_starts_anew() {
    let before = adopted(&running(), &changed(&[("[[], [item]]", "[[], [region]]"), ("lanes: 2", "lanes: 4")]), 50);
    let proposed = changed(&[("time: at", "time: created"), ("table: Orders", "table: Orders2")]);
    let next = before.accept_from_now(&proposed, &sales(), at(100), None).expect("acceptable");
    assert_eq!(next.metrics[&sales()], RunningMetric::begin(&proposed.metrics[&sales()], 2, Some(at(100))));
    assert_eq!((next.version, next.sources.clone()), (3, proposed.sources.clone()));
    assert_eq!(next.propose(&proposed, at(200)), Ok(Proposal { next: None, warnings: vec![] }));
}

#[test]
fn acceptance_that_would_do_nothing_or_touch_others_is_refused() {
    let accept = |file: &Definitions, metric: &str| {
        let metric = MetricName::new(metric).expect("a name");
        running().accept_from_now(file, &metric, at(100), None).map_or_else(|error| error.to_string(), |next| format!("{next:?}"))
    };
    assert_eq!(accept(&file(FILE), "sales"), "the metric `sales` runs exactly as the file says; there is nothing to accept");
    assert_eq!(accept(&file(FILE), "visits"), "no metric `visits` is running; a new one needs no acceptance");
    let shared = changed(&[("source: orders", "source: stock"), ("table: Stock", "table: Stock2")]);
    assert_eq!(
        accept(&shared, "sales"),
        "source `stock` changed too, and inventory.stock read it as it is: give the changed source a new name, or first remove \
         them with `tidemark definitions remove NAME --for-good`"
    );
}

#[test]
fn a_metric_whose_days_have_moved_starts_again_as_it_is_and_only_once() {
    let moved_at = Some(at(50));
    let accept = |running: &Running, now| running.accept_from_now(&file(FILE), &sales(), at(now), moved_at);
    let again = accept(&running(), 100).expect("it began with the deployment");
    assert_eq!(again.metrics[&sales()], RunningMetric::begin(&running().metrics[&sales()].definition, 2, Some(at(100))));
    assert!(matches!(accept(&again, 200), Err(Error::Unchanged(_))), "nothing has moved since");
    let later = again.accept_from_now(&file(FILE), &sales(), at(200), Some(at(150))).expect("its days have moved once more");
    assert_eq!(later.metrics[&sales()].generation, 3);
}

#[test]
fn a_removed_metric_comes_back_with_a_new_generation_and_takes_its_source_along() {
    let without = running().remove("sales").expect("removable");
    assert_eq!((without.version, without.metrics.len()), (2, 0));
    assert_eq!(without.sources.keys().map(SourceName::as_str).collect::<Vec<_>>(), ["stock"]);
    let back = adopted(&without, &file(FILE), 100);
    assert_eq!((back.metrics[&sales()].generation, back.metrics[&sales()].since), (2, Some(at(100))));
}

#[test]
fn a_name_of_several_things_must_be_said_in_full() {
    let remove = |running: &Running, name: &str| running.remove(name).map(|next| next.version).map_err(|error| error.to_string());
    assert_eq!(remove(&running(), "visits"), Err("nothing of the name `visits` is running".to_owned()));
    assert_eq!(remove(&running(), "stock"), Ok(2), "the inventory, and its source with it");
    let in_use = "source `orders` is still read by metrics.sales; remove those, and it goes with the last";
    assert_eq!(remove(&running(), "orders"), Err(in_use.to_owned()));
    let twins = Running::first(&changed(&[("  sales:", "  stock:")]));
    let several = "`stock` names several things; say which: metrics.stock, inventory.stock";
    assert_eq!(remove(&twins, "stock"), Err(several.to_owned()));
    assert_eq!(remove(&twins, "inventory.stock"), Ok(2));
}
