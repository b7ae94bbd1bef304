//! STREAMS §5: changed definitions, and workers of two rollouts side by side.

use std::time::Duration;

use serde_json::{Value, json};
use tidemark_domain::Definitions;
use tidemark_ingest::{Error, Ingest};
use tidemark_runtime::clock;
use tidemark_store::{AdoptError, RunningDefinitions};
use tidemark_tests::deployment::{DEADLINE, settings};
use tidemark_tests::{Deployment, Workload, oracle, wait_until};
use tokio::time::Instant;

fn order(id: usize, quantity: &str, weight: Option<&str>) -> Value {
    let mut item = json!({
        "id": {"S": format!("o{id}")}, "tenant_id": {"S": "acme"}, "order_date": {"S": clock::now().to_string()},
        "quantity": {"N": quantity}, "unit_price": {"N": "1"}, "item_number": {"S": "tea"}, "channel": {"S": "web"},
    });
    if let Some(weight) = weight {
        item["weight"] = json!({ "N": weight });
    }
    item
}

/// The file of the next rollout: a measure, a dimension with its set, and a metric more.
fn next_file() -> String {
    let text = oracle::DEFINITIONS
        .replace("      orders: { count: true }", "      orders: { count: true }\n      weight: { sum: weight }")
        .replace("region: region }", "region: region, channel: channel }")
        .replace("[item, region]]", "[item, region], [channel]]");
    let visits = "metrics:\n  visits:\n    source: orders\n    time: order_date\n    measures: { visits: { count: true } }\n    group_by: [[]]\n";
    text.replace("metrics:\n", visits)
}

#[tokio::test]
async fn what_is_added_counts_from_now_and_changes_nothing_that_was_there() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let old = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order(1, "5", None)).await;
    deployment.expect_total("acme", ("sales", "units"), None, "5").await;
    old.stop().await;

    let next = Definitions::parse(&next_file()).unwrap();
    let new = deployment.start_ingest_with(&deployment.world.config_of(Workload::Ingest), &next).await;
    deployment.put(oracle::TABLE, order(2, "1", Some("2.5"))).await;
    deployment.expect_total("acme", ("sales", "weight"), None, "2.5").await;
    deployment.expect_total("acme", ("sales", "units"), None, "6").await;
    deployment.expect_total("acme", ("sales", "units"), Some(("channel", "web")), "1").await;
    deployment.expect_total("acme", ("visits", "visits"), None, "1").await;
    // An item of before, without the new measure: the old measures follow its edit, exactly.
    deployment.put(oracle::TABLE, order(1, "7", None)).await;
    deployment.expect_total("acme", ("sales", "units"), None, "8").await;
    assert_eq!(deployment.total("acme", ("sales", "orders"), None).await, "2");
    new.stop().await;
}

#[tokio::test]
async fn two_rollouts_side_by_side_never_disagree() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let next = Definitions::parse(&next_file()).unwrap();
    let old = deployment.start_ingest().await;
    for id in 0..10 {
        deployment.put(oracle::TABLE, order(id, "1", Some("1"))).await;
    }
    deployment.expect_total("acme", ("sales", "units"), None, "10").await;
    // The new worker adopts its file while the old one holds the shard and goes on consuming it.
    let new = deployment.start_ingest_with(&deployment.world.config_of(Workload::Ingest), &next).await;
    for id in 10..20 {
        deployment.put(oracle::TABLE, order(id, "1", Some("1"))).await;
    }
    deployment.expect_total("acme", ("sales", "units"), None, "20").await;
    old.stop().await;
    for id in 20..30 {
        deployment.put(oracle::TABLE, order(id, "1", Some("1"))).await;
    }
    deployment.expect_total("acme", ("sales", "units"), None, "30").await;
    // A worker of the old rollout comes back: it runs what runs, not its file.
    let late = deployment.start_ingest().await;
    new.stop().await;
    for id in 30..40 {
        deployment.put(oracle::TABLE, order(id, "1", Some("1"))).await;
    }
    deployment.expect_total("acme", ("sales", "units"), None, "40").await;
    deployment.settled("orders").await;
    let counted: u64 = deployment.total("acme", ("visits", "visits"), None).await.parse().unwrap();
    let weighed: u64 = deployment.total("acme", ("sales", "weight"), None).await.parse().unwrap();
    assert_eq!(counted, weighed, "both began with the same version, so each record counts for both or for neither");
    assert!((20..=30).contains(&counted), "everything after the old worker left counts: {counted}");
    assert_eq!(deployment.store.running().await.unwrap().unwrap().version, 2, "the old file proposes nothing");
    late.stop().await;
}

