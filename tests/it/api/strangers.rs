//! Whatever is named by an id is there for its own tenant alone: to another, an id of somebody else's is like one that is not there,
//! in every operation there is, and none of them changes anything.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use tidemark_domain::EndpointId;
use tidemark_tests::Answer;

use super::operations;
use super::stock::{Stock, rule, shelf};
use super::webhook_endpoints::{ENDPOINTS, NOWHERE};

/// An answer without what differs between two requests anyhow.
fn bytes(answer: &Answer) -> (u16, String) {
    let instance = answer.problem()["instance"].as_str().unwrap().to_owned();
    (answer.status, answer.text.replace(&instance, ""))
}

#[tokio::test]
async fn another_tenants_id_is_like_an_unknown_one_in_every_operation() {
    let stock = Stock::open().await;
    let (acme, rival) = (stock.client("acme").await, stock.client("rival").await);
    let id = |answer: Value| answer["id"].as_str().unwrap().to_owned();
    let endpoint = id(acme.post(ENDPOINTS, &json!({ "url": NOWHERE })).await.json_of(201));
    let made = id(acme.post("/v1/alert-rules", &rule(&json!({ "item": "milk" }), "5")).await.json_of(201));
    stock.set(&[shelf("acme", "tea", "1").low_at("5")]).await;
    stock.fan_out(&[EndpointId::new(&endpoint).unwrap()]).await;
    stock.set(&[shelf("rival", "salt", "1").low_at("5")]).await;
    let first = async |list: &str| id(acme.get(list).await.json()["data"][0].clone());
    let delivery = first(&format!("{ENDPOINTS}/{endpoint}/deliveries")).await;
    let ids = BTreeMap::from([
        ("/v1/alert-rules/", made),
        ("/v1/alerts/", first("/v1/alerts").await),
        ("/v1/webhook-endpoints/", endpoint),
        ("/v1/deliveries/", delivery),
        ("/v1/inventory/", "tea".to_owned()),
        ("/v1/api-keys/", first("/v1/api-keys").await),
        // Of another kind: here nothing is in quarantine, and `isolation` has that case.
        ("/v1/quarantine/", "qua_20260330_stock_1".to_owned()),
    ]);
    let named: Vec<_> =
        operations::all(&acme).await.into_iter().filter(|operation| operation.template.contains("{id}")).collect();
    // What is an operator's alone is not there for tenants whatever they name.
    let (operators, named): (Vec<_>, Vec<_>) = named.into_iter().partition(operations::Operation::is_operators);
    for (operation, id) in operators.iter().flat_map(|operation| ["acme", "rival", "none"].map(|id| (operation, id))) {
        let refused = operation.call(&rival, &operation.path_of(id)).await;
        assert_eq!((refused.status, &refused.problem()["code"]), (403, &json!("operator_only")), "{operation:?}");
    }
    assert!(named.len() >= 21 && operators.len() >= 4, "{named:?}");
    let mut gets = Vec::new();
    for operation in &named {
        let (_, id) =
            ids.iter().find(|(start, _)| operation.template.starts_with(**start)).expect("a case for every kind of thing");
        let path = operation.path_of(id);
        if operation.method == Method::GET && !operation.template.contains("quarantine") {
            gets.push((path.clone(), acme.get(&path).await.json()));
        }
        let foreign = operation.call(&rival, &path).await;
        assert_eq!(bytes(&foreign), bytes(&operation.call(&rival, &operation.path()).await), "{} {path}", operation.method);
        assert_eq!(foreign.status, 404, "{} {path}", operation.method);
    }
    for (path, mut before) in gets {
        let mut after = acme.get(&path).await.json();
        for answer in [&mut before, &mut after] {
            answer.as_object_mut().unwrap().remove("freshness");
        }
        assert_eq!(after, before, "{path}");
    }
    // Nor does any list show a trace.
    for list in ["/v1/inventory", "/v1/alerts", "/v1/alert-rules", "/v1/api-keys", ENDPOINTS] {
        let answer = rival.get(list).await;
        let marks = ids.values().filter(|mark| answer.text.contains(mark.as_str())).collect::<Vec<_>>();
        assert!(answer.status == 200 && marks.is_empty(), "{list}: {marks:?}");
    }
    stock.api.stop().await;
}
