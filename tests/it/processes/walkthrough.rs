//! The AWS Guidance's walk-through on `tidemark dev`: its four orders, then what its own Lambda gets wrong.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use serde_json::{Value, json};
use tidemark_runtime::{aws, clock};
use tidemark_tests::deployment::item_of;
use tidemark_tests::wait_until;

use super::process::{Process, ask, groups, shipped, since_yesterday};

/// Longest a change may take to be seen. It takes a fraction of a second; a busy machine gets more.
const VISIBLE: Duration = Duration::from_secs(2);
const TABLE: &str = "Order_by_item";

struct WalkThrough {
    dev: Value,
    client: Client,
    slowest: Duration,
}

fn order(id: &str, item: &str, quantity: &str) -> Value {
    let today = clock::now().to_string();
    json!({ "orderid": {"S": id}, "order_date": {"S": &today[..10]}, "item_number": {"S": item}, "quantity": {"N": quantity} })
}

impl WalkThrough {
    async fn put(&self, order: Value) {
        self.client.put_item().table_name(TABLE).set_item(Some(item_of(&order))).send().await.unwrap();
    }

    /// Waits until the API answers with these units of `item123` and `item312`.
    async fn expect(&mut self, expected: [&str; 2]) {
        let url =
            format!("{}/v1/metrics/sales/values?group_by=item&{}", self.dev["api_url"].as_str().unwrap(), since_yesterday());
        let key = self.dev["keys"]["demo"].as_str().unwrap();
        let written = Instant::now();
        wait_until(&format!("{expected:?} to be answered"), VISIBLE, async || {
            let units = groups(&ask(&url, key).await, "item", "units");
            ["item123", "item312"].map(|item| units.get(item).map_or("0", String::as_str)) == expected
        })
        .await;
        self.slowest = self.slowest.max(written.elapsed());
    }
}

#[tokio::test]
async fn every_step_of_the_guidances_walk_through_is_seen_at_once() {
    let file = shipped("orders-by-item.yaml");
    let arguments = ["dev", "--json", "--port", "0", "--dynamodb-port", "0", "--no-sample-data", "--definitions", &file];
    let mut process = Process::spawn::<&str>("tidemark", &arguments, &[]);
    let dev: Value = serde_json::from_str(&process.first_line().await).unwrap();
    let client = Client::new(&aws::at_endpoint(dev["dynamodb_url"].as_str().unwrap(), "any"));
    let mut walk = WalkThrough { dev, client, slowest: Duration::ZERO };
    for (id, item, quantity) in
        [("o1", "item123", "10"), ("o2", "item123", "30"), ("o3", "item312", "15"), ("o4", "item312", "25")]
    {
        walk.put(order(id, item, quantity)).await;
    }
    walk.expect(["40", "40"]).await;
    walk.put(order("o1", "item123", "12")).await;
    walk.expect(["42", "40"]).await;
    walk.put(order("o1", "item312", "12")).await;
    walk.expect(["30", "52"]).await;
    let key = order("o2", "", "0");
    let key = item_of(&json!({ "orderid": key["orderid"], "order_date": key["order_date"] }));
    walk.client.delete_item().table_name(TABLE).set_key(Some(key)).send().await.unwrap();
    walk.expect(["0", "52"]).await;
    println!("the slowest change was seen after {:?}", walk.slowest);
    process.signal("-INT").await;
    assert_eq!(process.ended(Duration::from_secs(10)).await.code, Some(0));
}
