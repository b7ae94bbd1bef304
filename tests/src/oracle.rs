//! The second opinion: what the aggregates must be, recomputed naively from the items that are there now.
//!
//! It shares no code with `tidemark_domain`'s contributions: its own parsing, its own buckets, plain big decimals, one loop per
//! item. It knows just the one definition file of the exactness tests, `oracle.yaml`, and is read beside it. Levels and alerts are
//! in `stock`.

pub mod stock;

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use bigdecimal::{BigDecimal, Zero};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::Deployment;
use crate::deployment::tables;

/// The definition file that the oracle understands.
pub const DEFINITIONS: &str = include_str!("oracle.yaml");
/// Its source table.
pub const TABLE: &str = "Orders";
/// Every value that is not zero, by `tenant|set|groups|currency|bucket|measure`.
pub type Cells = BTreeMap<String, BigDecimal>;

/// An item of the source table.
pub type Item = HashMap<String, AttributeValue>;

/// What the rows must hold, given the items and each tenant's zone.
pub fn expected(items: &[Item], zones: &BTreeMap<&str, &str>, now: Timestamp) -> Cells {
    let mut cells = Cells::new();
    for item in items {
        count(item, zones, now, &mut cells);
    }
    cells.retain(|_, value| !value.is_zero());
    cells
}

/// What the rows of a deployment do hold.
///
/// # Panics
/// As [`stored_by`] does.
pub async fn stored(deployment: &Deployment) -> Cells {
    stored_by(&deployment.world.dynamodb()).await
}

/// What the rows do hold: a scan of the data table, its keys taken apart by hand.
///
/// # Panics
/// When a key is not as DESIGN §5 says, or a row is marked broken: the histories have no sums of 39 digits.
pub async fn stored_by(client: &aws_sdk_dynamodb::Client) -> Cells {
    let mut cells = Cells::new();
    let mut pages = client.scan().table_name(tables().data).consistent_read(true).into_paginator().items().send();
    while let Some(item) = pages.next().await {
        let item = item.expect("the data table can be read");
        let (pk, sk) = (text(&item["pk"]), text(&item["sk"]));
        let Some((tenant, row)) = pk.strip_prefix("T#").and_then(|rest| rest.split_once("#M#")) else { continue };
        let [family, "g1", chunk, "L0"] = row.split('#').collect::<Vec<_>>()[..] else { panic!("{pk}") };
        let set = family.strip_prefix("sales.").expect("the one metric").replace('*', "");
        let mut parts: Vec<&str> = sk.split('#').collect();
        let (bucket, currency) = (parts.pop().expect("a bucket"), parts.pop().expect("a currency"));
        assert!(!item.contains_key("broken"), "{pk} / {sk} is marked broken");
        assert!(chunk[1..].starts_with(&bucket[..6]), "{pk} / {sk}: a row outside its chunk");
        for (attribute, value) in &item {
            let (Some(measure), AttributeValue::N(number)) = (attribute.strip_prefix("m_"), value) else { continue };
            let cell = format!("{tenant}|{set}|{}|{currency}|{}{bucket}|{measure}", parts.join(","), &chunk[..1]);
            cells.insert(cell, BigDecimal::from_str(number).expect("a decimal"));
        }
    }
    cells.retain(|_, value| !value.is_zero());
    cells
}

fn text(value: &AttributeValue) -> &str {
    value.as_s().expect("a text")
}

fn count(item: &Item, zones: &BTreeMap<&str, &str>, now: Timestamp, cells: &mut Cells) {
    let tenant = match item.get("tenant_id") {
        None => "demo",
        Some(AttributeValue::S(text)) if zones.contains_key(text.as_str()) => text,
        Some(_) => return,
    };
    if matches!(item.get("status"), Some(AttributeValue::S(status)) if status == "cancelled") {
        return;
    }
    let zone = TimeZone::get(zones[tenant]).expect("a zone");
    let Some(instant) = item.get("order_date").and_then(|value| time(value, &zone)) else { return };
    let (Some(quantity), Some(price)) = (number(item.get("quantity")), number(item.get("unit_price"))) else { return };
    let currency = match item.get("currency") {
        None => "USD",
        Some(AttributeValue::S(code)) => code,
        Some(_) => return,
    };
    let quarter = Timestamp::from_second(instant.as_second() / 900 * 900).expect("in range");
    let kept = quarter >= now - (400 * 24).hours();
    let quarter = kept.then(|| quarter.strftime("q%Y%m%dT%H%M").to_string());
    let day = Some(instant.to_zoned(zone).strftime("d%Y%m%d").to_string());
    let group = |name: &str| match item.get(name) {
        None => "%N".to_owned(),
        Some(AttributeValue::S(text)) => text.replace('%', "%25").replace('#', "%23"),
        Some(other) => panic!("the histories have no {other:?} here"),
    };
    let (product, region) = (group("item_number"), group("region"));
    let measures = [("units", quantity.clone()), ("revenue", quantity * price), ("orders", BigDecimal::from(1))];
    for (set, groups) in [
        ("", String::new()),
        ("item", product.clone()),
        ("region", region.clone()),
        ("item+region", format!("{product},{region}")),
    ] {
        for bucket in [&quarter, &day].into_iter().flatten() {
            for (measure, value) in &measures {
                let cell = format!("{tenant}|{set}|{groups}|{currency}|{bucket}|{measure}");
                *cells.entry(cell).or_insert_with(BigDecimal::zero) += value;
            }
        }
    }
}

fn number(value: Option<&AttributeValue>) -> Option<BigDecimal> {
    match value {
        Some(AttributeValue::N(text)) => BigDecimal::from_str(text).ok(),
        _ => None,
    }
}

fn time(value: &AttributeValue, zone: &TimeZone) -> Option<Timestamp> {
    match value {
        AttributeValue::N(number) => {
            let number: i64 = number.parse().ok()?;
            if number < 100_000_000_000 { Timestamp::from_second(number) } else { Timestamp::from_millisecond(number) }.ok()
        }
        AttributeValue::S(text) if text.len() == 10 => {
            let date = Date::from_str(text).ok()?;
            zone.to_ambiguous_zoned(date.into()).compatible().ok().map(|zoned| zoned.timestamp())
        }
        AttributeValue::S(text) => match Timestamp::from_str(text) {
            Ok(instant) => Some(instant),
            Err(_) => {
                let local = DateTime::from_str(text).ok()?;
                zone.to_ambiguous_zoned(local).compatible().ok().map(|zoned| zoned.timestamp())
            }
        },
        _ => None,
    }
}
