//! Where in a shard a reader stands, and the text that is stored for it.

use std::cmp::Ordering;
use std::sync::Arc;

/// Most digits a sequence number may have. AWS documents 40.
const DIGITS_MAX: usize = 64;

const TRIM_HORIZON: &str = "TRIM_HORIZON";
const SHARD_END: &str = "SHARD_END";
const AT: &str = "AT:";

/// The text is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither TRIM_HORIZON, AT:<milliseconds>, a sequence number, nor SHARD_END")]
pub struct Error(String);

/// A stream record's sequence number: decimal text of varying width, up to 40 digits, which is more than `u128` holds.
/// Later records of a shard have greater ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SequenceNumber(Arc<str>);

impl SequenceNumber {
    /// # Errors
    /// When the text is not 1 to 64 decimal digits.
    pub fn new(text: &str) -> Result<Self, Error> {
        let is_decimal = (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
        if is_decimal { Ok(Self(text.into())) } else { Err(Error(text.chars().take(80).collect())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for SequenceNumber {
    /// By value. Two spellings of one value differ, and then the shorter is less, so that the order agrees with equality.
    fn cmp(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (self.0.trim_start_matches('0'), other.0.trim_start_matches('0'));
        (ours.len(), ours, self.0.len()).cmp(&(theirs.len(), theirs, other.0.len()))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a shard has been applied, durably. Stored as text, and compared for equality only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Position {
    /// Nothing yet: reading starts at the oldest record there is.
    TrimHorizon,
    /// Nothing yet: reading starts at the first record created at or after this instant, in epoch milliseconds.
    At(i64),
    /// Everything up to and including this record.
    After(SequenceNumber),
    /// Everything: the shard is closed and its last record applied.
    ShardEnd,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TrimHorizon => f.write_str(TRIM_HORIZON),
            Self::At(ms) => write!(f, "{AT}{ms}"),
            Self::After(sequence_number) => sequence_number.fmt(f),
            Self::ShardEnd => f.write_str(SHARD_END),
        }
    }
}

impl std::str::FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            TRIM_HORIZON => Ok(Self::TrimHorizon),
            SHARD_END => Ok(Self::ShardEnd),
            _ => match text.strip_prefix(AT) {
                Some(ms) => ms.parse().map(Self::At).map_err(|_| Error(text.chars().take(80).collect())),
                None => SequenceNumber::new(text).map(Self::After),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position() -> impl Strategy<Value = Position> {
        prop_oneof![
            Just(Position::TrimHorizon),
            Just(Position::ShardEnd),
            any::<i64>().prop_map(Position::At),
            "[0-9]{1,40}".prop_map(|digits| Position::After(SequenceNumber::new(&digits).unwrap())),
        ]
    }

    proptest! {
        #[test]
        fn a_position_survives_its_text(position in position()) {
            prop_assert_eq!(position.to_string().parse::<Position>(), Ok(position));
        }

        #[test]
        fn sequence_numbers_order_by_value(a in any::<u128>(), b in any::<u128>(), zeros in 0usize..3) {
            let padded = |n: u128| SequenceNumber::new(&format!("{}{n}", "0".repeat(zeros))).unwrap();
            let plain = |n: u128| SequenceNumber::new(&n.to_string()).unwrap();
            if a != b {
                prop_assert_eq!(padded(a).cmp(&plain(b)), a.cmp(&b));
            }
            prop_assert_eq!(padded(a) == plain(a), padded(a).cmp(&plain(a)) == Ordering::Equal);
        }
    }

    #[test]
    fn width_counts_before_digits() {
        let number = |text: &str| SequenceNumber::new(text).unwrap();
        assert!(number("999999999999999999999") < number("10000000000000000000000000000"));
        assert!(number("0042") > number("9"));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for bad in ["", "LATEST", "AT:", "AT:1.5", "12a", "-1", "trim_horizon", &"1".repeat(DIGITS_MAX + 1)] {
            assert!(bad.parse::<Position>().is_err(), "{bad:?}");
        }
    }
}
