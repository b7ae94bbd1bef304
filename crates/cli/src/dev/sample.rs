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
/// Stock changes once in so many pauses: slow enough for people to follow what is told of it.
const STOCK_EVERY: usize = 3;
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

/// What every row calls low.
const REORDER_POINT: u32 = 10;
/// Of every row, this much is sold already.
const COMMITTED: u32 = 2;
/// The first row begins with so much, each further one with [`STOCK_STEP`] more: one is low within seconds, and they do not all follow at once.
const FIRST_STOCK: u32 = REORDER_POINT + COMMITTED + 1;
const STOCK_STEP: u32 = 3;
/// With so much left or less, a row is refilled when its turn comes.
const REFILLED_AT: u32 = 6;

/// The tenants that the sample data belongs to.
pub(crate) fn tenants() -> impl Iterator<Item = TenantId> {
    TENANTS.into_iter().map(|id| TenantId::new(id).expect("a tenant id"))
}

/// The one that the sample stock belongs to. A row is a level, and its key holds no tenant, so all stock is of one.
pub(crate) fn stock_tenant() -> TenantId {
    TenantId::new(TENANTS[0]).expect("a tenant id")
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
    let mut shop = Shop::new(database);
    for _ in 0..if with_orders { FIRST_ORDERS } else { 0 } {
        shop.place_order();
    }
    for row in 0..if with_stock { shop.on_hand.len() } else { 0 } {
        shop.put_stock(row);
    }
    let mut pauses = 0_usize;
    while !stop.is_cancelled() {
        if with_orders {
            shop.change_orders();
        }
        if with_stock && pauses.is_multiple_of(STOCK_EVERY) {
            shop.change_stock();
        }
        pauses += 1;
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
    /// Of each item in each location.
    on_hand: Vec<u32>,
}

impl Shop {
    fn new(database: Database) -> Self {
        let rows = 0..(ITEMS.len() * LOCATIONS.len()) as u32;
        Self {
            database,
            random: StdRng::seed_from_u64(2026),
            next: clock::now().as_millisecond(),
            open: Vec::new(),
            on_hand: rows.map(|row| FIRST_STOCK + row * STOCK_STEP).collect(),
        }
    }

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

    /// Somebody buys, or the supplier comes.
    fn change_stock(&mut self) {
        let row = self.random.random_range(0..self.on_hand.len());
        let left = self.on_hand[row];
        self.on_hand[row] = if left <= REFILLED_AT {
            self.random.random_range(30..60)
        } else {
            left.saturating_sub(self.random.random_range(1..=8))
        };
        self.put_stock(row);
    }

    fn put_stock(&self, row: usize) {
        let (item, _) = ITEMS[row / LOCATIONS.len()];
        let item = json!({
            "item_number": { "S": item },
            "location": { "S": LOCATIONS[row % LOCATIONS.len()] },
            "tenant_id": { "S": stock_tenant().as_str() },
            "on_hand": { "N": self.on_hand[row].to_string() },
            "committed": { "N": COMMITTED.to_string() },
            "reorder_point": { "N": REORDER_POINT.to_string() },
        });
        self.put(STOCK, &item);
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
