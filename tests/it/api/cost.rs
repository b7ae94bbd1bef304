//! What one question may cost the database and its tenant: Queries, rows, tokens. API.md §1.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::json;
use tidemark_api::{EdgeSettings, Rate, Rates};
use tidemark_domain::Zone;
use tidemark_runtime::clock;
use tidemark_tests::client::settings;
use tidemark_tests::deployment::tables;
use tidemark_tests::{Client, Deployment};

use super::SHOP;
use super::limits::of_limit;

const VALUES: &str = "/v1/metrics/sales/values";
/// The watermark and the quarantine are read for each answer.
const OTHER_QUERIES: u64 = 2;
/// Most items of one BatchWriteItem.
const BATCH_MAX: usize = 25;

fn days_ago(days: i64) -> Date {
    Zone::utc().date_of(clock::now()) - days.days()
}

/// So many items, as a filter.
fn items(number: usize) -> String {
    (0..number).map(|item| format!("item-{item}")).collect::<Vec<_>>().join(",")
}

/// A filter of twelve items over the hours of thirty days: a Query for each item and day.
fn expensive(limit: usize) -> String {
    let (from, to) = (days_ago(30), days_ago(0));
    format!("{VALUES}?from={from}&to={to}&granularity=PT1H&fill=none&group_by=item&limit={limit}&filter[item]={}", items(12))
}

const EXPENSIVE_QUERIES: u64 = 30 * 12;
/// Four Queries cost as much as a request.
const EXPENSIVE_TOKENS: u64 = EXPENSIVE_QUERIES / 4;

/// A tenant may ask four times as often as one key.
fn rates(key: Rate) -> Rates {
    Rates { key, tenant: Rate { per_second: 4 * key.per_second, burst: 4 * key.burst } }
}

/// An API without a worker, whose calls would be counted, too.
async fn deployed() -> Deployment {
    Deployment::start(SHOP).await
}

/// How many Queries a question makes, and the status of its answer.
async fn queries(deployment: &Deployment, client: &Client, path: &str) -> (u16, u64) {
    let front = deployment.world.front();
    let before = front.calls("Query");
    let answer = client.get(path).await;
    (answer.status, front.calls("Query") - before)
}

#[tokio::test]
async fn the_queries_of_a_question_are_those_planned_and_a_refused_question_makes_none() {
    let deployment = deployed().await;
    let api = deployment.start_api().await;
    let client = api.client(deployment.key_of("acme").await);
    assert_eq!(queries(&deployment, &client, VALUES).await, (200, OTHER_QUERIES + 1));
    assert_eq!(queries(&deployment, &client, &expensive(1)).await, (200, OTHER_QUERIES + EXPENSIVE_QUERIES));
    // By item it would be 4,584: whole days are read, and filtered.
    let (from, to) = (days_ago(190), days_ago(0));
    let kathmandu = format!(
        "{VALUES}?from={from}&to={to}&granularity=P1D&time_zone=Asia/Kathmandu&compare=previous_period&group_by=item\
         &filter[item]={}",
        items(12)
    );
    assert_eq!(queries(&deployment, &client, &kathmandu).await, (200, OTHER_QUERIES + 2 * 191));
    let months = format!("{VALUES}?from=1950-01-01&to=2026-01-01&granularity=P1M&group_by=item&filter[item]={}", items(3));
    let compared = format!("{months}&compare=previous_period");
    assert_eq!(queries(&deployment, &client, &compared).await, (422, 0));
    let problem = client.get(&compared).await.problem();
    let expected = "compare: the database would be queried 1824 times, and 1000 times are allowed for an answer: without `compare` \
                    it can be answered";
    assert_eq!((problem["code"].clone(), problem["detail"].clone()), (json!("query_too_large"), json!(expected)));
    assert_eq!(queries(&deployment, &client, &months).await, (200, OTHER_QUERIES + 76 * 12), "as proposed");
    api.stop().await;
}

