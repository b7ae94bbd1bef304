//! The two workloads as processes on a DynamoDB that misbehaves: killing the worker again and again changes no number.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tidemark_runtime::clock;
use tidemark_tests::deployment::{DEADLINE, item_of};
use tidemark_tests::{World, wait_until};

use super::process::{CALLS, Process, ask, groups, run, shipped, since_yesterday};

const TABLE: &str = "Order_by_item";
const KILLS: u64 = 6;
/// Commits between two kills: each worker gets into its work.
const COMMITS: u64 = 4;
const SEED: u64 = 20_261_122;
/// 32 bytes of nothing in particular, base64.
const SECRET_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
/// A worker ends at once; an API first takes its leave.
const PROMPT: Duration = tidemark_api::DRAIN_DELAY.saturating_add(Duration::from_secs(10));

/// Orders as they are now: each one's item and quantity. What the numbers must be is added up from this.
type Orders = BTreeMap<u32, (&'static str, u32)>;

/// One random change of one order: placed, edited, moved to another item, or deleted.
async fn change(client: &aws_sdk_dynamodb::Client, random: &mut StdRng, orders: &mut Orders, today: &str) {
    let id = random.random_range(0..200);
    let key = json!({ "orderid": {"S": format!("o{id}")}, "order_date": {"S": today} });
    if orders.contains_key(&id) && random.random_range(0..5) == 0 {
        orders.remove(&id);
        client.delete_item().table_name(TABLE).set_key(Some(item_of(&key))).send().await.unwrap();
        return;
    }
    let item = ["tea", "mug", "tray"][random.random_range(0..3)];
    let quantity = random.random_range(1..100);
    orders.insert(id, (item, quantity));
    let mut order = key;
    order["item_number"] = json!({ "S": item });
    order["quantity"] = json!({ "N": quantity.to_string() });
    client.put_item().table_name(TABLE).set_item(Some(item_of(&order))).send().await.unwrap();
}

fn units(orders: &Orders) -> BTreeMap<String, String> {
    let mut units = BTreeMap::<&str, u32>::new();
    for (item, quantity) in orders.values() {
        *units.entry(item).or_default() += quantity;
    }
    units.into_iter().map(|(item, units)| (item.to_owned(), units.to_string())).collect()
}

/// The variables of every process of this deployment.
fn variables(world: &World) -> Vec<(&'static str, String)> {
    let mut variables = world.variables().to_vec();
    variables.extend([
        ("TIDEMARK_DEFINITIONS", shipped("orders-by-item.yaml")),
        ("TIDEMARK_SECRET_KEY", SECRET_KEY.to_owned()),
        ("TIDEMARK_API_ADDR", "127.0.0.1:0".to_owned()),
        ("TIDEMARK_ADMIN_ADDR", "127.0.0.1:0".to_owned()),
        ("TIDEMARK_LEASE_TTL_MS", "500".to_owned()),
        ("TIDEMARK_FLUSH_INTERVAL_MS", "50".to_owned()),
    ]);
    variables
}

#[tokio::test]
async fn a_worker_killed_again_and_again_on_a_faulty_dynamodb_leaves_the_numbers_exact() {
    let world = World::start().await;
    let variables = variables(&world);
    assert_eq!(run("tidemark", &["init", "--with-sources"], &variables).await.code, Some(0));
    for _ in 0..2 {
        assert_eq!(run("tidemark", &["tenant", "create", "demo", "--time-zone", "UTC"], &variables).await.code, Some(0));
    }
    let key = run("tidemark", &["key", "create", "--tenant", "demo", "--json"], &variables).await.json();
    let key = key["key"].as_str().unwrap();

    let mut api = Process::spawn("tidemark-api", &[], &variables);
    let listening = api.until_logged("the API listens").await;
    let addr = listening["addr"].as_str().unwrap();
    let url = format!("http://{addr}/v1/metrics/sales/values?group_by=item&{}", since_yesterday());
    world.front().random_faults(SEED, 20, CALLS);

    let (client, mut random, mut orders) = (world.dynamodb(), StdRng::seed_from_u64(SEED), Orders::new());
    let today = clock::now().strftime("%F").to_string();
    let mut ingest = Process::spawn("tidemark-ingest", &[], &variables);
    for _ in 0..KILLS {
        let enough = world.front().calls("TransactWriteItems") + COMMITS;
        wait_until("the worker to commit", DEADLINE, async || {
            change(&client, &mut random, &mut orders, &today).await;
            world.front().calls("TransactWriteItems") >= enough || ingest.has_ended()
        })
        .await;
        ingest.kill().await;
        ingest = Process::spawn("tidemark-ingest", &[], &variables);
    }
    let expected = units(&orders);
    let answered = async || groups(&ask(&url, key).await, "item", "units");
    wait_until("the API to answer with the sum of the orders", DEADLINE, async || {
        assert!(!ingest.has_ended(), "the worker ended by itself; {expected:?} expected");
        answered().await == expected
    })
    .await;
    world.front().no_faults();
    let begun = clock::now();
    wait_until("everything written to be included", DEADLINE, async || {
        let answer = ask(&url, key).await;
        answer["freshness"]["watermark"].as_str().is_some_and(|mark| mark.parse::<jiff::Timestamp>().unwrap() > begun)
    })
    .await;
    assert_eq!(answered().await, expected);
    let faults: u64 = CALLS.iter().map(|call| world.front().faults(call)).sum();
    println!("{} orders, {faults} faults, {KILLS} kills", orders.len());
    assert!(faults > 0, "nothing went wrong, so nothing was proved");

    let asked = Instant::now();
    for process in [ingest, api] {
        process.signal("-TERM").await;
        let ended = process.ended(PROMPT).await;
        assert_eq!((ended.code, ended.told()), (Some(0), Vec::new()), "{}", ended.stderr);
    }
    println!("SIGTERM ended both after {:?}", asked.elapsed());
}
