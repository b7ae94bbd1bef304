//! Alert rules: at which levels of which items somebody wants to hear. ALERTS §2.

mod book;
#[cfg(test)]
mod tests;
mod threshold;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::level::LevelKey;
use crate::name::InventoryName;

pub use crate::id::RuleId;
pub use book::{Applied, RuleBook};
pub use threshold::{LEVELS_MAX, Severity, Threshold, Thresholds};

/// Shortest time between two reminders of one alert.
pub const REPEAT_EVERY_MIN: SignedDuration = SignedDuration::from_mins(15);

/// What is wrong with a rule. Each names the field, as a path of the rule's JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("`levels` must have 1 to {LEVELS_MAX} entries, not {0}")]
    LevelCount(usize),
    #[error("`levels[{index}].severity` is `{severity}` a second time; each severity may be given once")]
    SeverityTwice { index: usize, severity: Severity },
    #[error("`levels[{index}].{field}` must be below 10^38, with at most 20 digits after the point and 38 in all")]
    OutOfRange { index: usize, field: &'static str },
    #[error("`levels[{index}].clears_above` is {clears}; it must be at least `fires_at_or_below`, which is {fires}")]
    ClearsBelowFiring { index: usize, clears: String, fires: String },
    #[error("`levels[{index}].{field}` is {severer}; a critical one must be at most the warning's, which is {milder}")]
    AboveMilder { index: usize, field: &'static str, severer: String, milder: String },
    #[error("`repeat_every` must be at least PT15M")]
    RepeatTooOften,
}

impl Error {
    /// Where, as a path of the rule's JSON: `levels[1].clears_above`.
    pub fn field(&self) -> String {
        match self {
            Self::LevelCount(_) => "levels".to_owned(),
            Self::SeverityTwice { index, .. } => format!("levels[{index}].severity"),
            Self::ClearsBelowFiring { index, .. } => format!("levels[{index}].clears_above"),
            Self::OutOfRange { index, field } | Self::AboveMilder { index, field, .. } => format!("levels[{index}].{field}"),
            Self::RepeatTooOften => "repeat_every".to_owned(),
        }
    }
}

/// A rule over what is available; the only field a rule can watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub id: RuleId,
    pub name: Option<String>,
    /// No two rules of a tenant share it.
    pub scope: Scope,
    pub thresholds: Thresholds,
    pub repeat_every: Option<RepeatEvery>,
    /// A rule that is not enabled is as if absent.
    pub enabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Raised by one with every change.
    pub version: u64,
}

/// Which levels a rule is for; `None` is every item, every location.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    pub inventory: InventoryName,
    pub item: Option<String>,
    pub location: Option<String>,
}

impl Scope {
    pub fn contains(&self, key: &LevelKey) -> bool {
        self.inventory == key.inventory
            && self.item.as_ref().is_none_or(|item| *item == key.item)
            && self.location.as_ref().is_none_or(|location| *location == key.location)
    }
}

/// How long after an alert's last event it is repeated while nobody has acknowledged it; at least [`REPEAT_EVERY_MIN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "SignedDuration", into = "SignedDuration")]
pub struct RepeatEvery(SignedDuration);

impl RepeatEvery {
    /// # Errors
    /// [`Error::RepeatTooOften`].
    pub fn new(every: SignedDuration) -> Result<Self, Error> {
        if every >= REPEAT_EVERY_MIN { Ok(Self(every)) } else { Err(Error::RepeatTooOften) }
    }

    pub fn duration(self) -> SignedDuration {
        self.0
    }

    /// The instant this long after another; `None` beyond the year 9999.
    pub fn after(self, instant: Timestamp) -> Option<Timestamp> {
        instant.checked_add(self.0).ok()
    }
}

impl TryFrom<SignedDuration> for RepeatEvery {
    type Error = Error;

    fn try_from(every: SignedDuration) -> Result<Self, Error> {
        Self::new(every)
    }
}

impl From<RepeatEvery> for SignedDuration {
    fn from(every: RepeatEvery) -> Self {
        every.0
    }
}
