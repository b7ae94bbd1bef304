//! `/v1/admin/tenants`: the tenants of the deployment, for operators. Their data are not to be seen here.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::TenantId;
use tidemark_store::{DeleteError, Tenant, TenantCreated, TenantSettings};
use utoipa::ToSchema;

use crate::auth::Operator;
use crate::body::{Body, NoBody};
use crate::etag::{self, IfMatch};
use crate::idempotency::{Attempt, Created, Creation, IdempotencyKey};
use crate::limits::Limits;
use crate::page::{List, Page, PageParameters, PageRequest};
use crate::params::{NoParameters, Params};
use crate::problem::{ApiError, Conflict, Conflicting, NotFound, Preconditioned, Unavailable, Unprocessable, WithBody};
use crate::routes::api_keys::form::{IssuedKeyShape, KeyBody, KeyForm, Maker, issue};
use crate::routes::tenant::form::{self, AdminTenantPatch, TenantBody, TenantForm};
use crate::routes::tenant::{Editor, TenantShape, change, version};
use crate::state::{ApiState, CHANGE_ATTEMPTS_MAX};

/// A page of tenants, by id.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"data": [example()], "page": {"next_cursor": null}}))]
pub(crate) struct AdminTenantList {
    pub data: Vec<AdminTenant>,
    pub page: Page,
}

/// A tenant as operators see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct AdminTenant {
    #[serde(flatten)]
    pub tenant: TenantShape,
    /// Since when somebody has been deleting it: whoever did was stopped, and it is to be deleted again. Null: nobody does.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub deleting_since: Option<Timestamp>,
}

impl AdminTenant {
    fn of(settings: TenantSettings, limits: &Limits) -> Self {
        Self { deleting_since: settings.deleting_since, tenant: TenantShape::of(settings, limits) }
    }

    fn etag(&self) -> HeaderValue {
        etag::of_shown(self.tenant.version, self)
    }

    fn respond(settings: TenantSettings, limits: &Limits) -> Response {
        let shown = Self::of(settings, limits);
        ([(header::ETAG, shown.etag())], Json(shown)).into_response()
    }
}

/// Lists the tenants that were created. Records may name others, too: those are counted in UTC, and can be created at any time.
#[utoipa::path(
    get, path = "/v1/admin/tenants", operation_id = "list_admin_tenants", tag = "admin",
    security(("api_key" = ["operator"])),
    params(PageParameters),
    responses((status = 200, description = "A page of tenants, by id.", body = AdminTenantList), ApiError),
)]
pub(crate) async fn list_admin_tenants(
    _: Operator,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Json<AdminTenantList>, ApiError> {
    let list = List { name: "tenants", within: "", tenant: None, keys: &state.keys };
    let mut params = Params::parse(query.as_deref());
    let request = PageRequest::take(&mut params, list);
    let request = params.finish(&["limit", "cursor"], || request)?;
    // Only we make cursors, and these of ids alone.
    let after = request.after.as_deref().and_then(|after| TenantId::new(after).ok());
    let page = state.store.tenants(after.as_ref(), request.limit).await.map_err(ApiError::of_store)?;
    let last = page.tenants.last().filter(|_| page.more).map(|tenant| tenant.id.clone());
    let data = page.tenants.into_iter().map(|settings| AdminTenant::of(settings, &state.limits)).collect();
    Ok(Json(AdminTenantList { page: list.page(&request, last.as_ref().map(TenantId::as_str)), data }))
}

/// Creates a tenant. Its records may have been there before: then its zone must be the one they are counted by.
#[utoipa::path(
    post, path = "/v1/admin/tenants", operation_id = "create_admin_tenant", tag = "admin",
    security(("api_key" = ["operator"])),
    request_body = TenantBody,
    responses(
        (status = 201, description = "The tenant.", body = AdminTenant,
         headers(
             ("ETag" = String, description = "Its version, for `If-Match`, and a digest of all that is shown."),
             ("Location" = String, description = "Its address."),
         )),
        WithBody, Conflicting, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn create_admin_tenant(
    operator: Operator,
    State(state): State<ApiState>,
    _: NoParameters,
    key: IdempotencyKey,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let (operation, secret_for) = ("create_admin_tenant", None);
    let creation = Creation { state: &state, tenant: None, operation, secret_for, key: &key, body: &body };
    let make = async |attempt: &Attempt| {
        let (new, now) = (TenantForm::read_new(body.clone())?, state.now());
        let tenant = operator.tenant(new.id.as_str())?;
        let stands = state.store.tenant_settings(&tenant).await.map_err(ApiError::of_store)?;
        let settings = TenantSettings {
            name: new.name.clone(),
            zone: new.zone.clone().unwrap_or(stands.zone),
            currency: new.currency.clone(),
            rates: new.rates,
            created_at: Some(Timestamp::from_second(now.as_second()).expect("no later than now")),
            version: 1,
            ..stands
        };
        let shown = AdminTenant::of(settings, &state.limits);
        let created = Created::new(&shown).at(format!("/v1/admin/tenants/{}", new.id)).tagged(&shown.etag());
        let settled = attempt.settled(&created);
        match state.store.create_tenant_once(&new, now, settled.as_ref()).await {
            Ok(TenantCreated::New) => {
                tracing::info!(by = operator.key_id, tenant = %new.id, "tenant created");
                Ok(created)
            }
            Ok(TenantCreated::Same | TenantCreated::Different) => Err(Conflict::TenantExists(new.id).into()),
            Ok(TenantCreated::ZoneFrozen(zone)) => Err(Conflict::TimeZoneFrozen(zone).into()),
            Err(tidemark_store::Error::ConditionFailed) => Err(ApiError::Unavailable(Unavailable::Contended)),
            Err(error) => Err(ApiError::of_store(error)),
        }
    };
    creation.once(make).await
}

/// One tenant.
#[utoipa::path(
    get, path = "/v1/admin/tenants/{id}", operation_id = "get_admin_tenant", tag = "admin",
    security(("api_key" = ["operator"])),
    params(("id" = String, Path, description = "The tenant's id.", example = "acme")),
    responses(
        (status = 200, description = "The tenant.", body = AdminTenant,
         headers(("ETag" = String, description = "Its version, for `If-Match`, and a digest of all that is shown."))),
        NotFound, ApiError,
    ),
)]
pub(crate) async fn get_admin_tenant(
    operator: Operator,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(AdminTenant::respond(find(&state, &operator.tenant(&id)?).await?, &state.limits))
}

