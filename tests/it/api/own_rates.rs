//! Rates that operators set for one tenant: who may set them, what is shown, and when they hold. API.md §1.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidemark_api::{EdgeSettings, Rates};
use tidemark_tests::client::settings;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Client, Fault, RunningApi, When, wait_until};

use super::admin::operator_of;
use super::stock::{Stock, faults};

const ACME: &str = "/v1/admin/tenants/acme";
const TENANT: &str = "/v1/tenant";

/// An API with the default rates that reads a tenant's own with each request.
async fn api(stock: &Stock) -> RunningApi {
    let edge = EdgeSettings { rates: Rates::DEFAULT, own_rates_known_for: Duration::ZERO, ..settings().edge };
    stock.deployment.start_api_at(edge).await
}

/// Asks until the limits that hold are these.
async fn until_policy(client: &Client, expected: &str) {
    wait_until(&format!("{expected} to hold"), DEADLINE, async || {
        client.get(TENANT).await.header("ratelimit-policy") == Some(expected)
    })
    .await;
}

fn rates(shown: &Value) -> [&Value; 5] {
    ["key_rps", "key_burst", "tenant_rps", "tenant_burst", "overridden"].map(|name| &shown["limits"][name])
}

#[tokio::test]
async fn operators_set_a_tenants_rates_which_hold_for_it_alone_until_they_are_taken_back() {
    let stock = Stock::open().await;
    let api = api(&stock).await;
    let operator = operator_of(&stock, &api).await;
    operator.post("/v1/admin/tenants", &json!({ "id": "acme" })).await.json_of(201);
    let [acme, rival] = ["acme", "rival"].map(|tenant| stock.deployment.key_of(tenant));
    let [acme, rival] = [api.client(acme.await), api.client(rival.await)];
    let deployments = "\"key\";q=200;w=2, \"tenant\";q=800;w=2";
    assert_eq!(acme.get(TENANT).await.header("ratelimit-policy"), Some(deployments));
    let before = acme.get(TENANT).await;
    assert_eq!(rates(&before.json()), [&json!(100), &json!(200), &json!(400), &json!(800), &json!([])]);

    let body = json!({ "limits": { "key_rps": 10, "key_burst": 50, "tenant_burst": 1_000_000 } });
    let changed = operator.patch(ACME, &body).await;
    let expected = [json!(10), json!(50), json!(400), json!(1_000_000), json!(["key_rps", "key_burst", "tenant_burst"])];
    assert_eq!(rates(&changed.json()), expected.each_ref());
    let shown = acme.get(TENANT).await;
    assert_eq!(rates(&shown.json()), expected.each_ref());
    assert_ne!(shown.header("etag"), before.header("etag"));
    assert_eq!(rates(&operator.get(ACME).await.json()), expected.each_ref());
    assert_eq!(rates(&operator.get("/v1/admin/tenants").await.json()["data"][0]), expected.each_ref());
    until_policy(&acme, "\"key\";q=50;w=5, \"tenant\";q=1000000;w=2500").await;
    assert_eq!(rival.get(TENANT).await.header("ratelimit-policy"), Some(deployments), "no other tenant's");

    // What a patch does not name is kept, what is null is as the deployment has it.
    let stale = [("if-match", before.header("etag").unwrap())];
    assert_eq!(operator.send_json(Method::PATCH, ACME, &stale, &json!({ "limits": null })).await.status, 412);
    let kept = operator.patch(ACME, &json!({ "name": "Acme Ltd", "limits": { "tenant_burst": null } })).await.json();
    assert_eq!(rates(&kept), [&json!(10), &json!(50), &json!(400), &json!(800), &json!(["key_rps", "key_burst"])]);
    assert_eq!(
        acme.patch(TENANT, &json!({ "name": "Acme" })).await.json()["limits"],
        kept["limits"],
        "its own change keeps them"
    );
    let back = operator.patch(ACME, &json!({ "limits": null })).await.json();
    assert_eq!(rates(&back), [&json!(100), &json!(200), &json!(400), &json!(800), &json!([])]);
    until_policy(&acme, deployments).await;
    api.stop().await;
    stock.api.stop().await;
}

