//! What cannot be read is set aside with its reason, stops nothing, and counts as soon as it is mended.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidemark_domain::TenantId;
use tidemark_runtime::clock;
use tidemark_store::{QuarantineQuery, Quarantined, Tenant, Whose};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::oracle::stock::check_levels;
use tidemark_tests::{Deployment, Fault, When, oracle, wait_until};

mod concerned;
mod last_resort;
mod stored;

const UNITS: (&str, &str) = ("sales", "units");

/// A good order, with some attributes changed or (null) left out.
fn order(id: &str, changes: Value) -> Value {
    let mut item = json!({
        "id": {"S": id}, "tenant_id": {"S": "acme"}, "order_date": {"S": clock::now().to_string()}, "quantity": {"N": "1"},
        "unit_price": {"N": "2.50"}, "item_number": {"S": "tea"}, "region": {"S": "north"}, "currency": {"S": "EUR"},
    });
    for (name, value) in changes.as_object().unwrap() {
        item[name] = value.clone();
    }
    item.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    item
}

async fn records(deployment: &Deployment, whose: &Whose) -> Vec<Quarantined> {
    let query = QuarantineQuery { after: None, limit: 100, now: clock::now() };
    deployment.store.quarantined_of(whose, &query).await.unwrap().records
}

fn acme() -> Whose {
    Whose::Tenant(TenantId::new("acme").unwrap())
}

#[tokio::test]
async fn every_kind_of_unreadable_record_is_named_and_stops_nothing() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    let bad = [
        ("measure", "`quantity` is missing", json!({ "quantity": null })),
        ("measure", "`quantity` is of type S", json!({ "quantity": {"S": "10"} })),
        ("measure", "`quantity` is of type L", json!({ "quantity": {"L": [{"N": "10"}]} })),
        ("measure", "beyond what is counted", json!({ "quantity": {"N": "1E+38"} })),
        ("measure", "beyond what is counted", json!({ "quantity": {"N": "1E-21"} })),
        ("measure", "beyond what is counted", json!({ "quantity": {"N": "1E+20"}, "unit_price": {"N": "1E+18"} })),
        ("time", "`order_date` is missing", json!({ "order_date": null })),
        ("time", "`yesterday`: not RFC 3339", json!({ "order_date": {"S": "yesterday"} })),
        ("time", "`2026-03-9`: not RFC 3339", json!({ "order_date": {"S": "2026-03-9"} })),
        ("time", "`order_date` is of type BOOL", json!({ "order_date": {"BOOL": true} })),
        ("time", "outside the years", json!({ "order_date": {"N": "1E+30"} })),
        ("currency", "no currency", json!({ "currency": {"S": "€#"} })),
        ("dimension", "`item_number` is of type L", json!({ "item_number": {"L": []} })),
        ("key_too_long", "sort key of 2", json!({ "item_number": {"S": "x".repeat(2048)} })),
    ];
    for (index, (_, _, changes)) in bad.iter().enumerate() {
        deployment.put(oracle::TABLE, order(&format!("bad-{index}"), changes.clone())).await;
    }
    deployment.put(oracle::TABLE, order("good", json!({}))).await;
    deployment.expect_total("acme", UNITS, None, "1").await;

    let mut found = records(&deployment, &acme()).await;
    found.sort_by(|a, b| a.sequence_number.cmp(&b.sequence_number));
    assert_eq!(found.len(), bad.len(), "{found:#?}");
    for (record, (code, reason, changes)) in found.iter().zip(&bad) {
        assert_eq!(record.code, *code, "{changes}");
        assert!(record.reason.contains(reason), "{}: {changes}", record.reason);
        let new = record.new.as_ref().unwrap().json.as_ref().unwrap();
        // DynamoDB spells numbers its own way; everything else is kept as it came.
        let is_kept = |(_, value): &(&String, &Value)| !value.is_null() && value.get("N").is_none();
        for (name, value) in changes.as_object().unwrap().iter().filter(is_kept) {
            assert_eq!(new[name], *value);
        }
        assert!(record.old.is_none());
    }
    let tenant = Tenant::named_by_operator(TenantId::new("acme").unwrap());
    let counts = deployment.store.quarantine_counts(&tenant).await.unwrap();
    assert_eq!(counts.values().map(|count| count.records).collect::<Vec<_>>(), [bad.len() as u64]);
    check_levels(&deployment.world.dynamodb(), &BTreeMap::from([("acme", "UTC")])).await;

    for (index, _) in bad.iter().enumerate() {
        deployment.put(oracle::TABLE, order(&format!("bad-{index}"), json!({}))).await;
    }
    deployment.expect_total("acme", UNITS, None, &(bad.len() + 1).to_string()).await;
    ingest.stop().await;
    check_levels(&deployment.world.dynamodb(), &BTreeMap::from([("acme", "UTC")])).await;
}

