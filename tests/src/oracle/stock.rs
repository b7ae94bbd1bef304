//! The second opinion on stock: what the levels must be, recomputed naively from the items that are there now; and which episodes
//! their alerts must have had, by going through the whole history of the items once.
//!
//! It knows the one inventory of `oracle.yaml`, and rows' own reorder points as the only rule. Lines of plain text are compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::str::FromStr;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use bigdecimal::{BigDecimal, Zero};
use serde_json::Value;

use super::{Item, TABLE, number, text};
use crate::deployment::tables;

/// By `tenant|item#location`.
pub type Levels = BTreeMap<String, String>;
/// What was told of each level's alerts, one list for each; in no order.
pub type Episodes = BTreeMap<String, Vec<Vec<String>>>;
/// Every change of the source in order: whose item, and what it is from then on.
pub type History = Vec<(String, Option<Item>)>;

/// The code of a record that was counted, but whose levels were left as they were.
const LEVEL_UNREADABLE: &str = "level_unreadable";
/// Before what a level's line says about its alert.
const FIRING: &str = ", firing ";

#[derive(Debug, Clone, PartialEq)]
struct Level {
    key: String,
    on_hand: BigDecimal,
    reserved: BigDecimal,
    reorder_point: Option<BigDecimal>,
}

/// An alert that fires.
struct Firing {
    point: BigDecimal,
    /// How much was available when it last changed.
    shown: BigDecimal,
    told: Vec<String>,
}

/// Holds what is stored to the items that are there.
///
/// # Panics
/// When they differ.
pub async fn check_levels(client: &Client, tenants: &BTreeMap<&str, &str>) {
    check_levels_beside(client, tenants, None).await;
}

/// The same. Of the levels of one tenant, which has rules of its own, it is not compared whether an alert fires, nor anything of those
/// that the quarantine says were left as they were.
///
/// # Panics
/// When they differ.
pub async fn check_levels_beside(client: &Client, tenants: &BTreeMap<&str, &str>, with_rules: Option<&str>) {
    let scan = client.scan().table_name(TABLE).consistent_read(true).send().await.expect("readable");
    assert!(scan.last_evaluated_key.is_none(), "the items are more than a page");
    let levels = scan.items().iter().filter_map(|item| level_of(item, tenants));
    let mut expected: Levels = levels.map(|level| (level.key.clone(), level.line())).collect();
    let rows = rows(client).await;
    let mut stored = stored_levels(&rows);
    if let Some(tenant) = with_rules {
        let left = reasons_of_levels_left(&rows, tenant);
        let is_left = |key: &str| {
            let item = key.split_once('|').and_then(|(_, level)| level.split_once('#')).map(|(item, _)| format!("`{item}`"));
            is_of(key, tenant) && item.is_some_and(|item| left.iter().any(|reason| reason.contains(&item)))
        };
        expected.retain(|key, _| !is_left(key));
        stored.retain(|key, _| !is_left(key));
    }
    for (key, line) in expected.iter_mut().chain(&mut stored) {
        if with_rules.is_some_and(|tenant| is_of(key, tenant)) {
            line.truncate(line.find(FIRING).expect("every line says it"));
        }
    }
    assert_same("levels", &expected, &stored);
}

/// Holds what is stored of alerts and their events to the history of the items.
///
/// # Panics
/// When they differ.
pub async fn check_episodes(client: &Client, tenants: &BTreeMap<&str, &str>, history: &History) {
    check_episodes_beside(client, tenants, history, None).await;
}

/// The same, but for the episodes of one tenant, which has rules of its own. What is stored of them must still be consistent: each alert
/// has its events without a gap, its copy in its level's row, and is listed exactly while it fires.
///
/// # Panics
/// When they differ, or are not consistent.
pub async fn check_episodes_beside(client: &Client, tenants: &BTreeMap<&str, &str>, history: &History, with_rules: Option<&str>) {
    let (mut expected, mut stored) = (episodes(history, tenants), stored_episodes(&rows(client).await));
    let is_compared = |key: &String| with_rules.is_none_or(|tenant| !is_of(key, tenant));
    expected.retain(|key, _| is_compared(key));
    stored.retain(|key, _| is_compared(key));
    assert_same("episodes", &expected, &stored);
}

/// Why records of a tenant were set aside whose levels stayed as they were. Each names the item.
fn reasons_of_levels_left<'a>(rows: &'a [Item], tenant: &str) -> Vec<&'a str> {
    let of_tenant = format!("T#{tenant}#Q#");
    let is_left = |row: &&Item| text(&row["pk"]).starts_with(&of_tenant) && row.get("code").map(text) == Some(LEVEL_UNREADABLE);
    rows.iter().filter(is_left).map(|row| text(&row["reason"])).collect()
}

/// Whether a level is a tenant's.
fn is_of(level: &str, tenant: &str) -> bool {
    level.split_once('|').is_some_and(|(of, _)| of == tenant)
}

impl Level {
    fn available(&self) -> BigDecimal {
        &self.on_hand - &self.reserved
    }

