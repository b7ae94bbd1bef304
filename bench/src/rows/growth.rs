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
use crate::row::{Endpoint, Measured, Row, Unit};
use crate::stub::Latency;

const RECORDS: usize = 2_500;
const REPETITIONS: usize = 3;
/// How long the worker polls before the records come.
const IDLE: Duration = Duration::from_secs(1);
/// What the others are compared with.
const ALONE: Size = Size { shards: 1, tenants: 1 };
const SIZES: [Size; 5] = [
    Size { shards: 10, tenants: 1 },
    Size { shards: 100, tenants: 1 },
    Size { shards: 1_000, tenants: 1 },
    Size { shards: 1, tenants: 10 },
    Size { shards: 1, tenants: 1_000 },
];

#[derive(Debug, Clone, Copy)]
struct Size {
    shards: usize,
    tenants: usize,
}

struct Grown {
    drained: Drained,
    /// CPU time of the worker before the records came, as a part of a core.
    idle: f64,
}

pub(super) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let (mut alone, mut grown) = (Vec::new(), SIZES.map(|_| Vec::new()));
    for _ in 0..lab.repetitions(REPETITIONS) {
        alone.push(drain(lab, ALONE).await?);
        for (size, grown) in SIZES.into_iter().zip(&mut grown) {
            grown.push(drain(lab, size).await?);
        }
    }
    let mut rows = vec![ALONE.row(&alone)];
    for (size, grown) in SIZES.into_iter().zip(&grown) {
        let pairs: Vec<(f64, f64)> = grown.iter().map(Grown::per_core).zip(alone.iter().map(Grown::per_core)).collect();
        rows.push(size.row(grown).against(ALONE.name(), &pairs));
    }
    Ok(rows)
}

async fn drain(lab: &Lab, size: Size) -> anyhow::Result<Grown> {
    let (shards, tenants) = (lab.amount(size.shards), lab.amount(size.tenants));
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

impl Size {
    fn name(self) -> String {
        let plural = |count, of: &str| if count == 1 { format!("1 {of}") } else { format!("{count} {of}s") };
        format!("{}, {}", plural(self.shards, "shard"), plural(self.tenants, "tenant"))
    }

    fn row(self, grown: &[Grown]) -> Row {
        let id = match self {
            Self { shards, tenants: 1 } => format!("growth.shards-{shards:04}"),
            Self { tenants, .. } => format!("growth.tenants-{tenants:04}"),
        };
        let median = |of: fn(&Grown) -> f64| Measured::of(grown.iter().map(of).collect()).value;
        let what = format!("{}: records per second per core", self.name());
        Row::new(id, what, Endpoint::Stub, Unit::PerSecond, grown.iter().map(Grown::per_core).collect())
            .with("before the records: CPU time of a core", Unit::Percent, median(|grown| grown.idle * 100.0))
            .with("by the clock, with this stub", Unit::PerSecond, median(|grown| grown.drained.per_second()))
            .with("peak memory", Unit::Megabytes, median(|grown| grown.drained.peak_megabytes))
    }
}
