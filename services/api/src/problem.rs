//! Every answer that is not what was asked for. [`ApiError`] alone picks status and `code`. API.md §1, RFC 9457.
//!
//! An error becomes a response without a body that carries its [`Problem`]; the layer in `layers/problems.rs` writes the body, so
//! that what the framework refuses by itself (an unknown route, a panic, a body too large) gets the same shape.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tidemark_runtime::process::chain;
use tidemark_store::{Remedy, Scope};
use utoipa::ToSchema;

use crate::limits::seconds;

mod conflict;
mod document;
mod parameter;
#[cfg(test)]
mod tests;

pub(crate) use conflict::Conflict;
pub(crate) use document::{Conflicting, NotFound, Preconditioned, Unprocessable, WithBody, components};
pub(crate) use parameter::{Code, ParameterError};

/// What a client waits before it asks again after a 503, in seconds.
pub(crate) const RETRY_AFTER_SECONDS: u64 = 1;
/// Most parameter errors one answer lists.
const ERRORS_SHOWN_MAX: usize = 50;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// At least one; of the query, of headers, or fields of the body.
    #[error("the parameters are wrong")]
    Parameters(Vec<ParameterError>),
    /// Not even its fields can be told.
    #[error("the body {0}")]
    Body(String),
    #[error("the body is longer than 256 KiB")]
    BodyTooLarge,
    #[error("path and query are longer than 32 KiB")]
    UriTooLong,
    #[error("there are more than 100 header fields, or they are longer than 16 KiB together")]
    HeadersTooLarge,
    #[error("send the body as `Content-Type: application/json`")]
    UnsupportedMediaType,
    #[error("send the body as it is, without `Content-Encoding`")]
    UnsupportedEncoding,
    #[error("{0}")]
    Unauthenticated(&'static str),
    #[error("this key has no scope `{0}`")]
    MissingScope(Scope),
    #[error("an operator's key is of no tenant: use a tenant's key here")]
    NoTenant,
    #[error("only an operator's key may do this")]
    NotOperator,
    /// Also for what belongs to another tenant: the two must look alike.
    #[error("there is nothing at this address")]
    NotFound,
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error("this is no longer the version that If-Match names; read it again")]
    PreconditionFailed,
    /// Nothing is wrong with the request, but there are as many already as there can be.
    #[error("a tenant has at most {max} {what}; delete one that is not needed any more")]
    Quota { what: &'static str, max: usize },
    #[error("this Idempotency-Key was used for another request; use a new one for this")]
    IdempotencyMismatch,
    /// For so long.
    #[error(
        "more or more expensive requests, or more writes, than the limits allow; see RateLimit, and wait as Retry-After says"
    )]
    RateLimited(Duration),
    /// For so long, or until one of them is answered.
    #[error(
        "too many requests of this tenant are being answered, or their answers are too large together; wait for some of them"
    )]
    TooManyAtOnce(Duration),
    /// For `wait`, or until one of them has ended.
    #[error("too many webhook tests are under way, of this tenant ({tenant_max} at most) or of all; wait for one to end")]
    TooManyTests { tenant_max: usize, wait: Duration },
    #[error("{0}")]
    Unavailable(Unavailable),
    /// What several requests are told together. It is in the log already.
    #[error("{}", .0.detail)]
    Told(Box<Problem>),
    #[error("something went wrong here; it has been logged under the request's id")]
    Internal(#[source] Source),
}

/// Why the same request may be answered a moment later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error("too many requests are being answered")]
    Overloaded,
    #[error("the answer took too long; ask for less, or again")]
    Timeout,
    #[error("the database cannot be used now; ask again later")]
    Store,
    #[error("it is being changed again and again by others; ask again")]
    Contended,
    #[error("the host of the URL cannot be looked up now: no name server answers")]
    Resolver,
    #[error("the token issuer's keys are not available now; API keys still work")]
    Issuer,
}

/// A refusal as `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:tidemark:problem:grouping_not_stored", "title": "Unprocessable Entity", "status": 422,
    "detail": "group_by: [channel, item] is not stored; stored are [], [channel], [item]",
    "instance": "urn:tidemark:request:4f1d2c0a9b8e7766", "code": "grouping_not_stored",
    "errors": [{
        "parameter": "group_by", "code": "grouping_not_stored",
        "detail": "[channel, item] is not stored; stored are [], [channel], [item]", "allowed": ["", "channel", "item"]
    }]
}))]
pub(crate) struct Problem {
    /// Names the kind of problem: `urn:tidemark:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong with this request, for people.
    pub detail: String,
    /// This one occurrence: `urn:tidemark:request:` and the request's id.
    pub instance: String,
    /// What is wrong, for programs. Codes are added, never changed.
    pub code: String,
    /// The id of what is in the way, when something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub existing: Option<String>,
    /// All parameters and fields that are wrong, when that is the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ParameterProblem>,
    /// In seconds; a header says it.
    #[serde(skip)]
    #[schema(ignore)]
    pub retry_after: Option<u64>,
}