    fn is_low(&self) -> bool {
        self.reorder_point.as_ref().is_some_and(|point| self.available() <= *point)
    }

    fn line(&self) -> String {
        let point = self.reorder_point.as_ref().map(plain);
        let (on_hand, reserved) = (plain(&self.on_hand), plain(&self.reserved));
        format!("{on_hand} on hand, {reserved} committed, 0 incoming, reorder point {point:?}{FIRING}{}", self.is_low())
    }
}

/// The level an item is; `None`: it cannot be read.
fn level_of(item: &Item, tenants: &BTreeMap<&str, &str>) -> Option<Level> {
    let tenant = match item.get("tenant_id") {
        None => "demo",
        Some(AttributeValue::S(text)) if tenants.contains_key(text.as_str()) => text,
        Some(_) => return None,
    };
    let region = match item.get("region") {
        None => "depot".to_owned(),
        Some(AttributeValue::S(text)) => text.replace('%', "%25").replace('#', "%23"),
        Some(other) => panic!("the histories have no {other:?} here"),
    };
    let optional = |name: &str| match item.get(name) {
        None | Some(AttributeValue::Null(_)) => Some(None),
        some => quantity(some).map(Some),
    };
    Some(Level {
        key: format!("{tenant}|{}#{region}", text(&item["id"])),
        on_hand: quantity(item.get("quantity"))?,
        reserved: optional("reserved")?.unwrap_or_else(BigDecimal::zero),
        reorder_point: optional("unit_price")?,
    })
}

/// A number that is counted: below 10^38, with at most 20 digits after the point and 38 in all.
fn quantity(value: Option<&AttributeValue>) -> Option<BigDecimal> {
    let value = number(value)?.normalized();
    let is_counted = value.abs() < BigDecimal::new(1.into(), -38) && value.fractional_digit_count() <= 20 && value.digits() <= 38;
    is_counted.then_some(value)
}

fn episodes(history: &History, tenants: &BTreeMap<&str, &str>) -> Episodes {
    let (mut done, mut firing) = (Episodes::new(), HashMap::<String, Firing>::new());
    let mut now: HashMap<&str, Level> = HashMap::new();
    let mut end = |key: &str, mut alert: Firing, why: &str, available: &BigDecimal| {
        alert.told.push(format!("2 resolved {why} {}", plain(available)));
        done.entry(key.to_owned()).or_default().push(alert.told);
    };
    for (id, item) in history {
        let before = now.remove(id.as_str());
        let after = item.as_ref().and_then(|item| level_of(item, tenants));
        if let Some(before) = before.filter(|before| after.as_ref().is_none_or(|after| after.key != before.key))
            && let Some(alert) = firing.remove(&before.key)
        {
            let shown = alert.shown.clone();
            end(&before.key, alert, "item_deleted", &shown);
        }
        let Some(level) = after else { continue };
        let available = level.available();
        match (firing.remove(&level.key), &level.reorder_point) {
            (None, Some(point)) if level.is_low() => {
                let told = vec![format!("1 fired warning {}", plain(&available))];
                firing.insert(level.key.clone(), Firing { point: point.clone(), shown: available, told });
            }
            (None, _) => {}
            (Some(alert), None) => end(&level.key, alert, "rule_deleted", &available),
            (Some(alert), Some(point)) if level.is_low() => {
                let shown = if alert.point == *point { alert.shown } else { available };
                firing.insert(level.key.clone(), Firing { point: point.clone(), shown, told: alert.told });
            }
            (Some(alert), Some(_)) => {
                let why = if available > alert.point { "recovered" } else { "rule_changed" };
                end(&level.key, alert, why, &available);
            }
        }
        now.insert(id, level);
    }
    for (key, alert) in firing {
        done.entry(key).or_default().push(alert.told);
    }
    done.values_mut().for_each(|episodes| episodes.sort());
    done
}

async fn rows(client: &Client) -> Vec<Item> {
    let mut pages = client.scan().table_name(tables().data).consistent_read(true).into_paginator().items().send();
    let mut rows = Vec::new();
    while let Some(row) = pages.next().await {
        rows.push(row.expect("the data table can be read"));
    }
    rows
}

/// The rows of a family, `T#<tenant>#<family>#…`, each with its tenant, what follows in its partition key, and its sort key.
fn family<'a>(rows: &'a [Item], family: &'a str) -> impl Iterator<Item = (&'a str, &'a str, &'a str, &'a Item)> {
    rows.iter().filter_map(move |row| {
        let (tenant, rest) = text(&row["pk"]).strip_prefix("T#")?.split_once('#')?;
        let of = rest.strip_prefix(family)?.strip_prefix('#').or_else(|| (rest == family).then_some(""))?;
        Some((tenant, of, text(&row["sk"]), row))
    })
}

