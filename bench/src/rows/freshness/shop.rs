//! A shop: a worker and an API with default settings, orders that change, and probes among them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use aws_sdk_dynamodb::Client;
use futures::try_join;
use jiff::{ToSpan, tz::TimeZone};
use tidemark_runtime::clock;
use tidemark_store::Scope;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::AtRate;
use super::alerts::Alerts;
use super::load::{self, Shared};
use super::probe::{self, PATIENCE, Probe, until};
use super::seen::{Question, Reader};
use crate::lab::{Deployment, Lab, ORDERS, Workload};
use crate::orders::{Dates, Items, Mix, Orders, item_number};

/// Orders are this tenant's.
const TENANT: &str = "t0";
const MIX: Mix = Mix { items: Items::Zipf(200), dates: Dates::Now, tenants: 1 };
/// The probes of a rate are orders of the item with this number and the rate's: no other order is of it.
const PROBED: usize = 1_000;
/// Most probes among the writes of a second. At a lower rate four writes of five are probes.
const PROBES_MAX: u32 = 20;
/// Items that become low in a second.
const ALERTS: u32 = 12;
/// Orders change so long before the first probe.
const WARM: Duration = Duration::from_secs(1);
/// Between two looks whether the stock is known.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Shop {
    deployment: Deployment,
    /// Killed with the shop.
    _worker: Workload,
    api: Workload,
    key: String,
    client: Client,
    orders: Shared,
    alerts: Alerts,
}

/// The observers of the probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watcher {
    Fresh,
    Polled,
    Reader,
}

impl Shop {
    /// A shop on a deployment of [`RETAIL`](crate::lab::RETAIL) whose streams show the writes of its tables.
    pub(super) async fn open(lab: &Lab, deployment: Deployment) -> anyhow::Result<Self> {
        let (worker, api) = (deployment.start_ingest(lab).await?, deployment.start_api(lab).await?);
        let key = deployment.key(TENANT, Scope::of_tenants()).await?;
        let client = Client::new(&deployment.config());
        let alerts = Alerts::of(client.clone(), TENANT).await;
        let made = lab.http.post(format!("{}/v1/webhook-endpoints", api.url)).bearer_auth(&key).json(&alerts.endpoint());
        made.send().await?.error_for_status().context("the webhook endpoint")?;
        let orders = Arc::new(Mutex::new(Orders::new(MIX)?));
        let shop = Self { deployment, _worker: worker, api, key, client, orders, alerts };
        shop.order(PROBED).await?;
        shop.drained().await?;
        Ok(shop)
    }

    /// Writes changes of orders at a rate, lowers the stock of some items, and times the probes among them.
    pub(super) async fn at_rate(&mut self, lab: &Lab, rate: u32, span: Duration) -> anyhow::Result<AtRate> {
        let item = PROBED + rate as usize;
        let (warm, probes_per_second) = (lab.span(WARM), PROBES_MAX.min(rate * 4 / 5));
        let moments = probe::moments(f64::from(probes_per_second), warm, span)?;
        let low = probe::moments(f64::from(ALERTS), warm, span)?.into_iter().enumerate();
        let low: Vec<(String, Duration)> = low.map(|(index, moment)| (format!("low-{rate}-{index}"), moment)).collect();
        self.stock(lab, low.iter().map(|(item, _)| item.clone()).collect()).await?;

        let (sender, sent) = watch::channel(0);
        let (question, reader) = (self.question(lab, item)?, Reader::at_tip(&self.deployment.config()).await?);
        let (item_number, mut watchers) = (item_number(item), JoinSet::new());
        let (fresh, polled, read) =
            (question.clone().fresh(sent.clone()), question.polled(sent.clone()), reader.read(item_number, sent));
        watchers.spawn(async { anyhow::Ok((Watcher::Fresh, fresh.await.context("new questions")?)) });
        watchers.spawn(async { anyhow::Ok((Watcher::Polled, polled.await.context("one question")?)) });
        watchers.spawn(async { anyhow::Ok((Watcher::Reader, read.await.context("the reader of the stream")?)) });
        let begin = Instant::now();
        let load = load::write(&self.client, &self.orders, rate - probes_per_second, span);
        let (probes, low) = (self.probe(item, begin, (&moments, span), sender), self.alerts.probe(begin, &low, span));
        let (achieved, probes, low) = try_join!(load, probes, low)?;

        let alerts = self.alerts.arrived(&low).await?;
        let mut seen = Vec::new();
        while let Some(watched) = watchers.join_next().await {
            seen.push(watched??);
        }
        self.drained().await?;
        let of = |watcher: Watcher| {
            let moments = seen.iter().find(|(other, _)| *other == watcher).map(|(_, moments)| moments.as_slice());
            probe::seen(&probes, moments.unwrap_or_default())
        };
        let achieved = achieved + probes.len() as f64 / (span - warm).as_secs_f64();
        let (fresh, polled, read) = (of(Watcher::Fresh)?, of(Watcher::Polled)?, of(Watcher::Reader)?);
        Ok(AtRate { endpoint: self.deployment.endpoint(), rate, achieved, fresh, polled, read, alerts })
    }

    /// Orders an item at each moment, or right after the order before; as often as the span has room for.
    async fn probe(
        &self,
        item: usize,
        begin: Instant,
        (moments, span): (&[Duration], Duration),
        sent: watch::Sender<usize>,
    ) -> anyhow::Result<Vec<Probe>> {
        let mut probes = Vec::new();
        for moment in moments {
            until(begin, *moment).await;
            if begin.elapsed() > span && !probes.is_empty() {
                break;
            }
            sent.send_modify(|sent| *sent += 1);
            probes.push(self.order(item).await?);
        }
        Ok(probes)
    }

    /// Writes a new order of one item.
    async fn order(&self, item: usize) -> anyhow::Result<Probe> {
        let change = load::with(&self.orders, |orders| orders.order_of(item));
        let order = change.item().context("a new order has an image")?;
        Probe::put(&self.client, ORDERS, &change.key(), &order).await
    }

    /// Stores enough of some items, and waits until the API knows their levels.
    async fn stock(&self, lab: &Lab, items: Vec<String>) -> anyhow::Result<()> {
        self.alerts.stock(&items).await?;
        let end = Instant::now() + PATIENCE;
        for item in items {
            let url = format!("{}/v1/inventory/{item}", self.api.url);
            while !lab.http.get(&url).bearer_auth(&self.key).send().await?.status().is_success() {
                anyhow::ensure!(Instant::now() < end, "the level of {item} is not stored after {PATIENCE:?}");
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// How many orders of the item there are, in days about today.
    fn question(&self, lab: &Lab, item: usize) -> anyhow::Result<Question> {
        let today = clock::now().to_zoned(TimeZone::UTC).date();
        let days = [today.checked_sub(1.day())?.to_string(), today.checked_add(2.days())?.to_string()];
        let url = format!("{}/v1/metrics/sales/values", self.api.url);
        Ok(Question { http: lab.http.clone(), url, key: self.key.clone(), item: item_number(item), days })
    }

    /// Waits until all orders are counted, each once.
    async fn drained(&self) -> anyhow::Result<()> {
        let totals = load::with(&self.orders, |orders| orders.totals());
        self.deployment.verify(&totals).await
    }
}
