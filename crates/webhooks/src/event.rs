//! What is announced: the types of events, which of them an endpoint wants, and the envelope around their data.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Most bytes of a body. Receivers commonly refuse more, and a stored event stays far below DynamoDB's 400 KB.
pub const BODY_BYTES_MAX: usize = 20_000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum EventType {
    AlertFired,
    AlertEscalated,
    AlertRepeated,
    AlertResolved,
    /// Sent only when somebody tests an endpoint.
    Ping,
    /// Sent to the tenant's other endpoints.
    EndpointDisabled,
}

impl EventType {
    pub const ALL: [Self; 6] =
        [Self::AlertFired, Self::AlertEscalated, Self::AlertRepeated, Self::AlertResolved, Self::Ping, Self::EndpointDisabled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlertFired => "inventory.alert.fired",
            Self::AlertEscalated => "inventory.alert.escalated",
            Self::AlertRepeated => "inventory.alert.repeated",
            Self::AlertResolved => "inventory.alert.resolved",
            Self::Ping => "webhook.ping",
            Self::EndpointDisabled => "webhook.endpoint_disabled",
        }
    }
}

/// The text is no event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no event type; event types: {all}", all = EventType::ALL.map(EventType::as_str).join(" "))]
pub struct UnknownEventType(String);

/// The types an endpoint wants; all of them unless it says. A ping is always sent: it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Option<BTreeSet<EventType>>", into = "Option<BTreeSet<EventType>>")]
pub struct EventFilter(Option<BTreeSet<EventType>>);

/// An endpoint that wants nothing is a mistake: it would be silent for ever.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("name at least one event type, or leave the list out for all")]
pub struct EmptyFilter(());

impl EventFilter {
    /// Every type, those of later versions included.
    pub fn all() -> Self {
        Self(None)
    }

    /// # Errors
    /// When there is none.
    pub fn only(types: impl IntoIterator<Item = EventType>) -> Result<Self, EmptyFilter> {
        Some(types.into_iter().collect::<BTreeSet<_>>()).try_into()
    }

    pub fn accepts(&self, event_type: EventType) -> bool {
        event_type == EventType::Ping || self.0.as_ref().is_none_or(|types| types.contains(&event_type))
    }
}

/// The body of a webhook: `{"type","timestamp","data"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Envelope<T> {
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// When it happened, which is not when it is sent.
    pub timestamp: Timestamp,
    pub data: T,
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the event has {bytes} bytes; at most {BODY_BYTES_MAX} are sent")]
    TooLong { bytes: usize },
    #[error("the event cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

impl<T: Serialize> Envelope<T> {
    /// The bytes that are stored once, and then signed and sent as they are.
    ///
    /// # Errors
    /// [`BodyError::TooLong`] above [`BODY_BYTES_MAX`]; [`BodyError::Unwritable`] when `data` refuses to be JSON.
    pub fn body(&self) -> Result<Bytes, BodyError> {
        let body = serde_json::to_vec(self).map_err(BodyError::Unwritable)?;
        if body.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLong { bytes: body.len() });
        }
        Ok(body.into())
    }
}

impl std::fmt::Display for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        let found = Self::ALL.into_iter().find(|event_type| event_type.as_str() == text);
        found.ok_or_else(|| UnknownEventType(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for EventType {
    type Error = UnknownEventType;

    fn try_from(text: String) -> Result<Self, UnknownEventType> {
        text.parse()
    }
}

impl From<EventType> for &'static str {
    fn from(event_type: EventType) -> Self {
        event_type.as_str()
    }
}

impl TryFrom<Option<BTreeSet<EventType>>> for EventFilter {
    type Error = EmptyFilter;

    fn try_from(types: Option<BTreeSet<EventType>>) -> Result<Self, EmptyFilter> {
        if types.as_ref().is_some_and(BTreeSet::is_empty) { Err(EmptyFilter(())) } else { Ok(Self(types)) }
    }
}

impl From<EventFilter> for Option<BTreeSet<EventType>> {
    fn from(filter: EventFilter) -> Self {
        filter.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_reads_back_from_its_text() {
        for event_type in EventType::ALL {
            let text = serde_json::to_value(event_type).expect("a string");
            assert_eq!(text, json!(event_type.to_string()));
            assert_eq!(serde_json::from_value::<EventType>(text).expect("its own text"), event_type);
        }
        let error = "inventory.low".parse::<EventType>().expect_err("unknown").to_string();
        assert!(error.contains("inventory.low") && error.contains("webhook.ping"), "{error}");
    }

    #[test]
    fn an_endpoint_gets_what_it_names_or_everything() {
        let some: EventFilter = serde_json::from_value(json!(["inventory.alert.fired"])).expect("a filter");
        assert_eq!(EventFilter::only([EventType::AlertFired]).as_ref(), Ok(&some));
        let accepted =
            |filter: &EventFilter| EventType::ALL.into_iter().filter(|event| filter.accepts(*event)).collect::<Vec<_>>();
        assert_eq!(accepted(&some), [EventType::AlertFired, EventType::Ping]);
        assert_eq!(accepted(&serde_json::from_value(json!(null)).expect("all")), EventType::ALL);
        assert_eq!(EventFilter::all(), EventFilter::default());
        assert!(serde_json::from_value::<EventFilter>(json!([])).is_err(), "nothing at all is a mistake");
    }

    #[test]
    fn the_envelope_is_type_timestamp_and_data_up_to_its_limit() {
        let timestamp = Timestamp::from_millisecond(1_800_000_000_250).expect("an instant");
        let body = |data: String| Envelope { event_type: EventType::Ping, timestamp, data }.body();
        let empty = body(String::new()).expect("small");
        assert_eq!(empty, r#"{"type":"webhook.ping","timestamp":"2027-01-15T08:00:00.25Z","data":""}"#);
        let room = BODY_BYTES_MAX - empty.len();
        assert_eq!(body("x".repeat(room)).expect("just fits").len(), BODY_BYTES_MAX);
        assert!(matches!(body("x".repeat(room + 1)), Err(BodyError::TooLong { bytes }) if bytes == BODY_BYTES_MAX + 1));
    }
}
