//! Creating requests with an `Idempotency-Key`: one effect and one answer, whatever is lost on the way. API.md §1.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Answer, Client, Fault, When, wait_until};
use tokio::task::JoinSet;

use super::stock::{Stock, faults, rule};

const RULES: &str = "/v1/alert-rules";
const ENDPOINTS: &str = "/v1/webhook-endpoints";
/// Attempts that the SDK makes of one call.
const SDK_ATTEMPTS: u64 = 3;

async fn post(client: &Client, key: &str, path: &str, body: &Value) -> Answer {
    client.send_json(Method::POST, path, &[("idempotency-key", key)], body).await
}

/// A rule about an item, anywhere.
fn low(item: &str, fires: &str) -> Value {
    rule(&json!({ "inventory": "stock", "item": item, "location": "*" }), fires)
}

fn endpoint() -> Value {
    json!({ "url": "http://127.0.0.1:9/hook" })
}

async fn count(client: &Client, path: &str) -> usize {
    client.get(path).await.json()["data"].as_array().unwrap().len()
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem()["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_same_request_again_has_the_same_answer_and_no_effect() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    for (key, path, body) in [("k1", RULES, low("tea", "10")), ("k2", ENDPOINTS, endpoint())] {
        let first = post(&client, key, path, &body).await;
        let made = first.json_of(201);
        let again = post(&client, key, path, &body).await;
        assert_eq!(again.json_of(201), made);
        for header in ["location", "etag", "cache-control", "content-type"] {
            assert_eq!(again.header(header), first.header(header), "{header}");
        }
        assert_eq!(count(&client, path).await, 1);
        // Deleted, it stays deleted, and the answer is that of then.
        assert_eq!(client.delete(first.header("location").unwrap()).await.status, 204);
        assert_eq!(post(&client, key, path, &body).await.json_of(201), made);
        assert_eq!(count(&client, path).await, 0);
    }
}

#[tokio::test]
async fn a_key_stands_for_one_tenants_one_route_and_one_body() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let made = post(&client, "key", RULES, &low("tea", "10")).await.json_of(201);
    let mismatch = (422, "idempotency_mismatch".to_owned());
    assert_eq!(refusal(&post(&client, "key", RULES, &low("tea", "11")).await), mismatch);
    assert_eq!(refusal(&post(&client, "key", ENDPOINTS, &endpoint()).await), mismatch);
    let theirs = post(&stock.client("rival").await, "key", RULES, &low("tea", "10")).await.json_of(201);
    assert_ne!(theirs["id"], made["id"], "another tenant's key is another");
    assert_eq!(count(&client, RULES).await + count(&client, ENDPOINTS).await, 1);
    for bad in ["", "a b", &"k".repeat(256)] {
        let refused = post(&client, bad, RULES, &low("mug", "1")).await;
        assert_eq!((refused.status, &refused.problem()["errors"][0]["parameter"]), (400, &json!("Idempotency-Key")), "{bad}");
    }
}

#[tokio::test]
async fn a_refused_request_may_be_put_right_under_the_same_key() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    assert_eq!(faults(&post(&client, "key", RULES, &low("tea", "x")).await.problem()).len(), 1);
    post(&client, "key", RULES, &low("tea", "10")).await.json_of(201);
}

#[tokio::test]
async fn every_creating_operation_is_said_to_heed_the_key() {
    let stock = Stock::open().await;
    let document = stock.api.stranger().get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap().values();
    let mut creating = 0;
    for operation in paths.flat_map(|methods| methods.as_object().unwrap().values()) {
        let name = operation["operationId"].as_str().unwrap();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let takes_key = parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key");
        assert_eq!(takes_key, name.starts_with("create_"), "{name}");
        creating += usize::from(takes_key);
    }
    assert!(creating >= 5, "{creating}");
}

#[tokio::test]
async fn a_secret_is_kept_sealed() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let made = post(&client, "key", ENDPOINTS, &endpoint()).await;
    assert_eq!(made.header("cache-control"), Some("private, no-store"));
    let secret = made.json_of(201)["secret"].as_str().unwrap().to_owned();
    let stored = stock.deployment.world.dynamodb().scan().table_name("tidemark").send().await.unwrap();
    let kept = stored.items().iter().filter(|item| item["sk"].as_s().is_ok_and(|sk| sk == "ONCE")).count();
    assert_eq!(kept, 1);
    assert!(!format!("{:?}", stored.items()).contains(&secret[10..]), "it is in the table as it was shown");
}

