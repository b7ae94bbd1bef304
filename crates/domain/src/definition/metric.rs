//! One metric of a definition file: its conditions, measures and grouping sets.

use std::collections::BTreeSet;

use super::read::{attribute, with_default};
use super::spelling;
use super::spot::Spot;
use super::{Condition, CurrencyRule, GroupingSet, Measure, Metric, Test};
use crate::currency::Currency;
use crate::decimal::Decimal;
use crate::name::{DimensionName, MeasureName, SourceName};

/// Most lanes of a row: each is one more item to read.
const LANES_MAX: u16 = 64;
/// Most bytes of a unit.
const UNIT_BYTES_MAX: usize = 32;

pub(super) fn metric(spot: &Spot<'_>) -> Option<Metric> {
    const FIELDS: [&str; 8] = ["source", "time", "where", "currency", "measures", "dimensions", "group_by", "lanes"];
    let fields = spot.fields(&FIELDS)?;
    let source = fields.required("source", |spot| spot.parsed(SourceName::new));
    let time = fields.required("time", attribute);
    let conditions = fields.optional("where", |spot| Some(spot.items()?.iter().filter_map(condition).collect()));
    let currency = fields.optional("currency", |spot| with_default(spot, |spot| spot.parsed(Currency::new)));
    let measures = fields.required("measures", |spot| spot.named(MeasureName::new, measure));
    let dimensions = fields.optional("dimensions", |spot| spot.named(DimensionName::new, attribute));
    let declared = fields.get("dimensions").map(Spot::keys).unwrap_or_default();
    let group_by = fields.optional("group_by", |spot| group_by(spot, &declared));
    if fields.get("group_by").is_none() {
        fields.problem_at("group_by", "is missing; `group_by: [[]]` keeps the total alone");
    }
    let lanes = fields.optional("lanes", lanes);
    Some(Metric {
        source: source?,
        time: time?,
        conditions: conditions.unwrap_or_default(),
        currency: currency.map(|(attribute, default)| CurrencyRule { attribute, default }),
        measures: measures?,
        dimensions: dimensions.unwrap_or_default(),
        group_by: group_by?,
        lanes: lanes.unwrap_or(1),
    })
}

fn lanes(spot: &Spot<'_>) -> Option<u16> {
    let number = spot.number()?;
    let lanes = (1..=LANES_MAX).find(|lanes| Decimal::from(i64::from(*lanes)) == number);
    if lanes.is_none() {
        spot.problem(format!("must be a whole number from 1 to {LANES_MAX}"));
    }
    lanes
}

fn condition(spot: &Spot<'_>) -> Option<Condition> {
    const TESTS: [&str; 5] = ["in", "not_in", "exists", "at_least", "at_most"];
    let fields = spot.fields(&["attribute", "in", "not_in", "exists", "at_least", "at_most", "or_missing"])?;
    let from = fields.required("attribute", attribute);
    let or_missing = fields.optional("or_missing", Spot::boolean);
    let (kind, value) = fields.exactly_one(&TESTS)?;
    let test = match kind {
        "in" => values(value).map(Test::In),
        "not_in" => values(value).map(Test::NotIn),
        "at_least" => value.number().map(Test::AtLeast),
        "at_most" => value.number().map(Test::AtMost),
        _ => value.boolean().map(Test::Exists),
    };
    if let (Some(Test::Exists(_)), Some(spot)) = (&test, fields.get("or_missing")) {
        spot.problem("means nothing beside `exists`, which says itself what a missing attribute does");
    }
    Some(Condition { attribute: from?, test: test?, or_missing: or_missing.unwrap_or(false) })
}

fn values(spot: &Spot<'_>) -> Option<BTreeSet<String>> {
    let items = spot.items()?;
    if items.is_empty() {
        spot.problem("needs at least one value");
    }
    Some(items.iter().filter_map(Spot::canonical).collect())
}

fn measure(spot: &Spot<'_>) -> Option<Measure> {
    let fields = spot.fields(&["sum", "count", "ratio", "unit"])?;
    let unit = fields.optional("unit", |spot| spot.parsed(unit));
    match fields.exactly_one(&["sum", "count", "ratio"])? {
        ("sum", spot) => Some(Measure::Sum { factors: factors(spot)?, unit }),
        ("ratio", spot) => {
            let (numerator, denominator) = ratio(spot)?;
            Some(Measure::Ratio { numerator, denominator, unit })
        }
        (_, spot) => {
            if !spot.boolean()? {
                spot.problem("must be true; leave the measure out to count nothing");
            }
            Some(Measure::Count { unit })
        }
    }
}

fn unit(text: &str) -> Result<String, String> {
    match text.len() {
        1..=UNIT_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(format!("a unit has 1 to {UNIT_BYTES_MAX} bytes")),
    }
}

/// One attribute, or the list of those whose product is summed.
fn factors(spot: &Spot<'_>) -> Option<Vec<String>> {
    if !spot.is_list() {
        return Some(vec![attribute(spot)?]);
    }
    let items = spot.items()?;
    if items.is_empty() {
        spot.problem("needs at least one attribute");
    }
    Some(items.iter().filter_map(attribute).collect())
}

fn ratio(spot: &Spot<'_>) -> Option<(MeasureName, MeasureName)> {
    let items = spot.items()?;
    let [numerator, denominator] = items.as_slice() else {
        spot.problem(format!("needs two measures, [numerator, denominator]; this has {}", items.len()));
        return None;
    };
    let (numerator, denominator) = (numerator.parsed(MeasureName::new), denominator.parsed(MeasureName::new));
    Some((numerator?, denominator?))
}

/// The grouping sets, each once, each of declared dimensions.
fn group_by(spot: &Spot<'_>, declared: &[&str]) -> Option<BTreeSet<GroupingSet>> {
    let items = spot.items()?;
    if items.is_empty() {
        spot.problem("needs at least one set; `[[]]` keeps the total alone");
    }
    let mut sets = BTreeSet::new();
    for item in &items {
        let Some(set) = grouping_set(item, declared) else { continue };
        if sets.contains(&set) {
            item.problem(format!("the set {set} is given twice; the order of dimensions does not matter"));
        }
        sets.insert(set);
    }
    Some(sets)
}

fn grouping_set(spot: &Spot<'_>, declared: &[&str]) -> Option<GroupingSet> {
    let mut names = BTreeSet::new();
    for item in spot.items()? {
        let name = item.parsed(DimensionName::new)?;
        if !declared.contains(&name.as_str()) {
            let allowed = spelling::allowed(name.as_str(), declared.iter().copied());
            item.problem(format!("there is no dimension `{name}`; the metric's dimensions: {allowed}"));
        }
        if !names.insert(name.clone()) {
            item.problem(format!("the dimension `{name}` is given twice in one set"));
        }
    }
    Some(GroupingSet::new(names))
}