#[tokio::test]
async fn expensive_questions_take_their_tenants_tokens_and_no_other_tenants() {
    let deployment = deployed().await;
    let rate = Rate { per_second: 1, burst: 100 };
    let api = deployment.start_api_at(EdgeSettings { rates: rates(rate), ..settings().edge }).await;
    let loud = api.client(deployment.key_of("acme").await);
    let quiet = api.client(deployment.key_of("rival").await);
    let first = loud.get(&expensive(1)).await;
    let left = of_limit(first.header("ratelimit").expect("its standing"), "tenant", "r");
    // While it was answered for at most ten seconds, four tokens a second flowed in.
    assert_eq!(first.status, 200, "{}", first.text);
    assert!((400 - EXPENSIVE_TOKENS..=400 - EXPENSIVE_TOKENS + 40).contains(&left), "{left} left");
    let of_key = of_limit(first.header("ratelimit").expect("its standing"), "key", "r");
    assert!(of_key >= 99, "the key pays for its request: {of_key}");
    let mut refused = None;
    for limit in 2..30 {
        let (front, answer) = (deployment.world.front(), loud.get(&expensive(limit)).await);
        if answer.status == 429 {
            let before = front.calls("Query");
            assert_eq!(loud.get(&expensive(limit)).await.status, 429);
            assert_eq!(front.calls("Query"), before, "what cannot be paid is not read");
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("each costs more tokens than flow in while it is answered");
    assert_eq!(refused.problem()["code"], "rate_limited");
    let wait: u64 = refused.header("retry-after").expect("when to come back").parse().unwrap();
    assert!((1..=EXPENSIVE_TOKENS.div_ceil(4)).contains(&wait), "{wait}");
    assert_eq!(loud.get(VALUES).await.status, 200, "what it can pay is answered");
    let others = quiet.get(&expensive(1)).await;
    let left = of_limit(others.header("ratelimit").expect("its standing"), "tenant", "r");
    assert!(others.status == 200 && left >= 400 - EXPENSIVE_TOKENS, "{left} left");
    api.stop().await;
}

#[tokio::test]
async fn a_question_that_costs_more_than_the_burst_is_answered_from_a_full_bucket_and_leaves_a_debt() {
    let deployment = deployed().await;
    // A tenant's four tokens a second, and forty in a burst, are less than the ninety that the question costs.
    let rate = Rate { per_second: 1, burst: 10 };
    let api = deployment.start_api_at(EdgeSettings { rates: rates(rate), ..settings().edge }).await;
    let client = api.client(deployment.key_of("acme").await);
    let answer = client.get(&expensive(1)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let standing = answer.header("ratelimit").expect("its standing");
    assert_eq!(of_limit(standing, "tenant", "r"), 0, "{standing}");
    let refused = client.get(VALUES).await;
    assert_eq!((refused.status, &refused.problem()["code"]), (429, &json!("rate_limited")));
    api.stop().await;
}

#[tokio::test]
async fn an_answer_from_memory_costs_its_request_alone() {
    let deployment = deployed().await;
    let rate = Rate { per_second: 1, burst: 100 };
    let edge = EdgeSettings { rates: rates(rate), shared_for: Duration::from_secs(600), ..settings().edge };
    let api = deployment.start_api_at(edge).await;
    let client = api.client(deployment.key_of("acme").await);
    let mut left = Vec::new();
    for _ in 0..4 {
        let answer = client.get(&expensive(1)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        left.push(of_limit(answer.header("ratelimit").expect("its standing"), "tenant", "r"));
    }
    assert!(left[0] <= 400 - EXPENSIVE_TOKENS + 40, "{left:?}");
    assert!(left.windows(2).all(|pair| pair[1] + 1 >= pair[0]), "one token each: {left:?}");
    api.stop().await;
}

#[tokio::test]
async fn rows_are_read_in_pages_and_all_of_them_count() {
    const ROWS: usize = 1_200;
    let deployment = deployed().await;
    let api = deployment.start_api_at(EdgeSettings { rates: rates(Rate { per_second: 1, burst: 100 }), ..settings().edge }).await;
    let yesterday = days_ago(1);
    let row = |number: usize| {
        let text = |text: String| AttributeValue::S(text);
        let count = |number: usize| AttributeValue::N(number.to_string());
        HashMap::from([
            ("pk".to_owned(), text(format!("T#acme#M#sales.item#g1#d{}#L0", yesterday.strftime("%Y%m")))),
            ("sk".to_owned(), text(format!("item-{number:04}#USD#{}", yesterday.strftime("%Y%m%d")))),
            ("m_units".to_owned(), count(number)),
            ("m_orders".to_owned(), count(1)),
        ])
    };
    let rows: Vec<_> = (1..=ROWS).map(row).collect();
    for batch in rows.chunks(BATCH_MAX) {
        let put = |row: &HashMap<_, _>| PutRequest::builder().set_item(Some(row.clone())).build().expect("an item");
        let batch = batch.iter().map(|row| WriteRequest::builder().put_request(put(row)).build()).collect();
        deployment.world.dynamodb().batch_write_item().request_items(tables().data, batch).send().await.expect("written");
    }
    let client = api.client(deployment.key_of("acme").await);
    let (from, to) = (yesterday, days_ago(0));
    let path = format!("{VALUES}?from={from}&to={to}&group_by=item&measures=units&order=-units&limit=2&other=true");
    let before = deployment.world.front().calls("Query");
    let answer = client.get(&path).await;
    let shown = answer.json_of(200);
    assert_eq!(deployment.world.front().calls("Query") - before, OTHER_QUERIES + ROWS.div_ceil(500) as u64);
    let units: Vec<_> = shown["data"].as_array().unwrap().iter().map(|row| row["values"]["units"].clone()).collect();
    let all = ROWS * (ROWS + 1) / 2;
    assert_eq!(units, [json!("1200"), json!("1199"), json!((all - 1200 - 1199).to_string())]);
    assert_eq!(shown["totals"][0]["values"]["units"], json!(all.to_string()));
    // A Query and 1,200 rows cost 5.05 requests.
    let left = of_limit(answer.header("ratelimit").expect("its standing"), "tenant", "r");
    assert!((394..400).contains(&left), "{left} left");
    api.stop().await;
}
