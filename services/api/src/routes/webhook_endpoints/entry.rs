//! An endpoint as it is shown, without its secret.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::EndpointId;
use tidemark_store::{Endpoint, EndpointState};
use tidemark_webhooks::health::Health;
use utoipa::ToSchema;

use super::form;
use crate::etag;

/// An endpoint. Its secret is not shown.
#[derive(Serialize, ToSchema)]
#[schema(example = json!(form::example()))]
pub(crate) struct WebhookEndpoint {
    #[schema(value_type = String)]
    pub id: EndpointId,
    pub url: String,
    /// Null: all, those of later versions included.
    #[schema(required)]
    pub event_types: Option<Vec<String>>,
    #[schema(required)]
    pub description: Option<String>,
    /// Sent along with every event.
    pub headers: BTreeMap<String, String>,
    pub state: SwitchState,
    /// Why it is disabled: `manual`, `failing` (nothing has succeeded for five days) or `gone` (it answered 410); null while it
    /// is enabled.
    #[schema(required)]
    pub disabled_reason: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub disabled_at: Option<Timestamp>,
    pub health: Condition,
    /// Until when the secret before the last rotation signs along; null when only one signs.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub previous_secret_until: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// What `If-Match` compares; its ETag begins with it.
    pub version: u64,
}

/// Whether an endpoint is sent to. Deliveries to one that is disabled are held.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = EndpointState)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SwitchState {
    Enabled,
    Disabled,
}

/// How an endpoint has been doing.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = EndpointHealth)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Condition {
    /// The last attempt succeeded, or there was none.
    Healthy,
    /// The last attempt failed.
    Failing,
    /// It has failed for half the time after which it is disabled, or longer.
    Warned,
}

impl WebhookEndpoint {
    pub(super) fn of(endpoint: Endpoint, now: Timestamp) -> Self {
        let Endpoint { id, url, event_types, description, headers, state, previous_secret, health, .. } = endpoint;
        let (state, disabled_reason, disabled_at) = match state {
            EndpointState::Enabled => (SwitchState::Enabled, None, None),
            EndpointState::Disabled { reason, at } => (SwitchState::Disabled, Some(reason), Some(at)),
        };
        let previous = previous_secret.map(|previous| previous.until).filter(|until| *until > now);
        Self {
            id,
            url,
            event_types,
            description,
            headers,
            state,
            disabled_reason,
            disabled_at,
            health: Condition::of(health.as_deref()),
            previous_secret_until: previous,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
            version: endpoint.version,
        }
    }

    /// Of all that is shown: health, and whether a secret from before signs along, change without a new version.
    pub(super) fn etag(&self) -> HeaderValue {
        etag::of_shown(self.version, self)
    }

    /// As an answer, with its ETag.
    pub(super) fn respond(endpoint: Endpoint, now: Timestamp) -> Response {
        let shown = Self::of(endpoint, now);
        ([(header::ETAG, shown.etag())], Json(shown)).into_response()
    }
}

impl Condition {
    /// What the dispatcher has noted; nothing yet is healthy.
    fn of(noted: Option<&str>) -> Self {
        use tidemark_webhooks::health::Condition as Known;
        let health: Health = noted.and_then(|noted| serde_json::from_str(noted).ok()).unwrap_or_default();
        match health.condition() {
            Known::Healthy => Self::Healthy,
            Known::Failing => Self::Failing,
            Known::Warned => Self::Warned,
        }
    }
}

impl std::fmt::Debug for WebhookEndpoint {
    /// Without headers, which may be credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookEndpoint").field("id", &self.id).field("url", &self.url).finish_non_exhaustive()
    }
}
