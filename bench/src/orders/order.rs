//! An order, and the item that the shop's table has of it.

use serde_json::{Value, json};

use super::{item_number, tenant_name};

/// An order as it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(super) id: usize,
    pub(super) tenant: usize,
    /// RFC 3339, UTC.
    pub(crate) date: String,
    pub(super) item: usize,
    pub(crate) region: &'static str,
    pub(super) channel: &'static str,
    pub(crate) quantity: i64,
    pub(crate) price_cents: i64,
}

impl Order {
    pub(super) fn key(&self) -> Value {
        json!({ "orderid": {"S": format!("order-{:08}", self.id)}, "order_date": {"S": self.date} })
    }

    /// As the table has it.
    pub(crate) fn item_number(&self) -> String {
        item_number(self.item)
    }

    /// About 450 bytes, as orders of shops have.
    pub(super) fn item(&self) -> Value {
        let mut item = self.key();
        let (item_number, price) = (self.item_number(), format!("{}.{:02}", self.price_cents / 100, self.price_cents % 100));
        let rest = json!({
            "tenant_id": {"S": tenant_name(self.tenant)}, "item_number": {"S": item_number}, "region": {"S": self.region},
            "channel": {"S": self.channel}, "quantity": {"N": self.quantity.to_string()}, "unit_price": {"N": price},
            "status": {"S": "paid"}, "currency": {"S": "USD"},
            "customer": {"M": { "id": {"S": format!("customer-{:06}", self.id % 5_000)}, "name": {"S": "Ada Example"}, "vip": {"BOOL": false} }},
            "address": {"M": { "street": {"S": "1 Example Street"}, "city": {"S": "Springfield"}, "code": {"S": "12345"}, "country": {"S": "US"} }},
            "tags": {"L": [{"S": "gift"}, {"S": "newsletter"}]}, "note": {"S": "Leave the parcel with the neighbour on the second floor."},
        });
        let item_fields = item.as_object_mut().into_iter();
        item_fields.for_each(|fields| fields.extend(rest.as_object().cloned().unwrap_or_default()));
        item
    }
}
