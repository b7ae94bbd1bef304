//! What is not sent again, and what is not computed again: ETags, and answers that requests share. API.md §1.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tidemark_api::EdgeSettings;
use tidemark_domain::Decimal;
use tidemark_tests::client::settings;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Answer, Client, Fault, When, wait_until};
use tokio::task::JoinSet;

use super::operations;
use super::orders::Order;
use super::stock::{Stock, rule, shelf};
use super::{Shop, year};

/// How many different totals are seen while numbers change.
const CHANGES: usize = 12;
/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

fn sharing() -> EdgeSettings {
    EdgeSettings { shared_for: LONG, ..settings().edge }
}

async fn again(client: &Client, path: &str, etag: &str) -> Answer {
    client.send(reqwest::Method::GET, path, &[("if-none-match", etag)]).await
}

#[tokio::test]
async fn every_answer_has_an_etag_and_is_not_sent_again_to_who_has_it() {
    let stock = Stock::open().await;
    stock.set(&[shelf("acme", "tea", "5")]).await;
    let client = stock.client("acme").await;
    let rule = client
        .post("/v1/alert-rules", &rule(&json!({ "inventory": "stock", "item": "mug", "location": "*" }), "10"))
        .await
        .json_of(201);
    let paths = operations::all(&client).await.into_iter();
    let mut paths: Vec<String> = paths
        .filter(|operation| {
            operation.method == "GET" && !operation.template.contains('{') && !operation.scope.contains("operator")
        })
        .map(|operation| operation.template)
        .collect();
    paths.extend(["/v1/inventory/tea".to_owned(), format!("/v1/alert-rules/{}", rule["id"].as_str().unwrap())]);
    assert!(paths.len() >= 8, "{paths:?}");
    for path in paths {
        let whole = client.get(&path).await;
        let body = whole.json();
        let etag = whole.header("etag").unwrap_or_else(|| panic!("{path} has no ETag"));
        let is_configuration = body.get("version").is_some_and(Value::is_u64);
        assert_eq!(etag.starts_with("W/"), !is_configuration, "{path}: {etag}");
        assert_eq!(whole.header("cache-control"), Some("private, no-cache"), "{path}");
        assert!(whole.header("vary").is_some_and(|vary| vary.contains("authorization")), "{path}");
        // What says how fresh it is, says so in a header, too.
        assert_eq!(whole.header("data-exact").is_some(), body.get("freshness").is_some(), "{path}");
        let head = client.send(reqwest::Method::HEAD, &path, &[]).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""), "{path}");
        for header in ["etag", "content-length", "content-type", "cache-control", "vary", "data-watermark"] {
            // How old the numbers are changes between the two.
            let is_same = body.get("freshness").is_none() && path != "/v1/status";
            assert_eq!(head.header(header).is_some(), whole.header(header).is_some(), "{path}: {header}");
            assert!(!is_same || head.header(header) == whole.header(header), "{path}: {header}");
        }
        // What would be compressed has no length before it is.
        let compressed = client.send(reqwest::Method::HEAD, &path, &[("accept-encoding", "gzip")]).await;
        assert_ne!(compressed.header("content-length"), Some("0"), "{path}");
        if path == "/v1/status" {
            continue; // Nothing but freshness: its ETag changes with the clock.
        }
        let unchanged = again(&client, &path, etag).await;
        assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""), "{path}");
        let head = client.send(reqwest::Method::HEAD, &path, &[("if-none-match", etag)]).await;
        assert_eq!((head.status, head.header("etag")), (304, Some(etag)), "{path}");
        for header in ["etag", "cache-control", "vary", "data-exact", "ratelimit", "x-request-id"] {
            assert_eq!(unchanged.header(header).is_some(), whole.header(header).is_some(), "{path}: {header}");
        }
        assert_eq!(unchanged.header("content-type"), None, "{path}");
        assert_eq!(again(&client, &path, "\"other\"").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_etag_follows_the_numbers_and_not_the_watermark() {
    let shop = Shop::open().await;
    shop.sell(&[Order::new("acme", "a")]).await;
    let client = shop.client("acme").await;
    for accept in ["application/json", "text/csv"] {
        let path = format!("/v1/metrics/sales/values?{}", year());
        let get =
            async |etag: &str| client.send(reqwest::Method::GET, &path, &[("accept", accept), ("if-none-match", etag)]).await;
        let whole = get("").await;
        let etag = whole.header("etag").expect("an ETag").to_owned();
        let watermark = whole.header("data-watermark").expect("a watermark").to_owned();
        // The worker moves the watermark each second, and nothing else changes.
        wait_until("the watermark to move", DEADLINE, async || {
            let unchanged = get(&etag).await;
            assert_eq!(unchanged.status, 304, "{}", unchanged.text);
            unchanged.header("data-watermark").is_some_and(|now| now != watermark)
        })
        .await;
        Order::new("acme", accept).put(&shop.deployment).await;
        wait_until("the numbers to change", DEADLINE, async || {
            let changed = get(&etag).await;
            changed.status == 200 && changed.header("etag") != Some(etag.as_str())
        })
        .await;
    }
    shop.close().await;
}

#[tokio::test]
async fn the_same_question_is_computed_once_however_it_is_spelled() {
    let shop = Shop::open().await;
    shop.sell(&[Order::new("acme", "a"), Order::new("rival", "b").of("mug", "3", "1", "EUR")]).await;
    let api = shop.deployment.start_api_at(sharing()).await;
    let (acme, colleague) = (shop.deployment.key_of("acme").await, shop.deployment.key_of("acme").await);
    let [acme, colleague, rival] = [acme, colleague, shop.deployment.key_of("rival").await].map(|key| api.client(key));
    let front = shop.deployment.world.front();
    let asked = async |client: &Client, rest: &str| {
        client.get(&format!("/v1/metrics/sales/values?{}{rest}", year())).await.json()["totals"].clone()
    };
    let first = asked(&acme, "&group_by=item").await;
    Order::new("acme", "later").put(&shop.deployment).await;
    shop.client("acme")
        .await
        .until("it to count", &format!("/v1/metrics/visits/values?{}", year()), |answer| {
            answer["totals"][0]["values"]["visits"] == json!("2")
        })
        .await;
    let mut requests = JoinSet::new();
    for spelling in ["&group_by=item", "&limit=1000&group_by=item", "&fill=zero&group_by=item&order=key"] {
        for client in [&acme, &colleague] {
            let (client, path) = (client.clone(), format!("/v1/metrics/sales/values?{}{spelling}", year()));
            requests.spawn(async move { client.get(&path).await.json()["totals"].clone() });
        }
    }
    while let Some(answer) = requests.join_next().await {
        assert_eq!(answer.unwrap(), first, "from memory");
    }
    assert_ne!(asked(&rival, "&group_by=item").await, first, "another tenant's answer is its own");
    assert_ne!(asked(&acme, "&group_by=region").await, first, "another question is asked anew");
    assert_eq!(front.faults("Query"), 0);
    api.stop().await;
    shop.close().await;
}

#[tokio::test]
async fn an_answer_from_memory_costs_the_look_at_its_key_and_nothing_else() {
    const TIMES: u64 = 5;
    let shop = Shop::open().await;
    shop.sell(&[Order::new("acme", "a")]).await;
    shop.ingest.stop().await;
    let api = shop.deployment.start_api_at(sharing()).await;
    let client = api.client(shop.deployment.key_of("acme").await);
    let path = format!("/v1/metrics/sales/values?{}", year());
    let first = client.get(&path).await;
    let front = shop.deployment.world.front();
    // Each API follows the definitions in its own time. A delay of nothing changes nothing, and is counted.
    // So are the rates of a tenant, in the background.
    let of_requests = |body: &Value| body["Key"]["pk"]["S"] != "DEFS" && body["Key"]["sk"]["S"] != "TENANT";
    front.fault("GetItem", When::Matching(Box::new(of_requests)), Fault::Delay(Duration::ZERO));
    let others = || ["BatchGetItem", "Query", "Scan", "TransactGetItems", "UpdateItem"].map(|call| front.calls(call));
    let before = others();
    for _ in 0..TIMES {
        let again = client.get(&path).await;
        assert_eq!((&again.text, again.header("data-watermark")), (&first.text, first.header("data-watermark")));
    }
    assert_eq!((front.faults("GetItem"), others()), (TIMES, before), "the look at the key, each time");
    front.no_faults();
    // Which is why a key that is deleted is refused at once, whatever is in memory.
    let keys = client.get("/v1/api-keys").await.json();
    let current = keys["data"].as_array().unwrap().iter().find(|key| key["current"] == true).expect("this key");
    assert_eq!(client.delete(&format!("/v1/api-keys/{}", current["id"].as_str().unwrap())).await.status, 204);
    assert_eq!(client.get(&path).await.status, 401);
    api.stop().await;
    shop.api.stop().await;
}

#[tokio::test]
async fn a_zone_holds_from_the_next_question_on_and_is_remembered_for_its_own_tenant() {
    let shop = Shop::open_with(&[("acme", "Europe/Berlin"), ("rival", "Asia/Tokyo")]).await;
    let api = shop.deployment.start_api_at(sharing()).await;
    let [acme, rival] = [shop.deployment.key_of("acme").await, shop.deployment.key_of("rival").await].map(|key| api.client(key));
    let zone = async |client: &Client| client.get("/v1/metrics/sales/values").await.json()["time_zone"].clone();
    for name in ["Europe/Berlin", "Asia/Kathmandu", "America/Lima"] {
        assert_eq!(acme.patch("/v1/tenant", &json!({ "time_zone": name })).await.status, 200);
        assert_eq!((zone(&acme).await, zone(&rival).await), (json!(name), json!("Asia/Tokyo")));
    }
    // From the first record on it stands.
    shop.sell(&[Order::new("acme", "a")]).await;
    for _ in 0..2 {
        assert_eq!((zone(&acme).await, zone(&rival).await), (json!("America/Lima"), json!("Asia/Tokyo")));
    }
    api.stop().await;
    shop.close().await;
}

#[tokio::test]
async fn whoever_asks_meanwhile_waits_for_the_same_answer_and_errors_are_not_kept() {
    let shop = Shop::open().await;
    shop.sell(&[Order::new("acme", "a")]).await;
    // Answers are shared only while they are being computed.
    let client = shop.client("acme").await;
    let front = shop.deployment.world.front();
    let path = format!("/v1/metrics/sales/values?{}", year());
    let queries = |before: u64| front.calls("Query") - before;
    let before = front.calls("Query");
    client.get(&path).await.json();
    let of_one = queries(before);
    front.fault("Query", When::Next(of_one), Fault::Delay(Duration::from_secs(1)));
    let before = front.calls("Query");
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let (client, path) = (client.clone(), path.clone());
        requests.spawn(async move { client.get(&path).await.json()["totals"].clone() });
    }
    let answers = requests.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(queries(before) < 20 * of_one, "{} queries for 20 requests, {of_one} for one", queries(before));

    front.fault("Query", When::Matching(Box::new(|_| true)), Fault::Invalid);
    let failed = client.get(&path).await;
    assert_eq!((failed.status, failed.problem()["code"].as_str()), (500, Some("internal")));
    front.no_faults();
    assert_eq!(client.get(&path).await.status, 200);
    shop.close().await;
}

