//! Filters let in exactly the groups they name, whatever those are called.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::orders::Order;
use super::{Shop, year_parameters};

/// Values that look like separators, escapes, keys, numbers, words of ours, or markup.
const HOSTILE: [&str; 20] = [
    "a,b",
    "a",
    "b",
    "\\",
    "\\\\",
    "\\N",
    "N",
    "null",
    "",
    " ",
    "a#b",
    "%23",
    "%",
    "%N",
    "a\u{0}b",
    "é\u{301}",
    "名前 \u{1F600}",
    "<script>alert(1)</script>",
    "a&b=c+d",
    "\"quoted\"\r\n",
];

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,")
}

/// The units of each item in an answer, the null group under `None`.
fn units(answer: &Value) -> BTreeMap<Option<String>, String> {
    let pair = |row: &Value| {
        let item = &row["dimensions"]["item"];
        assert!(item.is_string() || item.is_null(), "{row}");
        (item.as_str().map(str::to_owned), row["values"]["units"].as_str().unwrap().to_owned())
    };
    answer["data"].as_array().unwrap().iter().map(pair).collect()
}

/// A shop in which the nth hostile value sold 2^n pieces, and the null group 2^20.
async fn shop() -> Shop {
    let shop = Shop::open().await;
    let order = |(n, item): (usize, Option<&str>)| {
        let order = Order::new("acme", &format!("o{n}")).of("", &(1_u64 << n).to_string(), "1", "EUR");
        Order { item: item.map(str::to_owned), ..order }
    };
    let items = HOSTILE.into_iter().map(Some).chain([None]);
    shop.sell(&items.enumerate().map(order).collect::<Vec<_>>()).await;
    shop
}

#[tokio::test]
async fn hostile_values_come_back_intact_and_can_be_asked_for_one_by_one() {
    let shop = shop().await;
    let client = shop.client("acme").await;
    let year = year_parameters();
    let [from, to] = [(year[0].0, &*year[0].1), (year[1].0, &*year[1].1)];
    let all = client.values("sales", &[from, to, ("group_by", "item")]).await;
    let expected: BTreeMap<_, _> = HOSTILE
        .iter()
        .map(|item| Some((*item).to_owned()))
        .chain([None])
        .enumerate()
        .map(|(n, item)| (item, (1_u64 << n).to_string()))
        .collect();
    assert_eq!(units(&all), expected);
    for (n, item) in HOSTILE.iter().enumerate() {
        let filter = escaped(item);
        let one = client.values("sales", &[from, to, ("group_by", "item"), ("filter[item]", &filter)]).await;
        assert_eq!(units(&one), BTreeMap::from([(Some((*item).to_owned()), (1_u64 << n).to_string())]), "{item:?}");
        // The same without showing the dimension that is filtered.
        let total = client.values("sales", &[from, to, ("filter[item]", &filter)]).await;
        assert_eq!(total["totals"][0]["values"]["units"], (1_u64 << n).to_string(), "{item:?}");
        assert_eq!(total["data"][0].get("dimensions"), None);
    }
    shop.close().await;
}

#[tokio::test]
async fn a_filter_lists_texts_and_the_null_group() {
    let shop = shop().await;
    let client = shop.client("acme").await;
    let year = year_parameters();
    let [from, to] = [(year[0].0, &*year[0].1), (year[1].0, &*year[1].1)];
    for (filter, expected) in [
        (r"a\,b", 1_u64),
        ("a,b", (1 << 1) + (1 << 2)),
        (r"\\", 1 << 3),
        (r"\\\\", 1 << 4),
        (r"\N", 1 << 20),
        (r"\\N", 1 << 5),
        (r"\N,\\N,N", (1 << 20) + (1 << 5) + (1 << 6)),
        ("", 1 << 8),
        ("a,", (1 << 1) + (1 << 8)),
    ] {
        let answer = client.values("sales", &[from, to, ("filter[item]", filter), ("measures", "units")]).await;
        let expected = json!([{ "currency": "EUR", "values": { "units": expected.to_string() } }]);
        assert_eq!(answer["totals"], expected, "{filter}");
    }
    // More values than are asked for by key: whole partitions are read, and the answer is the same.
    let most: Vec<String> = HOSTILE.iter().map(|item| escaped(item)).chain(["\\N".to_owned(), "none such".to_owned()]).collect();
    let answer = client.values("sales", &[from, to, ("filter[item]", &most.join(","))]).await;
    assert_eq!(answer["totals"][0]["values"]["units"], ((1_u64 << 21) - 1).to_string());
    // Two filters let in what passes both; they are answered from the set of both, whatever is shown.
    let both = [from, to, ("filter[item]", "a,b"), ("filter[region]", "south,north"), ("group_by", "region")];
    let both = client.values("sales", &both).await;
    assert_eq!(both["data"][0]["dimensions"], json!({ "region": "north" }));
    assert_eq!(both["data"][0]["values"]["units"], "6");
    let none = client.values("sales", &[from, to, ("filter[item]", "a"), ("filter[region]", "south")]).await;
    assert_eq!((&none["totals"], &none["data"]), (&json!([]), &json!([])));
    shop.close().await;
}
