//! Every answer says how far its source is included, and why its numbers are not exact when they are not.

use insta::{assert_json_snapshot, with_settings};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidemark_domain::Definitions;
use tidemark_ingest::Ingest;
use tidemark_runtime::clock;
use tidemark_runtime::health::Health;
use tidemark_streams::Start;
use tidemark_tests::deployment::{DEADLINE, settings, tables};
use tidemark_tests::{Client, Deployment, Workload, wait_until};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::orders::Order;
use super::{SHOP, Shop, TABLE, year};

async fn freshness(client: &Client, query: &str) -> Value {
    client.get(&format!("/v1/metrics/sales/values?{}&{query}", year())).await.json()["freshness"].clone()
}

async fn status(client: &Client) -> Value {
    client.get("/v1/status").await.json()["data"][0].clone()
}

/// Writes one attribute of every item of a control partition, as a worker would have.
async fn set_in_control(deployment: &Deployment, partition: &str, attribute: &str, value: Value) {
    let client = deployment.world.dynamodb();
    let scan = client.scan().table_name(tables().control).consistent_read(true).send().await.unwrap();
    let value = tidemark_tests::deployment::item_of(&json!({ "value": value })).remove("value").unwrap();
    let mut found = 0;
    for mut item in scan.items.unwrap() {
        if item["pk"].as_s().is_ok_and(|pk| pk == partition) {
            item.insert(attribute.to_owned(), value.clone()).expect("the attribute is there");
            client.put_item().table_name(tables().control).set_item(Some(item)).send().await.unwrap();
            found += 1;
        }
    }
    assert_eq!(found, 1, "{partition}");
}

fn ms_ago(seconds: i64) -> Value {
    json!({ "N": (clock::now() - SignedDuration::from_secs(seconds)).as_millisecond().to_string() })
}

#[tokio::test]
async fn before_any_worker_ran_there_is_no_watermark_and_nothing_is_exact() {
    let deployment = Deployment::start(SHOP).await;
    let api = deployment.start_api().await;
    let client = api.client(deployment.key_of("acme").await);
    let answer = client.get("/v1/metrics/sales/values").await;
    let fresh = &answer.json()["freshness"];
    assert_eq!((&fresh["watermark"], &fresh["lag_ms"], &fresh["status"]), (&Value::Null, &Value::Null, &json!("stalled")));
    assert_eq!((answer.header("data-watermark"), answer.header("data-exact")), (None, Some("false; reasons=\"history\"")));
    assert_eq!((&fresh["exact"], &fresh["reasons"]), (&json!(false), &json!(["history"])));
    let status = status(&client).await;
    assert_eq!((&status["exact"], &status["reasons"]), (&json!(false), &json!(["history"])));
    let detail = status["descriptions"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("no worker has read the table's stream yet"), "{detail}");
    assert_eq!((&status["watermark"], &status["lag_ms"], &status["status"]), (&Value::Null, &Value::Null, &json!("stalled")));
    api.stop().await;
}

