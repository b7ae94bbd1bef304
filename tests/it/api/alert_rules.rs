//! Alert rules: made, shown, changed and deleted, and what they would do. ALERTS §2.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tidemark_domain::rule::Scope;
use tidemark_store::{JobKind, Work};

use super::stock::{Stock, due, faults, rule, shelf, tenant};

const RULES: &str = "/v1/alert-rules";

#[tokio::test]
async fn a_rule_is_made_shown_changed_and_deleted() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let body = json!({
        "name": "Low stock", "scope": { "inventory": "stock", "item": "tea", "location": "*" }, "field": "available",
        "levels": [
            { "severity": "critical", "fires_at_or_below": "-0.50" },
            { "severity": "warning", "fires_at_or_below": "10", "clears_above": "12.0" },
        ],
        "repeat_every": "P1D",
    });
    let answer = client.post(RULES, &body).await;
    let made = answer.json_of(201);
    let path = format!("{RULES}/{}", made["id"].as_str().unwrap());
    assert_eq!((answer.header("location"), answer.header("etag")), (Some(path.as_str()), Some("\"1\"")));
    let mut expected = json!({
        "id": made["id"], "name": "Low stock", "scope": { "inventory": "stock", "item": "tea", "location": "*" }, "field": "available",
        "levels": [
            { "severity": "warning", "fires_at_or_below": "10", "clears_above": "12" },
            { "severity": "critical", "fires_at_or_below": "-0.5", "clears_above": "-0.5" },
        ],
        "repeat_every": "PT24H", "enabled": true, "version": 1, "created_at": made["created_at"], "updated_at": made["updated_at"],
    });
    assert_eq!(made, expected);
    assert_eq!(client.get(&path).await.json(), made);
    assert_eq!(client.get(RULES).await.json(), json!({ "data": [made], "page": { "next_cursor": null } }));

    // What a patch does not name stays; null is as if never given; the scope is merged, the levels are replaced.
    let patch = json!({ "name": null, "scope": { "location": "north" }, "enabled": false, "repeat_every": null });
    let merges = [("content-type", "application/merge-patch+json")];
    let answer = client.send_json(Method::PATCH, &path, &merges, &patch).await;
    let changed = answer.json();
    for (name, value) in [("name", json!(null)), ("enabled", json!(false)), ("repeat_every", json!(null)), ("version", json!(2))]
    {
        expected[name] = value;
    }
    expected["scope"]["location"] = json!("north");
    expected["updated_at"] = changed["updated_at"].clone();
    assert_eq!((&changed, answer.header("etag")), (&expected, Some("\"2\"")));
    let same = client.patch(&path, &json!({ "enabled": false })).await;
    assert_eq!((same.json(), same.header("etag")), (changed, Some("\"2\"")), "a patch that changes nothing changes nothing");

    assert_eq!(client.delete(&path).await.status, 204);
    for answer in [client.get(&path).await, client.delete(&path).await, client.patch(&path, &json!({})).await] {
        assert_eq!(answer.problem()["code"], "not_found");
    }
    assert_eq!(client.get(RULES).await.json()["data"], json!([]));
    stock.api.stop().await;
}

