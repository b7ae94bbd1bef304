//! Deliveries: listed by endpoint, shown with their attempts, and sent again when somebody asks. ALERTS §4.

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use tidemark_domain::EndpointId;
use tidemark_runtime::clock;
use tidemark_store::{Attempt, Claimed, Delivery, EndpointEffect, Finish, Next, Work};

use super::stock::{Stock, due, shelf};
use super::webhook_endpoints::{ENDPOINTS, NOWHERE};

/// A stock with so many alerts, each of whose first event is on its way to one endpoint; and that endpoint.
async fn on_their_way(alerts: usize) -> (Stock, EndpointId) {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let made = client.post(ENDPOINTS, &json!({ "url": NOWHERE })).await.json_of(201);
    let endpoint = EndpointId::new(made["id"].as_str().unwrap()).unwrap();
    for n in 0..alerts {
        stock.set(&[shelf("acme", &format!("tea-{n}"), "1").low_at("5")]).await;
    }
    stock.fan_out(std::slice::from_ref(&endpoint)).await;
    (stock, endpoint)
}

/// Claims each delivery that is due for half a minute, as a dispatcher does.
async fn claim(stock: &Stock) -> Vec<Claimed<Delivery>> {
    let (store, until) = (&stock.deployment.store, clock::now() + SignedDuration::from_secs(30));
    let mut claimed = Vec::new();
    for due in due(&stock.deployment).await {
        let Work::Delivery(_) = due.work else { continue };
        claimed.push(store.claim_delivery(&due, until).await.unwrap().expect("nobody else claims"));
    }
    claimed
}

/// Makes the next attempt of each delivery that is due, as a dispatcher does that began ten seconds ago.
async fn attempt(stock: &Stock, outcome: &str, status: u16, next: Next) {
    let began = clock::now() - SignedDuration::from_secs(10);
    finish(stock, claim(stock).await, (outcome, status, began), next).await;
}

