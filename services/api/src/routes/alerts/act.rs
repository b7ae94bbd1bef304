//! `POST /v1/alerts/{id}/acknowledge|resolve|mute|unmute`: each may be done twice, and answers with the alert as it stands.

use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use tidemark_domain::alert::{self, Act, Note};
use tidemark_domain::{AlertEvent, AlertId, Level};
use tidemark_runtime::telemetry::trace;
use tidemark_store::{ActError, AlertRecord, Change, EventWrite};
use tidemark_webhooks::event::{BodyError, EventType};
use tidemark_webhooks::payload;
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::body::{Body, Fields, Object, OptionalBody};
use crate::iso8601;
use crate::openapi::shapes;
use crate::params::NoParameters;
use crate::problem::{ApiError, Code, Conflict, Conflicting, NotFound, Unavailable, Unprocessable, WithBody};
use crate::state::ApiState;

/// What somebody says about what they do.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertNote, example = json!({"note": "Ordered more, due on Tuesday."}))]
#[expect(dead_code, reason = "documents what is read field by field")]
pub(crate) struct Remark {
    #[schema(max_length = 500)]
    note: Option<String>,
}

/// How long an alert is to be mute, and why.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertMute, example = json!({"until": "2036-04-01T06:00:00Z", "note": "Stocktaking."}))]
#[expect(dead_code, reason = "documents what is read field by field")]
pub(crate) struct Mute {
    /// In the future.
    #[schema(value_type = String, format = DateTime)]
    until: String,
    #[schema(max_length = 500)]
    note: Option<String>,
}

/// Why an act is not done.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Alert(#[from] alert::Error),
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Stops repeats until the alert's severity rises. The first to do so is noted.
#[utoipa::path(
    post, path = "/v1/alerts/{id}/acknowledge", operation_id = "acknowledge_alert", tag = "alerts",
    security(("api_key" = ["alerts:write"])),
    params(("id" = String, Path, description = "The alert's id.", example = "alr_01ARZ3NDEKTSV4RRFFQ69G5FAV")),
    request_body = Option<Remark>,
    responses(
        (status = 200, description = "The alert as it stands.", body = shapes::Alert),
        NotFound, WithBody, Conflicting, ApiError,
    ),
)]
pub(crate) async fn acknowledge_alert(
    caller: Caller<scope::AlertsWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
    OptionalBody(body): OptionalBody,
) -> Result<Json<payload::Alert>, ApiError> {
    let note = remark(body)?;
    let by = caller.key_id.clone();
    act(&state, &caller, &id, Act::Acknowledge { by, note }).await
}

/// Ends the episode. The level must clear once before an alert may fire there again.
#[utoipa::path(
    post, path = "/v1/alerts/{id}/resolve", operation_id = "resolve_alert", tag = "alerts",
    security(("api_key" = ["alerts:write"])),
    params(("id" = String, Path, description = "The alert's id.", example = "alr_01ARZ3NDEKTSV4RRFFQ69G5FAV")),
    request_body = Option<Remark>,
    responses(
        (status = 200, description = "The alert as it stands.", body = shapes::Alert),
        NotFound, WithBody, ApiError,
    ),
)]
pub(crate) async fn resolve_alert(
    caller: Caller<scope::AlertsWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
    OptionalBody(body): OptionalBody,
) -> Result<Json<payload::Alert>, ApiError> {
    let note = remark(body)?;
    let by = caller.key_id.clone();
    act(&state, &caller, &id, Act::Resolve { by, note }).await
}

/// Mutes an alert until an instant, which replaces an earlier mute.
///
/// Until then only the end is delivered, to endpoints that heard of the episode; what happens is recorded all the same.
#[utoipa::path(
    post, path = "/v1/alerts/{id}/mute", operation_id = "mute_alert", tag = "alerts",
    security(("api_key" = ["alerts:write"])),
    params(("id" = String, Path, description = "The alert's id.", example = "alr_01ARZ3NDEKTSV4RRFFQ69G5FAV")),
    request_body = Mute,
    responses(
        (status = 200, description = "The alert as it stands.", body = shapes::Alert),
        NotFound, WithBody, Conflicting, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn mute_alert(
    caller: Caller<scope::AlertsWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Json<payload::Alert>, ApiError> {
    let now = state.now();
    let mut fields = Fields::of(body);
    fields.require(&["until"]);
    let until = fields.read("until", iso8601::instant);
    if until.is_some_and(|until| until <= now) {
        fields.refuse("until", Code::UnfitInstant, "must be in the future");
    }
    let note = fields.read("note", Note::new);
    let by = caller.key_id.clone();
    let mute = fields.finish(|| Some(Act::Mute { until: until?, by, note }))?;
    act(&state, &caller, &id, mute).await
}

/// Lets deliveries go on, if they were stopped.
#[utoipa::path(
    post, path = "/v1/alerts/{id}/unmute", operation_id = "unmute_alert", tag = "alerts",
    security(("api_key" = ["alerts:write"])),
    params(("id" = String, Path, description = "The alert's id.", example = "alr_01ARZ3NDEKTSV4RRFFQ69G5FAV")),
    request_body = Option<Remark>,
    responses(
        (status = 200, description = "The alert as it stands.", body = shapes::Alert),
        NotFound, WithBody, Conflicting, ApiError,
    ),
)]
pub(crate) async fn unmute_alert(
    caller: Caller<scope::AlertsWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
    OptionalBody(body): OptionalBody,
) -> Result<Json<payload::Alert>, ApiError> {
    let note = remark(body)?;
    let by = caller.key_id.clone();
    act(&state, &caller, &id, Act::Unmute { by, note }).await
}

fn remark(body: Object) -> Result<Option<Note>, ApiError> {
    let mut fields = Fields::of(body);
    let note = fields.read("note", Note::new);
    fields.finish(|| Some(note))
}

async fn act<S>(state: &ApiState, caller: &Caller<S>, id: &str, act: Act) -> Result<Json<payload::Alert>, ApiError> {
    let now = state.now();
    let id = AlertId::new(id).map_err(|_| ApiError::NotFound)?;
    let decide = |record: &AlertRecord, level: Option<&Level>| decide(&act, record, level, now);
    match state.store.act(&caller.tenant, &id, now, decide).await {
        Ok(alert) => Ok(Json((&alert).into())),
        Err(ActError::NotFound) => Err(ApiError::NotFound),
        Err(ActError::Refused(Refusal::Alert(alert::Error::AlreadyResolved))) => Err(Conflict::AlertResolved.into()),
        Err(ActError::Refused(refusal)) => Err(ApiError::Internal(Box::new(refusal))),
        Err(ActError::Store(tidemark_store::Error::ConditionFailed)) => Err(ApiError::Unavailable(Unavailable::Contended)),
        Err(ActError::Store(error)) => Err(ApiError::of_store(error)),
    }
}

fn decide(act: &Act, record: &AlertRecord, level: Option<&Level>, now: Timestamp) -> Result<Option<Change>, Refusal> {
    let Some(acted) = act.apply(&record.alert, level, now)? else { return Ok(None) };
    let event = acted.event.as_ref().map(announcement).transpose()?;
    Ok(Some(Change { acted, event }))
}

/// An event as it is stored for the dispatcher, due at once.
fn announcement(event: &AlertEvent) -> Result<EventWrite, BodyError> {
    let event_type = EventType::from(event.kind).as_str();
    let write = EventWrite::of_alert(event, event_type, &payload::body(event)?, rand::random());
    Ok(EventWrite { traceparent: trace::traceparent(), ..write })
}
