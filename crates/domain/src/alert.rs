//! Alerts: one episode of a level being low, from firing to resolved, and what is said about it. ALERTS §3.
//!
//! An alert is changed in two ways alone: [`step`] follows the level and the rules, [`Act`] is what people and the clock do.

mod act;
mod step;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::decimal::Decimal;
use crate::id::RuleId;
use crate::level::LevelKey;
use crate::rule::{Applied, Severity};

pub use crate::id::AlertId;
pub use act::{ACTIONS_MAX, Act, Acted, Action, ActionKind, Error, NOTE_LENGTH_MAX, Note};
pub use step::{Facts, step};

/// One episode. Its JSON is what is stored; fields that a later version adds are ignored by this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    pub id: AlertId,
    pub key: LevelKey,
    /// What decided, as it was when it last did.
    pub rule: Applied,
    pub severity: Severity,
    pub state: AlertState,
    /// How much was available when the alert last changed. What is available now is the level's to say: a firing alert is not
    /// written again for every sale.
    pub available: Decimal,
    pub fired_at: Timestamp,
    /// The number of its last event, from 1.
    pub sequence: u32,
    /// When its last event was. The events of an alert never run backwards: none is taken for older than one that was already sent.
    pub event_at: Timestamp,
    /// Who has taken notice; a rise in severity clears it.
    pub acknowledged: Option<Acknowledged>,
    pub muted: Option<Muted>,
    /// What people did about it, in order: the last [`ACTIONS_MAX`]. Alerts of before there was this list have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// When it last changed in any way. Nothing happened to it later, and nothing will have happened earlier, whatever the clocks: a
    /// record knows its second alone, and may be read long after somebody has acted.
    pub updated_at: Timestamp,
}

/// Whether an episode goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    Firing,
    Resolved { at: Timestamp, reason: Reason },
}

/// Why an episode ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There is enough again.
    Recovered,
    /// Somebody said so. The row must clear once before it may fire again.
    Manual {
        by: String,
        note: Option<Note>,
    },
    /// Another rule applies now, or the same with other thresholds, by which there is enough.
    RuleChanged,
    RuleDeleted,
    /// The level's item is gone from its source.
    ItemDeleted,
}

impl Reason {
    /// The reason as the API names it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Manual { .. } => "manual",
            Self::RuleChanged => "rule_changed",
            Self::RuleDeleted => "rule_deleted",
            Self::ItemDeleted => "item_deleted",
        }
    }
}

/// Somebody has taken notice: no more repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub at: Timestamp,
    pub by: String,
    pub note: Option<Note>,
}

/// Nothing is delivered for a while; everything is recorded all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Muted {
    /// Exclusive.
    pub until: Timestamp,
    pub by: String,
    pub note: Option<Note>,
}

/// How a level stands with its alert; a part of the level's row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "half a kilobyte a row, and rows are at hand by the hundred at most")]
pub enum Standing {
    #[default]
    Clear,
    Firing(Alert),
    /// Resolved by hand while low.
    Latched(Latch),
}

/// What keeps a row that was resolved by hand from firing again before it has cleared once.
///
/// It is no alert: the resolved one is history and is not written any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latch {
    /// The alert that was resolved.
    pub alert: AlertId,
    /// The rule by which the row is still low; `None`: its own reorder point.
    pub rule: Option<RuleId>,
    /// How severe an alert would be.
    pub severity: Severity,
}

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Fired,
    Escalated,
    Repeated,
    Resolved,
}

impl EventKind {
    /// The last part of the event's type, `inventory.alert.fired`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Escalated => "escalated",
            Self::Repeated => "repeated",
            Self::Resolved => "resolved",
        }
    }
}

/// One thing to announce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertEvent {
    pub kind: EventKind,
    /// From 1, without gaps in an alert.
    pub sequence: u32,
    pub at: Timestamp,
    /// As it stood right after.
    pub alert: Alert,
}

/// The name that all episodes of one rule and one level share: 32 hexadecimal digits.
pub fn fingerprint(rule: Option<&RuleId>, key: &LevelKey) -> String {
    let rule = rule.map_or("reorder_point", RuleId::as_str);
    let text = format!("{}#{}#{}#{rule}", key.tenant.as_str(), key.inventory, key.encoded());
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Alert {
    pub fn fingerprint(&self) -> String {
        fingerprint(self.rule.rule.as_ref(), &self.key)
    }

    pub fn is_firing(&self) -> bool {
        self.state == AlertState::Firing
    }

    pub fn is_muted(&self, at: Timestamp) -> bool {
        self.muted.as_ref().is_some_and(|muted| at < muted.until)
    }

    /// When it is to be repeated: its rule's `repeat_every` after its last event, while it fires and nobody has acknowledged it.
    pub fn repeat_at(&self) -> Option<Timestamp> {
        let waits = self.is_firing() && self.acknowledged.is_none();
        self.rule.repeat_every.filter(|_| waits)?.after(self.event_at)
    }

    /// Notes when the alert changed, and how much was available then, if there is a level to say so. Gives the instant that is noted.
    fn touch(&mut self, available: Option<&Decimal>, at: Timestamp) -> Timestamp {
        self.available = available.unwrap_or(&self.available).clone();
        self.updated_at = self.updated_at.max(at);
        self.updated_at
    }

    /// The next event of this alert, which has just been changed, and touched, to be what the event says.
    fn announce(&mut self, kind: EventKind) -> AlertEvent {
        self.sequence += 1;
        self.event_at = self.updated_at;
        AlertEvent { kind, sequence: self.sequence, at: self.event_at, alert: self.clone() }
    }

    /// Ends the episode.
    fn resolve(&mut self, reason: Reason, available: Option<&Decimal>, at: Timestamp) -> AlertEvent {
        self.state = AlertState::Resolved { at: self.touch(available, at), reason };
        self.announce(EventKind::Resolved)
    }
}
