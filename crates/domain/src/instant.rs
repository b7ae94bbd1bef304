//! When an item happened: the forms a source's time attribute may have.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use crate::decimal::Decimal;
use crate::image::Attribute;
use crate::zone::Zone;

/// An epoch number below this many is in seconds, from it on in milliseconds: 10^11 s lies in the year 5138.
const EPOCH_SECONDS_BELOW: u64 = 100_000_000_000;

/// Why an attribute is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("is missing")]
    Missing,
    #[error("is of type {0}; a time is S (RFC 3339 or a date) or N (epoch seconds or milliseconds)")]
    WrongType(&'static str),
    #[error("is the text `{0}`: not RFC 3339 or a date; an epoch, in seconds or milliseconds, must be a number (type N)")]
    Unparsable(String),
    #[error("is outside the years 1 to 9999")]
    OutOfRange,
}

/// The instant an attribute names. Texts without an offset are local times of `zone`, dates its midnights.
///
/// # Errors
/// When the attribute is missing, of another type, no time, or outside the years 1 to 9999.
pub fn parse(attribute: Option<&Attribute>, zone: &Zone) -> Result<Timestamp, Error> {
    let instant = match attribute {
        None => return Err(Error::Missing),
        Some(Attribute::Text(text)) => of_text(text, zone)?,
        Some(Attribute::Number(number)) => of_epoch(number)?,
        Some(other) => return Err(Error::WrongType(other.type_name())),
    };
    // The day row's key is the local date with a four-digit year.
    if (1..=9999).contains(&zone.date_of(instant).year()) { Ok(instant) } else { Err(Error::OutOfRange) }
}

/// The instant a text names, as [`parse`] does; also what the API accepts for `from` and `to`.
///
/// # Errors
/// When the text is neither an RFC 3339 instant, nor a local date-time, nor a date.
pub fn of_text(text: &str, zone: &Zone) -> Result<Timestamp, Error> {
    let unparsable = || unparsable(text);
    // A form is decided by its shape, so that `2026-03-29` is never taken for something else by a lenient parser.
    let bytes = text.as_bytes();
    let shaped = |at: usize, c: u8| bytes.get(at) == Some(&c);
    if !(text.is_ascii() && shaped(4, b'-') && shaped(7, b'-')) {
        return Err(unparsable());
    }
    if text.len() == 10 {
        let date: Date = text.parse().map_err(|_| unparsable())?;
        return zone.start_of(date).ok_or(Error::OutOfRange);
    }
    if text.contains('[') || !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return Err(unparsable());
    }
    let has_offset = text.ends_with(['Z', 'z']) || text[10..].contains(['+', '-']);
    if has_offset {
        // RFC 3339 §5.6: an offset's hour is at most 23. The parser would take 25.
        let is_beyond = text[10..].rsplit_once(['+', '-']).is_some_and(|(_, offset)| offset >= "24");
        if is_beyond { Err(unparsable()) } else { text.parse().map_err(|_| unparsable()) }
    } else {
        let local: DateTime = text.parse().map_err(|_| unparsable())?;
        zone.instant_of(local).ok_or(Error::OutOfRange)
    }
}

/// The instant that a text names by RFC 3339 (§5.6) and by nothing wider: date, `T`, time with seconds, and an offset.
///
/// # Errors
/// When it is spelled otherwise, is no time, or is none we can hold: the last is [`Timestamp::MAX`], one day and some before the year
/// 10000.
pub fn of_rfc3339(text: &str) -> Result<Timestamp, Error> {
    const HEAD: &str = "0000-00-00T00:00:00";
    let (head, rest) = text.split_at_checked(HEAD.len()).unwrap_or((text, ""));
    let fraction = rest.strip_prefix('.').filter(|fraction| fraction.starts_with(|c: char| c.is_ascii_digit()));
    let offset = fraction.map_or(rest, |fraction| fraction.trim_start_matches(|c: char| c.is_ascii_digit()));
    let has_offset = matches!(offset, "Z" | "z") || is_like(offset, "+00:00") || is_like(offset, "-00:00");
    if is_like(head, HEAD) && has_offset { of_text(text, &Zone::utc()) } else { Err(unparsable(text)) }
}

