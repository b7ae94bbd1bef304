//! The names a definition file gives to things: sources, metrics, measures, dimensions, inventories.
//!
//! They become parts of keys and attribute names, so their alphabet holds no separator.

use serde::{Deserialize, Serialize};

/// Most characters a name may have. A metric's grouping set joins several names into one partition key (≤ 2048 bytes).
pub const NAME_LENGTH_MAX: usize = 48;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a name: a lower-case letter, then lower-case letters, digits or `_`, at most {NAME_LENGTH_MAX} characters"
)]
pub struct Error {
    text: String,
}

fn check(text: &str) -> Result<(), Error> {
    let mut chars = text.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_ascii_lowercase());
    let goes_on_well = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if starts_well && goes_on_well && text.len() <= NAME_LENGTH_MAX {
        Ok(())
    } else {
        Err(Error { text: text.chars().take(80).collect() })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// # Errors
            /// When the text leaves the alphabet or length of a name.
            pub fn new(text: &str) -> Result<Self, Error> {
                check(text).map(|()| Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A table that Tidemark reads.
    SourceName
);
name!(
    /// A family of numbers, made from one source.
    MetricName
);
name!(
    /// One number of a metric.
    MeasureName
);
name!(
    /// One way a metric is split.
    DimensionName
);
name!(
    /// A family of levels, made from one source.
    InventoryName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_hold_a_separator() {
        for bad in ["", "A", "1a", "a#b", "a.b", "a-b", "ä", &"a".repeat(NAME_LENGTH_MAX + 1)] {
            assert!(MetricName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(MetricName::new("sales_2").map(String::from), Ok("sales_2".to_owned()));
        assert!(serde_json::from_str::<MetricName>("\"a#b\"").is_err());
    }
}
