//! Orders of a shop: as the source table has them, and drawn by a seed.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tidemark_runtime::clock;
use tidemark_tests::Deployment;

use super::TABLE;

/// One order. `None` is an attribute that is not there.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub id: String,
    pub tenant: &'static str,
    pub at: Timestamp,
    pub quantity: String,
    pub unit_price: String,
    pub item: Option<String>,
    pub region: Option<String>,
    /// `None` is US dollars, by the definition.
    pub currency: Option<&'static str>,
    pub cancelled: bool,
}

impl Order {
    /// One piece of tea for 2.50 euros, sold in the north now.
    pub(super) fn new(tenant: &'static str, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            tenant,
            at: clock::now(),
            quantity: "1".to_owned(),
            unit_price: "2.50".to_owned(),
            item: Some("tea".to_owned()),
            region: Some("north".to_owned()),
            currency: Some("EUR"),
            cancelled: false,
        }
    }

    pub(super) fn of(self, item: &str, quantity: &str, unit_price: &str, currency: &'static str) -> Self {
        let (quantity, unit_price) = (quantity.to_owned(), unit_price.to_owned());
        Self { item: Some(item.to_owned()), quantity, unit_price, currency: Some(currency), ..self }
    }

    pub(super) fn at(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }

    /// As DynamoDB JSON.
    pub(super) fn image(&self) -> Value {
        let mut image = json!({
            "id": {"S": self.id}, "tenant_id": {"S": self.tenant}, "order_date": {"S": self.at.to_string()},
            "quantity": {"N": self.quantity}, "unit_price": {"N": self.unit_price},
        });
        let status = self.cancelled.then_some("cancelled");
        let texts = [
            ("item_number", self.item.as_deref()),
            ("region", self.region.as_deref()),
            ("currency", self.currency),
            ("status", status),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                image[name] = json!({ "S": text });
            }
        }
        image
    }

    pub(super) async fn put(&self, deployment: &Deployment) {
        deployment.put(TABLE, self.image()).await;
    }

    /// Any order, at any time near one of the instants or in the last 300 days.
    pub(super) fn any(random: &mut StdRng, id: &str, tenant: &'static str, near: &[Timestamp]) -> Self {
        let now = clock::now();
        let at = match random.random_range(0..10) {
            0..6 => near[random.random_range(0..near.len())] + SignedDuration::from_secs(random.random_range(-172_800..172_800)),
            6..9 => now - SignedDuration::from_secs(random.random_range(0..300 * 86_400)),
            // So old that only day rows count it.
            _ => now - SignedDuration::from_secs(random.random_range(405 * 86_400..800 * 86_400)),
        };
        let text = |drawn: &str| Some(drawn.to_owned()).filter(|text| text != "none");
        Self {
            id: id.to_owned(),
            tenant,
            at: Timestamp::from_second(at.as_second()).unwrap(),
            // Returns are negative, gifts zero.
            quantity: one_of(random, &["1", "2", "7", "0.125", "-1", "0", "1000000000000000"]).to_owned(),
            unit_price: one_of(random, &["0", "2.50", "19.99", "0.333333333"]).to_owned(),
            item: text(one_of(random, &["tea", "mug", "a,b", "ä\\N", "", "none"])),
            region: text(one_of(random, &["north", "south", "none"])),
            currency: one_of(random, &[Some("EUR"), Some("JPY"), None]),
            cancelled: random.random_range(0..12) == 0,
        }
    }
}

pub(super) fn one_of<T: Copy>(random: &mut StdRng, choices: &[T]) -> T {
    choices[random.random_range(0..choices.len())]
}

/// The last instant at which a zone's clock was put forward (`true`) or back. Within a year for zones that change theirs.
pub(super) fn last_change(zone: &str, forward: bool) -> Timestamp {
    let zone = TimeZone::get(zone).unwrap();
    let seconds = |at: Timestamp| zone.to_offset(at).seconds();
    let before = |at: Timestamp| seconds(at - SignedDuration::from_secs(1));
    // Far enough in the past that the days around it are over everywhere.
    let past = clock::now() - SignedDuration::from_hours(96);
    let mut changes = zone.preceding(past).map(|change| change.timestamp());
    changes.find(|at| if forward { seconds(*at) > before(*at) } else { seconds(*at) < before(*at) }).unwrap()
}
