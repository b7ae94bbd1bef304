//! How many Queries a question takes, and that what a refusal proposes can be answered.

use std::collections::BTreeMap;

use jiff::ToSpan;
use proptest::prelude::*;
use tidemark_domain::{MetricName, TenantId};
use tidemark_store::{RowRange, Tenant};

use super::super::Plan;
use super::super::tests::{ground_of_sales, plan, plan_with_lanes};
use super::*;
use crate::params::Params;
use crate::problem::ApiError;
use crate::query::ask::KNOWN;

type Parameters = BTreeMap<&'static str, String>;

/// As many items as the audit's question had.
const ITEMS: &str = "a,b,c,d,e,f,g,h,i,j,k,l";

/// The plan of some parameters, or everything that is wrong with them.
fn planned(parameters: &Parameters, lanes: u16) -> Result<(Plan, Ask), Vec<ParameterError>> {
    let (metric, zone, now) = ground_of_sales();
    let ground = Ground { metric: &metric, lanes, tenant_zone: &zone, now };
    let query: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut params = Params::parse(Some(&query.join("&")));
    let ask = Ask::take(&mut params, &metric, &zone, now);
    let plan = Plan::make(&mut params, &ask, ground);
    params.finish_some(&KNOWN, || plan).map(|plan| (plan, ask)).map_err(|error| match error {
        ApiError::Parameters(errors) => errors,
        other => panic!("{other}"),
    })
}

/// The parameters as a refusal proposes to change them.
fn changed(parameters: &Parameters, refusal: &ParameterError) -> Parameters {
    let proposed = refusal.detail.split('`').nth(1).unwrap_or_else(|| panic!("nothing is proposed: {}", refusal.detail));
    let mut changed = parameters.clone();
    for part in proposed.split('&') {
        match part.split_once('=') {
            Some((name, value)) => {
                let name = ["from", "to", "time_zone", "granularity"].into_iter().find(|known| *known == name);
                changed.insert(name.expect("a parameter"), value.to_owned());
            }
            None => assert!(changed.remove(part).is_some(), "{part} was not given"),
        }
    }
    changed
}

/// The Queries of a plan as the store makes them.
fn queries_made(plan: &Plan, ask: &Ask, lanes: u16) -> usize {
    let tenant = Tenant::named_by_operator(TenantId::new("acme").expect("an id"));
    let spans = plan.spans.iter().chain(plan.comparison.iter().flat_map(|comparison| &comparison.spans));
    let range = |span: &Span| RowRange {
        metric: MetricName::new("sales").expect("a name"),
        generation: 1,
        set: plan.set.clone(),
        lanes,
        span: *span,
        filter: ask.filter.clone(),
        keyed: plan.keyed,
    };
    spans.map(|span| range(span).queries(&tenant).count()).sum()
}

#[test]
fn the_number_of_queries_is_part_of_the_plan() {
    let numbers = |query: &str, lanes| plan_with_lanes(query, lanes).map(|plan| (plan.queries, plan.keyed));
    assert_eq!(numbers("", 1), Ok((1, 0)));
    assert_eq!(numbers("", 64), Ok((64, 0)));
    let hours = format!("from=2026-03-01&to=2026-03-28&granularity=PT1H&group_by=item&filter[item]={ITEMS}");
    assert_eq!(numbers(&hours, 1), Ok((28 * 12, 1)), "28 UTC days hold 27 days of Berlin");
    let kathmandu = "from=2025-09-20&to=2026-03-29&granularity=P1D&time_zone=Asia/Kathmandu&compare=previous_period";
    let filtered = format!("{kathmandu}&group_by=item&filter[item]={ITEMS}");
    assert_eq!(numbers(&filtered, 1), Ok((2 * 191, 0)), "by item it would be 4,584, so whole days are read");
    // The region comes after the item, for which there is no filter.
    assert_eq!(numbers("group_by=item&filter[region]=a,b", 1), Ok((1, 0)));
    assert_eq!(numbers("filter[item]=a,b&filter[region]=a,b,c", 1), Ok((6, 2)));
    let months = "from=1950-01-01&to=2026-01-01&granularity=P1M&filter[item]=a,b,c";
    assert_eq!(numbers(months, 1), Ok((76 * 12, 0)));
    assert_eq!(numbers(&format!("{months}&compare=previous_period"), 1), Err(vec!["compare query_too_large".to_owned()]));
}

#[test]
fn a_refusal_says_how_much_it_would_take_and_what_can_be_answered_instead() {
    let detail = |query: &str| match planned(&pairs(query), 1) {
        Err(errors) => errors.into_iter().map(|error| error.detail).collect::<Vec<_>>().join("; "),
        Ok(_) => panic!("{query} can be answered"),
    };
    assert_eq!(
        detail("from=1950-01-01&to=2026-01-01&compare=previous_period"),
        "the database would be queried 1824 times, and 1000 times are allowed for an answer: without `compare` it can be answered"
    );
    assert_eq!(
        detail("from=1700-01-01&to=2026-01-01"),
        format!(
            "at least 119069 rows would be read, and an answer may read {ROWS_READ_MAX}: \
             `from=1944-07-01T22:00:00Z&to=2025-12-31T23:00:00Z` can be answered"
        )
    );
    let lanes = plan_with_lanes("from=2026-01-01&to=2026-03-01&time_zone=UTC", 64);
    assert_eq!(lanes.map(|_| ()), Err(vec!["time_zone query_too_large".to_owned()]));
}

