//! One alert with its events, and the notes of those who did something about it.

use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::alert::{self, Acknowledged, ActionKind};
use tidemark_domain::{Alert, EventId};
use tidemark_store::{Event, EventKey, EventPage, EventState};
use tidemark_webhooks::payload;
use utoipa::ToSchema;

use crate::freshness::Freshness;
use crate::openapi::{examples, shapes};

/// Most events that are shown of one alert, the last ones.
pub(super) const EVENTS_MAX: usize = 100;

/// An alert, with what happened to it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct AlertDetail {
    #[serde(flatten)]
    #[schema(value_type = shapes::Alert)]
    pub alert: payload::Alert,
    /// Of the least fresh inventory.
    pub freshness: Freshness,
    /// What people did, in order: the last 8, and the acknowledgement that stands, however long ago.
    #[schema(max_items = 9)]
    pub actions: Vec<Action>,
    /// What was announced, in order; the last 100.
    #[schema(max_items = 100)]
    pub events: Vec<AlertEventEntry>,
    /// Whether there were earlier events than those shown.
    pub events_truncated: bool,
}

/// What somebody did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertAction)]
pub(crate) struct Action {
    pub action: ActionName,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The id of the key.
    pub by: String,
    #[schema(required)]
    pub note: Option<String>,
    /// Until when it was muted; null for what is no mute.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub until: Option<Timestamp>,
}

/// What can be done about an alert.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = AlertActionName)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ActionName {
    Acknowledged,
    Muted,
    Unmuted,
    Resolved,
}

/// One event of an alert.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertEventEntry {
    /// The `webhook-id` of all its deliveries.
    #[schema(value_type = String)]
    pub id: EventId,
    /// `inventory.alert.fired` and so on.
    #[serde(rename = "type")]
    pub event_type: String,
    /// From 1, without gaps.
    #[schema(minimum = 1)]
    pub sequence: u32,
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    pub state: EventProgress,
}

/// How far an event is on its way to the endpoints.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventProgress {
    /// It is about to be sent to those that want it.
    Pending,
    /// It is old, and waits until the stream has caught up.
    Held,
    /// Every endpoint that wants it has a delivery.
    Done,
    /// It was old, and what came after tells all.
    Skipped,
}

impl AlertDetail {
    pub(super) fn of(alert: &Alert, page: EventPage, freshness: Freshness) -> Self {
        let mut events: Vec<_> = page.events.into_iter().filter_map(AlertEventEntry::of).collect();
        events.reverse();
        Self { alert: alert.into(), freshness, actions: actions(alert), events, events_truncated: page.more }
    }
}

impl AlertEventEntry {
    fn of(event: Event) -> Option<Self> {
        let EventKey::Alert { sequence, .. } = event.key else { return None };
        let state = match event.state {
            EventState::Pending => EventProgress::Pending,
            EventState::Held(_) => EventProgress::Held,
            EventState::Done => EventProgress::Done,
            EventState::Skipped => EventProgress::Skipped,
        };
        Some(Self { id: event.id, event_type: event.event_type, sequence, timestamp: event.at, state })
    }
}

impl From<&alert::Action> for Action {
    fn from(done: &alert::Action) -> Self {
        let (action, until) = match done.kind {
            ActionKind::Acknowledged => (ActionName::Acknowledged, None),
            ActionKind::Muted { until } => (ActionName::Muted, Some(until)),
            ActionKind::Unmuted => (ActionName::Unmuted, None),
            ActionKind::Resolved => (ActionName::Resolved, None),
        };
        let note = done.note.as_ref().map(|note| note.as_str().to_owned());
        Self { action, at: done.at, by: done.by.clone(), note, until }
    }
}

/// What the alert remembers of what was done, and before it the acknowledgement that stands, if that is no longer among it: whoever
/// reads this wants to know who is at it.
fn actions(alert: &Alert) -> Vec<Action> {
    let standing = alert.acknowledged.as_ref().map(|Acknowledged { at, by, note }| alert::Action {
        kind: ActionKind::Acknowledged,
        at: *at,
        by: by.clone(),
        note: note.clone(),
    });
    let forgotten = standing.iter().filter(|standing| !alert.actions.contains(standing));
    forgotten.chain(&alert.actions).map(Action::from).collect()
}

fn example() -> serde_json::Value {
    let mut example = examples::alert();
    example["freshness"] = serde_json::json!({
        "watermark": "2026-03-30T09:14:07.412Z", "lag_ms": 1800, "status": "live", "exact": true, "reasons": []
    });
    example["actions"] = serde_json::json!([{
        "action": "muted", "at": "2026-03-30T09:20:00Z", "by": "019d3e0fd6c85b9a10fe", "note": "Stocktaking.",
        "until": "2026-03-30T12:00:00Z"
    }]);
    example["events"] = serde_json::json!([{
        "id": "evt_01ARZ3NDEKTSV4RRFFQ69G5FAX", "type": "inventory.alert.fired", "sequence": 1,
        "timestamp": "2026-03-30T09:14:05Z", "state": "done"
    }]);
    example["events_truncated"] = false.into();
    example
}
