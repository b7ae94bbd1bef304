//! Which level an image is, and which images are none.

use serde_json::{Value, json};

use super::*;
use crate::definition::Definitions;

const FILE: &str = "
sources:
  stock: { table: Stock, tenant: { constant: acme } }
  orders: { table: Orders, tenant: { constant: acme } }
inventory:
  full:
    source: stock
    item: sku
    location: { attribute: site, default: depot }
    on_hand: on_hand
    committed: { attribute: committed, default: 0.5 }
    incoming: incoming
    reorder_point: reorder
  plain: { source: stock, item: sku, on_hand: on_hand }
  sold: { source: orders, item: sku, on_hand: on_hand }
";

fn image(changes: Value) -> Image {
    let mut item = json!({
        "sku": {"S": "tea"}, "site": {"S": "berlin-1"},
        "on_hand": {"N": "12"}, "committed": {"N": "5.50"}, "incoming": {"N": "4E1"}, "reorder": {"N": "-0.0"},
    });
    for (name, value) in changes.as_object().expect("an object") {
        item[name] = value.clone();
    }
    item.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    serde_json::from_value(item).expect("DynamoDB JSON")
}

fn levels(changes: Value) -> Levels {
    let running = Running::first(&Definitions::parse(FILE).unwrap_or_else(|invalid| panic!("{invalid}")));
    let tenant = TenantId::new("acme").expect("an id");
    of_image(&running, &SourceName::new("stock").expect("a name"), &image(changes), &tenant)
}

/// The level of the inventory `full` as `item#location on_hand committed incoming reorder_point available`, or why there is none.
fn full(changes: Value) -> String {
    let levels = levels(changes);
    let of_full = |key: &LevelKey| key.inventory.as_str() == "full";
    match levels.levels.iter().find(|(key, _)| of_full(key)) {
        Some((key, level)) => {
            let Level { on_hand, committed, incoming, reorder_point } = level;
            let reorder_point = reorder_point.as_ref().map_or_else(|| "-".to_owned(), Decimal::to_string);
            format!("{} {on_hand} {committed} {incoming} {reorder_point} {}", key.encoded(), level.available())
        }
        None => levels.unreadable[0].to_string(),
    }
}

#[test]
fn an_image_is_one_level_in_every_inventory_of_its_source() {
    let levels = levels(json!({}));
    assert_eq!(levels.unreadable, []);
    let keys: Vec<String> = levels.levels.iter().map(|(key, _)| format!("{} {}", key.inventory, key.encoded())).collect();
    assert_eq!(keys, ["full tea#berlin-1", "plain tea#main"]);
    let (_, plain) = &levels.levels[1];
    assert_eq!((&plain.committed, &plain.reorder_point), (&Decimal::zero(), &None), "quantities the inventory does not have");
}

#[test]
fn quantities_and_names_are_read_by_their_value() {
    for (changes, expected) in [
        (json!({}), "tea#berlin-1 12 5.5 40 0 6.5"),
        (json!({ "sku": {"N": "7.0"}, "site": {"BOOL": true} }), "7#true 12 5.5 40 0 6.5"),
        (json!({ "sku": {"S": "a#b%"} }), "a%23b%25#berlin-1 12 5.5 40 0 6.5"),
        (json!({ "site": null }), "tea#depot 12 5.5 40 0 6.5"),
        (json!({ "site": {"NULL": true} }), "tea#depot 12 5.5 40 0 6.5"),
        (json!({ "committed": null }), "tea#berlin-1 12 0.5 40 0 11.5"),
        (json!({ "on_hand": {"N": "-3"} }), "tea#berlin-1 -3 5.5 40 0 -8.5"),
        (json!({ "reorder": null }), "tea#berlin-1 12 5.5 40 - 6.5"),
        (json!({ "reorder": {"NULL": true} }), "tea#berlin-1 12 5.5 40 - 6.5"),
    ] {
        assert_eq!(full(changes.clone()), expected, "{changes}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let nines = "99999999999999999999999999999999999999";
    for (changes, expected) in [
        (json!({ "sku": null }), "the attribute `sku` is missing"),
        (json!({ "sku": {"L": []} }), "the attribute `sku` is of type L; S, N or BOOL is needed"),
        (json!({ "site": {"M": {}} }), "the attribute `site` is of type M; S, N or BOOL is needed"),
        (json!({ "on_hand": null }), "the attribute `on_hand` is missing"),
        (json!({ "on_hand": {"S": "12"} }), "the attribute `on_hand` is of type S; N is needed"),
        (json!({ "committed": {"BOOL": true} }), "the attribute `committed` is of type BOOL; N is needed"),
        (json!({ "incoming": null }), "the attribute `incoming` is missing"),
        (json!({ "reorder": {"S": "10"} }), "the attribute `reorder` is of type S; N is needed"),
        (
            json!({ "reorder": {"N": "1e38"} }),
            "`1e38` is beyond what is counted: less than 10^38, at most 20 digits after the point, at most 38 significant digits",
        ),
        (
            json!({ "on_hand": {"N": nines}, "committed": {"N": "0.5"} }),
            "`99999999999999999999999999999999999998.5` is beyond what is counted: less than 10^38, at most 20 digits after the \
             point, at most 38 significant digits",
        ),
    ] {
        assert_eq!(full(changes.clone()), format!("inventory `full`: {expected}"), "{changes}");
    }
    let codes: Vec<&str> = levels(json!({ "on_hand": null })).unreadable.iter().map(Unreadable::code).collect();
    assert_eq!(codes, ["level", "level"]);
    assert_eq!(levels(json!({ "incoming": null })).levels.len(), 1, "an inventory does not suffer from another's attributes");
}

#[test]
fn a_key_has_room_for_what_the_index_puts_before_it() {
    let of_length = |bytes: usize| full(json!({ "sku": {"S": "x".repeat(bytes - "#berlin-1".len())} }));
    assert!(of_length(KEY_BYTES_MAX).starts_with("xxx"));
    assert_eq!(
        of_length(KEY_BYTES_MAX + 1),
        "inventory `full`: its item and location need a key of 980 bytes; at most 979 are possible"
    );
}

#[test]
fn a_level_is_out_before_it_is_low() {
    let level = |on_hand: i64| Level {
        on_hand: Decimal::from(on_hand),
        committed: Decimal::one(),
        incoming: Decimal::from(100),
        reorder_point: Some(Decimal::from(100)),
    };
    for (on_hand, expected) in [(0, Status::Out), (1, Status::Out), (2, Status::Ok)] {
        assert_eq!(level(on_hand).status(&Standing::Clear), expected, "{on_hand}");
    }
}