#[tokio::test]
async fn every_mistake_in_a_rule_is_told_at_once() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let refused = async |body: Value| {
        let problem = client.post(RULES, &body).await.problem();
        let mut faults = faults(&problem);
        faults.sort();
        (problem["status"].as_u64().unwrap(), faults.into_iter().map(|(name, code)| format!("{name} {code}")).collect::<Vec<_>>())
    };
    let body = json!({
        "name": "x".repeat(201), "scope": { "item": 7, "shelf": "b" }, "field": "on_hand", "enabled": "yes",
        "levels": [{ "severity": "mild", "fires_at_or_below": 10 }, { "severity": "warning" }], "repeat_every": "5 minutes", "lvels": [],
    });
    let expected = [
        "enabled invalid_value",
        "field invalid_value",
        "levels[0].fires_at_or_below invalid_value",
        "levels[0].severity invalid_value",
        "levels[1].fires_at_or_below missing_field",
        "lvels unknown_field",
        "name invalid_value",
        "repeat_every invalid_value",
        "scope.item invalid_value",
        "scope.shelf unknown_field",
    ];
    assert_eq!(refused(body).await, (400, expected.map(str::to_owned).to_vec()));
    let level = |severity: &str, fires: &str, clears: &str| json!({ "severity": severity, "fires_at_or_below": fires, "clears_above": clears });
    for (levels, fault) in [
        (json!([]), "levels invalid_threshold"),
        (json!([level("warning", "5", "4.9")]), "levels[0].clears_above invalid_threshold"),
        (json!([level("warning", "5", "5"), level("warning", "1", "1")]), "levels[1].severity invalid_threshold"),
        (json!([level("critical", "6", "6"), level("warning", "5", "6")]), "levels[0].fires_at_or_below invalid_threshold"),
        (json!([level("warning", "5", &"9".repeat(39))]), "levels[0].clears_above invalid_threshold"),
    ] {
        let body = json!({ "scope": {}, "levels": levels, "repeat_every": "PT14M59S" });
        assert_eq!(refused(body).await, (422, vec![fault.to_owned(), "repeat_every repeat_too_often".to_owned()]));
    }
    let empty = rule(&json!({ "item": "", "location": "" }), "1");
    let nothing = ["scope.item invalid_scope", "scope.location invalid_scope"].map(str::to_owned).to_vec();
    assert_eq!(refused(empty).await, (422, nothing), "all of them are `*`");
    let long = json!({ "item": "é".repeat(500) });
    assert_eq!(refused(rule(&long, "1")).await, (422, vec!["scope.item invalid_scope".to_owned()]));
    assert_eq!(refused(json!({})).await, (400, vec!["levels missing_field".to_owned(), "scope missing_field".to_owned()]));
    let list = client.post(RULES, &json!([])).await;
    assert_eq!((list.status, &list.problem()["code"]), (400, &json!("invalid_body")));
    let untyped = client.send(Method::POST, RULES, &[]).await;
    assert_eq!((untyped.status, &untyped.problem()["code"]), (415, &json!("unsupported_media_type")));
    let large = client.post(RULES, &json!({ "name": "x".repeat(300_000) })).await;
    assert_eq!((large.status, &large.problem()["code"]), (413, &json!("body_too_large")));
    assert_eq!(client.get(RULES).await.json()["data"], json!([]), "nothing was made");
    stock.api.stop().await;
}

#[tokio::test]
async fn a_scope_has_one_rule_and_the_other_is_named() {
    let stock = Stock::open().await;
    let (acme, rival) = (stock.client("acme").await, stock.client("rival").await);
    let tea = rule(&json!({ "item": "tea" }), "5");
    let first = acme.post(RULES, &tea).await.json_of(201);
    let spelled = rule(&json!({ "inventory": "stock", "item": "tea", "location": "*" }), "9");
    let other = acme.post(RULES, &rule(&json!({}), "5")).await.json_of(201);
    let path = format!("{RULES}/{}", other["id"].as_str().unwrap());
    for answer in [acme.post(RULES, &spelled).await, acme.patch(&path, &json!({ "scope": { "item": "tea" } })).await] {
        let problem = answer.problem();
        assert_eq!((answer.status, &problem["code"], &problem["existing"]), (409, &json!("rule_exists"), &first["id"]));
    }
    rival.post(RULES, &tea).await.json_of(201);
    acme.delete(&format!("{RULES}/{}", first["id"].as_str().unwrap())).await;
    acme.patch(&path, &json!({ "scope": { "item": "tea" } })).await.json();
    stock.api.stop().await;
}

