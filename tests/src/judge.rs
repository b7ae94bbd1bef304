//! Judges the answers that readers get, and the watermarks in them, by what writers did.
//!
//! A test notes each change of a source item when it begins and when it is acknowledged ([`Writes`]), and each [`Read`] with the
//! watermark that came with it. [`judge`] then knows for each read which versions of an item its numbers may contain:
//!
//! - the last version that was acknowledged before the watermark, because everything before the watermark is included. Stream records
//!   bear whole seconds, rounded down, so a change that is acknowledged before the watermark has a record from before the watermark, too;
//! - each later version that was begun before the answer came, because a watermark does not say that nothing more is included.
//!
//! A number may be no less than the sum over all items of the least that an admissible version contributes, and no more than the sum of
//! the most. Items are taken one by one, so no order between items is demanded.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use bigdecimal::{BigDecimal, Zero};
use jiff::Timestamp;

use crate::oracle::Cells;

/// What an item contributes that is not there.
static NOTHING: Cells = Cells::new();

/// What was done to the source.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    /// Of each item its versions, in the order of their making.
    items: BTreeMap<String, Vec<Version>>,
}

/// One version of an item, or its deletion.
#[derive(Debug, Clone)]
struct Version {
    begun_at: Timestamp,
    /// `None`: it may have been carried out, or will be, or not.
    acknowledged_at: Option<Timestamp>,
    contribution: Cells,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Read {
    pub begun_at: Timestamp,
    pub answered_at: Timestamp,
    /// What the answer says: every change before it is included.
    pub watermark: Option<Timestamp>,
    /// Whether the answer says that its numbers are exact.
    pub exact: bool,
    /// All numbers. A cell that is not there is zero.
    pub cells: Cells,
    /// The cells that the answer says are complete: whose time ended before the watermark.
    pub complete: BTreeSet<String>,
}

/// Something in an answer that is not true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("at {at} the watermark is {after:?}, after it was {before}")]
    Backwards { at: Timestamp, before: Timestamp, after: Option<Timestamp> },
    #[error("at {at} the watermark is {watermark}, which is in the future")]
    InFuture { at: Timestamp, watermark: Timestamp },
    #[error("at {at}, with the watermark {watermark:?}, {cell} is exactly {value}, and must be in {least}..={most}")]
    OutOfBounds {
        at: Timestamp,
        watermark: Option<Timestamp>,
        cell: String,
        value: BigDecimal,
        least: BigDecimal,
        most: BigDecimal,
    },
    #[error(
        "at {at}, with the watermark {watermark:?}, {cell} is complete and exactly {value}, and becomes {later} by earlier changes"
    )]
    NotComplete { at: Timestamp, watermark: Option<Timestamp>, cell: String, value: BigDecimal, later: BigDecimal },
}

impl Writes {
    /// A change of an item begins. `contribution` is what the new version contributes to each cell; a deleted item contributes nothing.
    /// The changes of one item follow one another.
    pub fn begin(&mut self, item: &str, contribution: Cells, now: Timestamp) {
        let version = Version { begun_at: now, acknowledged_at: None, contribution };
        self.items.entry(item.to_owned()).or_default().push(version);
    }

    /// The last change of an item that was begun is acknowledged.
    ///
    /// # Panics
    /// When there is none.
    pub fn acknowledge(&mut self, item: &str, now: Timestamp) {
        let versions = self.items.get_mut(item).expect("a change that was begun");
        versions.last_mut().expect("a change that was begun").acknowledged_at = Some(now);
    }

    /// When the last change was acknowledged.
    pub fn last_acknowledged_at(&self) -> Option<Timestamp> {
        self.items.values().flatten().filter_map(|version| version.acknowledged_at).max()
    }

    /// The least and the most that each cell may hold in a read that says it is exact.
    fn bounds(&self, read: &Read) -> BTreeMap<&str, (BigDecimal, BigDecimal)> {
        let mut bounds = BTreeMap::new();
        for versions in self.items.values() {
            let is_before = |version: &Version| version.acknowledged_at.is_some_and(|at| Some(at) < read.watermark);
            let included = versions.iter().rposition(is_before);
            let first = included.map_or(&NOTHING, |included| &versions[included].contribution);
            let later = &versions[included.map_or(0, |included| included + 1)..];
            let begun = later.iter().filter(|version| version.begun_at <= read.answered_at);
            let admissible: Vec<&Cells> = begun.map(|version| &version.contribution).chain([first]).collect();
            let cells: BTreeSet<&String> = admissible.iter().flat_map(|cells| cells.keys()).collect();
            for cell in cells {
                let values = || admissible.iter().map(|cells| cells.get(cell).cloned().unwrap_or_default());
                let (least, most) = bounds.entry(cell.as_str()).or_insert_with(|| (BigDecimal::zero(), BigDecimal::zero()));
                *least += values().min().expect("one version is admissible");
                *most += values().max().expect("one version is admissible");
            }
        }
        bounds
    }

