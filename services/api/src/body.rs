//! Reads the JSON object in a request's body and collects everything that is wrong with it, so that a client learns all its mistakes
//! at once. Null stands for an absent field everywhere, which is also what a merge patch means by it (RFC 7396).

mod object;

use std::fmt::Display;
use std::ops::RangeInclusive;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::Value;
use tidemark_domain::Decimal;

use crate::problem::{ApiError, Code, ParameterError};

pub(crate) use object::{Object, merge};

/// The object in the body of a request that needs one.
#[derive(Debug)]
pub(crate) struct Body(pub Object);

/// The object in the body of a request that can do without: where there is no body, or it is null, it is empty.
#[derive(Debug)]
pub(crate) struct OptionalBody(pub Object);

/// That a request has no body: none, `null` or an empty object. Whoever says more means more than will be done.
#[derive(Debug)]
pub(crate) struct NoBody;

/// The fields of one object. What is not taken before [`Fields::finish`] is unknown, and an error.
#[derive(Debug)]
pub(crate) struct Fields {
    /// Where the object is in the body, with a dot at the end unless it is the body itself.
    path: String,
    left: Object,
    known: Vec<&'static str>,
    errors: Vec<ParameterError>,
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        plain(request.headers())?;
        let is_json = is_json(request.headers());
        let bytes = bytes(request).await?;
        if is_json { object::read(&bytes).map(Self) } else { Err(ApiError::UnsupportedMediaType) }
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        plain(request.headers())?;
        let is_json = is_json(request.headers());
        let bytes = bytes(request).await?;
        // Some generated clients write `null` for a body that is left out: openapi-generator's for Java does.
        if bytes.is_empty() || (is_json && &*bytes == b"null") {
            return Ok(Self(Object::new()));
        }
        if is_json { object::read(&bytes).map(Self) } else { Err(ApiError::UnsupportedMediaType) }
    }
}

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        // Of whatever type it is: to say so of a body that is not taken at all would mislead.
        match &*bytes(request).await? {
            b"" | b"null" => Ok(Self),
            some => {
                let none = |_| ApiError::Body("is not taken here: leave it out".to_owned());
                Fields::of(object::read(some).map_err(none)?).finish(|| Some(Self))
            }
        }
    }
}

async fn bytes(request: Request) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::BodyTooLarge,
        _ => ApiError::Body("did not arrive as a whole".to_owned()),
    })
}

/// A body is short, and comes as it is: what is compressed could be any length.
fn plain(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let is_plain = encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_plain { Ok(()) } else { Err(ApiError::UnsupportedEncoding) }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    ["application/json", "application/merge-patch+json"].iter().any(|json| json.eq_ignore_ascii_case(kind))
}

impl Fields {
    /// The fields of a body.
    pub(crate) fn of(body: Object) -> Self {
        Self { path: String::new(), left: body, known: Vec::new(), errors: Vec::new() }
    }

