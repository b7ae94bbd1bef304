//! One value of one dimension, and its form inside a key.

use serde::{Deserialize, Serialize};

use crate::Attribute;
use crate::decimal::Decimal;

/// A dimension's value: a text, or the group of items that have no such attribute.
///
/// Numbers and booleans are taken by their canonical text, so `5` and `5.0` are one group. `Null` sorts last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Group {
    Text(String),
    Null,
}

/// The attribute's type is none that a dimension, or the name of an item, may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is of type {0}; S, N or BOOL is needed")]
pub struct Error(&'static str);

impl Group {
    /// # Errors
    /// For sets, lists, maps and bytes.
    pub fn of(attribute: Option<&Attribute>) -> Result<Self, Error> {
        match attribute {
            None | Some(Attribute::Null(_)) => Ok(Self::Null),
            Some(Attribute::Text(text)) => Ok(Self::Text(text.clone())),
            Some(Attribute::Bool(value)) => Ok(Self::Text(value.to_string())),
            Some(Attribute::Number(number)) => {
                Ok(Self::Text(number.parse::<Decimal>().map_or_else(|_| number.clone(), |value| value.to_string())))
            }
            Some(other) => Err(Error(other.type_name())),
        }
    }

    /// The value as a part of a key: no two groups share a form, and no form has a `#` or an ASCII control character. The control
    /// characters from U+0080 to U+009F are not escaped.
    pub fn encoded(&self) -> String {
        let Self::Text(text) = self else { return "%N".to_owned() };
        let mut encoded = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '#' | '%' | '\0'..='\x1f' | '\x7f' => encoded.push_str(&format!("%{:02X}", u32::from(c))),
                other => encoded.push(other),
            }
        }
        encoded
    }

    /// The group whose form this is; `None` if an escape is incomplete.
    pub fn decoded(encoded: &str) -> Option<Self> {
        if encoded == "%N" {
            return Some(Self::Null);
        }
        let mut text = String::with_capacity(encoded.len());
        let mut rest = encoded;
        while let Some(at) = rest.find('%') {
            text.push_str(&rest[..at]);
            let code = u8::from_str_radix(rest.get(at + 1..at + 3)?, 16).ok()?;
            text.push(char::from(code));
            rest = &rest[at + 3..];
        }
        text.push_str(rest);
        Some(Self::Text(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One character in three is special to a key. `any::<String>()` has no control characters.
    const ANY_TEXT: &str = r"([\x00-\x1F\x7F#%]|[0-9A-FN]|[\x00-\u{10FFFF}]){0,12}";

    #[test]
    fn null_is_not_the_empty_text_nor_any_spelling_of_itself() {
        let texts = ["", "%N", "null", "N", "#", "%"];
        for text in texts {
            assert_ne!(Group::Text(text.to_owned()).encoded(), Group::Null.encoded(), "{text:?}");
        }
    }

    #[test]
    fn numbers_group_by_value_and_lists_are_refused() {
        let number = |text: &str| Group::of(Some(&Attribute::Number(text.to_owned())));
        assert_eq!(number("5.0"), number("5"));
        assert!(Group::of(Some(&Attribute::List(vec![]))).is_err());
    }

    proptest! {
        #[test]
        fn encoding_is_injective_and_has_no_separator_or_ascii_control_character(text in ANY_TEXT) {
            let group = Group::Text(text);
            let encoded = group.encoded();
            prop_assert!(!encoded.contains(|c: char| c == '#' || c.is_ascii_control()), "{encoded:?}");
            prop_assert_eq!(Group::decoded(&encoded), Some(group));
        }
    }
}
