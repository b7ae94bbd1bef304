//! Versions of configuration resources: the `ETag` of an answer, and the `If-Match` that a change can be made to depend on; and the
//! weak `ETag` of what has no version. RFC 9110 §8.8.3, §13.1.1.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::freshness::Freshness;
use crate::problem::{ApiError, Code, ParameterError};

/// Bytes of a digest that are shown: no two answers of one address share them by accident.
const DIGEST_LENGTH: usize = 16;

/// The `ETag` header of a version.
pub(crate) fn of(version: u64) -> [(HeaderName, HeaderValue); 1] {
    let tag = HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes");
    [(header::ETAG, tag)]
}

/// The strong ETag of what shows more than its version stands for: the version, and a digest of all that is shown. Changes are made to
/// depend on the first part alone.
pub(crate) fn of_shown(version: u64, shown: &impl Serialize) -> HeaderValue {
    let shown = serde_json::to_vec(shown).expect("what is shown is plain data");
    let digest = tag(Sha256::new().chain_update(shown));
    HeaderValue::from_str(&format!("\"{version}.{digest}\"")).expect("digits and base64 in quotes")
}

/// The weak ETag of an answer, over its body without the freshness block: that changes all the time, and nothing else with it.
pub(crate) fn of_content(body: &[u8], freshness: Option<&Freshness>) -> HeaderValue {
    let block = freshness.map(|freshness| {
        let block = serde_json::to_string(freshness).expect("freshness is plain data");
        format!("\"freshness\":{block}").into_bytes()
    });
    // In a text of the body each quote has a backslash before it, so the block is found as a field or not at all.
    let at = block.as_ref().and_then(|block| body.windows(block.len()).position(|window| window == block));
    let (before, after) = match (block, at) {
        (Some(block), Some(at)) => (&body[..at], &body[at + block.len()..]),
        _ => (body, &[][..]),
    };
    let tag = tag(Sha256::new().chain_update(before).chain_update(after));
    HeaderValue::from_str(&format!("W/\"{tag}\"")).expect("base64 in quotes")
}

/// The digest of some bytes, as tags and addresses have it.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    tag(parts.into_iter().fold(Sha256::new(), |digested, part| digested.chain_update(part)))
}

fn tag(digested: Sha256) -> String {
    URL_SAFE_NO_PAD.encode(&digested.finalize()[..DIGEST_LENGTH])
}

/// The version that a strong tag stands for, as text: all of it, or what is before the digest.
fn version_of(tag: &str) -> Option<&str> {
    let opaque = tag.strip_prefix('"')?.strip_suffix('"')?;
    Some(opaque.split_once('.').map_or(opaque, |(version, _)| version))
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
        let version = version.to_string();
        match self {
            Self::OneOf(tags) if !tags.iter().any(|tag| version_of(tag) == Some(&version)) => Err(ApiError::PreconditionFailed),
            _ => Ok(()),
        }
    }

    fn of(headers: &HeaderMap) -> Result<Self, ParameterError> {
        let refused = || {
            let detail = "must be `*`, or the ETag of the version to be changed, quotes included";
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

    #[test]
    fn a_version_that_shows_more_has_a_tag_of_all_that_is_shown_and_changes_depend_on_the_version() {
        let tag = |shown: &str| of_shown(7, &shown);
        assert_eq!(tag("healthy"), tag("healthy"));
        assert_ne!(tag("healthy"), tag("failing"));
        for shown in ["healthy", "failing"] {
            let tag = tag(shown);
            let tag = tag.to_str().expect("ASCII");
            assert!(admits(&[tag], 7) && !admits(&[tag], 77) && !admits(&[&format!("W/{tag}")], 7), "{tag}");
        }
    }
}
