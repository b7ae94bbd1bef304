//! What DynamoDB stores in no form is left out step by step: levels, rows, effects, the record's name. The position always moves.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tidemark_domain::rule::{Scope, Severity, Threshold, Thresholds};
use tidemark_domain::{InventoryName, Rule, RuleId, TenantId};
use tidemark_runtime::clock;
use tidemark_store::{LEVEL_UNREADABLE, Quarantined, STORED_UNREADABLE, Tenant, Whose, ulid};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, brim, oracle, wait_until};

use super::{UNITS, order, records};

/// Room that is left free, as an emulator may count numbers otherwise: less than any of the changes that are refused needs.
const SLACK: usize = 4;

fn order_of(tenant: &str, id: &str, quantity: &str, price: &str) -> Value {
    let changes = json!({ "tenant_id": {"S": tenant}, "quantity": {"N": quantity}, "unit_price": {"N": price} });
    order(id, changes)
}

async fn items(deployment: &Deployment, pk: &str) -> Vec<HashMap<String, AttributeValue>> {
    let scan = deployment.world.dynamodb().scan().table_name("tidemark").consistent_read(true).send().await.unwrap();
    scan.items().iter().filter(|item| item["pk"].as_s().unwrap().starts_with(pk)).cloned().collect()
}

async fn fill(deployment: &Deployment, item: HashMap<String, AttributeValue>) {
    brim::fill(&deployment.world.dynamodb(), item, SLACK).await;
}

/// Has the alert of the tenant `full` be as large as it may be, once its first event is fanned out, which writes it, too.
async fn fill_alert(deployment: &Deployment) {
    let alerts = async || items(deployment, "T#full#ALERTS").await;
    wait_until("an alert to fire", DEADLINE, async || !alerts().await.is_empty()).await;
    wait_until("nothing to be due", DEADLINE, async || {
        items(deployment, "T#full#AE#").await.iter().all(|event| !event.contains_key("index_pk"))
    })
    .await;
    let [alert] = &alerts().await[..] else { panic!("one alert") };
    fill(deployment, alert.clone()).await;
}

async fn until_set_aside(deployment: &Deployment, count: usize) -> Vec<Quarantined> {
    let whose = Whose::Tenant(TenantId::new("full").unwrap());
    let what = format!("{count} records to be set aside");
    wait_until(&what, DEADLINE, async || records(deployment, &whose).await.len() == count).await;
    records(deployment, &whose).await
}

/// Fills every row of the tenant.
async fn fill_rows(deployment: &Deployment) {
    let rows = items(deployment, "T#full#M#").await;
    assert!(!rows.is_empty(), "there are rows");
    for row in rows {
        fill(deployment, row).await;
    }
}

#[tokio::test]
async fn a_full_alert_costs_its_own_level_alone() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order_of("full", "z1", "2", "2.50")).await;
    fill_alert(&deployment).await;

    // Another reorder point: the alert is to hold it, in more digits than there is room for.
    deployment.put(oracle::TABLE, order_of("full", "z1", "1", "2.50000000001234567891")).await;
    deployment.put(oracle::TABLE, order_of("acme", "a1", "1", "2.50")).await;
    deployment.expect_total("acme", UNITS, None, "1").await;
    deployment.expect_total("full", UNITS, None, "1").await;
    let [found] = &until_set_aside(&deployment, 1).await[..] else { panic!("one record") };
    assert_eq!(found.code, LEVEL_UNREADABLE);
    assert!(found.reason.contains("too large") && found.reason.contains("`z1`"), "{}", found.reason);
    // Others of the tenant are not concerned, and the level is left alone without another commit that fails.
    deployment.put(oracle::TABLE, order_of("full", "z2", "5", "1")).await;
    deployment.put(oracle::TABLE, order_of("full", "z1", "3", "2.50000000001234567891")).await;
    deployment.expect_total("full", UNITS, None, "8").await;
    until_set_aside(&deployment, 2).await;
    let on_hand =
        items(&deployment, "T#full#I#").await.iter().map(|level| level["on_hand"].as_n().unwrap().clone()).collect::<Vec<_>>();
    assert!(on_hand.contains(&"2".to_owned()) && on_hand.contains(&"5".to_owned()), "{on_hand:?}");
    ingest.stop().await;
}

