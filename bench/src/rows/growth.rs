//! Growth of a worker: throughput and memory by the number of shards and of tenants.
//!
//! The throughput is that of a whole core, from the CPU time of the worker while it counts the records, its polling included. The stub is on the
//! same machine, and its database takes longer for a commit than the worker does, so the clock would measure the stub. The CPU time for
//! polling alone is measured before the records come, and shown beside.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::backlog::{self, Backlog, Drained};
use crate::lab::{Lab, RETAIL, stop};
use crate::orders::{Dates, Items, Mix};
use crate::row::{Endpoint, Row, Unit};
use crate::stub::Latency;

const RECORDS: usize = 6_000;
/// How long the worker polls before the records come.
const IDLE: Duration = Duration::from_secs(3);

struct Grown {
    drained: Drained,
    /// CPU time of the worker before the records came, as a part of a core.
    idle: f64,
}

pub(super) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let alone = drain(lab, 1, 1).await?;
    let mut rows = vec![row("growth.shards-0001", "1 shard, 1 tenant", &alone)];
    for shards in [10, 100, 1_000] {
        let grown = drain(lab, shards, 1).await?;
        let row = row(&format!("growth.shards-{shards:04}"), &format!("{shards} shards, 1 tenant"), &grown);
        rows.push(row.against("1 shard, 1 tenant", &[(grown.per_core(), alone.per_core())]));
    }
    for tenants in [10, 1_000] {
        let grown = drain(lab, 1, tenants).await?;
        let row = row(&format!("growth.tenants-{tenants:04}"), &format!("1 shard, {tenants} tenants"), &grown);
        rows.push(row.against("1 shard, 1 tenant", &[(grown.per_core(), alone.per_core())]));
    }
    Ok(rows)
}

async fn drain(lab: &Lab, shards: usize, tenants: usize) -> anyhow::Result<Grown> {
    let (shards, tenants) = (lab.amount(shards), lab.amount(tenants));
    let deployment = lab.on_stub(RETAIL, shards, Latency::default()).await?;
    // The table of stock has one shard.
    let mut workers = deployment.start_workers(lab, 1, shards + 1).await?;
    let (cpu, begin) = (workers[0].process.cpu_seconds()?, Instant::now());
    sleep(lab.span(IDLE)).await;
    let idle = (workers[0].process.cpu_seconds()? - cpu) / begin.elapsed().as_secs_f64();
    let mix = Mix { items: Items::Zipf(200), dates: Dates::Minute, tenants };
    let backlog = Backlog { name: "growth", mix, records: lab.amount(RECORDS) };
    let drained = backlog::drain(lab, &deployment, &mut workers, backlog).await?;
    stop(workers).await?;
    Ok(Grown { drained, idle })
}

impl Grown {
    /// Records that one core counts in a second.
    fn per_core(&self) -> f64 {
        1e6 / self.drained.cpu_per_record()
    }
}

fn row(id: &str, what: &str, grown: &Grown) -> Row {
    Row::new(id, format!("{what}: records per second per core"), Endpoint::Stub, Unit::PerSecond, vec![grown.per_core()])
        .with("before the records: CPU time of a core", Unit::Percent, grown.idle * 100.0)
        .with("by the clock, with this stub", Unit::PerSecond, grown.drained.per_second())
        .with("peak memory", Unit::Megabytes, grown.drained.peak_megabytes)
}
