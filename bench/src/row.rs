//! A row of the report: one measured value beside the values it is compared with.

use serde::{Deserialize, Serialize};

/// Where the DynamoDB calls of a row go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Endpoint {
    /// The in-memory stub of this crate.
    Stub,
    DynamodbLocal,
    /// The row makes no calls.
    None,
}

/// The unit of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    #[serde(rename = "µs")]
    Microseconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "s")]
    Seconds,
    /// 1 000 000 bytes.
    #[serde(rename = "MB")]
    Megabytes,
    /// Write units (WRU): one for each started KB of an item, twice that in a transaction.
    #[serde(rename = "WRU")]
    WriteUnits,
    /// Read units (RRU): half a unit for each started 4 KB, without strong consistency.
    #[serde(rename = "RRU")]
    ReadUnits,
    #[serde(rename = "requests")]
    Requests,
    #[serde(rename = "/s")]
    PerSecond,
    #[serde(rename = "/min")]
    PerMinute,
    #[serde(rename = "%")]
    Percent,
    #[serde(rename = "×")]
    Times,
}

/// A value, with its spread where it was measured more than once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The median of all repetitions.
    pub(crate) value: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// What a row's value is compared with, measured in the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// What it does, such as `GetRecords and nothing else`.
    pub(crate) what: String,
    /// In the row's unit.
    pub(crate) measured: Measured,
    /// The row's value divided by the baseline's: the median over the repetitions. `None` where the baseline measured zero in one of them.
    pub(crate) ratio: Option<f64>,
}

/// What the project wants a row to be at most; at least, where the unit says [`Unit::larger_is_better`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Goal {
    /// The ratio to the first baseline.
    Ratio(f64),
    /// The value itself.
    Value(f64),
}

/// Whether a row meets its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// The goal is a ratio, and the row has none.
    Unmeasured,
}

/// A further value of a row, such as a p99.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Detail {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Stable between versions, such as `cpu.minute.shards-4`: reports of two runs are compared by it. Its part before the first dot is the
    /// row's group.
    pub(crate) id: String,
    /// What was measured, in one line.
    pub(crate) what: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) unit: Unit,
    pub(crate) measured: Measured,
    pub(crate) baselines: Vec<Baseline>,
    pub(crate) goal: Option<Goal>,
    pub(crate) details: Vec<Detail>,
}

impl Endpoint {
    /// The endpoint for people; `None` for a row that makes no calls.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Stub => Some("in-memory stub"),
            Self::DynamodbLocal => Some("DynamoDB Local"),
            Self::None => None,
        }
    }
}

impl Unit {
    /// As in JSON.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Megabytes => "MB",
            Self::WriteUnits => "WRU",
            Self::ReadUnits => "RRU",
            Self::Requests => "requests",
            Self::PerSecond => "/s",
            Self::PerMinute => "/min",
            Self::Percent => "%",
            Self::Times => "×",
        }
    }

    /// True for a throughput: its goal is a minimum, and a larger ratio is an improvement. `/min` counts calls that cost money.
    pub(crate) fn larger_is_better(self) -> bool {
        self == Self::PerSecond
    }
}

impl Measured {
    /// The median and the spread of some repetitions.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) fn of(mut repetitions: Vec<f64>) -> Self {
        assert!(!repetitions.is_empty(), "at least one repetition");
        repetitions.sort_by(f64::total_cmp);
        Self { value: median(&repetitions), min: repetitions[0], max: repetitions[repetitions.len() - 1] }
    }
}

impl Row {
    /// A row without baselines, goal and details.
    pub(crate) fn new(
        id: impl Into<String>,
        what: impl Into<String>,
        endpoint: Endpoint,
        unit: Unit,
        repetitions: Vec<f64>,
    ) -> Self {
        let measured = Measured::of(repetitions);
        Self {
            id: id.into(),
            what: what.into(),
            endpoint,
            unit,
            measured,
            baselines: Vec::new(),
            goal: None,
            details: Vec::new(),
        }
    }

    /// Adds a baseline: the pairs are one repetition's own value and its baseline's, measured one after the other.
    #[must_use]
    pub(crate) fn against(mut self, what: impl Into<String>, pairs: &[(f64, f64)]) -> Self {
        let measured = Measured::of(pairs.iter().map(|(_, baseline)| *baseline).collect());
        let divisible = pairs.iter().all(|(_, baseline)| *baseline > 0.0);
        let ratio = divisible.then(|| Measured::of(pairs.iter().map(|(own, baseline)| own / baseline).collect()).value);
        self.baselines.push(Baseline { what: what.into(), measured, ratio });
        self
    }

    /// The part of the id before the first dot.
    pub(crate) fn group(&self) -> &str {
        self.id.split_once('.').map_or(&self.id, |(group, _)| group)
    }

    /// `None` where the row has no goal.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let (limit, reached) = match self.goal? {
            Goal::Ratio(limit) => (limit, self.baselines.first().and_then(|baseline| baseline.ratio)),
            Goal::Value(limit) => (limit, Some(self.measured.value)),
        };
        let Some(reached) = reached else { return Some(Verdict::Unmeasured) };
        let met = if self.unit.larger_is_better() { reached >= limit } else { reached <= limit };
        Some(if met { Verdict::Met } else { Verdict::Missed })
    }

    #[must_use]
    pub(crate) fn with_goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    #[must_use]
    pub(crate) fn with(mut self, what: impl Into<String>, unit: Unit, value: f64) -> Self {
        self.details.push(Detail { what: what.into(), unit, value });
        self
    }
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

#[cfg(test)]
mod tests;
