//! Who may ask: a good key of a tenant's, with the scope, and nobody else.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tidemark_domain::TenantId;
use tidemark_runtime::clock;
use tidemark_store::{Holder, NewKey, Scope, Tenant};
use tidemark_tests::Client;

use super::Shop;

/// Every documented operation, as a path that names something.
async fn operations(client: &Client) -> Vec<String> {
    let document = client.get("/openapi.json").await.json();
    let of_path = |(path, operations): (&String, &Value)| {
        assert_eq!(operations.as_object().unwrap().keys().collect::<Vec<_>>(), ["get"], "a case for other methods is missing");
        path.replace("{metric}", "sales").replace("{name}", "item").replace("{id}", "qua_20260330_orders_4700000000001")
    };
    let paths: Vec<String> = document["paths"].as_object().unwrap().iter().map(of_path).collect();
    assert!(paths.len() >= 6 && paths.iter().all(|path| !path.contains('{')), "a case is missing: {paths:?}");
    paths
}

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

    for path in operations(&stranger).await {
        let headers = |headers: Vec<(&'static str, String)>| {
            let (stranger, path) = (stranger.clone(), path.clone());
            async move {
                let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
                stranger.send(reqwest::Method::GET, &path, &headers).await
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

#[tokio::test]
async fn a_key_without_the_scope_and_an_operators_key_are_refused_on_every_route() {
    let shop = Shop::open().await;
    let keys = [
        (holder("acme"), BTreeSet::from([Scope::InventoryRead, Scope::KeysWrite]), "missing_scope", "metrics:read"),
        (holder("acme"), BTreeSet::new(), "missing_scope", "metrics:read"),
        (Holder::Operator, BTreeSet::from([Scope::Operator]), "no_tenant", "operator"),
        // Such a key cannot be made by a command; were there one, it would still be of no tenant.
        (Holder::Operator, BTreeSet::from([Scope::Operator, Scope::MetricsRead]), "no_tenant", "operator"),
    ];
    for (holder, scopes, code, named) in keys {
        let key = NewKey { holder, scopes, name: None, expires_at: None };
        let client = shop.api.client(shop.deployment.issue(&key).await);
        for path in operations(&client).await {
            let answer = client.get(&path).await;
            let problem = answer.problem();
            assert_eq!((answer.status, &problem["code"]), (403, &json!(code)), "{path}");
            assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
        }
    }
    shop.close().await;
}
