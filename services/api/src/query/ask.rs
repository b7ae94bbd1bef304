//! What a request asks for: its parameters, read and checked against the metric, every error kept. API.md §2.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidemark_domain::calendar::{self, Granularity, Range};
use tidemark_domain::definition::{GroupingSet, Metric};
use tidemark_domain::{DimensionName, Group, MeasureName, Zone, instant};
use utoipa::ToSchema;

use super::filter;
use crate::page::whole_number;
use crate::params::Params;
use crate::problem::{Code, ParameterError};

/// Most rows of one currency in an answer, and how many there are when nobody asks for fewer.
pub(crate) const LIMIT_MAX: usize = 1000;

/// Characters of a date; everything else that is accepted is longer.
const DATE_LENGTH: usize = 10;

/// The parameters there are.
pub(crate) const KNOWN: [&str; 12] = [
    "from",
    "to",
    "granularity",
    "time_zone",
    "measures",
    "group_by",
    "filter[<dimension>]",
    "order",
    "limit",
    "other",
    "fill",
    "compare",
];

/// A query that makes sense for its metric. Whether its rows are stored is for the plan to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub range: Range,
    /// `None`: the whole range is one bucket.
    pub granularity: Option<Granularity>,
    pub zone: Zone,
    /// The measures shown, at least one.
    pub measures: BTreeSet<MeasureName>,
    pub group_by: GroupingSet,
    pub filter: BTreeMap<DimensionName, BTreeSet<Group>>,
    pub order: Order,
    /// Rows of one currency.
    pub limit: usize,
    /// Whether the rows beyond the limit are added up to one more.
    pub other: bool,
    pub fill: Fill,
    pub compare: Option<Compare>,
}

/// In which order rows stand, within each currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// By their groups, null last.
    Key,
    Measure {
        name: MeasureName,
        direction: Direction,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// What stands for a bucket in which nothing was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Fill {
    /// Zeros.
    Zero,
    /// Nothing: the bucket is left out.
    None,
}

/// What the range is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Compare {
    PreviousPeriod,
    PreviousYear,
}

impl Order {
    /// The measure whose value decides, if one does.
    pub(crate) fn measure(&self) -> Option<&MeasureName> {
        match self {
            Self::Key => None,
            Self::Measure { name, .. } => Some(name),
        }
    }
}

impl Ask {
    /// Takes the parameters. What is wrong stays with them, and a default stands for it here until they are finished: a plan can
    /// then say what is wrong besides.
    pub(crate) fn take(params: &mut Params, metric: &Metric, tenant_zone: &Zone, now: Timestamp) -> Self {
        let zone = read_zone(params, tenant_zone);
        let range = read_range(params, &zone, now);
        let granularity = params.take_as("granularity", str::parse::<Granularity>);
        let measures = read_measures(params, metric);
        let group_by = read_group_by(params, metric);
        let filter = read_filter(params, metric);
        let order = read_order(params, metric);
        let limit = params.take_as("limit", |text| whole_number(text, LIMIT_MAX)).unwrap_or(LIMIT_MAX);
        let other = params.take_word("other", &[("false", false), ("true", true)]).unwrap_or(false);
        let fill = params.take_word("fill", &[("zero", Fill::Zero), ("none", Fill::None)]).unwrap_or(Fill::Zero);
        let compares = [("previous_period", Compare::PreviousPeriod), ("previous_year", Compare::PreviousYear)];
        let compare = params.take_word("compare", &compares);
        Self { range, granularity, zone, measures, group_by, filter, order, limit, other, fill, compare }
    }

    /// The dimensions that rows must be told apart by: those shown and those filtered.
    pub(crate) fn dimensions(&self) -> GroupingSet {
        GroupingSet::new(self.group_by.dimensions().chain(self.filter.keys()).cloned())
    }
}

fn read_zone(params: &mut Params, tenant_zone: &Zone) -> Zone {
    let Some(name) = params.take("time_zone") else { return tenant_zone.clone() };
    let zone = Zone::named(&name).map_err(|error| ParameterError::new("time_zone", Code::UnknownTimeZone, error.to_string()));
    params.keep(zone).unwrap_or_else(|| tenant_zone.clone())
}

/// The range asked for; today where an end is missing. When it is wrong, its errors are with the parameters.
fn read_range(params: &mut Params, zone: &Zone, now: Timestamp) -> Range {
    let today = zone.date_of(now);
    let start = |date| zone.start_of(date).unwrap_or(now);
    let default = Range { from: start(today), to: start(today.tomorrow().unwrap_or(today)) };
    let from = read_instant(params, "from", zone, default.from);
    let to = read_instant(params, "to", zone, default.to);
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
        // Dates are of a zone; in another they may lie the other way round.
        && params.are_well(&["time_zone"])
    {
        let detail = format!("the range [{from}, {to}) is empty: `to` must be after `from`");
        params.refuse(ParameterError::new("to", Code::EmptyRange, detail));
    }
    Range { from: from.unwrap_or(default.from), to: to.unwrap_or(default.to) }
}