#[tokio::test]
async fn a_changed_meaning_is_refused_with_the_two_ways_on() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    deployment.start_ingest().await.stop().await;
    let changed = oracle::DEFINITIONS.replace("units: { sum: quantity }", "units: { sum: pieces }");
    let changed = Definitions::parse(&changed).unwrap();
    let refused = Ingest::start(&deployment.world.config_of(Workload::Ingest), &settings(), &changed).await.unwrap_err();
    let Error::Adopt(AdoptError::Refused(refused)) = refused else { panic!("{refused:?}") };
    let text = refused.to_string();
    for part in ["sales", "units", "tidemark definitions accept sales --from-now", "name"] {
        assert!(text.contains(part), "{text}");
    }

    let running = deployment.store.running().await.unwrap().unwrap();
    let sales = "sales".to_owned().try_into().unwrap();
    deployment.store.put_running(&running.accept_from_now(&changed, &sales, clock::now(), None).unwrap()).await.unwrap();
    let ingest = deployment.start_ingest_with(&deployment.world.config_of(Workload::Ingest), &changed).await;
    let mut item = order(1, "5", None);
    item["pieces"] = json!({ "N": "3" });
    deployment.put(oracle::TABLE, item).await;
    deployment.expect_total("acme", ("sales", "units"), None, "3").await;
    ingest.stop().await;
}

#[tokio::test]
async fn an_api_whose_file_contradicts_what_runs_serves_what_runs() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    deployment.start_ingest().await.stop().await;
    let changed = oracle::DEFINITIONS.replace("units: { sum: quantity }", "units: { sum: pieces }");
    let api = deployment.start_api_with(&Definitions::parse(&changed).unwrap()).await;
    let key = deployment.key_of("acme").await;
    api.client(key).get("/v1/metrics/sales").await.json_of(200);
    assert_eq!(deployment.store.running().await.unwrap().unwrap().version, 1);
    api.stop().await;
}

#[tokio::test]
async fn an_api_serves_what_runs_and_leaves_its_file_to_workers() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let next = Definitions::parse(&next_file()).unwrap();
    let has_visits = |answer: &Value| answer["data"].as_array().unwrap().iter().any(|metric| metric["metric"] == "visits");
    let key = deployment.key_of("acme").await;
    let early = deployment.start_api_with(&next).await;
    assert!(has_visits(&early.client(&key).get("/v1/metrics").await.json()), "nothing runs yet: its file is all it knows");
    assert!(deployment.store.running().await.unwrap().is_none(), "nobody has looked at the tables that it names");

    let old = deployment.start_ingest().await;
    early.client(&key).until("an API to serve what a worker adopted", "/v1/metrics", |answer| !has_visits(answer)).await;
    let late = deployment.start_api_with(&next).await;
    assert!(!has_visits(&late.client(&key).get("/v1/metrics").await.json()), "what nobody counts is not served");
    assert_eq!(deployment.store.running().await.unwrap().unwrap().version, 1);

    let new = deployment.start_ingest_with(&deployment.world.config_of(Workload::Ingest), &next).await;
    for api in [&early, &late] {
        api.client(&key).until("an API to serve what the next worker adopted", "/v1/metrics", has_visits).await;
    }
    for worker in [old, new] {
        worker.stop().await;
    }
    for api in [early, late] {
        api.stop().await;
    }
}

#[tokio::test]
async fn a_document_is_known_from_when_this_process_learnt_of_it() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let first = deployment.store.adopt(&deployment.definitions, clock::now()).await.unwrap().running;
    let definitions = RunningDefinitions::new(deployment.store.clone(), first);
    let known_long = async || definitions.known().1 > Duration::from_millis(50);
    wait_until("the first to be known for a while", DEADLINE, known_long).await;
    definitions.reload().await.unwrap();
    assert!(known_long().await, "nothing is new");

    let since = Instant::now();
    // Whoever adopts it may have a clock that is far behind: it does not count.
    let adopted_at = clock::now() - jiff::SignedDuration::from_hours(1);
    deployment.store.adopt(&Definitions::parse(&next_file()).unwrap(), adopted_at).await.unwrap();
    definitions.reload().await.unwrap();
    let (running, known_for) = definitions.known();
    assert_eq!(running.version, 2);
    assert!(known_for <= since.elapsed(), "{known_for:?}");
}
