//! A token bucket as one instant: when it will be full again (the generic cell rate algorithm, ITU-T I.371). Pure.

use std::time::Duration;

use tokio::time::Instant;

/// How often something may happen. Neither number is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u32,
    /// As many at once after a pause.
    pub burst: u32,
}

/// The bucket of one key, tenant, or crowd. A new one is full.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    full_at: Option<Instant>,
}

/// How a bucket stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    /// How many more requests it would let pass now.
    pub left: u32,
    /// Until it is full.
    pub full_in: Duration,
    /// How long the request has to wait; `None`: it may pass.
    pub wait: Option<Duration>,
}

impl Rate {
    pub(super) fn times(self, factor: u32) -> Self {
        Self { per_second: self.per_second.saturating_mul(factor), burst: self.burst.saturating_mul(factor) }
    }

    /// How long an empty bucket takes to be full, rounded up.
    pub(super) fn window_seconds(self) -> u32 {
        self.burst.div_ceil(self.per_second.max(1))
    }

    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }

    fn capacity(self) -> Duration {
        self.interval() * self.burst
    }
}

impl Bucket {
    /// Takes one token from each, if each has one; else from none.
    pub(super) fn take_together<const N: usize>(mut buckets: [(&mut Self, Rate); N], now: Instant) -> [Passed; N] {
        let may_pass = buckets.iter().all(|(bucket, rate)| bucket.wait(*rate, now).is_none());
        std::array::from_fn(|index| {
            let (bucket, rate) = &mut buckets[index];
            let wait = bucket.wait(*rate, now);
            if may_pass {
                bucket.full_at = Some(now + bucket.full_in(now) + rate.interval());
            }
            bucket.passed(*rate, now, wait)
        })
    }

    /// Puts one token back.
    pub(super) fn give_back(&mut self, rate: Rate, now: Instant) {
        self.full_at = Some(now + self.full_in(now).saturating_sub(rate.interval()));
    }

    fn passed(&self, rate: Rate, now: Instant, wait: Option<Duration>) -> Passed {
        let full_in = self.full_in(now);
        let left = rate.capacity().saturating_sub(full_in).as_nanos() / rate.interval().as_nanos().max(1);
        Passed { left: u32::try_from(left).unwrap_or(u32::MAX), full_in, wait }
    }

    fn full_in(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now))
    }

    /// How long until there is a token.
    fn wait(&self, rate: Rate, now: Instant) -> Option<Duration> {
        let wait = (self.full_in(now) + rate.interval()).saturating_sub(rate.capacity());
        (!wait.is_zero()).then_some(wait)
    }
}

impl Passed {
    pub(super) fn full_in_seconds(self) -> u64 {
        seconds(self.full_in)
    }
}

/// Whole seconds, rounded up.
pub(crate) fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever asks when, no more passes in a span than a full bucket and what flows in.
        #[test]
        fn no_more_passes_than_the_rate_says(
            per_second in 1_u32..200, burst in 1_u32..50, pauses in prop::collection::vec(0_u64..200, 1..200),
        ) {
            let rate = Rate { per_second, burst };
            let (start, mut bucket) = (Instant::now(), Bucket::default());
            let (mut now, mut passed) = (start, 0_u64);
            for pause in pauses {
                now += Duration::from_millis(pause);
                let [found] = Bucket::take_together([(&mut bucket, rate)], now);
                passed += u64::from(found.wait.is_none());
                prop_assert!(found.left < burst || burst == 0);
                if let Some(wait) = found.wait {
                    prop_assert_eq!(found.left, 0);
                    let [after] = Bucket::take_together([(&mut bucket.clone(), rate)], now + wait);
                    prop_assert!(after.wait.is_none(), "what it is told to wait is enough");
                }
            }
            let flowed = (now - start).as_millis() as u64 * u64::from(per_second) / 1000;
            prop_assert!(passed <= u64::from(burst) + flowed + 1, "{passed} of {burst} + {flowed}");
        }
    }

    #[test]
    fn a_request_takes_from_both_buckets_or_from_none() {
        let (many, few) = (Rate { per_second: 1, burst: 10 }, Rate { per_second: 1, burst: 1 });
        let (mut first, mut second) = (Bucket::default(), Bucket::default());
        let now = Instant::now();
        let mut take = || Bucket::take_together([(&mut first, many), (&mut second, few)], now).map(|passed| passed.left);
        assert_eq!(take(), [9, 0]);
        assert_eq!(take(), [9, 0], "the second refuses, so the first keeps its token");
    }
}
