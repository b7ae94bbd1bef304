//! Reads a query string and collects everything that is wrong with it, so that a client learns all its mistakes at once.

use std::collections::BTreeMap;
use std::fmt::Display;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::problem::{ApiError, Code, ParameterError};

/// Most parameters of one request; the ones after that are not looked at.
const PARAMETERS_MAX: usize = 64;

/// The parameters of one request. What is not taken by [`Params::finish`] is unknown, and an error.
#[derive(Debug)]
pub(crate) struct Params {
    left: BTreeMap<String, String>,
    errors: Vec<ParameterError>,
}

impl Params {
    /// Splits a query string (`a=1&b=2`, in the form encoding). A parameter given twice, or one that is no UTF-8, is an error.
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let mut params = Self { left: BTreeMap::new(), errors: Vec::new() };
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for (at, pair) in pairs.enumerate() {
            if at == PARAMETERS_MAX {
                params.refuse(ParameterError::new("", Code::InvalidValue, format!("more than {PARAMETERS_MAX} parameters")));
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decoded(name) else {
                params.refuse(ParameterError::new(name, Code::UnknownParameter, "the name is not UTF-8"));
                continue;
            };
            match decoded(value) {
                None => params.refuse(ParameterError::new(name, Code::InvalidValue, "the value is not UTF-8")),
                Some(_) if params.left.contains_key(&name) => {
                    params.refuse(ParameterError::new(name, Code::DuplicateParameter, "is given more than once"));
                }
                Some(value) => {
                    params.left.insert(name, value);
                }
            }
        }
        params
    }

    /// Takes a parameter out, as text.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.left.remove(name)
    }

    /// Takes a parameter out and reads it. A text that cannot be read counts as absent, and its error is kept.
    pub(crate) fn take_as<T, E: Display>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.take(name)?;
        let invalid = |error: E| ParameterError::new(name, Code::InvalidValue, error.to_string());
        self.keep(read(&text).map_err(invalid))
    }

    /// Takes a parameter out that is one of a few words, the first of them being the default.
    pub(crate) fn take_word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.take(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let refused = || {
            ParameterError::new(name, Code::InvalidValue, format!("must be one of {}", allowed.join(", ")))
                .allowing(allowed.clone())
        };
        self.keep(found.ok_or_else(refused))
    }

    /// Takes a parameter out that is a list of a few words, with commas.
    pub(crate) fn take_words<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<Vec<T>> {
        let text = self.take(name)?;
        let meant = |part: &str| words.iter().find(|(word, _)| *word == part).map(|(_, value)| *value);
        let found: Option<Vec<T>> = text.split(',').map(meant).collect();
        let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let refused = || {
            let detail = format!("must be one or more of {}, separated by commas", allowed.join(", "));
            ParameterError::new(name, Code::InvalidValue, detail).allowing(allowed.clone())
        };
        self.keep(found.ok_or_else(refused))
    }

    /// What nobody has taken yet, as one text that is the same for the same parameters in any order.
    pub(crate) fn left_as_text(&self) -> String {
        // The lengths keep names and values apart, whatever is in them.
        self.left.iter().map(|(name, value)| format!("{}:{name}={}:{value}\n", name.len(), value.len())).collect()
    }

    /// Takes out every `name[key]=value`, as pairs of key and value.
    pub(crate) fn take_bracketed(&mut self, name: &str) -> Vec<(String, String)> {
        let key_of = |parameter: &str| parameter.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']').map(str::to_owned);
        let keys: Vec<String> = self.left.keys().filter_map(|parameter| key_of(parameter)).collect();
        let pair = |key: String| self.left.remove(&format!("{name}[{key}]")).map(|value| (key, value));
        keys.into_iter().filter_map(pair).collect()
    }

    /// The value, or nothing and one more error.
    pub(crate) fn keep<T>(&mut self, read: Result<T, ParameterError>) -> Option<T> {
        read.map_err(|error| self.errors.push(error)).ok()
    }

    /// Whether nothing is wrong with any of these so far, given or not: what follows from them may be judged.
    pub(crate) fn are_well(&self, names: &[&str]) -> bool {
        // An error without a name is of parameters that were not looked at, which may be any.
        !self.errors.iter().any(|error| error.parameter.is_empty() || names.contains(&error.parameter.as_str()))
    }

    /// Adds an error.
    pub(crate) fn refuse(&mut self, error: ParameterError) {
        self.errors.push(error);
    }

    /// As [`finish`](Self::finish), for what is there only if nothing was wrong.
    ///
    /// # Errors
    /// As `finish`.
    pub(crate) fn finish_some<T>(self, known: &[&str], build: impl FnOnce() -> Option<T>) -> Result<T, ApiError> {
        self.finish(known, || build().expect("what is needed is there, or an error was kept"))
    }

    /// Builds the request from what was taken. `build` is called only when nothing was wrong, so whatever was read is there.
    ///
    /// # Errors
    /// Every error there was. Parameters nobody took are errors that name `known`, those there are.
    pub(crate) fn finish<T>(mut self, known: &[&str], build: impl FnOnce() -> T) -> Result<T, ApiError> {
        for name in self.left.into_keys() {
            let detail = match known {
                [] => "there are no parameters here".to_owned(),
                _ => format!("unknown parameter; allowed: {}", known.join(", ")),
            };
            self.errors.push(ParameterError::new(name, Code::UnknownParameter, detail).allowing(known.iter().copied()));
        }
        if self.errors.is_empty() { Ok(build()) } else { Err(ApiError::Parameters(self.errors)) }
    }
}

