//! The HTTP API over real data: what a worker counted and stored, asked for over HTTP. API.md §1, §2, §4; ALERTS.md.

use std::collections::BTreeMap;

use jiff::ToSpan;
use serde_json::Value;
use tidemark_domain::Zone;
use tidemark_runtime::clock;
use tidemark_tests::deployment::RunningIngest;
use tidemark_tests::{Client, Deployment, RunningApi};

use orders::Order;

mod admin;
mod alert_rules;
mod alerts;
mod beyond;
mod caching;
mod connections;
mod cors;
mod cost;
mod credentials;
mod currencies;
mod days;
mod deliveries;
mod dimensions;
mod document;
mod exact;
mod filters;
mod freshness;
mod hostile;
mod idempotency;
mod identity;
mod inventory;
mod isolation;
mod key_forms;
mod limits;
mod lines;
mod oidc;
mod operations;
mod orders;
mod own_rates;
mod quarantine;
mod random;
mod recount;
mod refusals;
mod stock;
mod strangers;
mod unavailable;
mod webhook_endpoints;
mod zones;

/// The definition file of these tests.
const SHOP: &str = include_str!("api/shop.yaml");
/// Its source table.
const TABLE: &str = "Orders";

/// A shop with a worker and an API.
struct Shop {
    deployment: Deployment,
    ingest: RunningIngest,
    api: RunningApi,
}

impl Shop {
    /// Opens a shop whose tenants' days are UTC's.
    async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// Opens a shop for tenants with zones of their own.
    async fn open_with(tenants: &[(&str, &str)]) -> Self {
        let deployment = Deployment::start(SHOP).await;
        for (tenant, zone) in tenants {
            deployment.create_tenant(tenant, zone).await;
        }
        let ingest = deployment.start_ingest().await;
        let api = deployment.start_api().await;
        Self { deployment, ingest, api }
    }

    /// Takes orders and waits until they count and there is a watermark. They are their tenants' first orders, each with an id of
    /// its own.
    async fn sell(&self, orders: &[Order]) {
        let mut by_tenant: BTreeMap<&str, usize> = BTreeMap::new();
        for order in orders {
            order.put(&self.deployment).await;
            *by_tenant.entry(order.tenant).or_default() += 1;
        }
        for (tenant, count) in by_tenant {
            let what = format!("{count} orders of {tenant} to count");
            let visits = format!("/v1/metrics/visits/values?{}", year());
            let counted = |answer: &Value| {
                let visits = &answer["totals"][0]["values"]["visits"];
                visits.as_str() == Some(&count.to_string()) && !answer["freshness"]["watermark"].is_null()
            };
            self.client(tenant).await.until(&what, &visits, counted).await;
        }
    }

    /// A client with a new key of a tenant's.
    async fn client(&self, tenant: &str) -> Client {
        self.api.client(self.deployment.key_of(tenant).await)
    }

    /// Stops everything in good order.
    async fn close(self) {
        self.api.stop().await;
        self.ingest.stop().await;
    }
}

/// The last 390 days and the next, as a query string.
fn year() -> String {
    let [(from, first), (to, last)] = year_parameters();
    format!("{from}={first}&{to}={last}")
}

/// The last 390 days and the next, as parameters.
fn year_parameters() -> [(&'static str, String); 2] {
    let today = Zone::utc().date_of(clock::now());
    [("from", (today - 390.days()).to_string()), ("to", (today + 2.days()).to_string())]
}
