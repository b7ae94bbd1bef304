//! Amounts of two currencies are never added, ranked or cut together.

use insta::{assert_json_snapshot, with_settings};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tidemark_runtime::clock;

use super::orders::Order;
use super::{Shop, year, year_parameters};

/// Two currencies, in which the items rank differently.
fn orders() -> Vec<Order> {
    let of = |id: &str, item, quantity, price, currency| Order::new("acme", id).of(item, quantity, price, currency);
    vec![
        of("o1", "tea", "10", "2.50", "EUR"),
        of("o2", "mug", "1", "9.99", "EUR"),
        of("o3", "pot", "2", "40", "EUR"),
        of("o4", "tea", "1", "3", "JPY"),
        of("o5", "mug", "4", "1200", "JPY"),
        Order { currency: None, ..of("o6", "pot", "1", "45.10", "EUR") },
    ]
}

fn names(answer: &Value) -> Vec<String> {
    let name = |row: &Value| {
        let item = if row["other"] == true { "other" } else { row["dimensions"]["item"].as_str().unwrap() };
        format!("{} {item}", row["currency"].as_str().unwrap())
    };
    answer["data"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn order_limit_and_other_apply_within_each_currency() {
    let shop = Shop::open().await;
    shop.sell(&orders()).await;
    let client = shop.client("acme").await;
    let ask = async |query: &str| client.get(&format!("/v1/metrics/sales/values?{}&{query}", year())).await.json();
    let top = ask("group_by=item&order=-revenue&limit=1&other=true&measures=revenue,units,average_order").await;
    assert_eq!(names(&top), ["EUR pot", "EUR other", "JPY mug", "JPY other", "USD pot"]);
    let currencies: Vec<&Value> = top["totals"].as_array().unwrap().iter().map(|total| &total["currency"]).collect();
    assert_eq!(currencies, ["EUR", "JPY", "USD"]);
    with_settings!({ sort_maps => true }, {
        assert_json_snapshot!("top_one_of_each_currency", top, {
            ".from" => "[from]", ".to" => "[to]", ".version" => "[version]",
            ".freshness.watermark" => "[watermark]", ".freshness.lag_ms" => "[lag_ms]", ".freshness.status" => "[status]",
            ".data[].buckets[].from" => "[from]", ".data[].buckets[].to" => "[to]",
        });
    });
    let least = ask("group_by=item&order=units&limit=2").await;
    assert_eq!(names(&least), ["EUR mug", "EUR pot", "JPY tea", "JPY mug", "USD pot"]);
    assert_eq!(least["totals"][0]["values"]["units"], "13", "totals cover what the limit cuts");
    let by_key = ask("group_by=item").await;
    assert_eq!(names(&by_key), ["EUR mug", "EUR pot", "EUR tea", "JPY mug", "JPY tea", "USD pot"]);
    shop.close().await;
}

#[tokio::test]
async fn a_metric_without_money_says_nothing_of_currencies() {
    let shop = Shop::open().await;
    shop.sell(&orders()).await;
    let [(from, first), (to, last)] = year_parameters();
    let answer = shop.client("acme").await.values("visits", &[(from, &first), (to, &last)]).await;
    assert_eq!(answer["totals"], json!([{ "values": { "visits": "6" } }]));
    let rows = answer["data"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].get("currency").is_none() && rows[0].get("dimensions").is_none(), "{}", rows[0]);
    shop.close().await;
}

#[tokio::test]
async fn a_currency_of_the_compared_range_alone_has_its_total_too() {
    let shop = Shop::open().await;
    let today = clock::now().to_zoned(TimeZone::UTC).date();
    let noon = |date: Date| date.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp();
    let before = Order::new("acme", "b1").of("tea", "3", "100", "JPY").at(noon(today.yesterday().unwrap()));
    shop.sell(&[Order::new("acme", "n1").of("tea", "2", "2.50", "EUR").at(noon(today)), before]).await;
    let client = shop.client("acme").await;
    let (from, to) = (today.to_string(), today.tomorrow().unwrap().to_string());
    let parameters = [("from", &*from), ("to", &*to), ("measures", "unit_price,units"), ("compare", "previous_period")];
    let answer = client.values("sales", &parameters).await;
    let none = json!({ "unit_price": null, "units": "0" });
    let expected = json!([
        {
            "currency": "EUR", "values": { "unit_price": "2.5", "units": "2" }, "previous": none,
            "change": { "unit_price": null, "units": "2" },
        },
        {
            "currency": "JPY", "values": none, "previous": { "unit_price": "100", "units": "3" },
            "change": { "unit_price": null, "units": "-3" },
        },
    ]);
    assert_eq!(answer["totals"], expected);
    shop.close().await;
}

#[tokio::test]
async fn with_no_data_at_all_totals_and_data_are_empty() {
    let shop = Shop::open().await;
    let answer = shop.client("acme").await.values("sales", &[("granularity", "PT1H"), ("compare", "previous_year")]).await;
    assert_eq!((&answer["totals"], &answer["data"]), (&json!([]), &json!([])));
    shop.close().await;
}
