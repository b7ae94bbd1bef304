//! `/v1/api-keys`: the keys of the caller's own tenant. API.md §1.

pub(crate) mod form;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tidemark_store::Holder;
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::body::{Body, NoBody};
use crate::idempotency::{Creation, IdempotencyKey};
use crate::page::{List, Page, PageParameters, PageRequest};
use crate::params::{NoParameters, Params};
use crate::problem::{ApiError, NotFound, Unprocessable, WithBody};
use crate::state::ApiState;

use form::{ApiKeyShape, IssuedKeyShape, KeyBody, KeyForm, Maker};

/// A page of keys, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"data": [form::example()], "page": {"next_cursor": null}}))]
pub(crate) struct ApiKeyList {
    pub data: Vec<ApiKeyShape>,
    pub page: Page,
}

/// Lists the keys that have not expired, without what makes them keys.
#[utoipa::path(
    get, path = "/v1/api-keys", operation_id = "list_api_keys", tag = "tenant",
    security(("api_key" = ["keys:write"])),
    params(PageParameters),
    responses((status = 200, description = "A page of keys, oldest first.", body = ApiKeyList), ApiError),
)]
pub(crate) async fn list_api_keys(
    caller: Caller<scope::KeysWrite>,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Json<ApiKeyList>, ApiError> {
    let list = List { name: "api_keys", within: "", tenant: Some(caller.tenant.id()), keys: &state.keys };
    let mut params = Params::parse(query.as_deref());
    let request = PageRequest::take(&mut params, list);
    let request = params.finish(&["limit", "cursor"], || request)?;
    let holder = Holder::Tenant(caller.tenant.clone());
    let keys = state.store.keys(&holder, state.now()).await.map_err(ApiError::of_store)?;
    let mut left = keys.into_iter().filter(|key| request.after.as_deref().is_none_or(|after| key.id.as_str() > after));
    let data: Vec<_> = left.by_ref().take(request.limit).map(|key| ApiKeyShape::of(key, &caller.key_id)).collect();
    let last = data.last().filter(|_| left.next().is_some()).map(|key| key.id.as_str());
    Ok(Json(ApiKeyList { page: list.page(&request, last), data }))
}

/// Makes a key. It is in this answer, and never again. It can have the scopes that the caller has, and no others.
#[utoipa::path(
    post, path = "/v1/api-keys", operation_id = "create_api_key", tag = "tenant",
    security(("api_key" = ["keys:write"])),
    request_body = KeyBody,
    responses(
        (status = 201, description = "The key.", body = IssuedKeyShape,
         headers(("Location" = String, description = "Its address."))),
        WithBody, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn create_api_key(
    caller: Caller<scope::KeysWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    key: IdempotencyKey,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let form = KeyForm::read(body.clone(), state.now())?;
    // Before anything is answered that was answered before: to somebody else, it may be.
    if let Some(missing) = form.scopes.difference(&caller.scopes).next() {
        return Err(ApiError::MissingScope(*missing));
    }
    let (operation, tenant, by) = ("create_api_key", &caller.tenant, caller.key_id.as_str());
    let creation = Creation { state: &state, tenant: Some(tenant), operation, secret_for: Some(by), key: &key, body: &body };
    creation.once(async |attempt| form::issue(&state, tenant, form, Maker::Colleague(by), attempt).await).await
}

/// One key, if it has not expired; without what makes it a key.
#[utoipa::path(
    get, path = "/v1/api-keys/{id}", operation_id = "get_api_key", tag = "tenant",
    security(("api_key" = ["keys:write"])),
    params(("id" = String, Path, description = "The key's id.", example = "019d3e0fd6c85b9a10fe")),
    responses((status = 200, description = "The key.", body = ApiKeyShape), NotFound, ApiError),
)]
pub(crate) async fn get_api_key(
    caller: Caller<scope::KeysWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
) -> Result<Json<ApiKeyShape>, ApiError> {
    let holder = Holder::Tenant(caller.tenant.clone());
    let keys = state.store.keys(&holder, state.now()).await.map_err(ApiError::of_store)?;
    let key = keys.into_iter().find(|key| key.id == id).ok_or(ApiError::NotFound)?;
    Ok(Json(ApiKeyShape::of(key, &caller.key_id)))
}

/// Deletes a key: from the next request on it is refused. Also the one that this request is made with.
#[utoipa::path(
    delete, path = "/v1/api-keys/{id}", operation_id = "delete_api_key", tag = "tenant",
    security(("api_key" = ["keys:write"])),
    params(("id" = String, Path, description = "The key's id.", example = "019d3e0fd6c85b9a10fe")),
    responses((status = 204, description = "Deleted."), NotFound, ApiError),
)]
pub(crate) async fn delete_api_key(
    caller: Caller<scope::KeysWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    let holder = Holder::Tenant(caller.tenant.clone());
    if !state.store.delete_key(&holder, &id).await.map_err(ApiError::of_store)? {
        return Err(ApiError::NotFound);
    }
    tracing::info!(by = caller.key_id, tenant = %caller.tenant.id(), key = id, "API key deleted");
    Ok(StatusCode::NO_CONTENT)
}
