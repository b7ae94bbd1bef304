//! Lists come in pages that never end in an empty one, and a cursor opens only the list it was made for.

use serde_json::{Value, json};
use tidemark_tests::Client;

use super::orders::Order;
use super::{Shop, TABLE};

const BAD: usize = 7;

/// A shop with bad orders of two tenants.
async fn shop() -> Shop {
    let shop = Shop::open().await;
    for tenant in ["acme", "rival"] {
        for n in 0..BAD {
            let mut bad = Order::new(tenant, &format!("{tenant}-{n}")).image();
            bad["quantity"] = json!({ "S": n.to_string() });
            shop.deployment.put(TABLE, bad).await;
        }
        let all = |list: &Value| list["data"].as_array().unwrap().len() == BAD;
        shop.client(tenant).await.until("all records", "/v1/quarantine", all).await;
    }
    shop
}

/// The sizes of a list's pages, and all its entries.
async fn pages(client: &Client, list: &str, limit: usize) -> (Vec<usize>, Vec<Value>) {
    let (mut sizes, mut entries) = (Vec::new(), Vec::new());
    let mut path = format!("{list}?limit={limit}");
    loop {
        let page = client.get(&path).await.json();
        let data = page["data"].as_array().unwrap();
        sizes.push(data.len());
        entries.extend(data.clone());
        match &page["page"]["next_cursor"] {
            Value::Null => return (sizes, entries),
            cursor => path = format!("{list}?limit={limit}&cursor={}", cursor.as_str().unwrap()),
        }
        assert!(sizes.len() <= BAD, "the pages do not end: {sizes:?}");
    }
}

#[tokio::test]
async fn pages_are_full_and_the_last_one_is_never_empty() {
    let shop = shop().await;
    let client = shop.client("acme").await;
    let (_, all) = pages(&client, "/v1/quarantine", 200).await;
    let ids: Vec<&str> = all.iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "newest first: {ids:?}");
    for (limit, expected) in [(1, vec![1; 7]), (3, vec![3, 3, 1]), (6, vec![6, 1]), (7, vec![7]), (8, vec![7])] {
        let (sizes, entries) = pages(&client, "/v1/quarantine", limit).await;
        assert_eq!((sizes, entries), (expected, all.clone()), "pages of {limit}");
    }
    let (sizes, metrics) = pages(&client, "/v1/metrics", 1).await;
    assert_eq!(sizes, [1, 1]);
    assert_eq!([&metrics[0]["metric"], &metrics[1]["metric"]], ["sales", "visits"]);
    for (query, parameter) in [("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("offset=1", "offset")] {
        let problem = client.get(&format!("/v1/quarantine?{query}")).await.problem();
        assert_eq!((&problem["status"], &problem["errors"][0]["parameter"]), (&json!(400), &json!(parameter)), "{query}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_forged_or_foreign_cursor_is_refused() {
    let shop = shop().await;
    let (acme, rival) = (shop.client("acme").await, shop.client("rival").await);
    let next =
        async |client: &Client, path: &str| client.get(path).await.json()["page"]["next_cursor"].as_str().unwrap().to_owned();
    let cursor = next(&acme, "/v1/quarantine?limit=2").await;
    let of_metrics = next(&acme, "/v1/metrics?limit=1").await;
    assert_eq!(acme.get(&format!("/v1/quarantine?cursor={cursor}")).await.status, 200, "it is good where it belongs");
    let swapped = |text: &str| if text.starts_with('A') { text.replacen('A', "B", 1) } else { format!("A{}", &text[1..]) };
    let refused = [
        (&acme, "/v1/quarantine", swapped(&cursor)),
        (&acme, "/v1/quarantine", cursor[..cursor.len() - 4].to_owned()),
        (&acme, "/v1/quarantine", format!("{cursor}AAAA")),
        (&acme, "/v1/quarantine", String::new()),
        (&acme, "/v1/quarantine", "null".to_owned()),
        (&acme, "/v1/quarantine", of_metrics),
        (&acme, "/v1/metrics", cursor.clone()),
        (&rival, "/v1/quarantine", cursor),
    ];
    for (client, path, cursor) in refused {
        let answer = client.get(&format!("{path}?cursor={cursor}")).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (400, &json!("invalid_cursor")), "{path}?cursor={cursor}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_record_is_shown_with_its_images_and_the_reason() {
    let shop = shop().await;
    let client = shop.client("acme").await;
    let entry = client.get("/v1/quarantine?limit=1").await.json()["data"][0].clone();
    assert_eq!((&entry["source"], &entry["code"]), (&json!("orders"), &json!("measure")));
    let reason = entry["reason"].as_str().unwrap();
    assert!(reason.contains("metric `sales`") && reason.contains("`quantity` is of type S"), "{reason}");
    let record = client.get(&format!("/v1/quarantine/{}", entry["id"].as_str().unwrap())).await.json();
    for name in ["id", "source", "sequence_number", "at", "code", "reason"] {
        assert_eq!(record[name], entry[name], "{name}");
    }
    assert_eq!(record["old"], Value::Null);
    assert_eq!(record["new"]["item"]["quantity"], json!({ "S": (BAD - 1).to_string() }));
    assert_eq!(record["new"]["truncated"], false);
    shop.close().await;
}