/// That a request has no parameters at all: any there is, is unknown.
#[derive(Debug)]
pub(crate) struct NoParameters;

impl<S: Send + Sync> FromRequestParts<S> for NoParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Params::parse(parts.uri.query()).finish(&[], || Self)
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(params: Params) -> Vec<(String, Code)> {
        match params.finish(&["limit"], || ()) {
            Err(ApiError::Parameters(errors)) => errors.into_iter().map(|error| (error.parameter, error.code)).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let mut params = Params::parse(Some("limit=x&a=1&a=2&%ff=1&c=%ff&limitt=5"));
        assert_eq!(params.take_as("limit", str::parse::<u32>), None);
        let expected = [
            ("a", Code::DuplicateParameter),
            ("%ff", Code::UnknownParameter),
            ("c", Code::InvalidValue),
            ("limit", Code::InvalidValue),
            ("a", Code::UnknownParameter),
            ("limitt", Code::UnknownParameter),
        ];
        assert_eq!(errors(params), expected.map(|(name, code)| (name.to_owned(), code)));
    }

    #[test]
    fn a_parameter_is_well_unless_something_is_wrong_with_it_or_it_was_not_looked_at() {
        let mut params = Params::parse(Some("a=1&a=2&b=%ff&c=x"));
        assert_eq!(params.take_as("c", str::parse::<u32>), None);
        for (names, are_well) in [(&["a"][..], false), (&["b"], false), (&["d", "c"], false), (&["d"], true), (&[], true)] {
            assert_eq!(params.are_well(names), are_well, "{names:?}");
        }
        let many = "x=1&".repeat(PARAMETERS_MAX) + "d=1";
        assert!(!Params::parse(Some(&many)).are_well(&["d"]));
    }

    #[test]
    fn values_are_form_decoded_and_brackets_taken_apart() {
        let mut params = Params::parse(Some("filter%5Bitem%5D=a%2Cb+c&filter[x]=&filter=1&order=-revenue&"));
        assert_eq!(params.take_bracketed("filter"), [("item".to_owned(), "a,b c".to_owned()), ("x".to_owned(), String::new())]);
        assert_eq!(params.take("order").as_deref(), Some("-revenue"));
        assert_eq!(errors(params), [("filter".to_owned(), Code::UnknownParameter)]);
    }
}
