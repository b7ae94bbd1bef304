//! `POST /v1/webhook-endpoints/{id}/test` and `/recover`: what is sent because somebody asks for it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tidemark_domain::EventId;
use tidemark_store::{Endpoint, JobKind, NewJob, Tenant, ulid};
use tidemark_webhooks::headers::CustomHeaders;
use tidemark_webhooks::send::{Attempt, Request, Trigger};
use tidemark_webhooks::sign::Secrets;
use utoipa::ToSchema;

use super::find;
use crate::auth::{Caller, scope};
use crate::body::{Body, Fields, NoBody, Object};
use crate::iso8601;
use crate::openapi::shapes::AttemptOutcome;
use crate::params::NoParameters;
use crate::problem::{ApiError, Code, Conflict, Conflicting, NotFound, Unprocessable, WithBody};
use crate::state::ApiState;
use crate::webhooks;

/// How far back a recovery goes: for as long deliveries are held and attempts listed.
const RECOVERED_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"outcome": "delivered", "status": 204, "latency_ms": 87, "body": "", "webhook_id": "evt_01ARZ3NDEKTSV4RRFFQ69G5FAX"}))]
pub(crate) struct TestResult {
    #[schema(value_type = AttemptOutcome)]
    pub outcome: &'static str,
    /// Of the answer; null when there was none.
    #[schema(required)]
    pub status: Option<u16>,
    pub latency_ms: u64,
    /// The beginning of the answer's body, at most 1 KiB.
    pub body: String,
    /// What the `webhook-id` was.
    #[schema(value_type = String)]
    pub webhook_id: EventId,
}

/// From when to when.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookRecovery, example = json!({"since": "2026-03-29T00:00:00Z", "until": "2026-03-30T00:00:00Z"}))]
pub(crate) struct Recovery {
    /// At most 30 days ago.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Exclusive; now unless given.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Timestamp,
}

/// What is being sent again. It is stored, and goes on whatever happens; each delivery shows how far it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(
    as = WebhookRecoveryStarted,
    example = json!({
        "since": "2026-03-29T00:00:00Z", "until": "2026-03-30T00:00:00Z",
        "links": {"deliveries": "/v1/webhook-endpoints/ep_01ARZ3NDEKTSV4RRFFQ69G5FAY/deliveries"}
    }),
)]
pub(crate) struct RecoveryStarted {
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Exclusive.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    links: RecoveryLinks,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookRecoveryLinks)]
pub(crate) struct RecoveryLinks {
    /// Where the endpoint's deliveries are listed. Those that are sent again have the trigger `recover`.
    deliveries: String,
}

/// Sends a `webhook.ping` now, whatever the endpoint's state, and says what came of it. It is not listed as a delivery.
///
/// A tenant may have 4 tests under way at once, and all tenants together 16; one more is refused with `too_many_at_once`.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{id}/test", operation_id = "test_webhook_endpoint", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id.", example = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY")),
    responses((status = 200, description = "What came of it, good or bad.", body = TestResult), NotFound, ApiError),
)]
pub(crate) async fn test_webhook_endpoint(
    caller: Caller<scope::WebhooksTest>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
    _: NoBody,
) -> Result<Json<TestResult>, ApiError> {
    let now = state.now();
    let _place = state.limits.admit_test(caller.tenant.id())?;
    let endpoint = find(&state, &caller, &id).await?;
    let webhook_id = EventId::from_ulid_text(&ulid(now, rand::random())).expect("a ULID's text");
    let request = ping(&state, &caller.tenant, endpoint, &webhook_id, now)?;
    let Attempt { outcome, status, elapsed, snippet, .. } = state.webhooks.sender.send(&request).await;
    let latency_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(TestResult { outcome: outcome.shown().as_str(), status, latency_ms, body: snippet, webhook_id }))
}

