//! What people and the clock do to an alert. Each act may be done twice: the second time changes nothing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Acknowledged, Alert, AlertEvent, EventKind, Latch, Muted, Reason, Standing};
use crate::level::Level;

/// Most characters of a note: an alert with all its notes must fit an event of 20 kB.
pub const NOTE_LENGTH_MAX: usize = 500;

/// Why an act is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the alert is already resolved")]
    AlreadyResolved,
    #[error("a note has at most {NOTE_LENGTH_MAX} characters")]
    NoteTooLong,
}

/// What somebody wrote about what they did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Note(String);

impl Note {
    /// # Errors
    /// [`Error::NoteTooLong`].
    pub fn new(text: &str) -> Result<Self, Error> {
        if text.chars().count() <= NOTE_LENGTH_MAX { Ok(Self(text.to_owned())) } else { Err(Error::NoteTooLong) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Note {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::new(&text)
    }
}

impl From<Note> for String {
    fn from(note: Note) -> Self {
        note.0
    }
}

/// Most acts that an alert remembers. All of them with the longest notes, of characters that JSON spells with six, are 25 kB: the alerts
/// of a commit, each with the copy in its level's row, then still fit a transaction.
pub const ACTIONS_MAX: usize = 8;

/// One act; `by` is the id of the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Stops repeats until severity rises. The first one stands.
    Acknowledge { by: String, note: Option<Note> },
    /// Ends the episode; the row must clear once before it may fire again.
    Resolve { by: String, note: Option<Note> },
    /// Stops delivery until then, and replaces an earlier mute.
    Mute { until: Timestamp, by: String, note: Option<Note> },
    /// Lets delivery go on.
    Unmute { by: String, note: Option<Note> },
    /// Announces once more, if [`Alert::repeat_at`] has come; else nothing.
    Repeat,
}

/// What somebody did about an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    pub kind: ActionKind,
    pub at: Timestamp,
    /// The id of the credential.
    pub by: String,
    pub note: Option<Note>,
}

/// What can be done about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    Acknowledged,
    Muted {
        /// Exclusive.
        until: Timestamp,
    },
    Unmuted,
    Resolved,
}

/// What came of an act that changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    /// As it is now.
    pub alert: Alert,
    pub event: Option<AlertEvent>,
}

impl Acted {
    /// How the alert's level stands now.
    pub fn standing(&self) -> Standing {
        let Alert { id, rule, severity, .. } = &self.alert;
        if self.alert.is_firing() {
            return Standing::Firing(self.alert.clone());
        }
        Standing::Latched(Latch { alert: id.clone(), rule: rule.rule.clone(), severity: *severity })
    }
}

impl Act {
    /// Does this to an alert at `at`; `None` when there is nothing to do. `level` is the alert's level as it is now, if there is one.
    ///
    /// # Errors
    /// [`Error::AlreadyResolved`] for what takes a firing alert: to acknowledge, mute and unmute.
    pub fn apply(&self, alert: &Alert, level: Option<&Level>, at: Timestamp) -> Result<Option<Acted>, Error> {
        if !alert.is_firing() {
            return match self {
                Self::Acknowledge { .. } | Self::Mute { .. } | Self::Unmute { .. } => Err(Error::AlreadyResolved),
                Self::Resolve { .. } | Self::Repeat => Ok(None),
            };
        }
        if !self.changes(alert, at) {
            return Ok(None);
        }
        let mut next = alert.clone();
        let at = next.touch(level.map(Level::available).as_ref(), at);
        next.actions.extend(self.action(at));
        let forgotten = next.actions.len().saturating_sub(ACTIONS_MAX);
        next.actions.drain(..forgotten);
        let mut event = None;
        match self.clone() {
            Self::Acknowledge { by, note } => next.acknowledged = Some(Acknowledged { at, by, note }),
            Self::Mute { until, by, note } => next.muted = Some(Muted { until, by, note }),
            Self::Unmute { .. } => next.muted = None,
            Self::Resolve { by, note } => event = Some(next.resolve(Reason::Manual { by, note }, None, at)),
            Self::Repeat => event = Some(next.announce(EventKind::Repeated)),
        }
        Ok(Some(Acted { alert: next, event }))
    }

    /// Whether there is anything to do about an alert that fires.
    fn changes(&self, alert: &Alert, at: Timestamp) -> bool {
        match self {
            Self::Acknowledge { .. } => alert.acknowledged.is_none(),
            Self::Mute { until, by, note } => {
                alert.muted.as_ref().is_none_or(|muted| (muted.until, &muted.by, &muted.note) != (*until, by, note))
            }
            Self::Unmute { .. } => alert.muted.is_some(),
            Self::Resolve { .. } => true,
            Self::Repeat => alert.repeat_at().is_some_and(|due| due <= at),
        }
    }

    /// What is remembered of it; nothing of what the clock does.
    fn action(&self, at: Timestamp) -> Option<Action> {
        let (kind, by, note) = match self {
            Self::Acknowledge { by, note } => (ActionKind::Acknowledged, by, note),
            Self::Mute { until, by, note } => (ActionKind::Muted { until: *until }, by, note),
            Self::Unmute { by, note } => (ActionKind::Unmuted, by, note),
            Self::Resolve { by, note } => (ActionKind::Resolved, by, note),
            Self::Repeat => return None,
        };
        Some(Action { kind, at, by: by.clone(), note: note.clone() })
    }
}
