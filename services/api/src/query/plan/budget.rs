//! What reading the rows of a plan may take, and what would take less.
//!
//! What is known before reading is refused before reading. The refusal names parameters with which the question can be answered.

use jiff::Timestamp;
use tidemark_domain::bucket::QUARTER_SECONDS;
use tidemark_domain::calendar::{self, Granularity, Range};
use tidemark_store::Span;

use super::{Comparison, Ground, QUERIES_MAX, ROWS_READ_MAX, slots};
use crate::problem::{Code, ParameterError};
use crate::query::ask::Ask;

/// How often a range is halved to find one that can be answered: a millennium becomes less than a quarter.
const HALVINGS_MAX: u32 = 26;

/// Of what an answer would take too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMany {
    /// The range has buckets for so many rows, whatever is asked of each.
    #[error("at least {0} rows would be read, and an answer may read {ROWS_READ_MAX}")]
    Buckets(u64),
    /// So many Queries would be made, at least.
    #[error("the database would be queried {0} times, and {QUERIES_MAX} times are allowed for an answer")]
    Queries(u64),
    /// They were counted while they were read.
    #[error("more than {ROWS_READ_MAX} rows answer it, and an answer may read {ROWS_READ_MAX}")]
    Rows,
    /// What the rows add up to, or the answer made of it, takes more memory than a tenant may hold.
    #[error("its groups and buckets take more memory than the requests of a tenant may hold together")]
    Bytes,
}

/// Parameters with which a question can be answered.
struct Remedy {
    /// The one to blame.
    parameter: &'static str,
    /// What to do, with all that changes in backticks.
    detail: String,
}

