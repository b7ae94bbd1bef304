//! A report as Markdown, and its place in a document: docs/performance.md has the figures between two markers.

use super::group::Group;
use super::{Report, display};
use crate::row::Row;

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// A document has no single place for the figures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("the document has no line `{marker}`")]
    MarkerMissing { marker: &'static str },
    #[error("the document has `{marker}` {count} times; it must have it once")]
    MarkerRepeated { marker: &'static str, count: usize },
    #[error("the document has `{END}` before `{BEGIN}`")]
    MarkersReversed,
}

/// The figures of a report: where and how they were measured, then one table for each group. `commands` are the command lines that
/// repeat the measurement.
pub(crate) fn figures(report: &Report, commands: &[&str]) -> String {
    let code = |text: &&str| format!("`{text}`");
    let facts = [
        ("Machine", escaped(&report.machine.line())),
        ("Commands", commands.iter().map(code).collect::<Vec<_>>().join(", ")),
        ("Date", format!("{}, {} in all", display::minute(report.started_at), display::duration(report.seconds))),
        ("Revision", code(&display::revision(report).as_str())),
    ];
    let mut text: String = facts.iter().map(|(name, fact)| format!("- {name}: {fact}\n")).collect();
    for group in Group::all(report) {
        text += &format!("\n### {}\n\n", escaped(&group.heading()));
        text += "| What | Value | Baselines | Goal | Details |\n|---|---|---|---|---|\n";
        text.extend(group.rows.iter().map(|row| line(&group, row)));
    }
    text
}

/// Puts figures between the markers of a document, in place of those that are there.
///
/// # Errors
/// When a marker is missing or repeated, or when they are in the wrong order.
pub(crate) fn update(document: &str, figures: &str) -> Result<String, Error> {
    let (begin, end) = (only(document, BEGIN)?, only(document, END)?);
    if end < begin {
        return Err(Error::MarkersReversed);
    }
    let (before, after) = (&document[..begin + BEGIN.len()], &document[end..]);
    Ok(format!("{before}\n\n{}\n\n{after}", figures.trim()))
}

/// The position of a marker.
fn only(document: &str, marker: &'static str) -> Result<usize, Error> {
    match (document.find(marker), document.matches(marker).count()) {
        (None, _) => Err(Error::MarkerMissing { marker }),
        (Some(position), 1) => Ok(position),
        (Some(_), count) => Err(Error::MarkerRepeated { marker, count }),
    }
}

fn line(group: &Group<'_>, row: &Row) -> String {
    let baselines: Vec<String> = row
        .baselines
        .iter()
        .map(|baseline| escaped(&format!("{}: {}", baseline.what, display::baseline(baseline, row.unit))))
        .collect();
    let cells = [
        escaped(&row.what),
        display::measured(row.measured, row.unit),
        baselines.join("<br>"),
        display::judged_goal(row),
        escaped(&group.details(row).join(" · ")),
    ];
    format!("| {} |\n", cells.join(" | ")).replace("  |", " |")
}

/// A text as the content of a cell: no character ends the cell or begins an HTML tag.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::row::{Endpoint, Unit};

    #[test]
    fn figures_begin_with_the_circumstances() {
        let text = figures(&sample::full(), &["just bench", "just bench --only cpu"]);
        let lines: Vec<&str> = text.lines().take(4).collect();
        assert_eq!(
            lines,
            [
                "- Machine: AMD EPYC 7B13, 2 cores, 25.2 GB, Debian GNU/Linux 12 (bookworm), Linux 6.1.0-9",
                "- Commands: `just bench`, `just bench --only cpu`",
                "- Date: 2026-11-30 10:07 UTC, 8 min 32 s in all",
                "- Revision: `3751a76f0e2f+`",
            ]
        );
    }

    #[test]
    fn every_group_has_a_table() {
        let text = figures(&sample::full(), &[]);
        assert_eq!(text.matches("\n### ").count(), 6);
        assert_eq!(text.matches("\n|---|---|---|---|---|\n").count(), 6);
        let line = "| retail orders within a minute, both images, 4 shards | 105 µs (101–110) | GetRecords and nothing else: 17.8 µs, 5.9 ×\
                    <br>an unconditional UpdateItem per row per record: 250 µs, 0.418 × | ≤ 2 × missed | wall 140 µs |";
        assert!(text.lines().any(|found| found == line), "{text}");
    }

    #[test]
    fn every_line_of_a_table_has_five_cells() {
        let row = Row::new("a", "either | or\n<b>", Endpoint::None, Unit::Seconds, vec![1.0]);
        let text = figures(&sample::report(vec![row]), &[]);
        let line = text.lines().last().unwrap();
        assert_eq!(line, "| either \\| or &lt;b> | 1 s | | | |");
    }

    #[test]
    fn update_replaces_only_what_stands_between_the_markers() {
        let document = format!("# Title\n{BEGIN}\nold\n{END}\ntail\n");
        let updated = update(&document, "\nnew\n").unwrap();
        assert_eq!(updated, format!("# Title\n{BEGIN}\n\nnew\n\n{END}\ntail\n"));
        assert_eq!(update(&updated, "new").unwrap(), updated);
    }

    #[test]
    fn update_refuses_a_document_without_one_place() {
        let refused = |document: &str| update(document, "new").unwrap_err();
        assert_eq!(refused(END), Error::MarkerMissing { marker: BEGIN });
        assert_eq!(refused(BEGIN), Error::MarkerMissing { marker: END });
        assert_eq!(refused(&format!("{BEGIN}{END}{END}")), Error::MarkerRepeated { marker: END, count: 2 });
        assert_eq!(refused(&format!("{BEGIN}{BEGIN}{END}")), Error::MarkerRepeated { marker: BEGIN, count: 2 });
        assert_eq!(refused(&format!("{END}{BEGIN}")), Error::MarkersReversed);
    }

    #[test]
    fn figures_hold_no_marker() {
        let row = Row::new("a", BEGIN, Endpoint::None, Unit::Seconds, vec![1.0]);
        let figures = figures(&sample::report(vec![row]), &[]);
        let document = update(&format!("{BEGIN}{END}"), &figures).unwrap();
        assert!(update(&document, "new").is_ok(), "{document}");
    }
}
