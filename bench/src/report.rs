//! The result of one run of `just bench`: its rows, and what is needed to judge them later. Owns the JSON file; knows nothing of how a
//! row is measured.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::row::{Goal, Measured, Row};

pub(crate) mod chart;
pub(crate) mod compare;
mod display;
mod grid;
mod group;
mod machine;
pub(crate) mod markdown;
#[cfg(test)]
mod sample;
pub(crate) mod table;

pub(crate) use grid::Ink;
pub(crate) use machine::{Machine, revision};

/// The version of the JSON format. A change that an older reader would misread increments it.
pub(crate) const VERSION: u32 = 1;

/// One run of `just bench`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// See [`VERSION`].
    pub(crate) version: u32,
    pub(crate) started_at: Timestamp,
    /// The duration of the whole run.
    pub(crate) seconds: f64,
    pub(crate) machine: Machine,
    /// See [`revision`].
    pub(crate) revision: String,
    pub(crate) rows: Vec<Row>,
}

/// A report cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// The cause has the line and the column.
    #[error("{}: not a report of `just bench`", path.display())]
    Malformed {
        path: PathBuf,
        #[source]
        cause: serde_json::Error,
    },
    #[error("{}: the report has format version {found}, this program reads version {VERSION}; run `just bench` again", path.display())]
    Version { path: PathBuf, found: u32 },
    #[error("{}: the rows are inconsistent", path.display())]
    Inconsistent {
        path: PathBuf,
        #[source]
        cause: Fault,
    },
}

/// Why the rows cannot be compared with those of another report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("two rows have the id `{row}`")]
    DuplicateRow { row: String },
    #[error("two baselines of row `{row}` have the name `{baseline}`")]
    DuplicateBaseline { row: String, baseline: String },
    /// JSON has no spelling for infinity and NaN.
    #[error("row `{row}`: {what} is not a finite number")]
    NotFinite { row: String, what: String },
}

/// The field that is read before the others, because it decides how they are read.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl Report {
    /// A report in today's format. Take `machine` and `revision` when the run starts: a run takes minutes, and files may change meanwhile.
    pub(crate) fn new(started_at: Timestamp, seconds: f64, machine: Machine, revision: String, rows: Vec<Row>) -> Self {
        Self { version: VERSION, started_at, seconds, machine, revision, rows }
    }

    /// Reads a report from a file.
    ///
    /// # Errors
    /// When there is no such file, when it is no report, when its format has another version, or when its rows are inconsistent.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let path_buf = || path.to_owned();
        let text = fs::read_to_string(path).map_err(|cause| Error::Unreadable { path: path_buf(), cause })?;
        let malformed = |cause| Error::Malformed { path: path_buf(), cause };
        let Head { version } = serde_json::from_str(&text).map_err(malformed)?;
        if version != VERSION {
            return Err(Error::Version { path: path_buf(), found: version });
        }
        let report: Self = serde_json::from_str(&text).map_err(malformed)?;
        report.check().map_err(|cause| Error::Inconsistent { path: path_buf(), cause })?;
        Ok(report)
    }

    /// Writes the report to a file as indented JSON. Creates the folders above it.
    ///
    /// # Errors
    /// When the rows are inconsistent (nothing is written), or when the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        self.check().map_err(|cause| Error::Inconsistent { path: path.to_owned(), cause })?;
        let mut text = serde_json::to_string_pretty(self).expect("structs, sequences and finite numbers are JSON");
        text.push('\n');
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
        written.map_err(|cause| Error::Unwritable { path: path.to_owned(), cause })
    }

    fn check(&self) -> Result<(), Fault> {
        let mut ids = HashSet::new();
        for row in &self.rows {
            if !ids.insert(&row.id) {
                return Err(Fault::DuplicateRow { row: row.id.clone() });
            }
            let mut names = HashSet::new();
            if let Some(twice) = row.baselines.iter().find(|baseline| !names.insert(&baseline.what)) {
                return Err(Fault::DuplicateBaseline { row: row.id.clone(), baseline: twice.what.clone() });
            }
            if let Some((what, _)) = numbers(row).into_iter().find(|(_, number)| !number.is_finite()) {
                return Err(Fault::NotFinite { row: row.id.clone(), what });
            }
        }
        Ok(())
    }
}

/// All numbers of a row, each with its name.
fn numbers(row: &Row) -> Vec<(String, f64)> {
    let spread = |of: &str, Measured { value, min, max }: Measured| {
        [("value", value), ("min", min), ("max", max)].map(|(part, number)| (format!("{of}'s {part}"), number))
    };
    let mut numbers: Vec<(String, f64)> = spread("the row", row.measured).into();
    for baseline in &row.baselines {
        numbers.extend(spread(&format!("baseline `{}`", baseline.what), baseline.measured));
        numbers.extend(baseline.ratio.map(|ratio| (format!("baseline `{}`'s ratio", baseline.what), ratio)));
    }
    if let Some(Goal::Ratio(limit) | Goal::Value(limit)) = row.goal {
        numbers.push(("the goal".to_owned(), limit));
    }
    numbers.extend(row.details.iter().map(|detail| (format!("detail `{}`", detail.what), detail.value)));
    numbers
}

#[cfg(test)]
mod tests;
