//! Tests of rows.

use super::*;

fn row(unit: Unit) -> Row {
    Row::new("cpu.minute.shards-4", "orders", Endpoint::None, unit, vec![30.0, 10.0, 20.0])
}

#[test]
fn value_is_the_median_beside_the_extremes() {
    assert_eq!(Measured::of(vec![30.0, 10.0, 20.0]), Measured { value: 20.0, min: 10.0, max: 30.0 });
    assert_eq!(Measured::of(vec![4.0, 1.0, 2.0, 3.0]).value, 2.5);
}

#[test]
fn ratio_is_the_median_of_the_pairs_and_not_the_quotient_of_the_medians() {
    let row = row(Unit::Microseconds).against("bare", &[(10.0, 10.0), (20.0, 5.0), (30.0, 15.0)]);
    assert_eq!(row.baselines[0].ratio, Some(2.0));
    assert_eq!(row.baselines[0].measured.value, 10.0);
}

#[test]
fn baseline_of_zero_has_no_ratio() {
    let row = row(Unit::WriteUnits).against("bare", &[(10.0, 0.0), (20.0, 5.0)]).with_goal(Goal::Ratio(2.0));
    assert_eq!(row.baselines[0].ratio, None);
    assert_eq!(row.verdict(), Some(Verdict::Unmeasured));
}

#[test]
fn goal_is_a_maximum_except_for_a_throughput() {
    let reached = |unit, goal| row(unit).with_goal(Goal::Value(goal)).verdict();
    assert_eq!(reached(Unit::Milliseconds, 20.0), Some(Verdict::Met));
    assert_eq!(reached(Unit::Milliseconds, 19.0), Some(Verdict::Missed));
    assert_eq!(reached(Unit::PerSecond, 20.0), Some(Verdict::Met));
    assert_eq!(reached(Unit::PerSecond, 21.0), Some(Verdict::Missed));
    assert_eq!(row(Unit::PerSecond).verdict(), None);
}

#[test]
fn goal_for_the_ratio_is_held_against_the_first_baseline() {
    let row = row(Unit::Microseconds).against("a", &[(30.0, 10.0)]).against("b", &[(10.0, 10.0)]);
    assert_eq!(row.clone().with_goal(Goal::Ratio(2.9)).verdict(), Some(Verdict::Missed));
    assert_eq!(row.with_goal(Goal::Ratio(3.0)).verdict(), Some(Verdict::Met));
}

#[test]
fn group_is_the_part_before_the_first_dot() {
    assert_eq!(row(Unit::Percent).group(), "cpu");
    assert_eq!(Row { id: "idle".to_owned(), ..row(Unit::Percent) }.group(), "idle");
}

#[test]
fn symbol_is_the_spelling_in_json() {
    use Unit::*;
    for unit in
        [Microseconds, Milliseconds, Seconds, Megabytes, WriteUnits, ReadUnits, Requests, PerSecond, PerMinute, Percent, Times]
    {
        assert_eq!(serde_json::to_value(unit).unwrap(), unit.symbol());
    }
}
