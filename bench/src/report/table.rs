//! A report as a table for a terminal of 120 columns.

use super::grid::{Grid, Ink};
use super::group::Group;
use super::{Report, display};
use crate::row::Row;

/// The table of a report: a heading for each group, each row beside its baselines and its goal, its details below it.
pub(crate) fn table(report: &Report, ink: Ink) -> String {
    let mut grid = Grid::new(["What", "Value", "Baselines", "Goal"]);
    grid.columns();
    for group in Group::all(report) {
        grid.heading(group.heading());
        for row in &group.rows {
            let value = display::measured(row.measured, row.unit);
            grid.cells([vec![row.what.clone()], vec![value], baselines(row), vec![display::judged_goal(row)]]);
            grid.note(group.details(row));
        }
    }
    grid.text(ink)
}

/// One paragraph for each baseline.
fn baselines(row: &Row) -> Vec<String> {
    row.baselines.iter().map(|baseline| format!("{}: {}", display::baseline(baseline, row.unit), baseline.what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn plain() -> String {
        table(&sample::full(), Ink::Plain)
    }

    #[test]
    fn row_stands_beside_its_baselines_and_its_goal() {
        let text = plain();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        assert_eq!(lines[0], "What Value Baselines Goal");
        assert_eq!(lines[2], "cpu · DynamoDB Local");
        assert!(lines[3].contains("105 µs (101–110) 17.8 µs, 5.9 ×: GetRecords"), "{text}");
        assert!(lines[3].ends_with("≤ 2 × missed"), "{text}");
        assert!(lines.iter().any(|line| line.contains("250 µs, 0.418 ×: an unconditional")), "{text}");
    }

    #[test]
    fn details_stand_on_an_indented_line_of_their_own() {
        assert!(plain().contains("\n    p99 0.27 s · wall 20 s\n"), "{}", plain());
    }

    #[test]
    fn row_names_its_endpoint_where_the_group_has_several() {
        let text = plain();
        assert!(text.contains("\nvalues\n"), "{text}");
        assert!(text.contains("\n    DynamoDB Local\n"), "{text}");
    }

    #[test]
    fn every_line_fits_120_columns() {
        let text = plain();
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }
}
