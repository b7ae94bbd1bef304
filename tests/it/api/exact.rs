//! Numbers arrive as they were counted: all 38 digits, ratios from their parts, and a row that broke says so.

use serde_json::{Value, json};

use super::orders::Order;
use super::{Shop, year};

const HUGE: &str = "99999999999999999999999999999999999999";

async fn totals(shop: &Shop, query: &str) -> Value {
    let path = format!("/v1/metrics/sales/values?{}&{query}", year());
    shop.client("acme").await.get(&path).await.json()["totals"].clone()
}

#[tokio::test]
async fn all_38_digits_arrive_as_text_and_sums_have_as_many_as_they_need() {
    let shop = Shop::open().await;
    let of = |id: &str, item, quantity| Order::new("acme", id).of(item, quantity, "0", "EUR");
    shop.sell(&[
        of("o1", "gold", "123456789012345678.12345678901234567"),
        of("o2", "gold", "0.00000000000000000001"),
        of("o3", "salt", "-12345678901234567890123456789012345678"),
        of("o4", "tea", "1.50"),
        of("o5", "mug", "1E+3"),
    ])
    .await;
    let path = format!("/v1/metrics/sales/values?{}&group_by=item&measures=units&granularity=P1M", year());
    let answer = shop.client("acme").await.get(&path).await;
    for (item, units) in [
        ("gold", "123456789012345678.12345678901234567001"),
        ("salt", "-12345678901234567890123456789012345678"),
        ("tea", "1.5"),
        ("mug", "1000"),
    ] {
        let row = answer.json()["data"].as_array().unwrap().iter().find(|row| row["dimensions"]["item"] == item).unwrap().clone();
        assert_eq!(row["values"], json!({ "units": units }), "{item}");
        assert!(answer.text.contains(&format!("\"{units}\"")), "the text itself has every digit: {}", answer.text);
    }
    shop.close().await;
}

#[tokio::test]
async fn a_ratio_is_made_from_the_sums_of_its_parts_rounded_half_to_even() {
    let shop = Shop::open().await;
    let of = |id: &str, item, quantity, price| Order::new("acme", id).of(item, quantity, price, "EUR");
    shop.sell(&[
        // 1 and 3 pieces at 1 and 2: the unit price is 7/4, not the mean of 1 and 2.
        of("o1", "tea", "1", "1"),
        of("o2", "tea", "3", "2"),
        of("o3", "third", "3", "0.000000000001"),
        of("o4", "third", "3", "0.000000000002"),
        of("o5", "even", "2", "0.0000000000005"),
        of("o6", "odd", "2", "0.0000000000015"),
        of("o7", "free", "0", "10"),
    ])
    .await;
    for (item, unit_price) in [
        ("tea", json!("1.75")),
        ("third", json!("0.000000000002")),
        ("even", json!("0")),
        ("odd", json!("0.000000000002")),
        ("free", Value::Null),
    ] {
        // A ratio alone is enough to ask for: its parts need not be shown.
        let found = totals(&shop, &format!("filter[item]={item}&measures=unit_price")).await;
        assert_eq!(found, json!([{ "currency": "EUR", "values": { "unit_price": unit_price } }]), "{item}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_broken_row_is_not_exact_and_names_itself_in_quarantine() {
    let shop = Shop::open().await;
    let of = |id: &str, item, quantity| Order::new("acme", id).of(item, quantity, "0", "EUR");
    // One after the other, so that the row stands before it is asked for too much.
    shop.sell(&[of("o1", "gold", HUGE)]).await;
    for order in [of("o2", "gold", "0.5"), of("o3", "tea", "3")] {
        order.put(&shop.deployment).await;
    }
    shop.deployment.expect_total("acme", ("sales", "units"), Some(("item", "tea")), "3").await;
    let client = shop.client("acme").await;
    let ask = async |query: &str| client.get(&format!("/v1/metrics/sales/values?{}&{query}", year())).await;
    let gold = ask("group_by=item&filter[item]=gold").await;
    assert_eq!(gold.json()["data"][0]["values"]["units"], HUGE, "what stood there stands");
    assert_eq!(gold.json()["freshness"]["exact"], false);
    assert_eq!(gold.json()["freshness"]["reasons"], json!(["broken_row"]));
    assert_eq!(gold.header("data-exact"), Some("false; reasons=\"broken_row\""));
    let tea = ask("group_by=item&filter[item]=tea").await;
    assert_eq!(tea.json()["data"][0]["values"]["units"], "3");
    assert_eq!(tea.json()["freshness"]["reasons"], json!([]), "other rows are whole");
    assert_eq!(tea.header("data-exact"), Some("true"));

    let list = client.get("/v1/quarantine").await.json();
    let names_the_row = |record: &&Value| {
        record["code"] == "row_overflow" && record["reason"].as_str().is_some_and(|reason| reason.contains("sales.item#g1"))
    };
    let record = list["data"].as_array().unwrap().iter().find(names_the_row);
    let record = record.unwrap_or_else(|| panic!("no record names the row: {list:#}"));
    let id = record["id"].as_str().unwrap();
    let shown = client.get(&format!("/v1/quarantine/{id}")).await.json();
    assert_eq!(shown["reason"], record["reason"]);
    shop.close().await;
}
