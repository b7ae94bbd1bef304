//! Alerts: listed, shown with what happened to them, and acted on, whatever the worker does at the same time. ALERTS §3.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemark_domain::{AlertId, Standing};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Client, wait_until};

use super::stock::{Stock, faults, in_seconds, rule, shelf, tenant};

/// The items of a list of alerts.
async fn items(client: &Client, query: &str) -> Vec<String> {
    let (_, alerts) = Stock::pages(client, &format!("/v1/alerts{query}"), 2).await;
    alerts.iter().map(|alert| alert["item"].as_str().unwrap().to_owned()).collect()
}

/// A stock with the one alert `tea`, its client, and the alert's path.
async fn one_alert() -> (Stock, Client, String) {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    stock.set(&[shelf("acme", "tea", "3").low_at("5")]).await;
    let alert = client.get("/v1/alerts").await.json()["data"][0].clone();
    let path = format!("/v1/alerts/{}", alert["id"].as_str().unwrap());
    (stock, client, path)
}

#[tokio::test]
async fn alerts_are_listed_newest_first_with_any_filter_whatever_the_page() {
    let stock = Stock::open().await;
    let (client, rival) = (stock.client("acme").await, stock.client("rival").await);
    let levels =
        json!([{ "severity": "warning", "fires_at_or_below": "10" }, { "severity": "critical", "fires_at_or_below": "0" }]);
    client.post("/v1/alert-rules", &json!({ "scope": {}, "levels": levels })).await.json_of(201);
    for (item, location, on_hand) in [("a", "x", "5"), ("b", "x", "0"), ("c", "y", "1"), ("d", "y", "-3"), ("e", "y", "50")] {
        stock.set(&[shelf("acme", item, on_hand).at(location)]).await;
    }
    stock.set(&[shelf("acme", "b", "20").at("x")]).await;
    let id_of = async |item: &str| client.get(&format!("/v1/alerts?filter[item]={item}")).await.json()["data"][0]["id"].clone();
    let (c, d) = (id_of("c").await, id_of("d").await);
    client.post(&format!("/v1/alerts/{}/acknowledge", c.as_str().unwrap()), &json!({})).await.json();
    client.post(&format!("/v1/alerts/{}/mute", d.as_str().unwrap()), &json!({ "until": in_seconds(600) })).await.json();
    for (query, expected) in [
        ("", "d c b a"),
        ("?filter[state]=firing", "d c a"),
        ("?filter[state]=resolved", "b"),
        ("?filter[state]=firing,resolved", "d c b a"),
        ("?filter[severity]=critical", "d b"),
        ("?filter[state]=firing&filter[severity]=warning", "c a"),
        ("?filter[location]=y", "d c"),
        ("?filter[item]=a,c", "c a"),
        ("?filter[acknowledged]=true", "c"),
        ("?filter[state]=firing&filter[acknowledged]=false", "d a"),
        ("?filter[muted]=true", "d"),
        ("?filter[muted]=false&filter[location]=y", "c"),
        ("?filter[item]=e", ""),
    ] {
        assert_eq!(items(&client, query).await.join(" "), expected, "{query}");
    }
    assert_eq!(items(&rival, "").await, [""; 0]);
    let problem = client.get("/v1/alerts?filter[state]=open&filter[muted]=yes&order=key").await.problem();
    let invalid = |name: &str| (name.to_owned(), "invalid_value".to_owned());
    let unknown = ("order".to_owned(), "unknown_parameter".to_owned());
    assert_eq!(faults(&problem), [invalid("filter[state]"), invalid("filter[muted]"), unknown]);
    let cursor = client.get("/v1/alerts?limit=1").await.json()["page"]["next_cursor"].clone();
    let elsewhere = client.get(&format!("/v1/alerts?filter[state]=firing&cursor={}", cursor.as_str().unwrap())).await;
    assert_eq!(elsewhere.problem()["code"], "invalid_cursor");
    stock.api.stop().await;
}

