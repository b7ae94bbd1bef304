//! The spans of time that rows are kept for.
//!
//! Each contribution lands in two: a quarter of an hour in UTC, and a day in the tenant's zone. Every zone's offset has been a
//! multiple of 15 minutes for decades, so hours, days, weeks and months of any zone are exact sums of quarters.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::zone::Zone;

/// The length of a quarter, in seconds.
pub const QUARTER_SECONDS: i64 = 15 * 60;
/// How long quarter rows are kept, in days, judged by the bucket's start. Day rows stay.
pub const QUARTER_RETENTION_DAYS: i64 = 400;

/// One row's span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// `[start, start + 15 min)`; the start is a multiple of 15 minutes in UTC.
    Quarter { start: Timestamp },
    /// A calendar day of the tenant's zone.
    Day { date: Date },
}

/// The two kinds of bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Width {
    Quarter,
    Day,
}

impl Bucket {
    /// The quarter that holds an instant.
    pub fn quarter_of(instant: Timestamp) -> Self {
        let start = instant.as_second().div_euclid(QUARTER_SECONDS) * QUARTER_SECONDS;
        let start = Timestamp::from_second(start).unwrap_or(Timestamp::MIN);
        Self::Quarter { start }
    }

    /// The day of `zone` that holds an instant.
    pub fn day_of(instant: Timestamp, zone: &Zone) -> Self {
        Self::Day { date: zone.date_of(instant) }
    }

    pub fn width(self) -> Width {
        match self {
            Self::Quarter { .. } => Width::Quarter,
            Self::Day { .. } => Width::Day,
        }
    }
}

/// The first quarter that is still kept at `now`. Older ones are neither written nor read.
pub fn quarters_kept_from(now: Timestamp) -> Timestamp {
    let Bucket::Quarter { start } = Bucket::quarter_of(now - SignedDuration::from_hours(24 * QUARTER_RETENTION_DAYS)) else {
        unreachable!("quarter_of gives a quarter")
    };
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_holds_its_start_and_not_its_end_before_1970_too() {
        for (instant, start) in [
            ("2026-03-29T00:59:59.999999999Z", "2026-03-29T00:45:00Z"),
            ("2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:45:00Z"),
        ] {
            let Bucket::Quarter { start: found } = Bucket::quarter_of(instant.parse().expect("an instant")) else {
                panic!("a quarter")
            };
            assert_eq!(found.to_string(), start);
        }
    }

    #[test]
    fn a_day_is_the_tenants_own() {
        let instant: Timestamp = "2026-03-28T23:30:00Z".parse().expect("an instant");
        let day = |zone: &str| Bucket::day_of(instant, &Zone::named(zone).expect("a zone"));
        assert_eq!(day("Europe/Berlin"), Bucket::Day { date: jiff::civil::date(2026, 3, 29) });
        assert_eq!(day("UTC"), Bucket::Day { date: jiff::civil::date(2026, 3, 28) });
    }

    #[test]
    fn quarters_are_kept_for_the_retention_to_the_quarter() {
        let now: Timestamp = "2026-11-22T10:07:00Z".parse().expect("an instant");
        assert_eq!(quarters_kept_from(now).to_string(), "2025-10-18T10:00:00Z");
    }
}
