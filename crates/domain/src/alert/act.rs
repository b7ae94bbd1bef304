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

/// One act; `by` is the id of the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Stops repeats until severity rises. The first one stands.
    Acknowledge {
        by: String,
        note: Option<Note>,
    },
    /// Ends the episode; the row must clear once before it may fire again.
    Resolve {
        by: String,
        note: Option<Note>,
    },
    /// Stops delivery until then, and replaces an earlier mute.
    Mute {
        until: Timestamp,
        by: String,
        note: Option<Note>,
    },
    Unmute,
    /// Announces once more, if [`Alert::repeat_at`] has come; else nothing.
    Repeat,
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
                Self::Acknowledge { .. } | Self::Mute { .. } | Self::Unmute => Err(Error::AlreadyResolved),
                Self::Resolve { .. } | Self::Repeat => Ok(None),
            };
        }
        let available = level.map(Level::available);
        let mut next = alert.clone();
        let mut event = None;
        match self {
            Self::Acknowledge { by, note } => {
                next.acknowledged.get_or_insert_with(|| Acknowledged { at, by: by.clone(), note: note.clone() });
            }
            Self::Mute { until, by, note } => {
                next.muted = Some(Muted { until: *until, by: by.clone(), note: note.clone() });
            }
            Self::Unmute => next.muted = None,
            Self::Resolve { by, note } => {
                let reason = Reason::Manual { by: by.clone(), note: note.clone() };
                event = Some(next.resolve(reason, available.as_ref(), at));
            }
            Self::Repeat => {
                if next.repeat_at().is_some_and(|due| due <= at) {
                    next.touch(available.as_ref(), at);
                    event = Some(next.announce(EventKind::Repeated, at));
                }
            }
        }
        if next == *alert {
            return Ok(None);
        }
        if event.is_none() {
            next.touch(available.as_ref(), at);
        }
        Ok(Some(Acted { alert: next, event }))
    }
}
