//! `GET` and `PATCH /v1/tenant`: the settings of the caller's own tenant. DESIGN §4, "Tenants".

pub(crate) mod form;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::{Currency, TenantId, Zone};
use tidemark_store::{ENDPOINTS_MAX, KEYS_MAX, RULES_MAX, Tenant, TenantChange, TenantError, TenantRates, TenantSettings};
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::body::{Body, Object, merge};
use crate::etag::{self, IfMatch};
use crate::limits::{Limits, Rates};
use crate::params::NoParameters;
use crate::problem::{ApiError, Conflict, Conflicting, Preconditioned, Unavailable, Unprocessable, WithBody};
use crate::query::plan::{CELLS_MAX, ROWS_READ_MAX};
use crate::state::{ApiState, CHANGE_ATTEMPTS_MAX};

use form::{TenantForm, TenantPatch};

/// Who changes a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Editor {
    /// A key of its own. What operators set stays as it is.
    Tenant,
    /// Only a tenant that was created.
    Operator,
}

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
    /// What `If-Match` compares; its ETag begins with it.
    pub version: u64,
}

/// The tenant's quotas and request rates: the deployment's values, or those that operators set for this tenant. A change takes effect within
/// about 15 seconds; `RateLimit-Policy` shows the rates in force with every answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantLimits {
    pub api_keys: usize,
    pub alert_rules: usize,
    pub webhook_endpoints: usize,
    /// Cells of one answer: its rows times its buckets.
    pub cells_per_query: usize,
    /// Stored rows that are read for one answer, by estimate.
    pub rows_per_query: usize,
    /// Requests a second of one key. All keys of the tenant together may write at a tenth of it.
    pub key_rps: u32,
    /// Requests of one key at once, after a pause. All keys of the tenant together may write half as many.
    pub key_burst: u32,
    /// Requests a second of all keys together.
    pub tenant_rps: u32,
    /// Requests of all keys together at once, after a pause.
    pub tenant_burst: u32,
    /// The names of those that operators set for this tenant.
    #[schema(value_type = Vec<String>)]
    pub overridden: Vec<&'static str>,
}

impl TenantLimits {
    /// Of a tenant that has these rates, some of them its own.
    pub(super) fn of(Rates { key, tenant }: Rates, own: TenantRates) -> Self {
        Self {
            api_keys: KEYS_MAX,
            alert_rules: RULES_MAX,
            webhook_endpoints: ENDPOINTS_MAX,
            cells_per_query: CELLS_MAX,
            rows_per_query: ROWS_READ_MAX,
            key_rps: key.per_second,
            key_burst: key.burst,
            tenant_rps: tenant.per_second,
            tenant_burst: tenant.burst,
            overridden: own.named().into_iter().filter(|(_, number)| number.is_some()).map(|(name, _)| name).collect(),
        }
    }
}

impl TenantShape {
    pub(super) fn of(settings: TenantSettings, limits: &Limits) -> Self {
        let version = version(&settings);
        let TenantSettings { id, name, zone, zone_frozen, currency, rates, created_at, .. } = settings;
        let limits = TenantLimits::of(limits.rates(rates), rates);
        Self { id, name, time_zone: zone, time_zone_frozen: zone_frozen, currency, limits, created_at, version }
    }

    /// As an answer, with its ETag.
    fn respond(settings: TenantSettings, limits: &Limits) -> Response {
        let shown = Self::of(settings, limits);
        // Of all that is shown: the deployment's numbers change without a new version.
        ([(header::ETAG, etag::of_shown(shown.version, &shown))], Json(shown)).into_response()
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
         headers(("ETag" = String, description = "Its version, for `If-Match`, and a digest of all that is shown."))),
        ApiError,
    ),
)]
pub(crate) async fn get_tenant(
    caller: Caller<scope::MetricsRead>,
    State(state): State<ApiState>,
    _: NoParameters,
) -> Result<Response, ApiError> {
    let settings = state.store.tenant_settings(&caller.tenant).await.map_err(ApiError::of_store)?;
    Ok(TenantShape::respond(settings, &state.limits))
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
         headers(("ETag" = String, description = "Their version, for `If-Match`, and a digest of all that is shown."))),
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
    let settings = change(&state, &caller.tenant, &if_match, patch, Editor::Tenant).await?;
    tracing::info!(by = caller.key_id, tenant = %settings.id, version = settings.version, "tenant changed");
    Ok(TenantShape::respond(settings, &state.limits))
}

/// Applies a merge patch to a tenant.
pub(super) async fn change(
    state: &ApiState,
    tenant: &Tenant,
    if_match: &IfMatch,
    patch: Object,
    editor: Editor,
) -> Result<TenantSettings, ApiError> {
    for _ in 0..CHANGE_ATTEMPTS_MAX {
        let read = state.store.tenant_settings(tenant).await.map_err(ApiError::of_store)?;
        if editor == Editor::Operator && read.created_at.is_none() {
            return Err(ApiError::NotFound);
        }
        if_match.admit(version(&read))?;
        let mut body = form::writable(&read, editor);
        merge(&mut body, patch.clone());
        let to = TenantForm::read(body, editor)?.over(&read, editor);
        if read.deleting_since.is_some() {
            return Err(Conflict::TenantLeaving.into());
        }
        if read.zone_frozen && to.zone != read.zone {
            return Err(Conflict::TimeZoneFrozen(read.zone).into());
        }
        let TenantSettings { name, zone, currency, rates, .. } = read.clone();
        if to == (TenantChange { name, zone, currency, rates }) {
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
