//! Which rows answer a question: the stored set, the buckets of the answer, and the spans of day and quarter rows to read.
//!
//! Day rows are kept for ever, but only for the days of the tenant's own zone; quarter rows answer everything, and expire. What
//! neither can answer exactly is refused, with the reason and what would work; so is what would take too much ([`budget`]).

use jiff::Timestamp;
use jiff::civil::Date;
use tidemark_domain::bucket::{QUARTER_RETENTION_DAYS, quarters_kept_from};
use tidemark_domain::calendar::{self, Granularity, Range, Slot};
use tidemark_domain::definition::{GroupingSet, Metric};
use tidemark_domain::{DimensionName, Zone};
use tidemark_store::Span;

pub(crate) use budget::TooMany;

use super::ask::{Ask, Compare};
use crate::params::Params;
use crate::problem::{Code, ParameterError};

mod budget;

/// Most cells (rows × buckets) of an answer.
pub(crate) const CELLS_MAX: usize = 10_000;
/// Most rows read for an answer, over all its ranges: estimated before and counted while reading. A release build on two cores has answered
/// from as many within the time of a request. Twice as many are not sure to be answered, and would only cost.
pub(crate) const ROWS_READ_MAX: usize = 100_000;
/// Most Queries of an answer, over all its ranges and lanes, not counting further pages. With four in flight, and if each takes 10 ms, they take
/// 2.5 s of the 10 s that a request has.
pub(crate) const QUERIES_MAX: u64 = 1_000;

/// What the buckets hang on, and the rows behind them.
const OF_BUCKETS: [&str; 4] = ["from", "to", "time_zone", "granularity"];
/// What the range compared with hangs on.
const OF_COMPARISON: [&str; 4] = ["from", "to", "time_zone", "compare"];

/// How a question is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The set whose rows are read: the smallest stored one that tells apart what must be.
    pub set: GroupingSet,
    /// The buckets of the answer. They tile the range.
    pub slots: Vec<Slot>,
    /// What is read for the range; it covers the range exactly.
    pub spans: Vec<Span>,
    pub comparison: Option<Comparison>,
    /// How many leading dimensions of the set are read by key; see [`RowRange::keyed`](tidemark_store::RowRange::keyed).
    pub keyed: usize,
    /// How many Queries read all spans, at most.
    pub queries: u64,
}

/// The range that the answer is compared with, and what is read for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub range: Range,
    pub spans: Vec<Span>,
}

impl Comparison {
    /// The range as one bucket.
    pub(crate) fn whole(&self) -> Slot {
        Slot { from: self.range.from, to: self.range.to, clipped: false }
    }
}

/// What a plan depends on beside the question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub metric: &'a Metric,
    /// Lanes that are read, and so rows per bucket and group.
    pub lanes: u16,
    pub tenant_zone: &'a Zone,
    pub now: Timestamp,
}

impl Plan {
    /// Plans what was taken from the parameters, and adds to them every reason why it cannot be answered. A part is judged if all
    /// that it hangs on was read well: a mistake is told once, and nothing that only follows from it.
    pub(crate) fn make(params: &mut Params, ask: &Ask, ground: Ground<'_>) -> Option<Self> {
        let [grouped, ranged, compared] = [&["group_by"][..], &OF_BUCKETS, &OF_COMPARISON].map(|names| params.are_well(names));
        // Filters that could not be read are left out: with them, a set would have to cover even more.
        let set = judge(params, grouped, || stored_set(ask, ground.metric));
        let slots = judge(params, ranged, || slots(ask));
        let spans = judge(params, ranged, || ground.spans(ask, ask.range, ask.granularity));
        let comparison = match ask.compare {
            Some(compare) => Some(judge(params, compared, || ground.comparison(ask, compare))?),
            None => None,
        };
        let (spans, budgeted) = (spans?, ranged && (compared || ask.compare.is_none()));
        let partitions = judge(params, budgeted, || ground.partitions(ask, &spans, comparison.as_ref()));
        let (set, slots) = (set?, slots?);
        let (keyed, queries) = keyed(&set, ask, partitions?);
        Some(Self { set, slots, spans, comparison, keyed, queries })
    }
}

/// How many leading dimensions are read by key, and how many Queries that takes: as many dimensions as the Queries allow. Rows that
/// are not read by key are read with their whole chunk and left out then.
fn keyed(set: &GroupingSet, ask: &Ask, partitions: u64) -> (usize, u64) {
    let (mut keyed, mut queries) = (0, partitions);
    for groups in set.dimensions().map_while(|dimension| ask.filter.get(dimension)) {
        let combined = queries.saturating_mul(groups.len() as u64);
        if combined > QUERIES_MAX {
            break;
        }
        (keyed, queries) = (keyed + 1, combined);
    }
    (keyed, queries)
}

/// A part of a plan, if what it hangs on was read well; its error stays with the parameters.
fn judge<T>(params: &mut Params, was_read: bool, part: impl FnOnce() -> Result<T, ParameterError>) -> Option<T> {
    was_read.then(part).and_then(|judged| params.keep(judged))
}

