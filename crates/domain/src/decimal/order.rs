//! Decimals as text that sorts as they do, for sort keys.

use bigdecimal::num_bigint::Sign;

use super::{Decimal, SIGNIFICANT_DIGITS_MAX};

/// Added to the power of ten, so that it has no sign: no value read from a text or made of few such comes near it.
const EXPONENT_BIAS: i64 = 5000;
/// Characters of the power of ten.
const EXPONENT_DIGITS: usize = 4;
/// Most bytes of the text of a storable value: its sign, its power of ten, its digits, and the end of a negative one.
pub const ORDER_TEXT_BYTES_MAX: usize = 1 + EXPONENT_DIGITS + SIGNIFICANT_DIGITS_MAX as usize + 1;

impl Decimal {
    /// A text of `0`–`9` and `~` whose order by bytes is that of the values, also when `#` and anything else follows it.
    ///
    /// A sign (`0` negative, `1` zero, `2` positive), the power of ten, then the significant digits. Digits of a negative value are
    /// taken from nine, so that the larger sorts first; `~`, behind every digit, ends them, so that of -1.2 and -1.23 the longer
    /// comes first as well.
    pub fn order_text(&self) -> String {
        // Decimals are kept without trailing zeros, so equal values have equal digits.
        let (digits, scale) = self.0.as_bigint_and_exponent();
        let (sign, digits) = (digits.sign(), digits.magnitude().to_string());
        let power = i64::try_from(digits.len()).unwrap_or(i64::MAX).saturating_sub(scale).saturating_add(EXPONENT_BIAS);
        let power = power.clamp(0, 2 * EXPONENT_BIAS - 1);
        let body = format!("{power:0EXPONENT_DIGITS$}{digits}");
        match sign {
            Sign::NoSign => "1".to_owned(),
            Sign::Plus => format!("2{body}"),
            Sign::Minus => {
                let complement = body.bytes().map(|digit| char::from(b'9' - digit + b'0')).collect::<String>();
                format!("0{complement}~")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    #[test]
    fn texts_sort_as_the_values_do() {
        let ascending = [
            "-99999999999999999999999999999999999999e88",
            "-1000",
            "-999.5",
            "-10",
            "-1.23",
            "-1.2",
            "-1",
            "-0.1",
            "-1e-130",
            "0",
            "1e-130",
            "0.09",
            "0.1",
            "1",
            "1.2",
            "1.23",
            "9.9",
            "10",
            "100",
            "99999999999999999999999999999999999999e88",
        ];
        let texts: Vec<String> = ascending.iter().map(|text| decimal(text).order_text()).collect();
        assert!(texts.is_sorted_by(|a, b| a < b), "{texts:#?}");
        assert_eq!(decimal("12.50").order_text(), "25002125");
        assert_eq!(decimal("-12.50").order_text(), "04997874~");
    }

    /// Few digits at few powers, so that equal beginnings and equal values are common; or anything of 38 digits.
    fn any_decimal() -> impl Strategy<Value = Decimal> {
        let close = (-1200_i64..1200, -2_i64..3).prop_map(|(digits, power)| decimal(&format!("{digits}e{power}")));
        let wide = (any::<bool>(), "[0-9]{1,38}", -130_i64..=88);
        let wide = wide
            .prop_map(|(is_negative, digits, power)| decimal(&format!("{}{digits}e{power}", if is_negative { "-" } else { "" })));
        prop_oneof![close, wide]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_order_of_texts_is_the_order_of_values(a in any_decimal(), b in any_decimal(), rest in "[ -~]{0,3}") {
            prop_assert_eq!(a.order_text().cmp(&b.order_text()), a.cmp(&b));
            let (keyed, other) = (format!("{}#{rest}", a.order_text()), format!("{}#", b.order_text()));
            if a != b {
                prop_assert_eq!(keyed.cmp(&other), a.cmp(&b));
            }
            prop_assert!(a.order_text().len() <= ORDER_TEXT_BYTES_MAX);
        }
    }
}
