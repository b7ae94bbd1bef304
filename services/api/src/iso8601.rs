//! Instants and durations as bodies spell them.

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use tidemark_domain::instant::of_rfc3339;

/// The last instant that is taken, to the second: whoever means "for ever" sends none at all.
const LAST: &str = "9999-12-30T22:00:00Z";

/// An instant as RFC 3339 spells it.
///
/// # Errors
/// A sentence about what is expected.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    of_rfc3339(text).map_err(|_| format!("must be an RFC 3339 instant, such as 2026-03-30T09:14:05Z; the last is {LAST}"))
}

/// An ISO 8601 duration of weeks, days (24 hours each), hours, minutes and seconds.
///
/// # Errors
/// A sentence about what is expected.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, &'static str> {
    const EXPECTED: &str = "must be an ISO 8601 duration of weeks, days, hours, minutes and seconds, such as PT4H";
    // The parser also knows a friendlier form, which is not of this contract.
    let span: Span = if text.starts_with('P') { text.parse().map_err(|_| EXPECTED)? } else { return Err(EXPECTED) };
    span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_rfc_3339_and_the_last_one_is_named() {
        let last = instant(LAST).expect("it is the last");
        assert!(last.checked_add(SignedDuration::from_secs(1)).is_err(), "there is a later one");
        for bad in ["9999-12-31T23:59:59Z", "2026-03-30 09:14:05Z", "2026-03-30T09:14:05Z[UTC]", "20260330T091405Z", "2026-03-30"]
        {
            assert!(
                instant(bad).is_err_and(|detail| detail.starts_with("must be an RFC 3339") && detail.ends_with(LAST)),
                "{bad}"
            );
        }
    }

    #[test]
    fn durations_are_iso_8601_with_days_of_24_hours() {
        assert_eq!(duration("P1DT1H"), Ok(SignedDuration::from_hours(25)));
        assert_eq!(duration("PT15M"), Ok(SignedDuration::from_mins(15)));
        for bad in ["", "P", "15 minutes", "1h", "PT", "P1M", "P1Y", "-PT1H", "pt1h", "PT1H "] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
