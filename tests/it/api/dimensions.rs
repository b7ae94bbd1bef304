//! Which values a dimension has had: all of a tenant's, page by page, and nobody else's.

use serde_json::{Value, json};
use tidemark_domain::{DimensionName, Group, MetricName, TenantId};
use tidemark_store::KnownValue;
use tidemark_tests::{Client, Deployment};

use super::orders::Order;
use super::stock::Stock;
use super::{SHOP, Shop};

const ITEMS: &str = "/v1/metrics/sales/dimensions/item";

fn values(entries: &[Value]) -> Vec<&Value> {
    entries.iter().map(|entry| &entry["value"]).collect()
}

/// A shop without a worker whose values are known.
async fn known(values: &[(&str, Group)]) -> Deployment {
    let deployment = Deployment::start(SHOP).await;
    let known = values.iter().map(|(tenant, value)| KnownValue {
        tenant: TenantId::new(tenant).unwrap(),
        metric: MetricName::new("sales").unwrap(),
        dimension: DimensionName::new("item").unwrap(),
        value: value.clone(),
    });
    deployment.store.remember_values(&known.collect::<Vec<_>>()).await.unwrap();
    deployment
}

#[tokio::test]
async fn values_come_in_pages_by_prefix_and_each_once() {
    let texts = ["", "#1", "%", "%N", "Mug", "mug", "mug blue", "tea", "tea\n", "ä", "日本"];
    let mut all: Vec<(&str, Group)> = texts.iter().map(|text| ("acme", Group::Text((*text).to_owned()))).collect();
    all.extend([("acme", Group::Null), ("rival", Group::Text("mug of the rival".to_owned()))]);
    let deployment = known(&all).await;
    let api = deployment.start_api().await;
    let acme = api.client(deployment.key_of("acme").await);
    let (_, whole) = Stock::pages(&acme, ITEMS, 200).await;
    assert_eq!(whole.len(), texts.len() + 1);
    for text in texts {
        assert!(values(&whole).contains(&&json!(text)), "{text:?}");
    }
    assert!(values(&whole).contains(&&Value::Null), "the null group is one, and is not the text %N");
    for (limit, sizes) in [(1, vec![1; 12]), (5, vec![5, 5, 2]), (6, vec![6, 6]), (11, vec![11, 1])] {
        assert_eq!(Stock::pages(&acme, ITEMS, limit).await, (sizes, whole.clone()), "{limit}");
    }
    for (prefix, expected) in [
        ("mug", vec!["mug", "mug blue"]),
        ("mug ", vec!["mug blue"]),
        ("%25", vec!["%", "%N"]),
        ("%25N", vec!["%N"]),
        ("%23", vec!["#1"]),
        ("tea%0A", vec!["tea\n"]),
        ("%C3%A4", vec!["ä"]),
        ("none", vec![]),
    ] {
        let (_, found) = Stock::pages(&acme, &format!("{ITEMS}?prefix={prefix}"), 1).await;
        assert_eq!(json!(values(&found)), json!(expected), "{prefix}");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_page_is_one_read_whatever_there_is() {
    let many: Vec<(&str, Group)> = (0..250).map(|n| ("acme", Group::Text(format!("item {n:04}")))).collect();
    let deployment = known(&many).await;
    let api = deployment.start_api().await;
    let acme = api.client(deployment.key_of("acme").await);
    // The running definitions are read by GetItem, and so are keys.
    let queries = || deployment.world.front().calls("Query");
    for page in [format!("{ITEMS}?limit=200"), format!("{ITEMS}?prefix=item+02&limit=10"), format!("{ITEMS}?prefix=x")] {
        let before = queries();
        acme.get(&page).await.json();
        assert_eq!(queries() - before, 1, "{page}");
    }
    api.stop().await;
}

#[tokio::test]
async fn cursors_and_names_belong_to_one_dimension() {
    let two = ["mug", "tea"].map(|text| ("acme", Group::Text(text.to_owned())));
    let deployment = known(&two).await;
    let api = deployment.start_api().await;
    let (acme, rival): (Client, Client) =
        (api.client(deployment.key_of("acme").await), api.client(deployment.key_of("rival").await));
    let page = acme.get(&format!("{ITEMS}?limit=1")).await.json();
    let cursor = page["page"]["next_cursor"].as_str().unwrap();
    let region = ITEMS.replace("item", "region");
    for (client, path) in [(&acme, &*region), (&acme, "/v1/metrics/visits/dimensions/region"), (&rival, ITEMS)] {
        let refused = client.get(&format!("{path}?limit=1&cursor={cursor}")).await.problem();
        assert_eq!(refused["code"], "invalid_cursor", "{path}");
    }
    assert_eq!(acme.get(&format!("{ITEMS}?limit=1&prefix=m&cursor={cursor}")).await.problem()["code"], "invalid_cursor");
    for none in ["/v1/metrics/sales/dimensions/none", "/v1/metrics/none/dimensions/item", "/v1/metrics/visits/dimensions/item"] {
        assert_eq!(acme.get(none).await.problem()["code"], "not_found", "{none}");
    }
    assert_eq!(rival.get(ITEMS).await.json()["data"], json!([]));
    api.stop().await;
}

#[tokio::test]
async fn what_is_counted_is_known() {
    let shop = Shop::open().await;
    let nameless = Order { item: None, ..Order::new("acme", "a3") };
    shop.sell(&[Order::new("acme", "a1"), Order::new("acme", "a2").of("mug", "1", "2", "EUR"), nameless]).await;
    let acme = shop.client("acme").await;
    let known = acme.get(ITEMS).await.json();
    assert_eq!(known["data"], json!([{ "value": null }, { "value": "mug" }, { "value": "tea" }]));
    assert_eq!(acme.get(&ITEMS.replace("item", "channel")).await.json()["data"], json!([]), "it is in no grouping set");
    shop.close().await;
}

#[tokio::test]
async fn no_value_begins_with_a_prefix_that_is_longer_than_a_key() {
    let deployment = known(&[("acme", Group::Text("mug".to_owned()))]).await;
    let ingest = deployment.start_ingest().await;
    let api = deployment.start_api().await;
    let (acme, long) = (api.client(deployment.key_of("acme").await), "a".repeat(1_100));
    assert_eq!(acme.get(&format!("{ITEMS}?prefix={long}")).await.json()["data"], json!([]));
    let values = acme.get(&format!("/v1/metrics/sales/values?group_by=item&filter[item]={long}")).await.json();
    assert_eq!(values["data"], json!([]), "{values}");
    api.stop().await;
    ingest.stop().await;
}
