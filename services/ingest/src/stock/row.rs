//! One level of a batch: as it was read, as it is by now, and what is to be told of the way there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tidemark_domain::alert::{Facts, step};
use tidemark_domain::{Alert, AlertEvent, AlertId, Level, LevelKey, Standing};
use tidemark_store::{LevelRow, LevelWrite, ulid};

/// A level's row, in the middle of a batch.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    /// `None`: there was none.
    seen: Option<LevelRow>,
    /// `None`: there shall be none.
    level: Option<Level>,
    standing: Standing,
    /// When the last record that changed it was written.
    changed_at: Timestamp,
    /// All that changed on the way, as they are by now.
    alerts: BTreeMap<AlertId, Alert>,
    events: Vec<AlertEvent>,
}

impl Row {
    pub(super) fn read(seen: Option<LevelRow>) -> Self {
        let Some(row) = &seen else { return Self::default() };
        let (level, standing, changed_at) = (Some(row.level.clone()), row.standing.clone(), row.updated_at);
        Self { seen, level, standing, changed_at, ..Self::default() }
    }

    /// The row one change later.
    pub(super) fn after(&self, facts: &Facts<'_>) -> Self {
        let mut row = self.clone();
        let (standing, events) = step(row.standing.clone(), facts, &mut mint);
        for event in &events {
            row.alerts.insert(event.alert.id.clone(), event.alert.clone());
        }
        // An alert may change without anything to tell: it is less severe now, or judged by other thresholds.
        if let Standing::Firing(alert) = &standing
            && standing != row.standing
        {
            row.alerts.insert(alert.id.clone(), alert.clone());
        }
        if standing != row.standing || row.level.as_ref() != facts.level {
            row.changed_at = facts.at;
        }
        row.level = facts.level.cloned();
        row.standing = standing;
        row.events.extend(events);
        row
    }

    /// Whether there is anything to write.
    pub(super) fn is_changed(&self) -> bool {
        let is_as_seen = match (&self.seen, &self.level) {
            (Some(seen), Some(level)) => seen.level == *level && seen.standing == self.standing,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        !(is_as_seen && self.alerts.is_empty())
    }

    /// Whether this row, which is `before` one change later, is the same.
    pub(super) fn is_same(&self, before: &Self) -> bool {
        self.level == before.level
            && self.standing == before.standing
            && self.alerts == before.alerts
            && self.events == before.events
    }

    /// How many items of a transaction it takes: the row, its alerts, the jobs that repeat them, the events.
    pub(super) fn items(&self) -> usize {
        let row = usize::from(self.seen.is_some() || self.level.is_some());
        let jobs = self.alerts.values().filter(|alert| alert.repeat_at().is_some()).count();
        row + self.alerts.len() + jobs + self.events.len()
    }

    pub(super) fn write(&self, key: &LevelKey, now: Timestamp) -> LevelWrite {
        let seen = self.seen.as_ref().map(|row| row.version);
        let row = |level: &Level| LevelRow {
            level: level.clone(),
            standing: self.standing.clone(),
            updated_at: self.changed_at,
            version: LevelRow::version_after(seen, now),
        };
        LevelWrite { key: key.clone(), seen, row: self.level.as_ref().map(row) }
    }

    pub(super) fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    pub(super) fn events(&self) -> &[AlertEvent] {
        &self.events
    }
}

/// A new alert's id. Its chance is the thread's, which a simulation seeds.
fn mint(at: Timestamp) -> AlertId {
    AlertId::from_ulid_text(&ulid(at, fastrand::u128(..))).expect("a ULID's text")
}
