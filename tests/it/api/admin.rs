//! Operators: they create, change and delete tenants, make keys for them, and see none of their data.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tidemark_store::{Holder, NewKey, Scope};
use tidemark_tests::{Client, RunningApi};

use super::stock::{Stock, faults, rule, tenant};

const TENANTS: &str = "/v1/admin/tenants";

pub(super) async fn operator(stock: &Stock) -> Client {
    operator_of(stock, &stock.api).await
}

/// An operator at another API of the same deployment.
pub(super) async fn operator_of(stock: &Stock, api: &RunningApi) -> Client {
    let new = NewKey { holder: Holder::Operator, scopes: BTreeSet::from([Scope::Operator]), name: None, expires_at: None };
    api.client(stock.deployment.issue(&new).await)
}

#[tokio::test]
async fn tenants_are_created_listed_changed_and_deleted() {
    let stock = Stock::open().await;
    let operator = operator(&stock).await;
    let body = json!({ "id": "acme", "name": "Acme Ltd", "time_zone": "Europe/Berlin", "currency": "EUR" });
    let created = operator.post(TENANTS, &body).await;
    let (location, tag) = (created.header("location").unwrap().to_owned(), created.header("etag").unwrap().to_owned());
    let created = created.json_of(201);
    let read = operator.get(&location).await;
    assert_eq!((read.header("etag"), &read.json()), (Some(&*tag), &created), "what is told is what is stored");
    let again = operator.post(TENANTS, &body).await.problem();
    assert_eq!((&again["status"], &again["code"], &again["existing"]), (&json!(409), &json!("tenant_exists"), &json!("acme")));
    for id in ["b", "c", "D"] {
        operator.post(TENANTS, &json!({ "id": id })).await.json_of(201);
    }
    let (sizes, entries) = Stock::pages(&operator, TENANTS, 3).await;
    let ids: Vec<&str> = entries.iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    assert_eq!((sizes, ids), (vec![3, 1], vec!["D", "acme", "b", "c"]));

    let patch = async |tag: &str, body: Value| operator.send_json(Method::PATCH, &location, &[("if-match", tag)], &body).await;
    let changed = patch(&tag, json!({ "time_zone": "Asia/Kathmandu" })).await;
    assert_eq!(changed.json()["time_zone"], "Asia/Kathmandu");
    assert_eq!(patch(&tag, json!({ "name": null })).await.status, 412);

    let made = operator.post(&format!("{location}/api-keys"), &json!({ "scopes": ["metrics:read", "keys:write"] })).await;
    assert_eq!(made.header("location"), None, "it is the tenant's, where no operator may go");
    let key = made.json_of(201)["key"].as_str().unwrap().to_owned();
    let acme = stock.api.client(key);
    assert_eq!(acme.get("/v1/tenant").await.json()["name"], "Acme Ltd");
    let delete = async |tag: &str| operator.send(Method::DELETE, &location, &[("if-match", tag)]).await.status;
    assert_eq!(delete(&tag).await, 412);
    assert_eq!(delete(changed.header("etag").unwrap()).await, 204);
    assert_eq!(acme.get("/v1/tenant").await.status, 401, "its keys are gone with it");
    for path in [location.clone(), format!("{TENANTS}/none"), format!("{TENANTS}/a%23b")] {
        assert_eq!(operator.get(&path).await.problem()["code"], "not_found", "{path}");
        assert_eq!(operator.delete(&path).await.status, 404, "{path}");
        assert_eq!(operator.patch(&path, &json!({ "name": "x" })).await.status, 404, "{path}");
        assert_eq!(
            operator.post(&format!("{path}/api-keys"), &json!({ "scopes": ["metrics:read"] })).await.status,
            404,
            "{path}"
        );
    }
    stock.api.stop().await;
}

#[tokio::test]
async fn a_tenant_with_data_is_not_deleted_and_loses_nothing() {
    let stock = Stock::open().await;
    let operator = operator(&stock).await;
    operator.post(TENANTS, &json!({ "id": "acme" })).await.json_of(201);
    let (acme, location) = (stock.client("acme").await, format!("{TENANTS}/acme"));
    let refused = async || {
        let problem = operator.delete(&location).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(409), &json!("tenant_has_data")));
        assert_eq!(operator.get(&location).await.json()["deleting_since"], Value::Null);
        assert_eq!(acme.get("/v1/tenant").await.status, 200);
    };
    let made = acme.post("/v1/alert-rules", &rule(&json!({ "item": "tea" }), "5")).await.json_of(201);
    refused().await;
    acme.delete(&format!("/v1/alert-rules/{}", made["id"].as_str().unwrap())).await;
    stock.deployment.store.freeze_zone(&tenant("acme")).await.unwrap();
    refused().await;
    // Nor is it created anew by another zone's days.
    stock.deployment.store.freeze_zone(&tenant("known-by-records")).await.unwrap();
    let body = |zone: &str| json!({ "id": "known-by-records", "time_zone": zone });
    assert_eq!(operator.post(TENANTS, &body("Asia/Tokyo")).await.problem()["code"], "time_zone_frozen");
    assert_eq!(operator.post(TENANTS, &body("UTC")).await.json_of(201)["time_zone_frozen"], true);
    stock.api.stop().await;
}

#[tokio::test]
async fn what_operators_create_is_created_once_for_each_idempotency_key() {
    let stock = Stock::open().await;
    let operator = operator(&stock).await;
    let post = async |path: &str, body: &Value| operator.send_json(Method::POST, path, &[("idempotency-key", "one")], body).await;
    let (body, keys) = (json!({ "id": "acme" }), format!("{TENANTS}/acme/api-keys"));
    let (first, second) = (post(TENANTS, &body).await, post(TENANTS, &body).await);
    assert_eq!((first.header("etag"), first.json_of(201)), (second.header("etag"), second.json_of(201)));
    assert_eq!(post(TENANTS, &json!({ "id": "rival" })).await.problem()["code"], "idempotency_mismatch");
    let scopes = json!({ "scopes": ["metrics:read"] });
    assert_eq!(post(&keys, &scopes).await.json_of(201), post(&keys, &scopes).await.json_of(201));
    let colleague = self::operator(&stock).await;
    let foreign = colleague.send_json(Method::POST, &keys, &[("idempotency-key", "one")], &scopes).await;
    assert_eq!(foreign.problem()["code"], "idempotency_mismatch", "a secret is told again to who had it first");
    stock.api.stop().await;
}

#[tokio::test]
async fn every_mistake_in_a_tenant_is_told_at_once() {
    let stock = Stock::open().await;
    let operator = operator(&stock).await;
    let wrong = json!({ "id": "a b", "name": "x".repeat(201), "time_zone": 7, "currency": "", "zone": "UTC" });
    let problem = operator.post(TENANTS, &wrong).await.problem();
    let expected = ["id", "name", "time_zone", "currency", "zone"]
        .map(|name| (name.to_owned(), if name == "zone" { "unknown_field" } else { "invalid_value" }.to_owned()));
    assert_eq!(faults(&problem), expected);
    assert_eq!(faults(&operator.post(TENANTS, &json!({})).await.problem()), [("id".to_owned(), "missing_field".to_owned())]);
    stock.api.stop().await;
}
