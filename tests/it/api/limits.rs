//! How much one tenant may ask, and that it is at nobody else's expense. API.md §1.

use tidemark_api::{EdgeSettings, Rate};
use tidemark_tests::client::settings;
use tidemark_tests::{Client, RunningApi};
use tokio::task::JoinSet;

use super::Shop;

/// What a key may ask here.
const RATE: Rate = Rate { per_second: 5, burst: 10 };
/// How much the loud tenant asks, and how much of it at once.
const LOUD: usize = 400;
const AT_ONCE: usize = 40;
const PATH: &str = "/v1/metrics/sales/values";

async fn limited(shop: &Shop) -> RunningApi {
    shop.deployment.start_api_at(EdgeSettings { key_rate: RATE, ..settings().edge }).await
}

/// The number after `name="key";…` of a header such as `"key";r=9;t=1, "tenant";r=39;t=1`.
fn of_key(header: &str, name: &str) -> u64 {
    let item = header.split(", ").find(|item| item.starts_with("\"key\"")).expect("the key's limit");
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
        for _ in 0..RATE.burst {
            answers.push(quiet.get(PATH).await.status);
        }
        answers
    };
    let (loud, quiet) = tokio::join!(hammering, asking);
    assert_eq!(quiet, vec![200; RATE.burst as usize]);
    let count = |status: u16| loud.iter().filter(|answered| **answered == status).count();
    assert_eq!((loud.len(), count(200) + count(429)), (LOUD, LOUD), "{loud:?}");
    assert!(count(429) > 0 && count(200) >= RATE.burst as usize, "{} passed, {} did not", count(200), count(429));
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
        let left = of_key(answer.header("ratelimit").expect("its standing"), "r");
        assert!(left < u64::from(RATE.burst));
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
        assert_eq!(unknown.get(PATH).await.problem()["detail"], "no such API key");
    }
    // A worker reads items, too, though fewer than these.
    assert!(front.calls("GetItem") - known < 50);
    elsewhere.close().await;
    shop.close().await;
}