/// Changes a tenant, as its own `PATCH /v1/tenant` does; and how often it may ask, which only operators change.
///
/// Changed limits take effect within about 15 seconds.
#[utoipa::path(
    patch, path = "/v1/admin/tenants/{id}", operation_id = "update_admin_tenant", tag = "admin",
    security(("api_key" = ["operator"])),
    params(("id" = String, Path, description = "The tenant's id.", example = "acme")),
    request_body(content((AdminTenantPatch = "application/merge-patch+json"), (AdminTenantPatch = "application/json"))),
    responses(
        (status = 200, description = "The tenant as it is now.", body = AdminTenant,
         headers(("ETag" = String, description = "Its version, for `If-Match`, and a digest of all that is shown."))),
        NotFound, WithBody, Conflicting, Preconditioned, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn update_admin_tenant(
    operator: Operator,
    State(state): State<ApiState>,
    _: NoParameters,
    if_match: IfMatch,
    Path(id): Path<String>,
    Body(patch): Body,
) -> Result<Response, ApiError> {
    let tenant = operator.tenant(&id)?;
    let settings = change(&state, &tenant, &if_match, patch, Editor::Operator).await?;
    tracing::info!(by = operator.key_id, tenant = id, version = settings.version, "tenant changed");
    Ok(AdminTenant::respond(settings, &state.limits))
}

/// Deletes a tenant that has no data, with its keys: they are refused from then on, and so are tokens that name it.
///
/// One that has records that are counted, alert rules or webhook endpoints is not deleted: `tenant_has_data`. If the request is cut
/// short, the tenant has a `deleting_since`; make it again, and it is finished.
#[utoipa::path(
    delete, path = "/v1/admin/tenants/{id}", operation_id = "delete_admin_tenant", tag = "admin",
    security(("api_key" = ["operator"])),
    params(("id" = String, Path, description = "The tenant's id.", example = "acme")),
    responses((status = 204, description = "Deleted."), NotFound, Conflicting, Preconditioned, ApiError),
)]
pub(crate) async fn delete_admin_tenant(
    operator: Operator,
    State(state): State<ApiState>,
    _: NoParameters,
    if_match: IfMatch,
    Path(id): Path<String>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    let tenant = operator.tenant(&id)?;
    for attempt in 0..CHANGE_ATTEMPTS_MAX {
        let read = match find(&state, &tenant).await {
            // Somebody else was at it, too, and has finished.
            Err(ApiError::NotFound) if attempt > 0 => return Ok(StatusCode::NO_CONTENT),
            read => read?,
        };
        if attempt == 0 {
            if_match.admit(version(&read))?;
        }
        match state.store.delete_tenant(&tenant, &read, state.now()).await {
            Ok(()) => {
                tracing::info!(by = operator.key_id, tenant = id, "tenant deleted");
                return Ok(StatusCode::NO_CONTENT);
            }
            Err(DeleteError::HasData) => return Err(Conflict::TenantHasData.into()),
            Err(DeleteError::ConditionFailed) => {}
            Err(DeleteError::Store(error)) => return Err(ApiError::of_store(error)),
        }
    }
    Err(ApiError::Unavailable(Unavailable::Contended))
}

/// Makes a key for a tenant. It is in this answer, and never again.
///
/// The tenant itself finds it among its keys, and can delete it.
#[utoipa::path(
    post, path = "/v1/admin/tenants/{id}/api-keys", operation_id = "create_admin_api_key", tag = "admin",
    security(("api_key" = ["operator"])),
    params(("id" = String, Path, description = "The tenant's id.", example = "acme")),
    request_body = KeyBody,
    responses(
        (status = 201, description = "The key.", body = IssuedKeyShape),
        NotFound, WithBody, Conflicting, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn create_admin_api_key(
    operator: Operator,
    State(state): State<ApiState>,
    _: NoParameters,
    key: IdempotencyKey,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let tenant = operator.tenant(&id)?;
    find(&state, &tenant).await?;
    // The tenant is a part of what the key of the request stands for.
    let (operation, secret_for) = ("create_admin_api_key", Some(operator.key_id.as_str()));
    let creation = Creation { state: &state, tenant: Some(&tenant), operation, secret_for, key: &key, body: &body };
    let made = creation.once(async |attempt| {
        let form = KeyForm::read(body.clone(), state.now())?;
        issue(&state, &tenant, form, Maker::Operator(&operator.key_id), attempt).await
    });
    made.await
}

async fn find(state: &ApiState, tenant: &Tenant) -> Result<TenantSettings, ApiError> {
    let settings = state.store.tenant_settings(tenant).await.map_err(ApiError::of_store)?;
    // One that no operator created is not to be changed here.
    if settings.created_at.is_some() { Ok(settings) } else { Err(ApiError::NotFound) }
}

fn example() -> serde_json::Value {
    let mut example = form::example();
    example["deleting_since"] = serde_json::Value::Null;
    example
}
