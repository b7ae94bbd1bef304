//! CPU time per record of a backlog, and records per second: a worker beside a bare reader and beside single updates.

use std::time::Duration;

use crate::backlog::{self, Backlog, Drained};
use crate::baseline::Needed;
use crate::lab::{Deployment, Lab, ORDERS, RETAIL, stop};
use crate::orders::{Dates, Items, Mix};
use crate::process::{Process, SELF};
use crate::row::{Endpoint, Goal, Measured, Row, Unit};
use crate::stub::Latency;

/// Orders of a shop with 200 items in three regions.
const MINUTE: Mix = Mix { items: Items::Zipf(200), dates: Dates::Minute, tenants: 1 };
const DAY: Mix = Mix { items: Items::Zipf(200), dates: Dates::Days(1), tenants: 1 };
/// Records of the UpdateItem baseline: each is ten calls.
const UPDATED: usize = 500;
/// The reader reads the backlog so often, because it needs little for it.
const READ_TIMES: usize = 3;
const LOCAL_RECORDS: usize = 10_000;
const REPETITIONS: usize = 3;

/// One backlog, drained once by each.
struct Run {
    worker: Drained,
    reader: Needed,
    /// It does not depend on shards, so it is measured with one of them.
    updater: Option<Needed>,
}

pub(super) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (id, what, mix, records, shards, goal) in [
        ("cpu.minute.shards-1", "orders of one minute, 1 shard", MINUTE, 10_000, 1, 2.0),
        ("cpu.minute.shards-4", "orders of one minute, 4 shards", MINUTE, 10_000, 4, 2.0),
        ("cpu.minute.shards-16", "orders of one minute, 16 shards", MINUTE, 10_000, 16, 2.0),
        ("cpu.day.shards-1", "orders of one day, 1 shard", DAY, 5_000, 1, 4.0),
    ] {
        let mut all = Vec::new();
        for _ in 0..lab.repetitions(REPETITIONS) {
            let deployment = lab.on_stub(RETAIL, shards, Latency::default()).await?;
            let mut run = run(lab, &deployment, Backlog { name: id, mix, records: lab.amount(records) }).await?;
            if shards == 1 {
                let updated = lab.amount(UPDATED);
                run.updater = Some(baseline(&deployment, &["--updates-of", &updated.to_string()], updated).await?);
            }
            all.push(run);
        }
        rows.push(row(id, what, Endpoint::Stub, &all).with_goal(Goal::Ratio(goal)));
    }
    if let Some(deployment) = lab.on_local(RETAIL).await? {
        let worker = backlog::drain_table(lab, &deployment, MINUTE, lab.amount(LOCAL_RECORDS)).await?;
        let what = "orders of one minute, since the worker is ready";
        rows.push(row("cpu.local", what, Endpoint::DynamodbLocal, &[read(&deployment, worker).await?]));
    }
    Ok(rows)
}

async fn run(lab: &Lab, deployment: &Deployment, backlog: Backlog<'_>) -> anyhow::Result<Run> {
    let mut workers = vec![deployment.start_ingest(lab).await?];
    let worker = backlog::drain(lab, deployment, &mut workers, backlog).await?;
    stop(workers).await?;
    read(deployment, worker).await
}

/// Reads the backlog that a worker has drained.
async fn read(deployment: &Deployment, worker: Drained) -> anyhow::Result<Run> {
    let records = worker.records * READ_TIMES;
    let reader = baseline(deployment, &["--times", &READ_TIMES.to_string()], records).await?;
    Ok(Run { worker, reader, updater: None })
}

/// Runs the reader, which must find so many records.
async fn baseline(deployment: &Deployment, arguments: &[&str], records: usize) -> anyhow::Result<Needed> {
    let arguments = [&["baseline", "reader", "--table", ORDERS], arguments].concat();
    let needed: Needed = Process::start(SELF, &arguments, &deployment.variables())?.result(Duration::from_secs(60)).await?;
    anyhow::ensure!(needed.records == records, "the reader found {} records of {records}", needed.records);
    Ok(needed)
}

fn row(id: &str, what: &str, endpoint: Endpoint, runs: &[Run]) -> Row {
    let own = runs.iter().map(|run| run.worker.cpu_per_record()).collect();
    let beside = |other: fn(&Run) -> Option<&Needed>| {
        let pairs = runs.iter().filter_map(|run| Some((run.worker.cpu_per_record(), other(run)?.cpu_per_record())));
        pairs.collect::<Vec<_>>()
    };
    let per_second = Measured::of(runs.iter().map(|run| run.worker.per_second()).collect());
    let read_per_second = Measured::of(runs.iter().map(|run| run.reader.per_second()).collect());
    let memory = Measured::of(runs.iter().map(|run| run.worker.peak_megabytes).collect());
    let row = Row::new(id, what, endpoint, Unit::Microseconds, own)
        .against("GetRecords and nothing else", &beside(|run| Some(&run.reader)))
        .with("records a second", Unit::PerSecond, per_second.value)
        .with("records a second of the reader", Unit::PerSecond, read_per_second.value)
        .with("peak memory", Unit::Megabytes, memory.value);
    match beside(|run| run.updater.as_ref()).as_slice() {
        [] => row,
        updated => row.against("one UpdateItem per row and record", updated),
    }
}
