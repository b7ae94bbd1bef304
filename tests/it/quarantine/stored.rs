//! What is stored for one tenant and cannot be read stops no other: the tenant's records are set aside, and say what to do.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tidemark_domain::TenantId;
use tidemark_store::{LEVEL_UNREADABLE, QuarantineCount, Quarantined, STORED_UNREADABLE, Tenant, Whose};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, Fault, When, oracle, wait_until};

use super::{UNITS, acme, order, records};

const ZONE: &str = "Mars/Olympus_Mons";

/// Whose stored items cannot be read.
fn zz() -> Whose {
    Whose::Tenant(TenantId::new("zz").unwrap())
}

fn order_of_zz(id: &str, quantity: &str) -> Value {
    order(id, json!({ "tenant_id": {"S": "zz"}, "quantity": {"N": quantity} }))
}

async fn store_zone(deployment: &Deployment, zone: &str) {
    let item = json!({ "pk": {"S": "T#zz#ZONE"}, "sk": {"S": "ZONE"}, "zone": {"S": zone}, "frozen": {"BOOL": true} });
    deployment.put("tidemark", item).await;
}

async fn until_set_aside(deployment: &Deployment, count: usize) -> Vec<Quarantined> {
    let what = format!("{count} records to be set aside");
    wait_until(&what, DEADLINE, async || records(deployment, &zz()).await.len() == count).await;
    let mut found = records(deployment, &zz()).await;
    found.sort_by(|a, b| (a.sequence_number.len(), &a.sequence_number).cmp(&(b.sequence_number.len(), &b.sequence_number)));
    found
}

async fn count_of_zz(deployment: &Deployment) -> QuarantineCount {
    let tenant = Tenant::named_by_operator(TenantId::new("zz").unwrap());
    deployment.store.quarantine_counts(&tenant).await.unwrap().into_values().next().unwrap_or_default()
}

/// The quantities of a record's images, old and new.
fn quantities(record: &Quarantined) -> [Option<String>; 2] {
    [&record.old, &record.new].map(|image| {
        let json = image.as_ref()?.json.as_ref()?;
        json["quantity"]["N"].as_str().map(str::to_owned)
    })
}

#[tokio::test]
async fn a_zone_that_the_worker_does_not_know_stops_nobody_else() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    store_zone(&deployment, ZONE).await;
    let freezes = |body: &Value| body["Key"]["pk"]["S"] == "T#zz#ZONE";
    // No fault: it counts the calls.
    deployment.world.front().fault("UpdateItem", When::Matching(Box::new(freezes)), Fault::Delay(Duration::ZERO));
    let (begun, ingest) = (Instant::now(), deployment.start_ingest().await);
    deployment.put(oracle::TABLE, order_of_zz("z1", "2")).await;
    deployment.put(oracle::TABLE, order("a1", json!({}))).await;
    deployment.expect_total("acme", UNITS, None, "1").await;
    // An edit, a delete, and one that becomes another tenant's: what it was is set aside, and the other tenant sees nothing of that.
    deployment.put(oracle::TABLE, order_of_zz("z1", "3")).await;
    deployment.delete(oracle::TABLE, json!({ "id": {"S": "z1"} })).await;
    deployment.put(oracle::TABLE, order_of_zz("z2", "4")).await;
    deployment.put(oracle::TABLE, order("z2", json!({ "quantity": {"N": "5"} }))).await;
    // Nothing of this one would be counted in any zone.
    deployment.put(oracle::TABLE, order("z3", json!({ "tenant_id": {"S": "zz"}, "status": {"S": "cancelled"} }))).await;
    deployment.expect_total("acme", UNITS, None, "6").await;

    let found = until_set_aside(&deployment, 5).await;
    let images: Vec<_> = found.iter().map(quantities).collect();
    let of = |quantity: &str| Some(quantity.to_owned());
    assert_eq!(images, [[None, of("2")], [of("2"), of("3")], [of("3"), None], [None, of("4")], [of("4"), None]]);
    for record in &found {
        assert_eq!(record.code, STORED_UNREADABLE);
        assert!(record.reason.contains(ZONE) && record.reason.contains("a newer Tidemark"), "{}", record.reason);
    }
    assert!(records(&deployment, &acme()).await.is_empty());
    let count = count_of_zz(&deployment).await;
    assert_eq!((count.records, count.overflows, count.uncounted), (5, 0, 5), "the API calls these numbers inexact");
    assert_eq!(deployment.total("zz", UNITS, None).await, "0");
    // Once in 30 s, and once at the beginning.
    let asked_max = 1 + begun.elapsed().as_secs() / 30;
    assert!(deployment.world.front().faults("UpdateItem") <= asked_max, "it is not asked again with every record");
    ingest.stop().await;

    // A worker that knows the zone counts by it from then on.
    store_zone(&deployment, "Asia/Kathmandu").await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order_of_zz("z4", "7")).await;
    deployment.expect_total("zz", UNITS, None, "7").await;
    ingest.stop().await;

    // What was set aside is missing for good, and every answer says so.
    let api = deployment.start_api().await;
    let (metric, _) = UNITS;
    let answer = api
        .client(deployment.key_of("zz").await)
        .get(&format!("/v1/metrics/{metric}/values?from=2026-01-01&to=2027-01-01"))
        .await;
    assert_eq!(answer.json()["freshness"]["reasons"], json!(["broken_row"]));
    let of_acme = api.client(deployment.key_of("acme").await).get(&format!("/v1/metrics/{metric}/values")).await;
    assert_eq!(of_acme.json()["freshness"]["reasons"], json!([]), "another tenant's numbers lack nothing");
    api.stop().await;
}

