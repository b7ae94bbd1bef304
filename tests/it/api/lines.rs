//! CSV and NDJSON are the JSON answer's rows, one line for each bucket.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::orders::Order;
use super::{Shop, year_parameters};

/// The buckets of an answer in JSON, each with its row's name, as NDJSON has them.
fn flattened(answer: &Value) -> Vec<Value> {
    let mut lines = Vec::new();
    for row in answer["data"].as_array().unwrap() {
        for bucket in row["buckets"].as_array().unwrap() {
            let mut line = bucket.clone();
            for name in ["dimensions", "other", "currency"] {
                if let Some(value) = row.get(name) {
                    line[name] = value.clone();
                }
            }
            lines.push(line);
        }
    }
    lines
}

/// A line of CSV as NDJSON would have it.
fn of_csv(header: &csv::StringRecord, record: &csv::StringRecord, measures: &[&str], dimensions: &[&str]) -> Value {
    let fields: BTreeMap<&str, &str> = header.iter().zip(record).collect();
    let optional = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    let group = |text: &str| match text.strip_prefix('\\') {
        Some("N") => Value::Null,
        Some(rest) => json!(rest),
        None => json!(text.strip_prefix('\'').unwrap_or(text)),
    };
    let values: Value = measures.iter().map(|name| ((*name).to_owned(), optional(fields[name]))).collect();
    let mut line = json!({
        "from": fields["from"], "to": fields["to"], "values": values, "complete": fields["complete"] == "true",
        "currency": fields["currency"],
    });
    if fields["other"] == "true" {
        line["other"] = true.into();
        assert!(dimensions.iter().all(|name| fields[name].is_empty()), "{record:?}");
    } else {
        line["dimensions"] = dimensions.iter().map(|name| ((*name).to_owned(), group(fields[name]))).collect();
    }
    line
}

#[tokio::test]
async fn csv_and_ndjson_are_the_same_rows_flattened() {
    let shop = Shop::open().await;
    let mut orders = Vec::new();
    for (n, item) in [Some("tea"), Some("a,\"b\"\n"), Some("\\N"), Some(""), None, Some("=1+1")].into_iter().enumerate() {
        for currency in ["EUR", "USD"] {
            let order = Order::new("acme", &format!("{n}{currency}")).of("", &(n * n).to_string(), "2.50", currency);
            orders.push(Order { item: item.map(str::to_owned), region: (n % 2 == 0).then(|| "south".to_owned()), ..order });
        }
    }
    shop.sell(&orders).await;
    let client = shop.client("acme").await;
    let year = year_parameters();
    let [from, to] = [(year[0].0, &*year[0].1), (year[1].0, &*year[1].1)];
    let dimensions = ["item", "region"];
    let measures = ["revenue", "unit_price", "units"];
    let parameters = [
        from,
        to,
        ("granularity", "P1M"),
        ("group_by", "item,region"),
        ("measures", "revenue,units,unit_price"),
        ("order", "-units"),
        ("limit", "5"),
        ("other", "true"),
    ];
    let path = "/v1/metrics/sales/values";
    let json = client.values("sales", &parameters).await;
    // The watermark moves on; nothing that is complete becomes incomplete, and the present month is not over.
    let expected = flattened(&json);
    assert!(expected.len() > 100, "{}", expected.len());

    let ndjson = client.ask_as(path, &parameters, "application/x-ndjson").await;
    assert_eq!(ndjson.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = ndjson.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, expected);

    let csv = client.ask_as(path, &parameters, "text/csv").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let mut reader = csv::Reader::from_reader(csv.text.as_bytes());
    let header = reader.headers().unwrap().clone();
    assert_eq!(
        header.iter().collect::<Vec<_>>(),
        ["from", "to", "item", "region", "currency", "other", "revenue", "unit_price", "units", "complete"]
    );
    let lines: Vec<Value> = reader.records().map(|record| of_csv(&header, &record.unwrap(), &measures, &dimensions)).collect();
    assert_eq!(lines, expected);

    for answer in [&ndjson, &csv] {
        assert!(answer.header("data-watermark").is_some(), "{:?}", answer.headers);
        assert_eq!(answer.header("data-exact"), Some("true"));
        let vary: Vec<_> = answer.headers.get_all("vary").iter().filter_map(|value| value.to_str().ok()).collect();
        assert!(vary.join(",").contains("accept"), "{vary:?}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_comparison_is_answered_as_json_only() {
    let shop = Shop::open().await;
    let client = shop.client("acme").await;
    let parameters = [("compare", "previous_period")];
    for accept in ["text/csv", "application/x-ndjson"] {
        let refused = client.ask_as("/v1/metrics/sales/values", &parameters, accept).await.problem();
        assert_eq!((&refused["status"], &refused["errors"][0]["parameter"]), (&json!(400), &json!("compare")), "{accept}");
    }
    shop.close().await;
}
