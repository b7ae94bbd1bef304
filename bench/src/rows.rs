//! The rows of the report: what is measured, and how.

mod freshness;
mod growth;
mod hot;
mod records;
mod start;
mod units;
mod values;

use clap::ValueEnum;

use crate::lab::Lab;
use crate::row::Row;

/// Rows that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// CPU time per record.
    Cpu,
    /// Write units and requests per 1 000 records.
    Units,
    /// The time until a change is in an answer, and until an alert is delivered.
    Freshness,
    /// CPU time and latency of the API per request.
    Values,
    /// One row that every record adds to, by lanes.
    Hot,
    /// Throughput and memory by the number of shards and tenants.
    Growth,
    /// Workloads that have nothing to do, and their sizes.
    Start,
}

impl Group {
    /// Measures the rows of the group.
    ///
    /// # Errors
    /// When a process fails or a number is wrong.
    pub(crate) async fn measure(self, lab: &Lab) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::Cpu => records::measure(lab).await,
            Self::Units => units::measure(lab).await,
            Self::Freshness => Box::pin(freshness::measure(lab)).await,
            Self::Values => values::measure(lab).await,
            Self::Hot => hot::measure(lab).await,
            Self::Growth => growth::measure(lab).await,
            Self::Start => start::measure(lab).await,
        }
    }
}
