//! Workloads without work: the time from start to ready, memory, CPU time, calls, and the size of the binaries.

use std::time::Duration;

use crate::lab::{Lab, RETAIL, start_handler};
use crate::row::{Endpoint, Row, Unit};
use crate::stub::Latency;

mod idle;
mod sizes;

use idle::Idle;

/// What the API is compared with.
const HANDLER: &str = "an axum handler with the same SDK";
const REPETITIONS: usize = 3;

pub(super) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    // Idle workloads become quiet while the rest is measured.
    let idle = Idle::start(lab).await?;
    let mut rows = starts(lab).await?;
    let sizes = sizes::measure(lab).await?;
    rows.extend(idle.measure(lab).await?);
    rows.extend(sizes);
    Ok(rows)
}

/// Start → ready, each time on new tables.
async fn starts(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let (mut workers, mut apis) = (Vec::new(), Vec::new());
    for _ in 0..lab.repetitions(REPETITIONS) {
        let deployment = lab.on_stub(RETAIL, 1, Latency::REGION).await?;
        let worker = deployment.start_ingest(lab).await?;
        let api = deployment.start_api(lab).await?;
        let (handler, _, handler_ready_after) = start_handler(lab, &deployment).await?;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        workers.push(milliseconds(worker.ready_after));
        apis.push((milliseconds(api.ready_after), milliseconds(handler_ready_after)));
        // They are killed here: an API that is asked to stop goes on for some time, so that load balancers notice.
        drop((worker, api, handler));
    }
    let own = apis.iter().map(|(own, _)| *own).collect();
    let row = |id: &str, what: &str, times| Row::new(id, what, Endpoint::Stub, Unit::Milliseconds, times);
    Ok(vec![
        row("start.ready.ingest", "worker, start → ready", workers),
        row("start.ready.api", "API, start → ready", own).against(HANDLER, &apis),
    ])
}
