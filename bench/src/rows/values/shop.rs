//! A shop whose orders are counted, with an API and a handler that answer questions about them.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Request;
use tidemark_store::Scope;
use tokio::time::Instant;

use super::asker::{Asker, Slice};
use crate::baseline::HandlerRequest;
use crate::lab::{Deployment, Lab, ORDERS, RETAIL, Workload, start_handler, stop};
use crate::orders::{Dates, Items, Mix, Orders};
use crate::process::Process;
use crate::profile::Recording;
use crate::stub::Latency;

/// The only tenant.
pub(super) const TENANT: &str = "t0";
const ITEMS: usize = 1_000;
/// Each item is ordered four times, so that the items have about 4 000 day rows.
const RECORDS: usize = 8_000;

pub(super) struct Shop {
    deployment: Deployment,
    pub(super) orders: Orders,
    api: Workload,
    handler: Process,
    handler_url: String,
    key: String,
}

impl Shop {
    /// Counts the orders with a worker, stops it, and starts what answers.
    pub(super) async fn open(lab: &Lab) -> anyhow::Result<Self> {
        let deployment = lab.on_stub(RETAIL, 1, Latency::default()).await?;
        let mut orders = Orders::new(Mix { items: Items::InTurn(ITEMS), dates: Dates::Month, tenants: 1 })?;
        let workers = [deployment.start_ingest(lab).await?];
        let records = orders.records(lab.amount(RECORDS));
        deployment.stub().append(ORDERS, &records);
        lab.counted(&workers, records.len()).await?;
        deployment.verify(&orders.totals()).await?;
        // Its rows and its watermark stay. A running worker would take CPU time from the processes that are measured.
        stop(workers).await?;
        let items = orders.live().iter().map(|order| order.item_number()).collect::<BTreeSet<_>>().len();
        anyhow::ensure!(lab.quick || items == ITEMS, "{items} items are ordered, not {ITEMS}");
        let api = deployment.start_api(lab).await?;
        let (handler, handler_url, _) = start_handler(lab, &deployment).await?;
        let key = deployment.key(TENANT, BTreeSet::from([Scope::MetricsRead])).await?;
        Ok(Self { deployment, orders, api, handler, handler_url, key })
    }

    /// A question to the API, given as its query string.
    pub(super) fn api_request(&self, lab: &Lab, question: &str) -> reqwest::Result<Request> {
        lab.http.get(format!("{}/v1/metrics/sales/values?{question}", self.api.url)).bearer_auth(&self.key).build()
    }

    pub(super) fn handler_request(&self, lab: &Lab, request: &HandlerRequest) -> reqwest::Result<Request> {
        lab.http.get(&self.handler_url).query(request).build()
    }

    /// Asks the API and the handler in turn for some time, and counts the calls of the API. Each turn is one request: so both have the same
    /// share of the time in which the machine is slower than usual.
    pub(super) async fn slices(
        &mut self,
        lab: &Lab,
        (api, handler): (&mut Asker, &mut Asker),
        span: Duration,
    ) -> anyhow::Result<(Slice, Slice)> {
        let (mut own, mut beside) = (Slice::default(), Slice::default());
        let (begin, cpu) = (Instant::now(), self.cpu_seconds()?);
        while own.took.is_empty() || begin.elapsed() < span {
            let before = self.deployment.stub().usage();
            own.took.push(api.ask(lab).await?.took);
            let usage = &self.deployment.stub().usage() - &before;
            own.calls += usage.reads().requests;
            own.queries += usage.of("Query").requests;
            own.read_units += usage.reads().units;
            beside.took.push(handler.ask(lab).await?.took);
        }
        let now = self.cpu_seconds()?;
        (own.cpu_seconds, beside.cpu_seconds) = (now.0 - cpu.0, now.1 - cpu.1);
        Ok((own, beside))
    }

    /// CPU time so far, of the API and of the handler.
    fn cpu_seconds(&mut self) -> anyhow::Result<(f64, f64)> {
        Ok((self.api.process.cpu_seconds()?, self.handler.cpu_seconds()?))
    }

    /// Records a profile of the API, if profiles are asked for.
    pub(super) fn profile(&mut self, lab: &Lab, name: &str) -> anyhow::Result<Option<Recording>> {
        lab.profile(name, &mut self.api.process)
    }
}