#[tokio::test]
async fn a_change_can_depend_on_the_version_and_without_that_none_is_lost() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let made = client.post(RULES, &rule(&json!({}), "5")).await.json_of(201);
    let path = format!("{RULES}/{}", made["id"].as_str().unwrap());
    let change = async |tag: &str, method: Method| match method {
        Method::DELETE => client.send(method, &path, &[("if-match", tag)]).await,
        _ => client.send_json(method, &path, &[("if-match", tag)], &json!({ "name": tag })).await,
    };
    for (tag, status) in
        [("\"2\"", 412), ("W/\"1\"", 412), ("1", 400), ("\"1\"", 200), ("\"1\"", 412), ("\"1\", \"2\"", 200), ("*", 200)]
    {
        let answer = change(tag, Method::PATCH).await;
        assert_eq!(answer.status, status, "{tag}: {}", answer.text);
    }
    assert_eq!(change("\"3\"", Method::DELETE).await.problem()["code"], "precondition_failed");

    // Without a condition, changes of different fields at once are all made.
    let [name, repeat, enabled] = [json!({ "name": "new" }), json!({ "repeat_every": "PT1H" }), json!({ "enabled": false })];
    let answers = tokio::join!(client.patch(&path, &name), client.patch(&path, &repeat), client.patch(&path, &enabled));
    for answer in [answers.0, answers.1, answers.2] {
        answer.json();
    }
    let rule = client.get(&path).await.json();
    assert_eq!((&rule["name"], &rule["repeat_every"], &rule["enabled"]), (&json!("new"), &json!("PT1H"), &json!(false)));
    assert_eq!(change(&format!("\"{}\"", rule["version"]), Method::DELETE).await.status, 204);
    stock.api.stop().await;
}

#[tokio::test]
async fn a_preview_says_what_the_rule_would_do_among_the_others_and_changes_nothing() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let band = json!([{ "severity": "warning", "fires_at_or_below": "1", "clears_above": "8" }]);
    client.post(RULES, &json!({ "scope": { "item": "salt" }, "levels": band })).await.json_of(201);
    stock
        .set(&[
            shelf("acme", "tea", "7").at("x"),
            shelf("acme", "tea", "70").at("y"),
            shelf("acme", "milk", "0").low_at("2"),
            shelf("acme", "salt", "0"),
            shelf("acme", "salt", "5"),
            shelf("rival", "tea", "0"),
        ])
        .await;
    let before = client.get("/v1/alerts").await.json()["data"].clone();
    let preview = async |body: Value| client.post("/v1/alert-rules/preview", &body).await.json();
    let levels =
        json!([{ "severity": "warning", "fires_at_or_below": "10" }, { "severity": "critical", "fires_at_or_below": "0" }]);
    let all = preview(json!({ "scope": {}, "levels": levels })).await;
    let row = |item: &str, location: &str, available: &str, severity: &str, alert: &Value| json!({ "item": item, "location": location, "available": available, "severity": severity, "alert_id": alert });
    let rows = [row("milk", "main", "0", "critical", &before[1]["id"]), row("tea", "x", "7", "warning", &json!(null))];
    assert_eq!(all, json!({ "data": rows, "would_fire": 2, "looked_at": 4, "truncated": false }), "salt has a rule of its own");
    assert_eq!(preview(json!({ "scope": { "location": "y" }, "levels": levels })).await["looked_at"], 1);
    // As a change of the rule there is, by which the alert goes on within the band; another rule would end it.
    let salt = preview(json!({ "scope": { "item": "salt" }, "levels": band })).await;
    assert_eq!(salt["data"], json!([row("salt", "main", "5", "warning", &before[0]["id"])]));
    let off = preview(json!({ "scope": {}, "levels": levels, "enabled": false })).await;
    assert_eq!(off["would_fire"], 0);
    assert_eq!(client.get("/v1/alerts").await.json()["data"], before);
    assert_eq!(client.get(RULES).await.json()["data"].as_array().unwrap().len(), 1);
    stock.api.stop().await;
}

#[tokio::test]
async fn what_is_to_be_judged_anew_is_written_with_the_rule_and_survives_the_api() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let made = client.post(RULES, &rule(&json!({ "item": "tea" }), "5")).await.json_of(201);
    client.patch(&format!("{RULES}/{}", made["id"].as_str().unwrap()), &json!({ "scope": { "item": "milk" } })).await.json();
    let Stock { deployment, api } = stock;
    api.stop().await;
    let mut judged = BTreeSet::new();
    for due in due(&deployment).await {
        let Work::Job(id) = &due.work else { panic!("{due:?}") };
        assert_eq!(due.tenant, tenant("acme"));
        let job = deployment.store.job(&due.tenant, id).await.unwrap().expect("a job");
        let JobKind::Rules { scope: Scope { item, .. } } = job.kind else { panic!("{job:?}") };
        judged.insert(item.expect("an item"));
    }
    assert_eq!(judged, BTreeSet::from(["milk".to_owned(), "tea".to_owned()]));
}
