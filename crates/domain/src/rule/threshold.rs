//! The thresholds of a rule: where an alert fires, where it clears, and how severe it is in between.

use serde::{Deserialize, Serialize};

use super::Error;
use crate::decimal::Decimal;

/// Most levels of a rule: one for each severity.
pub const LEVELS_MAX: usize = 2;

/// How bad it is. The order is that of badness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Warning,
    Critical,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One severity's threshold. Between the two values nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    pub severity: Severity,
    pub fires_at_or_below: Decimal,
    /// At least `fires_at_or_below`.
    pub clears_above: Decimal,
}

/// The thresholds of a rule, mildest first: one or two, each severity once, and a severer one nowhere above a milder one. So an
/// alert that is critical is always low enough for a warning, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Threshold>", into = "Vec<Threshold>")]
pub struct Thresholds(Vec<Threshold>);

impl Thresholds {
    /// Takes thresholds in any order.
    ///
    /// # Errors
    /// The first thing wrong; an error's index counts in the order given.
    pub fn new(given: Vec<Threshold>) -> Result<Self, Error> {
        if !(1..=LEVELS_MAX).contains(&given.len()) {
            return Err(Error::LevelCount(given.len()));
        }
        for (index, threshold) in given.iter().enumerate() {
            check(index, threshold)?;
        }
        let mut ordered: Vec<(usize, Threshold)> = given.into_iter().enumerate().collect();
        ordered.sort_by_key(|(_, threshold)| threshold.severity);
        for pair in ordered.windows(2) {
            check_pair(&pair[0], &pair[1])?;
        }
        Ok(Self(ordered.into_iter().map(|(_, threshold)| threshold).collect()))
    }

    /// A warning at or below one value that clears above it: what a row's own reorder point means.
    pub fn warning_at(value: Decimal) -> Self {
        Self(vec![Threshold { severity: Severity::Warning, fires_at_or_below: value.clone(), clears_above: value }])
    }

    /// Mildest first; at least one.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Threshold> {
        self.0.iter()
    }

    /// How severe an alert is that has been `current` (`None`: it has not been firing), now that so much is available.
    ///
    /// A severity is reached at or below where it fires, and kept up to where it clears by an alert that was at least as severe.
    /// The severest wins; `None` is all clear.
    pub fn judge(&self, available: &Decimal, current: Option<Severity>) -> Option<Severity> {
        let holds = |threshold: &&Threshold| {
            *available <= threshold.fires_at_or_below
                || (current >= Some(threshold.severity) && *available <= threshold.clears_above)
        };
        self.iter().rev().find(holds).map(|threshold| threshold.severity)
    }
}

impl TryFrom<Vec<Threshold>> for Thresholds {
    type Error = Error;

    fn try_from(given: Vec<Threshold>) -> Result<Self, Error> {
        Self::new(given)
    }
}

impl From<Thresholds> for Vec<Threshold> {
    fn from(thresholds: Thresholds) -> Self {
        thresholds.0
    }
}

fn check(index: usize, threshold: &Threshold) -> Result<(), Error> {
    let Threshold { fires_at_or_below: fires, clears_above: clears, .. } = threshold;
    for (field, value) in [("fires_at_or_below", fires), ("clears_above", clears)] {
        if !value.is_readable() {
            return Err(Error::OutOfRange { index, field });
        }
    }
    if clears < fires {
        return Err(Error::ClearsBelowFiring { index, clears: clears.to_string(), fires: fires.to_string() });
    }
    Ok(())
}

fn check_pair((first, milder): &(usize, Threshold), (second, severer): &(usize, Threshold)) -> Result<(), Error> {
    if milder.severity == severer.severity {
        return Err(Error::SeverityTwice { index: *first.max(second), severity: severer.severity });
    }
    let fields = [
        ("fires_at_or_below", &severer.fires_at_or_below, &milder.fires_at_or_below),
        ("clears_above", &severer.clears_above, &milder.clears_above),
    ];
    match fields.into_iter().find(|(_, severer, milder)| severer > milder) {
        None => Ok(()),
        Some((field, severer, milder)) => {
            Err(Error::AboveMilder { index: *second, field, severer: severer.to_string(), milder: milder.to_string() })
        }
    }
}
