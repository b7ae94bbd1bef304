//! `POST /v1/webhook-endpoints/{id}/rotate-secret`, and the only two answers that show a secret.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::Serialize;
use tidemark_store::{Endpoint, EndpointError, PreviousSecret};
use tidemark_webhooks::secret::Secret;
use utoipa::ToSchema;

use super::{WebhookEndpoint, find, form, of_endpoint_error};
use crate::auth::{Caller, scope};
use crate::body::{Fields, Object, OptionalBody};
use crate::etag::IfMatch;
use crate::idempotency::NO_STORE;
use crate::iso8601;
use crate::openapi::shapes::Duration;
use crate::params::NoParameters;
use crate::problem::{ApiError, Code, Conflict, Conflicting, NotFound, Preconditioned, Unavailable, Unprocessable, WithBody};
use crate::state::{ApiState, CHANGE_ATTEMPTS_MAX};

/// How long the secret before signs along unless somebody says otherwise, and at most.
const GRACE_DEFAULT: SignedDuration = SignedDuration::from_hours(24);
const GRACE_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An endpoint with its secret: in the answer that makes the secret, and never again.
#[derive(Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct SecretShown {
    #[serde(flatten)]
    pub endpoint: WebhookEndpoint,
    /// What every webhook is signed with, by Standard Webhooks.
    #[schema(pattern = "^whsec_")]
    pub secret: String,
}

/// How the secret before is let go.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SecretRotation, example = json!({"grace": "PT24H", "force": false}))]
pub(crate) struct Rotation {
    /// How long the secret before signs along: an ISO 8601 duration, at most `P7D`; `PT24H` unless given.
    #[schema(value_type = Option<Duration>)]
    grace: SignedDuration,
    /// Whether a secret from before that one ends now. Without it, that is refused.
    #[schema(value_type = Option<bool>, default = false)]
    force: bool,
}

impl Rotation {
    fn read(body: Object) -> Result<Self, ApiError> {
        let mut fields = Fields::of(body);
        let grace = fields.read("grace", iso8601::duration).unwrap_or(GRACE_DEFAULT);
        if grace.is_negative() || grace > GRACE_MAX {
            fields.refuse("grace", Code::UnfitDuration, "must be at most P7D, and not negative");
        }
        let force = fields.flag("force").unwrap_or(false);
        fields.finish(|| Some(Self { grace, force }))
    }
}

/// Gives an endpoint a new secret. It is in this answer, and never again.
///
/// For a while the secret before signs along, so that a receiver can change over: every webhook has two signatures then.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{id}/rotate-secret", operation_id = "rotate_webhook_secret", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id.", example = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY")),
    request_body = Option<Rotation>,
    responses(
        (status = 200, description = "The endpoint, with its new secret.", body = SecretShown,
         headers(("ETag" = String, description = "Its version, for `If-Match`, and a digest of what else is shown."))),
        NotFound, WithBody, Conflicting, Preconditioned, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn rotate_webhook_secret(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    if_match: IfMatch,
    Path(id): Path<String>,
    OptionalBody(body): OptionalBody,
) -> Result<Response, ApiError> {
    let (now, tenant) = (state.now(), &caller.tenant);
    let rotation = Rotation::read(body)?;
    for _ in 0..CHANGE_ATTEMPTS_MAX {
        let read = find(&state, &caller, &id).await?;
        if_match.admit(read.version)?;
        let live = read.previous_secret.as_ref().filter(|previous| previous.until > now);
        if let (Some(previous), false) = (live, rotation.force) {
            return Err(Conflict::SecretsLive(previous.until).into());
        }
        let secret = Secret::generate();
        let to = Endpoint {
            secret: state.webhooks.seal(&secret, tenant, &read.id),
            previous_secret: Some(PreviousSecret { secret: read.secret.clone(), until: now + rotation.grace }),
            updated_at: now,
            ..read.clone()
        };
        match state.store.update_endpoint(tenant, &read, to).await {
            Ok(endpoint) => {
                let shown = shown(endpoint, &secret, now);
                let headers = [(header::ETAG, shown.endpoint.etag()), (header::CACHE_CONTROL, NO_STORE)];
                return Ok((headers, Json(shown)).into_response());
            }
            Err(EndpointError::ConditionFailed) => {}
            Err(error) => return Err(of_endpoint_error(error)),
        }
    }
    Err(ApiError::Unavailable(Unavailable::Contended))
}

/// The answer that shows a secret.
pub(super) fn shown(endpoint: Endpoint, secret: &Secret, now: Timestamp) -> SecretShown {
    let secret = secret.text().expose_secret().to_owned();
    SecretShown { endpoint: WebhookEndpoint::of(endpoint, now), secret }
}

fn example() -> serde_json::Value {
    let mut example = form::example();
    example["secret"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into();
    example
}
