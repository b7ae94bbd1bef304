//! Records that workers count: a backlog that is all there at once, or a flow at some rate.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::lab::{Deployment, Lab, ORDERS, Workload, stop};
use crate::orders::{Change, Mix, Orders};
use crate::stub::Usage;

/// Writes to a table at the same time.
const WRITERS: usize = 16;
/// How often the records of a rate are handed over.
const STEP: Duration = Duration::from_millis(10);

/// A backlog that was counted.
pub(crate) struct Drained {
    pub(crate) records: usize,
    pub(crate) wall_seconds: f64,
    /// Of all workers together.
    pub(crate) cpu_seconds: f64,
    /// Of the worker that took most, in MB.
    pub(crate) peak_megabytes: f64,
    pub(crate) usage: Usage,
}

impl Drained {
    /// Records a second, by the clock.
    pub(crate) fn per_second(&self) -> f64 {
        self.records as f64 / self.wall_seconds
    }

    /// CPU time for each record, in µs.
    pub(crate) fn cpu_per_record(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.records as f64
    }
}

/// A backlog of so many records.
pub(crate) struct Backlog<'a> {
    /// Profiles have this name.
    pub(crate) name: &'a str,
    pub(crate) mix: Mix,
    pub(crate) records: usize,
}

/// Puts a backlog into the stream of orders, and waits until the workers have counted it and the totals are right.
///
/// # Errors
/// When a worker fails, or a total is wrong.
pub(crate) async fn drain(
    lab: &Lab,
    deployment: &Deployment,
    workers: &mut [Workload],
    Backlog { name, mix, records }: Backlog<'_>,
) -> anyhow::Result<Drained> {
    let mut orders = Orders::new(mix)?;
    let backlog = orders.records(records);
    let recording = lab.profile(name, &mut workers[0].process)?;
    let (usage, cpu, begin) = (deployment.stub().usage(), cpu_seconds(workers)?, Instant::now());
    deployment.stub().append(ORDERS, &backlog);
    lab.counted(workers, records).await?;
    let mut drained = Drained {
        records,
        wall_seconds: begin.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds(workers)? - cpu,
        peak_megabytes: 0.0,
        usage: &deployment.stub().usage() - &usage,
    };
    if let Some(recording) = recording {
        recording.end().await?;
    }
    for worker in workers {
        drained.peak_megabytes = drained.peak_megabytes.max(worker.process.memory()?.peak);
    }
    deployment.verify(&orders.totals()).await?;
    Ok(drained)
}

/// Puts records into the stream of orders at a rate, for some time, and waits until the workers have counted them and the totals are
/// right. The number of records, and what was consumed.
///
/// # Errors
/// When a worker fails, or a total is wrong.
pub(crate) async fn hand_over(
    lab: &Lab,
    deployment: &Deployment,
    workers: &[Workload],
    orders: &mut Orders,
    (per_second, span): (u32, Duration),
) -> anyhow::Result<(usize, Usage)> {
    let (before, begin, span) = (deployment.stub().usage(), Instant::now(), lab.span(span));
    let mut handed = 0;
    while begin.elapsed() < span {
        let due = (begin.elapsed().as_secs_f64() * f64::from(per_second)) as usize + 1;
        let records = orders.records(due - handed);
        deployment.stub().append(ORDERS, &records);
        handed = due;
        sleep(STEP).await;
    }
    lab.counted(workers, handed).await?;
    let usage = &deployment.stub().usage() - &before;
    deployment.verify(&orders.totals()).await?;
    Ok((handed, usage))
}

/// Writes a backlog to the table of orders on DynamoDB Local, then starts a worker, and waits until it has counted the backlog and the
/// totals are right. The measurement begins when the worker is ready.
///
/// # Errors
/// When a write or the worker fails, or a total is wrong.
pub(crate) async fn drain_table(lab: &Lab, deployment: &Deployment, mix: Mix, records: usize) -> anyhow::Result<Drained> {
    let mut orders = Orders::new(mix)?;
    write(deployment, (0..records).map(|_| orders.change()).collect()).await?;
    let mut workers = [deployment.start_ingest(lab).await?];
    let (begin, cpu) = (Instant::now(), cpu_seconds(&mut workers)?);
    lab.counted(&workers, records).await?;
    let drained = Drained {
        records,
        wall_seconds: begin.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds(&mut workers)? - cpu,
        peak_megabytes: workers[0].process.memory()?.peak,
        usage: Usage::default(),
    };
    deployment.verify(&orders.totals()).await?;
    stop(workers).await?;
    Ok(drained)
}

/// Carries out changes, those of one order one after the other.
async fn write(deployment: &Deployment, changes: Vec<Change>) -> anyhow::Result<()> {
    let client = Client::new(&deployment.direct_config());
    let mut queues: Vec<Vec<Change>> = vec![Vec::new(); WRITERS];
    for change in changes {
        queues[change.id() % WRITERS].push(change);
    }
    try_join_all(queues.into_iter().map(async |queue| {
        for change in queue {
            change.carry_out(&client, ORDERS).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

fn cpu_seconds(workers: &mut [Workload]) -> anyhow::Result<f64> {
    workers.iter_mut().map(|worker| worker.process.cpu_seconds()).sum()
}