async fn finish(stock: &Stock, claimed: Vec<Claimed<Delivery>>, (outcome, status, at): (&str, u16, Timestamp), next: Next) {
    let store = &stock.deployment.store;
    for delivery in claimed {
        let attempt = Attempt {
            number: delivery.value.attempts,
            at,
            trigger: delivery.value.trigger,
            outcome: outcome.to_owned(),
            status: Some(status),
            elapsed_ms: 12,
            snippet: Some("hello".to_owned()),
            peer: Some("127.0.0.1".to_owned()),
        };
        let finish = Finish { attempt, next, effect: EndpointEffect::default() };
        assert!(store.finish_delivery(&delivery, &finish).await.unwrap());
    }
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_in_pages_of_their_endpoint() {
    let (stock, endpoint) = on_their_way(5).await;
    let client = stock.client("acme").await;
    let list = format!("{ENDPOINTS}/{endpoint}/deliveries");
    let (_, all) = Stock::pages(&client, &list, 200).await;
    let ids: Vec<&str> = all.iter().map(|delivery| delivery["event_id"].as_str().unwrap()).collect();
    assert!(ids.len() == 5 && ids.is_sorted_by(|a, b| a > b), "{ids:?}");
    for (limit, sizes) in [(2, vec![2, 2, 1]), (5, vec![5])] {
        assert_eq!(Stock::pages(&client, &list, limit).await, (sizes, all.clone()));
    }
    let first = &all[0];
    assert_eq!((&first["state"], &first["attempt_count"], &first["last_attempt"]), (&json!("pending"), &json!(0), &json!(null)));
    assert_eq!((&first["event_type"], &first["endpoint_id"]), (&json!("inventory.alert.fired"), &json!(endpoint)));
    assert!(first["next_attempt_at"].is_string());
    let other = client.post(ENDPOINTS, &json!({ "url": NOWHERE })).await.json_of(201)["id"].clone();
    let cursor = client.get(&format!("{list}?limit=1")).await.json()["page"]["next_cursor"].clone();
    let elsewhere =
        client.get(&format!("{ENDPOINTS}/{}/deliveries?cursor={}", other.as_str().unwrap(), cursor.as_str().unwrap())).await;
    assert_eq!(elsewhere.problem()["code"], "invalid_cursor");
    assert_eq!(client.get(&format!("{ENDPOINTS}/{}/deliveries", other.as_str().unwrap())).await.json()["data"], json!([]));
    stock.api.stop().await;
}

#[tokio::test]
async fn a_delivery_is_shown_with_its_attempts_and_sent_again_on_request() {
    let (stock, endpoint) = on_their_way(1).await;
    let client = stock.client("acme").await;
    let entry = client.get(&format!("{ENDPOINTS}/{endpoint}/deliveries")).await.json()["data"][0].clone();
    let path = format!("/v1/deliveries/{}", entry["id"].as_str().unwrap());
    let mut shown = client.get(&path).await.json();
    assert_eq!(shown["attempts"].take(), json!([]));
    shown.as_object_mut().unwrap().remove("attempts");
    assert_eq!(shown, entry);
    attempt(&stock, "http_status", 500, Next::Exhausted).await;
    let shown = client.get(&path).await.json();
    assert_eq!((&shown["state"], &shown["next_attempt_at"]), (&json!("exhausted"), &json!(null)));
    let mut tried = shown["attempts"][0].clone();
    assert_eq!(shown["last_attempt"]["at"], tried["at"].take());
    let expected = json!({
        "number": 1, "at": null, "outcome": "http_status", "status": 500, "latency_ms": 12, "trigger": "scheduled", "body": "hello",
    });
    assert_eq!(tried, expected, "the address that was connected to is not told");

    let retry = async || client.send(Method::POST, &format!("{path}/retry"), &[]).await;
    let queued = retry().await.json_of(202);
    assert_eq!(
        (&queued["state"], &queued["trigger"], &queued["attempt_count"]),
        (&json!("pending"), &json!("manual"), &json!(1))
    );
    assert_eq!(retry().await.json_of(202)["state"], "pending", "twice is no harm");
    attempt(&stock, "delivered", 204, Next::Delivered).await;
    let shown = client.get(&path).await.json();
    let listed = |name: &str| shown["attempts"].as_array().unwrap().iter().map(|tried| tried[name].clone()).collect::<Value>();
    assert_eq!((&shown["state"], listed("outcome")), (&json!("delivered"), json!(["http_status", "delivered"])));
    assert_eq!((listed("number"), listed("trigger")), (json!([1, 2]), json!(["scheduled", "manual"])));

    client.send(Method::POST, &format!("{ENDPOINTS}/{endpoint}/disable"), &[]).await.json();
    assert_eq!(retry().await.problem()["code"], "endpoint_disabled");
    assert_eq!(client.delete(&format!("{ENDPOINTS}/{endpoint}")).await.status, 204);
    let answer = retry().await;
    assert_eq!((answer.status, &answer.problem()["code"]), (409, &json!("endpoint_deleted")));
    assert_eq!(client.get(&path).await.json()["state"], "delivered", "what was sent is still told");
    for unknown in ["/v1/deliveries/x", &format!("{}0", path), &path.replace("dlv_0", "dlv_1")] {
        assert_eq!(client.get(unknown).await.problem()["code"], "not_found", "{unknown}");
    }
    stock.api.stop().await;
}

#[tokio::test]
async fn a_retry_is_refused_while_an_attempt_is_under_way_and_a_moment_after_it_began() {
    let (stock, endpoint) = on_their_way(1).await;
    let client = stock.client("acme").await;
    let entry = client.get(&format!("{ENDPOINTS}/{endpoint}/deliveries")).await.json()["data"][0].clone();
    let path = format!("/v1/deliveries/{}", entry["id"].as_str().unwrap());
    let retry = async || client.send(Method::POST, &format!("{path}/retry"), &[]).await;
    let refused = async || {
        let answer = retry().await;
        let wait: u64 = answer.header("retry-after").expect("how long to wait").parse().expect("seconds");
        (answer.status, answer.problem()["code"].as_str().unwrap().to_owned(), wait)
    };
    let claimed = claim(&stock).await;
    assert_eq!(client.get(&path).await.json()["attempt_count"], 1, "it counts before it is over");
    let (status, code, wait) = refused().await;
    assert_eq!((status, code.as_str()), (409, "delivery_under_way"));
    assert!((1..=30).contains(&wait), "{wait}");

    finish(&stock, claimed, ("denied_address", 0, clock::now()), Next::Again { at: clock::now() }).await;
    let shown = client.get(&path).await.json();
    assert_eq!((&shown["attempt_count"], &shown["attempts"].as_array().unwrap().len()), (&json!(1), &1));
    for outcome in [&shown["last_attempt"]["outcome"], &shown["attempts"][0]["outcome"]] {
        assert_eq!(outcome, "dns", "whether the host's name is known in our network is not shown");
    }
    let (status, code, wait) = refused().await;
    assert_eq!((status, code.as_str()), (409, "retried_too_soon"));
    assert!((1..=5).contains(&wait), "{wait}");

    attempt(&stock, "timeout", 0, Next::Exhausted).await;
    assert_eq!(retry().await.json_of(202)["attempt_count"], 2);
    stock.api.stop().await;
}
