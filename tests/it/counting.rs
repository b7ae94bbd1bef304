//! The main job: what is written to a source becomes numbers, and stays right.

use serde_json::{Value, json};
use tidemark_tests::Deployment;

const ORDERS_BY_ITEM: &str = include_str!("../../definitions/orders-by-item.yaml");
const TABLE: &str = "Order_by_item";

fn order(id: &str, item: &str, quantity: &str) -> Value {
    let date = tidemark_runtime::clock::now().to_string();
    json!({ "orderid": {"S": id}, "order_date": {"S": &date[..10]}, "item_number": {"S": item}, "quantity": {"N": quantity} })
}

fn key(order: &Value) -> Value {
    json!({ "orderid": order["orderid"], "order_date": order["order_date"] })
}

#[tokio::test]
async fn the_guidances_walk_through_counts_edits_moves_and_deletes() {
    let deployment = Deployment::start(ORDERS_BY_ITEM).await;
    let ingest = deployment.start_ingest().await;
    let item = |item| Some(("item", item));
    let units = ("sales", "units");
    for (id, number, quantity) in
        [("o1", "item123", "10"), ("o2", "item123", "30"), ("o3", "item312", "15"), ("o4", "item312", "25")]
    {
        deployment.put(TABLE, order(id, number, quantity)).await;
    }
    deployment.expect_total("demo", units, item("item123"), "40").await;
    deployment.expect_total("demo", units, item("item312"), "40").await;
    deployment.expect_total("demo", units, None, "80").await;

    deployment.put(TABLE, order("o1", "item123", "12")).await;
    deployment.expect_total("demo", units, item("item123"), "42").await;

    deployment.put(TABLE, order("o1", "item312", "12")).await;
    deployment.expect_total("demo", units, item("item123"), "30").await;
    deployment.expect_total("demo", units, item("item312"), "52").await;

    deployment.delete(TABLE, key(&order("o1", "item312", "12"))).await;
    deployment.expect_total("demo", units, item("item312"), "40").await;
    deployment.expect_total("demo", units, None, "70").await;
    ingest.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_loses_and_repeats_nothing() {
    let deployment = Deployment::start(ORDERS_BY_ITEM).await;
    let mut expected = 0;
    for round in 0..4 {
        let ingest = deployment.start_ingest().await;
        for index in 0..25 {
            deployment.put(TABLE, order(&format!("o{round}-{index}"), "item123", "1")).await;
            expected += 1;
        }
        if round % 2 == 0 { ingest.kill().await } else { ingest.stop().await }
    }
    let ingest = deployment.start_ingest().await;
    deployment.expect_total("demo", ("sales", "units"), None, &expected.to_string()).await;
    deployment.settled("orders").await;
    assert_eq!(deployment.total("demo", ("sales", "units"), None).await, expected.to_string());
    ingest.stop().await;
}
