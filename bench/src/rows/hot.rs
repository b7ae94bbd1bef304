//! A hot key: every record of sixteen shards, read by four workers, adds to one total.

use std::time::Duration;

use crate::backlog;
use crate::lab::{Lab, stop};
use crate::orders::{Dates, Items, Mix, Orders};
use crate::row::{Endpoint, Row, Unit};
use crate::stub::Latency;

/// One total, and nothing else.
const ONE_TOTAL: &str = include_str!("hot/one-total.yaml");
const SHARDS: usize = 16;
const WORKERS: usize = 4;
const PER_SECOND: u32 = 1_000;
const SPAN: Duration = Duration::from_secs(8);

pub(super) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for lanes in [1, 4, 16] {
        rows.push(row(lab, lanes).await?);
    }
    Ok(rows)
}

async fn row(lab: &Lab, lanes: usize) -> anyhow::Result<Row> {
    let (workers, shards) = (lab.amount(WORKERS), lab.amount(SHARDS));
    let definitions = ONE_TOTAL.replace("lanes: 1", &format!("lanes: {lanes}"));
    let deployment = lab.on_stub(&definitions, shards, Latency::REGION).await?;
    let workers = deployment.start_workers(lab, workers, shards).await?;
    let mut orders = Orders::new(Mix { items: Items::Uniform(1), dates: Dates::Minute, tenants: 1 })?;
    let (records, usage) = backlog::hand_over(lab, &deployment, &workers, &mut orders, (PER_SECOND, SPAN)).await?;
    stop(workers).await?;
    let commits = usage.of("TransactWriteItems");
    let refused = commits.conflicts as f64 * 100.0 / commits.requests as f64;
    let what =
        format!("{SHARDS} shards, {WORKERS} workers, {PER_SECOND} records a second, one total in {lanes} lanes: refused commits");
    Ok(Row::new(format!("hot.lanes-{lanes:02}"), what, Endpoint::Stub, Unit::Percent, vec![refused])
        .with(
            "commits per 1 000 records",
            Unit::Requests,
            (commits.requests - commits.conflicts) as f64 * 1000.0 / records as f64,
        )
        .with("with refused ones, per 1 000 records", Unit::WriteUnits, commits.units * 1000.0 / records as f64))
}