#[tokio::test]
async fn the_watermark_moves_on_while_nothing_happens_and_includes_what_was_written_before_it() {
    let shop = Shop::open().await;
    let client = shop.client("acme").await;
    shop.sell(&[Order::new("acme", "o1")]).await;
    let instant = |fresh: &Value| fresh["watermark"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let written = clock::now();
    let mut fresh = freshness(&client, "").await;
    let first = instant(&fresh);
    wait_until("the watermark to pass the last write", DEADLINE, async || {
        let before = std::mem::replace(&mut fresh, freshness(&client, "").await);
        assert!(instant(&fresh) >= instant(&before), "never backwards: {before} then {fresh}");
        instant(&fresh) > written
    })
    .await;
    assert!(instant(&fresh) > first);
    assert_eq!((&fresh["status"], &fresh["exact"], &fresh["reasons"]), (&json!("live"), &json!(true), &json!([])));
    // The lag is what lay between the watermark and some instant while the question was under way.
    let asked = clock::now();
    let answer = client.get("/v1/metrics/sales/values").await;
    let fresh = answer.json()["freshness"].clone();
    let lag_at = |now: Timestamp| now.duration_since(instant(&fresh)).as_millis();
    let told = i128::from(fresh["lag_ms"].as_i64().unwrap());
    assert!((lag_at(asked)..=lag_at(clock::now())).contains(&told), "{fresh}");
    assert_eq!(answer.header("data-watermark"), fresh["watermark"].as_str());
    let report = client.get("/v1/status").await.json();
    with_settings!({ sort_maps => true }, {
        assert_json_snapshot!("status_of_a_live_source", report, {
            ".data[].watermark" => "[watermark]", ".data[].lag_ms" => "[lag_ms]",
            // A busy machine may read a record late.
            ".data[].delivery_delay_ms" => "[delivery_delay_ms]",
        });
    });
    shop.close().await;
}

#[tokio::test]
async fn a_source_that_stands_still_is_stalled_and_one_far_behind_is_catching_up() {
    let shop = Shop::open().await;
    shop.sell(&[Order::new("acme", "o1")]).await;
    let client = shop.client("acme").await;
    // From here on the test writes what a worker would have.
    shop.ingest.stop().await;
    for (watermark, published, expected) in
        [(70, 65, "stalled"), (40, 30, "catching_up"), (2, 1, "live"), (100_000, 3, "catching_up")]
    {
        set_in_control(&shop.deployment, "WATERMARK", "watermark_ms", ms_ago(watermark)).await;
        set_in_control(&shop.deployment, "WATERMARK", "published_ms", ms_ago(published)).await;
        // The worker may have learnt another delay, or none.
        set_in_control(&shop.deployment, "WATERMARK", "delay_ms", json!({ "N": "2000" })).await;
        for told in [freshness(&client, "").await, status(&client).await] {
            assert_eq!(told["status"], expected, "{told}");
            let lag = told["lag_ms"].as_i64().unwrap() / 1000;
            assert!((watermark..watermark + 10).contains(&lag), "{told}");
        }
    }
    set_in_control(&shop.deployment, "STREAMS", "exact", json!({ "BOOL": false })).await;
    for told in [freshness(&client, "").await, status(&client).await] {
        assert_eq!((&told["exact"], &told["reasons"], &told["status"]), (&json!(false), &json!(["gap"]), &json!("gap")));
    }
    shop.api.stop().await;
}

#[tokio::test]
async fn a_start_at_now_leaves_history_out_and_says_so() {
    let deployment = Deployment::start(SHOP).await;
    Order::new("acme", "before").of("old", "100", "1", "EUR").put(&deployment).await;
    // Records are stamped with whole seconds: the start must lie in a later one than this record.
    let second = clock::now().as_second();
    wait_until("the next second", DEADLINE, async || clock::now().as_second() > second).await;
    let begins = tidemark_ingest::Settings { start: Start::Now, ..settings() };
    let ingest = Ingest::start(&deployment.world.config_of(Workload::Ingest), &begins, &deployment.definitions).await.unwrap();
    let (health, stop, mut tasks) = (Health::starting(), CancellationToken::new(), JoinSet::new());
    tasks.spawn(ingest.run(health.clone(), stop.clone()));
    health.until_ready().await;

    let api = deployment.start_api().await;
    let client = api.client(deployment.key_of("acme").await);
    let path = format!("/v1/metrics/sales/values?{}&group_by=item", year());
    let (mut answer, mut sold) = (Value::Null, 0);
    // An order of every second, until one is stamped after the start. DynamoDB Local stamps with whole minutes.
    wait_until("an order after the start to count", 3 * DEADLINE, async || {
        if clock::now().as_second() > sold {
            sold = clock::now().as_second();
            Order::new("acme", &format!("after-{sold}")).of("new", "3", "1", "EUR").put(&deployment).await;
        }
        answer = client.get(&path).await.json();
        !answer["totals"][0].is_null()
    })
    .await;
    let items: Vec<&Value> = answer["data"].as_array().unwrap().iter().map(|row| &row["dimensions"]["item"]).collect();
    assert_eq!(items, ["new"], "what was there before is not counted");
    assert_eq!((&answer["freshness"]["exact"], &answer["freshness"]["reasons"]), (&json!(false), &json!(["history"])));
    let status = status(&client).await;
    assert_eq!((&status["exact"], &status["descriptions"][0]["reason"]), (&json!(false), &json!("history")));
    api.stop().await;
    stop.cancel();
    while tasks.join_next().await.is_some() {}
}

#[tokio::test]
async fn what_was_defined_later_is_not_exact_and_the_rest_is() {
    let shop = Shop::open().await;
    shop.sell(&[Order::new("acme", "o1").of("tea", "5", "1", "EUR")]).await;
    let client = shop.client("acme").await;
    let next = SHOP
        .replace("      orders: { count: true }", "      orders: { count: true }\n      weight: { sum: weight }")
        .replace("average_order:", "weight_each: { ratio: [weight, units] }\n      average_order:")
        .replace("[item, region]]", "[item, region], [channel]]")
        .replace(
            "metrics:\n",
            "metrics:\n  later: { source: orders, time: order_date, measures: { n: { count: true } }, group_by: [[]] }\n",
        );
    let next = Definitions::parse(&next).unwrap_or_else(|invalid| panic!("{invalid}"));
    shop.ingest.stop().await;
    let ingest = shop.deployment.start_ingest_with(&shop.deployment.world.config_of(Workload::Ingest), &next).await;
    let mut order = Order::new("acme", "o2").of("tea", "1", "1", "EUR").image();
    order["weight"] = json!({ "N": "0.25" });
    order["channel"] = json!({ "S": "web" });
    shop.deployment.put(TABLE, order).await;

    // The API that runs already learns of it by itself.
    let path = format!("/v1/metrics/sales/values?{}&measures=units", year());
    let counted = |answer: &Value| answer["totals"][0]["values"]["units"] == "6";
    client.until("the new worker to count", &path, counted).await;
    client.until("the API to know the new metric", "/v1/metrics", |list| list["data"][0]["metric"] == "later").await;
    let reasons = async |query: &str| freshness(&client, query).await["reasons"].clone();
    for query in ["measures=units,revenue,average_order", "measures=units&group_by=item", "measures=units&filter[region]=north"] {
        assert_eq!(reasons(query).await, json!([]), "{query}");
    }
    for query in
        ["", "measures=weight", "measures=weight_each", "measures=units&group_by=channel", "measures=units&filter[channel]=web"]
    {
        assert_eq!(reasons(query).await, json!(["definitions"]), "{query}");
    }
    // Which rows are shown hangs on the order's measure, too.
    assert_eq!(reasons("measures=units&group_by=item&order=-weight&limit=1").await, json!(["definitions"]));
    let later = client.get(&format!("/v1/metrics/later/values?{}", year())).await.json();
    assert_eq!((&later["freshness"]["reasons"], &later["totals"][0]["values"]["n"]), (&json!(["definitions"]), &json!("1")));
    assert!(client.get("/v1/metrics/later").await.json()["since"].is_string());
    assert_eq!(client.get("/v1/metrics/sales").await.json()["since"], Value::Null);
    let status = status(&client).await;
    let detail = status["descriptions"][0]["detail"].as_str().unwrap();
    for part in ["metric later", "measure sales.weight", "grouping sales.channel"] {
        assert!(detail.contains(part), "{detail}");
    }
    shop.api.stop().await;
    ingest.stop().await;
}
