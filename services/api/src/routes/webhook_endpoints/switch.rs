//! `POST /v1/webhook-endpoints/{id}/enable` and `/disable`. Doing either twice changes nothing.

use axum::extract::{Path, State};
use axum::response::Response;
use tidemark_store::{Endpoint, EndpointError, EndpointState};

use super::{WebhookEndpoint, find, of_endpoint_error};
use crate::auth::{Caller, scope};
use crate::body::NoBody;
use crate::etag::IfMatch;
use crate::params::NoParameters;
use crate::problem::{ApiError, NotFound, Preconditioned, Unavailable};
use crate::state::{ApiState, CHANGE_ATTEMPTS_MAX};

/// Why an endpoint is disabled whose owner said so.
const MANUAL: &str = "manual";

/// Has an endpoint sent to again, with a clean record. What was held meanwhile is sent by `recover`.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{id}/enable", operation_id = "enable_webhook_endpoint", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id.", example = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY")),
    responses(
        (status = 200, description = "The endpoint as it is now.", body = WebhookEndpoint,
         headers(("ETag" = String, description = "Its version, for `If-Match`, and a digest of what else is shown."))),
        NotFound, Preconditioned, ApiError,
    ),
)]
pub(crate) async fn enable_webhook_endpoint(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    if_match: IfMatch,
    Path(id): Path<String>,
    _: NoBody,
) -> Result<Response, ApiError> {
    switch(&state, &caller, &if_match, &id, EndpointState::Enabled).await
}

/// Stops sending to an endpoint. What happens meanwhile is held for 30 days.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{id}/disable", operation_id = "disable_webhook_endpoint", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id.", example = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY")),
    responses(
        (status = 200, description = "The endpoint as it is now.", body = WebhookEndpoint,
         headers(("ETag" = String, description = "Its version, for `If-Match`, and a digest of what else is shown."))),
        NotFound, Preconditioned, ApiError,
    ),
)]
pub(crate) async fn disable_webhook_endpoint(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    if_match: IfMatch,
    Path(id): Path<String>,
    _: NoBody,
) -> Result<Response, ApiError> {
    let disabled = EndpointState::Disabled { reason: MANUAL.to_owned(), at: state.now() };
    switch(&state, &caller, &if_match, &id, disabled).await
}

async fn switch<S>(
    state: &ApiState,
    caller: &Caller<S>,
    if_match: &IfMatch,
    id: &str,
    to: EndpointState,
) -> Result<Response, ApiError> {
    let now = state.now();
    for _ in 0..CHANGE_ATTEMPTS_MAX {
        let read = find(state, caller, id).await?;
        if_match.admit(read.version)?;
        if read.is_enabled() == (to == EndpointState::Enabled) {
            return Ok(WebhookEndpoint::respond(read, now));
        }
        let switched = Endpoint { state: to.clone(), updated_at: now, ..read.clone() };
        match state.store.update_endpoint(&caller.tenant, &read, switched).await {
            Ok(endpoint) => return Ok(WebhookEndpoint::respond(endpoint, now)),
            Err(EndpointError::ConditionFailed) => {}
            Err(error) => return Err(of_endpoint_error(error)),
        }
    }
    Err(ApiError::Unavailable(Unavailable::Contended))
}
