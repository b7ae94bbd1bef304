//! Everything the two workloads do, done once by their processes: every operation of the API's document, and every kind of record,
//! alert, webhook and shard that a worker meets.

use std::collections::BTreeSet;

use jiff::ToSpan;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_domain::TenantId;
use tidemark_runtime::clock;
use tidemark_store::{Holder, NewKey, Scope, Tenant};
use tidemark_tests::deployment::{DEADLINE, SECRET_KEY};
use tidemark_tests::{Client, Deployment, Reaction, Receiver, wait_until};

use super::super::process::{Process, run};

const RETAIL: &str = include_str!("../../../../definitions/retail.yaml");
const ORDERS: &str = "Order_by_item";
const STOCK: &str = "Stock";
const TENANT: &str = "acme";

pub(super) type Variables = Vec<(&'static str, String)>;

pub(super) struct Exercise {
    pub(super) deployment: Deployment,
    receiver: Receiver,
    variables: Variables,
    /// Holds the definition file.
    _folder: TempDir,
    _api: Process,
    operator: Client,
    client: Client,
    /// The operations that were called and answered well, as `GET /v1/alerts/{id}`.
    called: BTreeSet<&'static str>,
    /// The units ordered and counted so far.
    units: u32,
    orders: u32,
}

impl Exercise {
    /// Starts the API, on two shards of each source, and lets an operator get to work.
    pub(super) async fn begin() -> Self {
        let deployment = Deployment::start_with_shards(RETAIL, 2).await;
        let folder = tempfile::tempdir().unwrap();
        let definitions = folder.path().join("retail.yaml");
        std::fs::write(&definitions, RETAIL).unwrap();
        let variables = variables(&deployment, definitions.to_str().unwrap());
        let mut api = Process::spawn("tidemark-api", &[], &variables);
        let url = format!("http://{}", api.until_logged("the API listens").await["addr"].as_str().unwrap());
        let key = run("tidemark", &["key", "create", "--operator", "--json"], &variables).await.json();
        let operator = Client::at(&url, key["key"].as_str().unwrap());
        let (receiver, client) = (Receiver::start().await, operator.clone());
        let called = BTreeSet::new();
        let mut exercise =
            Self { deployment, receiver, variables, _folder: folder, _api: api, operator, client, called, units: 0, orders: 0 };
        let key = exercise.operate().await;
        exercise.client = Client::at(&url, key);
        exercise
    }

    /// What an operator does about tenants; a key of the one that is left.
    async fn operate(&mut self) -> String {
        for id in [TENANT, "gone"] {
            self.call("POST /v1/admin/tenants", "", json!({ "id": id, "time_zone": "Europe/Berlin" })).await;
        }
        self.call("DELETE /v1/admin/tenants/{id}", "gone", Value::Null).await;
        let taken = json!({ "id": TENANT, "time_zone": "Asia/Kathmandu" });
        self.refused(&self.operator, "/v1/admin/tenants", taken).await;
        self.call("GET /v1/admin/tenants", "", Value::Null).await;
        self.call("GET /v1/admin/tenants/{id}", TENANT, Value::Null).await;
        self.call("PATCH /v1/admin/tenants/{id}", TENANT, json!({ "name": "Acme" })).await;
        let scopes: Vec<_> = Scope::of_tenants().into_iter().map(|scope| scope.to_string()).collect();
        let key = self.call("POST /v1/admin/tenants/{id}/api-keys", TENANT, json!({ "scopes": scopes })).await;
        key["key"].as_str().unwrap().to_owned()
    }

    /// Numbers: orders placed, edited, moved and deleted, and records that cannot be counted; then whatever the API tells of them.
    pub(super) async fn count(&mut self) {
        for order in 0..6 {
            self.order(order, "tea", 2).await;
        }
        self.order(5, "mug", 2).await;
        let key = json!({ "orderid": {"S": "o4"}, "order_date": {"S": today()} });
        self.deployment.delete(ORDERS, key).await;
        self.units -= 2;
        // Of nobody we know, and of a tenant but unreadable.
        let nobodys = json!({ "orderid": {"S": "x"}, "order_date": {"S": today()}, "tenant_id": {"BOOL": true} });
        self.deployment.put(ORDERS, nobodys).await;
        let mut unreadable = order("y", "tea", 1);
        unreadable["quantity"] = json!({ "S": "one" });
        self.deployment.put(ORDERS, unreadable).await;
        // Sums of more digits than a row holds.
        for number in ["1", "2"] {
            let mut large = order(&format!("large{number}"), "tea", 0);
            for (attribute, value) in [("quantity", json!({ "N": "9".repeat(38) })), ("unit_price", json!({ "N": "1" }))] {
                large[attribute] = value;
            }
            large["tenant_id"] = json!({ "S": "large" });
            self.deployment.put(ORDERS, large).await;
            if number == "1" {
                self.deployment.expect_total("large", ("sales", "units"), None, &"9".repeat(38)).await;
            }
        }
        self.counted().await;

        for operation in ["GET /v1/metrics", "GET /v1/metrics/{metric}", "GET /v1/metrics/{metric}/dimensions/{name}"] {
            self.call(operation, "", Value::Null).await;
        }
        for operation in ["GET /v1/tenant", "GET /v1/status", "GET /v1/api-keys"] {
            self.call(operation, "", Value::Null).await;
        }
        self.call("PATCH /v1/tenant", "", json!({ "currency": "EUR" })).await;
        let quarantined = self.some("GET /v1/quarantine").await;
        self.call("GET /v1/quarantine/{id}", id(&quarantined), Value::Null).await;
        let key = self.call("POST /v1/api-keys", "", json!({ "scopes": ["metrics:read"] })).await;
        self.call("GET /v1/api-keys/{id}", id(&key), Value::Null).await;
        self.call("DELETE /v1/api-keys/{id}", id(&key), Value::Null).await;
    }

    /// Levels and alerts: rules made, tried and removed, and everything one can do to an alert.
    pub(super) async fn alert(&mut self) {
        let levels = json!([{ "severity": "warning", "fires_at_or_below": "5" }]);
        let rule = json!({ "scope": { "inventory": "stock", "item": "tea", "location": "*" }, "levels": levels });
        self.call("POST /v1/alert-rules/preview", "", rule.clone()).await;
        let rule = self.call("POST /v1/alert-rules", "", rule).await;
        self.call("GET /v1/alert-rules", "", Value::Null).await;
        self.call("GET /v1/alert-rules/{id}", id(&rule), Value::Null).await;
        self.call("PATCH /v1/alert-rules/{id}", id(&rule), json!({ "name": "low" })).await;
        let again = json!({ "scope": rule["scope"], "levels": rule["levels"] });
        self.refused(&self.client, "/v1/alert-rules", again).await;
        let levels = rule["levels"].clone();
        let scope = json!({ "inventory": "stock", "item": "cup", "location": "main" });
        let repeated = json!({ "scope": scope, "levels": levels, "repeat_every": "PT1H" });
        self.call("POST /v1/alert-rules", "", repeated).await;
        for (item, on_hand) in [("tea", 3), ("mug", 9), ("cup", 1)] {
            self.stock(item, on_hand).await;
        }
        let levels = |page: &Value| page["data"].as_array().unwrap().len();
        self.client.until("levels to come", "/v1/inventory", |page| levels(page) == 3).await;
        let alert = self.some("GET /v1/alerts").await;
        self.client.get("/v1/alerts?filter[state]=firing").await.json();
        self.call("GET /v1/alerts/{id}", id(&alert), Value::Null).await;
        self.call("POST /v1/alerts/{id}/acknowledge", id(&alert), json!({ "note": "seen" })).await;
        let until = clock::now() + jiff::SignedDuration::from_hours(1);
        self.call("POST /v1/alerts/{id}/mute", id(&alert), json!({ "until": until })).await;
        self.call("POST /v1/alerts/{id}/unmute", id(&alert), Value::Null).await;
        self.call("POST /v1/alerts/{id}/resolve", id(&alert), json!({})).await;
        self.note("GET /v1/inventory");
        assert!(self.client.get("/v1/inventory?order=available").await.json()["data"][0].is_object());
        self.call("GET /v1/inventory/{item}", "tea", Value::Null).await;
        self.call("DELETE /v1/alert-rules/{id}", id(&rule), Value::Null).await;
        // What is gone has no level.
        self.deployment.delete(STOCK, json!({ "item_number": {"S": "mug"}, "location": {"S": "main"} })).await;
        self.client.until("a level to go", "/v1/inventory", |page| levels(page) == 2).await;
    }

    /// Webhooks: an endpoint that takes everything, and one whose receiver is no more.
    pub(super) async fn notify(&mut self) {
        let url = self.receiver.url("all");
        let endpoint = self.call("POST /v1/webhook-endpoints", "", json!({ "url": url })).await;
        self.receiver.react("gone", |_| Reaction::Status(410));
        let gone = json!({ "url": self.receiver.url("gone") });
        let gone = self.call("POST /v1/webhook-endpoints", "", gone).await;
        self.call("GET /v1/webhook-endpoints", "", Value::Null).await;
        self.call("GET /v1/webhook-endpoints/{id}", id(&endpoint), Value::Null).await;
        self.call("PATCH /v1/webhook-endpoints/{id}", id(&endpoint), json!({ "description": "all" })).await;
        self.call("POST /v1/webhook-endpoints/{id}/test", id(&endpoint), Value::Null).await;
        let rotated = json!({ "grace": "PT24H", "force": true });
        self.call("POST /v1/webhook-endpoints/{id}/rotate-secret", id(&endpoint), rotated).await;
        self.stock("pot", 1).await;
        let since = json!({ "since": clock::now() - jiff::SignedDuration::from_hours(1) });
        let list = format!("/v1/webhook-endpoints/{}/deliveries", id(&endpoint));
        let delivered = |page: &Value| page["data"][0]["state"] == "delivered";
        let page = self.client.until("a delivery to be made", &list, delivered).await;
        self.note("GET /v1/webhook-endpoints/{id}/deliveries");
        let delivery = page["data"][0].clone();
        self.call("GET /v1/deliveries/{id}", id(&delivery), Value::Null).await;
        self.call("POST /v1/webhook-endpoints/{id}/recover", id(&endpoint), since).await;
        let disabled = |endpoint: &Value| endpoint["state"] != "enabled";
        self.client.until("an endpoint to be given up", &format!("/v1/webhook-endpoints/{}", id(&gone)), disabled).await;
        for operation in ["POST /v1/webhook-endpoints/{id}/enable", "POST /v1/webhook-endpoints/{id}/disable"] {
            self.call(operation, id(&gone), Value::Null).await;
        }
        self.call("DELETE /v1/webhook-endpoints/{id}", id(&gone), Value::Null).await;
        // It is refused until a moment after the last attempt.
        self.note("POST /v1/deliveries/{id}/retry");
        let retry = format!("/v1/deliveries/{}/retry", id(&delivery));
        let accepted = async || self.client.send(Method::POST, &retry, &[]).await.status == 202;
        wait_until("a retry to be accepted", DEADLINE, accepted).await;
    }

    /// Shards: shared, rotated, left, taken over, and trimmed before they were read. The worker that is left goes on.
    pub(super) async fn share(&mut self, first: Process) -> Process {
        let second = self.worker().await;
        let shards = self.deployment.world.shards(ORDERS);
        shards.rotate_all().await;
        self.order(20, "tea", 2).await;
        self.counted().await;
        for worker in [first, second] {
            worker.signal("-TERM").await;
            assert_eq!(worker.ended(DEADLINE).await.code, Some(0));
        }
        // One record that nobody will ever read.
        let shard = shards.open().await.remove(0);
        let before = shards.records_of(&shard).await;
        for lost in 0..64 {
            self.deployment.put(ORDERS, order(&format!("lost{lost}"), "tea", 0)).await;
            if shards.records_of(&shard).await > before + 1 {
                break;
            }
        }
        shards.trim(&shard, before + 1).await;
        let worker = self.worker().await;
        self.client.until("a gap to be told", "/v1/status", |status| status.to_string().contains("trimmed")).await;
        self.order(21, "tea", 2).await;
        self.counted().await;
        worker
    }

    /// What operators do at their terminals.
    pub(super) async fn administer(&self) {
        let run = async |arguments: &[&str]| {
            let ended = run("tidemark", arguments, &self.variables).await;
            assert_eq!(ended.code, Some(0), "{ended:?}");
            ended
        };
        for _ in 0..2 {
            run(&["tenant", "create", "demo", "--time-zone", "UTC"]).await;
        }
        // With a new key, those go that have expired.
        let demo = Tenant::named_by_operator(TenantId::new("demo").unwrap());
        let past = Some(clock::now() - jiff::SignedDuration::from_hours(1));
        for (holder, scopes) in [(Holder::Tenant(demo), Scope::of_tenants()), (Holder::Operator, [Scope::Operator].into())] {
            self.deployment.issue(&NewKey { holder, scopes, name: None, expires_at: past }).await;
        }
        run(&["key", "create", "--tenant", "demo"]).await;
        run(&["key", "create", "--operator"]).await;
        run(&["status"]).await;
        run(&["quarantine", "list"]).await;
        for whose in [["--tenant", TENANT], ["--source", "orders"]] {
            let listed = run(&["quarantine", "list", whose[0], whose[1], "--json"]).await.json();
            run(&["quarantine", "show", id(&listed["data"][0]), whose[0], whose[1]]).await;
        }
        run(&["definitions", "show"]).await;
        run(&["definitions", "remove", "sales", "--for-good"]).await;
        let mut variables = self.variables.clone();
        variables.retain(|(name, _)| *name != SECRET_KEY.0);
        let other = SECRET_KEY.1.replacen('M', "N", 1);
        variables.extend([(SECRET_KEY.0, other), ("TIDEMARK_SECRET_KEY_PREVIOUS", SECRET_KEY.1.to_owned())]);
        let ended = super::super::process::run("tidemark", &["secrets", "reseal"], &variables).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// A worker at the pace of tests, at work.
    pub(super) async fn worker(&self) -> Process {
        let mut worker = Process::spawn("hasty-ingest", &[], &self.variables);
        worker.until_logged("worker started").await;
        worker
    }

    /// The documented operations that were not called.
    pub(super) async fn not_called(&self) -> Vec<String> {
        let document = self.client.get("/openapi.json").await.json();
        let paths = document["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        });
        operations.filter(|operation| !self.called.contains(operation.as_str())).collect()
    }

    /// Calls an operation, on the thing with this id if it is of one; the answer must be good.
    async fn call(&mut self, operation: &'static str, id: &str, body: Value) -> Value {
        self.note(operation);
        let (method, template) = operation.split_once(' ').unwrap();
        let path = template.replace("{metric}", "sales").replace("{name}", "item").replace("{id}", id).replace("{item}", id);
        let client = if path.contains("/admin/") { &self.operator } else { &self.client };
        let method: Method = method.parse().unwrap();
        let once = format!("{:032x}", rand::random::<u128>());
        let headers = if method == Method::POST { &[("idempotency-key", once.as_str())][..] } else { &[] };
        let send = async || match &body {
            Value::Null => client.send(method.clone(), &path, headers).await,
            body => client.send_json(method.clone(), &path, headers, body).await,
        };
        let answer = send().await;
        if method == Method::POST {
            // Asked again, it is told again.
            assert_eq!(send().await.status, answer.status, "{operation}");
        }
        assert!((200..300).contains(&answer.status), "{operation}: {}", answer.text);
        if answer.text.is_empty() { Value::Null } else { serde_json::from_str(&answer.text).unwrap() }
    }

    /// Asks for what is there already; nothing comes of it, and nothing is kept of the asking.
    async fn refused(&self, client: &Client, path: &str, body: Value) {
        let answer = client.send_json(Method::POST, path, &[("idempotency-key", "refused-once-and-for-all")], &body).await;
        assert_eq!(answer.status, 409, "{path}: {}", answer.text);
    }

    /// The first of a list, which is waited for.
    async fn some(&mut self, operation: &'static str) -> Value {
        self.note(operation);
        let (_, path) = operation.split_once(' ').unwrap();
        self.client.until(operation, path, |page| page["data"][0].is_object()).await["data"][0].clone()
    }

    fn note(&mut self, operation: &'static str) {
        self.called.insert(operation);
    }

    /// Places or edits an order.
    async fn order(&mut self, number: u32, item: &str, quantity: u32) {
        if number >= self.orders {
            (self.orders, self.units) = (number + 1, self.units + quantity);
        }
        self.deployment.put(ORDERS, order(&format!("o{number}"), item, quantity)).await;
    }

    async fn stock(&self, item: &str, on_hand: u32) {
        let row = json!({
            "item_number": {"S": item}, "location": {"S": "main"}, "tenant_id": {"S": TENANT},
            "on_hand": {"N": on_hand.to_string()}, "reorder_point": {"N": "4"},
        });
        self.deployment.put(STOCK, row).await;
    }

    /// Waits until all orders are counted, in rows of days and of quarter hours.
    async fn counted(&mut self) {
        self.note("GET /v1/metrics/{metric}/values");
        let from = clock::now().to_zoned(jiff::tz::TimeZone::UTC).date() - 2.days();
        for granularity in ["P1D", "PT1H"] {
            let path = format!("/v1/metrics/sales/values?from={from}&granularity={granularity}&measures=units");
            let what = format!("{} units to be counted", self.units);
            wait_until(&what, DEADLINE, async || {
                self.client.get(&path).await.json()["totals"].to_string().contains(&format!("\"{}\"", self.units))
            })
            .await;
        }
    }
}

pub(super) fn variables(deployment: &Deployment, definitions: &str) -> Variables {
    let mut variables = deployment.world.variables().to_vec();
    variables.extend([
        ("TIDEMARK_DEFINITIONS", definitions.to_owned()),
        (SECRET_KEY.0, SECRET_KEY.1.to_owned()),
        ("TIDEMARK_API_ADDR", "127.0.0.1:0".to_owned()),
        ("TIDEMARK_ADMIN_ADDR", "127.0.0.1:0".to_owned()),
        ("TIDEMARK_LEASE_TTL_MS", "600".to_owned()),
        ("TIDEMARK_FLUSH_INTERVAL_MS", "50".to_owned()),
        ("TIDEMARK_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8".to_owned()),
    ]);
    variables
}

fn order(id: &str, item: &str, quantity: u32) -> Value {
    json!({
        "orderid": {"S": id}, "order_date": {"S": today()}, "tenant_id": {"S": TENANT}, "item_number": {"S": item},
        "quantity": {"N": quantity.to_string()}, "unit_price": {"N": "2"}, "region": {"S": "north"}, "channel": {"S": "web"},
    })
}

fn today() -> String {
    clock::now().strftime("%F").to_string()
}

fn id(answer: &Value) -> &str {
    answer["id"].as_str().unwrap_or_else(|| panic!("no id: {answer}"))
}
