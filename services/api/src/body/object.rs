//! JSON objects as clients send them: read without a field given twice, and merged.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::problem::ApiError;

pub(crate) type Object = serde_json::Map<String, Value>;

/// Reads a JSON object. A field given twice is an error: two readers would take two different ones for meant.
///
/// # Errors
/// What keeps it from being one, with the place.
pub(super) fn read(bytes: &[u8]) -> Result<Object, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = Strict.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    match value {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::Body("must be a JSON object".to_owned())),
        Err(error) => Err(ApiError::Body(format!("is not JSON: {error}"))),
    }
}

/// Applies a merge patch (RFC 7396). A null is kept: it means absent to whoever reads the fields, and a null for a field that there
/// is not stays an error.
pub(crate) fn merge(target: &mut Object, patch: Object) {
    for (name, value) in patch {
        match (target.get_mut(&name), value) {
            (Some(Value::Object(target)), Value::Object(patch)) => merge(target, patch),
            (_, value) => {
                target.insert(name, value);
            }
        }
    }
}

/// Reads any JSON value.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Strict)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some(name) = map.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom("a field is given more than once"));
            }
            object.insert(name, map.next_value_seed(Strict)?);
        }
        Ok(object.into())
    }
}