fn read_instant(params: &mut Params, name: &str, zone: &Zone, default: Timestamp) -> Option<Timestamp> {
    let Some(text) = params.take(name) else { return Some(default) };
    let read = instant::of_text(&text, zone).ok().filter(|instant| (1..=9999).contains(&zone.date_of(*instant).year()));
    let invalid = || {
        let hint = if text.contains(' ') { "; `+` in an offset must be sent as %2B" } else { "" };
        let detail = format!(
            "must be an RFC 3339 instant or a date of the years 1 to 9999, such as 2026-03-28T00:00:00Z or 2026-03-28{hint}"
        );
        ParameterError::new(name, Code::InvalidValue, detail)
    };
    let mut instant = params.keep(read.ok_or_else(invalid))?;
    if text.len() == DATE_LENGTH {
        // Long ago some midnights were on no quarter; the day's numbers begin with its first.
        instant = calendar::first_quarter_of(zone.date_of(instant), zone).unwrap_or(instant);
    }
    if calendar::is_on_quarter(instant) {
        return Some(instant);
    }
    let detail = format!("{instant} is not a multiple of 15 minutes, and numbers are kept by quarters of an hour");
    params.refuse(ParameterError::new(name, Code::UnalignedRange, detail));
    None
}

fn read_measures(params: &mut Params, metric: &Metric) -> BTreeSet<MeasureName> {
    let Some(text) = params.take("measures") else { return metric.measures.keys().cloned().collect() };
    let mut measures = BTreeSet::new();
    for name in text.split(',') {
        measures.extend(params.keep(measure_named(name, "measures", metric)));
    }
    measures
}

fn measure_named(name: &str, parameter: &str, metric: &Metric) -> Result<MeasureName, ParameterError> {
    let known = MeasureName::new(name).ok().filter(|name| metric.measures.contains_key(name));
    known.ok_or_else(|| {
        let detail = format!("the metric has no measure `{}`", shortened(name));
        ParameterError::new(parameter, Code::UnknownMeasure, detail).allowing(metric.measures.keys().map(MeasureName::as_str))
    })
}

fn dimension_named(name: &str, parameter: &str, metric: &Metric) -> Result<DimensionName, ParameterError> {
    let known = DimensionName::new(name).ok().filter(|name| metric.dimensions.contains_key(name));
    known.ok_or_else(|| {
        let detail = format!("the metric has no dimension `{}`", shortened(name));
        ParameterError::new(parameter, Code::UnknownDimension, detail)
            .allowing(metric.dimensions.keys().map(DimensionName::as_str))
    })
}

fn read_group_by(params: &mut Params, metric: &Metric) -> GroupingSet {
    let text = params.take("group_by").unwrap_or_default();
    let names = text.split(',').filter(|_| !text.is_empty());
    let mut dimensions = Vec::new();
    for name in names {
        dimensions.extend(params.keep(dimension_named(name, "group_by", metric)));
    }
    GroupingSet::new(dimensions)
}

fn read_filter(params: &mut Params, metric: &Metric) -> BTreeMap<DimensionName, BTreeSet<Group>> {
    let mut filter = BTreeMap::new();
    for (name, text) in params.take_bracketed("filter") {
        let parameter = format!("filter[{}]", shortened(&name));
        let dimension = params.keep(dimension_named(&name, &parameter, metric));
        let invalid = |error: filter::Error| ParameterError::new(&parameter, Code::InvalidValue, error.to_string());
        let groups = params.keep(filter::groups(&text).map_err(invalid));
        if let (Some(dimension), Some(groups)) = (dimension, groups) {
            filter.insert(dimension, groups);
        }
    }
    filter
}

fn read_order(params: &mut Params, metric: &Metric) -> Order {
    let text = params.take("order").unwrap_or_else(|| "key".to_owned());
    // A measure may be called `key`; it is then ordered by as `-key` alone, as the word was there first.
    if text == "key" {
        return Order::Key;
    }
    let (name, direction) = match text.strip_prefix('-') {
        Some(name) => (name, Direction::Descending),
        None => (text.as_str(), Direction::Ascending),
    };
    let measure = params.keep(measure_named(name, "order", metric));
    measure.map_or(Order::Key, |name| Order::Measure { name, direction })
}

/// Enough of a client's text to recognise it by.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
