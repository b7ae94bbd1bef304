//! Currency codes.

use serde::{Deserialize, Serialize};

/// A currency code: 1 to 16 ASCII letters, digits, `_` or `-`, case kept. Usually ISO 4217, but shops also count points and tokens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(std::sync::Arc<str>);

/// The text is no currency code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a currency code is 1 to 16 of A-Z a-z 0-9 _ -")]
pub struct Error(());

impl Currency {
    /// # Errors
    /// When the text is empty, too long, or leaves the alphabet.
    pub fn new(text: &str) -> Result<Self, Error> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
        if (1..=16).contains(&text.len()) && text.bytes().all(allowed) { Ok(Self(text.into())) } else { Err(Error(())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Currency {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::new(&text)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.0.as_ref().to_owned()
    }
}
