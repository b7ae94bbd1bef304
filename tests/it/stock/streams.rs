//! A whole worker on a real stream.

use serde_json::{Value, json};
use tidemark_domain::alert::AlertState;
use tidemark_domain::alert::Reason;
use tidemark_domain::{Standing, TenantId};
use tidemark_runtime::clock;
use tidemark_store::{QuarantineQuery, Whose};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, oracle, wait_until};

use super::{DEFINITIONS, alerts, key, level, rule, tenant, told};

fn tea(on_hand: Value) -> Value {
    json!({
        "item_number": {"S": "tea"}, "location": {"S": "berlin"}, "moved_at": {"N": clock::now().as_second().to_string()},
        "on_hand": on_hand, "reorder_point": {"N": "5"},
    })
}

fn pieces(on_hand: i64) -> Value {
    tea(json!({ "N": on_hand.to_string() }))
}

/// Waits until so much of the tea is on hand, by its level.
async fn expect_on_hand(deployment: &Deployment, of: &str, expected: Option<i64>) {
    let on_hand = async || level(&deployment.store, &key(of, "tea")).await.map(|row| row.level.on_hand);
    let expected = expected.map(Into::into);
    wait_until(&format!("{expected:?} on hand"), DEADLINE, async || on_hand().await == expected).await;
}

async fn is_fired_resolved_fired(deployment: &Deployment) {
    let store = &deployment.store;
    let alerts = alerts(store, "demo").await;
    let [first, second] = &alerts[..] else { panic!("{alerts:?}") };
    assert_eq!(told(store, "demo", &first.id).await, ["fired", "resolved"]);
    assert!(matches!(first.state, AlertState::Resolved { reason: Reason::Recovered, .. }), "{first:?}");
    assert_eq!(told(store, "demo", &second.id).await, ["fired"]);
    let row = level(store, &key("demo", "tea")).await.unwrap();
    assert_eq!(row.standing, Standing::Firing(second.clone()));
    assert!(alerts.iter().all(|alert| alert.rule.rule.is_none()), "by the row's own reorder point");
}

#[tokio::test]
async fn drop_restock_drop_is_fired_resolved_fired_each_in_a_commit_of_its_own() {
    let deployment = Deployment::start(DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    for on_hand in [20, 3, 20, 2] {
        deployment.put("Stock", pieces(on_hand)).await;
        expect_on_hand(&deployment, "demo", Some(on_hand)).await;
    }
    ingest.stop().await;
    is_fired_resolved_fired(&deployment).await;
}

#[tokio::test]
async fn drop_restock_drop_is_fired_resolved_fired_all_in_one_commit() {
    let deployment = Deployment::start(DEFINITIONS).await;
    for on_hand in [20, 3, 20, 2] {
        deployment.put("Stock", pieces(on_hand)).await;
    }
    let ingest = deployment.start_ingest().await;
    expect_on_hand(&deployment, "demo", Some(2)).await;
    ingest.stop().await;
    is_fired_resolved_fired(&deployment).await;
}

#[tokio::test]
async fn an_image_that_cannot_be_read_removes_the_level_and_ends_its_alert() {
    let deployment = Deployment::start(DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put("Stock", pieces(3)).await;
    expect_on_hand(&deployment, "demo", Some(3)).await;
    deployment.put("Stock", tea(json!({"S": "three"}))).await;
    expect_on_hand(&deployment, "demo", None).await;
    let [alert] = &alerts(&deployment.store, "demo").await[..] else { panic!("one alert") };
    assert!(matches!(alert.state, AlertState::Resolved { reason: Reason::ItemDeleted, .. }), "{alert:?}");
    let query = QuarantineQuery { after: None, limit: 100, now: clock::now() };
    let whose = Whose::Tenant(TenantId::new("demo").unwrap());
    let found = deployment.store.quarantined_of(&whose, &query).await.unwrap().records;
    let [record] = &found[..] else { panic!("one record for one change: {found:#?}") };
    assert_eq!(record.code, "measure");
    for part in ["measure `pieces`: ", "; inventory `stock`: the attribute `on_hand` is of type S"] {
        assert!(record.reason.contains(part), "{}", record.reason);
    }
    deployment.put("Stock", pieces(4)).await;
    expect_on_hand(&deployment, "demo", Some(4)).await;
    ingest.stop().await;
    assert_eq!(alerts(&deployment.store, "demo").await.len(), 2, "another episode");
}

#[tokio::test]
async fn a_level_that_cannot_be_read_takes_no_sale_with_it() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    let order = json!({
        "id": {"S": "o1"}, "quantity": {"N": "2"}, "unit_price": {"N": "1"}, "order_date": {"S": clock::now().to_string()},
        "reserved": {"S": "few"},
    });
    deployment.put(oracle::TABLE, order).await;
    deployment.expect_total("demo", ("sales", "units"), None, "2").await;
    let query = QuarantineQuery { after: None, limit: 100, now: clock::now() };
    let whose = Whose::Tenant(TenantId::new("demo").unwrap());
    let found = deployment.store.quarantined_of(&whose, &query).await.unwrap().records;
    assert_eq!(found.iter().map(|record| record.code.as_str()).collect::<Vec<_>>(), ["level"]);
    ingest.stop().await;
}

#[tokio::test]
async fn an_item_that_moves_to_another_tenant_leaves_the_first() {
    let deployment = Deployment::start(DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put("Stock", pieces(3)).await;
    expect_on_hand(&deployment, "demo", Some(3)).await;
    let mut moved = pieces(4);
    moved["tenant_id"] = json!({"S": "acme"});
    deployment.put("Stock", moved).await;
    expect_on_hand(&deployment, "acme", Some(4)).await;
    expect_on_hand(&deployment, "demo", None).await;
    deployment.delete("Stock", json!({ "item_number": {"S": "tea"}, "location": {"S": "berlin"} })).await;
    expect_on_hand(&deployment, "acme", None).await;
    ingest.stop().await;
    for of in ["demo", "acme"] {
        let [alert] = &alerts(&deployment.store, of).await[..] else { panic!("one alert of {of}") };
        assert!(matches!(alert.state, AlertState::Resolved { reason: Reason::ItemDeleted, .. }), "{alert:?}");
    }
}

#[tokio::test]
async fn a_commit_that_remembers_other_rules_is_decided_anew() {
    let deployment = Deployment::start(DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put("Stock", pieces(20)).await;
    expect_on_hand(&deployment, "demo", Some(20)).await;
    // Above the row's own reorder point: only the rule has it low.
    let rule = rule(clock::now());
    deployment.store.create_rule(&tenant("demo"), &rule, clock::now()).await.unwrap();
    deployment.put("Stock", pieces(8)).await;
    expect_on_hand(&deployment, "demo", Some(8)).await;
    ingest.stop().await;
    let [alert] = &alerts(&deployment.store, "demo").await[..] else { panic!("one alert") };
    assert_eq!((alert.is_firing(), &alert.rule.rule), (true, &Some(rule.id)));
    assert_eq!(told(&deployment.store, "demo", &alert.id).await, ["fired"]);
}
