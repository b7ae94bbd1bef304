//! Operators are told whose quarantined records are, of every source, without asking for each tenant there is.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tidemark_domain::{SourceName, TenantId};
use tidemark_store::{Concerned, QuarantineCount, Whose};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, Fault, When, oracle, wait_until};

use super::{acme, order, records};

fn orders() -> SourceName {
    SourceName::new("orders").unwrap()
}

/// Who is concerned and of how many records each, and whether there are more.
async fn concerned(deployment: &Deployment, limit: usize) -> (Vec<(String, u64)>, bool) {
    let page = deployment.store.concerned(&orders(), limit).await.unwrap();
    let told = |(tenant, count): (TenantId, QuarantineCount)| (tenant.to_string(), count.records);
    (page.tenants.into_iter().map(told).collect(), page.more)
}

async fn count(deployment: &Deployment) -> QuarantineCount {
    deployment.store.quarantine_counts_of_sources().await.unwrap().get(&orders()).copied().unwrap_or_default()
}

/// Writes an order that cannot be counted.
async fn put_bad(deployment: &Deployment, id: &str, tenant: &str) {
    deployment.put(oracle::TABLE, order(id, json!({ "tenant_id": {"S": tenant}, "quantity": null }))).await;
}

async fn until_quarantined(deployment: &Deployment, expected: u64) {
    wait_until("the records to be set aside", DEADLINE, async || count(deployment).await.records == expected).await;
}

/// Whether a tenant is listed, with records or without.
async fn is_listed(deployment: &Deployment, tenant: &str) -> bool {
    let get = deployment.world.dynamodb().get_item().table_name("tidemark").consistent_read(true);
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let get = get.key("pk", text("Q#orders")).key("sk", text(tenant));
    get.send().await.unwrap().item.is_some()
}

/// Whether a transaction sets a record of `acme` aside.
fn sets_aside(body: &Value) -> bool {
    let of_acme = |item: &Value| item["Put"]["Item"]["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("T#acme#Q#"));
    body["TransactItems"].as_array().is_some_and(|items| items.iter().any(of_acme))
}

/// Whether a call lists a tenant as concerned.
fn lists(body: &Value) -> bool {
    body["Item"]["pk"]["S"] == "Q#orders"
}

#[tokio::test]
async fn each_tenant_is_listed_once_with_its_own_and_the_source_has_all_records() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let front = deployment.world.front();
    // No fault: it counts the calls.
    front.fault("PutItem", When::Matching(Box::new(lists)), Fault::Delay(Duration::ZERO));
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order("good", json!({ "tenant_id": {"S": "fine"} }))).await;
    deployment.expect_total("fine", ("sales", "units"), None, "1").await;
    assert_eq!((concerned(&deployment, 10).await, count(&deployment).await.records), ((vec![], false), 0));

    for (index, tenant) in ["acme", "rival", "acme", "nobody's"].into_iter().enumerate() {
        put_bad(&deployment, &format!("o{index}"), tenant).await;
        until_quarantined(&deployment, index as u64 + 1).await;
    }
    assert_eq!(front.faults("PutItem"), 2, "one write for each tenant, not for each commit");
    let expected = |acme| (vec![("acme".to_owned(), acme), ("rival".to_owned(), 1)], false);
    assert_eq!(concerned(&deployment, 10).await, expected(2));
    assert_eq!(count(&deployment).await.without_tenant, 1);
    ingest.stop().await;

    // A worker that has listed nobody yet lists again whom another has listed.
    let ingest = deployment.start_ingest().await;
    put_bad(&deployment, "o4", "acme").await;
    until_quarantined(&deployment, 5).await;
    assert_eq!((concerned(&deployment, 10).await, front.faults("PutItem")), (expected(3), 3));
    let found = records(&deployment, &acme()).await;
    let latest = found.iter().map(|record| record.at.as_second()).max();
    let page = deployment.store.concerned(&orders(), 1).await.unwrap();
    assert_eq!(page.tenants[0].1.last_at.map(jiff::Timestamp::as_second), latest);
    assert_eq!(records(&deployment, &Whose::Source(orders())).await.len(), 1);
    ingest.stop().await;
}

#[tokio::test]
async fn a_tenant_that_was_listed_by_a_worker_which_died_before_its_commit_is_left_out_until_the_commit_comes() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let front = deployment.world.front();
    front.fault("TransactWriteItems", When::Matching(Box::new(sets_aside)), Fault::ServerError);
    let ingest = deployment.start_ingest().await;
    put_bad(&deployment, "o1", "acme").await;
    wait_until("the commit to be refused", DEADLINE, async || front.faults("TransactWriteItems") > 0).await;
    ingest.kill().await;
    assert!(is_listed(&deployment, "acme").await, "ahead of the commit");
    assert_eq!((concerned(&deployment, 10).await, count(&deployment).await.records), ((vec![], false), 0));

    front.no_faults();
    let ingest = deployment.start_ingest().await;
    until_quarantined(&deployment, 1).await;
    assert_eq!(concerned(&deployment, 10).await, (vec![("acme".to_owned(), 1)], false));
    ingest.stop().await;
}

#[tokio::test]
async fn no_record_is_set_aside_whose_tenant_is_not_listed() {
    // More calls than the SDK makes of one: it has given up, and the worker has begun anew.
    const REFUSALS: u64 = 8;
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let front = deployment.world.front();
    front.fault("PutItem", When::Matching(Box::new(lists)), Fault::ServerError);
    let ingest = deployment.start_ingest().await;
    put_bad(&deployment, "o1", "acme").await;
    wait_until("the listing to be refused", DEADLINE, async || front.faults("PutItem") >= REFUSALS).await;
    assert_eq!((is_listed(&deployment, "acme").await, count(&deployment).await.records), (false, 0));
    front.no_faults();
    until_quarantined(&deployment, 1).await;
    assert!(is_listed(&deployment, "acme").await);
    ingest.stop().await;
}

#[tokio::test]
async fn a_page_is_full_of_tenants_with_records_however_many_are_listed_without() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    let tenant = |id: &str| Concerned { source: orders(), tenant: TenantId::new(id).unwrap() };
    let without: Vec<Concerned> = ["a", "c", "c1", "c2", "c3", "c4", "e", "g"].map(tenant).into();
    deployment.store.list_concerned(&without).await.unwrap();
    for id in ["b", "d", "f"] {
        put_bad(&deployment, id, id).await;
    }
    until_quarantined(&deployment, 3).await;
    for limit in 0..5 {
        let all = ["b", "d", "f"].map(|id| (id.to_owned(), 1));
        let expected = all.iter().take(limit).cloned().collect::<Vec<_>>();
        assert_eq!(concerned(&deployment, limit).await, (expected, limit < all.len()), "limit {limit}");
    }
    ingest.stop().await;
}
