//! When a failed delivery is tried again, and how much say the receiver's `Retry-After` has in it.

use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;

/// The wait before each attempt, counted from the end of the one before it (Standard Webhooks 1.0): 75.6 hours in all.
pub const WAITS: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];
/// Attempts of one delivery. Those asked for by hand come on top.
pub const ATTEMPTS_MAX: u32 = WAITS.len() as u32;
/// No wait is longer, whatever chance and the receiver say.
pub const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// A wait is this share shorter at least, and longer at most: endpoints that failed together are not tried again together.
const JITTER: f64 = 0.2;
/// A receiver may always ask for this much.
const RETRY_AFTER_ALWAYS: Duration = Duration::from_secs(15 * 60);
/// Longest text of a `Retry-After` that is read: any form of a date fits.
const RETRY_AFTER_LENGTH_MAX: usize = 64;

/// How long to wait before attempt number `attempt` (the first is 1); `None` when there is none.
///
/// `random` is a number from 0 to 1. What the receiver asked for counts between the usual wait and the longer of twice that and 15
/// minutes: it can slow us down, not put us off for good.
pub fn wait(attempt: u32, random: f64, retry_after: Option<Duration>) -> Option<Duration> {
    let nominal = *WAITS.get(usize::try_from(attempt.checked_sub(1)?).ok()?)?;
    // Also where `random` is no number: `mul_f64` panics on those.
    let random = if (0.0..=1.0).contains(&random) { random } else { 0.5 };
    let base = nominal.mul_f64(1.0 + JITTER * (2.0 * random - 1.0));
    let longest = RETRY_AFTER_ALWAYS.max(base * 2);
    Some(retry_after.map_or(base, |asked| asked.clamp(base, longest)).min(WAIT_MAX))
}

/// Reads a `Retry-After`: whole seconds, or an HTTP date. It is at most [`WAIT_MAX`]; a date that is past is no wait.
///
/// Anything else is `None`, as if nothing had been asked for.
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() || text.len() > RETRY_AFTER_LENGTH_MAX {
        return None;
    }
    if text.bytes().all(|c| c.is_ascii_digit()) {
        // Only too many digits can be unreadable here.
        return Some(text.parse().map_or(WAIT_MAX, Duration::from_secs).min(WAIT_MAX));
    }
    let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now.as_millisecond()).ok()?);
    Some(since_epoch.saturating_sub(now).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    /// 2026-11-22T13:55:02Z
    fn now() -> Timestamp {
        Timestamp::from_second(1_795_355_702).expect("an instant")
    }

    #[test]
    fn the_waits_are_those_of_the_specification() {
        let usual: Vec<Duration> = (1..=ATTEMPTS_MAX).map(|attempt| wait(attempt, 0.5, None).expect("an attempt")).collect();
        assert_eq!(usual, WAITS);
        let total: Duration = WAITS.iter().sum();
        assert_eq!(total, 75 * HOUR + 35 * MINUTE + Duration::from_secs(5));
        assert_eq!([0, ATTEMPTS_MAX + 1, u32::MAX].map(|attempt| wait(attempt, 0.5, None)), [None; 3]);
    }

    #[test]
    fn chance_moves_a_wait_by_a_fifth_and_never_over_a_day() {
        let waits = |random| [3, 10].map(|attempt| wait(attempt, random, None).expect("an attempt"));
        assert_eq!(waits(0.0), [4 * MINUTE, HOUR.mul_f64(19.2)]);
        assert_eq!(waits(1.0), [6 * MINUTE, 24 * HOUR]);
    }

    #[test]
    fn a_receiver_slows_us_down_within_bounds() {
        let asked = |attempt, seconds| wait(attempt, 0.5, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(2, 1), Some(Duration::from_secs(5)), "never sooner than usual");
        assert_eq!(asked(2, 600), Some(10 * MINUTE));
        assert_eq!(asked(2, 3600), Some(15 * MINUTE), "15 minutes may always be asked for");
        assert_eq!(asked(5, 10_800), Some(3 * HOUR));
        assert_eq!(asked(5, 86_400), Some(4 * HOUR), "else twice the usual");
        assert_eq!(asked(9, 86_400), Some(24 * HOUR));
    }

    #[test]
    fn seconds_and_dates_are_read_and_nothing_else() {
        let seconds = |n| Some(Duration::from_secs(n));
        let table = [
            ("0", seconds(0)),
            (" 120 ", seconds(120)),
            ("86401", seconds(86_400)),
            ("99999999999999999999", seconds(86_400)),
            ("Sun, 22 Nov 2026 13:56:02 GMT", seconds(60)),
            ("Sunday, 22-Nov-26 13:56:02 GMT", seconds(60)),
            ("Sun Nov 22 13:56:02 2026", seconds(60)),
            ("Sun, 22 Nov 2026 13:00:00 GMT", seconds(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", seconds(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", seconds(86_400)),
            ("Fri, 32 Dec 9999 23:59:59 GMT", None),
            ("", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("1e17", None),
            ("inf", None),
            ("NaN", None),
            ("٣", None),
            ("2026-11-22T13:56:02Z", None),
            ("soon", None),
        ];
        for (text, expected) in table {
            assert_eq!(retry_after(text, now()), expected, "{text:?}");
        }
        assert_eq!(retry_after(&"1".repeat(RETRY_AFTER_LENGTH_MAX + 1), now()), None);
        assert_eq!(retry_after("Sun, 22 Nov 2026 13:56:02 GMT", Timestamp::MIN), None);
    }

    /// An HTTP date. A pattern of letters and digits would hardly ever be one.
    fn date() -> impl Strategy<Value = String> {
        let seconds = prop_oneof![1_795_000_000_u64..1_796_000_000, 0_u64..253_402_300_800];
        seconds.prop_map(|seconds| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_a_wait_stays_within_its_bounds(
            text in prop_oneof!["[0-9]{0,30}|[-+]?[0-9.e]{1,12}|\\PC{0,40}", date()],
            attempt in 0..13_u32,
            random in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), any::<f64>(), 0.0..=1.0],
            second in prop_oneof![1_795_000_000..1_796_000_000_i64, -377_705_023_201..=253_402_207_200_i64],
        ) {
            let asked = retry_after(&text, Timestamp::from_second(second).expect("in range"));
            prop_assert!(asked.is_none_or(|asked| asked <= WAIT_MAX));
            let waits = wait(attempt, random, asked);
            prop_assert_eq!(waits.is_some(), (1..=ATTEMPTS_MAX).contains(&attempt));
            if let Some(waits) = waits {
                let nominal = WAITS[attempt as usize - 1];
                prop_assert!(waits >= nominal.mul_f64(0.79) && waits <= WAIT_MAX);
                prop_assert!(waits <= nominal.mul_f64(2.41).max(RETRY_AFTER_ALWAYS));
                prop_assert!(asked.is_some() || waits <= nominal.mul_f64(1.21));
            }
        }
    }
}
