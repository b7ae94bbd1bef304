//! A report as an SVG chart: one bar for each ratio, from 1 × to the ratio, on a logarithmic axis. Drawn here and not by a library:
//! `plotters` has no CSS classes, which the colours of light and dark mode need, and leaves labels, goals and values to its caller.

use super::group::Group;
use super::{Report, display};
use crate::row::{Baseline, Goal, Row, Verdict};

const WIDTH: f64 = 1120.0;
const MARGIN: f64 = 20.0;
/// The bars' space: between the labels and the values.
const LEFT: f64 = 430.0;
const RIGHT: f64 = 850.0;
/// Above the first group: title and legend.
const TOP: f64 = 78.0;
const HEADING_HEIGHT: f64 = 34.0;
const BAR_SPACE: f64 = 40.0;
const BAR_HEIGHT: f64 = 16.0;
/// Below the last bar: the axis and its title.
const BOTTOM: f64 = 62.0;
/// The characters of a label that fit in front of the bars, in its larger and its smaller font.
const LABEL_CHARS: usize = 58;
const SMALL_CHARS: usize = 64;

/// The background is part of the picture: a page may be light where the system prefers dark. Colours are spelled out and not variables,
/// because librsvg and other programs do not support variables; they draw the light mode.
const STYLE: &str = "
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .title { font-size: 17px; font-weight: 600 } .group { font-size: 14px; font-weight: 600 }
  .soft { font-size: 11.5px; fill: #59636e } .value { font-weight: 600 } .middle { text-anchor: middle }
  .back { fill: #ffffff } .grid { stroke: #d8dee4 } .one { stroke: #59636e; stroke-width: 2 }
  .none { fill: #8c959f } .met { fill: #1a7f64 } .missed { fill: #c4601d }
  .goal { stroke: #1f2328; stroke-width: 3 } .halo { stroke: #ffffff; stroke-width: 7 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .soft { fill: #9198a1 }
    .back { fill: #0d1117 } .grid { stroke: #2a313a } .one { stroke: #9198a1 }
    .none { fill: #6e7681 } .met { fill: #2ea583 } .missed { fill: #e0823d }
    .goal { stroke: #e6edf3 } .halo { stroke: #0d1117 }
  }
";

/// The chart of a report, as an SVG document. Rows without a baseline are not in it.
pub(crate) fn chart(report: &Report) -> String {
    let groups: Vec<(String, Vec<&Row>)> = Group::all(report)
        .iter()
        .map(|group| (group.heading(), group.rows.iter().copied().filter(|row| !row.baselines.is_empty()).collect()))
        .filter(|(_, rows): &(_, Vec<&Row>)| !rows.is_empty())
        .collect();
    let bars: usize = groups.iter().flat_map(|(_, rows)| rows).map(|row| row.baselines.len()).sum();
    let end = TOP + groups.len() as f64 * HEADING_HEIGHT + bars as f64 * BAR_SPACE;
    let axis = Axis::around(groups.iter().flat_map(|(_, rows)| rows.iter().copied().flat_map(marks)));
    let mut svg = head(report, end + BOTTOM);
    svg += &axis.lines(end);
    let mut y = TOP;
    for (heading, rows) in &groups {
        svg += &text(MARGIN, y + 22.0, "group", heading);
        y += HEADING_HEIGHT;
        for row in rows {
            for (index, baseline) in row.baselines.iter().enumerate() {
                svg += &bar(&axis, y, row, index, baseline);
                y += BAR_SPACE;
            }
        }
    }
    svg + "</svg>\n"
}

/// All numbers of a row that have a place on the axis.
fn marks(row: &Row) -> impl Iterator<Item = f64> {
    row.baselines.iter().filter_map(|baseline| baseline.ratio).chain(goal_ratio(row))
}

fn goal_ratio(row: &Row) -> Option<f64> {
    match row.goal? {
        Goal::Ratio(limit) => Some(limit),
        Goal::Value(_) => None,
    }
}

/// A logarithmic axis of ratios, from `low` to `high`.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// The axis that has room for some ratios, and for 1 × in any case.
    fn around(ratios: impl Iterator<Item = f64>) -> Self {
        let shown = ratios.filter(|ratio| *ratio > 0.0 && ratio.is_finite());
        let (low, high) = shown.fold((0.6, 1.6), |(low, high): (f64, f64), ratio| (low.min(ratio), high.max(ratio)));
        Self { low: low / 1.15, high: high * 1.15 }
    }

    /// The horizontal position of a ratio; a ratio of zero is at the left end.
    fn x(&self, ratio: f64) -> f64 {
        let share = (ratio.clamp(self.low, self.high) / self.low).ln() / (self.high / self.low).ln();
        LEFT + share * (RIGHT - LEFT)
    }

    /// The ratios with a line: 1, 2 and 5 of each decade, or powers of ten alone where those would be too close.
    fn ticks(&self) -> Vec<f64> {
        let decades = (self.low.log10().floor() as i32)..=(self.high.log10().ceil() as i32);
        let steps: &[f64] = if (self.high / self.low).log10() > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = decades.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
        all.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }

    fn lines(&self, end: f64) -> String {
        let mut svg = String::new();
        for tick in self.ticks() {
            let class = if tick == 1.0 { "one" } else { "grid" };
            svg += &line(self.x(tick), TOP, end + 6.0, class);
            svg += &text(self.x(tick), end + 22.0, "soft middle", &display::ratio(Some(tick)));
        }
        svg + &text(f64::midpoint(LEFT, RIGHT), end + 44.0, "soft middle", "row ÷ baseline, logarithmic scale")
    }
}

/// The picture's frame, its title, and its legend.
fn head(report: &Report, height: f64) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>Tidemark compared with its baselines</title>\n<style>{STYLE}</style>\n\
         <rect class=\"back\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n"
    );
    let run = format!("{}, {}", display::revision(report), display::minute(report.started_at));
    svg += &text(MARGIN, 34.0, "title", "Tidemark compared with its baselines");
    svg += &text(MARGIN, 56.0, "soft", &format!("{run}, {}", report.machine.line()));
    let entries = [("met", "goal met"), ("missed", "goal missed"), ("none", "no goal")];
    for (index, (class, name)) in entries.iter().enumerate() {
        let x = LEFT + 210.0 + 110.0 * index as f64;
        svg += &format!("<rect class=\"{class}\" x=\"{x}\" y=\"22\" width=\"14\" height=\"14\" rx=\"2\"/>\n");
        svg += &text(x + 20.0, 33.5, "soft", name);
    }
    svg += &line(RIGHT + 117.0, 20.0, 38.0, "goal");
    svg + &text(RIGHT + 126.0, 33.5, "soft", "goal for the ratio")
}

/// A bar with its label to the left and its values to the right. The row's name and goal are at its first bar only.
fn bar(axis: &Axis, y: f64, row: &Row, index: usize, baseline: &Baseline) -> String {
    let is_first = index == 0;
    let mut svg = format!("<g><title>{}</title>\n", escaped(&format!("{}; baseline: {}", row.what, baseline.what)));
    if is_first {
        svg += &text(MARGIN, y + 17.0, "label", &shortened(&row.what, LABEL_CHARS));
    }
    svg += &text(
        MARGIN,
        y + if is_first { 33.0 } else { 24.0 },
        "soft",
        &shortened(&format!("baseline: {}", baseline.what), SMALL_CHARS),
    );
    if let Some(ratio) = baseline.ratio {
        let (from, to) = (axis.x(ratio).min(axis.x(1.0)), axis.x(ratio).max(axis.x(1.0)));
        let (width, top) = ((to - from).max(1.0), y + (BAR_SPACE - BAR_HEIGHT) / 2.0);
        let class = match row.verdict().filter(|_| is_first) {
            Some(Verdict::Met) => "met",
            Some(Verdict::Missed) => "missed",
            Some(Verdict::Unmeasured) | None => "none",
        };
        svg += &format!(
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\" rx=\"2\"/>\n"
        );
    }
    let mut result = display::ratio(baseline.ratio);
    if let Some(goal) = display::goal(row).filter(|_| is_first) {
        result += &format!(" (goal {goal})");
    }
    if let Some(goal) = goal_ratio(row).filter(|_| is_first) {
        let (x, from, to) = (axis.x(goal), y + 8.0, y + BAR_SPACE - 8.0);
        svg += &line(x, from, to, "halo");
        svg += &line(x, from, to, "goal");
    }
    svg += &text(RIGHT + 16.0, y + 17.0, "value", &result);
    let values = [row.measured, baseline.measured].map(|measured| display::value(measured.value, row.unit));
    svg += &text(RIGHT + 16.0, y + 33.0, "soft", &values.join(", baseline "));
    svg + "</g>\n"
}

fn line(x: f64, from: f64, to: f64, class: &str) -> String {
    format!("<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{from:.1}\" x2=\"{x:.1}\" y2=\"{to:.1}\"/>\n")
}

fn text(x: f64, y: f64, class: &str, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n", escaped(text))
}

/// A text of at most `chars` characters; its end is cut. The bar's title has all of it.
fn shortened(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars - 1).collect();
    format!("{}…", kept.trim_end())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
