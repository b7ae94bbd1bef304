//! A rule that was written is a rule that is judged, whoever dies right after. ALERTS §2.

use std::time::{Duration, Instant};

use serde_json::json;
use tidemark_tests::deployment::{DEADLINE, SECRET_KEY, item_of};
use tidemark_tests::{Receiver, World, wait_until};

use super::process::{Process, http, post, run, shipped};

/// ALERTS §2.
const WITHIN: Duration = Duration::from_secs(10);

/// The variables of every process here.
fn variables(world: &World) -> Vec<(&'static str, String)> {
    let mut variables = world.variables().to_vec();
    variables.extend([
        ("TIDEMARK_DEFINITIONS", shipped("retail.yaml")),
        (SECRET_KEY.0, SECRET_KEY.1.to_owned()),
        ("TIDEMARK_API_ADDR", "127.0.0.1:0".to_owned()),
        ("TIDEMARK_ADMIN_ADDR", "127.0.0.1:0".to_owned()),
        ("TIDEMARK_LEASE_TTL_MS", "500".to_owned()),
        ("TIDEMARK_FLUSH_INTERVAL_MS", "50".to_owned()),
        ("TIDEMARK_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8".to_owned()),
    ]);
    variables
}

#[tokio::test]
async fn a_rule_over_low_stock_fires_though_the_api_dies_right_after_it_was_written() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let variables = variables(&world);
    assert_eq!(run("tidemark", &["init", "--with-sources"], &variables).await.code, Some(0));
    let key = run("tidemark", &["key", "create", "--tenant", "demo", "--json"], &variables).await.json();
    let key = key["key"].as_str().unwrap();
    let mut api = Process::spawn("tidemark-api", &[], &variables);
    let url = format!("http://{}/v1", api.until_logged("the API listens").await["addr"].as_str().unwrap());

    // A level that no rule calls low yet.
    let ingest = Process::spawn("tidemark-ingest", &[], &variables);
    let row = json!({ "item_number": {"S": "tea"}, "location": {"S": "main"}, "on_hand": {"N": "3"} });
    world.dynamodb().put_item().table_name("Stock").set_item(Some(item_of(&row))).send().await.unwrap();
    wait_until("the level to be stored", DEADLINE, async || {
        let level = http().get(format!("{url}/inventory/tea")).header("authorization", format!("Bearer {key}"));
        level.send().await.unwrap().status().is_success()
    })
    .await;
    ingest.signal("-TERM").await;
    assert_eq!(ingest.ended(DEADLINE).await.code, Some(0));

    post(&format!("{url}/webhook-endpoints"), key, json!({ "url": receiver.url("all") })).await;
    let levels = json!([{ "severity": "warning", "fires_at_or_below": "5" }]);
    let scope = json!({ "inventory": "stock", "item": "tea", "location": "main" });
    let rule = post(&format!("{url}/alert-rules"), key, json!({ "scope": scope, "levels": levels })).await;
    api.kill().await;
    assert!(receiver.all().is_empty(), "nobody was there to judge by the rule");

    let mut ingest = Process::spawn("tidemark-ingest", &[], &variables);
    ingest.until_logged("probes and metrics are answered").await;
    let started = Instant::now();
    let [fired] = &receiver.until_taken("all", &["fired"]).await[..] else { unreachable!("one kind was waited for") };
    let alert = &fired.json()["data"]["alert"];
    assert_eq!((&alert["rule"]["id"], &alert["item"], &alert["available"]), (&rule["id"], &json!("tea"), &json!("3")));
    assert!(started.elapsed() < WITHIN, "{:?}", started.elapsed());
    println!("fired {:?} after the worker's start", started.elapsed());
}
