//! What is told of an endpoint that was disabled, to the tenant's others.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::EndpointId;

use super::Links;
use crate::event::{BodyError, Envelope, EventType};

/// The `data` of `webhook.endpoint_disabled`. The endpoint's URL is not in it: a URL is often a credential, and this goes to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointDisabled {
    pub endpoint_id: EndpointId,
    pub reason: DisabledReason,
    pub disabled_at: Timestamp,
    pub links: Links,
}

/// Why an endpoint was disabled by us; people need no event for what they do themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// It answered 410.
    Gone,
    /// Nothing but failures for days.
    Failing,
}

impl DisabledReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

/// The bytes of a `webhook.endpoint_disabled`.
///
/// # Errors
/// As [`Envelope::body`]; it is always short enough.
pub fn endpoint_disabled(endpoint: &EndpointId, reason: DisabledReason, at: Timestamp) -> Result<Bytes, BodyError> {
    let links = Links { this: format!("/v1/webhook-endpoints/{endpoint}") };
    let data = EndpointDisabled { endpoint_id: endpoint.clone(), reason, disabled_at: at, links };
    Envelope { event_type: EventType::EndpointDisabled, timestamp: at, data }.body()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_disabled_endpoint_is_told_of_by_its_id_and_the_reason() {
        let endpoint = EndpointId::new("ep_01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("an id");
        let at = Timestamp::from_second(1_800_000_000).expect("an instant");
        let body = endpoint_disabled(&endpoint, DisabledReason::Gone, at).expect("short enough");
        let expected = json!({
            "type": "webhook.endpoint_disabled",
            "timestamp": "2027-01-15T08:00:00Z",
            "data": {
                "endpoint_id": endpoint.as_str(), "reason": "gone", "disabled_at": "2027-01-15T08:00:00Z",
                "links": {"self": format!("/v1/webhook-endpoints/{endpoint}")},
            },
        });
        assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), expected);
        assert_eq!(
            [DisabledReason::Gone, DisabledReason::Failing].map(|reason| json!(reason)),
            [json!(DisabledReason::Gone.as_str()), json!(DisabledReason::Failing.as_str())]
        );
    }
}
