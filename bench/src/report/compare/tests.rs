//! Tests of the comparison of two reports.

use super::*;
use crate::report::sample;
use crate::row::Endpoint;

/// A row whose own value is the ratio to each of its baselines.
fn row(id: &str, unit: Unit, value: f64, baselines: &[&str]) -> Row {
    let row = Row::new(id, "what", Endpoint::None, unit, vec![value]);
    baselines.iter().fold(row, |row, name| row.against(*name, &[(value, 1.0)]))
}

fn compared(before: Vec<Row>, after: Vec<Row>) -> Comparison {
    compare(&sample::report(before), &sample::report(after))
}

/// Three rows: 10 % better, 6 % worse, and a throughput that is 20 % larger.
fn three() -> Comparison {
    let rows = |a, b, c| {
        vec![
            row("cpu.a", Unit::Microseconds, a, &["bare"]),
            row("cpu.b", Unit::Microseconds, b, &["bare"]),
            row("growth.c", Unit::PerSecond, c, &["linear"]),
        ]
    };
    compared(rows(10.0, 100.0, 0.5), rows(9.0, 106.0, 0.6))
}

fn names(changes: &[&Change]) -> Vec<String> {
    changes.iter().map(|change| change.row.clone()).collect()
}

#[test]
fn change_is_in_percent_of_the_earlier_ratio() {
    let comparison = three();
    let percents: Vec<f64> = comparison.changes.iter().map(|change| change.percent().round()).collect();
    assert_eq!(percents, [-10.0, 6.0, 20.0]);
}

#[test]
fn larger_throughput_is_no_worsening() {
    assert_eq!(names(&three().exceeding(5.0, Direction::Worse)), ["cpu.b"]);
    let smaller = compared(vec![row("a", Unit::PerSecond, 1.0, &["b"])], vec![row("a", Unit::PerSecond, 0.9, &["b"])]);
    assert_eq!(names(&smaller.exceeding(5.0, Direction::Worse)), ["a"]);
}

#[test]
fn both_directions_count_between_two_runs() {
    assert_eq!(names(&three().exceeding(8.0, Direction::Either)), ["cpu.a", "growth.c"]);
    assert!(three().exceeding(21.0, Direction::Either).is_empty());
}

#[test]
fn baselines_are_matched_by_name_and_not_by_place() {
    let unit = Unit::Seconds;
    let comparison = compared(vec![row("a", unit, 1.0, &["x", "y", "old"])], vec![row("a", unit, 1.0, &["y", "new", "x"])]);
    let compared: Vec<&str> = comparison.changes.iter().map(|change| change.baseline.as_str()).collect();
    assert_eq!(compared, ["y", "x"]);
    let unmatched = |name: &str, reason| Unmatched { row: "a".to_owned(), baseline: Some(name.to_owned()), reason };
    assert_eq!(comparison.unmatched, [unmatched("new", Reason::OnlyAfter), unmatched("old", Reason::OnlyBefore)]);
}

#[test]
fn row_of_one_report_is_listed() {
    let unit = Unit::Seconds;
    let before = vec![row("gone", unit, 1.0, &["x"]), row("other", unit, 1.0, &["x"])];
    let after = vec![row("new", unit, 1.0, &["x"]), row("other", Unit::Requests, 1.0, &["x"])];
    let comparison = compared(before, after);
    assert!(comparison.changes.is_empty());
    let unmatched = |row: &str, reason| Unmatched { row: row.to_owned(), baseline: None, reason };
    let expected =
        [unmatched("new", Reason::OnlyAfter), unmatched("other", Reason::UnitChanged), unmatched("gone", Reason::OnlyBefore)];
    assert_eq!(comparison.unmatched, expected);
}

#[test]
fn row_without_a_ratio_is_shown_and_not_judged() {
    let idle = |value| Row::new("idle.memory", "memory", Endpoint::None, Unit::Megabytes, vec![value]);
    let no_ratio = |value| Row { id: "idle.calls".to_owned(), ..idle(value) }.against("none", &[(value, 0.0)]);
    let comparison = compared(vec![idle(96.0), no_ratio(1.0)], vec![idle(960.0), no_ratio(2.0)]);
    assert!(comparison.exceeding(0.0, Direction::Either).is_empty());
    let rows: Vec<(&str, f64, f64)> = comparison.unjudged.iter().map(|u| (u.row.as_str(), u.before, u.after)).collect();
    assert_eq!(rows, [("idle.memory", 96.0, 960.0), ("idle.calls", 1.0, 2.0)]);
}

#[test]
fn ratio_that_was_zero_exceeds_every_limit() {
    let comparison = |after| compared(vec![row("a", Unit::Requests, 0.0, &["x"])], vec![row("a", Unit::Requests, after, &["x"])]);
    assert_eq!(comparison(1.0).exceeding(1e9, Direction::Worse).len(), 1);
    assert!(comparison(0.0).exceeding(0.0, Direction::Either).is_empty());
}

#[test]
fn ratio_that_is_not_a_number_exceeds_every_limit() {
    let change = Change { row: String::new(), baseline: String::new(), unit: Unit::Seconds, before: 1.0, after: f64::NAN };
    let comparison = Comparison { changes: vec![change], ..compared(Vec::new(), Vec::new()) };
    assert_eq!(comparison.exceeding(1e9, Direction::Worse).len(), 1);
}

#[test]
fn text_of_a_change_states_its_direction() {
    let text = |unit, before, after| Change { row: String::new(), baseline: String::new(), unit, before, after }.text();
    assert_eq!(text(Unit::Seconds, 1.0, 1.0527), "+5.3 % worse");
    assert_eq!(text(Unit::PerSecond, 1.0, 1.0527), "+5.3 % better");
    assert_eq!(text(Unit::PerSecond, 1.0, 0.9), "−10 % worse");
    assert_eq!(text(Unit::Seconds, 1.0, 1.0 - f64::EPSILON), "0 %");
}

#[test]
fn table_has_a_part_for_each_kind_of_row() {
    let memory = |value| Row::new("idle.memory", "memory", Endpoint::None, Unit::Megabytes, vec![value]);
    let before = vec![row("cpu.a", Unit::Seconds, 2.0, &["bare"]), memory(96.0), row("gone", Unit::Seconds, 1.0, &["bare"])];
    let after = vec![row("cpu.a", Unit::Seconds, 1.5, &["bare"]), memory(64.0), row("rate", Unit::Seconds, 1.0, &["bare"])];
    let text = compared(before, after).table(Ink::Plain);
    let lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "cpu.a bare 2 × 1.5 × −25 % better",
        "Without a ratio: not judged",
        "idle.memory 96 MB 64 MB",
        "Not compared",
        "rate only after",
        "gone only before",
    ];
    for line in expected {
        assert!(lines.iter().any(|found| found == line), "`{line}` in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
}
