//! What the answer to a question must be, and what an answer says, both as whole numbers.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::Value;

use super::TOP;
use crate::baseline::Sums;
use crate::orders::Order;

/// What an answer has a number for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// All orders of a currency.
    Total,
    /// Each day.
    Series,
    /// The items of the largest revenue.
    Groups,
}

/// A currency, a day or an item, and its numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    name: String,
    units: i64,
    cents: i64,
    orders: i64,
}

impl Shape {
    /// Where the sort key of a row has what it is added up by.
    pub(super) fn part_of_key(self) -> usize {
        match self {
            // `USD#20261001` and `item-0001#USD#20261001`.
            Self::Total | Self::Groups => 0,
            Self::Series => 1,
        }
    }

    fn name(self, order: &Order) -> String {
        match self {
            Self::Total => "USD".to_owned(),
            Self::Series => day(&order.date),
            Self::Groups => order.item_number(),
        }
    }
}

/// What the answer for some orders must be.
pub(super) fn of_orders(orders: &[Order], shape: Shape, regions: &[&str]) -> Vec<Numbers> {
    let mut all = BTreeMap::<String, Numbers>::new();
    for order in orders.iter().filter(|order| regions.is_empty() || regions.contains(&order.region)) {
        let name = shape.name(order);
        let numbers = all.entry(name.clone()).or_insert_with(|| Numbers { name, ..Numbers::default() });
        numbers.units += order.quantity;
        numbers.cents += order.quantity * order.price_cents;
        numbers.orders += 1;
    }
    let mut all: Vec<Numbers> = all.into_values().collect();
    if shape == Shape::Groups {
        all.sort_by_key(|numbers| -numbers.cents);
        all.truncate(TOP);
    }
    all
}

/// What an answer of the API says.
///
/// # Errors
/// When it is no answer to such a question.
pub(super) fn of_api(body: &[u8], shape: Shape) -> anyhow::Result<Vec<Numbers>> {
    let answer: Value = serde_json::from_slice(body)?;
    let data = answer["data"].as_array().context("an answer without data")?;
    let numbers = match shape {
        Shape::Total => data.iter().map(|row| numbers(row["currency"].as_str(), row)).collect::<anyhow::Result<Vec<_>>>()?,
        Shape::Groups => data.iter().map(|row| numbers(row["dimensions"]["item"].as_str(), row)).collect::<Result<_, _>>()?,
        Shape::Series => {
            let buckets = data.iter().filter_map(|row| row["buckets"].as_array()).flatten();
            buckets.map(|bucket| numbers(bucket["from"].as_str().map(day).as_deref(), bucket)).collect::<Result<_, _>>()?
        }
    };
    Ok(without_zeros(numbers))
}

/// What an answer of the handler says.
///
/// # Errors
/// When it is none.
pub(super) fn of_handler(body: &[u8]) -> anyhow::Result<Vec<Numbers>> {
    let groups: Vec<Sums> = serde_json::from_slice(body)?;
    let numbers = groups.into_iter().map(|sums| Numbers {
        name: sums.group,
        units: sums.units.round() as i64,
        cents: (sums.revenue * 100.0).round() as i64,
        orders: sums.orders.round() as i64,
    });
    Ok(without_zeros(numbers.collect()))
}

fn numbers(name: Option<&str>, of: &Value) -> anyhow::Result<Numbers> {
    let number = |measure: &str| {
        let number = of["values"][measure].as_str().and_then(|text| text.parse::<f64>().ok());
        number.with_context(|| format!("an answer without {measure}"))
    };
    let name = name.context("numbers of nothing")?.to_owned();
    let (units, orders) = (number("units")?.round() as i64, number("orders")?.round() as i64);
    Ok(Numbers { name, units, cents: (number("revenue")? * 100.0).round() as i64, orders })
}

/// Whether a day on which nothing was ordered is there depends on deleted orders.
fn without_zeros(mut numbers: Vec<Numbers>) -> Vec<Numbers> {
    numbers.retain(|numbers| numbers.orders != 0);
    numbers
}

/// The day of an instant, as sort keys have it: `20261001`.
fn day(instant: &str) -> String {
    instant.chars().take(10).filter(|c| *c != '-').collect()
}
