//! The ranges an answer is compared with: the same length of calendar before, and the same dates a year before.

use jiff::civil::Date;
use jiff::{Span, Timestamp, Unit};

use super::{Range, first_quarter_of, is_local_midnight, quarter_from};
use crate::zone::Zone;

/// The range of the same length that ends where this one begins.
///
/// Whole local months move by as many months, local midnights by as many days, anything else by the exact duration. `None` when
/// that leaves the supported years.
pub fn previous_period(range: Range, zone: &Zone) -> Option<Range> {
    let Range { from, to } = range;
    let Some((first, end)) = whole_days(range, zone) else {
        return Some(Range { from: from.checked_sub(to.duration_since(from)).ok()?, to: from });
    };
    let unit = if first.day() == 1 && end.day() == 1 { Unit::Month } else { Unit::Day };
    let length = first.until((unit, end)).ok()?;
    Some(Range { from: first_quarter_of(first.checked_sub(length).ok()?, zone)?, to: from })
}

/// The same local dates and times a year earlier; 29 February becomes the 28th.
///
/// The last day, not the exclusive end, is what moves, so that no range becomes empty by ending before 29 February. `None` when
/// that leaves the supported years.
pub fn previous_year(range: Range, zone: &Zone) -> Option<Range> {
    let Range { from, to } = range;
    if let Some((first, end)) = whole_days(range, zone) {
        let last = end.yesterday().ok()?;
        let end = year_before(last)?.tomorrow().ok()?;
        return Some(Range { from: first_quarter_of(year_before(first)?, zone)?, to: first_quarter_of(end, zone)? });
    }
    let moved = |instant: Timestamp| {
        let local = zone.local(instant).datetime().checked_sub(Span::new().years(1)).ok()?;
        zone.instant_of(local).map(quarter_from)
    };
    let (start, end) = (moved(from)?, moved(to)?);
    let end = if start < end { end } else { start.checked_add(to.duration_since(from)).ok()? };
    Some(Range { from: start, to: end })
}

/// The dates `[first, end)`, when both ends of the range are local midnights.
fn whole_days(range: Range, zone: &Zone) -> Option<(Date, Date)> {
    let midnights = is_local_midnight(range.from, zone) && is_local_midnight(range.to, zone);
    midnights.then(|| (zone.date_of(range.from), zone.date_of(range.to)))
}

fn year_before(date: Date) -> Option<Date> {
    date.checked_sub(Span::new().years(1)).ok()
}
