//! `Idempotency-Key`: a creating request that is made twice has one effect and one answer
//! (draft-ietf-httpapi-idempotency-key-header). The record, and why nothing can happen twice or get lost, is the store's.
//!
//! A key is bound to its tenant, and stands for one route and one body; where the answer shows a secret, for one credential, too.
//! Whether the caller may do it at all is judged before: a kept answer asks nobody any more. Refusals are not kept: they had no effect,
//! and the request may be put right under the same key. Answers are kept sealed, for some hold a secret.

mod seal;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidemark_domain::TenantId;
use tidemark_runtime::process::chain;
use tidemark_store::{Claim, Claiming, Once, Released, Settled, Tenant};

use crate::body::Object;
use crate::problem::{ApiError, Code, Conflict, ParameterError};
use crate::state::ApiState;

use seal::Seal;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// What an answer that shows a secret may be kept for.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");
/// Most characters of a key.
pub(crate) const LENGTH_MAX: usize = 255;

/// The key of a request, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(Option<String>);

/// The answer of a request that has made something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Created {
    /// Where it is, if the caller may go there.
    pub location: Option<String>,
    /// Its ETag, if it has one.
    pub etag: Option<String>,
    /// JSON.
    body: String,
}

/// A creating request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Creation<'a> {
    pub state: &'a ApiState,
    /// `None`: an operator's.
    pub tenant: Option<&'a Tenant>,
    /// The operation's id in the document.
    pub operation: &'static str,
    /// The id of the credential that alone is told the answer: of the caller's, where it shows what is not shown again.
    pub secret_for: Option<&'a str>,
    pub key: &'a IdempotencyKey,
    pub body: &'a Object,
}

/// One attempt at it. What makes the thing puts [`Attempt::settled`] into its transaction.
#[derive(Debug)]
pub(crate) struct Attempt {
    claimed: Option<(Claim, Seal)>,
}

impl Created {
    pub(crate) fn new(shown: &impl Serialize) -> Self {
        let body = serde_json::to_string(shown).expect("what is shown is plain data");
        Self { location: None, etag: None, body }
    }

    pub(crate) fn at(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }

    pub(crate) fn versioned(self, version: u64) -> Self {
        Self { etag: Some(format!("\"{version}\"")), ..self }
    }

    pub(crate) fn tagged(self, etag: &HeaderValue) -> Self {
        Self { etag: Some(etag.to_str().expect("tags are plain ASCII").to_owned()), ..self }
    }
}

impl IntoResponse for Created {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Body::from(self.body)).into_response();
        let headers = response.headers_mut();
        let text = |text: &str| HeaderValue::from_str(text).expect("ids and tags are plain ASCII");
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [(header::LOCATION, &self.location), (header::ETAG, &self.etag)] {
            if let Some(value) = value {
                headers.insert(name, text(value));
            }
        }
        response
    }
}

impl Attempt {
    /// The answer as a part of the effect's transaction; nothing for a request without a key.
    pub(crate) fn settled(&self, created: &Created) -> Option<Settled> {
        let (claim, seal) = self.claimed.as_ref()?;
        let answer = serde_json::to_vec(created).expect("an answer is plain data");
        Some(claim.settled(seal.close(&answer)))
    }
}

impl Creation<'_> {
    /// Has `make` make the thing, unless it was made before under this key: then the answer is the one of then.
    ///
    /// # Errors
    /// `idempotency_mismatch`, `in_flight`, and those of `make`.
    pub(crate) async fn once(self, make: impl AsyncFnOnce(&Attempt) -> Result<Created, ApiError>) -> Result<Response, ApiError> {
        let created = match &self.key.0 {
            None => make(&Attempt { claimed: None }).await?,
            Some(key) => self.once_for(key, make).await?,
        };
        let mut response = created.into_response();
        if self.secret_for.is_some() {
            response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
        }
        Ok(response)
    }

    async fn once_for(
        self,
        key: &str,
        make: impl AsyncFnOnce(&Attempt) -> Result<Created, ApiError>,
    ) -> Result<Created, ApiError> {
        let (digest, meaning) = (hex(&[key.as_bytes()]), self.meaning());
        let once = Once { tenant: self.tenant, key: &digest, meaning: &meaning };
        let seal = Seal::new(&self.state.keys, self.tenant.map(Tenant::id).map(TenantId::as_str), &digest);
        let claim = match self.state.store.claim_once(once, self.state.now()).await.map_err(ApiError::of_store)? {
            Claiming::Claimed(claim) => claim,
            Claiming::Done(answer) => return replayed(&seal, &answer),
            Claiming::UnderWay => return Err(Conflict::InFlight.into()),
            Claiming::Mismatch => return Err(ApiError::IdempotencyMismatch),
        };
        let attempt = Attempt { claimed: Some((claim.clone(), seal.clone())) };
        let refused = match make(&attempt).await {
            Ok(created) => return Ok(created),
            Err(error) => error,
        };
        match self.state.store.release(&claim).await {
            Ok(Released::Free) => Err(refused),
            // It was made, but the answer of the database was lost.
            Ok(Released::Done(answer)) => replayed(&seal, &answer),
            Ok(Released::TakenOver) => Err(Conflict::InFlight.into()),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "a claim could not be given back; it ends by itself");
                Err(refused)
            }
        }
    }

    /// A digest of what the key stands for. No name of an operation, and no body in JSON, has a line's end in it.
    fn meaning(&self) -> String {
        let body = serde_json::to_vec(self.body).expect("an object was read from JSON");
        let credential = self.secret_for.map(|id| format!("{id}\n")).unwrap_or_default();
        hex(&[self.operation.as_bytes(), b"\n", credential.as_bytes(), &body])
    }
}

fn replayed(seal: &Seal, answer: &str) -> Result<Created, ApiError> {
    let opened = seal.open(answer).ok_or_else(|| ApiError::Internal("a kept answer does not open with our keys".into()))?;
    serde_json::from_slice(&opened).map_err(|error| ApiError::Internal(error.into()))
}

fn hex(parts: &[&[u8]]) -> String {
    let digest = parts.iter().fold(Sha256::new(), |digest, part| digest.chain_update(part)).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl IdempotencyKey {
    fn of(headers: &HeaderMap) -> Result<Self, ParameterError> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let (first, second) = (values.next(), values.next());
        let Some(value) = first else { return Ok(Self(None)) };
        let visible = |text: &&str| (1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic());
        let key = value.to_str().ok().filter(visible).filter(|_| second.is_none());
        let refused = || {
            let detail = format!("must be given once, as 1 to {LENGTH_MAX} visible ASCII characters, such as a UUID");
            ParameterError::new("Idempotency-Key", Code::InvalidValue, detail)
        };
        key.map(|key| Self(Some(key.to_owned()))).ok_or_else(refused)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self::of(&parts.headers)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_short_visible_text() {
        let key = |values: &[&str]| {
            let values =
                values.iter().map(|value| (IDEMPOTENCY_KEY, HeaderValue::from_bytes(value.as_bytes()).expect("a value")));
            IdempotencyKey::of(&values.collect())
        };
        let longest = "k".repeat(LENGTH_MAX);
        assert_eq!(key(&[]), Ok(IdempotencyKey(None)));
        for good in ["1", "\"8e03978e\"", &longest] {
            assert_eq!(key(&[good]), Ok(IdempotencyKey(Some(good.to_owned()))), "{good}");
        }
        for bad in [&[""][..], &["a b"], &["ä"], &[&format!("{longest}k")], &["a", "a"]] {
            assert_eq!(key(bad).map_err(|error| error.code), Err(Code::InvalidValue), "{bad:?}");
        }
    }
}
