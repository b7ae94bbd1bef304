//! What is in stock: as it stands, in order, filtered, in pages, and of one tenant alone. ALERTS §1.

use serde_json::{Value, json};

use super::stock::{STOCK, Stock, faults, rule, shelf};

fn names(rows: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.iter().map(|row| format!("{}@{}", text(&row["item"]), text(&row["location"]))).collect()
}

#[tokio::test]
async fn a_level_is_shown_with_what_it_is_judged_by_and_the_alert_that_fires() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let made = client.post("/v1/alert-rules", &rule(&json!({ "item": "tea" }), "10.50")).await.json_of(201);
    stock
        .set(&[shelf("acme", "tea", "12.0").committed("5"), shelf("acme", "milk", "-1").low_at("3"), shelf("acme", "salt", "9")])
        .await;
    let answer = client.get("/v1/inventory").await;
    let list = answer.json();
    assert_eq!((&list["inventory"], &list["freshness"]["status"]), (&json!("stock"), &json!("stalled")), "no worker has run");
    assert_eq!(answer.header("data-exact"), Some("false; reasons=\"history\""));
    let rows = list["data"].as_array().unwrap();
    assert_eq!(names(rows), ["milk@main", "salt@main", "tea@main"]);
    let mut tea = rows[2].clone();
    let alert = client.get("/v1/alerts?filter[item]=tea").await.json()["data"][0].clone();
    assert_eq!((tea["alert_id"].take(), tea["updated_at"].is_string()), (alert["id"].clone(), true));
    tea.as_object_mut().unwrap().remove("updated_at");
    let threshold = json!({ "severity": "warning", "fires_at_or_below": "10.5", "clears_above": "10.5" });
    let expected = json!({
        "item": "tea", "location": "main", "on_hand": "12", "committed": "5", "available": "7", "incoming": "0", "status": "low",
        "rule": { "id": made["id"], "fires_at_or_below": "10.5", "clears_above": "10.5", "levels": [threshold] }, "alert_id": null,
    });
    assert_eq!(tea, expected);
    assert_eq!(
        (&rows[0]["status"], &rows[0]["rule"]["id"], &rows[0]["rule"]["clears_above"]),
        (&json!("out"), &json!(null), &json!("3"))
    );
    assert!(rows[0]["alert_id"].is_string());
    assert_eq!((&rows[1]["status"], &rows[1]["rule"], &rows[1]["alert_id"]), (&json!("ok"), &json!(null), &json!(null)));
    stock.api.stop().await;
}

#[tokio::test]
async fn levels_are_listed_in_either_order_and_with_any_filter_whatever_the_page() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let odd = "a,b\\c#d";
    stock
        .set(&[
            shelf("acme", "a", "5").at("x"),
            shelf("acme", "a", "-2.5").at("y"),
            shelf("acme", "a!", "0.25").low_at("1"),
            shelf("acme", "b", "100"),
            shelf("acme", "c", "-10").at("x"),
            shelf("acme", odd, "0"),
            shelf("rival", "a", "1").at("x"),
        ])
        .await;
    // The entries of some are where binaries before the spread put them.
    stock.index_as_before(&[("acme", "a#y"), ("acme", "a!#main"), ("acme", "b#main"), ("rival", "a#x")]).await;
    let by_key = ["a!@main", "a,b\\c#d@main", "a@x", "a@y", "b@main", "c@x"];
    let by_available = ["c@x", "a@y", "a,b\\c#d@main", "a!@main", "a@x", "b@main"];
    let cases: [(&str, Vec<&str>); 10] = [
        ("", by_key.to_vec()),
        ("?order=key", by_key.to_vec()),
        ("?order=available", by_available.to_vec()),
        ("?filter[item]=b,a,none", vec!["a@x", "a@y", "b@main"]),
        (r"?filter[item]=a%5C%2Cb%5C%5Cc%23d", vec!["a,b\\c#d@main"]),
        ("?filter[item]=a,c&order=available", vec!["c@x", "a@y", "a@x"]),
        ("?filter[location]=x", vec!["a@x", "c@x"]),
        ("?filter[status]=out&order=available", vec!["c@x", "a@y", "a,b\\c#d@main"]),
        ("?filter[status]=low,ok", vec!["a!@main", "a@x", "b@main"]),
        ("?filter[status]=low&filter[item]=a", vec![]),
    ];
    for (query, mut expected) in cases {
        let list = format!("/v1/inventory{query}");
        for limit in [1, 2, 3, 5, 200] {
            let (sizes, rows) = Stock::pages(&client, &list, limit).await;
            let mut found = names(&rows);
            if !query.contains("available") {
                // The order of keys is the store's; what matters is that it is one.
                found.sort();
                expected.sort_unstable();
            }
            assert_eq!(found, expected, "{query}, pages of {limit}");
            let whole = expected.len() / limit;
            let full = [
                vec![limit; whole],
                if expected.len() % limit > 0 || whole == 0 { vec![expected.len() % limit] } else { vec![] },
            ];
            assert_eq!(sizes, full.concat(), "{query}, pages of {limit}");
        }
    }
    stock.api.stop().await;
}

