//! `/v1/webhook-endpoints`: where a tenant wants its events sent. ALERTS §4.

pub(crate) mod call;
mod entry;
mod form;
pub(crate) mod secret;
pub(crate) mod switch;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::EndpointId;
use tidemark_store::{ENDPOINTS_MAX, Endpoint, EndpointError, EndpointState, ulid};
use tidemark_webhooks::secret::Secret;
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::body::{Body, NoBody, merge};
use crate::etag::IfMatch;
use crate::idempotency::{Attempt, Created, Creation, IdempotencyKey};
use crate::page::{List, Page, PageParameters, PageRequest};
use crate::params::{NoParameters, Params};
use crate::problem::{ApiError, NotFound, Preconditioned, Unavailable, Unprocessable, WithBody};
use crate::state::{ApiState, CHANGE_ATTEMPTS_MAX};

use entry::WebhookEndpoint;
use form::{EndpointForm, EndpointPatch};
use secret::SecretShown;

/// A page of endpoints, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"data": [form::example()], "page": {"next_cursor": null}}))]
pub(crate) struct WebhookEndpointList {
    pub data: Vec<WebhookEndpoint>,
    pub page: Page,
}

/// Lists the endpoints.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints", operation_id = "list_webhook_endpoints", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(PageParameters),
    responses((status = 200, description = "A page of endpoints, oldest first.", body = WebhookEndpointList), ApiError),
)]
pub(crate) async fn list_webhook_endpoints(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Json<WebhookEndpointList>, ApiError> {
    let list = List { name: "webhook_endpoints", within: "", tenant: Some(caller.tenant.id()), keys: &state.keys };
    let mut params = Params::parse(query.as_deref());
    let request = PageRequest::take(&mut params, list);
    let request = params.finish(&["limit", "cursor"], || request)?;
    let (now, endpoints) = (state.now(), state.store.endpoints(&caller.tenant).await.map_err(ApiError::of_store)?);
    let mut left =
        endpoints.into_iter().filter(|endpoint| request.after.as_deref().is_none_or(|after| endpoint.id.as_str() > after));
    let data: Vec<_> = left.by_ref().take(request.limit).map(|endpoint| WebhookEndpoint::of(endpoint, now)).collect();
    let last = data.last().filter(|_| left.next().is_some()).map(|endpoint| endpoint.id.as_str());
    Ok(Json(WebhookEndpointList { page: list.page(&request, last), data }))
}

/// Makes an endpoint. Its secret is in this answer, and never again.
///
/// The host of the URL is looked up, and every address it has must be on the public internet.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints", operation_id = "create_webhook_endpoint", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    request_body = EndpointForm,
    responses(
        (status = 201, description = "The endpoint, with its secret.", body = SecretShown,
         headers(
             ("ETag" = String, description = "Its version, for `If-Match`, and a digest of what else is shown."),
             ("Location" = String, description = "Its address."),
         )),
        WithBody, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn create_webhook_endpoint(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    key: IdempotencyKey,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let (now, tenant) = (state.now(), &caller.tenant);
    let (operation, secret_for) = ("create_webhook_endpoint", Some(caller.key_id.as_str()));
    let creation = Creation { state: &state, tenant: Some(tenant), operation, secret_for, key: &key, body: &body };
    let make = async |attempt: &Attempt| {
        let form = EndpointForm::read(body.clone(), None, &state.webhooks).await?;
        let (id, secret) = (EndpointId::from_ulid_text(&ulid(now, rand::random())).expect("a ULID's text"), Secret::generate());
        let sealed = state.webhooks.seal(&secret, tenant, &id);
        let endpoint = enabled(form, id, sealed, now);
        let location = format!("/v1/webhook-endpoints/{}", endpoint.id);
        let shown = secret::shown(endpoint.clone(), &secret, now);
        let created = Created::new(&shown).at(location).tagged(&shown.endpoint.etag());
        let settled = attempt.settled(&created);
        state.store.create_endpoint_once(tenant, &endpoint, settled.as_ref()).await.map_err(of_endpoint_error)?;
        Ok(created)
    };
    creation.once(make).await
}

/// A new endpoint as it is stored.
fn enabled(form: EndpointForm, id: EndpointId, secret: String, now: Timestamp) -> Endpoint {
    let EndpointForm { url, event_types, description, headers } = form;
    Endpoint {
        id,
        url,
        event_types,
        description,
        headers,
        state: EndpointState::Enabled,
        secret,
        previous_secret: None,
        health: None,
        created_at: now,
        updated_at: now,
        version: 1,
    }
}

/// One endpoint.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{id}", operation_id = "get_webhook_endpoint", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id.", example = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY")),
    responses(
        (status = 200, description = "The endpoint.", body = WebhookEndpoint,
         headers(("ETag" = String, description = "Its version, for `If-Match`, and a digest of what else is shown."))),
        NotFound, ApiError,
    ),
)]
pub(crate) async fn get_webhook_endpoint(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(WebhookEndpoint::respond(find(&state, &caller, &id).await?, state.now()))
}

