//! A tenant's own settings and keys: what it may change, and what a key may hand on.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tidemark_runtime::clock;
use tidemark_store::{Holder, KEYS_MAX, NewKey, Scope};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Answer, Client, wait_until};

use super::stock::{Stock, faults, in_seconds, tenant};
use super::webhook_endpoints::{ENDPOINTS, NOWHERE};

const TENANT: &str = "/v1/tenant";
const KEYS: &str = "/v1/api-keys";

/// A client with a key of acme's that has these scopes.
async fn client_with(stock: &Stock, scopes: &[Scope]) -> Client {
    let scopes: BTreeSet<Scope> = scopes.iter().copied().collect();
    let new = NewKey { holder: Holder::Tenant(tenant("acme")), scopes, name: None, expires_at: None };
    stock.api.client(stock.deployment.issue(&new).await)
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem()["code"].as_str().unwrap().to_owned())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_tenants_settings_are_changed_by_their_version() {
    let stock = Stock::open().await;
    let acme = stock.client("acme").await;
    let first = acme.get(TENANT).await;
    let shown = first.json();
    assert_eq!((&shown["id"], &shown["time_zone"], &shown["created_at"]), (&json!("acme"), &json!("UTC"), &Value::Null));
    assert_eq!(shown["limits"]["api_keys"], KEYS_MAX);
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with(&format!("\"{}.", shown["version"])), "its version, and a digest of what else is shown: {tag}");

    let to = json!({ "name": "Acme Ltd", "time_zone": "europe/berlin", "currency": "EUR" });
    let matching =
        async |tag: &str, body: &Value| acme.send_json(reqwest::Method::PATCH, TENANT, &[("if-match", tag)], body).await;
    let changed = matching(&tag, &to).await;
    let second = changed.header("etag").unwrap().to_owned();
    let now = changed.json();
    assert_eq!((&now["name"], &now["time_zone"], &now["currency"]), (&json!("Acme Ltd"), &json!("Europe/Berlin"), &json!("EUR")));
    assert!(second != tag && !now["created_at"].is_null());
    assert_eq!(refusal(&matching(&tag, &to).await), (412, "precondition_failed".to_owned()));
    assert_eq!(matching(&second, &to).await.header("etag"), Some(&*second), "what changes nothing is no change");
    assert_eq!(acme.patch(TENANT, &json!({ "currency": null })).await.json()["currency"], Value::Null);

    let wrong = json!({ "name": "", "time_zone": "Mars/Olympus", "currency": "€", "id": "rival", "limits": {} });
    let problem = acme.patch(TENANT, &wrong).await.problem();
    let expected = [
        ("name", "invalid_value"),
        ("time_zone", "unknown_time_zone"),
        ("currency", "invalid_value"),
        ("id", "unknown_field"),
        ("limits", "unknown_field"),
    ];
    assert_eq!(faults(&problem), expected.map(|(name, code)| (name.to_owned(), code.to_owned())));

    // A worker counts the first record.
    let before = acme.get(TENANT).await;
    stock.deployment.store.freeze_zone(&tenant("acme")).await.unwrap();
    let after = acme.get(TENANT).await;
    assert_eq!(after.json()["time_zone_frozen"], true);
    assert_ne!(after.header("etag"), before.header("etag"), "what is shown has changed");
    let refused = acme.patch(TENANT, &json!({ "time_zone": "UTC" })).await;
    assert_eq!(refusal(&refused), (409, "time_zone_frozen".to_owned()));
    let problem = refused.problem();
    let detail = text(&problem["detail"]);
    assert!(
        detail.contains("days of Europe/Berlin") && detail.contains("`time_zone`") && detail.contains("another id"),
        "{detail}"
    );
    assert_eq!(acme.patch(TENANT, &json!({ "time_zone": "Europe/Berlin", "name": null })).await.status, 200);
    assert_eq!(stock.client("rival").await.get(TENANT).await.json()["time_zone"], "UTC");
    stock.api.stop().await;
}

