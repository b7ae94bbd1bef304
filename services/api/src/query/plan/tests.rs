//! Which rows a question reads, and why some are refused.

use tidemark_domain::Definitions;

use super::*;
use crate::problem::ApiError;
use crate::query::ask::KNOWN;

const SALES: &str = "
sources:
  orders: { table: Orders, tenant: { attribute: tenant_id, default: demo } }
metrics:
  sales:
    source: orders
    time: at
    measures: { units: { sum: quantity } }
    dimensions: { item: item, region: region, channel: channel }
    group_by: [[], [item], [region], [item, region]]
";

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

/// The one metric, its tenant's zone, and the present.
pub(super) fn ground_of_sales() -> (Metric, Zone, Timestamp) {
    let definitions = Definitions::parse(SALES).expect("a good file");
    let metric = definitions.metrics.values().next().expect("one metric").clone();
    (metric, Zone::named("Europe/Berlin").expect("a zone"), at("2026-03-30T12:00:00Z"))
}

/// The plan of a query string asked on 30 March 2026 by a tenant of Berlin, or the errors as `parameter code`.
pub(super) fn plan(query: &str) -> Result<Plan, Vec<String>> {
    plan_with_lanes(query, 1)
}

pub(super) fn plan_with_lanes(query: &str, lanes: u16) -> Result<Plan, Vec<String>> {
    let (metric, zone, now) = ground_of_sales();
    let ground = Ground { metric: &metric, lanes, tenant_zone: &zone, now };
    let mut params = Params::parse(Some(query));
    let ask = Ask::take(&mut params, &metric, &zone, now);
    let plan = Plan::make(&mut params, &ask, ground);
    params.finish_some(&KNOWN, || plan).map_err(|error| match error {
        ApiError::Parameters(errors) => {
            errors.iter().map(|error| format!("{} {}", error.parameter, error.code.as_str())).collect()
        }
        other => vec![other.to_string()],
    })
}

fn spans(query: &str) -> Vec<String> {
    let shown = |span: &Span| match span {
        Span::Quarters { from, to } => format!("{from}/{to}"),
        Span::Days { from, to } => format!("{from}/{to}"),
    };
    plan(query).expect("a plan").spans.iter().map(shown).collect()
}

#[test]
fn whole_days_of_the_tenants_zone_are_day_rows_and_the_rest_quarters() {
    assert_eq!(spans("from=2024-01-01&to=2026-03-30&granularity=P1M"), ["2024-01-01/2026-03-30"]);
    assert_eq!(
        spans("from=2026-03-28T12:00:00Z&to=2026-03-30T06:15:00Z"),
        ["2026-03-28T12:00:00Z/2026-03-28T23:00:00Z", "2026-03-29/2026-03-30", "2026-03-29T22:00:00Z/2026-03-30T06:15:00Z"]
    );
    // An hour's buckets, and days of another zone, are made from quarters.
    assert_eq!(spans("from=2026-03-29&to=2026-03-30&granularity=PT1H"), ["2026-03-28T23:00:00Z/2026-03-29T22:00:00Z"]);
    assert_eq!(spans("from=2026-03-29&to=2026-03-30&time_zone=UTC"), ["2026-03-29T00:00:00Z/2026-03-30T00:00:00Z"]);
    // A range within one day, and one across a midnight without a whole day.
    assert_eq!(spans("from=2026-03-29T08:00:00Z&to=2026-03-29T09:00:00Z"), ["2026-03-29T08:00:00Z/2026-03-29T09:00:00Z"]);
    assert_eq!(spans("from=2026-03-28T20:00:00Z&to=2026-03-29T20:00:00Z"), ["2026-03-28T20:00:00Z/2026-03-29T20:00:00Z"]);
}

