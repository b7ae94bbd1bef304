//! Answers against a naive grouping of the same rows, and the rules of their shape.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::prelude::*;
use tidemark_domain::calendar::{Granularity, Range, tile};
use tidemark_domain::definition::{GroupingSet, Metric};
use tidemark_domain::{Bucket, Currency, Decimal, Definitions, DimensionName, Group, MeasureName, Zone};
use tidemark_store::Row;

use super::answer::{Compose, DataRow, Total, Values};
use super::ask::{Ask, Compare, KNOWN};
use super::fold::{Fold, Measures, Shape, Table};
use super::plan::Comparison;
use crate::params::Params;
use crate::problem::ParameterError;

const SALES: &str = "
sources:
  orders: { table: Orders, tenant: { attribute: tenant_id, default: demo } }
metrics:
  sales:
    source: orders
    time: at
    currency: { attribute: currency, default: EUR }
    measures: { units: { sum: quantity }, orders: { count: true }, average: { ratio: [units, orders] } }
    dimensions: { item: item, region: region }
    group_by: [[], [item], [item, region]]
";

/// Monday, 29 June 2026.
const START: i64 = 1_782_691_200;

fn metric() -> Metric {
    Definitions::parse(SALES).expect("a good file").metrics.into_values().next().expect("one metric")
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn text(text: &str) -> Group {
    Group::Text(text.to_owned())
}

/// A row of the set [item, region], `quarter` quarters after the start.
fn row(item: Group, currency: &str, quarter: i64, units: &str, orders: i64) -> Row {
    let measure = |name| MeasureName::new(name).expect("a name");
    Row {
        groups: vec![item, text("EU")],
        currency: Some(Currency::new(currency).expect("a code")),
        bucket: Bucket::Quarter { start: Timestamp::from_second(START + quarter * 900).expect("an instant") },
        values: BTreeMap::from([(measure("units"), decimal(units)), (measure("orders"), Decimal::from(orders))]),
        broken: false,
    }
}

/// A good question of a tenant in UTC.
fn ask(query: &str, metric: &Metric, now: Timestamp) -> Ask {
    let mut params = Params::parse(Some(query));
    let ask = Ask::take(&mut params, metric, &Zone::utc(), now);
    params.finish(&KNOWN, || ask).expect("a good question")
}

/// What rows add up to.
fn folded(shape: Shape<'_>, rows: &[Row]) -> Table {
    let mut fold = Fold::new(shape);
    rows.iter().for_each(|row| fold.add(row));
    fold.finish()
}

type Shown = (Vec<Total>, Vec<DataRow>);

/// The answer to a query string about four hours from the start on, with these rows and those of the four hours before.
fn answer(query: &str, current: &[Row], previous: &[Row]) -> Result<Shown, ParameterError> {
    let metric = metric();
    let from = Timestamp::from_second(START).expect("an instant");
    let query = format!("from={from}&to={}&{query}", Timestamp::from_second(START + 4 * 3600).expect("an instant"));
    let ask = ask(&query, &metric, from);
    let dimension = |name| DimensionName::new(name).expect("a name");
    let set = GroupingSet::new([dimension("item"), dimension("region")]);
    let whole = Comparison { range: ask.range, spans: Vec::new() }.whole();
    let slots = match ask.granularity {
        None => vec![whole],
        Some(granularity) => tile(ask.range, granularity, &ask.zone, 10_000).expect("few slots"),
    };
    let measures = Measures::of(&metric);
    let shape = Shape { measures: &measures, set: &set, group_by: &ask.group_by, slots: &slots, zone: &ask.zone };
    let table = folded(shape, current);
    let before = Range { from: from - jiff::SignedDuration::from_hours(4), to: from };
    let before = Comparison { range: before, spans: Vec::new() }.whole();
    let previous = ask.compare.map(|_: Compare| folded(Shape { slots: &[before], ..shape }, previous));
    let watermark = Some(Timestamp::from_second(START + 2 * 3600).expect("an instant"));
    Compose { ask: &ask, measures: &measures, slots: &slots, current: &table, previous: previous.as_ref(), watermark }.rows()
}

fn shown(values: &Values) -> String {
    let value = |value: Option<&Decimal>| value.map_or_else(|| "null".to_owned(), ToString::to_string);
    values.values().map(value).collect::<Vec<_>>().join(" ")
}

fn name(row: &DataRow) -> String {
    let groups = row.dimensions.iter().flatten().map(|(_, group)| match group {
        Group::Text(text) => text.clone(),
        Group::Null => "null".to_owned(),
    });
    let groups: Vec<String> = groups.collect();
    let currency = row.total.currency.as_ref().map_or("", Currency::as_str);
    format!("{currency} {}", if row.other { "other".to_owned() } else { groups.join("/") })
}

fn rows() -> Vec<Row> {
    vec![
        row(text("a"), "EUR", 0, "1.5", 1),
        row(text("a"), "EUR", 5, "2.5", 1),
        row(text("b"), "EUR", 0, "10", 3),
        row(Group::Null, "EUR", 15, "3", 2),
        row(text("a"), "USD", 1, "7", 1),
    ]
}

#[test]
fn order_limit_and_remainder_apply_within_each_currency() {
    let (totals, data) = answer("group_by=item&order=-units&limit=1&other=true", &rows(), &[]).expect("a small answer");
    assert_eq!(data.iter().map(name).collect::<Vec<_>>(), ["EUR b", "EUR other", "USD a"]);
    // average, orders, units: the average is made anew from its parts, never averaged.
    assert_eq!(data.iter().map(|row| shown(&row.total.values)).collect::<Vec<_>>(), ["3.333333333333 3 10", "1.75 4 7", "7 1 7"]);
    assert_eq!(totals.iter().map(|total| shown(&total.values)).collect::<Vec<_>>(), ["2.428571428571 7 17", "7 1 7"]);
    let (_, by_key) = answer("group_by=item", &rows(), &[]).expect("a small answer");
    assert_eq!(by_key.iter().map(name).collect::<Vec<_>>(), ["EUR a", "EUR b", "EUR null", "USD a"]);
}

#[test]
fn empty_buckets_are_zeros_or_left_out_and_complete_ends_at_the_watermark() {
    let (_, data) = answer("granularity=PT1H&measures=units,average", &rows()[..2], &[]).expect("a small answer");
    let buckets: Vec<_> = data[0].buckets.iter().map(|bucket| (shown(&bucket.values), bucket.complete)).collect();
    let zero = || "null 0".to_owned();
    assert_eq!(buckets, [("1.5 1.5".to_owned(), true), ("2.5 2.5".to_owned(), true), (zero(), false), (zero(), false)]);
    assert!(data[0].dimensions.is_none() && data.len() == 1);
    let (_, data) = answer("granularity=PT1H&fill=none", &rows()[..2], &[]).expect("a small answer");
    assert_eq!(data[0].buckets.len(), 2);
}

#[test]
fn a_comparison_shows_what_is_gone_too() {
    let before =
        [row(text("a"), "EUR", -1, "1", 1), row(text("gone"), "EUR", -16, "4", 2), row(text("gone"), "CHF", -16, "4", 2)];
    let (totals, data) = answer("group_by=item&measures=units&compare=previous_period", &rows()[..2], &before).expect("small");
    assert_eq!(data.iter().map(name).collect::<Vec<_>>(), ["CHF gone", "EUR a", "EUR gone"]);
    let compared = |total: &Total| [&total.previous, &total.change].map(|values| shown(values.as_ref().expect("a comparison")));
    assert_eq!(data.iter().map(|row| compared(&row.total)).collect::<Vec<_>>(), [["4", "-4"], ["1", "3"], ["4", "-4"]]);
    assert_eq!(totals.iter().map(compared).collect::<Vec<_>>(), [["4", "-4"], ["5", "-1"]]);
}

#[test]
fn what_was_taken_back_leaves_no_trace() {
    let taken_back = [row(text("a"), "EUR", 0, "0", 0), row(text("b"), "EUR", 0, "2", 1), row(text("b"), "EUR", 1, "-2", -1)];
    assert_eq!(answer("group_by=item", &taken_back, &[]), Ok((Vec::new(), Vec::new())));
    // Something given away is an order all the same.
    let (_, data) = answer("group_by=item", &[row(text("a"), "EUR", 0, "0", 1)], &[]).expect("a small answer");
    assert_eq!(shown(&data[0].total.values), "0 1 0");
}

#[test]
fn an_answer_with_too_many_cells_is_refused_with_their_number() {
    let many: Vec<Row> = (0..700).map(|n| row(text(&n.to_string()), "EUR", 0, "1", 1)).collect();
    let refused = answer("group_by=item&granularity=PT15M", &many, &[]).expect_err("700 × 16 cells");
    assert_eq!(refused.code.as_str(), "query_too_large");
    assert!(refused.detail.contains("11200 cells"), "{}", refused.detail);
    assert!(answer("group_by=item&granularity=PT15M&fill=none", &many, &[]).is_ok());
    assert!(answer("group_by=item&granularity=PT15M&limit=600", &many, &[]).is_ok());
}

#[test]
fn lines_have_one_field_for_each_column() {
    use crate::freshness::{Freshness, Present};
    let metric = metric();
    let now = Timestamp::from_second(START).expect("an instant");
    let query = "from=2026-06-29&to=2026-06-29T04:00:00Z&group_by=item&measures=average,units&limit=1&other=true";
    let ask = ask(query, &metric, now);
    let rows = [row(text("\\N, \"x\""), "EUR", 0, "1", 1), row(Group::Null, "EUR", 0, "2", 0)];
    let of = |rows: &[Row]| {
        let (totals, data) = answer("group_by=item&measures=average,units&limit=1&other=true", rows, &[]).expect("small");
        let reading = crate::sources::reading_of(None);
        super::answer::Answer {
            metric: tidemark_domain::MetricName::new("sales").expect("a name"),
            version: metric.version(),
            from: ask.range.from,
            to: ask.range.to,
            granularity: None,
            time_zone: Zone::utc(),
            freshness: Freshness::of(&reading, Present::at(now)),
            compared_with: None,
            totals,
            data,
        }
    };
    let csv = |rows: &[Row]| {
        let mut lines = Vec::new();
        super::flat::csv(&of(rows), &ask, true, &mut lines).expect("a Vec takes them");
        String::from_utf8(lines).expect("UTF-8")
    };
    let header = "from,to,item,currency,other,average,units,complete\n";
    let span = "2026-06-29T00:00:00Z,2026-06-29T04:00:00Z";
    assert_eq!(csv(&rows), format!("{header}{span},\"\\\\N, \"\"x\"\"\",EUR,false,1,1,false\n{span},,EUR,true,,2,false\n"));
    assert_eq!(csv(&rows[1..]), format!("{header}{span},\\N,EUR,false,,2,false\n"));
    let mut ndjson = Vec::new();
    super::flat::ndjson(&of(&rows[1..]), &mut ndjson).expect("a Vec takes them");
    let ndjson = String::from_utf8(ndjson).expect("UTF-8");
    assert_eq!(
        ndjson,
        "{\"from\":\"2026-06-29T00:00:00Z\",\"to\":\"2026-06-29T04:00:00Z\",\"dimensions\":{\"item\":null},\"currency\":\"EUR\",\
         \"values\":{\"average\":null,\"units\":\"2\"},\"complete\":false}\n"
    );
}

fn any_row() -> impl Strategy<Value = Row> {
    let item = prop_oneof![Just(Group::Null), "[ab]".prop_map(Group::Text)];
    let units = prop_oneof![Just("0"), Just("1"), Just("-1"), Just("0.1"), Just("99999999999999999999999999999999999999")];
    (item, prop_oneof![Just("EUR"), Just("USD")], 0..16_i64, units, 0..3_i64)
        .prop_map(|(item, currency, quarter, units, orders)| row(item, currency, quarter, units, orders))
}

/// One cell the naive way: every row is looked at again for each number.
fn naive_units(rows: &[Row], keep: impl Fn(&Row) -> bool) -> Decimal {
    let units = MeasureName::new("units").expect("a name");
    let mut sum = Decimal::zero();
    for row in rows.iter().filter(|row| keep(row)) {
        sum += &row.values[&units];
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn an_answer_is_a_grouping_of_its_rows(
        rows in prop::collection::vec(any_row(), 0..30),
        granularity in prop::sample::select(vec![Granularity::QuarterHour, Granularity::Hour, Granularity::Day]),
        limit in 1..4_usize,
        descending in any::<bool>(),
    ) {
        let order = if descending { "-units" } else { "key" };
        let query = format!("group_by=item&measures=units&granularity={granularity}&order={order}&limit={limit}&other=true");
        let (totals, data) = answer(&query, &rows, &[]).expect("a small answer");
        let currency_of = |total: &Total| total.currency.clone();
        for row in data.iter().filter(|row| !row.other) {
            let item = row.dimensions.as_ref().and_then(|groups| groups.values().next()).expect("an item").clone();
            let mine = |stored: &Row| stored.groups[0] == item && stored.currency == currency_of(&row.total);
            prop_assert_eq!(shown(&row.total.values), naive_units(&rows, mine).to_string());
            for bucket in &row.buckets {
                let span = bucket.from..bucket.to;
                let within = |stored: &Row| matches!(stored.bucket, Bucket::Quarter { start } if span.contains(&start));
                prop_assert_eq!(shown(&bucket.values), naive_units(&rows, |row| mine(row) && within(row)).to_string());
            }
        }
        for total in &totals {
            let of_currency = |row: &&DataRow| row.total.currency == total.currency;
            prop_assert_eq!(shown(&total.values), naive_units(&rows, |row| row.currency == total.currency).to_string());
            // With the remainder, rows add up to the total, and no currency has more rows than were asked for.
            let listed: Vec<_> = data.iter().filter(of_currency).collect();
            prop_assert!(listed.iter().filter(|row| !row.other).count() <= limit);
            let values: Vec<Decimal> = listed.iter().map(|row| decimal(&shown(&row.total.values))).collect();
            prop_assert_eq!(values.iter().sum::<Decimal>().to_string(), shown(&total.values));
            let ranked: Vec<_> = values.iter().take(listed.iter().filter(|row| !row.other).count()).collect();
            prop_assert!(!descending || ranked.is_sorted_by(|a, b| a >= b), "{:?}", ranked);
        }
        let has_data = |row: &&Row| row.values.values().any(|value| !value.is_zero());
        let with_data: BTreeSet<_> = rows.iter().filter(has_data).map(|row| &row.currency).collect();
        prop_assert!(totals.iter().all(|total| with_data.contains(&total.currency)));
        // And none is left out: what is looked at above is all there is.
        for currency in with_data {
            let is_zero = naive_units(&rows, |row| row.currency == *currency).is_zero();
            prop_assert!(is_zero || totals.iter().any(|total| total.currency == *currency), "no total of {currency:?}");
        }
    }
}