fn stored_levels(rows: &[Item]) -> Levels {
    let mut levels = Levels::new();
    let mut order: BTreeMap<(&str, &str), BigDecimal> = BTreeMap::new();
    for (tenant, inventory, sk, row) in family(rows, "I") {
        assert_eq!(inventory, "stock");
        let quantity = |name: &str| number(row.get(name));
        let standing: Value = serde_json::from_str(text(&row["standing"])).expect("JSON");
        let [on_hand, committed, incoming] = ["on_hand", "committed", "incoming"].map(|name| quantity(name).expect("a number"));
        let point = quantity("reorder_point").as_ref().map(plain);
        let is_firing = standing.get("firing").is_some_and(|alert| {
            assert_eq!(*alert, alert_of(rows, tenant, text_of(&alert["id"])), "a row's alert is the one that is shown");
            true
        });
        let line = format!(
            "{} on hand, {} committed, {} incoming, reorder point {point:?}{FIRING}{is_firing}",
            plain(&on_hand),
            plain(&committed),
            plain(&incoming)
        );
        levels.insert(format!("{tenant}|{sk}"), line);
        let spread = text(&row["index_pk"]).strip_prefix(text(&row["pk"])).and_then(|rest| rest.strip_prefix('#'));
        assert!(matches!(spread, Some("0" | "1" | "2" | "3")), "where levels are ordered: {row:?}");
        order.insert((tenant, text(&row["index_sk"])), on_hand - committed);
    }
    let ordered: Vec<_> = order.iter().map(|((tenant, _), available)| (tenant, available)).collect();
    assert!(ordered.is_sorted(), "the index has levels in the order of what is available: {order:#?}");
    levels
}

fn stored_episodes(rows: &[Item]) -> Episodes {
    let mut events: BTreeMap<(&str, &str), BTreeMap<u64, Value>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for (tenant, alert, sequence, row) in family(rows, "AE") {
        let AttributeValue::B(body) = &row["body"] else { panic!("a body is bytes") };
        let body: Value = serde_json::from_slice(body.as_ref()).expect("JSON");
        let sequence: u64 = sequence.parse().expect("a number");
        assert_eq!(body["data"]["sequence"], sequence, "{body}");
        assert_eq!(body["type"], text(&row["type"]), "{body}");
        assert!(ids.insert(text(&row["id"])), "an event's id is its own");
        events.entry((tenant, alert)).or_default().insert(sequence, body);
    }
    for (tenant, of, id, row) in family(rows, "ALERTS").filter(|(_, of, id, _)| of.is_empty() && id.starts_with("alr_")) {
        let alert: Value = serde_json::from_str(text(&row["alert"])).expect("JSON");
        let told = events.get(&(tenant, id)).unwrap_or_else(|| panic!("nothing was told of {alert}, {of}"));
        let last = alert["sequence"].as_u64().expect("a number");
        assert!(told.keys().copied().eq(1..=last), "{alert}, of which was told {told:?}");
        let (is_firing, last) = (alert["state"] == "firing", &told[&last]);
        assert_eq!(is_firing, last["type"] != "inventory.alert.resolved", "{alert}");
        assert_eq!(row.contains_key("index_pk"), is_firing, "{alert} is listed while it fires");
    }
    let mut episodes = Episodes::new();
    for ((tenant, alert), told) in events {
        alert_of(rows, tenant, alert);
        let about = |name: &str| text_of(&told[&1]["data"]["alert"][name]).replace('%', "%25").replace('#', "%23");
        let key = format!("{tenant}|{}#{}", about("item"), about("location"));
        episodes.entry(key).or_default().push(told.values().map(line_of).collect());
    }
    episodes.values_mut().for_each(|episodes| episodes.sort());
    episodes
}

/// # Panics
/// When it is not stored.
fn alert_of(rows: &[Item], tenant: &str, id: &str) -> Value {
    let stored = family(rows, "ALERTS").find(|(of, _, stored, _)| (*of, *stored) == (tenant, id));
    let (.., row) = stored.unwrap_or_else(|| panic!("{id} is not stored"));
    serde_json::from_str(text(&row["alert"])).expect("JSON")
}

fn line_of(event: &Value) -> String {
    let alert = &event["data"]["alert"];
    let kind = text_of(&event["type"]).rsplit('.').next().unwrap_or_default().to_owned();
    let what = if kind == "resolved" { &alert["resolved_reason"] } else { &alert["severity"] };
    let available = BigDecimal::from_str(text_of(&alert["available"])).expect("a decimal");
    format!("{} {kind} {} {}", event["data"]["sequence"], text_of(what), plain(&available))
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn plain(number: &BigDecimal) -> String {
    number.normalized().to_plain_string()
}

/// Says what differs, not all there is.
fn assert_same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &BTreeMap<String, T>, stored: &BTreeMap<String, T>) {
    let keys: BTreeSet<&String> = expected.keys().chain(stored.keys()).collect();
    let differing = keys.into_iter().filter(|key| expected.get(*key) != stored.get(*key));
    let shown = |key: &String| format!("{key}\n  expected {:?}\n  stored   {:?}", expected.get(key), stored.get(key));
    let shown: Vec<String> = differing.take(5).map(shown).collect();
    assert!(shown.is_empty(), "{what} differ:\n{}", shown.join("\n"));
}
