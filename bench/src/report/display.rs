//! The texts of numbers and values, shared by the table, the Markdown and the chart.

use jiff::Timestamp;

use super::Report;
use crate::row::{Baseline, Detail, Goal, Measured, Row, Unit, Verdict};

/// A number with three significant digits, without an exponent; thousands are separated by spaces.
pub(super) fn number(number: f64) -> String {
    if number.is_nan() {
        return "not a number".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "∞" } else { "−∞" }.to_owned();
    }
    let scientific = format!("{:.2e}", number.abs());
    let (_, exponent) = scientific.split_once('e').expect("`e` in the output of `{:e}`");
    let exponent: i32 = exponent.parse().expect("the exponent of an f64");
    let rounded: f64 = scientific.parse().expect("the output of `{:e}`");
    let decimals = usize::try_from(2 - exponent).unwrap_or(0);
    let text = format!("{rounded:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let sign = if number < 0.0 { "−" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", thousands(whole))
}

fn thousands(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A number with its unit, such as `105 µs` and `1 200/s`.
pub(super) fn value(value: f64, unit: Unit) -> String {
    let space = if unit.symbol().starts_with('/') { "" } else { " " };
    format!("{}{space}{}", number(value), unit.symbol())
}

/// A value with its spread, such as `105 µs (101–110)`. The spread is left out where it would repeat the value.
pub(super) fn measured(measured: Measured, unit: Unit) -> String {
    let (text, min, max) = (value(measured.value, unit), number(measured.min), number(measured.max));
    if min == max { text } else { format!("{text} ({min}–{max})") }
}

/// A ratio, such as `5.9 ×`.
pub(super) fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "no ratio".to_owned(), |ratio| value(ratio, Unit::Times))
}

/// A baseline's value and ratio, such as `17.8 µs, 5.9 ×`.
pub(super) fn baseline(baseline: &Baseline, unit: Unit) -> String {
    format!("{}, {}", value(baseline.measured.value, unit), ratio(baseline.ratio))
}

/// A row's goal, such as `≤ 2 ×`, and `≥ 1 000/s` for a throughput.
pub(super) fn goal(row: &Row) -> Option<String> {
    let limit = match row.goal? {
        Goal::Ratio(limit) => value(limit, Unit::Times),
        Goal::Value(limit) => value(limit, row.unit),
    };
    Some(format!("{} {limit}", if row.unit.larger_is_better() { '≥' } else { '≤' }))
}

/// A verdict in a word or two.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::Unmeasured => "not measured",
    }
}

/// A row's goal and its verdict, such as `≤ 2 × missed`; empty without a goal.
pub(super) fn judged_goal(row: &Row) -> String {
    match (goal(row), row.verdict()) {
        (Some(goal), Some(state)) => format!("{goal} {}", verdict(state)),
        _ => String::new(),
    }
}

/// A further value, such as `p99 0.27 s`; `21 requests` where the name is the unit.
pub(super) fn detail(detail: &Detail) -> String {
    let value = value(detail.value, detail.unit);
    if detail.what == detail.unit.symbol() { value } else { format!("{} {value}", detail.what) }
}

/// The minute of a time, in UTC.
pub(super) fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A duration in minutes and seconds, such as `8 min 32 s`.
pub(super) fn duration(seconds: f64) -> String {
    let rounded = seconds.round();
    let minutes = (rounded / 60.0).floor();
    let rest = rounded - minutes * 60.0;
    if minutes == 0.0 { format!("{rest} s") } else { format!("{minutes} min {rest} s") }
}

/// A revision short enough for a line: twelve digits of the commit, and the `+` of a changed folder.
pub(super) fn revision(report: &Report) -> String {
    let commit = report.revision.trim_end_matches('+');
    let short: String = commit.chars().take(12).collect();
    short + &report.revision[commit.len()..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::row::Endpoint;

    #[test]
    fn number_has_three_significant_digits_and_no_exponent() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (5.899, "5.9"),
            (17.84, "17.8"),
            (105.4, "105"),
            (0.27, "0.27"),
            (0.123_45, "0.123"),
            (0.000_012_34, "0.0000123"),
            (999.6, "1 000"),
            (1_398.0, "1 400"),
            (20_000.0, "20 000"),
            (1e9, "1 000 000 000"),
            (9.999, "10"),
            (-3.21, "−3.21"),
            (f64::INFINITY, "∞"),
            (f64::NAN, "not a number"),
        ];
        for (given, expected) in cases {
            assert_eq!(number(given), expected, "{given}");
        }
    }

    #[test]
    fn rate_has_no_space_before_its_unit() {
        assert_eq!(value(1_200.0, Unit::PerSecond), "1 200/s");
        assert_eq!(value(2.1, Unit::Percent), "2.1 %");
    }

    #[test]
    fn spread_is_left_out_where_it_repeats_the_value() {
        assert_eq!(measured(Measured { value: 105.0, min: 101.0, max: 110.0 }, Unit::Microseconds), "105 µs (101–110)");
        assert_eq!(measured(Measured { value: 105.0, min: 104.9, max: 105.1 }, Unit::Microseconds), "105 µs");
    }

    #[test]
    fn goal_of_a_throughput_is_a_minimum() {
        let row = |unit| Row::new("a", "a", Endpoint::None, unit, vec![0.5]).with_goal(Goal::Value(0.3));
        assert_eq!(judged_goal(&row(Unit::WriteUnits)), "≤ 0.3 WRU missed");
        assert_eq!(judged_goal(&row(Unit::PerSecond)), "≥ 0.3/s met");
        assert_eq!(judged_goal(&row(Unit::WriteUnits).with_goal(Goal::Ratio(2.0))), "≤ 2 × not measured");
    }

    #[test]
    fn baseline_of_zero_is_shown_without_a_ratio() {
        let row = Row::new("a", "a", Endpoint::None, Unit::WriteUnits, vec![1.0]).against("nothing", &[(1.0, 0.0)]);
        assert_eq!(baseline(&row.baselines[0], row.unit), "0 WRU, no ratio");
    }

    #[test]
    fn unit_is_not_repeated_in_a_detail() {
        let text = |what: &str, unit| detail(&Detail { what: what.to_owned(), unit, value: 21.0 });
        assert_eq!(text("requests", Unit::Requests), "21 requests");
        assert_eq!(text("p99", Unit::Milliseconds), "p99 21 ms");
    }

    #[test]
    fn duration_carries_seconds_into_minutes() {
        assert_eq!(duration(59.4), "59 s");
        assert_eq!(duration(59.6), "1 min 0 s");
        assert_eq!(duration(512.0), "8 min 32 s");
    }

    #[test]
    fn short_revision_keeps_the_mark_of_changes() {
        let revision_of = |commit: &str| revision(&Report { revision: commit.to_owned(), ..sample::report(Vec::new()) });
        assert_eq!(revision_of("0123456789abcdef+"), "0123456789ab+");
        assert_eq!(revision_of("unknown"), "unknown");
    }
}
