//! Instants and durations as bodies spell them.

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// An instant as RFC 3339 spells it.
///
/// # Errors
/// A sentence about what is expected.
pub(crate) fn instant(text: &str) -> Result<Timestamp, &'static str> {
    text.parse().map_err(|_| "is an RFC 3339 instant, such as 2026-03-30T09:14:05Z")
}

/// An ISO 8601 duration of weeks, days (24 hours each), hours, minutes and seconds.
///
/// # Errors
/// A sentence about what is expected.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, &'static str> {
    const EXPECTED: &str = "is an ISO 8601 duration of weeks, days, hours, minutes and seconds, such as PT4H";
    // The parser also knows a friendlier form, which is not of this contract.
    let span: Span = if text.starts_with('P') { text.parse().map_err(|_| EXPECTED)? } else { return Err(EXPECTED) };
    span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_iso_8601_with_days_of_24_hours() {
        assert_eq!(duration("P1DT1H"), Ok(SignedDuration::from_hours(25)));
        assert_eq!(duration("PT15M"), Ok(SignedDuration::from_mins(15)));
        for bad in ["", "P", "15 minutes", "1h", "PT", "P1M", "P1Y", "-PT1H", "pt1h", "PT1H "] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
