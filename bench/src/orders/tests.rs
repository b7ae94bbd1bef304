//! The changes fit together, and the totals are those of a naive recount.

use std::collections::BTreeMap;

use super::*;

#[test]
fn changes_follow_each_other_and_add_up_to_the_totals() {
    let mut orders = Orders::new(Mix { items: Items::Zipf(50), dates: Dates::Days(3), tenants: 3 }).expect("a mix");
    // The table as the records leave it, by the key of the item.
    let mut table = BTreeMap::<String, Value>::new();
    let mut kinds = BTreeMap::<String, usize>::new();
    for record in orders.records(5_000) {
        let change = &record["dynamodb"];
        let key = change["Keys"].to_string();
        assert_eq!(table.get(&key), change.get("OldImage"), "the old image is what the table has");
        assert_ne!(change.get("OldImage"), change.get("NewImage"), "a change changes something");
        match change.get("NewImage") {
            Some(image) => table.insert(key, image.clone()),
            None => table.remove(&key),
        };
        *kinds.entry(record["eventName"].as_str().expect("a name").to_owned()).or_default() += 1;
    }
    assert!(["INSERT", "MODIFY", "REMOVE"].iter().all(|kind| kinds[*kind] > 100), "{kinds:?}");
    for (tenant, total) in orders.totals() {
        let of_tenant = table.values().filter(|item| item["tenant_id"]["S"] == tenant);
        let units =
            of_tenant.clone().map(|item| item["quantity"]["N"].as_str().expect("a number").parse::<i64>().expect("whole"));
        assert_eq!(total, Total { orders: of_tenant.count() as u64, units: units.sum() }, "{tenant}");
    }
}

#[test]
fn every_run_draws_the_same_changes() {
    let draw = || {
        let mut orders = Orders::new(Mix { items: Items::Zipf(200), dates: Dates::Minute, tenants: 2 }).expect("a mix");
        (0..100).map(|_| orders.change()).collect::<Vec<_>>()
    };
    assert_eq!(draw(), draw());
}

#[test]
fn popular_items_are_ordered_more_often() {
    let mut orders = Orders::new(Mix { items: Items::Zipf(100), dates: Dates::Minute, tenants: 1 }).expect("a mix");
    let mut counts = BTreeMap::<String, usize>::new();
    for record in orders.records(10_000) {
        if let Some(item) = record["dynamodb"]["NewImage"]["item_number"]["S"].as_str() {
            *counts.entry(item.to_owned()).or_default() += 1;
        }
    }
    // By the exponent of 1.5, the first item is ordered 32 times as often as the tenth.
    let ratio = counts["item-0000"] as f64 / counts["item-0009"] as f64;
    assert!((20.0..50.0).contains(&ratio), "{ratio}");
}

#[test]
fn orders_of_a_month_are_in_its_first_30_days_and_items_take_turns() {
    let mut orders = Orders::new(Mix { items: Items::InTurn(10), dates: Dates::Month, tenants: 1 }).unwrap();
    orders.records(1_000);
    let month = orders.month();
    assert_eq!((month.day(), month.days_in_month()), (1, 31));
    assert!(month.last_of_month() < clock::now().to_zoned(TimeZone::UTC).date());
    for order in orders.live() {
        let date = order.date.parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC).date();
        assert_eq!((date.first_of_month(), date.day() <= 30), (month, true));
        assert_eq!(order.item, order.id % 10);
    }
}
