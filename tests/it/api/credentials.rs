//! Who may ask: a good key of a tenant's, with the scope, and nobody else.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::json;
use tidemark_domain::TenantId;
use tidemark_runtime::clock;
use tidemark_store::{Holder, NewKey, Scope, Tenant};
use tidemark_tests::Client;

use super::Shop;
use super::operations::{self, Operation};

fn holder(tenant: &str) -> Holder {
    Holder::Tenant(Tenant::named_by_operator(TenantId::new(tenant).unwrap()))
}

#[tokio::test]
async fn without_a_good_key_there_is_no_answer_on_any_route() {
    let shop = Shop::open().await;
    let good = shop.deployment.key_of("acme").await;
    let expired = clock::now() - SignedDuration::from_secs(2);
    let expired = NewKey { holder: holder("acme"), scopes: Scope::of_tenants(), name: None, expires_at: Some(expired) };
    let expired = shop.deployment.issue(&expired).await;
    let elsewhere = Shop::open().await;
    let unknown = elsewhere.deployment.key_of("acme").await;
    let stranger = shop.api.stranger();
    let mistyped = format!("{}{}", &good[..good.len() - 1], if good.ends_with('0') { '1' } else { '0' });
    let typos = [mistyped, good.to_uppercase(), good[..40].to_owned(), "tdm_".to_owned(), "x".repeat(5000)];

    for operation in operations::all(&stranger).await {
        let path = operation.path();
        let headers = |headers: Vec<(&'static str, String)>| {
            let (stranger, method, path) = (stranger.clone(), operation.method.clone(), path.clone());
            async move {
                let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
                stranger.send(method, &path, &headers).await
            }
        };
        let bearer = |key: &str| vec![("authorization", format!("Bearer {key}"))];
        let mut refused = vec![
            headers(vec![]).await,
            headers(vec![("authorization", "Bearer".to_owned())]).await,
            headers(vec![("authorization", format!("Basic {good}"))]).await,
            headers(vec![("x-api-key", good.clone())]).await,
            headers([bearer(&good), bearer(&good)].concat()).await,
            headers(bearer(&unknown)).await,
            headers(bearer(&expired)).await,
        ];
        for typo in &typos {
            refused.push(headers(bearer(typo)).await);
        }
        for answer in refused {
            assert_eq!((answer.status, &answer.problem()["code"]), (401, &json!("unauthenticated")), "{path}: {}", answer.text);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        assert_ne!(headers(vec![("authorization", format!("bearer {good}"))]).await.status, 401, "{path}");
    }
    elsewhere.close().await;
    shop.close().await;
}

#[tokio::test]
async fn a_mistyped_key_is_refused_without_a_look_up() {
    let shop = Shop::open().await;
    let key = shop.deployment.key_of("acme").await;
    // Nothing else may ask meanwhile.
    shop.ingest.stop().await;
    let front = shop.deployment.world.front();
    let calls = || ["GetItem", "Query"].map(|call| front.calls(call)).iter().sum::<u64>();
    // The API reads its definitions every two seconds, but never a key.
    let mut fewest = u64::MAX;
    for _ in 0..3 {
        let before = calls();
        let mistyped = key.replacen("tdm_", "tdm_0", 1);
        assert_eq!(shop.api.client(mistyped).get("/v1/metrics").await.status, 401);
        fewest = fewest.min(calls() - before);
    }
    assert_eq!(fewest, 0);
    let before = calls();
    assert_eq!(shop.api.client(key).get("/v1/metrics").await.status, 200);
    assert!(calls() > before, "a good key is looked up");
    shop.api.stop().await;
}

/// A scope alone; with what the example of a new key gives away, where keys are made.
fn with(scope: Scope) -> BTreeSet<Scope> {
    let given = [Scope::MetricsRead, Scope::InventoryRead];
    BTreeSet::from([scope]).into_iter().chain(given.into_iter().filter(|_| scope == Scope::KeysWrite)).collect()
}

#[tokio::test]
async fn every_route_takes_the_scope_it_says_of_the_holder_it_is_for() {
    let shop = Shop::open().await;
    let issue = async |holder, scopes| {
        shop.api.client(shop.deployment.issue(&NewKey { holder, scopes, name: None, expires_at: None }).await)
    };
    let refused = async |operation: &Operation, client: &Client, code: &str, named: &str| {
        let path = operation.path();
        let answer = operation.call(client, &path).await;
        let problem = answer.problem();
        assert_eq!((answer.status, &problem["code"]), (403, &json!(code)), "{} {path}", operation.method);
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    };
    let operator = issue(Holder::Operator, BTreeSet::from([Scope::Operator])).await;
    let operations = operations::all(&shop.api.stranger()).await;
    let mut taken: BTreeSet<Scope> = operations.iter().map(|operation| operation.scope.parse().unwrap()).collect();
    assert_eq!(taken.len(), 8, "{taken:?}");
    assert!(taken.remove(&Scope::Operator));
    let tenants = issue(holder("acme"), Scope::of_tenants()).await;
    // Such a key cannot be made either.
    let pretender = issue(holder("acme"), BTreeSet::from([Scope::Operator])).await;
    for operation in operations.iter().filter(|operation| operation.is_operators()) {
        refused(operation, &tenants, "operator_only", "operator's key").await;
        refused(operation, &pretender, "operator_only", "operator's key").await;
        let answer = operation.call(&operator, &operation.path()).await;
        assert!(![401, 403, 405].contains(&answer.status) && answer.status < 500, "{operation:?}: {}", answer.text);
    }
    for scope in &taken {
        let mut others = Scope::of_tenants();
        assert!(others.remove(scope));
        let (without, with) = (issue(holder("acme"), others).await, issue(holder("acme"), with(*scope)).await);
        for operation in operations.iter().filter(|operation| operation.scope == scope.to_string()) {
            refused(operation, &without, "missing_scope", &operation.scope).await;
            refused(operation, &operator, "no_tenant", "operator").await;
            let path = operation.path();
            let answer = operation.call(&with, &path).await;
            // A name is looked up for a new endpoint: there may be nobody here to ask.
            let is_fault = answer.status >= 500 && answer.problem()["code"] != "resolver_unavailable";
            assert!(![401, 403, 405].contains(&answer.status) && !is_fault, "{} {path}: {}", operation.method, answer.text);
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn a_key_of_no_tenant_with_scopes_of_tenants_is_refused() {
    let shop = Shop::open().await;
    // No command makes such a key; an item that has lost its tenant looks like one.
    let new = NewKey { holder: Holder::Operator, scopes: Scope::of_tenants(), name: None, expires_at: None };
    let client = shop.api.client(shop.deployment.issue(&new).await);
    for path in ["/v1/metrics", "/v1/admin/tenants"] {
        let answer = client.get(path).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (500, &json!("internal")), "{path}");
    }
    shop.close().await;
}
