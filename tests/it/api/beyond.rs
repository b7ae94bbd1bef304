//! Input beyond what DynamoDB takes, in every place that takes text: it is refused or finds nothing, and never a fault of the API. The
//! front refuses what AWS refuses, and the world fails a test in which the API has sent such a call.
//!
//! | What AWS refuses (Quotas in Amazon DynamoDB) | What clients can send of it | Test |
//! |---|---|---|
//! | a partition key of more than 2,048 bytes, a sort key or prefix of more than 1,024; an empty one | ids in paths, filters, prefixes, cursors | [`a_part_of_a_path_is_never_a_fault_of_the_api`], [`a_parameter_is_never_a_fault_of_the_api`], [`parameters_too_long_together_are_no_fault_of_the_api`] |
//! | an item of more than 400 KB | names, notes, scopes of rules, headers of endpoints | [`a_field_of_a_body_is_never_a_fault_of_the_api`] |
//! | an expression of more than 4 KB or 300 operators | many filter values | [`parameters_too_long_together_are_no_fault_of_the_api`] |
//! | a number of more than 38 digits or beyond 1E-130 to 9.99E+125 (emulators refuse it, too) | thresholds, limits | [`a_field_of_a_body_is_never_a_fault_of_the_api`], [`a_parameter_is_never_a_fault_of_the_api`] |
//! | more than 32 levels of nesting (emulators refuse it, too) | bodies | [`a_field_of_a_body_is_never_a_fault_of_the_api`] |
//! | 100 items in a transaction or a BatchGetItem, or one of them twice | lists in bodies, with the same entry again | [`a_field_of_a_body_is_never_a_fault_of_the_api`] |
//! | an ExclusiveStartKey of another query | cursors | [`changed_cursors_are_no_fault_of_the_api`] |
//! | text that is no UTF-8, and control characters | all of these, and headers | [`a_part_of_a_path_is_never_a_fault_of_the_api`], [`a_header_is_never_a_fault_of_the_api`] |

use reqwest::Method;
use serde_json::{Value, json};
use tidemark_tests::{Answer, Client};

use super::operations::{self, Operation};
use super::stock::{STOCK, Stock, rule, shelf};
use super::webhook_endpoints::{ENDPOINTS, NOWHERE};
use super::{SHOP, admin};

/// Lengths around those of keys.
const LENGTHS: [usize; 3] = [1_000, 1_100, 2_100];
/// Texts that have a meaning somewhere, between spaces.
const ODD: &str = "\0 \u{1}a # % %00 a#b \\ \" ' \u{202e} \u{10ffff} \u{feff} \u{1f469}\u{200d}\u{1f467} * , ,, a,a : - -- 0 -1 1e400 1E-131 \
                   9.999E+125 1E+126 NaN 18446744073709551616 99999999999999999999999999999999999999.9 true null [] {} \
                   9999-12-31T23:59:59Z +010000-01-01 -009999-01-01 UTC operator alr_ rul_ ep_ dlv_ rul_7ZZZZZZZZZZZZZZZZZZZZZZZZZ \
                   alr_8ZZZZZZZZZZZZZZZZZZZZZZZZZ ep_00000000000000000000000000 qua_99999999_x_1 qua_20260330_orders_ SETTINGS T#acme";

