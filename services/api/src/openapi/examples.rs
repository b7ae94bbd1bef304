//! Examples that are made by the code they are examples of.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemark_domain::alert::{Acknowledged, AlertState, EventKind, Muted, Reason};
use tidemark_domain::rule::{Applied, Severity, Threshold, Thresholds};
use tidemark_domain::{Alert, AlertEvent, AlertId, Decimal, EndpointId, InventoryName, LevelKey, RuleId, TenantId};
use tidemark_webhooks::event::Envelope;
use tidemark_webhooks::payload::{self, DisabledReason};

use crate::webhooks;

const FIRED_AT: Timestamp = Timestamp::constant(1_774_862_045, 0);

/// An alert as the API shows it, and as webhooks carry it.
pub(crate) fn alert() -> Value {
    json!(payload::Alert::from(&firing()))
}

/// An alert that fires.
pub(crate) fn firing() -> Alert {
    let threshold = |severity, fires: &str, clears: &str| Threshold {
        severity,
        fires_at_or_below: decimal(fires),
        clears_above: decimal(clears),
    };
    let thresholds = vec![threshold(Severity::Warning, "10", "12"), threshold(Severity::Critical, "0", "2")];
    Alert {
        id: AlertId::new("alr_01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("an id"),
        key: LevelKey {
            tenant: TenantId::new("acme").expect("an id"),
            inventory: InventoryName::new("stock").expect("a name"),
            item: "sku_42".to_owned(),
            location: "berlin-1".to_owned(),
        },
        rule: Applied {
            rule: Some(RuleId::new("rul_01ARZ3NDEKTSV4RRFFQ69G5FAW").expect("an id")),
            thresholds: Thresholds::new(thresholds).expect("two in order"),
            repeat_every: None,
        },
        severity: Severity::Warning,
        state: AlertState::Firing,
        available: decimal("7"),
        fired_at: FIRED_AT,
        sequence: 1,
        event_at: FIRED_AT,
        acknowledged: None,
        muted: None,
        actions: Vec::new(),
        updated_at: FIRED_AT,
    }
}

/// The same with everything that can be told of it.
pub(crate) fn resolved() -> Alert {
    let (by, at) = ("k_17".to_owned(), FIRED_AT);
    Alert {
        rule: Applied { rule: None, thresholds: Thresholds::warning_at(decimal("7.5")), repeat_every: None },
        state: AlertState::Resolved { at, reason: Reason::Manual { by: by.clone(), note: None } },
        sequence: 2,
        acknowledged: Some(Acknowledged { at, by: by.clone(), note: None }),
        muted: Some(Muted { until: at, by, note: None }),
        ..firing()
    }
}

/// The body of an event about an alert.
pub(crate) fn alert_event(kind: EventKind) -> Value {
    let (sequence, alert) = match kind {
        EventKind::Fired => (1, firing()),
        EventKind::Escalated | EventKind::Repeated => (2, Alert { sequence: 2, severity: Severity::Critical, ..firing() }),
        EventKind::Resolved => (2, resolved()),
    };
    json!(Envelope::from(&AlertEvent { kind, sequence, at: FIRED_AT, alert }))
}

/// The body that tells of a disabled endpoint.
pub(crate) fn endpoint_disabled() -> Value {
    let body = payload::endpoint_disabled(&endpoint(), DisabledReason::Failing, FIRED_AT).expect("it is short");
    serde_json::from_slice(&body).expect("JSON")
}

/// The body of a test.
pub(crate) fn ping() -> Value {
    let body = webhooks::ping(&endpoint(), FIRED_AT).expect("it is short");
    serde_json::from_slice(&body).expect("JSON")
}

fn endpoint() -> EndpointId {
    EndpointId::new("ep_01ARZ3NDEKTSV4RRFFQ69G5FAY").expect("an id")
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}
