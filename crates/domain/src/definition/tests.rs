//! Definition files as their authors write them, with every mistake we know of.

use proptest::prelude::*;

use super::*;

/// A file with one of everything; the line numbers below count from its first.
const FILE: &str = "\
sources:
  orders:
    table: Order_by_item
    key: { partition: orderid, sort: order_date }
    tenant: { attribute: tenant_id, default: demo }
  stock:
    table: Stock
    key: { partition: item_number, sort: location }
    tenant: { constant: acme }
metrics:
  sales:
    source: orders
    time: order_date
    where:
      - { attribute: status, not_in: [cancelled], or_missing: true }
    currency: { attribute: currency, default: USD }
    measures:
      units: { sum: quantity }
      revenue: { sum: [unit_price, quantity], unit: money }
      average: { ratio: [revenue, units] }
    dimensions: { item: item_number, region: region }
    group_by: [[], [item], [item, region]]
    lanes: 4
inventory:
  levels:
    source: stock
    item: item_number
    location: location
    on_hand: on_hand
    committed: { attribute: committed, default: 0 }
";

fn problems(text: &str) -> String {
    Definitions::parse(text).map_or_else(|invalid| invalid.to_string(), |_| "valid".to_owned())
}

#[test]
fn the_example_files_are_valid() {
    let retail = Definitions::parse(include_str!("../../../../definitions/retail.yaml")).expect("valid");
    let sales = &retail.metrics[&MetricName::new("sales").expect("a name")];
    assert_eq!((sales.measures.len(), sales.group_by.len(), sales.lanes), (4, 5, 1));
    assert_eq!((retail.sources.len(), retail.inventories.len()), (2, 1));

    let guidance = Definitions::parse(include_str!("../../../../definitions/orders-by-item.yaml")).expect("valid");
    let sales = &guidance.metrics[&MetricName::new("sales").expect("a name")];
    let units = Measure::Sum { factors: vec!["quantity".to_owned()], unit: None };
    assert_eq!(sales.measures, [(MeasureName::new("units").expect("a name"), units)].into());
    assert_eq!(sales.group_by.iter().map(GroupingSet::to_string).collect::<Vec<_>>(), ["[]", "[item]"]);
    assert_eq!(sales.currency, None);
}

#[test]
fn a_file_means_what_it_says() {
    let read = Definitions::parse(FILE).expect("valid");
    let orders = &read.sources[&SourceName::new("orders").expect("a name")];
    assert_eq!(orders.ttl_delete, TtlDelete::Keep);
    assert_eq!(orders.key, Some(KeySchema { partition: "orderid".to_owned(), sort: Some("order_date".to_owned()) }));
    let sales = &read.metrics[&MetricName::new("sales").expect("a name")];
    let test = Test::NotIn(["cancelled".to_owned()].into());
    assert_eq!(sales.conditions, [Condition { attribute: "status".to_owned(), test, or_missing: true }]);
    assert_eq!(sales.lanes, 4);
    let levels = &read.inventories[&InventoryName::new("levels").expect("a name")];
    assert_eq!(levels.location, Some(LocationRule { attribute: "location".to_owned(), default: None }));
    let committed = Quantity { attribute: "committed".to_owned(), default: Some(Decimal::zero()) };
    assert_eq!((&levels.committed, &levels.incoming), (&Some(committed), &None));
}

#[test]
fn condition_values_are_compared_by_canonical_text() {
    let file = FILE.replace("[cancelled]", "[5, true, '5.0', x, 2026-01-01]");
    let read = Definitions::parse(&file).expect("valid");
    let conditions = &read.metrics[&MetricName::new("sales").expect("a name")].conditions;
    assert_eq!(conditions[0].test, Test::NotIn(["5", "true", "5.0", "x", "2026-01-01"].map(str::to_owned).into()));
}