#[tokio::test]
async fn an_alert_is_shown_with_its_events_and_who_did_what() {
    let (stock, client, path) = one_alert().await;
    let shown = client.get(&path).await.json();
    let [listed] = client.get("/v1/alerts").await.json()["data"].as_array().unwrap().clone().try_into().expect("one");
    for (name, value) in listed.as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    assert_eq!((&shown["state"], &shown["severity"], &shown["available"]), (&json!("firing"), &json!("warning"), &json!("3")));
    assert_eq!(
        (&shown["rule"]["id"], &shown["actions"], &shown["freshness"]["reasons"]),
        (&json!(null), &json!([]), &json!(["history"]))
    );
    let until = in_seconds(60);
    client.post(&format!("{path}/acknowledge"), &json!({ "note": "on it" })).await.json();
    client.post(&format!("{path}/mute"), &json!({ "until": until, "note": "moving" })).await.json();
    client.post(&format!("{path}/unmute"), &json!({ "note": "moved" })).await.json();
    client.post(&format!("{path}/resolve"), &json!({ "note": "counted wrong" })).await.json();
    let shown = client.get(&path).await.json();
    let events: Vec<_> =
        shown["events"].as_array().unwrap().iter().map(|event| (&event["sequence"], &event["type"], &event["state"])).collect();
    let [fired, resolved] = ["inventory.alert.fired", "inventory.alert.resolved"].map(|name| json!(name));
    assert_eq!(events, [(&json!(1), &fired, &json!("pending")), (&json!(2), &resolved, &json!("pending"))]);
    assert_eq!(shown["events_truncated"], false);
    let by = shown["acknowledged_by"].clone();
    let mut actions = shown["actions"].as_array().unwrap().clone();
    let at = actions.iter_mut().map(|action| action["at"].take().as_str().unwrap().parse::<Timestamp>().unwrap());
    assert!(at.collect::<Vec<_>>().is_sorted(), "{shown}");
    let action =
        |action: &str, note: &str, until: Value| json!({ "action": action, "by": by, "note": note, "until": until, "at": null });
    let expected = [
        action("acknowledged", "on it", json!(null)),
        action("muted", "moving", json!(until)),
        action("unmuted", "moved", json!(null)),
        action("resolved", "counted wrong", json!(null)),
    ];
    assert_eq!(actions, expected);
    assert!(by.as_str().is_some_and(|by| !by.contains("tdm_")), "the key's id, not the key: {by}");
    for unknown in ["/v1/alerts/alr_01ARZ3NDEKTSV4RRFFQ69G5FAV", "/v1/alerts/x"] {
        assert_eq!(client.get(unknown).await.problem()["code"], "not_found");
    }
    stock.api.stop().await;
}

#[tokio::test]
async fn each_act_may_be_done_twice_and_ends_with_the_episode() {
    let (stock, client, path) = one_alert().await;
    let act = async |act: &str, body: Value| client.post(&format!("{path}/{act}"), &body).await;
    let first = act("acknowledge", json!({ "note": "first" })).await.json();
    assert!(first["acknowledged_at"].is_string());
    assert_eq!(act("acknowledge", json!({ "note": "second" })).await.json(), first, "the first one stands");
    let bare = client.send(reqwest::Method::POST, &format!("{path}/acknowledge"), &[]).await;
    assert_eq!(bare.json(), first, "a body is not needed");

    let until = in_seconds(600);
    let muted = act("mute", json!({ "until": until })).await.json();
    assert_eq!(act("mute", json!({ "until": until })).await.json(), muted);
    assert_eq!(muted["muted_until"], json!(until));
    for body in [json!({}), json!({ "note": "again" })] {
        assert_eq!(act("unmute", body).await.json()["muted_until"], json!(null));
    }
    for (name, body, status, fault) in [
        ("mute", json!({ "until": in_seconds(-1) }), 422, ("until", "unfit_instant")),
        ("mute", json!({ "until": "tomorrow" }), 400, ("until", "invalid_value")),
        ("mute", json!({ "until": "2099-01-01T00:00:00Z[UTC]" }), 400, ("until", "invalid_value")),
        ("mute", json!({ "note": "why" }), 400, ("until", "missing_field")),
        ("acknowledge", json!({ "note": "x".repeat(501) }), 400, ("note", "invalid_value")),
        ("resolve", json!({ "reason": "why" }), 400, ("reason", "unknown_field")),
        ("unmute", json!({ "until": until }), 400, ("until", "unknown_field")),
    ] {
        let problem = act(name, body).await.problem();
        assert_eq!((&problem["status"], faults(&problem)), (&json!(status), vec![(fault.0.into(), fault.1.into())]), "{name}");
    }

    let resolved = act("resolve", json!({})).await.json();
    assert_eq!(
        (&resolved["state"], &resolved["resolved_reason"], &resolved["sequence"]),
        (&json!("resolved"), &json!("manual"), &json!(2))
    );
    assert_eq!(act("resolve", json!({})).await.json(), resolved);
    for (name, body) in [("acknowledge", json!({})), ("mute", json!({ "until": until })), ("unmute", json!({}))] {
        let answer = act(name, body).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (409, &json!("alert_resolved")), "{name}");
    }
    // Resolved by hand, it fires again only after it has cleared once.
    stock.set(&[shelf("acme", "tea", "2").low_at("5")]).await;
    assert_eq!(items(&client, "?filter[state]=firing").await, [""; 0]);
    stock.set(&[shelf("acme", "tea", "6").low_at("5"), shelf("acme", "tea", "1").low_at("5")]).await;
    assert_eq!(items(&client, "").await, ["tea", "tea"]);
    stock.api.stop().await;
}

