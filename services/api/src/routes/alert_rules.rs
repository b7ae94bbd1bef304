//! `/v1/alert-rules`: at which levels somebody wants to hear. ALERTS §2.

mod form;
pub(crate) mod preview;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::rule::{RepeatEvery, Threshold};
use tidemark_domain::{InventoryName, Rule, RuleId};
use tidemark_store::{RULES_MAX, RuleError, ulid};
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::body::{Body, NoBody, merge};
use crate::etag::{self, IfMatch};
use crate::idempotency::{Attempt, Created, Creation, IdempotencyKey};
use crate::openapi::shapes;
use crate::page::{List, Page, PageParameters, PageRequest};
use crate::params::{NoParameters, Params};
use crate::problem::{ApiError, Conflict, Conflicting, NotFound, Preconditioned, Unavailable, Unprocessable, WithBody};
use crate::state::{ApiState, CHANGE_ATTEMPTS_MAX};

use form::{Field, RuleForm, RulePatch};

/// What stands for every item or location.
const EVERY: &str = "*";

/// A page of rules, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"data": [form::example()], "page": {"next_cursor": null}}))]
pub(crate) struct AlertRuleList {
    pub data: Vec<AlertRule>,
    pub page: Page,
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(form::example()))]
pub(crate) struct AlertRule {
    #[schema(value_type = String)]
    pub id: RuleId,
    #[schema(required)]
    pub name: Option<String>,
    pub scope: ScopeShape,
    pub field: Field,
    /// Mildest first.
    #[schema(value_type = Vec<shapes::Threshold>, min_items = 1, max_items = 2)]
    pub levels: Vec<Threshold>,
    /// How long after an alert's last event it is announced again, as an ISO 8601 duration; null: never.
    #[schema(value_type = Option<String>, required)]
    pub repeat_every: Option<RepeatEvery>,
    /// A rule that is not enabled is as if absent.
    pub enabled: bool,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Its ETag, without the quotes.
    pub version: u64,
}

/// Which levels a rule is for. No two rules of a tenant share it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RuleScope)]
pub(crate) struct ScopeShape {
    #[schema(value_type = String)]
    pub inventory: InventoryName,
    /// `*`: every item.
    pub item: String,
    /// `*`: every location.
    pub location: String,
}

impl From<Rule> for AlertRule {
    fn from(rule: Rule) -> Self {
        let every = |text: Option<String>| text.unwrap_or_else(|| EVERY.to_owned());
        let Rule { id, name, scope, thresholds, repeat_every, enabled, created_at, updated_at, version } = rule;
        Self {
            id,
            name,
            scope: ScopeShape { inventory: scope.inventory, item: every(scope.item), location: every(scope.location) },
            field: Field::Available,
            levels: thresholds.into(),
            repeat_every,
            enabled,
            created_at,
            updated_at,
            version,
        }
    }
}