#[test]
fn a_number_without_quotes_that_is_not_written_as_numbers_are_is_refused_with_both_ways_to_write_it() {
    let said = |value: &str| problems(&FILE.replace("[cancelled]", &format!("[open, {value}]")));
    for value in ["0", "7", "-1.5", "12345678901234567890.5", "'007'", "'1e3'"] {
        assert_eq!(said(value), "valid", "{value}");
    }
    let numbers =
        [("007", "7"), ("010", "10"), ("1.50", "1.5"), ("1e3", "1000"), ("+5", "5"), (".5", "0.5"), ("-0", "0"), ("5.", "5")];
    for (written, number) in numbers {
        let expected = format!(
            "`{written}` may be a number or a text: for the number write {number}; for the text put it in quotes: '{written}'"
        );
        assert_eq!(said(written), format!("line 15: metrics.sales.where[0].not_in[1]: {expected}"));
    }
    for written in ["0x10", "0o10", "1_000", ".inf", "1e400"] {
        let expected = format!("`{written}` may be a number or a text: for the text put it in quotes: '{written}'");
        assert_eq!(said(written), format!("line 15: metrics.sales.where[0].not_in[1]: {expected}"));
    }
}

#[test]
fn sources_that_nothing_uses_are_known() {
    let unused = |text: &str| {
        let read = Definitions::parse(text).expect("valid");
        read.unused_sources().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(unused(FILE), Vec::<String>::new());
    let (without_inventory, _) = FILE.split_once("inventory:").expect("it has one");
    assert_eq!(unused(without_inventory), ["stock"]);
}

#[test]
fn an_alias_repeats_what_it_names() {
    let file = FILE.replace("{ attribute: tenant_id, default: demo }", "&all { constant: acme }");
    let file = file.replace("tenant: { constant: acme }", "tenant: *all");
    let read = Definitions::parse(&file).expect("valid");
    assert!(read.sources.values().all(|source| source.tenant == TenantRule::Constant(TenantId::new("acme").expect("an id"))));
}

#[test]
fn every_problem_of_a_file_is_told_in_the_order_of_lines() {
    let file = FILE
        .replace("tenant: { constant: acme }", "tenant: { constant: a b }")
        .replace("source: orders", "source: order")
        .replace("lanes: 4", "lanes: 0")
        .replace("    on_hand: on_hand\n", "    onhand: on_hand\n");
    assert_eq!(
        problems(&file),
        "line 9: sources.stock.tenant.constant: a tenant id is 1 to 64 of A-Z a-z 0-9 _ -\n\
         line 12: metrics.sales.source: there is no source `order`; the file's sources: orders, stock; did you mean `orders`?\n\
         line 23: metrics.sales.lanes: must be a whole number from 1 to 64\n\
         line 25: inventory.levels.on_hand: is missing\n\
         line 29: inventory.levels: unknown field `onhand`; allowed: source, item, location, on_hand, committed, incoming, \
         reorder_point; did you mean `on_hand`?"
    );
}

#[test]
fn a_file_full_of_problems_tells_the_first_hundred() {
    let unknown: String = (0..500).map(|n| format!("x{n}: 1\n")).collect();
    let Err(invalid) = Definitions::parse(&format!("{FILE}{unknown}")) else { panic!("valid") };
    assert_eq!(invalid.problems().len(), 101);
    assert_eq!(invalid.problems()[100].to_string(), "line 131: 400 more problems follow");
}

#[test]
fn problems_of_the_whole_file() {
    for (file, expected) in [
        (
            "sources: {}",
            "line 1: sources: needs at least one source\n\
                         line 1: needs at least one metric (under `metrics`) or inventory (under `inventory`)",
        ),
        (
            "source: {}\ninventory: { i: { source: s, item: i, on_hand: h } }",
            "line 1: unknown field `source`; allowed: sources, metrics, inventory; did you mean `sources`?\nline 1: sources: is missing",
        ),
        ("metrics:", "line 1: sources: is missing\nline 1: metrics: must be a map from names; this is empty"),
        ("[]", "line 1: must be a map with the fields sources, metrics, inventory; this is a list"),
    ] {
        assert_eq!(problems(file), expected, "{file}");
    }
}

/// The mistakes of `tests/problems.txt`: the lines of [`FILE`] after `-` exchanged for those after `+`, and what is said.
#[test]
fn every_mistake_is_named_with_its_line_and_what_is_allowed() {
    let cases: Vec<_> = include_str!("tests/problems.txt").split("\n\n").skip(1).map(str::trim_end).collect();
    assert_eq!(cases.len(), 57);
    for case in cases {
        let part =
            |mark| case.lines().filter_map(|line| line.strip_prefix(mark)).map(|line| format!("{line}\n")).collect::<String>();
        let expected: Vec<_> = case.lines().filter(|line| !line.starts_with(['-', '+'])).collect();
        assert_eq!(FILE.matches(&part('-')).count(), 1, "{case}");
        assert_eq!(problems(&FILE.replace(&part('-'), &part('+'))), expected.join("\n"), "{case}");
    }
}

#[test]
fn one_record_may_touch_ninety_rows_and_no_more() {
    let orders_alone = FILE
        .replace("    key: { partition: orderid, sort: order_date }\n", "")
        .replace("source: stock\n    item", "source: orders\n    item");
    let dimensions: Vec<_> = (0..19).map(|n| format!("d{n}")).collect();
    let declared = dimensions.iter().map(|name| format!("{name}: {name}")).collect::<Vec<_>>().join(", ");
    let with_sets = |count: usize| {
        let sets = dimensions[..count].iter().map(|name| format!("[{name}]")).collect::<Vec<_>>().join(", ");
        orders_alone
            .replace("{ item: item_number, region: region }", &format!("{{ {declared} }}"))
            .replace("[[], [item], [item, region]]", &format!("[[], {sets}]"))
    };
    assert_eq!(problems(&with_sets(18)), "valid");
    assert_eq!(
        problems(&with_sets(19)),
        "line 2: sources.orders: one record of `orders` could touch 93 rows, and a commit takes at most 90: each grouping set of \
         its metrics counts 4, each inventory 13"
    );
}

#[test]
fn a_metric_stores_a_hundred_measures_and_no_more() {
    let with_measures = |count: usize| {
        let more: String = (2..count).map(|n| format!("      m{n}: {{ count: true }}\n")).collect();
        problems(&FILE.replace("      average:", &format!("{more}      average:")))
    };
    assert_eq!(with_measures(100), "valid");
    assert_eq!(with_measures(101), "line 17: metrics.sales.measures: 101 stored measures; at most 100 are allowed");
}

#[test]
fn names_of_a_set_must_fit_into_a_key() {
    let dimensions: Vec<_> = (0..41).map(|n| format!("d{n:047}")).collect();
    let declared = dimensions.iter().map(|name| format!("{name}: x")).collect::<Vec<_>>().join(", ");
    let with_dimensions = |count: usize| {
        FILE.replace("{ item: item_number, region: region }", &format!("{{ {declared} }}"))
            .replace("[[], [item], [item, region]]", &format!("[[{}]]", dimensions[..count].join(", ")))
    };
    assert_eq!(problems(&with_dimensions(39)), "valid");
    assert_eq!(
        problems(&with_dimensions(40)),
        "line 22: metrics.sales.group_by: the names of a set of 40 dimensions make a key of 2062 bytes, over 2048"
    );
}

#[test]
fn an_inventory_names_the_key_attributes_it_leaves_out() {
    let read = Definitions::parse(FILE).expect("valid");
    let levels = &read.inventories[&InventoryName::new("levels").expect("a name")];
    let source = &read.sources[&levels.source];
    let key = |partition: &str, sort: Option<&str>| KeySchema { partition: partition.to_owned(), sort: sort.map(str::to_owned) };
    assert_eq!(levels.uncovered_keys(source, &key("location", Some("item_number"))), Vec::<String>::new());
    assert_eq!(levels.uncovered_keys(source, &key("item_number", None)), Vec::<String>::new());
    assert_eq!(levels.uncovered_keys(source, &key("sku", Some("warehouse"))), ["sku", "warehouse"]);
    let by_tenant = TenantRule::Attribute { attribute: "tenant_id".to_owned(), default: None };
    let source = Source { tenant: by_tenant, ..source.clone() };
    assert_eq!(levels.uncovered_keys(&source, &key("tenant_id", Some("item_number"))), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Every text is a file or has problems; none stops the reader.
    #[test]
    fn any_text_is_read_or_refused(noise in "[-:{}\\[\\]&*!|>?#a~1'\", \n\t]{0,40}", at in 0..FILE.len(), cut in 0..40usize) {
        let end = (at + cut).min(FILE.len());
        for text in [noise.clone(), format!("{}{noise}{}", &FILE[..at], &FILE[end..])] {
            if let Err(invalid) = Definitions::parse(&text) {
                let lines = text.lines().count() + 1;
                prop_assert!(invalid.problems().iter().all(|problem| (1..=lines).contains(&problem.line)), "{text:?}: {invalid}");
            }
        }
    }
}