impl Ground<'_> {
    /// How many partitions hold the rows of all spans: as many Queries read them, at least.
    pub(super) fn partitions(&self, ask: &Ask, spans: &[Span], comparison: Option<&Comparison>) -> Result<u64, ParameterError> {
        let partitions = self.within_budget(spans, comparison);
        partitions.map_err(|too_many| self.too_large(ask, too_many))
    }

    /// The refusal of a question that would take too much, with what would take less.
    pub(crate) fn too_large(&self, ask: &Ask, too_many: TooMany) -> ParameterError {
        let remedy = match too_many {
            TooMany::Buckets(_) | TooMany::Queries(_) => self.remedy(ask),
            TooMany::Rows | TooMany::Bytes => self.cheaper(ask),
        };
        ParameterError::new(remedy.parameter, Code::QueryTooLarge, format!("{too_many}: {}", remedy.detail))
    }

    fn within_budget(&self, spans: &[Span], comparison: Option<&Comparison>) -> Result<u64, TooMany> {
        let all = || spans.iter().chain(comparison.into_iter().flat_map(|comparison| &comparison.spans));
        let times_lanes = |number: u64| number.saturating_mul(u64::from(self.lanes));
        let rows = times_lanes(all().map(buckets_of).sum());
        let partitions = times_lanes(all().map(Span::chunks).sum());
        if rows > ROWS_READ_MAX as u64 {
            Err(TooMany::Buckets(rows))
        } else if partitions > QUERIES_MAX {
            Err(TooMany::Queries(partitions))
        } else {
            Ok(partitions)
        }
    }

    /// What to change of a question that was refused before reading: to day rows, to no comparison, or to a shorter range, whichever
    /// can be answered first.
    fn remedy(&self, ask: &Ask) -> Remedy {
        let remedies = [Self::by_days, Self::uncompared, Self::shorter];
        remedies
            .into_iter()
            .find_map(|remedy| remedy(self, ask))
            .unwrap_or_else(|| Remedy { parameter: "from", detail: "ask for a shorter range".to_owned() })
    }

    /// Whole days of the tenant's own zone.
    fn by_days(&self, ask: &Ask) -> Option<Remedy> {
        if self.is_answered_by_days(ask, ask.granularity) {
            return None;
        }
        let zone = self.tenant_zone;
        let first = zone.date_of(ask.range.from);
        let mut end = zone.date_of(ask.range.to);
        while calendar::first_quarter_of(end, zone)? < ask.range.to {
            end = end.tomorrow().ok()?;
        }
        let range = Range { from: calendar::first_quarter_of(first, zone)?, to: calendar::first_quarter_of(end, zone)? };
        let granularity = ask.granularity.map(|granularity| granularity.max(Granularity::Day));
        let changed = Ask { range, granularity, zone: zone.clone(), ..ask.clone() };
        let parameter = if ask.zone == *zone { "granularity" } else { "time_zone" };
        let granularity = granularity.map(|granularity| format!("&granularity={granularity}")).unwrap_or_default();
        let detail = format!("`from={first}&to={end}&time_zone={zone}{granularity}` can be answered, from one row for each day");
        self.is_answered(&changed).then_some(Remedy { parameter, detail })
    }

    fn uncompared(&self, ask: &Ask) -> Option<Remedy> {
        let changed = Ask { compare: None, ..ask.clone() };
        let detail = "without `compare` it can be answered".to_owned();
        (ask.compare.is_some() && self.is_answered(&changed)).then_some(Remedy { parameter: "compare", detail })
    }

    /// The longest range that ends where the one asked for does and is a half, a quarter, ... as long.
    fn shorter(&self, ask: &Ask) -> Option<Remedy> {
        let Range { from, to } = ask.range;
        let seconds = to.as_second() - from.as_second();
        let mut ranges = (1..=HALVINGS_MAX).filter_map(|halvings| {
            let from = to.as_second() - (seconds >> halvings) / QUARTER_SECONDS * QUARTER_SECONDS;
            let mut from = Timestamp::from_second(from).ok()?;
            if self.is_answered_by_days(ask, ask.granularity) {
                from = calendar::first_quarter_of(ask.zone.date_of(from), &ask.zone)?;
            }
            (from < to).then_some(Range { from, to })
        });
        let range = ranges.find(|range| self.is_answered(&Ask { range: *range, ..ask.clone() }))?;
        Some(Remedy { parameter: "from", detail: format!("`from={}&to={to}` can be answered", range.from) })
    }

    /// Whether a question can be answered, as far as that is known before reading.
    fn is_answered(&self, ask: &Ask) -> bool {
        let spans = || self.spans(ask, ask.range, ask.granularity).ok();
        let comparison = || ask.compare.map(|compare| self.comparison(ask, compare)).transpose().ok();
        let fits = |spans: Vec<Span>, comparison: Option<Comparison>| self.within_budget(&spans, comparison.as_ref()).is_ok();
        spans().zip(comparison()).is_some_and(|(spans, comparison)| fits(spans, comparison)) && slots(ask).is_ok()
    }

    /// What would read less or hold less, when only reading can tell whether it is enough.
    fn cheaper(&self, ask: &Ask) -> Remedy {
        let zone = self.tenant_zone;
        let (parameter, detail) = if ask.zone != *zone {
            ("time_zone", format!("time_zone={zone}, which is answered from day rows, is cheaper for granularities from P1D on"))
        } else if ask.granularity.is_some_and(|granularity| !granularity.is_days()) {
            ("granularity", "granularity=P1D, which is answered from day rows, is cheaper".to_owned())
        } else {
            ("from", "a shorter range, a filter, or a smaller group_by is cheaper".to_owned())
        };
        Remedy { parameter, detail }
    }
}

/// How many buckets a span has: the least number of rows that answer for it.
fn buckets_of(span: &Span) -> u64 {
    let buckets = match span {
        Span::Quarters { from, to } => to.duration_since(*from).as_secs() / QUARTER_SECONDS,
        Span::Days { from, to } => to.duration_since(*from).as_hours() / 24,
    };
    u64::try_from(buckets).unwrap_or(0)
}

#[cfg(test)]
mod tests;