#[tokio::test]
async fn a_key_gives_what_it_has_and_is_shown_once() {
    let stock = Stock::open().await;
    let maker = client_with(&stock, &[Scope::KeysWrite, Scope::MetricsRead]).await;
    let body = json!({ "name": "dashboard", "scopes": ["metrics:read", "metrics:read"], "expires_at": in_seconds(3_600) });
    let made = maker.post(KEYS, &body).await;
    assert!(made.header("cache-control").unwrap().contains("no-store"));
    let made = made.json_of(201);
    let (key, id) = (text(&made["key"]), text(&made["id"]));
    assert!(key.starts_with(&format!("tdm_{id}_")));
    let given = stock.api.client(key);
    assert_eq!(given.get(TENANT).await.json()["id"], "acme");
    for path in ["/v1/inventory", KEYS] {
        assert_eq!(refusal(&given.get(path).await), (403, "missing_scope".to_owned()), "{path}");
    }
    let more = maker.post(KEYS, &json!({ "scopes": ["metrics:read", "alerts:read"] })).await;
    assert_eq!(refusal(&more), (403, "missing_scope".to_owned()));
    assert!(text(&more.problem()["detail"]).contains("alerts:read"));
    for scope in ["operator", "metrics:write", "Metrics:read", ""] {
        let refused = maker.post(KEYS, &json!({ "scopes": [scope] })).await;
        assert_eq!(faults(&refused.problem()), [("scopes[0]".to_owned(), "invalid_value".to_owned())], "{scope}");
    }

    let listed = maker.get(KEYS).await;
    assert!(!listed.text.contains(key.rsplit_once('_').unwrap().0), "the secret is in no other answer");
    let listed = listed.json()["data"].clone();
    assert_eq!(listed.as_array().unwrap().iter().map(|key| &key["current"]).collect::<Vec<_>>(), [&json!(true), &json!(false)]);
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("key");
    assert_eq!(listed[1], expected);
    assert_eq!((&expected["name"], &expected["scopes"]), (&json!("dashboard"), &json!(["metrics:read"])));
    for key in listed.as_array().unwrap() {
        assert_eq!(maker.get(&format!("{KEYS}/{}", text(&key["id"]))).await.json(), *key);
    }
    let (sizes, keys) = Stock::pages(&maker, KEYS, 1).await;
    assert_eq!((sizes, json!(keys)), (vec![1, 1], listed));
    stock.api.stop().await;
}

/// Everything that makes something secret, by a key that may do it, and again by another of the same tenant.
#[tokio::test]
async fn a_kept_answer_hands_no_secret_to_another_key() {
    let stock = Stock::open().await;
    let maker = stock.client("acme").await;
    let other = client_with(&stock, &[Scope::KeysWrite, Scope::MetricsRead, Scope::WebhooksWrite]).await;
    let post = async |client: &Client, key: &str, path: &str, body: &Value| {
        client.send_json(Method::POST, path, &[("idempotency-key", key)], body).await
    };
    let all = json!({ "scopes": ["alerts:write", "keys:write", "metrics:read"] });
    let made = post(&maker, "one", KEYS, &all).await.json_of(201);
    assert_eq!(refusal(&post(&other, "one", KEYS, &all).await), (403, "missing_scope".to_owned()));
    // Nor where it could have made such a thing by itself.
    for (key, path, body) in
        [("two", KEYS, json!({ "scopes": ["metrics:read"] })), ("three", ENDPOINTS, json!({ "url": NOWHERE }))]
    {
        let first = post(&maker, key, path, &body).await.json_of(201);
        assert_eq!(refusal(&post(&other, key, path, &body).await), (422, "idempotency_mismatch".to_owned()), "{path}");
        assert_eq!(post(&maker, key, path, &body).await.json_of(201), first, "whoever had it may have it again");
    }
    assert_eq!(maker.get(&format!("{KEYS}/{}", text(&made["id"]))).await.json()["scopes"], made["scopes"]);
    stock.api.stop().await;
}

#[tokio::test]
async fn an_end_is_rfc_3339_and_the_last_there_is_can_be_had() {
    let stock = Stock::open().await;
    let acme = stock.client("acme").await;
    let post = async |end: &str| acme.post(KEYS, &json!({ "scopes": ["metrics:read"], "expires_at": end })).await;
    for end in ["2099-01-01T00:00:00[UTC]", "20990101T000000Z", "2099-01-01 00:00:00Z", "2099-01-01", "9999-12-31T23:59:59Z"] {
        let problem = post(end).await.problem();
        assert_eq!(faults(&problem), [("expires_at".to_owned(), "invalid_value".to_owned())], "{end}");
        assert!(text(&problem["detail"]).ends_with("the last is 9999-12-30T22:00:00Z"), "{problem}");
    }
    assert_eq!(post("9999-12-30T22:00:00Z").await.json_of(201)["expires_at"], "9999-12-30T22:00:00Z");
    assert_eq!(post("2099-01-01T01:00:00.999+01:00").await.json_of(201)["expires_at"], "2099-01-01T00:00:00Z");
    stock.api.stop().await;
}