fn stored_set(ask: &Ask, metric: &Metric) -> Result<GroupingSet, ParameterError> {
    let stored = || metric.group_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let refused = |detail: String| {
        let names = |set: &GroupingSet| set.dimensions().map(DimensionName::as_str).collect::<Vec<_>>().join(",");
        ParameterError::new("group_by", Code::GroupingNotStored, detail).allowing(metric.group_by.iter().map(names))
    };
    if !metric.group_by.contains(&ask.group_by) {
        return Err(refused(format!("{} is not stored; stored are {}", ask.group_by, stored())));
    }
    let needed = ask.dimensions();
    let covering = metric.group_by.iter().filter(|set| set.is_superset(&needed)).min_by_key(|set| set.dimensions().len());
    let uncovered =
        || refused(format!("with the filter's dimensions it is {needed}, which no stored set covers; stored are {}", stored()));
    covering.cloned().ok_or_else(uncovered)
}

fn slots(ask: &Ask) -> Result<Vec<Slot>, ParameterError> {
    let Some(granularity) = ask.granularity else {
        return Ok(vec![Slot { from: ask.range.from, to: ask.range.to, clipped: false }]);
    };
    calendar::tile(ask.range, granularity, &ask.zone, CELLS_MAX).map_err(|calendar::TooMany { about, .. }| {
        let detail =
            format!("about {about} buckets; an answer has at most {CELLS_MAX} cells: ask for longer buckets or a shorter range");
        ParameterError::new("granularity", Code::QueryTooLarge, detail)
    })
}

impl Ground<'_> {
    fn comparison(&self, ask: &Ask, compare: Compare) -> Result<Comparison, ParameterError> {
        let range = match compare {
            Compare::PreviousPeriod => calendar::previous_period(ask.range, &ask.zone),
            Compare::PreviousYear => calendar::previous_year(ask.range, &ask.zone),
        };
        let range = range.filter(|range| ask.zone.date_of(range.from).year() >= 1);
        let range = range.ok_or_else(|| ParameterError::new("compare", Code::RangeUnavailable, "is before the year 1"))?;
        // Only sums over the whole range are compared, so the granularity does not matter.
        let spans = self.spans(ask, range, None).map_err(|error| ParameterError { parameter: "compare".to_owned(), ..error })?;
        Ok(Comparison { range, spans })
    }

    /// Whether the days of the question are those that day rows are kept for, and its buckets are made of days.
    fn is_answered_by_days(&self, ask: &Ask, granularity: Option<Granularity>) -> bool {
        ask.zone == *self.tenant_zone && granularity.is_none_or(Granularity::is_days)
    }

    /// What to read for a range: whole days where day rows can answer, quarters for the rest.
    fn spans(&self, ask: &Ask, range: Range, granularity: Option<Granularity>) -> Result<Vec<Span>, ParameterError> {
        let days = if self.is_answered_by_days(ask, granularity) { whole_days(range, &ask.zone) } else { None };
        let spans = match days {
            None => vec![Span::Quarters { from: range.from, to: range.to }],
            Some((days, Range { from, to })) => {
                let before = Span::Quarters { from: range.from, to: from };
                let after = Span::Quarters { from: to, to: range.to };
                [before, days, after].into_iter().filter(|span| !is_empty(span)).collect()
            }
        };
        let kept_from = quarters_kept_from(self.now);
        let is_lost = |span: &Span| matches!(span, Span::Quarters { from, .. } if *from < kept_from);
        if spans.iter().any(is_lost) {
            return Err(self.range_unavailable(ask, granularity, kept_from));
        }
        Ok(spans)
    }

    fn range_unavailable(&self, ask: &Ask, granularity: Option<Granularity>, kept_from: Timestamp) -> ParameterError {
        let zone = self.tenant_zone;
        let (parameter, wrong) = if ask.zone != *zone {
            ("time_zone", format!("days of {} are made from 15-minute rows", ask.zone))
        } else if granularity.is_some_and(|granularity| !granularity.is_days()) {
            ("granularity", "buckets shorter than a day are made from 15-minute rows".to_owned())
        } else {
            ("from", "the parts of days at the ends of the range are made from 15-minute rows".to_owned())
        };
        let detail = format!(
            "{wrong}, which are kept for {QUARTER_RETENTION_DAYS} days: ask from {kept_from} on, or for whole days \
             (P1D, P1W, P1M or no granularity, between midnights) in time_zone={zone}"
        );
        ParameterError::new(parameter, Code::RangeUnavailable, detail)
    }
}

/// The local days that lie wholly in a range, and the instants they begin and end at; `None` when there are none.
fn whole_days(range: Range, zone: &Zone) -> Option<(Span, Range)> {
    let start = |date: Date| calendar::first_quarter_of(date, zone);
    let mut first = zone.date_of(range.from);
    while start(first)? < range.from {
        first = first.tomorrow().ok()?;
    }
    let end = zone.date_of(range.to);
    let whole = Range { from: start(first)?, to: start(end)? };
    (whole.from < whole.to).then_some((Span::Days { from: first, to: end }, whole))
}

fn is_empty(span: &Span) -> bool {
    match span {
        Span::Quarters { from, to } => from >= to,
        Span::Days { from, to } => from >= to,
    }
}

#[cfg(test)]
mod tests;
