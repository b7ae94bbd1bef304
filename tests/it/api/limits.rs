//! How much one tenant may ask, and that it is at nobody else's expense. API.md §1.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;
use tidemark_api::{EdgeSettings, Rate, Rates};
use tidemark_tests::client::settings;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Client, Reaction, Receiver, RunningApi, wait_until};
use tokio::task::JoinSet;

use super::stock::Stock;
use super::webhook_endpoints::ENDPOINTS;
use super::{Shop, operations};

/// What a key and a tenant may ask here.
const RATES: Rates = Rates { key: Rate { per_second: 5, burst: 10 }, tenant: Rate { per_second: 20, burst: 40 } };
/// How much the loud tenant asks, and how much of it at once.
const LOUD: usize = 400;
const AT_ONCE: usize = 40;
const PATH: &str = "/v1/metrics/sales/values";

async fn limited(shop: &Shop) -> RunningApi {
    shop.deployment.start_api_at(EdgeSettings { rates: RATES, ..settings().edge }).await
}

/// The number of a limit in a header such as `"key";r=9;t=1, "tenant";r=39;t=1`.
pub(super) fn of_limit(header: &str, limit: &str, name: &str) -> u64 {
    let item = header.split(", ").find(|item| item.starts_with(&format!("\"{limit}\""))).expect("the limit");
    let value = item.split(';').find_map(|part| part.strip_prefix(&format!("{name}=")));
    value.expect("the parameter").parse().expect("a number")
}

#[tokio::test]
async fn a_tenant_that_hammers_is_limited_and_another_notices_nothing() {
    let shop = Shop::open().await;
    let api = limited(&shop).await;
    let loud = api.client(shop.deployment.key_of("acme").await);
    let quiet = api.client(shop.deployment.key_of("rival").await);
    let hammering = async {
        let mut requests = JoinSet::new();
        for lane in 0..AT_ONCE {
            let loud = loud.clone();
            requests.spawn(async move { hammer(&loud, lane).await });
        }
        requests.join_all().await.concat()
    };
    let asking = async {
        let mut answers = Vec::new();
        for _ in 0..RATES.key.burst {
            answers.push(quiet.get(PATH).await.status);
        }
        answers
    };
    let (loud, quiet) = tokio::join!(hammering, asking);
    assert_eq!(quiet, vec![200; RATES.key.burst as usize]);
    let count = |status: u16| loud.iter().filter(|answered| **answered == status).count();
    assert_eq!((loud.len(), count(200) + count(429)), (LOUD, LOUD), "{loud:?}");
    assert!(count(429) > 0 && count(200) >= RATES.key.burst as usize, "{} passed, {} did not", count(200), count(429));
    api.stop().await;
    shop.close().await;
}

async fn hammer(client: &Client, lane: usize) -> Vec<u16> {
    let mut answers = Vec::new();
    for turn in 0..LOUD / AT_ONCE {
        // Different questions, so that no answer is shared.
        let answer = client.get(&format!("{PATH}?limit={}", lane * LOUD / AT_ONCE + turn + 1)).await;
        answers.push(answer.status);
    }
    answers
}

