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

/// A part of a rate: each number is divided by one of these. Neither is zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub per_second: u32,
    pub burst: u32,
}

/// The bucket of one key, tenant, or crowd. A new one is full.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    full_at: Option<Instant>,
    /// The rate that `full_at` was computed by.
    rate: Option<Rate>,
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
    /// A part of this rate; at least one a second, and one in a burst.
    pub(super) fn divided(self, part: Part) -> Self {
        Self { per_second: (self.per_second / part.per_second).max(1), burst: (self.burst / part.burst).max(1) }
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
    /// Takes one token from each, if each has one; else from none. How each stands then, in their order.
    pub(super) fn take_together(buckets: &mut [(&mut Self, Rate)], now: Instant) -> Vec<Passed> {
        for (bucket, rate) in buckets.iter_mut() {
            bucket.adopt(*rate, now);
        }
        let waits: Vec<_> = buckets.iter().map(|(bucket, rate)| bucket.wait(*rate, now)).collect();
        let may_pass = waits.iter().all(Option::is_none);
        let stand = |((bucket, rate), wait): (&mut (&mut Self, Rate), Option<Duration>)| {
            if may_pass {
                bucket.owe(1, *rate, now);
            }
            bucket.passed(*rate, now, wait)
        };
        buckets.iter_mut().zip(waits).map(stand).collect()
    }

    /// Takes so many tokens at once, if they are there. More than a bucket can hold are taken from a full one, in which the request has
    /// already taken its own: the rest is a debt. So a low rate makes expensive requests rare, not impossible.
    pub(super) fn take_many(&mut self, tokens: u32, rate: Rate, now: Instant) -> Passed {
        self.adopt(rate, now);
        let needed = rate.interval() * tokens.min(rate.burst.saturating_sub(1));
        let wait = (self.full_in(now) + needed).saturating_sub(rate.capacity());
        let wait = (!wait.is_zero()).then_some(wait);
        if wait.is_none() {
            self.owe(tokens, rate, now);
        }
        self.passed(rate, now, wait)
    }

    /// Takes so many tokens, whether they are there or not. What is missing is a debt: nothing passes until it has flowed in.
    pub(super) fn owe(&mut self, tokens: u32, rate: Rate, now: Instant) -> Passed {
        self.adopt(rate, now);
        self.full_at = Some(now + self.full_in(now) + rate.interval() * tokens);
        self.passed(rate, now, None)
    }

    /// Takes one token, if there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> Passed {
        self.adopt(rate, now);
        let wait = self.wait(rate, now);
        if wait.is_none() {
            self.owe(1, rate, now);
        }
        self.passed(rate, now, wait)
    }

    /// The rate of the last request; `None`: there was none.
    pub(super) fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Puts one token back.
    pub(super) fn give_back(&mut self, rate: Rate, now: Instant) {
        self.full_at = Some(now + self.full_in(now).saturating_sub(rate.interval()));
    }

    /// Goes on by a rate that may have changed since the last request. The bucket keeps its tokens, as far as they fit into the new burst, or
    /// its debt; room that a larger burst adds is empty at first. So no change adds tokens, and the next one comes as soon as the new rate
    /// says.
    fn adopt(&mut self, rate: Rate, now: Instant) {
        let Some(before) = self.rate.replace(rate).filter(|before| *before != rate) else { return };
        let nanos = |duration: Duration| i128::try_from(duration.as_nanos()).expect("a duration of less than 2^94 ns");
        // Negative: a debt. At most 10^6 tokens of 10^9 ns each, times 10^9 ns: far below the limit of i128. Rounded down, as fractions of a
        // token.
        let left = nanos(before.capacity()) - nanos(self.full_in(now));
        let left = (left * nanos(rate.interval())).div_euclid(nanos(before.interval()));
        let missing = (nanos(rate.capacity()) - left).max(0);
        self.full_at = Some(now + Duration::from_nanos(u64::try_from(missing).unwrap_or(u64::MAX)));
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
                let found = bucket.take(rate, now);
                passed += u64::from(found.wait.is_none());
                prop_assert!(found.left < burst);
                if let Some(wait) = found.wait {
                    prop_assert_eq!(found.left, 0);
                    let after = bucket.clone().take(rate, now + wait);
                    prop_assert!(after.wait.is_none(), "what it is told to wait is enough");
                }
            }
            let flowed = (now - start).as_millis() as u64 * u64::from(per_second) / 1000;
            prop_assert!(passed <= u64::from(burst) + flowed + 1, "{passed} of {burst} + {flowed}");
        }
    }

    proptest! {
        /// Against a bucket that is counted in tokens: it has `burst`, gains `per_second` each second, and may be below zero.
        #[test]
        fn a_cost_is_paid_from_what_is_there_and_the_rest_is_a_debt(
            per_second in 1_u32..20, burst in 1_u32..50, steps in prop::collection::vec((0_u64..5, 0_u32..80, any::<bool>()), 1..60),
        ) {
            let rate = Rate { per_second, burst };
            let (mut bucket, mut now, mut naive) = (Bucket::default(), Instant::now(), i64::from(burst));
            for (pause, tokens, is_owed) in steps {
                now += Duration::from_secs(pause);
                naive = (naive + pause as i64 * i64::from(per_second)).min(i64::from(burst));
                let (needed, found) = if is_owed {
                    (i64::MIN, bucket.owe(tokens, rate, now))
                } else {
                    (i64::from(tokens.min(burst - 1)), bucket.take_many(tokens, rate, now))
                };
                if let Some(wait) = found.wait {
                    prop_assert!(naive < needed, "{naive} suffice for {needed}");
                    let (before, at) = (bucket, now + wait);
                    prop_assert!(before.clone().take_many(tokens, rate, at).wait.is_none(), "the wait is long enough");
                    prop_assert!(before.clone().take_many(tokens, rate, at - rate.interval() / 2).wait.is_some(), "and not longer");
                } else {
                    prop_assert!(naive >= needed, "{naive} do not suffice for {needed}");
                    naive -= i64::from(tokens);
                }
                // An interval is a whole number of nanoseconds, so a token may be there a moment early.
                let left = i64::from(found.left) - naive.max(0);
                prop_assert!((0..=1).contains(&left), "{} left, counted {naive}", found.left);
            }
        }

        /// However often the rate changes: no more passes than by the higher of both numbers all the time, and a request that is refused
        /// waits for one token of the rate that holds now.
        #[test]
        fn a_rate_that_changes_adds_no_tokens_and_locks_nothing_up(
            rates in prop::collection::vec((1_u32..=2000, 1_u32..=500), 2..4),
            asks in prop::collection::vec((0_u64..60, any::<prop::sample::Index>(), 0_u32..40), 1..60),
        ) {
            let highest = |number: fn(&(u32, u32)) -> u32| u64::from(rates.iter().map(number).max().expect("a rate"));
            let (per_second, burst) = (highest(|rate| rate.0), highest(|rate| rate.1));
            let (start, mut bucket) = (Instant::now(), Bucket::default());
            let (mut now, mut passed) = (start, 0_u64);
            for (pause, which, requests) in asks {
                now += Duration::from_millis(pause);
                let (per_second, burst) = *which.get(&rates);
                let rate = Rate { per_second, burst };
                for _ in 0..requests {
                    let found = bucket.take(rate, now);
                    passed += u64::from(found.wait.is_none());
                    prop_assert!(found.left < burst);
                    if let Some(wait) = found.wait {
                        prop_assert!(wait <= rate.interval(), "{wait:?} for one token of {rate:?}");
                        prop_assert!(bucket.clone().take(rate, now + wait).wait.is_none(), "the wait is enough");
                    }
                }
            }
            let flowed = (now - start).as_millis() as u64 * per_second / 1000;
            prop_assert!(passed <= burst + flowed + 1, "{passed} of {burst} + {flowed}");
        }
    }

    #[test]
    fn a_bucket_keeps_its_tokens_when_its_rate_changes() {
        let (low, high) = (Rate { per_second: 1, burst: 10 }, Rate { per_second: 100, burst: 200 });
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        let left = |bucket: &mut Bucket, rate, ms| bucket.take(rate, now + Duration::from_millis(ms)).left;
        for _ in 0..6 {
            bucket.take(low, now);
        }
        assert_eq!(left(&mut bucket, high, 0), 3, "raised: the four that were left, less one");
        assert_eq!(left(&mut bucket, high, 1000), 102, "and what flows in by the new rate");
        assert_eq!(left(&mut bucket, low, 1000), 9, "lowered: as many as fit, less one");
        let mut empty = Bucket::default();
        for _ in 0..10 {
            empty.take(low, now);
        }
        assert_eq!(empty.take(high, now).wait, Some(Duration::from_millis(10)), "raised: the next token comes by the new rate");
        let mut indebted = Bucket::default();
        indebted.owe(15, low, now);
        assert_eq!(
            indebted.take(high, now).wait,
            Some(Duration::from_millis(60)),
            "a debt of five stays, and is paid by the new rate"
        );
    }

    #[test]
    fn a_request_takes_from_both_buckets_or_from_none() {
        let (many, few) = (Rate { per_second: 1, burst: 10 }, Rate { per_second: 1, burst: 1 });
        let (mut first, mut second) = (Bucket::default(), Bucket::default());
        let now = Instant::now();
        let mut take = || {
            let passed = Bucket::take_together(&mut [(&mut first, many), (&mut second, few)], now);
            passed.into_iter().map(|passed| passed.left).collect::<Vec<_>>()
        };
        assert_eq!(take(), [9, 0]);
        assert_eq!(take(), [9, 0], "the second refuses, so the first keeps its token");
    }

    #[test]
    fn a_part_of_a_rate_is_never_nothing() {
        let part = Part { per_second: 10, burst: 2 };
        assert_eq!(Rate { per_second: 100, burst: 200 }.divided(part), Rate { per_second: 10, burst: 100 });
        assert_eq!(Rate { per_second: 5, burst: 1 }.divided(part), Rate { per_second: 1, burst: 1 });
    }
}
