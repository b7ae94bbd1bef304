//! A small shop that never closes: orders that are placed, edited and cancelled, stock that goes down and is refilled.
//!
//! It writes only into tables that look like those of `definitions/retail.yaml`.

use std::time::Duration;

use dynoxide::Database;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tidemark_domain::definition::Source;
use tidemark_domain::{Definitions, TenantId};
use tidemark_runtime::clock;
use tokio_util::sync::CancellationToken;

const ORDERS: &str = "Order_by_item";
const STOCK: &str = "Stock";
const PAUSE: Duration = Duration::from_millis(400);
/// Orders that may still be edited or cancelled.
const OPEN_ORDERS_MAX: usize = 40;
/// How many orders exist before the first question is asked.
const FIRST_ORDERS: usize = 40;

const TENANTS: [&str; 2] = ["demo", "acme"];
const ITEMS: [(&str, &str); 6] = [
    ("sku_tea", "4.9"),
    ("sku_mug", "12.5"),
    ("sku_kettle", "39"),
    ("sku_honey", "7.25"),
    ("sku_filter", "3.99"),
    ("sku_tray", "18"),
];
const REGIONS: [&str; 3] = ["north", "south", "west"];
const CHANNELS: [&str; 2] = ["web", "store"];
const LOCATIONS: [&str; 2] = ["berlin-1", "lyon-2"];

/// The tenants that the sample data belongs to.
pub(crate) fn tenants() -> impl Iterator<Item = TenantId> {
    TENANTS.into_iter().map(|id| TenantId::new(id).expect("a tenant id"))
}

/// Writes until asked to stop.
pub(crate) async fn write(database: Database, definitions: Definitions, stop: CancellationToken) {
    let has = |table: &str, partition: &str| {
        let fits = |source: &Source| source.table == table && source.key.as_ref().is_some_and(|key| key.partition == partition);
        definitions.sources.values().any(fits)
    };
    let (with_orders, with_stock) = (has(ORDERS, "orderid"), has(STOCK, "item_number"));
    if !with_orders && !with_stock {
        tracing::info!("no sample data: it is for tables {ORDERS} and {STOCK} as definitions/retail.yaml has them");
        return;
    }
    let mut shop = Shop { database, random: StdRng::seed_from_u64(2026), next: clock::now().as_millisecond(), open: Vec::new() };
    for _ in 0..if with_orders { FIRST_ORDERS } else { 0 } {
        shop.place_order();
    }
    while !stop.is_cancelled() {
        if with_orders {
            shop.change_orders();
        }
        if with_stock {
            shop.change_stock();
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}

struct Shop {
    database: Database,
    random: StdRng,
    /// The next order's number.
    next: i64,
    open: Vec<Value>,
}

impl Shop {
    fn change_orders(&mut self) {
        match self.random.random_range(0..10) {
            0 if !self.open.is_empty() => self.edit_order(),
            1 if !self.open.is_empty() => self.cancel_order(),
            _ => self.place_order(),
        }
    }

    fn place_order(&mut self) {
        let (item, price) = self.pick(&ITEMS);
        let tenant = self.pick(&TENANTS);
        let order = json!({
            "orderid": { "S": format!("order-{}", self.next) },
            "order_date": { "S": clock::now().to_string() },
            "tenant_id": { "S": tenant },
            "item_number": { "S": item },
            "quantity": { "N": self.random.random_range(1..=5).to_string() },
            "unit_price": { "N": price },
            "currency": { "S": if tenant == "acme" { "EUR" } else { "USD" } },
            "region": { "S": self.pick(&REGIONS) },
            "channel": { "S": self.pick(&CHANNELS) },
            "status": { "S": "placed" },
        });
        self.next += 1;
        self.put(ORDERS, &order);
        if self.open.len() == OPEN_ORDERS_MAX {
            self.open.remove(0);
        }
        self.open.push(order);
    }

    fn edit_order(&mut self) {
        let index = self.random.random_range(0..self.open.len());
        let quantity = self.random.random_range(1..=9).to_string();
        self.open[index]["quantity"]["N"] = json!(quantity);
        let order = self.open[index].clone();
        self.put(ORDERS, &order);
    }

    fn cancel_order(&mut self) {
        let index = self.random.random_range(0..self.open.len());
        let mut order = self.open.remove(index);
        order["status"]["S"] = json!("cancelled");
        self.put(ORDERS, &order);
    }

    fn change_stock(&mut self) {
        let (item, _) = self.pick(&ITEMS);
        let row = json!({
            "item_number": { "S": item },
            "location": { "S": self.pick(&LOCATIONS) },
            // One row is one level: its key holds no tenant, so all stock is of one.
            "tenant_id": { "S": TENANTS[0] },
            "on_hand": { "N": self.random.random_range(0..60).to_string() },
            "committed": { "N": self.random.random_range(0..10).to_string() },
            "reorder_point": { "N": "10" },
        });
        self.put(STOCK, &row);
    }

    fn put(&self, table: &str, item: &Value) {
        let request =
            serde_json::from_value(json!({ "TableName": table, "Item": item })).expect("a request of the emulator's own form");
        if let Err(error) = self.database.put_item(request) {
            tracing::warn!(%error, table, "a sample item was not written");
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }
}