    /// Notes an error for each of these that is absent.
    pub(crate) fn require(&mut self, names: &[&'static str]) {
        for name in names {
            if self.left.get(*name).is_none_or(Value::is_null) {
                self.refuse(name, Code::MissingField, "is required");
            }
        }
    }

    /// Takes a text.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => self.mistyped(name, "a text", &other),
        }
    }

    /// Takes a text and reads it.
    pub(crate) fn read<T, E: Display>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.text(name)?;
        read(&text).map_err(|error| self.refuse(name, Code::InvalidValue, error.to_string())).ok()
    }

    /// Takes a decimal number, which bodies have as text.
    pub(crate) fn decimal(&mut self, name: &'static str) -> Option<Decimal> {
        const EXPECTED: &str = "a decimal number as text, such as \"12.5\"";
        match self.take(name)? {
            Value::String(text) => {
                text.parse().map_err(|_| self.refuse(name, Code::InvalidValue, format!("must be {EXPECTED}"))).ok()
            }
            other => self.mistyped(name, EXPECTED, &other),
        }
    }

    /// Takes a text that is one of a few words.
    pub(crate) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let error = ParameterError::new(self.at(name), Code::InvalidValue, format!("must be one of {}", allowed.join(", ")));
            self.errors.push(error.allowing(allowed));
        }
        found
    }

    /// Takes true or false.
    pub(crate) fn flag(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(flag) => Some(flag),
            other => self.mistyped(name, "true or false", &other),
        }
    }

    /// Takes a whole number of a range.
    pub(crate) fn whole_number(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let number = match self.take(name)? {
            Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            other => return self.mistyped(name, &expected, &other),
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.refuse(name, Code::InvalidValue, format!("must be {expected}"));
        }
        number
    }

    /// Takes an object and has its fields read.
    pub(crate) fn object<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        match self.take(name)? {
            Value::Object(object) => self.nested(self.at(name), object, read),
            other => self.mistyped(name, "an object", &other),
        }
    }

    /// Takes a list of objects and has the fields of each read. `None` if anything is wrong with any of them.
    pub(crate) fn objects<T>(&mut self, name: &'static str, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let values = self.list(name)?;
        let read_one = |(index, value)| match value {
            Value::Object(object) => self.nested(format!("{}[{index}]", self.at(name)), object, &mut read),
            other => self.mistyped(&format!("{name}[{index}]"), "an object", &other),
        };
        // Every one is read before any is missed.
        let read: Vec<Option<T>> = values.into_iter().enumerate().map(read_one).collect();
        read.into_iter().collect()
    }

    /// Takes a list of texts and reads each. `None` if anything is wrong with any of them.
    pub(crate) fn texts<T, E: Display>(&mut self, name: &'static str, read: impl Fn(&str) -> Result<T, E>) -> Option<Vec<T>> {
        let values = self.list(name)?;
        let read_one = |(index, value)| {
            let name = format!("{name}[{index}]");
            match value {
                Value::String(text) => {
                    read(&text).map_err(|error| self.refuse(&name, Code::InvalidValue, error.to_string())).ok()
                }
                other => self.mistyped(&name, "a text", &other),
            }
        };
        let read: Vec<Option<T>> = values.into_iter().enumerate().map(read_one).collect();
        read.into_iter().collect()
    }

    /// Takes an object of texts, by any names. Those that are null are left out.
    pub(crate) fn map(&mut self, name: &'static str) -> Option<Vec<(String, String)>> {
        let entries = match self.take(name)? {
            Value::Object(entries) => entries,
            other => return self.mistyped(name, "an object of texts", &other),
        };
        let read_one = |(key, value): (String, Value)| match value {
            Value::String(text) => Some((key, text)),
            other => self.mistyped(&format!("{name}.{}", shortened(&key)), "a text", &other),
        };
        let present = entries.into_iter().filter(|(_, value)| !value.is_null());
        let read: Vec<Option<_>> = present.map(read_one).collect();
        read.into_iter().collect()
    }

    /// Whether nothing is wrong with a field so far, given or not.
    pub(crate) fn is_well(&self, name: &str) -> bool {
        let at = self.at(name);
        self.errors.iter().all(|error| error.parameter != at)
    }

    /// Adds an error about a field.
    pub(crate) fn refuse(&mut self, name: &str, code: Code, detail: impl Into<String>) {
        self.errors.push(ParameterError::new(self.at(name), code, detail));
    }

    /// Adds an error that names its field itself.
    pub(crate) fn refuse_with(&mut self, error: ParameterError) {
        self.errors.push(error);
    }

    /// Builds what was asked for. `build` is called only when nothing was wrong, so whatever is needed is there.
    ///
    /// # Errors
    /// Every error there was; fields nobody took are errors, too.
    pub(crate) fn finish<T>(mut self, build: impl FnOnce() -> Option<T>) -> Result<T, ApiError> {
        self.refuse_the_rest();
        if !self.errors.is_empty() {
            return Err(ApiError::Parameters(self.errors));
        }
        Ok(build().expect("what is needed is there, or an error was noted"))
    }

    fn nested<T>(&mut self, path: String, object: Object, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut fields = Self { path: path + ".", left: object, known: Vec::new(), errors: Vec::new() };
        let read = read(&mut fields);
        fields.refuse_the_rest();
        self.errors.append(&mut fields.errors);
        read
    }

    fn list(&mut self, name: &'static str) -> Option<Vec<Value>> {
        match self.take(name)? {
            Value::Array(values) => Some(values),
            other => self.mistyped(name, "a list", &other),
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn refuse_the_rest(&mut self) {
        let detail = match self.known.as_slice() {
            [] => "there are no fields here".to_owned(),
            known => format!("unknown field; allowed: {}", known.join(", ")),
        };
        for name in std::mem::take(&mut self.left).into_iter().map(|(name, _)| name) {
            let error = ParameterError::new(self.at(shortened(&name)), Code::UnknownField, &*detail);
            self.errors.push(error.allowing(self.known.iter().copied()));
        }
    }

    fn mistyped<T>(&mut self, name: &str, expected: &str, given: &Value) -> Option<T> {
        let kind = match given {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.refuse(name, Code::InvalidValue, format!("must be {expected}; this is {kind}"));
        None
    }

    fn at(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }
}

/// A name as far as it is repeated to whoever sent it.
fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(64)]
}

#[cfg(test)]
mod tests;
