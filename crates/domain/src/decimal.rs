//! Exact decimals over the whole range of a DynamoDB Number.

mod order;

use std::ops::{AddAssign, Neg};
use std::str::FromStr;

use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, RoundingMode, Zero};
use serde::{Deserialize, Serialize};

pub use order::ORDER_TEXT_BYTES_MAX;

/// Significant digits a DynamoDB Number keeps; an `ADD` whose exact result needs more fails (AWS: data types, Number).
pub const SIGNIFICANT_DIGITS_MAX: u64 = 38;
/// Most digits after the point of a readable measure value.
pub const FRACTION_DIGITS_MAX: i64 = 20;
/// Digits after the point of a ratio, rounded half to even.
pub const RATIO_DIGITS: i64 = 12;
/// Longest accepted text, and largest accepted exponent: far beyond DynamoDB's own (±130), far below what costs memory.
const TEXT_LENGTH_MAX: usize = 256;

/// An exact decimal number. Equal values are equal whatever their spelling; shown without exponent or trailing zeros.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Decimal(BigDecimal);

/// The text is no decimal number, or absurdly long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number")]
pub struct Error(());

impl Decimal {
    pub fn zero() -> Self {
        Self(BigDecimal::zero())
    }

    pub fn one() -> Self {
        Self(BigDecimal::from(1))
    }

    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// The exact difference.
    pub fn minus(&self, other: &Self) -> Self {
        Self((&self.0 - &other.0).normalized())
    }

    /// The exact product.
    pub fn times(&self, other: &Self) -> Self {
        Self((&self.0 * &other.0).normalized())
    }

    /// `self / other`, rounded half to even at [`RATIO_DIGITS`] places; `None` over zero.
    pub fn ratio(&self, other: &Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        // Integer division of numbers scaled so that the quotient has exactly RATIO_DIGITS places; the remainder decides the
        // rounding, so that no intermediate rounding can tip a half.
        let (numerator, numerator_scale) = self.0.as_bigint_and_exponent();
        let (denominator, denominator_scale) = other.0.as_bigint_and_exponent();
        let shift = RATIO_DIGITS - numerator_scale + denominator_scale;
        let ten = BigInt::from(10);
        let power = |n: i64| ten.pow(u32::try_from(n.unsigned_abs()).unwrap_or(u32::MAX));
        let (numerator, denominator) =
            if shift >= 0 { (numerator * power(shift), denominator) } else { (numerator, denominator * power(shift)) };
        let quotient = &numerator / &denominator;
        let remainder = &numerator - &quotient * &denominator;
        let twice = BigInt::from(remainder.magnitude() * 2u8);
        let against = BigInt::from(denominator.magnitude().clone());
        let away = match twice.cmp(&against) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => quotient.bit(0),
        };
        let negative = (numerator.sign() == Sign::Minus) != (denominator.sign() == Sign::Minus);
        let step = if negative { BigInt::from(-1) } else { BigInt::from(1) };
        let rounded = if away { quotient + step } else { quotient };
        Some(Self(BigDecimal::new(rounded, RATIO_DIGITS).normalized()))
    }

    /// Whether DynamoDB can hold the value exactly.
    pub fn is_storable(&self) -> bool {
        self.significant_digits() <= SIGNIFICANT_DIGITS_MAX
    }

    /// Whether a measure may have this value: |v| < 10^38, at most 20 digits after the point, at most 38 significant.
    pub fn is_readable(&self) -> bool {
        let (_, scale) = self.0.as_bigint_and_exponent();
        let digits = i64::try_from(self.significant_digits()).unwrap_or(i64::MAX);
        self.is_storable() && scale <= FRACTION_DIGITS_MAX && digits - scale <= 38
    }

    /// Rounded toward minus infinity to a whole number, when that fits.
    pub fn floor_to_i64(&self) -> Option<i64> {
        use bigdecimal::ToPrimitive;
        self.0.with_scale_round(0, RoundingMode::Floor).to_i64()
    }

    fn significant_digits(&self) -> u64 {
        if self.is_zero() { 1 } else { self.0.digits() }
    }
}

impl FromStr for Decimal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > TEXT_LENGTH_MAX {
            return Err(Error(()));
        }
        let value = BigDecimal::from_str(text).map_err(|_| Error(()))?;
        let (_, scale) = value.as_bigint_and_exponent();
        if usize::try_from(scale.unsigned_abs()).map_or(true, |scale| scale > TEXT_LENGTH_MAX) {
            return Err(Error(()));
        }
        Ok(Self(value.normalized()))
    }
}

impl TryFrom<String> for Decimal {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Decimal> for String {
    fn from(value: Decimal) -> Self {
        value.to_string()
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self(BigDecimal::from(value).normalized())
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_plain_string())
    }
}

impl AddAssign<&Decimal> for Decimal {
    fn add_assign(&mut self, other: &Decimal) {
        self.0 = (&self.0 + &other.0).normalized();
    }
}

impl Neg for Decimal {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl<'a> std::iter::Sum<&'a Decimal> for Decimal {
    fn sum<I: Iterator<Item = &'a Decimal>>(values: I) -> Self {
        let mut total = Self::zero();
        for value in values {
            total += value;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    #[test]
    fn a_value_has_one_spelling() {
        for (text, shown) in [
            ("0", "0"),
            ("-0", "0"),
            ("0.0", "0"),
            ("1.50", "1.5"),
            ("1E3", "1000"),
            ("100", "100"),
            ("-1e-3", "-0.001"),
            ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ] {
            assert_eq!(decimal(text).to_string(), shown);
        }
        assert_eq!(decimal("1.50"), decimal("15e-1"));
        for bad in ["", "x", "NaN", "Infinity", "1e999999999", "1e-999999999", "--1", &"9".repeat(300)] {
            assert!(bad.parse::<Decimal>().is_err(), "{bad}");
        }
    }

    #[test]
    fn readable_is_38_digits_and_20_places() {
        for good in
            ["99999999999999999999999999999999999999", "0.00000000000000000001", "-123456789012345678.12345678901234567891"]
        {
            assert!(decimal(good).is_readable(), "{good}");
        }
        for bad in ["1e38", "0.000000000000000000001", "1234567890123456789.12345678901234567891", "-1e38"] {
            assert!(!decimal(bad).is_readable(), "{bad}");
        }
    }

    #[test]
    fn a_sum_that_needs_39_digits_is_not_storable() {
        let mut sum = decimal("99999999999999999999999999999999999999");
        assert!(sum.is_storable());
        sum += &decimal("1.5");
        assert!(!sum.is_storable());
        assert_eq!(sum.to_string(), "100000000000000000000000000000000000000.5");
    }

    #[test]
    fn ratios_round_half_to_even_at_twelve_places() {
        let ratio = |a: &str, b: &str| decimal(a).ratio(&decimal(b)).map(|value| value.to_string());
        assert_eq!(ratio("1", "0"), None);
        assert_eq!(ratio("1", "3").as_deref(), Some("0.333333333333"));
        assert_eq!(ratio("-2", "3").as_deref(), Some("-0.666666666667"));
        assert_eq!(ratio("1", "2000000000000").as_deref(), Some("0"));
        assert_eq!(ratio("3", "2000000000000").as_deref(), Some("0.000000000002"));
        assert_eq!(ratio("-3", "2000000000000").as_deref(), Some("-0.000000000002"));
        assert_eq!(ratio("2.5000000000005000000000001", "1").as_deref(), Some("2.500000000001"));
        assert_eq!(ratio("1e30", "0.1").as_deref(), Some("10000000000000000000000000000000"));
    }
}