#[test]
fn what_quarters_no_longer_hold_is_refused_and_never_approximated() {
    for (query, parameter) in [
        ("from=2025-01-01&to=2025-02-01&time_zone=UTC", "time_zone"),
        ("from=2025-01-01&to=2025-01-02&granularity=PT1H", "granularity"),
        ("from=2025-01-01T12:00:00Z&to=2026-01-01", "from"),
        ("from=2026-01-01T12:00:00Z&to=2026-03-01&compare=previous_year", "compare"),
    ] {
        assert_eq!(plan(query), Err(vec![format!("{parameter} range_unavailable")]), "{query}");
    }
    let hour = |from: &str| plan(&format!("from={from}&to=2025-02-23T13:00:00Z")).map(|plan| plan.spans.len());
    assert_eq!(hour("2025-02-23T12:00:00Z"), Ok(1), "400 days before now are kept");
    assert_eq!(hour("2025-02-23T11:45:00Z"), Err(vec!["from range_unavailable".to_owned()]));
}

#[test]
fn the_smallest_stored_set_that_covers_the_filter_is_read() {
    let set = |query| plan(query).map(|plan| plan.set.to_string());
    assert_eq!(set("").as_deref(), Ok("[]"));
    assert_eq!(set("filter[region]=EU").as_deref(), Ok("[region]"));
    assert_eq!(set("group_by=item&filter[region]=EU").as_deref(), Ok("[item, region]"));
    for query in ["group_by=channel", "filter[channel]=web", "group_by=item,channel"] {
        assert_eq!(set(query), Err(vec!["group_by grouping_not_stored".to_owned()]), "{query}");
    }
}

#[test]
fn too_much_to_read_or_to_show_is_refused_before_reading() {
    assert_eq!(plan("from=2026-01-01&to=2026-03-30&granularity=PT15M&limit=1").map(|plan| plan.slots.len()), Ok(8_444));
    assert_eq!(plan("from=2025-10-01&to=2026-03-30&granularity=PT15M"), Err(vec!["granularity query_too_large".to_owned()]));
    assert_eq!(plan("from=1200-01-01&to=2026-01-01"), Err(vec!["from query_too_large".to_owned()]));
    let lanes = |query| plan_with_lanes(query, 64).map(|_| ()).map_err(|errors| errors.join("; "));
    assert_eq!(lanes("from=2026-01-01&to=2026-03-01"), Ok(()));
    assert_eq!(lanes("from=2026-01-01&to=2026-03-01&time_zone=UTC"), Err("time_zone query_too_large".to_owned()));
    assert_eq!(lanes("from=2026-01-01&to=2026-03-01&granularity=PT1H"), Err("granularity query_too_large".to_owned()));
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let errors = plan(
        "from=2026-03-29T08:01:00Z&to=yesterday&granularity=P1Q&time_zone=Mars&measures=profit&group_by=shop\
         &filter[x]=%5C&order=-a&limit=0&other=yes&fill=null\
         &compare=never&bogus=1",
    );
    let expected = [
        "time_zone unknown_time_zone",
        "from unaligned_range",
        "to invalid_value",
        "granularity invalid_value",
        "measures unknown_measure",
        "group_by unknown_dimension",
        "filter[x] unknown_dimension",
        "filter[x] invalid_value",
        "order unknown_measure",
        "limit invalid_value",
        "other invalid_value",
        "fill invalid_value",
        "compare invalid_value",
        "bogus unknown_parameter",
    ];
    assert_eq!(errors, Err(expected.map(str::to_owned).to_vec()));
    assert_eq!(plan("from=2026-03-29&to=2026-03-29"), Err(vec!["to empty_range".to_owned()]));
    assert_eq!(
        plan("from=2024-01-01T06:00:00Z&to=2024-02-01&group_by=channel"),
        Err(vec!["group_by grouping_not_stored".to_owned(), "from range_unavailable".to_owned()])
    );
}