#[tokio::test]
async fn a_key_that_is_deleted_is_refused_from_the_next_request_on() {
    let stock = Stock::open().await;
    let acme = stock.client("acme").await;
    let made = acme.post(KEYS, &json!({ "scopes": ["metrics:read"] })).await.json_of(201);
    let (given, path) = (stock.api.client(text(&made["key"])), format!("{KEYS}/{}", text(&made["id"])));
    for _ in 0..3 {
        assert_eq!(given.get(TENANT).await.status, 200);
    }
    assert_eq!(stock.client("rival").await.delete(&path).await.status, 404);
    assert_eq!(given.delete(&path).await.status, 403);
    assert_eq!(acme.get(&path).await.json()["id"], made["id"]);
    assert_eq!(acme.delete(&path).await.status, 204);
    assert_eq!(refusal(&acme.get(&path).await), (404, "not_found".to_owned()));
    assert_eq!(refusal(&given.get(TENANT).await), (401, "unauthenticated".to_owned()));
    assert_eq!(acme.delete(&path).await.status, 404);
    // Its own, too.
    let own = acme.get(KEYS).await.json()["data"][0].clone();
    assert_eq!(own["current"], true);
    assert_eq!(acme.delete(&format!("{KEYS}/{}", text(&own["id"]))).await.status, 204);
    assert_eq!(acme.get(TENANT).await.status, 401);
    stock.api.stop().await;
}

#[tokio::test]
async fn a_key_ends_when_it_was_said_to() {
    let stock = Stock::open().await;
    let acme = stock.client("acme").await;
    let past = acme.post(KEYS, &json!({ "scopes": ["metrics:read"], "expires_at": in_seconds(-1) })).await;
    assert_eq!(faults(&past.problem()), [("expires_at".to_owned(), "unfit_instant".to_owned())]);
    let body = json!({ "scopes": ["metrics:read"], "expires_at": in_seconds(3) });
    let made = acme.post(KEYS, &body).await.json_of(201);
    let given = stock.api.client(text(&made["key"]));
    let ends: jiff::Timestamp = text(&made["expires_at"]).parse().unwrap();
    wait_until("the key to end", DEADLINE, async || {
        let (begun, answer) = (clock::now(), given.get(TENANT).await);
        assert!(answer.status == 200 || clock::now() >= ends, "not before its end: {}", answer.text);
        assert!(answer.status == 401 || begun < ends, "not after its end");
        answer.status == 401
    })
    .await;
    assert_eq!(acme.get(KEYS).await.json()["data"].as_array().unwrap().len(), 1, "it is listed no more");
    stock.api.stop().await;
}

#[tokio::test]
async fn keys_are_made_once_for_each_idempotency_key_and_within_the_quota() {
    let stock = Stock::open().await;
    let acme = stock.client("acme").await;
    let once = [("idempotency-key", "b3a1")];
    let body = json!({ "scopes": ["metrics:read"] });
    let post = async || acme.send_json(reqwest::Method::POST, KEYS, &once, &body).await.json_of(201);
    assert_eq!(post().await, post().await);
    let made = acme.get(KEYS).await.json()["data"].as_array().unwrap().len();
    assert_eq!(made, 2, "its own, and one");
    let new = NewKey {
        holder: Holder::Tenant(tenant("acme")),
        scopes: BTreeSet::from([Scope::MetricsRead]),
        name: None,
        expires_at: None,
    };
    for _ in made..KEYS_MAX {
        stock.deployment.issue(&new).await;
    }
    let refused = acme.post(KEYS, &body).await;
    assert_eq!(refusal(&refused), (422, "quota_exceeded".to_owned()));
    assert_eq!(post().await["scopes"], json!(["metrics:read"]), "what was made is answered as before");
    stock.api.stop().await;
}
