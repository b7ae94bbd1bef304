//! Versions of configuration resources: the `ETag` of an answer, and the `If-Match` that a change can be made to depend on.
//! RFC 9110 §8.8.3, §13.1.1.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::problem::{ApiError, Code, ParameterError};

/// The `ETag` header of a version.
pub(crate) fn of(version: u64) -> [(HeaderName, HeaderValue); 1] {
    let tag = HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes");
    [(header::ETAG, tag)]
}

/// What `If-Match` allows: a change of any version without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    Any,
    /// Entity tags as they were given, quotes included. A weak one is equal to no version.
    OneOf(Vec<String>),
}

impl IfMatch {
    /// # Errors
    /// When the version that stands is not among those meant.
    pub(crate) fn admit(&self, version: u64) -> Result<(), ApiError> {
        match self {
            Self::OneOf(tags) if !tags.contains(&format!("\"{version}\"")) => Err(ApiError::PreconditionFailed),
            _ => Ok(()),
        }
    }

    fn of(headers: &HeaderMap) -> Result<Self, ParameterError> {
        let refused = || {
            let detail = "is `*`, or the ETag of the version that is to be changed, quotes included";
            ParameterError::new("If-Match", Code::InvalidValue, detail)
        };
        let mut tags = Vec::new();
        for value in headers.get_all(header::IF_MATCH) {
            let value = value.to_str().map_err(|_| refused())?;
            if value.trim() == "*" {
                return Ok(Self::Any);
            }
            // Our own tags hold no comma; a foreign one that does is cut, and equal to none either way.
            tags.extend(value.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()));
        }
        if tags.iter().any(|tag| !tag.contains('"')) {
            return Err(refused());
        }
        Ok(if headers.contains_key(header::IF_MATCH) { Self::OneOf(tags) } else { Self::Any })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self::of(&parts.headers)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(values: &[&str], version: u64) -> bool {
        let values = values.iter().map(|value| (header::IF_MATCH, HeaderValue::from_str(value).expect("a value")));
        IfMatch::of(&values.collect()).expect("tags").admit(version).is_ok()
    }

    #[test]
    fn a_change_is_admitted_for_the_versions_it_names() {
        for good in [&[][..], &["*"], &["\"7\""], &["\"6\", \"7\""], &["\"6\"", "\"7\""], &["W/\"7\", \"7\""]] {
            assert!(admits(good, 7), "{good:?}");
        }
        for bad in [&["\"6\""][..], &["W/\"7\""], &["\"77\""], &["\"\""], &[""]] {
            assert!(!admits(bad, 7), "{bad:?}");
        }
        let naked = HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static("7"))]);
        assert_eq!(IfMatch::of(&naked).map_err(|error| error.code), Err(Code::InvalidValue));
        assert_eq!(of(7)[0].1, "\"7\"");
    }
}
