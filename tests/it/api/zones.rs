//! Days that a newer time-zone database has moved make a metric inexact, for the tenants of that zone and until it is started again.

use std::time::Duration;

use serde_json::{Value, json};
use tidemark_runtime::clock;
use tidemark_tests::{Client, Fault, RunningApi, When};

use super::orders::Order;
use super::{Shop, year};

/// A shop with a tenant in Berlin, where days have moved, and one in Tokyo. The API of the answer has read no zone yet.
async fn moved() -> (Shop, RunningApi) {
    let shop = Shop::open_with(&[("acme", "Europe/Berlin"), ("rival", "Asia/Tokyo")]).await;
    shop.sell(&[Order::new("acme", "a"), Order::new("rival", "b")]).await;
    let item = json!({
        "pk": {"S": "ZONES"}, "sk": {"S": "Europe/Berlin"}, "tzdb": {"S": "2999z"}, "offsets": {"S": "946684800:0"},
        "until": {"N": "4102444800"}, "moved_at": {"S": clock::now().to_string()},
    });
    shop.deployment.put("tidemark", item).await;
    let api = shop.deployment.start_api().await;
    (shop, api)
}

fn values(metric: &str) -> String {
    format!("/v1/metrics/{metric}/values?{}", year())
}

async fn reasons(client: &Client, metric: &str) -> Value {
    client.get(&values(metric)).await.json()["freshness"]["reasons"].clone()
}

async fn status(client: &Client) -> Value {
    client.get("/v1/status").await.json()["data"][0].clone()
}

#[tokio::test]
async fn days_that_moved_are_a_reason_for_the_tenants_of_the_zone_alone() {
    let (shop, api) = moved().await;
    let [acme, rival] = [shop.deployment.key_of("acme").await, shop.deployment.key_of("rival").await].map(|key| api.client(key));
    let answer = acme.get(&values("sales")).await;
    assert_eq!(
        (answer.json()["freshness"]["exact"].clone(), answer.header("data-exact")),
        (json!(false), Some("false; reasons=\"zones\""))
    );
    for metric in ["sales", "visits"] {
        assert_eq!((reasons(&acme, metric).await, reasons(&rival, metric).await), (json!(["zones"]), json!([])), "{metric}");
    }
    let told = status(&acme).await;
    assert_eq!(
        (&told["exact"], &told["reasons"], &told["descriptions"][0]["reason"]),
        (&json!(false), &json!(["zones"]), &json!("zones"))
    );
    let detail = told["descriptions"][0]["detail"].as_str().unwrap();
    for part in ["Europe/Berlin", "sales, visits", "tidemark definitions accept METRIC --from-now"] {
        assert!(detail.contains(part), "no `{part}`: {detail}");
    }
    assert_eq!(status(&rival).await["reasons"], json!([]));
    // Levels have no days.
    assert!(!acme.get("/v1/inventory").await.text.contains("zones"));
    api.stop().await;
    shop.close().await;
}

#[tokio::test]
async fn a_metric_that_is_started_again_does_not_have_the_reason_and_others_keep_it() {
    let (shop, api) = moved().await;
    let acme = api.client(shop.deployment.key_of("acme").await);
    assert_eq!(reasons(&acme, "sales").await, json!(["zones"]));
    let store = &shop.deployment.store;
    let (running, moved_at) = (store.running().await.unwrap().unwrap(), store.moved_zones().await.unwrap());
    let [(name, moved_at)] = &moved_at[..] else { panic!("one zone: {moved_at:?}") };
    assert_eq!(name, "Europe/Berlin");
    let sales = "sales".to_owned().try_into().unwrap();
    let again = running.accept_from_now(&shop.deployment.definitions, &sales, clock::now(), Some(*moved_at)).unwrap();
    store.put_running(&again).await.unwrap();
    let restarted = |answer: &Value| answer["freshness"]["reasons"] == json!(["definitions"]);
    acme.until("the metric to count from now on", &values("sales"), restarted).await;
    assert_eq!(reasons(&acme, "visits").await, json!(["zones"]));
    let told = status(&acme).await;
    assert_eq!(told["reasons"], json!(["definitions", "zones"]), "one of its metrics has it");
    let detail = told["descriptions"][1]["detail"].as_str().unwrap();
    assert!(detail.contains("visits") && !detail.contains("sales"), "{detail}");
    api.stop().await;
    shop.close().await;
}

#[tokio::test]
async fn whether_days_have_moved_is_read_once_for_many_answers() {
    let (shop, api) = moved().await;
    let front = shop.deployment.world.front();
    // No fault: it counts the calls.
    let of_zones = |body: &Value| body["Key"]["pk"]["S"] == "ZONES";
    front.fault("GetItem", When::Matching(Box::new(of_zones)), Fault::Delay(Duration::ZERO));
    for _ in 0..2 {
        let acme = api.client(shop.deployment.key_of("acme").await);
        for metric in ["sales", "visits"] {
            assert_eq!(reasons(&acme, metric).await, json!(["zones"]));
        }
        assert_eq!(status(&acme).await["reasons"], json!(["zones"]));
    }
    assert_eq!(front.faults("GetItem"), 1);
    api.stop().await;
    shop.close().await;
}