#[tokio::test]
async fn a_lost_answer_of_the_database_is_found_again() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let front = stock.deployment.world.front();
    for (key, path, body) in [("k1", RULES, low("tea", "10")), ("k2", ENDPOINTS, endpoint())] {
        // Carried out, and nobody hears of it, however often the SDK asks.
        front.fault("TransactWriteItems", When::Next(SDK_ATTEMPTS), Fault::CommitThenDrop);
        let made = post(&client, key, path, &body).await.json_of(201);
        assert_eq!(post(&client, key, path, &body).await.json_of(201), made);
        assert_eq!(client.get(path).await.json()["data"][0]["id"], made["id"]);
        assert_eq!(count(&client, path).await, 1, "{path}");
    }
}

#[tokio::test]
async fn a_request_that_fails_before_its_effect_may_be_made_again_at_once() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    stock.deployment.world.front().fault("TransactWriteItems", When::Next(SDK_ATTEMPTS), Fault::Reset);
    assert_eq!(post(&client, "key", RULES, &low("tea", "10")).await.status, 503);
    post(&client, "key", RULES, &low("tea", "10")).await.json_of(201);
    assert_eq!(count(&client, RULES).await, 1);
}

#[tokio::test]
async fn an_api_that_dies_between_claim_and_effect_blocks_the_key_for_its_lease_only() {
    let stock = Stock::open().await;
    let (client, key) = (stock.client("acme").await, stock.deployment.key_of("acme").await);
    let (front, doomed) = (stock.deployment.world.front(), stock.deployment.start_api().await);
    let (dying, before) = (doomed.client(key), front.calls("TransactWriteItems"));
    // The transaction is on its way for so long that its sender is dead before it arrives.
    front.fault("TransactWriteItems", When::Next(1), Fault::Delay(Duration::from_secs(20)));
    let mut requests = JoinSet::new();
    requests.spawn(async move { post(&dying, "key", RULES, &low("tea", "10")).await.status });
    wait_until("the doomed API to try", DEADLINE, async || front.calls("TransactWriteItems") > before).await;
    drop(doomed);
    requests.shutdown().await;
    assert_eq!(refusal(&post(&client, "key", RULES, &low("tea", "10")).await), (409, "in_flight".to_owned()));
    expire_claims(&stock).await;
    post(&client, "key", RULES, &low("tea", "10")).await.json_of(201);
    assert_eq!(count(&client, RULES).await, 1);
}

/// Has the time of all leases pass.
async fn expire_claims(stock: &Stock) {
    use aws_sdk_dynamodb::types::AttributeValue::N;
    let dynamodb = stock.deployment.world.dynamodb();
    let stored = dynamodb.scan().table_name("tidemark").send().await.unwrap();
    for item in stored.items().iter().filter(|item| item["sk"].as_s().is_ok_and(|sk| sk == "ONCE")) {
        let update = dynamodb.update_item().table_name("tidemark").key("pk", item["pk"].clone()).key("sk", item["sk"].clone());
        let update =
            update.update_expression("SET lease_until_ms = :past").expression_attribute_values(":past", N("0".to_owned()));
        update.send().await.unwrap();
    }
}

#[tokio::test]
async fn the_same_request_at_the_same_time_is_told_to_wait() {
    let stock = Stock::open().await;
    let (client, front) = (stock.client("acme").await, stock.deployment.world.front());
    let before = front.calls("TransactWriteItems");
    // Shorter than the SDK's patience with one attempt, and far longer than the second request takes.
    front.fault("TransactWriteItems", When::Next(1), Fault::Delay(Duration::from_secs(4)));
    let first = async { post(&client, "key", RULES, &low("tea", "10")).await.json_of(201) };
    let second = async {
        let begun = async || front.calls("TransactWriteItems") > before;
        wait_until("the first to be under way", DEADLINE, begun).await;
        post(&client, "key", RULES, &low("tea", "10")).await
    };
    let (made, refused) = tokio::join!(first, second);
    assert_eq!((refusal(&refused), refused.header("retry-after")), ((409, "in_flight".to_owned()), Some("1")));
    assert_eq!(post(&client, "key", RULES, &low("tea", "10")).await.json_of(201), made);
    assert_eq!(count(&client, RULES).await, 1);
}
