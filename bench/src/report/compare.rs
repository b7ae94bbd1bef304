//! Two reports side by side, by the ratios to their baselines: a ratio depends less on the machine and its load than a value does.

use super::grid::{Grid, Ink};
use super::{Report, display};
use crate::row::{Baseline, Row, Unit};

/// How far two reports differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    /// Revision, date and machine of each report.
    pub(crate) before: String,
    pub(crate) after: String,
    /// One for each row and baseline that have a ratio in both reports, in the order of the later report.
    pub(crate) changes: Vec<Change>,
    /// Rows of both reports without such a baseline.
    pub(crate) unjudged: Vec<Unjudged>,
    pub(crate) unmatched: Vec<Unmatched>,
}

/// The change of a row's ratio to one baseline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// The row's id.
    pub(crate) row: String,
    /// The baseline's name.
    pub(crate) baseline: String,
    /// The row's unit.
    pub(crate) unit: Unit,
    /// The ratio in each report.
    pub(crate) before: f64,
    pub(crate) after: f64,
}

/// A row that is shown and not judged: its value depends on the machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unjudged {
    pub(crate) row: String,
    pub(crate) unit: Unit,
    /// The value in each report.
    pub(crate) before: f64,
    pub(crate) after: f64,
}

/// A row, or one of its baselines, that the two reports do not both have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unmatched {
    pub(crate) row: String,
    /// `None`: the whole row.
    pub(crate) baseline: Option<String>,
    pub(crate) reason: Reason,
}

/// Why a row or a baseline is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    OnlyBefore,
    OnlyAfter,
    /// The reports have it in different units.
    UnitChanged,
}

/// The changes that a limit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// For two runs of the same code.
    Either,
    /// For a change of the code.
    Worse,
}

/// Compares two reports.
pub(crate) fn compare(before: &Report, after: &Report) -> Comparison {
    let line = |report: &Report| {
        format!("{}, {}, {}", display::revision(report), display::minute(report.started_at), report.machine.line())
    };
    let mut comparison =
        Comparison { before: line(before), after: line(after), changes: Vec::new(), unjudged: Vec::new(), unmatched: Vec::new() };
    for new in &after.rows {
        match before.rows.iter().find(|old| old.id == new.id) {
            Some(old) if old.unit == new.unit => comparison.rows(old, new),
            Some(_) => comparison.unmatched(new, None, Reason::UnitChanged),
            None => comparison.unmatched(new, None, Reason::OnlyAfter),
        }
    }
    for old in &before.rows {
        if after.rows.iter().all(|new| new.id != old.id) {
            comparison.unmatched(old, None, Reason::OnlyBefore);
        }
    }
    comparison
}

impl Comparison {
    /// The changes of more than a limit. Rows that are not judged never exceed one: see `unmatched`, too.
    pub(crate) fn exceeding(&self, limit_percent: f64, direction: Direction) -> Vec<&Change> {
        let exceeds = |change: &&Change| {
            let size = match direction {
                Direction::Either => change.percent().abs(),
                Direction::Worse => change.worse_percent(),
            };
            size.is_nan() || size > limit_percent
        };
        self.changes.iter().filter(exceeds).collect()
    }

    /// The comparison as a table for a terminal of 120 columns.
    pub(crate) fn table(&self, ink: Ink) -> String {
        let mut grid = Grid::new(["Row", "Baseline", "Before", "After", "Change"]);
        grid.heading("Comparison".to_owned());
        grid.note(vec![format!("before: {}", self.before)]);
        grid.note(vec![format!("after:  {}", self.after)]);
        grid.columns();
        let cells = |texts: [&str; 5]| texts.map(|text| vec![text.to_owned()]);
        for change in &self.changes {
            let [before, after] = [change.before, change.after].map(|ratio| display::ratio(Some(ratio)));
            grid.cells(cells([&change.row, &change.baseline, &before, &after, &change.text()]));
        }
        if !self.unjudged.is_empty() {
            grid.heading("Without a ratio: not judged".to_owned());
        }
        for Unjudged { row, unit, before, after } in &self.unjudged {
            grid.cells(cells([row, "", &display::value(*before, *unit), &display::value(*after, *unit), ""]));
        }
        if !self.unmatched.is_empty() {
            grid.heading("Not compared".to_owned());
        }
        for Unmatched { row, baseline, reason } in &self.unmatched {
            grid.cells(cells([row, baseline.as_deref().unwrap_or_default(), "", "", reason.text()]));
        }
        grid.text(ink)
    }

    fn rows(&mut self, old: &Row, new: &Row) {
        let judged = self.changes.len();
        for (baseline, after) in ratios(new) {
            match ratios(old).find(|(name, _)| *name == baseline) {
                Some((_, before)) => self.changes.push(Change {
                    row: new.id.clone(),
                    baseline: baseline.to_owned(),
                    unit: new.unit,
                    before,
                    after,
                }),
                None => self.unmatched(new, Some(baseline), Reason::OnlyAfter),
            }
        }
        for (baseline, _) in ratios(old) {
            if ratios(new).all(|(name, _)| name != baseline) {
                self.unmatched(old, Some(baseline), Reason::OnlyBefore);
            }
        }
        if self.changes.len() == judged {
            let (before, after) = (old.measured.value, new.measured.value);
            self.unjudged.push(Unjudged { row: new.id.clone(), unit: new.unit, before, after });
        }
    }

    fn unmatched(&mut self, row: &Row, baseline: Option<&str>, reason: Reason) {
        self.unmatched.push(Unmatched { row: row.id.clone(), baseline: baseline.map(str::to_owned), reason });
    }
}

impl Change {
    /// The change of the ratio in percent of the earlier one: infinite if that was zero and the later one is not.
    pub(crate) fn percent(&self) -> f64 {
        if self.before == self.after {
            0.0
        } else if self.before == 0.0 {
            f64::INFINITY
        } else {
            (self.after / self.before - 1.0) * 100.0
        }
    }

    /// The change in percent, positive where it is for the worse.
    pub(crate) fn worse_percent(&self) -> f64 {
        if self.unit.larger_is_better() { -self.percent() } else { self.percent() }
    }

    /// Rounded to a tenth of a percent, such as `+5.3 % worse`.
    fn text(&self) -> String {
        let rounded = |percent: f64| (percent * 10.0).round() / 10.0;
        let (percent, worse) = (rounded(self.percent()), rounded(self.worse_percent()));
        let sign = if percent > 0.0 { "+" } else { "" };
        let judgement = match worse {
            worse if worse > 0.0 => " worse",
            worse if worse < 0.0 => " better",
            _ => "",
        };
        format!("{sign}{}{judgement}", display::value(percent, Unit::Percent))
    }
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::OnlyBefore => "only before",
            Self::OnlyAfter => "only after",
            Self::UnitChanged => "unit changed",
        }
    }
}

/// The baselines of a row that have a ratio, by name.
fn ratios(row: &Row) -> impl Iterator<Item = (&str, f64)> {
    row.baselines.iter().filter_map(|Baseline { what, ratio, .. }| Some((what.as_str(), (*ratio)?)))
}

#[cfg(test)]
mod tests;
