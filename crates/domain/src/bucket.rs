//! The spans of time that rows are kept for.
//!
//! Each contribution lands in two: a quarter of an hour in UTC, and a day in the tenant's zone. Every zone's offset has been a
//! multiple of 15 minutes since 1972, so hours, days, weeks and months of any zone are exact sums of quarters.

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
