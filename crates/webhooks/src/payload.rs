//! The one wire form of an alert: what the API shows, and what is sent about it.

mod endpoint;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::alert::{AlertState, EventKind};
use tidemark_domain::rule::{Applied, Severity, Threshold};
use tidemark_domain::{AlertEvent, AlertId, Decimal, InventoryName, RuleId};

use crate::event::{BodyError, Envelope, EventType};

pub use endpoint::{DisabledReason, EndpointDisabled, endpoint_disabled};

/// An alert, as everybody sees it. Its tenant is not shown: whoever sees it is the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    pub id: AlertId,
    pub state: State,
    pub severity: Severity,
    pub inventory: InventoryName,
    pub item: String,
    pub location: String,
    /// How much was available when the alert last changed.
    pub available: Decimal,
    pub rule: Rule,
    /// Shared by all episodes of one rule and one level.
    pub fingerprint: String,
    pub fired_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    /// `recovered`, `manual`, `rule_changed`, `rule_deleted` or `item_deleted`.
    pub resolved_reason: Option<&'static str>,
    pub acknowledged_at: Option<Timestamp>,
    /// The id of the credential.
    pub acknowledged_by: Option<String>,
    /// Exclusive.
    pub muted_until: Option<Timestamp>,
    /// Of its last event, from 1.
    pub sequence: u32,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Firing,
    Resolved,
}

/// By what a level is judged: the mildest threshold at hand, and all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// `None`: the row's own reorder point.
    pub id: Option<RuleId>,
    pub fires_at_or_below: Decimal,
    pub clears_above: Decimal,
    /// Mildest first.
    pub levels: Vec<Threshold>,
}

/// What an event about an alert says: the `data` of its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertData {
    pub alert: Alert,
    /// The event's number in its alert, from 1.
    pub sequence: u32,
    pub links: Links,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Links {
    /// Where the API shows the alert.
    #[serde(rename = "self")]
    pub this: String,
}

impl From<&tidemark_domain::Alert> for Alert {
    fn from(alert: &tidemark_domain::Alert) -> Self {
        let (state, resolved) = match &alert.state {
            AlertState::Firing => (State::Firing, None),
            AlertState::Resolved { at, reason } => (State::Resolved, Some((*at, reason.as_str()))),
        };
        Self {
            id: alert.id.clone(),
            state,
            severity: alert.severity,
            inventory: alert.key.inventory.clone(),
            item: alert.key.item.clone(),
            location: alert.key.location.clone(),
            available: alert.available.clone(),
            rule: (&alert.rule).into(),
            fingerprint: alert.fingerprint(),
            fired_at: alert.fired_at,
            resolved_at: resolved.map(|(at, _)| at),
            resolved_reason: resolved.map(|(_, reason)| reason),
            acknowledged_at: alert.acknowledged.as_ref().map(|acknowledged| acknowledged.at),
            acknowledged_by: alert.acknowledged.as_ref().map(|acknowledged| acknowledged.by.clone()),
            muted_until: alert.muted.as_ref().map(|muted| muted.until),
            sequence: alert.sequence,
            updated_at: alert.updated_at,
        }
    }
}

impl From<&Applied> for Rule {
    fn from(applied: &Applied) -> Self {
        let levels: Vec<Threshold> = applied.thresholds.iter().cloned().collect();
        let mildest = levels.first().expect("a rule has at least one threshold");
        Self {
            id: applied.rule.clone(),
            fires_at_or_below: mildest.fires_at_or_below.clone(),
            clears_above: mildest.clears_above.clone(),
            levels,
        }
    }
}

impl From<&AlertEvent> for Envelope<AlertData> {
    fn from(event: &AlertEvent) -> Self {
        let links = Links { this: format!("/v1/alerts/{}", event.alert.id) };
        let data = AlertData { alert: (&event.alert).into(), sequence: event.sequence, links };
        Self { event_type: event.kind.into(), timestamp: event.at, data }
    }
}

impl From<EventKind> for EventType {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::Fired => Self::AlertFired,
            EventKind::Escalated => Self::AlertEscalated,
            EventKind::Repeated => Self::AlertRepeated,
            EventKind::Resolved => Self::AlertResolved,
        }
    }
}