#[tokio::test]
async fn totals_are_the_sum_of_the_rows_while_numbers_change() {
    let shop = Shop::open().await;
    shop.sell(&[Order::new("acme", "first")]).await;
    let client = shop.client("acme").await;
    let writing = async {
        for number in 0_usize.. {
            let order = Order::new("acme", &format!("o{}", number % 40));
            let item = ["tea", "mug", "pot"][number % 3];
            order.of(item, &(number % 97 + 1).to_string(), "1.25", "EUR").put(&shop.deployment).await;
        }
    };
    let path = format!("/v1/metrics/sales/values?{}&group_by=item&granularity=P1D&fill=none", year());
    let reading = async {
        let mut seen = BTreeSet::new();
        while seen.len() < CHANGES {
            let answer = client.get(&path).await.json();
            seen.insert(consistent_revenue(&answer));
        }
    };
    tokio::select! {
        () = writing => unreachable!("it goes on as long as there are numbers"),
        read = tokio::time::timeout(2 * DEADLINE, reading) => read.expect("the numbers change while they are read"),
    }
    shop.close().await;
}

/// The total revenue of an answer, in which totals must be the sum of the rows, and rows that of their buckets.
fn consistent_revenue(answer: &Value) -> String {
    let total = &answer["totals"][0]["values"];
    let rows: Vec<&Value> = answer["data"].as_array().unwrap().iter().collect();
    let buckets: Vec<&Value> = rows.iter().flat_map(|row| row["buckets"].as_array().unwrap()).collect();
    for measure in ["revenue", "units", "orders"] {
        let sum = |parts: &[&Value]| {
            let number = |part: &&Value| part["values"][measure].as_str().unwrap().parse::<Decimal>().unwrap();
            parts.iter().map(number).collect::<Vec<_>>().iter().sum::<Decimal>().to_string()
        };
        let expected = total[measure].as_str().unwrap().to_owned();
        assert_eq!([sum(&rows), sum(&buckets)], [expected.clone(), expected], "{measure}: {answer}");
    }
    total["revenue"].as_str().unwrap().to_owned()
}