#[tokio::test]
async fn a_good_item_that_turns_bad_leaves_the_totals_and_both_images_are_kept() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order("o1", json!({ "quantity": {"N": "7"} }))).await;
    deployment.expect_total("acme", UNITS, None, "7").await;
    deployment.put(oracle::TABLE, order("o1", json!({ "quantity": {"S": "seven"} }))).await;
    deployment.expect_total("acme", UNITS, None, "0").await;
    let found = records(&deployment, &acme()).await;
    let [record] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(record.old.as_ref().unwrap().json.as_ref().unwrap()["quantity"], json!({"N": "7"}));
    assert_eq!(record.new.as_ref().unwrap().json.as_ref().unwrap()["quantity"], json!({"S": "seven"}));
    deployment.put(oracle::TABLE, order("o1", json!({ "quantity": {"N": "8"} }))).await;
    deployment.expect_total("acme", UNITS, None, "8").await;
    ingest.stop().await;
    check_levels(&deployment.world.dynamodb(), &BTreeMap::from([("acme", "UTC")])).await;
}

#[tokio::test]
async fn a_tenant_never_sees_an_image_that_was_anothers() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order("o1", json!({ "tenant_id": {"S": "rival"}, "item_number": {"S": "secret"} }))).await;
    deployment.expect_total("rival", UNITS, None, "1").await;
    deployment.put(oracle::TABLE, order("o1", json!({ "quantity": null }))).await;
    deployment.expect_total("rival", UNITS, None, "0").await;
    let found = records(&deployment, &acme()).await;
    let [record] = &found[..] else { panic!("{found:#?}") };
    assert!(record.old.is_none() && record.new.is_some());
    ingest.stop().await;
}

#[tokio::test]
async fn hostile_tenant_ids_are_nobodys_and_only_operators_see_them() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    let hostile = ["", "T#acme", "acme#M", "../acme", "acme ", "ä", &"a".repeat(65)];
    for (index, tenant) in hostile.iter().enumerate() {
        deployment.put(oracle::TABLE, order(&format!("o{index}"), json!({ "tenant_id": {"S": tenant} }))).await;
    }
    deployment.put(oracle::TABLE, order("n", json!({ "tenant_id": {"N": "7"} }))).await;
    let of_source = Whose::Source("orders".to_owned().try_into().unwrap());
    wait_until("all to be quarantined", DEADLINE, async || records(&deployment, &of_source).await.len() == hostile.len() + 1)
        .await;
    assert!(records(&deployment, &acme()).await.is_empty());
    assert_eq!(deployment.total("acme", UNITS, None).await, "0");
    ingest.stop().await;
}

#[tokio::test]
async fn separators_inside_values_stay_inside_their_group() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    let values = ["a#b", "a", "b", "%23", "#", "%N", "", "a\u{0}b", "null"];
    for (index, value) in values.iter().enumerate() {
        let quantity = (index + 1).to_string();
        deployment
            .put(oracle::TABLE, order(&format!("o{index}"), json!({ "item_number": {"S": value}, "quantity": {"N": quantity} })))
            .await;
    }
    deployment.put(oracle::TABLE, order("none", json!({ "item_number": null, "quantity": {"N": "100"} }))).await;
    deployment.expect_total("acme", UNITS, None, "145").await;
    for (index, value) in values.iter().enumerate() {
        let expected = (index + 1).to_string();
        assert_eq!(deployment.total("acme", UNITS, Some(("item", value))).await, expected, "{value:?}");
    }
    ingest.stop().await;
}

#[tokio::test]
async fn what_dynamodb_will_never_take_is_diverted_and_stops_nothing() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    // Whatever the reason: adding to a row of this item is refused, always, and nothing that stands there explains it.
    let poisoned = |body: &Value| {
        let adds_poison = |item: &Value| {
            let (key, change) = (&item["Update"]["Key"]["sk"]["S"], &item["Update"]["UpdateExpression"]);
            key.as_str().is_some_and(|key| key.contains("poison")) && change.as_str().is_some_and(|text| text.starts_with("ADD"))
        };
        body["TransactItems"].as_array().is_some_and(|items| items.iter().any(adds_poison))
    };
    deployment.world.front().fault("TransactWriteItems", When::Matching(Box::new(poisoned)), Fault::Invalid);
    for (id, item) in [("o1", "tea"), ("o2", "tea"), ("o3", "poison"), ("o4", "tea"), ("o5", "mug")] {
        deployment.put(oracle::TABLE, order(id, json!({ "item_number": {"S": item} }))).await;
    }
    let ingest = deployment.start_ingest().await;
    deployment.expect_total("acme", UNITS, Some(("item", "mug")), "1").await;
    assert_eq!(deployment.total("acme", UNITS, Some(("item", "tea"))).await, "3", "only the record that is refused is diverted");
    let found = records(&deployment, &acme()).await;
    let [record] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(record.code, "row_overflow");
    assert!(record.reason.contains("poison#") && record.reason.contains("units 1"), "the deltas are kept: {}", record.reason);
    let tenant = Tenant::named_by_operator(TenantId::new("acme").unwrap());
    let counts = deployment.store.quarantine_counts(&tenant).await.unwrap();
    assert_eq!(counts.values().map(|count| count.overflows).collect::<Vec<_>>(), [1], "the API calls these numbers inexact");
    let listed = deployment.store.concerned(&record.source, 10).await.unwrap().tenants;
    assert_eq!(listed.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>(), ["acme"], "operators see whose they are");
    ingest.stop().await;
}
