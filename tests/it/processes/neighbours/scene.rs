//! A deployment of both workloads as processes, with the two tenants.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_domain::TenantId;
use tidemark_store::{Slot, Tenant};
use tidemark_tests::deployment::{DEADLINE, SECRET_KEY, item_of, tables};
use tidemark_tests::{Client, Deployment, Receiver, wait_until};

use super::process::Process;

/// The hostile tenant and its neighbour.
pub(super) const HOSTILE: &str = "a";
pub(super) const NEIGHBOUR: &str = "b";
/// Longest that anything takes in peace.
pub(super) const PATIENCE: Duration = DEADLINE;
pub(super) const STOCK: &str = "Stock";
const ORDERS: &str = "Orders";
/// Most items of one BatchWriteItem.
const BATCH: usize = 25;
/// Each source table's stream has one shard in the embedded DynamoDB, so both tenants are in the same.
const DEFINITIONS: &str = "
sources:
  orders:
    table: Orders
    key: { partition: id }
    tenant: { attribute: tenant_id }
  stock:
    table: Stock
    key: { partition: tenant_id, sort: item_number }
    tenant: { attribute: tenant_id }
metrics:
  sales:
    source: orders
    time: order_date
    measures:
      units: { sum: quantity }
      orders: { count: true }
    dimensions: { item: item_number }
    group_by: [[], [item]]
inventory:
  stock:
    source: stock
    item: item_number
    location: { attribute: location, default: main }
    on_hand: on_hand
    reorder_point: reorder_point
";

/// A running deployment.
pub(super) struct Scene {
    pub(super) deployment: Deployment,
    /// Where the hostile tenant's webhooks go.
    pub(super) receiver: Receiver,
    url: String,
    /// The worker and the API.
    processes: [Process; 2],
    /// Holds the definition file.
    _folder: TempDir,
}

impl Scene {
    pub(super) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with more settings.
    pub(super) async fn start_with(more: &[(&'static str, String)]) -> Self {
        let deployment = Deployment::start(DEFINITIONS).await;
        for tenant in [HOSTILE, NEIGHBOUR] {
            deployment.create_tenant(tenant, "UTC").await;
        }
        let folder = tempfile::tempdir().unwrap();
        let definitions = folder.path().join("definitions.yaml");
        std::fs::write(&definitions, DEFINITIONS).unwrap();
        let mut variables = deployment.world.variables().to_vec();
        variables.extend([
            ("TIDEMARK_DEFINITIONS", definitions.to_str().expect("text").to_owned()),
            (SECRET_KEY.0, SECRET_KEY.1.to_owned()),
            ("TIDEMARK_API_ADDR", "127.0.0.1:0".to_owned()),
            ("TIDEMARK_ADMIN_ADDR", "127.0.0.1:0".to_owned()),
            ("TIDEMARK_FLUSH_INTERVAL_MS", "50".to_owned()),
            ("TIDEMARK_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8".to_owned()),
        ]);
        variables.extend_from_slice(more);
        let mut ingest = Process::spawn("tidemark-ingest", &[], &variables);
        ingest.until_logged("probes and metrics are answered").await;
        let mut api = Process::spawn("tidemark-api", &[], &variables);
        let address = api.until_logged("the API listens").await["addr"].as_str().expect("an address").to_owned();
        let (url, receiver) = (format!("http://{address}"), Receiver::start().await);
        Self { deployment, receiver, url, processes: [ingest, api], _folder: folder }
    }

    /// A client with a key of its own: each key has a limit.
    pub(super) async fn client(&self, tenant: &str) -> Client {
        Client::at(&self.url, self.key(tenant).await)
    }

    pub(super) async fn key(&self, tenant: &str) -> String {
        self.deployment.key_of(tenant).await
    }

    /// Of the API.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Of the API: host and port.
    pub(super) fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("it has a scheme")
    }

    /// What the API has in memory.
    pub(super) async fn api_bytes(&self) -> usize {
        self.processes[1].resident_bytes().await
    }

    /// So much of an item of a tenant's is there from now on.
    pub(super) async fn stock(&self, tenant: &str, item: &str, on_hand: &str, reorder_point: Option<&str>) {
        self.deployment.put(STOCK, stock_item(tenant, item, on_hand, reorder_point)).await;
    }

    /// Writes many items of the stock at once.
    pub(super) async fn stock_many(&self, items: &[Value]) {
        for items in items.chunks(BATCH) {
            let write = |item: &Value| {
                let put = PutRequest::builder().set_item(Some(item_of(item))).build().unwrap();
                WriteRequest::builder().put_request(put).build()
            };
            let batch = self.deployment.world.dynamodb().batch_write_item();
            let batch = batch.request_items(STOCK, items.iter().map(write).collect());
            let output = batch.send().await.unwrap();
            assert!(output.unprocessed_items.is_none_or(|left| left.is_empty()), "the embedded DynamoDB takes them all");
        }
    }

    /// Deletes the hostile tenant's jobs: what it prepares would keep the dispatcher busy while the neighbour measures in peace.
    pub(super) async fn delete_jobs(&self) {
        let (client, table) = (self.deployment.world.dynamodb(), tables().data);
        let query = client.query().table_name(&table).key_condition_expression("pk = :pk").projection_expression("pk, sk");
        let query = query.expression_attribute_values(":pk", AttributeValue::S(format!("T#{HOSTILE}#JOB")));
        let mut jobs = query.into_paginator().items().send();
        while let Some(job) = jobs.next().await {
            client.delete_item().table_name(&table).set_key(Some(job.unwrap())).send().await.unwrap();
        }
    }

    /// Waits until the dispatcher has nothing to do.
    pub(super) async fn idle(&self) {
        wait_until("the dispatcher to have nothing to do", PATIENCE, async || {
            for slot in Slot::all() {
                if !self.deployment.store.due(slot, None, 1).await.unwrap().entries.is_empty() {
                    return false;
                }
            }
            true
        })
        .await;
    }

    pub(super) async fn order(&self, tenant: &str, id: &str) {
        let order = json!({
            "id": {"S": format!("{tenant}/{id}")}, "tenant_id": {"S": tenant}, "item_number": {"S": "tea"},
            "order_date": {"S": tidemark_runtime::clock::now().to_string()}, "quantity": {"N": "2"},
        });
        self.deployment.put(ORDERS, order).await;
    }
}

pub(super) fn stock_item(tenant: &str, item: &str, on_hand: &str, reorder_point: Option<&str>) -> Value {
    let mut row = json!({ "tenant_id": {"S": tenant}, "item_number": {"S": item}, "on_hand": {"N": on_hand} });
    if let Some(point) = reorder_point {
        row["reorder_point"] = json!({ "N": point });
    }
    row
}

pub(super) fn hostile() -> Tenant {
    Tenant::named_by_operator(TenantId::new(HOSTILE).unwrap())
}