/// The bytes that are stored with an event of an alert, and sent as they are.
///
/// # Errors
/// As [`Envelope::body`]. Item and location, the only long texts of an alert, are at most
/// [`KEY_BYTES_MAX`](tidemark_domain::level::KEY_BYTES_MAX) bytes together, so that no alert of a level is too long.
pub fn body(event: &AlertEvent) -> Result<Bytes, BodyError> {
    Envelope::from(event).body()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemark_domain::alert::{Acknowledged, Muted, Reason};
    use tidemark_domain::level::{KEY_BYTES_MAX, LevelKey};
    use tidemark_domain::rule::Thresholds;
    use tidemark_domain::{TenantId, alert};

    use super::*;
    use crate::event::BODY_BYTES_MAX;

    const ALERT: &str = "alr_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const RULE: &str = "rul_01ARZ3NDEKTSV4RRFFQ69G5FAW";

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    fn instant(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("an instant")
    }

    fn threshold(severity: Severity, fires: &str, clears: &str) -> Threshold {
        Threshold { severity, fires_at_or_below: decimal(fires), clears_above: decimal(clears) }
    }

    fn firing(item: &str) -> alert::Alert {
        let thresholds = vec![threshold(Severity::Critical, "0", "2"), threshold(Severity::Warning, "10.50", "12")];
        alert::Alert {
            id: AlertId::new(ALERT).expect("an id"),
            key: LevelKey {
                tenant: TenantId::new("acme").expect("an id"),
                inventory: InventoryName::new("stock").expect("a name"),
                item: item.to_owned(),
                location: "berlin-1".to_owned(),
            },
            rule: Applied {
                rule: Some(RuleId::new(RULE).expect("an id")),
                thresholds: Thresholds::new(thresholds).expect("two in order"),
                repeat_every: None,
            },
            severity: Severity::Warning,
            state: AlertState::Firing,
            available: decimal("7.0"),
            fired_at: instant(0),
            sequence: 1,
            event_at: instant(0),
            acknowledged: None,
            muted: None,
            actions: Vec::new(),
            updated_at: instant(0),
        }
    }

    fn sent(event: &AlertEvent) -> Value {
        serde_json::from_slice(&body(event).expect("not too long")).expect("JSON")
    }

    #[test]
    fn a_fired_event_is_the_alert_with_null_for_what_has_not_happened() {
        let alert = firing("sku_42");
        let fingerprint = alert.fingerprint();
        let event = AlertEvent { kind: EventKind::Fired, sequence: 1, at: instant(0), alert };
        let expected = json!({
            "type": "inventory.alert.fired",
            "timestamp": "2027-01-15T08:00:00Z",
            "data": {
                "alert": {
                    "id": ALERT, "state": "firing", "severity": "warning",
                    "inventory": "stock", "item": "sku_42", "location": "berlin-1", "available": "7",
                    "rule": {
                        "id": RULE, "fires_at_or_below": "10.5", "clears_above": "12",
                        "levels": [
                            {"severity": "warning", "fires_at_or_below": "10.5", "clears_above": "12"},
                            {"severity": "critical", "fires_at_or_below": "0", "clears_above": "2"},
                        ],
                    },
                    "fingerprint": fingerprint, "fired_at": "2027-01-15T08:00:00Z",
                    "resolved_at": null, "resolved_reason": null, "acknowledged_at": null, "acknowledged_by": null,
                    "muted_until": null, "sequence": 1, "updated_at": "2027-01-15T08:00:00Z",
                },
                "sequence": 1,
                "links": {"self": format!("/v1/alerts/{ALERT}")},
            },
        });
        assert_eq!(sent(&event), expected);
    }

    #[test]
    fn what_has_happened_is_told() {
        let mut alert = firing("sku_42");
        alert.rule = Applied { rule: None, thresholds: Thresholds::warning_at(decimal("3")), repeat_every: None };
        alert.state = AlertState::Resolved { at: instant(9), reason: Reason::Manual { by: "key_1".to_owned(), note: None } };
        alert.acknowledged = Some(Acknowledged { at: instant(5), by: "key_2".to_owned(), note: None });
        alert.muted = Some(Muted { until: instant(60), by: "key_3".to_owned(), note: None });
        let shown = sent(&AlertEvent { kind: EventKind::Resolved, sequence: 2, at: instant(9), alert });
        assert_eq!(shown["type"], "inventory.alert.resolved");
        let alert = &shown["data"]["alert"];
        let facts = ["state", "resolved_at", "resolved_reason", "acknowledged_at", "acknowledged_by", "muted_until"];
        let facts = facts.map(|fact| alert[fact].as_str().expect("told"));
        let [nine, five, sixty] = [9, 5, 60].map(|second| instant(second).to_string());
        assert_eq!(facts, ["resolved", &nine, "manual", &five, "key_2", &sixty]);
        assert_eq!(alert["rule"]["id"], Value::Null);
        assert_eq!(alert["rule"]["fires_at_or_below"], "3");
    }

    #[test]
    fn the_longest_names_there_are_fit_a_body() {
        // What grows most from a key's bytes to JSON: quotes are doubled, and a control character's three bytes become six.
        for name in ["\"".repeat(KEY_BYTES_MAX), "\u{1}".repeat(KEY_BYTES_MAX / 3)] {
            let mut alert = firing(&name);
            alert.available = decimal("-99999999999999999999999999999999999999");
            let body = body(&AlertEvent { kind: EventKind::Escalated, sequence: u32::MAX, at: instant(0), alert });
            assert!(body.expect("not too long").len() < BODY_BYTES_MAX / 4);
        }
    }
}
