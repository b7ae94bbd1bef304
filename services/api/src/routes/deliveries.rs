//! `GET /v1/webhook-endpoints/{id}/deliveries`, `GET /v1/deliveries/{id}` and `POST /v1/deliveries/{id}/retry`: what was sent, what
//! is to be sent, and how it went. ALERTS §4.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tidemark_domain::{EndpointId, EventId};
use tidemark_store::{Attempt, Delivery, DeliveryId, DeliveryQuery, DeliveryState, LastAttempt, RequeueError, Trigger};
use tidemark_webhooks::send::Outcome;
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::body::NoBody;
use crate::openapi::shapes::{AttemptOutcome, AttemptTrigger};
use crate::page::{List, Page, PageParameters, PageRequest};
use crate::params::{NoParameters, Params};
use crate::problem::{ApiError, Conflict, Conflicting, NotFound, Unavailable};
use crate::routes::webhook_endpoints;
use crate::state::{ApiState, CHANGE_ATTEMPTS_MAX};

/// A retry is refused until this long after the beginning of the last attempt: the schedule's own first retry comes no sooner.
///
/// Without it, a retry for each quick answer would send a receiver as many requests as the limits of the key allow. With it, and with
/// the refusal while an attempt is under way, a delivery sends its receiver at most one request in this time by hand.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A page of deliveries, those of the newest events first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"data": [example()], "page": {"next_cursor": null}}))]
pub(crate) struct DeliveryList {
    pub data: Vec<DeliveryEntry>,
    pub page: Page,
}

/// One event on its way to one endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct DeliveryEntry {
    pub id: String,
    /// The `webhook-id`.
    #[schema(value_type = String)]
    pub event_id: EventId,
    #[schema(value_type = String)]
    pub endpoint_id: EndpointId,
    pub event_type: String,
    pub state: DeliveryStateName,
    /// How many attempts were begun, one that is under way included. It can be more than are listed: where a process of ours ended
    /// before the result was recorded, the attempt counts but has no entry.
    pub attempt_count: u32,
    /// What the next attempt is made for, or the last one was.
    #[schema(value_type = AttemptTrigger)]
    pub trigger: &'static str,
    /// When it is attempted next, or until when an attempt may be under way; null when none is to come.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub next_attempt_at: Option<Timestamp>,
    #[schema(required)]
    pub last_attempt: Option<LastTry>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(detailed_example()))]
pub(crate) struct DeliveryDetail {
    #[serde(flatten)]
    pub delivery: DeliveryEntry,
    /// First to last, those of the last 30 days whose result was recorded.
    pub attempts: Vec<Try>,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = DeliveryState)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliveryStateName {
    /// To be attempted, or under way.
    Pending,
    Delivered,
    /// All attempts of the schedule failed.
    Exhausted,
    /// The endpoint is disabled.
    Held,
    /// The endpoint was deleted.
    Cancelled,
}

/// How the last attempt went.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LastAttempt)]
pub(crate) struct LastTry {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    #[schema(value_type = AttemptOutcome)]
    pub outcome: String,
    /// Of the answer; null when there was none.
    #[schema(required)]
    pub status: Option<u16>,
    pub latency_ms: u64,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(crate) struct Try {
    /// From 1.
    #[schema(minimum = 1)]
    pub number: u32,
    #[serde(flatten)]
    pub ended: LastTry,
    #[schema(value_type = AttemptTrigger)]
    pub trigger: &'static str,
    /// The beginning of the answer's body, at most 1 KiB; null when there was none.
    #[schema(required)]
    pub body: Option<String>,
}

impl DeliveryEntry {
    fn of(delivery: Delivery) -> Self {
        let id = delivery.id.to_string();
        let next_attempt_at = match delivery.state {
            DeliveryState::Pending { due_at } => Some(due_at),
            _ => None,
        };
        Self {
            id,
            event_id: delivery.id.event,
            endpoint_id: delivery.id.endpoint,
            event_type: delivery.event_type,
            state: DeliveryStateName::of(delivery.state),
            attempt_count: delivery.attempts,
            trigger: delivery.trigger.as_str(),
            next_attempt_at,
            last_attempt: delivery.last.map(LastTry::of),
            created_at: delivery.created_at,
        }
    }
}

impl DeliveryStateName {
    fn of(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Pending { .. } => Self::Pending,
            DeliveryState::Delivered => Self::Delivered,
            DeliveryState::Exhausted => Self::Exhausted,
            DeliveryState::Held => Self::Held,
            DeliveryState::Cancelled => Self::Cancelled,
        }
    }
}

impl LastTry {
    fn of(LastAttempt { at, outcome, status, elapsed_ms }: LastAttempt) -> Self {
        Self { at, outcome: shown(outcome), status, latency_ms: elapsed_ms }
    }
}

impl Try {
    fn of(Attempt { number, at, trigger, outcome, status, elapsed_ms, snippet, .. }: Attempt) -> Self {
        let ended = LastTry { at, outcome: shown(outcome), status, latency_ms: elapsed_ms };
        Self { number, ended, trigger: trigger.as_str(), body: snippet }
    }
}

/// A stored outcome as tenants are shown it. One that this binary does not know is a newer one's.
fn shown(stored: String) -> String {
    stored.parse::<Outcome>().map_or(stored, |outcome| outcome.shown().as_str().to_owned())
}

