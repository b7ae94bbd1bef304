//! Tests of the JSON file.

use super::*;
use crate::row::{Endpoint, Unit};

/// A path in a folder of its own, which is removed with it.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        Self(std::env::temp_dir().join(format!("tidemark-bench-{test}-{}", std::process::id())))
    }

    fn file(&self) -> PathBuf {
        self.0.join("bench").join("report.json")
    }

    /// The error, with its cause, that a file of some text is refused with.
    fn refused(&self, text: &str) -> String {
        fs::create_dir_all(self.file().parent().unwrap()).unwrap();
        fs::write(self.file(), text).unwrap();
        let error = Report::read(&self.file()).unwrap_err();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}").replace(&self.file().display().to_string(), "FILE")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn row(id: &str) -> Row {
    Row::new(id, "what", Endpoint::None, Unit::Seconds, vec![1.0])
}

#[test]
fn written_report_is_read_back() {
    let place = Place::new("round-trip");
    let mut written = sample::full();
    written.write(&place.file()).unwrap();
    let mut read = Report::read(&place.file()).unwrap();
    // Without its feature `float_roundtrip`, serde_json may read a number of 17 digits as its neighbour.
    let ratios = compare::compare(&written, &read);
    assert_eq!((ratios.changes.len(), ratios.exceeding(1e-9, compare::Direction::Either).len()), (7, 0));
    for report in [&mut written, &mut read] {
        report.rows.iter_mut().flat_map(|row| &mut row.baselines).for_each(|baseline| baseline.ratio = None);
    }
    assert_eq!(read, written);
}

#[test]
fn missing_file_is_named() {
    let error = Report::read(Path::new("/nowhere/report.json")).unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/report.json: cannot be read");
    assert!(matches!(error, Error::Unreadable { .. }));
}

#[test]
fn other_version_is_refused_before_the_fields_are_read() {
    let text = Place::new("version").refused("{\"version\": 2, \"lines\": []}");
    assert_eq!(text, "FILE: the report has format version 2, this program reads version 1; run `just bench` again");
}

#[test]
fn malformed_report_is_refused_with_line_and_column() {
    let place = Place::new("malformed");
    let json = serde_json::to_string_pretty(&sample::full()).unwrap();
    let text = place.refused(&json.replacen("\"unit\": \"µs\"", "\"unit\": \"years\"", 1));
    assert!(text.starts_with("FILE: not a report of `just bench`: unknown variant `years`"), "{text}");
    assert!(text.contains(" at line 17 column "), "{text}");
    assert!(place.refused("{}").contains("missing field `version`"));
}

#[test]
fn inconsistent_rows_are_neither_written_nor_read() {
    let place = Place::new("inconsistent");
    let fault = |rows| match sample::report(rows).write(&place.file()).unwrap_err() {
        Error::Inconsistent { cause, .. } => cause,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(vec![row("a"), row("b"), row("a")]), Fault::DuplicateRow { row: "a".to_owned() });
    let twice = row("a").against("x", &[(1.0, 1.0)]).against("x", &[(1.0, 1.0)]);
    assert_eq!(fault(vec![twice]), Fault::DuplicateBaseline { row: "a".to_owned(), baseline: "x".to_owned() });
    let infinite = row("a").with("p99", Unit::Seconds, f64::INFINITY);
    assert_eq!(fault(vec![infinite]), Fault::NotFinite { row: "a".to_owned(), what: "detail `p99`".to_owned() });
    assert!(!place.file().exists());

    let json = serde_json::to_string(&sample::report(vec![row("a"), row("a")])).unwrap();
    assert_eq!(place.refused(&json), "FILE: the rows are inconsistent: two rows have the id `a`");
}