#[tokio::test]
async fn every_answer_says_how_the_limits_stand_and_a_refusal_when_to_come_back() {
    let shop = Shop::open().await;
    let api = limited(&shop).await;
    let client = api.client(shop.deployment.key_of("acme").await);
    let stranger = api.stranger().get(PATH).await;
    assert_eq!((stranger.status, stranger.header("ratelimit")), (401, None), "nobody's limits are told to strangers");
    let mut refused = None;
    for path in ["/v1/metrics", "/v1/metrics/none"].into_iter().cycle().take(500) {
        let answer = client.get(path).await;
        assert_eq!(answer.header("ratelimit-policy"), Some("\"key\";q=10;w=2, \"tenant\";q=40;w=2"));
        let left = of_limit(answer.header("ratelimit").expect("its standing"), "key", "r");
        assert!(left < u64::from(RATES.key.burst));
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("500 requests of one client come faster than 5 a second");
    assert_eq!(refused.problem()["code"], "rate_limited");
    let wait: u64 = refused.header("retry-after").expect("when to come back").parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    api.stop().await;
    shop.close().await;
}

#[tokio::test]
async fn a_key_that_was_refused_is_not_looked_up_again_and_again() {
    let (shop, elsewhere) = (Shop::open().await, Shop::open().await);
    let unknown = shop.api.client(elsewhere.deployment.key_of("acme").await);
    let front = shop.deployment.world.front();
    assert_eq!(unknown.get(PATH).await.status, 401);
    let known = front.calls("GetItem");
    for _ in 0..50 {
        assert_eq!(unknown.get(PATH).await.problem()["detail"], "no such API key: it is mistyped, or it was deleted");
    }
    // A worker reads items, too, though fewer than these.
    assert!(front.calls("GetItem") - known < 50);
    elsewhere.close().await;
    shop.close().await;
}

#[tokio::test]
async fn a_storm_of_rule_changes_is_limited_per_tenant_and_touches_neither_reads_nor_other_tenants() {
    let stock = Stock::open().await;
    // Limits as they are in production.
    let api = stock.deployment.start_api_at(EdgeSettings { rates: Rates::DEFAULT, ..settings().edge }).await;
    let [acme, rival] = ["acme", "rival"].map(|tenant| stock.deployment.key_of(tenant));
    let [acme, rival] = [api.client(acme.await), api.client(rival.await)];
    let level = |fires_at: usize| json!([{ "severity": "warning", "fires_at_or_below": fires_at.to_string() }]);
    let rule = json!({ "scope": { "item": "tea" }, "levels": level(5) });
    let mut paths = Vec::new();
    for client in [&acme, &rival] {
        let made = client.post("/v1/alert-rules", &rule).await.json_of(201);
        paths.push(format!("/v1/alert-rules/{}", made["id"].as_str().unwrap()));
    }
    let (started, mut passed) = (Instant::now(), 0);
    for turn in 0..900 {
        let answer = acme.patch(&paths[0], &json!({ "levels": level(turn % 2 + 1) })).await;
        let standing = answer.header("ratelimit").expect("its standing");
        assert_eq!(answer.header("ratelimit-policy"), Some("\"key\";q=200;w=2, \"tenant\";q=800;w=2, \"write\";q=100;w=10"));
        if answer.status == 200 {
            passed += 1;
            continue;
        }
        assert_eq!((answer.status, &answer.problem()["code"]), (429, &json!("rate_limited")));
        assert_eq!((answer.header("retry-after"), of_limit(standing, "write", "r")), (Some("1"), 0));
        assert!(of_limit(standing, "key", "r") >= 90, "a refused write takes nothing of its key: {standing}");
    }
    // One of the burst was spent on making the rule.
    let most = 100 + started.elapsed().as_secs() * 10 + 10;
    assert!((99..=most).contains(&passed), "{passed} of 900 passed, at most {most} may");
    assert_eq!(acme.get(&paths[0]).await.status, 200);
    assert_eq!(rival.patch(&paths[1], &json!({ "levels": level(1) })).await.status, 200);
    api.stop().await;
    stock.api.stop().await;
}

#[tokio::test]
async fn every_operation_that_changes_something_for_a_tenant_counts_as_a_write_and_no_other_does() {
    let stock = Stock::open().await;
    let (tenant, stranger) = (stock.client("acme").await, stock.api.stranger());
    for operation in operations::all(&stranger).await.iter().filter(|operation| !operation.is_operators()) {
        let path = operation.path();
        let answer = operation.call(&tenant, &path).await;
        let counts = answer.header("ratelimit-policy").expect("a known key").contains("\"write\"");
        // These store nothing.
        let asks = operation.method == Method::GET || path.ends_with("/preview") || path.ends_with("/test");
        assert_eq!(counts, !asks, "{} {path}", operation.method);
    }
    stock.api.stop().await;
}

#[tokio::test]
async fn a_tenant_has_four_tests_at_once_and_another_tenant_notices_nothing() {
    let (stock, receiver) = (Stock::open().await, Receiver::start().await);
    receiver.react("slow", |_| Reaction::Silence);
    let (acme, rival) = (stock.client("acme").await, stock.client("rival").await);
    let endpoint = async |client: &Client, name: &str| {
        let made = client.post(ENDPOINTS, &json!({ "url": receiver.url(name) })).await.json_of(201);
        format!("{ENDPOINTS}/{}/test", made["id"].as_str().unwrap())
    };
    let (slow, quick, theirs) = (endpoint(&acme, "slow").await, endpoint(&acme, "quick").await, endpoint(&rival, "theirs").await);
    let test = async |client: &Client, path: &str| client.send(Method::POST, path, &[]).await;
    let mut tests = JoinSet::new();
    for _ in 0..4 {
        let (client, path) = (acme.clone(), slow.clone());
        tests.spawn(async move { client.send(Method::POST, &path, &[]).await.status });
    }
    receiver.until_received("slow", 4).await;
    let refused = test(&acme, &quick).await;
    assert_eq!((refused.status, &refused.problem()["code"]), (429, &json!("too_many_at_once")));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(test(&rival, &theirs).await.json()["outcome"], "delivered");
    assert!(tests.try_join_next().is_none(), "all four have their places still");
    // A client that goes gives the place of its test back.
    tests.shutdown().await;
    wait_until("a place for a test", DEADLINE, async || test(&acme, &quick).await.status == 200).await;
    stock.api.stop().await;
}
