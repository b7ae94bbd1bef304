//! Parsers for settings. Each error says what is wrong and what is allowed.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The text of a setting cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("`{0}` is not an address; give IP:PORT, such as 0.0.0.0:8080 or [::]:8080")]
    Address(String),
    #[error("`{text}` is not a whole number; give {unit} from {min} to {max}")]
    Number { text: String, unit: &'static str, min: u64, max: u64 },
    #[error("`{text}` is out of range; give {unit} from {min} to {max}")]
    Range { text: String, unit: &'static str, min: u64, max: u64 },
    #[error("`{text}` is not allowed: {reason}")]
    Other { text: String, reason: String },
}

/// Any text. (An empty one counts as unset before it comes here.)
///
/// # Errors
/// None; the signature is that of every parser.
pub fn text(text: &str) -> Result<String, Error> {
    Ok(text.to_owned())
}

/// Any type that parses itself, and whose error says what is allowed. Not for secrets: the error quotes the text.
///
/// # Errors
/// The type's own, with the text.
pub fn from_str<T: FromStr<Err: Display>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: T::Err| Error::Other { text: text.to_owned(), reason: error.to_string() })
}

/// An IP address and port. Names are not resolved: a process listens on an interface.
///
/// # Errors
/// [`Error::Address`].
pub fn socket_address(text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| Error::Address(text.to_owned()))
}

/// A whole number of the range.
///
/// # Errors
/// [`Error::Number`], [`Error::Range`].
pub fn whole_number(range: RangeInclusive<u64>) -> impl FnOnce(&str) -> Result<u64, Error> {
    move |text| number_of("a whole number", &range, text)
}

/// A duration given as whole milliseconds of the range.
///
/// # Errors
/// [`Error::Number`], [`Error::Range`].
pub fn milliseconds(range: RangeInclusive<u64>) -> impl FnOnce(&str) -> Result<Duration, Error> {
    move |text| number_of("whole milliseconds", &range, text).map(Duration::from_millis)
}

fn number_of(unit: &'static str, range: &RangeInclusive<u64>, text: &str) -> Result<u64, Error> {
    let (min, max) = (*range.start(), *range.end());
    match text.parse::<u64>() {
        Ok(number) if range.contains(&number) => Ok(number),
        // A number too long for u64 is out of range too, not malformed.
        Err(_) if text.is_empty() || !text.bytes().all(|c| c.is_ascii_digit()) => {
            Err(Error::Number { text: text.to_owned(), unit, min, max })
        }
        Ok(_) | Err(_) => Err(Error::Range { text: text.to_owned(), unit, min, max }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_inside_its_range() {
        assert_eq!(whole_number(1..=8)("8"), Ok(8));
        for (text, wrong) in
            [("0", "out of range"), ("99999999999999999999", "out of range"), ("-1", "not a whole"), ("1.5", "not a whole")]
        {
            let error = whole_number(1..=8)(text).expect_err(text).to_string();
            assert!(error.contains(wrong) && error.contains("from 1 to 8"), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_has_a_port_and_no_name() {
        assert!(socket_address("[::1]:0").is_ok());
        for bad in ["localhost:8080", "127.0.0.1", ":8080", "1.2.3.4:70000"] {
            assert!(socket_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_type_explains_its_own_error() {
        let error = from_str::<bool>("yes").expect_err("Rust's own words").to_string();
        assert_eq!(error, "`yes` is not allowed: provided string was not `true` or `false`");
    }
}