/// What only reading can tell has no proposal that is sure, but names what is cheaper.
#[test]
fn what_is_too_much_while_reading_is_refused_with_what_is_cheaper() {
    let (metric, zone, now) = ground_of_sales();
    let ground = Ground { metric: &metric, lanes: 1, tenant_zone: &zone, now };
    let refusal = |query: &str, too_many| {
        let ask = Ask::take(&mut Params::parse(Some(query)), &metric, &zone, now);
        let ParameterError { parameter, detail, .. } = ground.too_large(&ask, too_many);
        format!("{parameter}: {detail}")
    };
    let days = "from=2026-01-01&to=2026-03-30&granularity=P1D";
    assert_eq!(
        refusal(days, TooMany::Rows),
        format!(
            "from: more than {ROWS_READ_MAX} rows answer it, and an answer may read {ROWS_READ_MAX}: \
             a shorter range, a filter, or a smaller group_by is cheaper"
        )
    );
    assert!(refusal(days, TooMany::Bytes).starts_with("from: its groups and buckets take more memory than"));
    assert!(refusal("granularity=PT1H", TooMany::Rows).contains("granularity=P1D"));
    assert!(refusal("time_zone=UTC", TooMany::Bytes).contains("time_zone=Europe/Berlin"));
}

fn pairs(query: &str) -> Parameters {
    let known = ["from", "to", "time_zone", "granularity", "compare"];
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').expect("a pair");
        (known.into_iter().find(|known| *known == name).expect("a parameter"), value.to_owned())
    };
    query.split('&').map(pair).collect()
}

fn any_parameters() -> impl Strategy<Value = Parameters> {
    let ends = (0_i64..1_200, prop_oneof![1_i64..100, 100_i64..2_000, 2_000_i64..500_000], any::<bool>());
    let zone = prop::sample::select(vec![None, Some("UTC"), Some("Asia/Kathmandu"), Some("America/New_York")]);
    let granularity = prop::sample::select(vec![None, Some("PT15M"), Some("PT1H"), Some("P1D"), Some("P1W"), Some("P1M")]);
    let compare = prop::sample::select(vec![None, Some("previous_period"), Some("previous_year")]);
    (ends, zone, granularity, compare).prop_map(|((ago, days, is_date), zone, granularity, compare)| {
        let to = jiff::civil::Date::constant(2026, 3, 30) - ago.days();
        let from = to.saturating_sub(days.days()).max(jiff::civil::Date::constant(1, 1, 2));
        let shown = |date: jiff::civil::Date| if is_date { date.to_string() } else { format!("{date}T07:15:00Z") };
        let optional = [("time_zone", zone), ("granularity", granularity), ("compare", compare)];
        let given = optional.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned())));
        given.chain([("from", shown(from)), ("to", shown(to))]).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_plan_keeps_its_budget_and_a_refusal_for_it_proposes_what_can_be_answered(
        parameters in any_parameters(), lanes in prop::sample::select(vec![1_u16, 1, 2, 8, 64]),
    ) {
        match planned(&parameters, lanes) {
            Ok((plan, ask)) => {
                prop_assert!(plan.queries <= QUERIES_MAX);
                prop_assert_eq!(queries_made(&plan, &ask, lanes) as u64, plan.queries);
            }
            Err(errors) => {
                // A range with too many buckets is refused for that; `range_unavailable` proposes what it can elsewhere.
                let of_budget = |error: &&ParameterError| error.detail.contains("would be");
                if let Some(refusal) = errors.iter().find(of_budget) {
                    let changed = changed(&parameters, refusal);
                    let answered = planned(&changed, lanes);
                    prop_assert!(answered.is_ok(), "{changed:?} {:?} after {}", answered.err(), refusal.detail);
                }
            }
        }
    }

    #[test]
    fn as_many_dimensions_are_read_by_key_as_the_queries_allow(
        items in 0_usize..100, regions in 0_usize..100, days in 1_i64..300,
    ) {
        let values = |number: usize| (0..number).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let to = jiff::civil::Date::constant(2026, 3, 30);
        let mut query = format!("from={}&to={to}&time_zone=UTC&group_by=item,region", to - days.days());
        for (name, number) in [("item", items), ("region", regions)] {
            if number > 0 {
                query += &format!("&filter[{name}]={}", values(number));
            }
        }
        let plan = plan(&query).expect("a plan");
        let days = days as u64;
        let possible = match (items as u64, regions as u64) {
            (0, _) => vec![(days, 0)],
            (items, 0) => vec![(days, 0), (days * items, 1)],
            (items, regions) => vec![(days, 0), (days * items, 1), (days * items * regions, 2)],
        };
        let best = possible.into_iter().rfind(|(queries, _)| *queries <= QUERIES_MAX).expect("whole chunks can be read");
        prop_assert_eq!((plan.queries, plan.keyed), best);
    }
}
