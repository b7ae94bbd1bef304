//! How long to wait between two reads of a shard. Pure: it is told what came, and says how long.
//!
//! GetRecords is billed per call and limited per shard, so an idle shard is asked twice a second at most; a shard with
//! records is asked sooner, so that a change is seen well within a second.

use std::time::Duration;

use crate::watermark::EMPTY_PAGES_BEHIND;

/// After a page with records, or the first empty one.
const LIVELY: Duration = Duration::from_millis(200);
/// Added with every further empty page, unless reading has just begun: then so many are needed to know that nothing is there.
const IDLE_STEP: Duration = Duration::from_millis(50);
/// The first pages of a reading, while they are empty.
const BEGINNING_PAGES: u32 = EMPTY_PAGES_BEHIND as u32;
const IDLE_MAX: Duration = Duration::from_millis(500);
/// The span of the first retry; it doubles with each.
const RETRY_BASE: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Most records GetRecords returns.
pub(crate) const PAGE_RECORDS_MAX: usize = 1000;
/// A page of this size was cut by GetRecords' limit of 1 MB, or nearly.
const PAGE_BYTES_FULL: usize = 900 * 1024;

/// The polling schedule of one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pacing {
    empty_pages: u32,
    has_begun: bool,
    failures: u32,
}

impl Pacing {
    /// The wait after a page of so many records and bytes: none after a full one, which says that more is there.
    pub fn after_page(&mut self, records: usize, bytes: usize) -> Duration {
        self.failures = 0;
        if records > 0 {
            (self.has_begun, self.empty_pages) = (true, 0);
            let is_full = records >= PAGE_RECORDS_MAX || bytes >= PAGE_BYTES_FULL;
            return if is_full { Duration::ZERO } else { LIVELY };
        }
        let wait = if self.has_begun { LIVELY + IDLE_STEP * self.empty_pages.min(10) } else { LIVELY };
        self.empty_pages = self.empty_pages.saturating_add(1);
        if !self.has_begun && self.empty_pages == BEGINNING_PAGES {
            (self.has_begun, self.empty_pages) = (true, 0);
        }
        wait.min(IDLE_MAX)
    }

    /// The wait after a refusal: full jitter over a span that doubles up to 5 s. `seed` is uniform in `[0, 1)`.
    pub fn after_failure(&mut self, seed: f64) -> Duration {
        let span = RETRY_BASE.saturating_mul(1 << self.failures.min(6)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        span.mul_f64(seed.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_shard_is_asked_twice_a_second() {
        let mut pacing = Pacing::default();
        let begins: Vec<u128> = (0..10).map(|_| pacing.after_page(0, 0).as_millis()).collect();
        assert_eq!(begins, [200; 10], "until it is known that nothing is there");
        let waits: Vec<u128> = (0..10).map(|_| pacing.after_page(0, 0).as_millis()).collect();
        assert_eq!(waits, [200, 250, 300, 350, 400, 450, 500, 500, 500, 500]);
        assert_eq!(pacing.after_page(1, 100), Duration::from_millis(200));
        assert_eq!(pacing.after_page(0, 0), Duration::from_millis(200), "records make it lively again");
    }

    #[test]
    fn a_full_page_is_followed_at_once() {
        let mut pacing = Pacing::default();
        assert_eq!(pacing.after_page(PAGE_RECORDS_MAX, 1), Duration::ZERO);
        assert_eq!(pacing.after_page(3, 1024 * 1024), Duration::ZERO);
        assert_ne!(pacing.after_page(PAGE_RECORDS_MAX - 1, 1), Duration::ZERO);
    }

    #[test]
    fn retries_spread_over_a_doubling_span_of_at_most_5_s() {
        let mut pacing = Pacing::default();
        let spans: Vec<u128> = (0..9).map(|_| pacing.after_failure(1.0).as_millis()).collect();
        assert_eq!(spans, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        assert_eq!(pacing.after_failure(0.0), Duration::ZERO);
        pacing.after_page(0, 0);
        assert_eq!(pacing.after_failure(0.5), Duration::from_millis(50), "a success starts over");
    }
}