#[tokio::test]
async fn a_tenant_is_created_with_rates_and_cannot_set_them_itself() {
    let stock = Stock::open().await;
    let operator = operator_of(&stock, &stock.api).await;
    let body = json!({ "id": "acme", "limits": { "tenant_rps": 7 } });
    let created = operator.post("/v1/admin/tenants", &body).await;
    let tag = created.header("etag").unwrap().to_owned();
    let created = created.json_of(201);
    assert_eq!((&created["limits"]["tenant_rps"], &created["limits"]["overridden"]), (&json!(7), &json!(["tenant_rps"])));
    let read = operator.get(ACME).await;
    assert_eq!((read.header("etag"), read.json()), (Some(&*tag), created), "the answer shows what is stored");
    let acme = stock.client("acme").await;
    let refused = acme.patch(TENANT, &json!({ "limits": { "tenant_rps": 1000 } })).await.problem();
    assert_eq!(faults(&refused), [("limits".to_owned(), "unknown_field".to_owned())]);
    assert_eq!(acme.get(TENANT).await.json()["limits"]["tenant_rps"], 7);
    // With the whole body it reads, less what is not its to change.
    assert_eq!(acme.patch(TENANT, &json!({ "name": "Acme", "time_zone": "UTC" })).await.json()["limits"]["tenant_rps"], 7);
    stock.api.stop().await;
}

#[tokio::test]
async fn every_mistake_in_rates_is_named_with_what_is_allowed() {
    let stock = Stock::open().await;
    let operator = operator_of(&stock, &stock.api).await;
    operator.post("/v1/admin/tenants", &json!({ "id": "acme" })).await.json_of(201);
    let limits = json!({ "key_rps": 0, "key_burst": 1_000_001, "tenant_rps": "5", "tenant_burst": 1.5, "api_keys": 5 });
    let problem = operator.patch(ACME, &json!({ "limits": limits })).await.problem();
    let wrong =
        ["key_rps", "key_burst", "tenant_rps", "tenant_burst"].map(|name| (format!("limits.{name}"), "invalid_value".to_owned()));
    let expected: Vec<_> = wrong.into_iter().chain([("limits.api_keys".to_owned(), "unknown_field".to_owned())]).collect();
    assert_eq!(faults(&problem), expected);
    for error in &problem["errors"].as_array().unwrap()[..4] {
        assert!(error["detail"].as_str().unwrap().starts_with("must be a whole number from 1 to 1000000"), "{error}");
    }
    assert_eq!(
        faults(&operator.patch(ACME, &json!({ "limits": 5 })).await.problem()),
        [("limits".to_owned(), "invalid_value".to_owned())]
    );
    stock.api.stop().await;
}

#[tokio::test]
async fn rates_that_cannot_be_read_delay_no_request_and_the_last_known_ones_stay() {
    let stock = Stock::open().await;
    let api = api(&stock).await;
    let operator = operator_of(&stock, &api).await;
    operator.post("/v1/admin/tenants", &json!({ "id": "acme", "limits": { "key_burst": 50 } })).await.json_of(201);
    let [acme, unseen] = ["acme", "unseen"].map(|tenant| stock.deployment.key_of(tenant));
    let [acme, unseen] = [api.client(acme.await), api.client(unseen.await)];
    let known = "\"key\";q=50;w=1, \"tenant\";q=800;w=2";
    until_policy(&acme, known).await;
    let front = stock.deployment.world.front();
    let of_settings = |body: &Value| body["Key"]["sk"]["S"] == "TENANT";
    front.fault("GetItem", When::Matching(Box::new(of_settings)), Fault::ServerError);
    // Something that reads no settings itself.
    for _ in 0..10 {
        let answer = acme.get("/v1/alert-rules").await;
        assert_eq!((answer.status, answer.header("ratelimit-policy")), (200, Some(known)));
        let answer = unseen.get("/v1/alert-rules").await;
        assert_eq!((answer.status, answer.header("ratelimit-policy")), (200, Some("\"key\";q=200;w=2, \"tenant\";q=800;w=2")));
    }
    wait_until("reads to fail", DEADLINE, async || front.faults("GetItem") > 0).await;
    front.no_faults();
    operator.patch(ACME, &json!({ "limits": { "key_burst": 60 } })).await.json();
    until_policy(&acme, "\"key\";q=60;w=1, \"tenant\";q=800;w=2").await;
    api.stop().await;
    stock.api.stop().await;
}
