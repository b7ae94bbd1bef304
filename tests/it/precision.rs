//! Invariant: sums are exact to 38 digits, and what needs 39 is set aside, named, and stops nothing else.

use serde_json::{Value, json};
use tidemark_domain::TenantId;
use tidemark_runtime::clock;
use tidemark_store::{QuarantineQuery, Whose};
use tidemark_tests::{Deployment, oracle};

mod full_rows;

const UNITS: (&str, &str) = ("sales", "units");
const HUGE: &str = "99999999999999999999999999999999999999";

fn order(id: &str, item: &str, quantity: &str) -> Value {
    json!({
        "id": {"S": id}, "tenant_id": {"S": "acme"}, "order_date": {"S": clock::now().to_string()},
        "quantity": {"N": quantity}, "unit_price": {"N": "0"}, "item_number": {"S": item},
    })
}

#[tokio::test]
async fn values_of_38_digits_are_exact() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order("o1", "gold", "123456789012345678.12345678901234567")).await;
    deployment.put(oracle::TABLE, order("o2", "gold", "0.00000000000000000001")).await;
    deployment.expect_total("acme", UNITS, Some(("item", "gold")), "123456789012345678.12345678901234567001").await;
    deployment.delete(oracle::TABLE, json!({ "id": {"S": "o1"} })).await;
    deployment.expect_total("acme", UNITS, Some(("item", "gold")), "0.00000000000000000001").await;
    ingest.stop().await;
}

#[tokio::test]
async fn a_sum_that_needs_39_digits_is_quarantined_and_everything_else_goes_on() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order("o1", "gold", HUGE)).await;
    deployment.expect_total("acme", UNITS, Some(("item", "gold")), HUGE).await;
    // The total and `gold` cannot take this one, `tea` and the orders behind it can.
    deployment.put(oracle::TABLE, order("o2", "gold", "0.5")).await;
    deployment.put(oracle::TABLE, order("o3", "tea", "3")).await;
    deployment.expect_total("acme", UNITS, Some(("item", "tea")), "3").await;
    assert_eq!(deployment.total("acme", UNITS, Some(("item", "gold"))).await, HUGE, "what stood there stands");

    let whose = Whose::Tenant(TenantId::new("acme").unwrap());
    let query = QuarantineQuery { after: None, limit: 100, now: clock::now() };
    let records = deployment.store.quarantined_of(&whose, &query).await.unwrap().records;
    let named: Vec<&str> =
        records.iter().filter(|record| record.code == "row_overflow").map(|record| record.reason.as_str()).collect();
    assert!(named.iter().any(|reason| reason.contains("sales.item#g1") && reason.contains("gold#")), "{named:#?}");
    let concerned = deployment.store.concerned(&records[0].source, 10).await.unwrap().tenants;
    assert_eq!(concerned.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>(), ["acme"]);
    ingest.stop().await;
}

#[tokio::test]
async fn an_edit_whose_delta_needs_58_digits_still_counts() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order("o1", "gold", HUGE)).await;
    deployment.expect_total("acme", UNITS, None, HUGE).await;
    deployment.put(oracle::TABLE, order("o1", "gold", "0.00000000000000000001")).await;
    deployment.expect_total("acme", UNITS, None, "0.00000000000000000001").await;
    deployment.put(oracle::TABLE, order("o1", "gold", "5")).await;
    deployment.expect_total("acme", UNITS, None, "5").await;
    ingest.stop().await;
}
