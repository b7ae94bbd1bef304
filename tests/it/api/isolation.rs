//! No tenant ever sees a trace of another: not its numbers, its names, its bad records, nor that any of them exist.

use serde_json::{Value, json};
use tidemark_tests::{Answer, Client, Deployment};

use super::orders::Order;
use super::{SHOP, Shop, TABLE, year};

/// What acme's data are recognised by.
const MARKS: [&str; 3] = ["Acme's own", "918273645", "acme-bad"];

/// An answer without what differs between two requests anyhow.
fn bytes(answer: &Answer) -> (u16, String) {
    let mut body: Value = serde_json::from_str(&answer.text).unwrap();
    let instance = body["instance"].take();
    (answer.status, answer.text.replace(instance.as_str().unwrap(), ""))
}

async fn acme_sells(shop: &Shop) {
    shop.sell(&[
        Order::new("acme", "a1").of("Acme's own", "918273645", "1", "EUR"),
        Order::new("rival", "r1").of("tea", "7", "1", "EUR"),
    ])
    .await;
    let mut bad = Order::new("acme", "acme-bad").image();
    bad["quantity"] = json!({ "S": "many" });
    shop.deployment.put(TABLE, bad).await;
    shop.client("acme").await.until("the bad order's record", "/v1/quarantine", |list| !list["data"][0].is_null()).await;
}

#[tokio::test]
async fn a_tenants_answers_hold_nothing_of_anothers() {
    let shop = Shop::open().await;
    acme_sells(&shop).await;
    let (acme, rival, stranger) = (shop.client("acme").await, shop.client("rival").await, shop.client("nobody").await);
    let year = year();
    let paths = [
        "/v1/metrics".to_owned(),
        "/v1/metrics/sales".to_owned(),
        "/v1/metrics/visits".to_owned(),
        format!("/v1/metrics/sales/values?{year}"),
        format!("/v1/metrics/sales/values?{year}&group_by=item"),
        format!("/v1/metrics/sales/values?{year}&filter[item]=Acme%27s+own"),
        format!("/v1/metrics/sales/values?{year}&group_by=item,region&compare=previous_year"),
        "/v1/status".to_owned(),
        "/v1/quarantine".to_owned(),
    ];
    let holds_a_mark = |answer: &Answer| MARKS.iter().any(|mark| answer.text.contains(mark));
    for path in &paths {
        for other in [&rival, &stranger] {
            let answer = other.get(path).await;
            // The filter's own text is in no answer, so not even that is an echo.
            assert!(answer.status == 200 && !holds_a_mark(&answer), "{path}: {}", answer.text);
        }
    }
    // The marks are there to be found.
    for path in [&paths[3], &paths[4]] {
        assert!(holds_a_mark(&acme.get(path).await), "{path}");
    }
    let units = |answer: Value| answer["totals"][0]["values"]["units"].clone();
    assert_eq!(units(rival.get(&paths[3]).await.json()), "7");
    assert_eq!(units(rival.get(&paths[5]).await.json()), Value::Null);
    assert_eq!(stranger.get(&paths[3]).await.json()["totals"], json!([]));
    let quarantined = async |client: &Client| client.get("/v1/status").await.json()["data"][0]["quarantined"].clone();
    assert_eq!((quarantined(&acme).await, quarantined(&rival).await), (json!(1), json!(0)));
    shop.close().await;
}

#[tokio::test]
async fn another_tenants_record_is_like_one_that_is_not_there() {
    let shop = Shop::open().await;
    acme_sells(&shop).await;
    let (acme, rival) = (shop.client("acme").await, shop.client("rival").await);
    let id = acme.get("/v1/quarantine").await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/quarantine/{id}");
    assert_eq!(acme.get(&path).await.json()["new"]["item"]["id"], json!({ "S": "acme-bad" }));
    let foreign = rival.get(&path).await;
    assert_eq!(foreign.problem()["code"], "not_found");
    for unknown in ["/v1/quarantine/qua_20260330_orders_4700000000001", "/v1/quarantine/x", "/v1/metrics/none", "/v1/none"] {
        assert_eq!(bytes(&foreign), bytes(&rival.get(unknown).await), "{unknown}");
    }
    shop.close().await;
}

#[tokio::test]
async fn the_tenant_comes_from_the_key_alone() {
    let shop = Shop::open().await;
    acme_sells(&shop).await;
    let rival = shop.client("rival").await;
    for name in ["tenant", "tenant_id", "filter[tenant]"] {
        let answer = rival.ask("/v1/metrics/sales/values", &[(name, "acme")]).await;
        assert!([400, 422].contains(&answer.problem()["status"].as_u64().unwrap()), "{name}");
    }
    let path = format!("/v1/metrics/sales/values?{}", year());
    let headers = [("x-tenant-id", "acme"), ("tenant", "acme"), ("cookie", "tenant=acme"), ("forwarded", "for=acme")];
    let answer = rival.send(reqwest::Method::GET, &path, &headers).await.json();
    assert_eq!(answer["totals"][0]["values"]["units"], "7");
    shop.close().await;
}

#[tokio::test]
async fn a_metric_of_one_tenants_own_table_is_there_for_nobody_else() {
    let private =
        "\nmetrics:\n  private:\n    source: own\n    time: at\n    measures: { n: { count: true } }\n    group_by: [[]]\n";
    let source = "sources:\n  own: { table: Own, key: { partition: id }, tenant: { constant: acme } }\n";
    let text = SHOP.replacen("sources:\n", source, 1).replacen("\nmetrics:\n", private, 1);
    let deployment = Deployment::start(&text).await;
    let api = deployment.start_api().await;
    let acme = api.client(deployment.key_of("acme").await);
    let rival = api.client(deployment.key_of("rival").await);
    assert_eq!(acme.get("/v1/metrics/private").await.json()["metric"], "private");
    assert_eq!(acme.get("/v1/metrics/private/values").await.status, 200);
    assert_eq!(acme.get("/v1/status").await.json()["data"].as_array().unwrap().len(), 2);
    for path in ["/v1/metrics/private", "/v1/metrics/private/values"] {
        assert_eq!(bytes(&rival.get(path).await), bytes(&rival.get(&path.replace("private", "unknown")).await), "{path}");
    }
    for path in ["/v1/metrics", "/v1/status"] {
        let answer = rival.get(path).await;
        assert!(answer.status == 200 && !answer.text.contains("private") && !answer.text.contains("\"own\""), "{}", answer.text);
    }
    api.stop().await;
}