#[tokio::test]
async fn a_cursor_opens_for_the_same_question_only() {
    let stock = Stock::open().await;
    let (acme, rival) = (stock.client("acme").await, stock.client("rival").await);
    stock.set(&[shelf("acme", "a", "1"), shelf("acme", "b", "2"), shelf("acme", "c", "3")]).await;
    let page = acme.get("/v1/inventory?order=available&limit=1").await.json();
    let cursor = page["page"]["next_cursor"].as_str().unwrap();
    let good = acme.get(&format!("/v1/inventory?limit=2&order=available&cursor={cursor}")).await.json();
    assert_eq!(names(good["data"].as_array().unwrap()), ["b@main", "c@main"], "the limit may change");
    for (client, query) in
        [(&acme, ""), (&acme, "order=key"), (&acme, "order=available&filter[item]=a"), (&rival, "order=available")]
    {
        let answer = client.get(&format!("/v1/inventory?{query}&cursor={cursor}")).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (400, &json!("invalid_cursor")), "{query}");
    }
    stock.api.stop().await;
}

#[tokio::test]
async fn an_item_is_shown_at_all_its_locations_with_exact_totals() {
    let stock = Stock::open().await;
    let (acme, rival) = (stock.client("acme").await, stock.client("rival").await);
    let large = "99999999999999999999999999999999999999";
    stock
        .set(&[
            shelf("acme", "a/b c", large).at("x"),
            shelf("acme", "a/b c", "0.00000000000000000001").committed("1").at("y"),
            shelf("acme", "a/b", "7"),
        ])
        .await;
    let item = acme.get("/v1/inventory/a%2Fb%20c").await.json();
    assert_eq!((&item["item"], &item["totals"]["on_hand"]), (&json!("a/b c"), &json!(format!("{large}.00000000000000000001"))));
    assert_eq!(item["totals"]["available"], format!("{}8.00000000000000000001", &large[1..]));
    assert_eq!(names(item["data"].as_array().unwrap()), ["a/b c@x", "a/b c@y"]);
    for (client, path) in
        [(&acme, "/v1/inventory/a"), (&rival, "/v1/inventory/a%2Fb%20c"), (&acme, "/v1/inventory/a%2Fb%20c%23x")]
    {
        let answer = client.get(path).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (404, &json!("not_found")), "{path}");
    }
    assert_eq!(rival.get("/v1/inventory").await.json()["data"], json!([]));
    stock.api.stop().await;
}

#[tokio::test]
async fn which_of_several_inventories_is_meant_must_be_said() {
    let own = "  own: { table: Own, key: { partition: item_number }, tenant: { constant: acme } }\n  stock:\n    table";
    let spare = "  own: { source: own, item: item_number, on_hand: on_hand }\n  stock:\n    source";
    let stock = Stock::open_with(&STOCK.replacen("  stock:\n    table", own, 1).replacen("  stock:\n    source", spare, 1)).await;
    let (acme, rival) = (stock.client("acme").await, stock.client("rival").await);
    stock.set(&[shelf("acme", "tea", "1")]).await;
    for path in ["/v1/inventory", "/v1/inventory/tea", "/v1/inventory?inventory=none"] {
        let problem = acme.get(path).await.problem();
        assert_eq!(
            (&problem["status"], faults(&problem)),
            (&json!(422), vec![("inventory".into(), "unknown_inventory".into())]),
            "{path}"
        );
        assert_eq!(problem["errors"][0]["allowed"], json!(["own", "stock"]), "{path}");
    }
    let problem = acme.post("/v1/alert-rules", &rule(&json!({}), "1")).await.problem();
    assert_eq!(faults(&problem), [("scope.inventory".to_owned(), "unknown_inventory".to_owned())]);
    assert_eq!(acme.get("/v1/inventory?inventory=own").await.json()["data"], json!([]));
    assert_eq!(acme.get("/v1/inventory/tea?inventory=stock").await.json()["totals"]["on_hand"], "1");
    // Another tenant's own inventory is not even there to choose.
    assert_eq!(rival.get("/v1/inventory").await.json()["inventory"], "stock");
    assert_eq!(rival.get("/v1/inventory?inventory=own").await.problem()["errors"][0]["allowed"], json!(["stock"]));
    stock.api.stop().await;
}

#[tokio::test]
async fn every_mistake_in_a_question_is_told_at_once() {
    let stock = Stock::open().await;
    let client = stock.client("acme").await;
    let problem =
        client.get("/v1/inventory?filter[status]=out,gone&filter[item]=%5CN&filter[colour]=x&order=-available&limit=0").await;
    let invalid = |name: &str| (name.to_owned(), "invalid_value".to_owned());
    let mut found = faults(&problem.problem());
    found.sort();
    let unknown = ("filter[colour]".to_owned(), "unknown_parameter".to_owned());
    assert_eq!(found, [unknown, invalid("filter[item]"), invalid("filter[status]"), invalid("limit"), invalid("order")]);
    assert_eq!(problem.status, 400);
    stock.api.stop().await;
}
