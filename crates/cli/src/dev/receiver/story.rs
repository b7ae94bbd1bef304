//! A webhook in the words of one line. It reads the JSON that tenants get, as they would.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use tidemark_domain::Decimal;
use tidemark_domain::rule::{Severity, Threshold};
use tidemark_webhooks::event::EventType;

use crate::output::on_one_line;

/// What a webhook says.
#[derive(Debug)]
pub(super) struct Story {
    event_type: EventType,
    what: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    event_type: EventType,
    data: Value,
}

#[derive(Deserialize)]
struct AlertData {
    alert: Alert,
}

#[derive(Deserialize)]
struct Alert {
    item: String,
    location: String,
    available: Decimal,
    severity: Severity,
    rule: Rule,
    resolved_reason: Option<String>,
}

#[derive(Deserialize)]
struct Rule {
    levels: Vec<Threshold>,
}

impl Story {
    /// # Errors
    /// When the body is no event as Tidemark sends it.
    pub(super) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        let Event { event_type, data } = serde_json::from_slice(body)?;
        let what = match event_type {
            EventType::AlertFired | EventType::AlertEscalated | EventType::AlertRepeated | EventType::AlertResolved => {
                serde_json::from_value::<AlertData>(data)?.alert.what()
            }
            EventType::Ping => "somebody tests this endpoint".to_owned(),
            EventType::EndpointDisabled => "another endpoint of the tenant was disabled".to_owned(),
        };
        // Names come from a table that anybody may write to.
        Ok(Self { event_type, what: on_one_line(&what) })
    }

    pub(super) fn event_type(&self) -> EventType {
        self.event_type
    }

    pub(super) fn what(&self) -> &str {
        &self.what
    }
}

impl Alert {
    /// `mug@berlin is at 3, at or below 10 (warning)`, or `mug@berlin is at 40, resolved (recovered)`.
    fn what(&self) -> String {
        let Self { item, location, available, severity, rule, resolved_reason } = self;
        let row = format!("{item}@{location} is at {available}");
        let of_severity = rule.levels.iter().find(|level| level.severity == *severity);
        match (resolved_reason, of_severity) {
            (Some(reason), _) => format!("{row}, resolved ({reason})"),
            (None, Some(Threshold { fires_at_or_below, .. })) => format!("{row}, at or below {fires_at_or_below} ({severity})"),
            (None, None) => format!("{row} ({severity})"),
        }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.event_type, self.what)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(event_type: &str, alert: Value) -> String {
        let body = json!({"type": event_type, "timestamp": "2026-03-30T09:14:05Z", "data": {"alert": alert, "sequence": 1}});
        Story::read(body.to_string().as_bytes()).expect("an event").to_string()
    }

    fn alert(severity: &str, reason: Value) -> Value {
        json!({
            "item": "mug\u{1b}[2J", "location": "berlin", "available": "3", "severity": severity, "resolved_reason": reason,
            "rule": {"levels": [
                {"severity": "warning", "fires_at_or_below": "10", "clears_above": "12"},
                {"severity": "critical", "fires_at_or_below": "5", "clears_above": "5"},
            ]},
        })
    }

    #[test]
    fn an_alert_is_told_by_the_threshold_of_its_severity_and_never_clears_the_screen() {
        let row = r"mug\u001b[2J@berlin is at 3";
        let fired = told("inventory.alert.fired", alert("warning", Value::Null));
        assert_eq!(fired, format!("inventory.alert.fired  {row}, at or below 10 (warning)"));
        let escalated = told("inventory.alert.escalated", alert("critical", Value::Null));
        assert_eq!(escalated, format!("inventory.alert.escalated  {row}, at or below 5 (critical)"));
        let resolved = told("inventory.alert.resolved", alert("warning", json!("recovered")));
        assert_eq!(resolved, format!("inventory.alert.resolved  {row}, resolved (recovered)"));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for body in ["", "{}", r#"{"type":"inventory.alert.fired","data":{}}"#, r#"{"type":"other","data":{}}"#] {
            assert!(Story::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
