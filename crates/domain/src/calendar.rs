//! Cuts a range of time into the buckets of an answer: quarters, hours, days, weeks and months of any zone.
//!
//! A quarter belongs to the bucket in which it starts. Since 2023 every boundary of every zone lies on a quarter, so this rounds
//! nothing that is still stored; before, a few zones changed their clocks at 00:01, and Kiritimati kept −10:40 until 1979.

use jiff::civil::{Date, Weekday};
use jiff::tz::Offset;
use jiff::{Span, Timestamp};

use crate::bucket::QUARTER_SECONDS;
use crate::zone::Zone;

mod compare;

pub use compare::{previous_period, previous_year};

/// The length of an answer's buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Granularity {
    QuarterHour,
    /// A maximal run of instants with the same local date, hour and offset. A clock put back at 3:00 has two hours of 2 o'clock;
    /// a change of half an hour cuts one short.
    Hour,
    Day,
    /// An ISO week, Monday to Sunday.
    Week,
    Month,
}

/// The text names no granularity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a granularity is one of PT15M, PT1H, P1D, P1W, P1M")]
pub struct UnknownGranularity(());

/// Half-open, `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// The part of one bucket that lies in the range asked for: `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub from: Timestamp,
    pub to: Timestamp,
    /// Whether the bucket goes on before `from` or after `to`.
    pub clipped: bool,
}

/// The range has more slots than were allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("about {about} buckets, more than the {max} allowed")]
pub struct TooMany {
    /// How many there would be; exact but for clock changes.
    pub about: u64,
    pub max: usize,
}

impl Granularity {
    /// From the finest to the coarsest.
    pub const ALL: [Self; 5] = [Self::QuarterHour, Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The ISO 8601 duration, as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QuarterHour => "PT15M",
            Self::Hour => "PT1H",
            Self::Day => "P1D",
            Self::Week => "P1W",
            Self::Month => "P1M",
        }
    }

    /// Whether every bucket is a number of whole local days.
    pub fn is_days(self) -> bool {
        self >= Self::Day
    }

    fn usual_seconds(self) -> i64 {
        const DAY: i64 = 86_400;
        match self {
            Self::QuarterHour => QUARTER_SECONDS,
            Self::Hour => 3_600,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 30 * DAY,
        }
    }

    /// The first date of the bucket that holds `date`; for granularities of whole days.
    fn first_of(self, date: Date) -> Option<Date> {
        match self {
            Self::Week => date.checked_sub(Span::new().days(date.weekday().since(Weekday::Monday))).ok(),
            Self::Month => Some(date.first_of_month()),
            _ => Some(date),
        }
    }

    /// The first date of the bucket after the one that begins with `first`.
    fn next_after(self, first: Date) -> Option<Date> {
        let step = match self {
            Self::Week => Span::new().days(7),
            Self::Month => Span::new().months(1),
            _ => Span::new().days(1),
        };
        first.checked_add(step).ok()
    }
}

impl std::str::FromStr for Granularity {
    type Err = UnknownGranularity;

    fn from_str(text: &str) -> Result<Self, UnknownGranularity> {
        Self::ALL.into_iter().find(|granularity| granularity.as_str() == text).ok_or(UnknownGranularity(()))
    }
}

impl std::fmt::Display for Granularity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an instant lies on a multiple of 15 minutes in UTC, where alone rows can be cut.
pub fn is_on_quarter(instant: Timestamp) -> bool {
    quarter_from(instant) == instant
}

/// Whether a local day begins at the instant, or with the quarter that starts there. Where the zone skips midnight, that is what
/// follows the skipped time.
pub fn is_local_midnight(instant: Timestamp, zone: &Zone) -> bool {
    first_quarter_of(zone.date_of(instant), zone) == Some(instant)
}

/// The slots of `[from, to)`: in order, without gap or overlap, none empty. The first and last are clipped where `from` and `to`
/// cut a bucket; a day the zone skipped has no slot. Both ends must lie on quarters; an empty range has no slots.
///
/// # Errors
/// When there are more than `max`.
pub fn tile(range: Range, granularity: Granularity, zone: &Zone, max: usize) -> Result<Vec<Slot>, TooMany> {
    let Range { from, to } = range;
    // Real buckets may be a twelfth shorter than usual ones (February); the factor of two keeps this a refusal of absurd ranges.
    let about = u64::try_from((to.as_second() - from.as_second()) / granularity.usual_seconds()).unwrap_or(0);
    let too_many = || TooMany { about: about.max(max as u64 + 1), max };
    if about / 2 > max as u64 {
        return Err(too_many());
    }
    let mut slots = Vec::new();
    let mut at = from;
    while at < to {
        if slots.len() == max {
            return Err(too_many());
        }
        let bucket = bucket_holding(at, granularity, zone);
        let end = bucket.to.min(to);
        slots.push(Slot { from: at, to: end, clipped: bucket.from < at || end < bucket.to });
        at = end;
    }
    Ok(slots)
}

/// The whole bucket of the quarter that starts at `at`.
fn bucket_holding(at: Timestamp, granularity: Granularity, zone: &Zone) -> Range {
    match granularity {
        Granularity::QuarterHour => Range { from: at, to: next_quarter(at) },
        Granularity::Hour => hour_holding(at, zone),
        Granularity::Day | Granularity::Week | Granularity::Month => dates_holding(at, granularity, zone),
    }
}

fn hour_holding(at: Timestamp, zone: &Zone) -> Range {
    let same_hour = |instant: Timestamp| hour_of(instant, zone) == hour_of(at, zone);
    let mut range = Range { from: at, to: next_quarter(at) };
    while range.to < Timestamp::MAX && same_hour(range.to) {
        range.to = next_quarter(range.to);
    }
    while range.from > Timestamp::MIN && same_hour(previous_quarter(range.from)) {
        range.from = previous_quarter(range.from);
    }
    range
}

fn hour_of(instant: Timestamp, zone: &Zone) -> (Date, i8, Offset) {
    let local = zone.local(instant);
    (local.date(), local.hour(), local.offset())
}

fn dates_holding(at: Timestamp, granularity: Granularity, zone: &Zone) -> Range {
    let mut first = granularity.first_of(zone.date_of(at));
    let mut range = Range { from: Timestamp::MIN, to: Timestamp::MAX };
    // A clock put back at 00:01 shows the old date once more after the new one has begun, and a skipped day is empty: so the
    // bucket is the last one that has begun, not simply the one whose date the clock shows. One step is the most a zone needed.
    while let Some(date) = first {
        range.from = first_quarter_of(date, zone).unwrap_or(Timestamp::MIN);
        first = granularity.next_after(date);
        range.to = first.and_then(|next| first_quarter_of(next, zone)).unwrap_or(Timestamp::MAX);
        if at < range.to {
            break;
        }
    }
    range
}

/// The first quarter that starts on `date` or later; `None` outside the supported years.
pub fn first_quarter_of(date: Date, zone: &Zone) -> Option<Timestamp> {
    zone.start_of(date).map(quarter_from)
}

/// The first quarter at or after an instant.
fn quarter_from(instant: Timestamp) -> Timestamp {
    let floor = instant.as_second().div_euclid(QUARTER_SECONDS) * QUARTER_SECONDS;
    match Timestamp::from_second(floor) {
        Ok(start) if start == instant => start,
        Ok(start) => next_quarter(start),
        Err(_) => Timestamp::MIN,
    }
}

fn next_quarter(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second() + QUARTER_SECONDS).unwrap_or(Timestamp::MAX)
}

fn previous_quarter(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second() - QUARTER_SECONDS).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