fn ping(state: &ApiState, tenant: &Tenant, endpoint: Endpoint, id: &EventId, now: Timestamp) -> Result<Request, ApiError> {
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| ApiError::Internal(error);
    let open = |sealed: &str| state.webhooks.open(sealed, tenant, &endpoint.id).map_err(|error| broken(error.into()));
    let previous = endpoint.previous_secret.as_ref().filter(|previous| previous.until > now);
    // As it is with deliveries: one that is lost only signs along no more.
    let secrets =
        Secrets { current: open(&endpoint.secret)?, previous: previous.and_then(|previous| open(&previous.secret).ok()) };
    let body = webhooks::ping(&endpoint.id, now).map_err(|error| broken(error.into()))?;
    Ok(Request {
        message: secrets.sign(id.clone(), now, body),
        headers: CustomHeaders::new(endpoint.headers).map_err(|error| broken(error.into()))?,
        url: endpoint.url,
        attempt: 1,
        trigger: Trigger::Test,
    })
}

/// Sends again what an endpoint did not get of the events of a span of time: what was held, and what was given up.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{id}/recover", operation_id = "recover_webhook_endpoint", tag = "webhooks",
    security(("api_key" = ["webhooks:write"])),
    params(("id" = String, Path, description = "The endpoint's id.", example = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY")),
    request_body = Recovery,
    responses(
        (status = 202, description = "It has begun.", body = RecoveryStarted),
        NotFound, WithBody, Conflicting, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn recover_webhook_endpoint(
    caller: Caller<scope::WebhooksWrite>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<(StatusCode, Json<RecoveryStarted>), ApiError> {
    let now = state.now();
    let endpoint = find(&state, &caller, &id).await?;
    let Recovery { since, until } = Recovery::read(body, now)?;
    if !endpoint.is_enabled() {
        return Err(Conflict::EndpointDisabled.into());
    }
    let links = RecoveryLinks { deliveries: format!("/v1/webhook-endpoints/{}/deliveries", endpoint.id) };
    let kind = JobKind::Recover { endpoint: endpoint.id, since, until };
    let job = NewJob { kind, due_at: now, created_at: now };
    state.store.create_job(&caller.tenant, &job).await.map_err(ApiError::of_store)?;
    Ok((StatusCode::ACCEPTED, Json(RecoveryStarted { since, until, links })))
}

impl Recovery {
    fn read(body: Object, now: Timestamp) -> Result<Self, ApiError> {
        let mut fields = Fields::of(body);
        fields.require(&["since"]);
        let since = fields.read("since", iso8601::instant);
        let until = fields.read("until", iso8601::instant).unwrap_or(now);
        if let Some(since) = since {
            if since >= until && fields.is_well("until") {
                fields.refuse("since", Code::UnfitInstant, "must be before `until`");
            }
            if since < now - RECOVERED_FOR {
                fields.refuse("since", Code::UnfitInstant, "must be at most 30 days ago");
            }
        }
        fields.finish(|| Some(Self { since: since?, until }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_recovery_is_not_refused_for_what_stands_in_for_a_mistake() {
        let now = Timestamp::from_second(1_800_000_000).expect("an instant");
        let faults = |body: Value| {
            let Value::Object(body) = body else { panic!("a body is an object") };
            let Err(ApiError::Parameters(errors)) = Recovery::read(body, now) else { panic!("the body is wrong") };
            errors.into_iter().map(|error| (error.parameter, error.code)).collect::<Vec<_>>()
        };
        let fault = |field: &str, code| (field.to_owned(), code);
        let later = (now + RECOVERED_FOR).to_string();
        assert_eq!(faults(json!({ "since": &later })), [fault("since", Code::UnfitInstant)]);
        assert_eq!(faults(json!({ "since": &later, "until": "x" })), [fault("until", Code::InvalidValue)]);
        assert_eq!(
            faults(json!({ "since": "2026-01-01T00:00:00Z", "until": "x" })),
            [fault("until", Code::InvalidValue), fault("since", Code::UnfitInstant)]
        );
    }
}