#[tokio::test]
async fn what_comes_before_a_record_that_waits_for_its_zone_is_committed() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let freezes = |body: &Value| body["Key"]["pk"]["S"] == "T#zz#ZONE";
    deployment.world.front().fault("UpdateItem", When::Matching(Box::new(freezes)), Fault::Throttle);
    deployment.put(oracle::TABLE, order("a1", json!({}))).await;
    deployment.put(oracle::TABLE, order_of_zz("z1", "2")).await;
    let ingest = deployment.start_ingest().await;
    deployment.expect_total("acme", UNITS, None, "1").await;
    assert!(records(&deployment, &zz()).await.is_empty(), "a table that is throttled says nothing about the record");
    deployment.world.front().no_faults();
    deployment.expect_total("zz", UNITS, None, "2").await;
    ingest.stop().await;
}

/// The key of the one item whose partition key begins so.
async fn key_of(deployment: &Deployment, pk: &str) -> (String, String) {
    let items = deployment.world.dynamodb().scan().table_name("tidemark").consistent_read(true).send().await.unwrap();
    let text = |value: &AttributeValue| value.as_s().unwrap().clone();
    let keys: Vec<_> = items.items().iter().map(|item| (text(&item["pk"]), text(&item["sk"]))).collect();
    let found: Vec<_> = keys.into_iter().filter(|(found, _)| found.starts_with(pk)).collect();
    let [key] = &found[..] else { panic!("{found:?}") };
    key.clone()
}

async fn level_of_zz(deployment: &Deployment) -> Option<String> {
    let (pk, sk) = key_of(deployment, "T#zz#I#").await;
    let get = deployment.world.dynamodb().get_item().table_name("tidemark").consistent_read(true);
    let item = get.key("pk", AttributeValue::S(pk)).key("sk", AttributeValue::S(sk)).send().await.unwrap().item?;
    item.get("on_hand")?.as_n().ok().cloned()
}

#[tokio::test]
async fn a_level_that_cannot_be_read_stops_nobody_else_and_not_its_own_numbers() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order_of_zz("z1", "2")).await;
    deployment.expect_total("zz", UNITS, None, "2").await;
    let (pk, sk) = key_of(&deployment, "T#zz#I#").await;
    deployment.put("tidemark", json!({ "pk": {"S": pk}, "sk": {"S": sk}, "on_hand": {"S": "many"} })).await;

    deployment.put(oracle::TABLE, order_of_zz("z1", "3")).await;
    deployment.put(oracle::TABLE, order("a1", json!({}))).await;
    deployment.expect_total("acme", UNITS, None, "1").await;
    deployment.expect_total("zz", UNITS, None, "3").await;
    let found = until_set_aside(&deployment, 1).await;
    assert_eq!((found[0].code.as_str(), quantities(&found[0])), (LEVEL_UNREADABLE, [Some("2".into()), Some("3".into())]));
    assert!(found[0].reason.contains("`on_hand` is no number") && found[0].reason.contains("`z1`"), "{}", found[0].reason);
    assert_eq!(level_of_zz(&deployment).await, None, "it stays as it was");
    let count = count_of_zz(&deployment).await;
    assert_eq!((count.uncounted, count.undecided), (0, 1));

    // Once it is mended, the next change is the level.
    deployment.delete("tidemark", json!({ "pk": {"S": pk}, "sk": {"S": sk} })).await;
    deployment.put(oracle::TABLE, order_of_zz("z1", "4")).await;
    deployment.expect_total("zz", UNITS, None, "4").await;
    assert_eq!(level_of_zz(&deployment).await, Some("4".to_owned()));
    ingest.stop().await;

    // The levels were not what the table said, and their answers say so; nothing is missing from the numbers.
    let api = deployment.start_api().await;
    let client = api.client(deployment.key_of("zz").await);
    for path in ["/v1/inventory", "/v1/inventory/z1", "/v1/alerts"] {
        assert_eq!(client.get(path).await.json()["freshness"]["reasons"], json!(["broken_row"]), "{path}");
    }
    let numbers = client.get("/v1/metrics/sales/values?from=2026-01-01&to=2027-01-01").await;
    assert_eq!(numbers.json()["freshness"]["reasons"], json!([]));
    api.stop().await;
}

#[tokio::test]
async fn rules_that_cannot_be_read_stop_nobody_else_and_not_their_tenants_numbers() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    deployment.put("tidemark", json!({ "pk": {"S": "T#zz#RULES"}, "sk": {"S": "RULE#rul_x"}, "rule": {"S": "{}"} })).await;
    deployment.put(oracle::TABLE, order_of_zz("z1", "2")).await;
    deployment.put(oracle::TABLE, order("a1", json!({}))).await;
    let ingest = deployment.start_ingest().await;
    deployment.expect_total("acme", UNITS, None, "1").await;
    deployment.expect_total("zz", UNITS, None, "2").await;
    let found = until_set_aside(&deployment, 1).await;
    assert!(found[0].reason.contains("alert rules") && found[0].reason.contains("`rule`"), "{}", found[0].reason);
    assert!(records(&deployment, &acme()).await.is_empty());
    ingest.stop().await;
}
