//! Reading and writing single attributes of control items.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use super::key::{PARTITION, SORT};

/// A stored item.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A control item does not have the shape this version writes. Someone else wrote it, or a newer version did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("control item `{key}`: attribute `{attribute}` is missing or not what it must be")]
pub struct Malformed {
    key: String,
    attribute: &'static str,
}

impl Malformed {
    pub(crate) fn new(item: &Item, attribute: &'static str) -> Self {
        let part = |name| text_of(item, name).unwrap_or("?");
        Self { key: format!("{} / {}", part(PARTITION), part(SORT)), attribute }
    }
}

pub(crate) fn text_value(text: impl ToString) -> AttributeValue {
    AttributeValue::S(text.to_string())
}

pub(crate) fn number_value(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

/// An attribute's text, if it has one.
pub(crate) fn text_of<'a>(item: &'a Item, attribute: &'static str) -> Option<&'a str> {
    item.get(attribute).and_then(|value| value.as_s().ok()).map(String::as_str)
}

/// A text attribute, as the type it stands for.
pub(crate) fn parsed<T: FromStr>(item: &Item, attribute: &'static str) -> Result<T, Malformed> {
    optional_parsed(item, attribute)?.ok_or_else(|| Malformed::new(item, attribute))
}

pub(crate) fn optional_parsed<T: FromStr>(item: &Item, attribute: &'static str) -> Result<Option<T>, Malformed> {
    let Some(value) = item.get(attribute) else { return Ok(None) };
    let text = value.as_s().map_err(|_| Malformed::new(item, attribute))?;
    text.parse().map(Some).map_err(|_| Malformed::new(item, attribute))
}

pub(crate) fn number<T: FromStr>(item: &Item, attribute: &'static str) -> Result<T, Malformed> {
    optional_number(item, attribute)?.ok_or_else(|| Malformed::new(item, attribute))
}

pub(crate) fn optional_number<T: FromStr>(item: &Item, attribute: &'static str) -> Result<Option<T>, Malformed> {
    let Some(value) = item.get(attribute) else { return Ok(None) };
    let text = value.as_n().map_err(|_| Malformed::new(item, attribute))?;
    text.parse().map(Some).map_err(|_| Malformed::new(item, attribute))
}

/// A flag: absent is false.
pub(crate) fn flag(item: &Item, attribute: &'static str) -> Result<bool, Malformed> {
    item.get(attribute).map_or(Ok(false), |value| value.as_bool().copied().map_err(|_| Malformed::new(item, attribute)))
}

/// An optional `…_ms` attribute.
pub(crate) fn instant_ms(item: &Item, attribute: &'static str) -> Result<Option<Timestamp>, Malformed> {
    let ms: Option<i64> = optional_number(item, attribute)?;
    ms.map(Timestamp::from_millisecond).transpose().map_err(|_| Malformed::new(item, attribute))
}

/// An optional span in milliseconds.
pub(crate) fn span_ms(item: &Item, attribute: &'static str) -> Result<Option<SignedDuration>, Malformed> {
    Ok(optional_number(item, attribute)?.map(SignedDuration::from_millis))
}

/// A set of texts, as the type they stand for; absent is empty.
pub(crate) fn text_set<T: FromStr>(item: &Item, attribute: &'static str) -> Result<Vec<T>, Malformed> {
    let malformed = || Malformed::new(item, attribute);
    let Some(value) = item.get(attribute) else { return Ok(Vec::new()) };
    let texts = value.as_ss().map_err(|_| malformed())?;
    texts.iter().map(|text| text.parse().map_err(|_| malformed())).collect()
}
