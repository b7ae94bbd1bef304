//! Stock that falls below its reorder point, and the webhooks that report it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tidemark_tests::deployment::item_of;
use tidemark_tests::{Received, Receiver};
use tokio::time::{Instant, sleep};

use super::probe::{PATIENCE, Probe, Probed, until};
use crate::lab::STOCK;

/// The receiver's path.
const ENDPOINT: &str = "alerts";
/// At or below this an item is low.
const LOW: &str = "10";
/// Quantities before a probe, and after it.
const ENOUGH: &str = "100";
const FEW: &str = "5";
/// Items stored at the same time.
const STOCKED_AT_ONCE: usize = 16;
/// Between two looks whether all have arrived.
const LOOK: Duration = Duration::from_millis(50);

/// A receiver of alerts, and the stock that causes them. Each item is one probe.
pub(super) struct Alerts {
    client: Client,
    receiver: Receiver,
    tenant: String,
}

impl Alerts {
    pub(super) async fn of(client: Client, tenant: &str) -> Self {
        Self { client, receiver: Receiver::start().await, tenant: tenant.to_owned() }
    }

    /// The body of the request that creates the webhook endpoint of this receiver.
    pub(super) fn endpoint(&self) -> Value {
        json!({ "url": self.receiver.url(ENDPOINT), "event_types": ["inventory.alert.fired"] })
    }

    /// Stores enough of some items.
    pub(super) async fn stock(&self, items: &[String]) -> anyhow::Result<()> {
        let puts = stream::iter(items).map(|item| {
            let put = self.client.put_item().table_name(STOCK).set_item(Some(item_of(&self.item(item, ENOUGH))));
            anyhow::Ok(put.send())
        });
        puts.try_for_each_concurrent(STOCKED_AT_ONCE, async |put| Ok(put.await.map(drop)?)).await
    }

    /// Makes each item low at its moment, or right after the one before; as many as the span has room for. The probes, by their item.
    pub(super) async fn probe(
        &self,
        begin: Instant,
        moments: &[(String, Duration)],
        span: Duration,
    ) -> anyhow::Result<Vec<(String, Probe)>> {
        let mut probes = Vec::new();
        for (item, moment) in moments {
            until(begin, *moment).await;
            if begin.elapsed() > span && !probes.is_empty() {
                break;
            }
            probes.push((item.clone(), Probe::put(&self.client, STOCK, &key(item), &self.item(item, FEW)).await?));
        }
        Ok(probes)
    }

    /// Waits until the alert of each probe has arrived.
    pub(super) async fn arrived(&self, probes: &[(String, Probe)]) -> anyhow::Result<Vec<Probed>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut arrivals = BTreeMap::new();
            for received in self.receiver.received(ENDPOINT) {
                let item = item_of_alert(&received)?;
                // A delivery may be repeated: the first one counts.
                arrivals.entry(item).or_insert(received.at);
            }
            let arrived: Vec<Probed> = probes.iter().filter_map(|(item, probe)| Some(probe.seen(*arrivals.get(item)?))).collect();
            if arrived.len() == probes.len() {
                return Ok(arrived);
            }
            let (there, all) = (arrived.len(), probes.len());
            anyhow::ensure!(Instant::now() < end, "{there} of {all} alerts have arrived after {PATIENCE:?}");
            sleep(LOOK).await;
        }
    }

    fn item(&self, item: &str, on_hand: &str) -> Value {
        json!({
            "item_number": {"S": item}, "location": {"S": "main"}, "tenant_id": {"S": self.tenant},
            "on_hand": {"N": on_hand}, "reorder_point": {"N": LOW},
        })
    }
}

fn key(item: &str) -> Value {
    json!({ "item_number": {"S": item}, "location": {"S": "main"} })
}

/// The item of an alert, which must be one that was made low.
fn item_of_alert(received: &Received) -> anyhow::Result<String> {
    let body = received.json();
    let alert = &body["data"]["alert"];
    let is_right = body["type"] == "inventory.alert.fired" && alert["available"] == FEW;
    anyhow::ensure!(is_right, "an alert that no probe has caused: {body}");
    Ok(alert["item"].as_str().unwrap_or_default().to_owned())
}
