//! `GET` and `PATCH /v1/tenant`: the settings of the caller's own tenant. DESIGN §4, "Tenants".

pub(crate) mod form;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::{Currency, TenantId, Zone};
use tidemark_store::{ENDPOINTS_MAX, KEYS_MAX, RULES_MAX, Tenant, TenantError, TenantSettings};
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::body::{Body, Object, merge};
use crate::etag::{self, IfMatch};
use crate::params::NoParameters;
use crate::problem::{ApiError, Conflict, Conflicting, Preconditioned, Unavailable, Unprocessable, WithBody};
use crate::query::plan::{CELLS_MAX, ROWS_READ_MAX};
use crate::state::{ApiState, CHANGE_ATTEMPTS_MAX};

use form::{TenantForm, TenantPatch};

/// A tenant's settings, and its limits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant, example = json!(form::example()))]
pub(crate) struct TenantShape {
    #[schema(value_type = String)]
    pub id: TenantId,
    #[schema(required)]
    pub name: Option<String>,
    /// The zone whose days are kept, and in which dates are read unless a query names another.
    #[schema(value_type = String)]
    pub time_zone: Zone,
    /// Whether records are counted by its days already; then it stands.
    pub time_zone_frozen: bool,
    /// The currency that is shown first. It changes no number.
    #[schema(value_type = Option<String>, required)]
    pub currency: Option<Currency>,
    pub limits: TenantLimits,
    /// Null: nobody created the tenant; it is known by its records or keys.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub created_at: Option<Timestamp>,
    /// Its ETag, without the quotes.
    pub version: u64,
}

/// What a tenant can have. How often it may ask is in `RateLimit-Policy`, with every answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantLimits {
    pub api_keys: usize,
    pub alert_rules: usize,
    pub webhook_endpoints: usize,
    /// Cells of one answer: its rows times its buckets.
    pub cells_per_query: usize,
    /// Stored rows that are read for one answer, by estimate.
    pub rows_per_query: usize,
}

impl TenantLimits {
    /// Those in force, for everybody.
    pub(super) const STANDING: Self = Self {
        api_keys: KEYS_MAX,
        alert_rules: RULES_MAX,
        webhook_endpoints: ENDPOINTS_MAX,
        cells_per_query: CELLS_MAX,
        rows_per_query: ROWS_READ_MAX,
    };
}

impl TenantShape {
    pub(super) fn of(settings: TenantSettings) -> Self {
        let version = version(&settings);
        let TenantSettings { id, name, zone, zone_frozen, currency, created_at, .. } = settings;
        let limits = TenantLimits::STANDING;
        Self { id, name, time_zone: zone, time_zone_frozen: zone_frozen, currency, limits, created_at, version }
    }

    /// As an answer, with its ETag.
    fn respond(settings: TenantSettings) -> Response {
        (etag::of(version(&settings)), Json(Self::of(settings))).into_response()
    }
}

/// The version of what is shown: it changes when somebody changes the settings, and when a worker freezes the zone.
pub(super) fn version(settings: &TenantSettings) -> u64 {
    settings.version * 2 + u64::from(settings.zone_frozen)
}

/// The tenant that the key is of.
#[utoipa::path(
    get, path = "/v1/tenant", operation_id = "get_tenant", tag = "tenant",
    responses(
        (status = 200, description = "The tenant's settings.", body = TenantShape,
         headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        ApiError,
    ),
)]
pub(crate) async fn get_tenant(
    caller: Caller<scope::MetricsRead>,
    State(state): State<ApiState>,
    _: NoParameters,
) -> Result<Response, ApiError> {
    Ok(TenantShape::respond(state.store.tenant_settings(&caller.tenant).await.map_err(ApiError::of_store)?))
}

/// Changes the settings: what the body names is changed, what it does not is kept, and null is as if never given (RFC 7396).
///
/// The time zone can be changed until the first record is counted by its days.
#[utoipa::path(
    patch, path = "/v1/tenant", operation_id = "update_tenant", tag = "tenant",
    security(("api_key" = ["keys:write"])),
    request_body(content((TenantPatch = "application/merge-patch+json"), (TenantPatch = "application/json"))),
    responses(
        (status = 200, description = "The settings as they are now.", body = TenantShape,
         headers(("ETag" = String, description = "Their version, for `If-Match`."))),
        WithBody, Conflicting, Preconditioned, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn update_tenant(
    caller: Caller<scope::KeysWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    if_match: IfMatch,
    Body(patch): Body,
) -> Result<Response, ApiError> {
    let settings = change(&state, &caller.tenant, &if_match, patch, Ok).await?;
    tracing::info!(by = caller.key_id, tenant = %settings.id, version = settings.version, "tenant changed");
    Ok(TenantShape::respond(settings))
}

/// Applies a merge patch to a tenant that `admit` lets be changed.
pub(super) async fn change(
    state: &ApiState,
    tenant: &Tenant,
    if_match: &IfMatch,
    patch: Object,
    admit: impl Fn(TenantSettings) -> Result<TenantSettings, ApiError>,
) -> Result<TenantSettings, ApiError> {
    for _ in 0..CHANGE_ATTEMPTS_MAX {
        let read = admit(state.store.tenant_settings(tenant).await.map_err(ApiError::of_store)?)?;
        if_match.admit(version(&read))?;
        let mut body = form::writable(&read);
        merge(&mut body, patch.clone());
        let to = TenantForm::read(body)?.over();
        if read.deleting_since.is_some() {
            return Err(Conflict::TenantLeaving.into());
        }
        if read.zone_frozen && to.zone != read.zone {
            return Err(Conflict::TimeZoneFrozen(read.zone).into());
        }
        if (&to.name, &to.zone, &to.currency) == (&read.name, &read.zone, &read.currency) {
            return Ok(read);
        }
        match state.store.update_tenant(tenant, &read, &to, state.now()).await {
            Ok(settings) => return Ok(settings),
            // What stands now says which conflict it is, or that there is none any more.
            Err(TenantError::ConditionFailed | TenantError::ZoneFrozen) => {}
            Err(TenantError::Store(error)) => return Err(ApiError::of_store(error)),
        }
    }
    Err(ApiError::Unavailable(Unavailable::Contended))
}