/// Whether a text has digits where the shape has zeros, and elsewhere what the shape has, in upper or lower case.
fn is_like(text: &str, shape: &str) -> bool {
    let fits = |(c, like): (u8, u8)| if like == b'0' { c.is_ascii_digit() } else { c.eq_ignore_ascii_case(&like) };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

fn unparsable(text: &str) -> Error {
    Error::Unparsable(text.chars().take(80).collect())
}

fn of_epoch(number: &str) -> Result<Timestamp, Error> {
    // Whatever a number is that we cannot read, it is of no year.
    let value: Decimal = number.parse().map_err(|_| Error::OutOfRange)?;
    let seconds = value.floor_to_i64().ok_or(Error::OutOfRange)?;
    let millis = if seconds.unsigned_abs() < EPOCH_SECONDS_BELOW {
        value.times(&Decimal::from(1000)).floor_to_i64().ok_or(Error::OutOfRange)?
    } else {
        seconds
    };
    Timestamp::from_millisecond(millis).map_err(|_| Error::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, zone: &str) -> String {
        let zone = Zone::named(zone).expect("a zone");
        match parse(Some(&Attribute::Text(text.to_owned())), &zone) {
            Ok(instant) => instant.to_string(),
            Err(error) => error.to_string(),
        }
    }

    fn number(number: &str) -> String {
        match parse(Some(&Attribute::Number(number.to_owned())), &Zone::utc()) {
            Ok(instant) => instant.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn dates_and_offsetless_times_are_in_the_tenants_zone() {
        assert_eq!(text("2026-03-29", "Europe/Berlin"), "2026-03-28T23:00:00Z");
        assert_eq!(text("2026-03-29T12:00:00", "Europe/Berlin"), "2026-03-29T10:00:00Z");
        assert_eq!(text("2026-03-29T12:00", "Asia/Kathmandu"), "2026-03-29T06:15:00Z");
        assert_eq!(text("2026-03-29T12:00:00+05:00", "Europe/Berlin"), "2026-03-29T07:00:00Z");
        assert_eq!(text("2026-03-29T12:00:00.5Z", "Europe/Berlin"), "2026-03-29T12:00:00.5Z");
        assert_eq!(text("2026-09-06", "America/Santiago"), "2026-09-06T04:00:00Z", "a day without midnight starts at 01:00");
    }

    #[test]
    fn epochs_are_told_by_magnitude() {
        assert_eq!(number("1774699200"), "2026-03-28T12:00:00Z");
        assert_eq!(number("1774699200000"), "2026-03-28T12:00:00Z");
        assert_eq!(number("1774699200.25"), "2026-03-28T12:00:00.25Z");
        assert_eq!(number("-1"), "1969-12-31T23:59:59Z");
        assert_eq!(number("99999999999"), "5138-11-16T09:46:39Z");
        assert_eq!(number("100000000000"), "1973-03-03T09:46:40Z");
    }

    #[test]
    fn an_epoch_as_a_text_is_told_to_be_a_number() {
        for epoch in ["1774699200", "1774699200000"] {
            assert!(text(epoch, "UTC").ends_with("an epoch, in seconds or milliseconds, must be a number (type N)"), "{epoch}");
        }
    }

    #[test]
    fn rfc_3339_is_taken_in_its_own_forms_alone() {
        for good in [
            "2026-03-29T12:00:00Z",
            "2026-03-29t12:00:00z",
            "2026-03-29T12:00:00.123456789Z",
            "2026-03-29T17:45:00+05:45",
            "2026-03-29T12:00:00-00:00",
        ] {
            assert!(of_rfc3339(good).is_ok_and(|instant| instant.as_second() == 1_774_785_600), "{good}");
        }
        for bad in [
            "",
            "2026-03-29",
            "2026-03-29T12:00:00",
            "2026-03-29 12:00:00Z",
            "2026-03-29T12:00Z",
            "2026-03-29T12Z",
            "20260329T120000Z",
            "2026-03-29T120000Z",
            "2026-03-29T12:00:00+0545",
            "2026-03-29T12:00:00+05",
            "2026-03-29T12:00:00+24:00",
            "2026-03-29T12:00:00Z[UTC]",
            "2026-03-29T12:00:00+00:00[Europe/Berlin]",
            "2026-03-29T12:00:00,5Z",
            "2026-03-29T12:00:00.Z",
            "+002026-03-29T12:00:00Z",
            "2026-03-29T12:00:00Z ",
            "2026-02-30T12:00:00Z",
            "2026-03-29T24:00:00Z",
            "2026-03-29T12:00:00 Z",
            "2026-03-29T12:00:0\u{663}Z",
        ] {
            assert!(matches!(of_rfc3339(bad), Err(Error::Unparsable(_))), "{bad}");
        }
    }

    #[test]
    fn what_is_no_time_is_named() {
        for bad in [
            "",
            "2026-03-",
            "2026-03-9",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "20260329",
            "2026-03-29T25:00:00Z",
            "2026-03-29[UTC]",
            "29.03.2026",
            "2026-03-29T12:00:00+25:00",
        ] {
            assert!(text(bad, "UTC").contains("not RFC 3339"), "{bad}: {}", text(bad, "UTC"));
        }
        assert!(number("1e30").contains("outside"));
        assert!(number("-9223372036854775808").contains("outside"));
        assert_eq!(parse(None, &Zone::utc()), Err(Error::Missing));
        assert_eq!(parse(Some(&Attribute::Bool(true)), &Zone::utc()), Err(Error::WrongType("BOOL")));
    }
}