    /// Whether every change of a cell was acknowledged before an instant.
    fn are_all_before(&self, cell: &str, instant: Option<Timestamp>) -> bool {
        let changes_cell = |version: &Version| version.contribution.contains_key(cell);
        self.items
            .values()
            .filter(|versions| versions.iter().any(changes_cell))
            .flatten()
            .all(|version| version.acknowledged_at.is_some_and(|at| Some(at) < instant))
    }
}

/// What is not true in the answers to these reads. True is:
///
/// 1. The watermark of a read that is begun after another was answered is not before that one's.
/// 2. No watermark is in the future when the answer comes. One clock has to be read for all times.
/// 3. The numbers of an exact read are within their bounds; see the module.
/// 4. A cell that an exact read says is complete is what the last exact read says, if all its changes were acknowledged before the
///    watermark of the former.
pub fn judge(writes: &Writes, reads: &[Read]) -> Vec<Violation> {
    let mut violations = backwards(reads);
    let last = reads.iter().filter(|read| read.exact).max_by_key(|read| read.answered_at);
    for read in reads {
        let at = read.answered_at;
        if let Some(watermark) = read.watermark.filter(|watermark| *watermark > at) {
            violations.push(Violation::InFuture { at, watermark });
        }
        if read.exact {
            violations.extend(out_of_bounds(writes, read));
            violations.extend(last.into_iter().flat_map(|last| not_complete(writes, read, last)));
        }
    }
    violations
}

/// How many violations there are, and the first of each kind, in words; nothing where there is none.
pub fn summary(violations: &[Violation]) -> Vec<String> {
    let mut kinds = Vec::new();
    let first_of_kinds = violations.iter().filter(|violation| {
        let kind = discriminant(*violation);
        let is_new = !kinds.contains(&kind);
        kinds.extend(is_new.then_some(kind));
        is_new
    });
    let mut summary: Vec<String> = first_of_kinds.map(ToString::to_string).collect();
    if !summary.is_empty() {
        summary.insert(0, format!("{} violations; the first of each kind:", violations.len()));
    }
    summary
}

fn backwards(reads: &[Read]) -> Vec<Violation> {
    let mut by_beginning: Vec<&Read> = reads.iter().collect();
    by_beginning.sort_by_key(|read| read.begun_at);
    let mut by_answer = by_beginning.clone();
    by_answer.sort_by_key(|read| read.answered_at);
    let (mut answered, mut highest, mut violations) = (by_answer.into_iter().peekable(), None, Vec::new());
    for read in by_beginning {
        while let Some(before) = answered.next_if(|before| before.answered_at < read.begun_at) {
            highest = highest.max(before.watermark);
        }
        if let Some(before) = highest.filter(|_| read.watermark < highest) {
            violations.push(Violation::Backwards { at: read.answered_at, before, after: read.watermark });
        }
    }
    violations
}

fn out_of_bounds(writes: &Writes, read: &Read) -> Vec<Violation> {
    let bounds = writes.bounds(read);
    let zero = || (BigDecimal::zero(), BigDecimal::zero());
    let cells: BTreeSet<&str> = bounds.keys().copied().chain(read.cells.keys().map(String::as_str)).collect();
    let judged = cells.into_iter().filter_map(|cell| {
        let (least, most) = bounds.get(cell).cloned().unwrap_or_else(zero);
        let value = read.cells.get(cell).cloned().unwrap_or_default();
        let (at, watermark, cell) = (read.answered_at, read.watermark, cell.to_owned());
        (value < least || value > most).then_some(Violation::OutOfBounds { at, watermark, cell, value, least, most })
    });
    judged.collect()
}

fn not_complete(writes: &Writes, read: &Read, last: &Read) -> Vec<Violation> {
    let judged = read.complete.iter().filter_map(|cell| {
        let [value, later] = [read, last].map(|read| read.cells.get(cell).cloned().unwrap_or_default());
        let (at, watermark) = (read.answered_at, read.watermark);
        (value != later && writes.are_all_before(cell, watermark)).then(|| Violation::NotComplete {
            at,
            watermark,
            cell: cell.clone(),
            value,
            later,
        })
    });
    judged.collect()
}
