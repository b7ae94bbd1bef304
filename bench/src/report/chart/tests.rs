//! Tests of the chart. They read the SVG as text; how it looks was judged by eye.

use super::*;
use crate::report::sample;
use crate::row::{Endpoint, Unit};

fn row(id: &str, ratio: f64) -> Row {
    Row::new(id, "what", Endpoint::None, Unit::Seconds, vec![ratio]).against("bare", &[(ratio, 1.0)])
}

/// The numbers of an attribute in the elements of a class.
fn attribute(svg: &str, class: &str, name: &str) -> Vec<f64> {
    let elements = svg.lines().filter(|line| line.contains(&format!("class=\"{class}\"")));
    let value = |line: &str| line.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split('"').next()?.parse().ok());
    elements.filter_map(value).collect()
}

#[test]
fn every_ratio_has_a_bar() {
    let svg = chart(&sample::full());
    let legend = 3;
    let bars: usize = ["met", "missed", "none"].iter().map(|class| attribute(&svg, class, "width").len()).sum();
    assert_eq!(bars - legend, 7, "{svg}");
    assert!(svg.contains("no ratio"), "{svg}");
    assert!(!svg.contains("memory of an idle worker"), "a row without a baseline: {svg}");
    assert!(!svg.contains("freshness"), "a group without a baseline: {svg}");
}

#[test]
fn bar_reaches_from_one_to_the_ratio() {
    let svg = chart(&sample::report(vec![row("a.1", 4.0), row("a.2", 0.25)]));
    let one = attribute(&svg, "one", "x1")[0];
    let (starts, widths) = (attribute(&svg, "none", "x"), attribute(&svg, "none", "width"));
    let [_, larger, smaller] = [0, 1, 2].map(|bar| (starts[bar], starts[bar] + widths[bar]));
    assert!((larger.0 - one).abs() < 0.2 && (smaller.1 - one).abs() < 0.2, "{svg}");
    assert!((widths[1] - widths[2]).abs() < 0.2, "4 and 1/4 are as far from 1 on a logarithmic axis: {svg}");
}

#[test]
fn goal_has_a_mark_only_where_it_is_a_ratio() {
    let goals = |goal| attribute(&chart(&sample::report(vec![row("a", 4.0).with_goal(goal)])), "goal", "x1").len();
    let legend = 1;
    assert_eq!(goals(Goal::Ratio(2.0)), legend + 1);
    assert_eq!(goals(Goal::Value(2.0)), legend);
}

#[test]
fn goal_for_the_value_colours_the_bar() {
    let svg = chart(&sample::report(vec![row("a", 4.0).with_goal(Goal::Value(2.0))]));
    let legend = 1;
    assert_eq!(attribute(&svg, "missed", "width").len(), legend + 1);
    assert!(svg.contains(">4 × (goal ≤ 2 s)<"), "{svg}");
}

#[test]
fn goal_is_for_the_first_baseline() {
    let row = row("a", 4.0).against("second", &[(4.0, 4.0)]).with_goal(Goal::Ratio(2.0));
    let svg = chart(&sample::report(vec![row]));
    let legend = 1;
    assert_eq!(attribute(&svg, "missed", "width").len(), legend + 1);
    assert_eq!(attribute(&svg, "none", "width").len(), legend + 1);
    assert_eq!(attribute(&svg, "goal", "x1").len(), legend + 1);
}

#[test]
fn everything_stays_inside_the_bars_space() {
    // The first bar and the first goal are the legend's.
    let svg = chart(&sample::report(vec![row("a.1", 1e-3), row("a.2", 1e6), row("a.3", 0.0).with_goal(Goal::Ratio(1e7))]));
    let (starts, widths) = (attribute(&svg, "none", "x"), attribute(&svg, "none", "width"));
    assert!(starts.iter().all(|x| *x >= LEFT), "{svg}");
    assert!(starts.iter().zip(&widths).skip(1).all(|(x, width)| x + width <= RIGHT), "{svg}");
    assert!(attribute(&svg, "goal", "x1").iter().skip(1).all(|x| *x <= RIGHT), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn ticks_thin_out_over_many_decades() {
    assert_eq!(Axis { low: 0.5, high: 12.0 }.ticks(), [0.5, 1.0, 2.0, 5.0, 10.0]);
    assert_eq!(Axis { low: 0.5, high: 1_200.0 }.ticks(), [1.0, 10.0, 100.0, 1_000.0]);
}

#[test]
fn report_without_ratios_is_a_chart_without_bars() {
    let svg = chart(&sample::report(Vec::new()));
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn texts_are_escaped_and_shortened() {
    let long = format!("a < b & c {}", "long ".repeat(20));
    let named = Row { what: long.clone(), ..row("a", 2.0) };
    let svg = chart(&sample::report(vec![named]));
    assert!(svg.contains(">a &lt; b &amp; c long") && svg.contains("…</text>"), "{svg}");
    assert!(svg.contains(&format!("<title>{}; baseline: bare</title>", escaped(&long))), "{svg}");
}
