//! A row that is full costs its own tenant's batches a little, each record nothing, and nobody else anything. Calls are counted.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use tidemark_domain::{Decimal, TenantId};
use tidemark_runtime::clock;
use tidemark_store::{QuarantineQuery, Quarantined, Whose};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, oracle, wait_until};

use super::{HUGE, UNITS, order};

const RECORDS: usize = 500;

/// A deployment whose commits have no levels, which would fill them.
async fn deployment() -> Deployment {
    let mut deployment = Deployment::start(oracle::DEFINITIONS).await;
    deployment.definitions.inventories.clear();
    deployment
}

/// Writes the order that comes last, of another tenant.
async fn put_last(deployment: &Deployment) {
    let mut last = order("last", "tea", "3");
    last["tenant_id"] = json!({"S": "rival"});
    deployment.put(oracle::TABLE, last).await;
}

/// Counts all that is written; how many transactions and reads of rows that took.
async fn count_all(deployment: &Deployment) -> (u64, u64) {
    let ingest = deployment.start_ingest().await;
    deployment.expect_total("rival", UNITS, None, "3").await;
    ingest.stop().await;
    (deployment.world.front().calls("TransactWriteItems"), deployment.world.front().calls("BatchGetItem"))
}

async fn diverted(deployment: &Deployment) -> Vec<Quarantined> {
    let whose = Whose::Tenant(TenantId::new("acme").unwrap());
    let query = QuarantineQuery { after: None, limit: 10_000, now: clock::now() };
    deployment.store.quarantined_of(&whose, &query).await.unwrap().records
}

/// What of a measure was diverted from the day rows of a grouping set.
fn sum_of(records: &[Quarantined], set: &str, measure: &str) -> Decimal {
    let rows = records.iter().flat_map(|record| record.reason.split("; ")).filter(|row| row.contains(set));
    let deltas = rows.flat_map(|row| row.rsplit(": ").next().unwrap().split(", "));
    let of_measure: Vec<Decimal> = deltas.filter_map(|delta| delta.strip_prefix(measure)?.parse().ok()).collect();
    of_measure.iter().sum()
}

#[tokio::test]
async fn a_full_row_costs_a_batch_a_few_calls_and_each_record_none() {
    let deployment = deployment().await;
    deployment.put(oracle::TABLE, order("huge", "gold", HUGE)).await;
    for index in 0..RECORDS {
        // However many of them are added up, none fits.
        deployment.put(oracle::TABLE, order(&format!("o{index}"), "gold", "0.001")).await;
    }
    put_last(&deployment).await;
    let (made, read) = count_all(&deployment).await;
    // One of them is found by halving, and the batches grow again by doubling.
    assert!(made <= 40 && read <= 40, "{made} transactions and {read} reads for {RECORDS} records");

    // Row and quarantine together are the truth.
    let records = diverted(&deployment).await;
    for (set, group) in [("*", None), ("item", Some(("item", "gold")))] {
        let aside = sum_of(&records, &format!("#M#sales.{set}#g1#d"), "units ");
        assert_eq!((deployment.total("acme", UNITS, group).await.as_str(), aside.to_string().as_str()), (HUGE, "0.5"), "{set}");
    }
}

#[tokio::test]
async fn a_tenant_that_fills_one_row_after_the_other_costs_no_more() {
    let deployment = deployment().await;
    for index in 0..RECORDS / 5 {
        let item = format!("gold-{index}");
        for (part, quantity) in [("a", HUGE), ("b", "0.5")] {
            deployment.put(oracle::TABLE, order(&format!("{item}-{part}"), &item, quantity)).await;
        }
    }
    put_last(&deployment).await;
    let (made, read) = count_all(&deployment).await;
    assert!(made <= 80 && read <= 80, "{made} transactions and {read} reads for {} records", RECORDS / 5 * 2);
}

#[tokio::test]
async fn a_row_that_was_full_takes_deltas_again_as_soon_as_they_fit() {
    let deployment = deployment().await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order("huge", "gold", HUGE)).await;
    deployment.expect_total("acme", UNITS, None, HUGE).await;
    deployment.put(oracle::TABLE, order("o1", "gold", "0.5")).await;
    wait_until("the delta to be diverted", DEADLINE, async || !diverted(&deployment).await.is_empty()).await;
    // The same worker, which knows the row by now.
    deployment.put(oracle::TABLE, order("huge", "gold", "7")).await;
    deployment.expect_total("acme", UNITS, None, "7").await;
    deployment.put(oracle::TABLE, order("o2", "gold", "2")).await;
    deployment.expect_total("acme", UNITS, Some(("item", "gold")), "9").await;
    assert_eq!(sum_of(&diverted(&deployment).await, "#M#sales.*#g1#d", "units ").to_string(), "0.5");
    let rows = deployment.world.dynamodb().scan().table_name("tidemark").send().await.unwrap();
    let is_total = |row: &&HashMap<String, AttributeValue>| row["pk"].as_s().unwrap().starts_with("T#acme#M#sales.*#g1#d");
    let total = rows.items().iter().find(is_total).unwrap();
    assert_eq!(total.get("broken"), Some(&AttributeValue::Bool(true)), "it stays marked: a delta is missing");
    ingest.stop().await;
}