/// Lists an endpoint's deliveries.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{id}/deliveries", operation_id = "list_deliveries", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(
        ("id" = String, Path, description = "The endpoint's id.", example = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY"),
        PageParameters,
    ),
    responses(
        (status = 200, description = "A page of deliveries, those of the newest events first.", body = DeliveryList),
        NotFound, ApiError,
    ),
)]
pub(crate) async fn list_deliveries(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<DeliveryList>, ApiError> {
    let endpoint = webhook_endpoints::find(&state, &caller, &id).await?;
    let list = List { name: "deliveries", within: endpoint.id.as_str(), tenant: Some(caller.tenant.id()), keys: &state.keys };
    let mut params = Params::parse(query.as_deref());
    let request = PageRequest::take(&mut params, list);
    let request = params.finish(&["limit", "cursor"], || request)?;
    // A cursor holds the id of the last event shown; we signed it, so it is one.
    let after = request.after.as_deref().and_then(|after| EventId::new(after).ok());
    let query = DeliveryQuery { after, limit: request.limit };
    let page = state.store.deliveries(&caller.tenant, &endpoint.id, &query).await.map_err(ApiError::of_store)?;
    let data = page.deliveries.into_iter().map(DeliveryEntry::of).collect();
    let page = list.page(&request, page.next.as_ref().map(EventId::as_str));
    Ok(Json(DeliveryList { data, page }))
}

/// One delivery, with its attempts.
#[utoipa::path(
    get, path = "/v1/deliveries/{id}", operation_id = "get_delivery", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The delivery's id.",
            example = "dlv_01ARZ3NDEKTSV4RRFFQ69G5FAX01ARZ3NDEKTSV4RRFFQ69G5FAY")),
    responses((status = 200, description = "The delivery.", body = DeliveryDetail), NotFound, ApiError),
)]
pub(crate) async fn get_delivery(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
) -> Result<Json<DeliveryDetail>, ApiError> {
    let delivery = find(&state, &caller, &id).await?;
    let attempts = state.store.attempts(&caller.tenant, &delivery.id).await.map_err(ApiError::of_store)?;
    Ok(Json(DeliveryDetail { delivery: DeliveryEntry::of(delivery), attempts: attempts.into_iter().map(Try::of).collect() }))
}

/// Has a delivery attempted again, at once, whatever became of it; with the same `webhook-id` and the same bytes.
///
/// Refused while an attempt is under way (`delivery_under_way`), and until 5 seconds after the last attempt began
/// (`retried_too_soon`). `Retry-After` says how long to wait.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/retry", operation_id = "retry_delivery", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The delivery's id.",
            example = "dlv_01ARZ3NDEKTSV4RRFFQ69G5FAX01ARZ3NDEKTSV4RRFFQ69G5FAY")),
    responses(
        (status = 202, description = "The delivery, which is due now.", body = DeliveryEntry),
        NotFound, Conflicting, ApiError,
    ),
)]
pub(crate) async fn retry_delivery(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
    _: NoBody,
) -> Result<(StatusCode, Json<DeliveryEntry>), ApiError> {
    let (now, tenant) = (state.now(), &caller.tenant);
    for _ in 0..CHANGE_ATTEMPTS_MAX {
        let read = find(&state, &caller, &id).await?;
        let endpoint = state.store.endpoint(tenant, &read.id.endpoint).await.map_err(ApiError::of_store)?;
        match endpoint {
            None => return Err(Conflict::EndpointDeleted.into()),
            Some(endpoint) if !endpoint.is_enabled() => return Err(Conflict::EndpointDisabled.into()),
            Some(_) => {}
        }
        if let Some(wait) = pause_left(&read, now) {
            return Err(Conflict::RetriedTooSoon(wait).into());
        }
        match state.store.requeue(tenant, &read, Trigger::Manual, now).await {
            Ok(delivery) => return Ok((StatusCode::ACCEPTED, Json(DeliveryEntry::of(delivery)))),
            Err(RequeueError::ConditionFailed) => {}
            Err(RequeueError::UnderWay { until }) => {
                return Err(Conflict::DeliveryUnderWay(until.duration_since(now).unsigned_abs()).into());
            }
            Err(RequeueError::TooManyAttempts) => return Err(Conflict::AttemptsSpent.into()),
            Err(RequeueError::Store(error)) => return Err(ApiError::of_store(error)),
        }
    }
    Err(ApiError::Unavailable(Unavailable::Contended))
}

/// The rest of [`RETRY_PAUSE`]. The attempt was timed by another machine's clock, which may be ahead.
fn pause_left(delivery: &Delivery, now: Timestamp) -> Option<Duration> {
    let began = delivery.last.as_ref()?.at;
    RETRY_PAUSE.checked_sub(now.duration_since(began).unsigned_abs()).filter(|left| !left.is_zero())
}

async fn find<S>(state: &ApiState, caller: &Caller<S>, id: &str) -> Result<Delivery, ApiError> {
    let id: DeliveryId = id.parse().map_err(|_| ApiError::NotFound)?;
    state.store.delivery(&caller.tenant, &id).await.map_err(ApiError::of_store)?.ok_or(ApiError::NotFound)
}

fn example() -> Value {
    json!({
        "id": "dlv_01ARZ3NDEKTSV4RRFFQ69G5FAX01ARZ3NDEKTSV4RRFFQ69G5FAY", "event_id": "evt_01ARZ3NDEKTSV4RRFFQ69G5FAX",
        "endpoint_id": "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY", "event_type": "inventory.alert.fired", "state": "pending", "attempt_count": 1,
        "trigger": "scheduled", "next_attempt_at": "2026-03-30T09:14:11Z",
        "last_attempt": {"at": "2026-03-30T09:14:06Z", "outcome": "http_status", "status": 500, "latency_ms": 87},
        "created_at": "2026-03-30T09:14:05Z"
    })
}

fn detailed_example() -> Value {
    let mut example = example();
    example["attempts"] = json!([{
        "number": 1, "at": "2026-03-30T09:14:06Z", "outcome": "http_status", "status": 500, "latency_ms": 87,
        "trigger": "scheduled", "body": "internal error"
    }]);
    example
}
