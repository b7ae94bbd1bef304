//! The source's history: random changes of a few orders, as the oracle's table has them.

use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// The tenants that are created, and their zones.
pub(crate) const ZONES: [(&str, &str); 4] =
    [("demo", "UTC"), ("acme", "America/Santiago"), ("Zed-9", "Asia/Kathmandu"), (HOSTILE, "Europe/Berlin")];
/// The tenant that disturbs the others as much as it can; see `hostile`.
pub(crate) const HOSTILE: &str = "mallory";
/// Orders that change. Few, so that most changes are edits.
const ORDERS: usize = 10;
/// Exact quantities are below this, and have so many digits behind the point at most. Times a price of three digits and two behind
/// the point, and summed over all orders, that is 36 digits: what takes more than DynamoDB's 38 is marked broken, another test's.
const QUANTITY_END: i64 = 1_000_000_000_000_000;
const FRACTION_MAX: u32 = 15;

/// One change of the source.
#[derive(Debug)]
pub(crate) enum Change {
    Put(Value),
    Delete(Value),
}

impl Change {
    pub(crate) fn draw(random: &mut StdRng) -> Self {
        let id = json!({"S": format!("order-{}", random.random_range(0..ORDERS))});
        if random.random_ratio(1, 6) { Self::Delete(json!({ "id": id })) } else { Self::Put(order(id, random)) }
    }
}

/// When the simulated world begins: a few hours before Santiago's clocks change.
pub(crate) fn beginning() -> Timestamp {
    "2026-09-05T22:00:00Z".parse().expect("an instant")
}

fn order(id: Value, random: &mut StdRng) -> Value {
    let mut order = json!({ "id": id });
    let text = |text: &str| Some(json!({ "S": text }));
    let tenant = match random.random_range(0..16) {
        // Most often the same one, so that items stay where they are.
        0..8 => None,
        8..10 => text("acme"),
        10..12 => text("Zed-9"),
        12 | 13 => text(HOSTILE),
        14 => text("no tenant"),
        _ => Some(json!({"N": "7"})),
    };
    let quantity = match random.random_range(0..11) {
        0..8 => Some(json!({"N": random.random_range(-50_i64..500).to_string()})),
        8 | 9 => {
            Some(json!({"N": format!("{}E-{}", random.random_range(1..QUANTITY_END), random.random_range(0..=FRACTION_MAX))}))
        }
        _ => text("many"),
    };
    let price = match random.random_range(0..9) {
        0 => None,
        _ => Some(json!({"N": format!("{}.{:02}", random.random_range(0..1_000), random.random_range(0..100))})),
    };
    let ago = |hours: i64| beginning() - SignedDuration::from_hours(hours);
    let date = match random.random_range(0..12) {
        0..6 => text(&ago(random.random_range(0..1_400)).to_string()),
        6 | 7 => Some(json!({"N": ago(random.random_range(0..1_400)).as_second().to_string()})),
        8 => text("2026-09-06"),
        9 => text("2026-09-06T00:30:00"),
        // Too old for a 15-minute row.
        10 => text(&ago(24 * 450).to_string()),
        _ => text("soon"),
    };
    let reserved = match random.random_range(0..5) {
        0 | 1 => Some(json!({"N": random.random_range(0..100).to_string()})),
        _ => None,
    };
    let one_of = |values: &[Option<&str>], random: &mut StdRng| values[random.random_range(0..values.len())].and_then(text);
    let attributes = [
        ("tenant_id", tenant),
        ("quantity", quantity),
        ("unit_price", price),
        ("reserved", reserved),
        ("order_date", date),
        ("item_number", one_of(&[Some("tea"), Some("mug"), Some("a#b%"), None], random)),
        ("region", one_of(&[Some("north"), Some("north"), Some("north"), Some(""), None], random)),
        ("status", one_of(&[None, Some("placed"), Some("cancelled")], random)),
        ("currency", one_of(&[None, Some("EUR"), Some("USD")], random)),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            order[name] = value;
        }
    }
    order
}