/// Acts, and again for as long as the answer is that others keep changing the alert's level.
async fn insist(client: &Client, path: &str, body: Value) -> Value {
    let mut alert = Value::Null;
    wait_until("the act to be done", DEADLINE, async || {
        let answer = client.post(path, &body).await;
        if answer.status == 503 {
            assert_eq!((&answer.problem()["code"], answer.header("retry-after")), (&json!("contended"), Some("1")));
            return false;
        }
        alert = answer.json();
        true
    })
    .await;
    alert
}

/// A worker writes levels while people acknowledge, mute and at last resolve: nothing of either is lost.
#[tokio::test]
async fn acts_and_commits_at_once_all_count() {
    let (stock, client, path) = one_alert().await;
    let levels = json!([{ "severity": "warning", "fires_at_or_below": "90" }]);
    let commits = async {
        for on_hand in ["4", "3", "2", "4", "3", "2", "1", "4", "3", "2"] {
            stock.set(&[shelf("acme", "tea", on_hand).low_at("5")]).await;
        }
    };
    let until = in_seconds(600);
    let acts = async {
        for _ in 0..5 {
            insist(&client, &format!("{path}/acknowledge"), json!({ "note": "mine" })).await;
            insist(&client, &format!("{path}/mute"), json!({ "until": until })).await;
            insist(&client, &format!("{path}/unmute"), json!({})).await;
        }
        insist(&client, &format!("{path}/mute"), json!({ "until": until })).await;
    };
    tokio::join!(commits, acts);
    let shown = client.get(&path).await.json();
    assert_eq!(
        (&shown["actions"][0]["note"], &shown["muted_until"], &shown["sequence"]),
        (&json!("mine"), &json!(until), &json!(1))
    );
    let row = client.get("/v1/inventory/tea").await.json()["data"][0].clone();
    assert_eq!((&row["available"], &row["alert_id"]), (&json!("2"), &shown["id"]));
    let store = &stock.deployment.store;
    let level = store.level(&tenant("acme"), &shelf("acme", "tea", "2").key()).await.unwrap().expect("a row");
    let id = AlertId::new(shown["id"].as_str().unwrap()).unwrap();
    let copy = store.alert(&tenant("acme"), &id).await.unwrap().expect("an alert").alert;
    assert_eq!(level.standing, Standing::Firing(copy), "the row and the alert tell the same");

    // The level recovers while it is resolved by hand: one of the two ends it, once.
    let resolving = format!("{path}/resolve");
    let resolve = insist(&client, &resolving, json!({}));
    let recover = async { stock.set(&[shelf("acme", "tea", "50").low_at("5")]).await };
    let (resolved, ()) = tokio::join!(resolve, recover);
    assert_eq!((&resolved["state"], &resolved["sequence"]), (&json!("resolved"), &json!(2)));
    let shown = client.get(&path).await.json();
    assert_eq!((shown["events"].as_array().unwrap().len(), &shown["resolved_reason"]), (2, &resolved["resolved_reason"]));
    client.post("/v1/alert-rules", &json!({ "scope": {}, "levels": levels })).await.json_of(201);
    stock.set(&[shelf("acme", "tea", "50").low_at("5")]).await;
    assert_eq!(items(&client, "?filter[state]=firing").await, ["tea"]);
    let made = rule(&json!({ "item": "tea" }), "90");
    client.post("/v1/alert-rules", &made).await.json_of(201);
    stock.set(&[shelf("acme", "tea", "50").low_at("5")]).await;
    let newest = client.get("/v1/alerts").await.json()["data"].as_array().unwrap().clone();
    assert_eq!((newest.len(), &newest[1]["resolved_reason"]), (3, &json!("rule_changed")));
    stock.api.stop().await;
}