/// Texts that no place expects.
fn texts() -> Vec<String> {
    let long = LENGTHS.into_iter().flat_map(|length| ["a", "9", "é"].map(|letter| letter.repeat(length / letter.len())));
    let odd = ODD.split(' ').chain(["", " ", "\r\n"]);
    long.chain(odd.map(str::to_owned)).collect()
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

/// An API with something of each kind, and what it has done wrong.
struct Shop {
    stock: Stock,
    acme: Client,
    operator: Client,
    /// Addresses of what is there, by the template that has them.
    there: Vec<(&'static str, String)>,
    faults: Vec<String>,
}

impl Shop {
    async fn open() -> Self {
        let (sources, inventory) = STOCK.split_once("inventory:").unwrap();
        let (_, source) = sources.split_once("sources:\n").unwrap();
        let both = SHOP.replacen("sources:\n", &format!("sources:\n{source}"), 1) + "inventory:" + inventory;
        let stock = Stock::open_with(&both).await;
        stock.deployment.create_tenant("acme", "UTC").await;
        let (acme, operator) = (stock.client("acme").await, admin::operator(&stock).await);
        stock.set(&[shelf("acme", "tea", "1").low_at("5")]).await;
        let id = |answer: Value| answer["id"].as_str().unwrap().to_owned();
        let endpoint = id(acme.post(ENDPOINTS, &json!({ "url": NOWHERE })).await.json_of(201));
        let made = id(acme.post("/v1/alert-rules", &rule(&json!({ "item": "milk" }), "5")).await.json_of(201));
        let alert = id(acme.get("/v1/alerts").await.json()["data"][0].clone());
        let there = vec![
            ("/v1/webhook-endpoints/", endpoint),
            ("/v1/alert-rules/", made),
            ("/v1/alerts/", alert),
            ("/v1/admin/tenants/", "acme".to_owned()),
            ("/v1/inventory/", "tea".to_owned()),
        ];
        Self { stock, acme, operator, there, faults: Vec::new() }
    }

    async fn operations(&self) -> Vec<Operation> {
        operations::all(&self.acme).await
    }

    fn client(&self, operation: &Operation) -> &Client {
        if operation.is_operators() { &self.operator } else { &self.acme }
    }

    /// The address of something that is there, if there is something of the kind.
    fn path(&self, operation: &Operation) -> String {
        let there = self.there.iter().find(|(start, _)| operation.template.starts_with(start));
        there.map_or_else(|| operation.path(), |(_, id)| operation.path_of(id))
    }

    /// Notes an answer that is a fault of the API.
    fn note(&mut self, answer: &Answer, operation: &Operation, what: &str) {
        // A name is looked up for an endpoint: there may be no name server here.
        if answer.status >= 500 && answer.problem()["code"] != "resolver_unavailable" {
            let (method, template, text) = (&operation.method, &operation.template, &answer.text);
            self.faults.push(format!("{method} {template} {what:.80}: {text:.300}"));
        }
    }

    async fn close(self) {
        assert!(self.faults.is_empty(), "{} faults: {:#?}", self.faults.len(), self.faults);
        self.stock.api.stop().await;
    }
}

#[tokio::test]
async fn a_part_of_a_path_is_never_a_fault_of_the_api() {
    let mut shop = Shop::open().await;
    for operation in shop.operations().await {
        for part in ["{metric}", "{name}", "{id}"].into_iter().filter(|part| operation.template.contains(part)) {
            for text in texts() {
                let asked = Operation { template: operation.template.replace(part, &encoded(&text)), ..operation.clone() };
                let path = asked.template.replace("{metric}", "sales").replace("{name}", "item");
                let answer = asked.call(shop.client(&operation), &path).await;
                shop.note(&answer, &operation, &text);
            }
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn a_parameter_is_never_a_fault_of_the_api() {
    let mut shop = Shop::open().await;
    for operation in shop.operations().await {
        let path = shop.path(&operation);
        for name in &operation.query {
            for text in texts() {
                let answer = operation.call(shop.client(&operation), &format!("{path}?{name}={}", encoded(&text))).await;
                shop.note(&answer, &operation, &format!("{name}={text}"));
            }
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn parameters_too_long_together_are_no_fault_of_the_api() {
    let mut shop = Shop::open().await;
    let operations = shop.operations().await;
    let values = |count: usize, length: usize| {
        (0..count).map(|number| format!("{number:03}{}", "v".repeat(length - 3))).collect::<Vec<_>>().join(",")
    };
    let item = |text: &str| format!("filter[item]={text}");
    for (template, query) in [
        ("/v1/metrics/{metric}/values", format!("group_by=item&{}", item(&values(1, 1_100)))),
        ("/v1/metrics/{metric}/values", format!("group_by=item&{}", item(&values(300, 20)))),
        (
            "/v1/metrics/{metric}/values",
            format!("group_by=item,region&{}&filter[region]={}", item(&values(9, 600)), values(9, 600)),
        ),
        ("/v1/metrics/{metric}/values", format!("group_by=item&{}", item(&values(100, 250)))),
        ("/v1/metrics/{metric}/dimensions/{name}", format!("limit=1&prefix={}", values(1, 1_016))),
        ("/v1/inventory", format!("{}&filter[location]={}", item(&values(1, 1_000)), values(1, 1_000))),
        ("/v1/inventory", format!("{}&filter[location]={}&order=item", item(&values(1, 500)), values(1, 520))),
        ("/v1/inventory", format!("{}&inventory=stock", item(&values(120, 200)))),
        ("/v1/inventory/{id}", format!("inventory={}", values(1, 2_000))),
        ("/v1/alerts", format!("{}&filter[location]={}&filter[state]=firing", item(&values(1, 1_000)), values(1, 1_000))),
    ] {
        let operation =
            operations.iter().find(|operation| operation.template == template && operation.method == Method::GET).unwrap();
        let answer = shop.acme.get(&format!("{}?{query}", shop.path(operation))).await;
        shop.note(&answer, operation, &query);
    }
    shop.close().await;
}

#[tokio::test]
async fn changed_cursors_are_no_fault_of_the_api() {
    let mut shop = Shop::open().await;
    for number in 0..3 {
        let shelf = format!("tea-{number}");
        shop.stock.set(&[super::stock::shelf("acme", &shelf, "1").low_at("5")]).await;
        shop.acme.post("/v1/alert-rules", &rule(&json!({ "item": shelf }), "5")).await.json_of(201);
    }
    let lists: Vec<Operation> =
        shop.operations().await.into_iter().filter(|operation| operation.query.iter().any(|name| name == "cursor")).collect();
    let mut cursors = vec![String::new(), "A".repeat(22), "A".repeat(30_000), "_-".repeat(600), "====".to_owned()];
    for list in &lists {
        let page = shop.client(list).get(&format!("{}?limit=1", shop.path(list))).await;
        let Some(cursor) = page.json()["page"]["next_cursor"].as_str().map(str::to_owned) else { continue };
        for at in (0..cursor.len()).step_by(5) {
            let mut changed = cursor.clone();
            changed.replace_range(at..=at, if changed[at..].starts_with('A') { "B" } else { "A" });
            cursors.extend([changed, cursor[..at].to_owned()]);
        }
        cursors.extend([cursor.clone() + "A", cursor.clone() + &cursor, cursor]);
    }
    assert!(cursors.len() > 50, "there are lists with a second page: {cursors:?}");
    for list in &lists {
        for cursor in &cursors {
            let answer = shop.client(list).get(&format!("{}?limit=1&cursor={}", shop.path(list), encoded(cursor))).await;
            shop.note(&answer, list, cursor);
        }
    }
    shop.close().await;
}

/// Values that no field expects. Of the odd texts it has a few: a body has many fields.
fn values() -> Vec<Value> {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let in_objects = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
    let fields = |count: usize| Value::Object((0..count).map(|number| (format!("f{number}"), json!("x"))).collect());
    let digits = |count: usize| json!("9".repeat(count));
    let mut values: Vec<Value> = texts().into_iter().step_by(5).map(Value::String).collect();
    values.extend([json!(null), json!(true), json!(-1), json!(u64::MAX), json!(f64::MAX), json!(1e-300), json!([]), json!({})]);
    values.extend([nested(33), in_objects(33), in_objects(100), fields(1_000), json!({ "item": "a".repeat(1_100) })]);
    values.extend([json!(vec!["metrics:read"; 101]), json!(vec![json!({ "severity": "warning" }); 101]), json!({ "": "" })]);
    values.extend([digits(38), digits(39), digits(127), json!("x".repeat(50_000)), json!("é".repeat(200))]);
    values
}

/// The addresses of all values inside another, those of objects and lists too.
fn pointers(value: &Value, at: &str) -> Vec<String> {
    let mut all = vec![at.to_owned()];
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value)).collect(),
        Value::Array(entries) => entries.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    all.extend(inner.into_iter().flat_map(|(name, value)| pointers(value, &format!("{at}/{name}"))));
    all
}

#[tokio::test]
async fn a_field_of_a_body_is_never_a_fault_of_the_api() {
    let mut shop = Shop::open().await;
    for operation in shop.operations().await {
        let Some(mut example) = operation.body.clone() else { continue };
        if let Some(url) = example.get_mut("url") {
            *url = json!(NOWHERE);
        }
        let path = shop.path(&operation);
        for pointer in pointers(&example, "") {
            for value in values() {
                let mut body = example.clone();
                *body.pointer_mut(&pointer).unwrap() = value;
                let answer = shop.client(&operation).send_json(operation.method.clone(), &path, &[], &body).await;
                shop.note(&answer, &operation, &format!("{pointer}: {}", body.pointer(&pointer).unwrap()));
            }
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn a_header_is_never_a_fault_of_the_api() {
    let mut shop = Shop::open().await;
    let long = ["a".repeat(2_100), "é".repeat(1_050)];
    let odd = ["", "*", "W/\"\"", "\"a\", \"b\"", "99999999999999999999"];
    let values: Vec<&str> = long.iter().map(String::as_str).chain(odd).collect();
    for operation in shop.operations().await {
        // What is there stays there.
        let path = if operation.method == Method::DELETE { operation.path() } else { shop.path(&operation) };
        for name in ["idempotency-key", "if-match", "if-none-match", "x-request-id"] {
            for value in &values {
                let (client, method, headers) = (shop.client(&operation), operation.method.clone(), [(name, *value)]);
                let answer = match &operation.body {
                    Some(body) => client.send_json(method, &path, &headers, body).await,
                    None => client.send(method, &path, &headers).await,
                };
                shop.note(&answer, &operation, &format!("{name}: {value}"));
            }
        }
    }
    shop.close().await;
}