#[test]
fn what_cannot_be_read_and_what_cannot_be_answered_are_said_together() {
    let old = "from=2024-01-01T06:00:00Z&to=2024-02-01";
    for (query, expected) in [
        (
            format!("{old}&measures=profit&group_by=channel&bogus=1"),
            &["measures unknown_measure", "group_by grouping_not_stored", "from range_unavailable", "bogus unknown_parameter"][..],
        ),
        (
            format!("{old}&filter[channel]=a&filter[item]=%5C"),
            &["filter[item] invalid_value", "group_by grouping_not_stored", "from range_unavailable"],
        ),
        (
            format!("{old}&group_by=shop&limit=0"),
            &["group_by unknown_dimension", "limit invalid_value", "from range_unavailable"],
        ),
        (
            "from=2026-03-30&granularity=P1Q&compare=previous_year&group_by=channel".to_owned(),
            &["granularity invalid_value", "group_by grouping_not_stored"],
        ),
        (
            "from=2025-10-01T06:00:00Z&to=2025-10-02&granularity=P1Q&compare=previous_year".to_owned(),
            &["granularity invalid_value", "compare range_unavailable"],
        ),
    ] {
        assert_eq!(plan(&query), Err(expected.iter().map(|&error| error.to_owned()).collect()), "{query}");
    }
}

/// Each would be refused for its range, its buckets or its set, if what stands for the wrong parameter were taken for meant.
#[test]
fn nothing_is_refused_for_what_stands_in_for_a_mistake() {
    for (query, expected) in [
        ("from=2025-01-01&to=2025-02-01&time_zone=Mars&granularity=PT1H", "time_zone unknown_time_zone"),
        ("from=2026-03-28&to=2026-03-27T23:30:00Z&time_zone=Mars", "time_zone unknown_time_zone"),
        ("from=2024-01-01T06:00:00Z&from=2026-03-29&to=2026-03-30", "from duplicate_parameter"),
        ("from=x&to=2025-01-01", "from invalid_value"),
        ("from=2025-01-01&to=x&granularity=PT15M", "to invalid_value"),
        ("from=2026-03-30&to=2025-01-01&granularity=PT15M&compare=previous_year", "to empty_range"),
        ("from=2025-01-01&to=2025-02-01&granularity=PT1H&granularity=P1D", "granularity duplicate_parameter"),
        ("from=2026-03-01&compare=previous_year&compare=previous_period", "compare duplicate_parameter"),
        ("group_by=channel&group_by=item", "group_by duplicate_parameter"),
        ("group_by=%ff&filter[channel]=web", "group_by invalid_value"),
        ("group_by=item,shop&filter[channel]=web", "group_by unknown_dimension"),
        ("filter[channel]=%5C", "filter[channel] invalid_value"),
    ] {
        assert_eq!(plan(query), Err(vec![expected.to_owned()]), "{query}");
    }
    let crowd: String = (0..64).map(|number| format!("p{number}=&")).collect();
    let errors = plan(&format!("{crowd}group_by=item")).expect_err("too many parameters");
    assert!(errors.iter().all(|error| error.ends_with("unknown_parameter") || error == " invalid_value"), "{errors:?}");
}

#[test]
fn today_in_the_zone_is_the_default() {
    assert_eq!(spans(""), ["2026-03-30/2026-03-31"]);
    assert_eq!(spans("time_zone=Asia/Kathmandu"), ["2026-03-29T18:15:00Z/2026-03-30T18:15:00Z"]);
}

#[test]
fn comparisons_read_their_own_range() {
    let comparison = |query| plan(query).expect("a plan").comparison.expect("a comparison");
    let march = comparison("from=2026-03-01&to=2026-04-01&compare=previous_period&granularity=P1D");
    let (from, to) = (Date::constant(2026, 2, 1), Date::constant(2026, 3, 1));
    assert_eq!(march.spans, [Span::Days { from, to }]);
    assert_eq!(march.range, Range { from: at("2026-01-31T23:00:00Z"), to: at("2026-02-28T23:00:00Z") });
}