/// Changes an endpoint: what the body names is changed, what it does not is kept, and null is as if never given (RFC 7396).
///
/// The secret stays the same, also for another URL. Events on their way are sent to where the endpoint is then.
#[utoipa::path(
    patch, path = "/v1/webhook-endpoints/{id}", operation_id = "update_webhook_endpoint", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id.", example = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY")),
    request_body(content((EndpointPatch = "application/merge-patch+json"), (EndpointPatch = "application/json"))),
    responses(
        (status = 200, description = "The endpoint as it is now.", body = WebhookEndpoint,
         headers(("ETag" = String, description = "Its version, for `If-Match`, and a digest of what else is shown."))),
        NotFound, WithBody, Preconditioned, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn update_webhook_endpoint(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    if_match: IfMatch,
    Path(id): Path<String>,
    Body(patch): Body,
) -> Result<Response, ApiError> {
    let now = state.now();
    let patch = form::in_lower_case(patch);
    for _ in 0..CHANGE_ATTEMPTS_MAX {
        let read = find(&state, &caller, &id).await?;
        if_match.admit(read.version)?;
        let mut body = form::writable(&read);
        merge(&mut body, patch.clone());
        let form = EndpointForm::read(body, Some(&read.url), &state.webhooks).await?;
        let to = form.over(&read);
        if to == read {
            return Ok(WebhookEndpoint::respond(read, now));
        }
        match state.store.update_endpoint(&caller.tenant, &read, Endpoint { updated_at: now, ..to }).await {
            Ok(endpoint) => return Ok(WebhookEndpoint::respond(endpoint, now)),
            Err(EndpointError::ConditionFailed) => {}
            Err(error) => return Err(of_endpoint_error(error)),
        }
    }
    Err(ApiError::Unavailable(Unavailable::Contended))
}

/// Deletes an endpoint. What is on its way to it is not sent any more.
#[utoipa::path(
    delete, path = "/v1/webhook-endpoints/{id}", operation_id = "delete_webhook_endpoint", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id.", example = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY")),
    responses((status = 204, description = "Deleted."), NotFound, Preconditioned, ApiError),
)]
pub(crate) async fn delete_webhook_endpoint(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    if_match: IfMatch,
    Path(id): Path<String>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    for _ in 0..CHANGE_ATTEMPTS_MAX {
        let read = find(&state, &caller, &id).await?;
        if_match.admit(read.version)?;
        match state.store.delete_endpoint(&caller.tenant, &read).await {
            Ok(()) => return Ok(StatusCode::NO_CONTENT),
            Err(EndpointError::ConditionFailed) => {}
            Err(error) => return Err(of_endpoint_error(error)),
        }
    }
    Err(ApiError::Unavailable(Unavailable::Contended))
}

/// A tenant's endpoint, by the id in an address.
///
/// # Errors
/// 404 also for another tenant's.
pub(super) async fn find<S>(state: &ApiState, caller: &Caller<S>, id: &str) -> Result<Endpoint, ApiError> {
    let id = EndpointId::new(id).map_err(|_| ApiError::NotFound)?;
    state.store.endpoint(&caller.tenant, &id).await.map_err(ApiError::of_store)?.ok_or(ApiError::NotFound)
}

fn of_endpoint_error(error: EndpointError) -> ApiError {
    match error {
        EndpointError::Quota => ApiError::Quota { what: "webhook endpoints", max: ENDPOINTS_MAX },
        EndpointError::ConditionFailed => ApiError::Unavailable(Unavailable::Contended),
        EndpointError::Store(error) => ApiError::of_store(error),
    }
}
