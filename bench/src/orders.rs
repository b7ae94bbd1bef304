//! A shop's changes to its orders, drawn from a seed: new orders, edits and deletions, with both images.

use anyhow::Context;
use aws_sdk_dynamodb::Client;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Unit};
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tidemark_runtime::clock;
use tidemark_tests::deployment::item_of;

pub(crate) use order::Order;

mod order;

const REGIONS: [&str; 3] = ["eu", "us", "ap"];
const CHANNELS: [&str; 2] = ["web", "store"];
/// Of a hundred changes, so many edit an order and so many delete one; the rest are new orders.
const EDITS: u32 = 40;
const DELETIONS: u32 = 5;
/// Edits are of the last orders: so many.
const RECENT: usize = 50;
/// How steeply orders concentrate on few items.
const EXPONENT: f64 = 1.5;
/// Every run draws the same changes.
const SEED: u64 = 20_261_130;

/// How often each item is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Items {
    /// So many items, each as often as the others.
    Uniform(usize),
    /// So many items, of which few make up most of the orders (Zipf, exponent 1.5): with 200 items the first has four orders of ten.
    Zipf(usize),
    /// So many items, ordered in turn: after as many orders each has one.
    InTurn(usize),
}

/// When orders were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dates {
    /// In one minute of yesterday.
    Minute,
    /// In so many days that ended yesterday at midnight (UTC).
    Days(u16),
    /// In the first 30 days of the latest month of 31 days that has ended (UTC): [`Orders::month`].
    Month,
    /// Now.
    Now,
}

/// What a workload consists of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mix {
    pub(crate) items: Items,
    pub(crate) dates: Dates,
    /// Orders are given to the tenants in turn: `t0`, `t1` and so on.
    pub(crate) tenants: usize,
}

/// Draws changes, and knows the totals that are right after them.
pub(crate) struct Orders {
    mix: Mix,
    items: WeightedIndex<f64>,
    random: StdRng,
    live: Vec<Order>,
    made: usize,
    totals: Vec<Total>,
    yesterday: Timestamp,
    month: Timestamp,
}

/// What a tenant's numbers must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) orders: u64,
    pub(crate) units: i64,
}

/// One change of an order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    old: Option<Order>,
    new: Option<Order>,
}

impl Orders {
    /// # Errors
    /// When the mix has no items or no tenants.
    pub(crate) fn new(mix: Mix) -> anyhow::Result<Self> {
        anyhow::ensure!(mix.tenants > 0, "orders belong to a tenant");
        let weights: Vec<f64> = match mix.items {
            Items::Uniform(count) | Items::InTurn(count) => vec![1.0; count],
            Items::Zipf(count) => (1..=count).map(|rank| (rank as f64).powf(-EXPONENT)).collect(),
        };
        let midnight = clock::now()
            .to_zoned(TimeZone::UTC)
            .round(jiff::ZonedRound::new().smallest(Unit::Day).mode(jiff::RoundMode::Floor))?;
        let mut month = midnight.first_of_month()?.yesterday()?.first_of_month()?;
        while month.days_in_month() != 31 {
            month = month.yesterday()?.first_of_month()?;
        }
        Ok(Self {
            mix,
            items: WeightedIndex::new(weights).context("an order is of an item")?,
            random: StdRng::seed_from_u64(SEED),
            live: Vec::new(),
            made: 0,
            totals: vec![Total::default(); mix.tenants],
            yesterday: midnight.timestamp() - SignedDuration::from_hours(24),
            month: month.timestamp(),
        })
    }

    /// The first day of the month that the orders of [`Dates::Month`] are in.
    pub(crate) fn month(&self) -> Date {
        self.month.to_zoned(TimeZone::UTC).date()
    }

    /// The orders that are there after the changes so far.
    pub(crate) fn live(&self) -> &[Order] {
        &self.live
    }

    /// The next change.
    pub(crate) fn change(&mut self) -> Change {
        let kind = self.random.random_range(0..100);
        let change = if self.live.is_empty() || kind >= EDITS + DELETIONS {
            let order = self.order();
            self.live.push(order.clone());
            Change { old: None, new: Some(order) }
        } else {
            if kind < EDITS {
                let index = self.random.random_range(self.live.len().saturating_sub(RECENT)..self.live.len());
                let old = self.live[index].clone();
                // Another quantity: DynamoDB streams no change that changes nothing.
                self.live[index].quantity = (old.quantity + self.random.random_range(0..8)) % 9 + 1;
                Change { old: Some(old), new: Some(self.live[index].clone()) }
            } else {
                let index = self.random.random_range(0..self.live.len());
                Change { old: Some(self.live.swap_remove(index)), new: None }
            }
        };
        for (order, sign) in [(&change.old, -1), (&change.new, 1)] {
            if let Some(order) = order {
                let total = &mut self.totals[order.tenant];
                total.orders = total.orders.saturating_add_signed(sign);
                total.units += sign * order.quantity;
            }
        }
        change
    }