#[tokio::test]
async fn a_full_alert_keeps_no_other_level_from_being_judged_by_a_rule() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order_of("full", "z1", "2", "2.50")).await;
    fill_alert(&deployment).await;
    deployment.put(oracle::TABLE, order_of("full", "z2", "5", "1")).await;
    deployment.expect_total("full", UNITS, None, "7").await;
    // Both levels are low by this rule. The alert of the first one has no room for the rule.
    let (now, tenant) = (clock::now(), Tenant::named_by_operator(TenantId::new("full").unwrap()));
    let low = Threshold { severity: Severity::Warning, fires_at_or_below: 10.into(), clears_above: 10.into() };
    let rule = Rule {
        id: RuleId::from_ulid_text(&ulid(now, 1)).unwrap(),
        name: None,
        scope: Scope { inventory: InventoryName::new("stock").unwrap(), item: None, location: None },
        thresholds: Thresholds::new(vec![low]).unwrap(),
        repeat_every: None,
        enabled: true,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    deployment.store.create_rule(&tenant, &rule, now).await.unwrap();
    let alerts = async || items(&deployment, "T#full#ALERTS").await.len();
    wait_until("the second level to fire", DEADLINE, async || alerts().await == 2).await;
    ingest.stop().await;
}

#[tokio::test]
async fn a_record_whose_rows_are_full_is_set_aside_by_name() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order_of("full", "z1", "2", "2.50")).await;
    deployment.expect_total("full", UNITS, None, "2").await;
    fill_rows(&deployment).await;
    deployment.put(oracle::TABLE, order_of("full", "z1", "123456789012345678901234567", "2.50")).await;
    deployment.put(oracle::TABLE, order_of("acme", "a1", "1", "2.50")).await;
    deployment.expect_total("acme", UNITS, None, "1").await;
    let [found] = &until_set_aside(&deployment, 1).await[..] else { panic!("one record") };
    assert_eq!((found.code.as_str(), found.new.is_none()), (STORED_UNREADABLE, true));
    assert!(found.reason.contains("does not store"), "{}", found.reason);
    let api = deployment.start_api().await;
    let id = found.id.to_string();
    let shown = api.client(deployment.key_of("full").await).get(&format!("/v1/quarantine/{id}")).await.json();
    assert_eq!((&shown["id"], &shown["sequence_number"]), (&json!(id), &json!(found.sequence_number)), "{shown}");
    api.stop().await;
    assert_eq!(deployment.total("full", UNITS, None).await, "2");
    ingest.stop().await;
}

#[tokio::test]
async fn a_record_that_cannot_even_be_named_is_skipped_and_a_gap_says_so() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order_of("full", "z1", "2", "2.50")).await;
    deployment.expect_total("full", UNITS, None, "2").await;
    fill_rows(&deployment).await;
    // The counters of its quarantine are no numbers.
    for lane in 0..16 {
        let key = json!({ "pk": {"S": "T#full#QN"}, "sk": {"S": format!("orders#{lane}")}, "records": {"S": "many"} });
        deployment.put("tidemark", key).await;
    }
    deployment.put(oracle::TABLE, order_of("full", "z1", "123456789012345678901234567", "2.50")).await;
    deployment.put(oracle::TABLE, order_of("acme", "a1", "1", "2.50")).await;
    deployment.expect_total("acme", UNITS, None, "1").await;
    ingest.stop().await;
    let api = deployment.start_api().await;
    let status = api.client(deployment.key_of("acme").await).get("/v1/status").await;
    let source = &status.json()["data"][0];
    assert_eq!((&source["gaps"][0]["reason"], &source["exact"]), (&json!("uncommittable"), &json!(false)), "{source}");
    api.stop().await;
}