/// One wrong parameter, or one wrong field of the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ParameterProblem {
    /// Its name; of a field the path, as in `levels[1].clears_above`.
    pub parameter: String,
    pub code: String,
    pub detail: String,
    /// What would be allowed, where that is a short list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

impl Problem {
    /// A problem that a status and a code say enough about.
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:tidemark:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            instance: String::new(),
            code: code.to_owned(),
            existing: None,
            errors: Vec::new(),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_SECONDS),
        }
    }

    fn limited(code: &str, detail: String, wait: Duration) -> Self {
        // A client that comes a moment early would be refused again.
        let retry_after = Some(seconds(wait).max(1));
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail) }
    }

    fn of_parameters(mut errors: Vec<ParameterError>) -> Self {
        // A request that cannot be read is not judged by what it might have meant.
        let status = errors.iter().map(|error| error.code.status()).min().unwrap_or(StatusCode::BAD_REQUEST);
        errors.truncate(ERRORS_SHOWN_MAX);
        let code = match errors.as_slice() {
            [first, rest @ ..] if rest.iter().all(|error| error.code == first.code) => first.code.as_str(),
            _ => "invalid_parameters",
        };
        let details: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.parameter, error.detail)).collect();
        Self { errors: errors.into_iter().map(ParameterProblem::from).collect(), ..Self::new(status, code, details.join("; ")) }
    }
}

impl ApiError {
    /// A failed call to the store.
    pub(crate) fn of_store(error: tidemark_store::Error) -> Self {
        let remedy = error.remedy();
        Self::of_dependency(error, remedy)
    }

    /// A failed call to the database. Only a fault of ours is a 500: what the deployment lacks is there again once the operator has acted,
    /// and the same request is then answered.
    pub(crate) fn of_dependency(error: impl std::error::Error + Send + Sync + 'static, remedy: Remedy) -> Self {
        match remedy {
            Remedy::Retry => tracing::warn!(error = %chain(&error), "the database cannot be reached or throttles"),
            Remedy::Operator => tracing::error!(error = %chain(&error), "the database cannot be used until an operator acts"),
            Remedy::Correction => return Self::Internal(Box::new(error)),
        }
        Self::Unavailable(Unavailable::Store)
    }

    /// What a client is told. What is our fault goes to the log, once.
    pub(crate) fn into_problem(self) -> Problem {
        let detail = self.to_string();
        match self {
            Self::Parameters(errors) => Problem::of_parameters(errors),
            Self::Body(_) => Problem::new(StatusCode::BAD_REQUEST, "invalid_body", detail),
            Self::BodyTooLarge => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail),
            Self::UriTooLong => Problem::new(StatusCode::URI_TOO_LONG, "uri_too_long", detail),
            Self::HeadersTooLarge => {
                Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "request_header_fields_too_large", detail)
            }
            Self::UnsupportedMediaType => Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail),
            Self::Unauthenticated(_) => Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail),
            Self::UnsupportedEncoding => Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", detail),
            Self::MissingScope(_) => Problem::new(StatusCode::FORBIDDEN, "missing_scope", detail),
            Self::NoTenant => Problem::new(StatusCode::FORBIDDEN, "no_tenant", detail),
            Self::NotOperator => Problem::new(StatusCode::FORBIDDEN, "operator_only", detail),
            Self::NotFound => Problem::new(StatusCode::NOT_FOUND, "not_found", detail),
            Self::Conflict(conflict) => {
                let (existing, retry_after) = (conflict.existing(), conflict.retry_after());
                Problem { existing, retry_after, ..Problem::new(StatusCode::CONFLICT, conflict.code(), detail) }
            }
            Self::PreconditionFailed => Problem::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail),
            Self::Quota { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "quota_exceeded", detail),
            Self::IdempotencyMismatch => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch", detail),
            Self::RateLimited(wait) => Problem::limited("rate_limited", detail, wait),
            Self::TooManyAtOnce(wait) | Self::TooManyTests { wait, .. } => Problem::limited("too_many_at_once", detail, wait),
            Self::Told(problem) => *problem,
            Self::Unavailable(why) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, why.code(), detail),
            Self::Internal(source) => {
                tracing::error!(error = %chain(&*source), "a request failed");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }
}

impl Unavailable {
    fn code(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Store => "store_unavailable",
            Self::Contended => "contended",
            Self::Resolver => "resolver_unavailable",
            Self::Issuer => "issuer_unavailable",
        }
    }
}

impl From<ParameterError> for ApiError {
    fn from(error: ParameterError) -> Self {
        Self::Parameters(vec![error])
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.into_problem().into_response()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("a problem is made from a status");
        let mut response = status.into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}
