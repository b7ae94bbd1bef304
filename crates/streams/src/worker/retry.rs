//! When a tick that failed is made again. Pure: it is told what became of each.

use std::time::Duration;

use tokio::time::Instant;

/// The span of the first wait; it doubles with each failure in a row.
const FIRST: Duration = Duration::from_millis(100);

/// Waits between ticks that fail, with full jitter.
#[derive(Debug, Default)]
pub(super) struct Retry {
    failures: u32,
    not_before: Option<Instant>,
}

impl Retry {
    pub(super) fn is_due(&self, mono: Instant) -> bool {
        self.not_before.is_none_or(|at| mono >= at)
    }

    /// The last one failed.
    pub(super) fn is_waiting(&self) -> bool {
        self.failures > 0
    }

    /// Notes what became of a tick; `longest` bounds the wait.
    pub(super) fn note(&mut self, went_well: bool, longest: Duration, mono: Instant) {
        if went_well {
            *self = Self::default();
            return;
        }
        let span = FIRST.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(mono + span.mul_f64(fastrand::f64()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_tried_less_and_less_and_what_succeeds_at_once() {
        const LONGEST: Duration = Duration::from_secs(5);
        let start = Instant::now();
        let mut retry = Retry::default();
        for span in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            assert!(retry.is_due(start));
            // The longest of many draws comes near the span, and none goes beyond it.
            let draw = |failures| {
                let mut retry = Retry { failures, not_before: None };
                retry.note(false, LONGEST, start);
                retry.not_before.unwrap() - start
            };
            let longest = (0..1000).map(|_| draw(retry.failures)).max().unwrap();
            let span = Duration::from_millis(span);
            assert!(longest <= span && longest >= span * 9 / 10, "{longest:?} of {span:?}");
            retry.note(false, LONGEST, start);
            assert!(retry.is_waiting() && retry.is_due(start + span));
            retry.not_before = None;
        }
        retry.note(true, LONGEST, start);
        assert!(!retry.is_waiting() && retry.is_due(start));
    }
}