    /// A new order of one unit of an item, which no later change edits or deletes.
    pub(crate) fn order_of(&mut self, item: usize) -> Change {
        let order = Order { item, quantity: 1, ..self.order() };
        let total = &mut self.totals[order.tenant];
        *total = Total { orders: total.orders + 1, units: total.units + 1 };
        Change { old: None, new: Some(order) }
    }

    /// The stream records of the next changes.
    pub(crate) fn records(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.change().record()).collect()
    }

    /// The right totals of all tenants after the changes so far, with their names.
    pub(crate) fn totals(&self) -> Vec<(String, Total)> {
        self.totals.iter().enumerate().map(|(tenant, total)| (tenant_name(tenant), *total)).collect()
    }

    fn order(&mut self) -> Order {
        self.made += 1;
        let seconds = match self.mix.dates {
            Dates::Minute => 12 * 3600 + self.random.random_range(0..60),
            Dates::Days(days) => 86_400 - self.random.random_range(1..=86_400 * i64::from(days)),
            Dates::Month => self.month.as_second() - self.yesterday.as_second() + self.random.random_range(0..86_400 * 30),
            Dates::Now => (clock::now().as_second()) - self.yesterday.as_second(),
        };
        Order {
            id: self.made,
            tenant: self.made % self.mix.tenants,
            date: (self.yesterday + SignedDuration::from_secs(seconds)).to_string(),
            item: match self.mix.items {
                Items::InTurn(count) => self.made % count,
                Items::Uniform(_) | Items::Zipf(_) => self.items.sample(&mut self.random),
            },
            region: REGIONS[self.random.random_range(0..REGIONS.len())],
            channel: CHANNELS[self.random.random_range(0..CHANNELS.len())],
            quantity: self.random.random_range(1..=9),
            price_cents: self.random.random_range(100..=20_000),
        }
    }
}

impl Change {
    /// The record of the change in a stream with both images, without a sequence number.
    pub(crate) fn record(&self) -> Value {
        let name = match (&self.old, &self.new) {
            (None, _) => "INSERT",
            (Some(_), Some(_)) => "MODIFY",
            (Some(_), None) => "REMOVE",
        };
        let mut change = json!({
            "ApproximateCreationDateTime": clock::now().as_second(), "StreamViewType": "NEW_AND_OLD_IMAGES", "SizeBytes": 900,
        });
        let images = [("OldImage", &self.old), ("NewImage", &self.new)];
        for (image, order) in images.into_iter().filter_map(|(image, order)| Some((image, order.as_ref()?))) {
            change["Keys"] = order.key();
            change[image] = order.item();
        }
        json!({
            "eventID": format!("{:032x}", rand::random::<u128>()), "eventName": name, "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1", "dynamodb": change,
        })
    }

    /// The number of the order.
    ///
    /// # Panics
    /// Never: a change has an image.
    pub(crate) fn id(&self) -> usize {
        self.new.as_ref().or(self.old.as_ref()).expect("a change has an image").id
    }

    /// Writes or deletes the item.
    ///
    /// # Errors
    /// When the table does not take it.
    pub(crate) async fn carry_out(&self, client: &Client, table: &str) -> anyhow::Result<()> {
        match self.item() {
            Some(item) => drop(client.put_item().table_name(table).set_item(Some(item_of(&item))).send().await?),
            None => drop(client.delete_item().table_name(table).set_key(Some(item_of(&self.key()))).send().await?),
        }
        Ok(())
    }

    /// The item after the change, as DynamoDB's JSON; `None`: it is deleted.
    pub(crate) fn item(&self) -> Option<Value> {
        self.new.as_ref().map(Order::item)
    }

    /// The key of the item.
    ///
    /// # Panics
    /// Never: a change has an image.
    pub(crate) fn key(&self) -> Value {
        self.new.as_ref().or(self.old.as_ref()).expect("a change has an image").key()
    }
}

/// The name of an item.
pub(crate) fn item_number(item: usize) -> String {
    format!("item-{item:04}")
}

fn tenant_name(tenant: usize) -> String {
    format!("t{tenant}")
}

#[cfg(test)]
mod tests;
