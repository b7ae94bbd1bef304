//! Workloads that have nothing to do: a worker with one idle shard of each source, and an API without requests.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::HANDLER;
use crate::lab::{Deployment, Lab, RETAIL, start_handler};
use crate::process::{Memory, Process};
use crate::row::{Endpoint, Goal, Row, Unit};
use crate::stub::{Latency, Usage};

/// How long a workload has been idle before it is measured: a worker looks at slots without deliveries less often after 30 s.
const SETTLED: Duration = Duration::from_secs(32);
/// How long it is measured.
const SPAN: Duration = Duration::from_secs(15);
/// Most CPU time that an idle worker should take, in percent of a core.
const CPU_MAX: f64 = 1.0;

/// What an idle workload needed.
struct Needed {
    memory: Memory,
    /// Percent of a core.
    cpu: f64,
    usage: Usage,
    seconds: f64,
}

/// Idle workloads. They are killed when dropped.
pub(super) struct Idle {
    begin: Instant,
    // Each workload has a stub of its own, so that the calls of the two are counted apart.
    of_worker: Deployment,
    worker: Process,
    of_api: Deployment,
    api: Process,
    handler: Process,
}

impl Idle {
    pub(super) async fn start(lab: &Lab) -> anyhow::Result<Self> {
        let of_worker = lab.on_stub(RETAIL, 1, Latency::REGION).await?;
        let of_api = lab.on_stub(RETAIL, 1, Latency::REGION).await?;
        // Answers need definitions that a worker has adopted.
        drop(of_api.start_ingest(lab).await?);
        let (worker, api) = (of_worker.start_ingest(lab).await?.process, of_api.start_api(lab).await?.process);
        let (handler, _, _) = start_handler(lab, &of_api).await?;
        Ok(Self { begin: Instant::now(), of_worker, worker, of_api, api, handler })
    }

    /// What they need once they have been idle for long enough.
    pub(super) async fn measure(mut self, lab: &Lab) -> anyhow::Result<Vec<Row>> {
        sleep_until(self.begin + lab.span(SETTLED)).await;
        let span = lab.span(SPAN);
        let (worker, api) = (idle(&self.of_worker, &mut self.worker, span), idle(&self.of_api, &mut self.api, span));
        let (worker, api) = futures::try_join!(worker, api)?;
        let handler = self.handler.memory()?.now;
        Ok(rows(&worker, &api, handler))
    }
}

/// `handler` is the memory of what the API is compared with.
fn rows(worker: &Needed, api: &Needed, handler: f64) -> Vec<Row> {
    let mut rows = Vec::new();
    for (id, what, needed) in [("ingest", "idle worker, one shard of each of two tables", worker), ("api", "idle API", api)] {
        let memory = row(&format!("memory.{id}"), &format!("{what}: memory"), Unit::Megabytes, needed.memory.now);
        let memory = memory.with("peak", Unit::Megabytes, needed.memory.peak);
        rows.push(if id == "api" { memory.against(HANDLER, &[(needed.memory.now, handler)]) } else { memory });
        let cpu = row(&format!("cpu.{id}"), &format!("{what}: CPU time of a core"), Unit::Percent, needed.cpu);
        rows.push(if id == "ingest" { cpu.with_goal(Goal::Value(CPU_MAX)) } else { cpu });
        rows.push(calls(id, what, needed));
    }
    rows
}

async fn idle(deployment: &Deployment, process: &mut Process, span: Duration) -> anyhow::Result<Needed> {
    let (memory, cpu, before, begin) = (process.memory()?, process.cpu_seconds()?, deployment.stub().usage(), Instant::now());
    sleep(span).await;
    let (seconds, usage) = (begin.elapsed().as_secs_f64(), &deployment.stub().usage() - &before);
    Ok(Needed { memory, cpu: (process.cpu_seconds()? - cpu) / seconds * 100.0, usage, seconds })
}

/// The calls of a minute, by their name, and their units.
fn calls(id: &str, what: &str, needed: &Needed) -> Row {
    let per_minute = |amount: f64| amount * 60.0 / needed.seconds;
    let (reads, writes) = (needed.usage.reads(), needed.usage.writes());
    let all = per_minute((reads.requests + writes.requests) as f64);
    let mut row = row(&format!("calls.{id}"), &format!("{what}: calls"), Unit::PerMinute, all)
        .with("write units a minute", Unit::WriteUnits, per_minute(writes.units))
        .with("read units a minute", Unit::ReadUnits, per_minute(reads.units));
    for (name, calls) in needed.usage.by_name() {
        row = row.with(name, Unit::PerMinute, per_minute(calls.requests as f64));
    }
    row
}

fn row(id: &str, what: &str, unit: Unit, value: f64) -> Row {
    Row::new(format!("start.{id}"), what, Endpoint::Stub, unit, vec![value])
}