/// Lists the rules.
#[utoipa::path(
    get, path = "/v1/alert-rules", operation_id = "list_alert_rules", tag = "alerts",
    security(("api_key" = ["alerts:read"])),
    params(PageParameters),
    responses((status = 200, description = "A page of rules, oldest first.", body = AlertRuleList), ApiError),
)]
pub(crate) async fn list_alert_rules(
    caller: Caller<scope::AlertsRead>,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Json<AlertRuleList>, ApiError> {
    let list = List { name: "alert_rules", within: "", tenant: Some(caller.tenant.id()), keys: &state.keys };
    let mut params = Params::parse(query.as_deref());
    let request = PageRequest::take(&mut params, list);
    let request = params.finish(&["limit", "cursor"], || request)?;
    let rules = state.store.rules(&caller.tenant).await.map_err(ApiError::of_store)?;
    let mut left = rules.into_iter().filter(|rule| request.after.as_deref().is_none_or(|after| rule.id.as_str() > after));
    let data: Vec<AlertRule> = left.by_ref().take(request.limit).map(AlertRule::from).collect();
    let last = data.last().filter(|_| left.next().is_some()).map(|rule| rule.id.as_str());
    Ok(Json(AlertRuleList { page: list.page(&request, last), data }))
}

/// Makes a rule.
///
/// All levels it is for are judged by it within 10 s: one that is low already fires.
#[utoipa::path(
    post, path = "/v1/alert-rules", operation_id = "create_alert_rule", tag = "alerts",
    security(("api_key" = ["rules:write"])),
    request_body = RuleForm,
    responses(
        (status = 201, description = "The rule.", body = AlertRule,
         headers(
             ("ETag" = String, description = "Its version, for `If-Match`."),
             ("Location" = String, description = "Its address."),
         )),
        WithBody, Conflicting, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn create_alert_rule(
    caller: Caller<scope::RulesWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    key: IdempotencyKey,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let (now, tenant) = (state.now(), &caller.tenant);
    let (operation, secret_for) = ("create_alert_rule", None);
    let creation = Creation { state: &state, tenant: Some(tenant), operation, secret_for, key: &key, body: &body };
    let make = async |attempt: &Attempt| {
        let form = RuleForm::read(body.clone(), &state.running(), tenant)?;
        let id = RuleId::from_ulid_text(&ulid(now, rand::random())).expect("a ULID's text");
        let rule = form.into_rule(id, now);
        let location = format!("/v1/alert-rules/{}", rule.id);
        let created = Created::new(&AlertRule::from(rule.clone())).at(location).versioned(rule.version);
        let settled = attempt.settled(&created);
        state.store.create_rule_once(tenant, &rule, now, settled.as_ref()).await.map_err(of_rule_error)?;
        Ok(created)
    };
    creation.once(make).await
}

/// One rule.
#[utoipa::path(
    get, path = "/v1/alert-rules/{id}", operation_id = "get_alert_rule", tag = "alerts",
    security(("api_key" = ["alerts:read"])),
    params(("id" = String, Path, description = "The rule's id.", example = "rul_01ARZ3NDEKTSV4RRFFQ69G5FAW")),
    responses(
        (status = 200, description = "The rule.", body = AlertRule,
         headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        NotFound, ApiError,
    ),
)]
pub(crate) async fn get_alert_rule(
    caller: Caller<scope::AlertsRead>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let rule = find(&state, &caller, &id).await?;
    Ok((etag::of(rule.version), Json(AlertRule::from(rule))).into_response())
}

/// Changes a rule: what the body names is changed, what it does not is kept, and null is as if never given (RFC 7396).
///
/// All levels that it was for and is for are judged anew within 10 s. `levels` is replaced as a whole.
#[utoipa::path(
    patch, path = "/v1/alert-rules/{id}", operation_id = "update_alert_rule", tag = "alerts",
    security(("api_key" = ["rules:write"])),
    params(("id" = String, Path, description = "The rule's id.", example = "rul_01ARZ3NDEKTSV4RRFFQ69G5FAW")),
    request_body(content((RulePatch = "application/merge-patch+json"), (RulePatch = "application/json"))),
    responses(
        (status = 200, description = "The rule as it is now.", body = AlertRule,
         headers(("ETag" = String, description = "Its version, for `If-Match`."))),
        NotFound, WithBody, Conflicting, Preconditioned, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn update_alert_rule(
    caller: Caller<scope::RulesWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    if_match: IfMatch,
    Path(id): Path<String>,
    Body(patch): Body,
) -> Result<Response, ApiError> {
    let now = state.now();
    for _ in 0..CHANGE_ATTEMPTS_MAX {
        let read = find(&state, &caller, &id).await?;
        if_match.admit(read.version)?;
        let mut body = form::writable(&read);
        merge(&mut body, patch.clone());
        let to = RuleForm::read(body, &state.running(), &caller.tenant)?.over(&read, now);
        if to == read {
            return Ok((etag::of(read.version), Json(AlertRule::from(read))).into_response());
        }
        let to = Rule { updated_at: now, ..to };
        match state.store.update_rule(&caller.tenant, &read, to, now).await {
            Ok(rule) => return Ok((etag::of(rule.version), Json(AlertRule::from(rule))).into_response()),
            Err(RuleError::ConditionFailed) => {}
            Err(error) => return Err(of_rule_error(error)),
        }
    }
    Err(ApiError::Unavailable(Unavailable::Contended))
}

/// Deletes a rule.
///
/// All levels it was for are judged by what applies then within 10 s.
#[utoipa::path(
    delete, path = "/v1/alert-rules/{id}", operation_id = "delete_alert_rule", tag = "alerts",
    security(("api_key" = ["rules:write"])),
    params(("id" = String, Path, description = "The rule's id.", example = "rul_01ARZ3NDEKTSV4RRFFQ69G5FAW")),
    responses((status = 204, description = "Deleted."), NotFound, Preconditioned, ApiError),
)]
pub(crate) async fn delete_alert_rule(
    caller: Caller<scope::RulesWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    if_match: IfMatch,
    Path(id): Path<String>,
    _: NoBody,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    for _ in 0..CHANGE_ATTEMPTS_MAX {
        let read = find(&state, &caller, &id).await?;
        if_match.admit(read.version)?;
        match state.store.delete_rule(&caller.tenant, &read, now).await {
            Ok(()) => return Ok(StatusCode::NO_CONTENT),
            Err(RuleError::ConditionFailed) => {}
            Err(error) => return Err(of_rule_error(error)),
        }
    }
    Err(ApiError::Unavailable(Unavailable::Contended))
}

async fn find<S>(state: &ApiState, caller: &Caller<S>, id: &str) -> Result<Rule, ApiError> {
    let id = RuleId::new(id).map_err(|_| ApiError::NotFound)?;
    state.store.rule(&caller.tenant, &id).await.map_err(ApiError::of_store)?.ok_or(ApiError::NotFound)
}

fn of_rule_error(error: RuleError) -> ApiError {
    match error {
        RuleError::Exists(id) => Conflict::RuleExists(id).into(),
        RuleError::Quota => ApiError::Quota { what: "alert rules", max: RULES_MAX },
        RuleError::ConditionFailed => ApiError::Unavailable(Unavailable::Contended),
        RuleError::Store(error) => ApiError::of_store(error),
    }
}
