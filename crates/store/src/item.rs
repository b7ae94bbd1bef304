//! Reading attributes out of stored items.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::key::{Key, PK, SK};

/// An item as the SDK gives it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// One stored item, with errors that name it.
pub(crate) struct Stored<'a>(pub(crate) &'a Item);

impl Stored<'_> {
    pub(crate) fn text(&self, name: &str) -> Result<String, Error> {
        self.optional_text(name)?.ok_or_else(|| self.corrupt(name, "is missing"))
    }

    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<String>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(AttributeValue::S(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.corrupt(name, "is no text")),
        }
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(AttributeValue::N(text)) => {
                text.parse().map(Some).map_err(|_| self.corrupt(name, &format!("`{text}` is out of range")))
            }
            Some(_) => Err(self.corrupt(name, "is no number")),
        }
    }

    /// An instant stored as epoch seconds.
    pub(crate) fn instant(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        let seconds = self.number::<i64>(name)?;
        seconds.map(Timestamp::from_second).transpose().map_err(|error| self.corrupt(name, &error.to_string()))
    }

    /// An instant stored as RFC 3339 text, to the nanosecond.
    pub(crate) fn moment(&self, name: &str) -> Result<Timestamp, Error> {
        self.optional_moment(name)?.ok_or_else(|| self.corrupt(name, "is missing"))
    }

    pub(crate) fn optional_moment(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        let text = self.optional_text(name)?;
        text.map(|text| text.parse()).transpose().map_err(|error: jiff::Error| self.corrupt(name, &error.to_string()))
    }

    /// A value of the domain, stored as JSON text.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        serde_json::from_str(&self.text(name)?).map_err(|error| self.corrupt(name, &error.to_string()))
    }

    /// A text that is of a type with a constructor.
    pub(crate) fn parsed<T>(&self, name: &str) -> Result<T, Error>
    where
        T: TryFrom<String, Error: std::fmt::Display>,
    {
        T::try_from(self.text(name)?).map_err(|error| self.corrupt(name, &error.to_string()))
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(AttributeValue::Bool(true)))
    }

    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.0.get(name) {
            Some(AttributeValue::B(blob)) => Some(blob.as_ref()),
            _ => None,
        }
    }

    pub(crate) fn corrupt(&self, name: &str, problem: &str) -> Error {
        let part = |name: &str| match self.0.get(name) {
            Some(AttributeValue::S(text)) => text.clone(),
            _ => "?".to_owned(),
        };
        Error::Corrupt { key: format!("{} / {}", part(PK), part(SK)), problem: format!("`{name}` {problem}") }
    }
}

pub(crate) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A value of the domain as JSON text.
pub(crate) fn json(value: &impl Serialize) -> AttributeValue {
    s(serde_json::to_string(value).expect("values of the domain are plain data with text keys"))
}

/// An item with these attributes.
pub(crate) fn item_of<const N: usize>(key: &Key, attributes: [(&str, AttributeValue); N]) -> Item {
    let mut item = key_item(key);
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    item
}

/// The key attributes of an item.
pub(crate) fn key_item(key: &Key) -> Item {
    HashMap::from([(PK.to_owned(), s(&key.pk)), (SK.to_owned(), s(&key.sk))])
}
