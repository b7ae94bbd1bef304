//! What one image of a source item says is in stock: the level of one item at one location.
//!
//! A level is a function of the item's last image alone. An image that cannot be read has no level, on either side of a change, just
//! as it contributes nothing to a metric.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::alert::Standing;
use crate::contribution::{NumberProblem, Unreadable, number, present};
use crate::decimal::{Decimal, ORDER_TEXT_BYTES_MAX};
use crate::definition::{Inventory, Quantity};
use crate::group::{self, Group};
use crate::image::Image;
use crate::name::{InventoryName, SourceName};
use crate::running::Running;
use crate::tenant::TenantId;

/// Where an item is that says nothing else.
pub const LOCATION_DEFAULT: &str = "main";
/// Most bytes of a level's key. The index orders levels by what is available and then by key, joined by one separator, in a
/// sort key of at most 1024 bytes (AWS: limits).
pub const KEY_BYTES_MAX: usize = 1024 - ORDER_TEXT_BYTES_MAX - 1;

/// Whose level it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LevelKey {
    pub tenant: TenantId,
    pub inventory: InventoryName,
    pub item: String,
    pub location: String,
}

impl LevelKey {
    /// Item and location as a part of a key, `<item>#<location>`: no two levels of an inventory share it.
    pub fn encoded(&self) -> String {
        encoded(&self.item, &self.location)
    }
}

/// The quantities of one item at one location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    pub on_hand: Decimal,
    pub committed: Decimal,
    pub incoming: Decimal,
    /// At or below how much the item is low when no rule applies.
    pub reorder_point: Option<Decimal>,
}

impl Level {
    /// What can still be sold: `on_hand − committed`. Negative when more is promised than there is.
    pub fn available(&self) -> Decimal {
        self.on_hand.minus(&self.committed)
    }

    /// The level in one word.
    pub fn status(&self, standing: &Standing) -> Status {
        if self.available() <= Decimal::zero() {
            Status::Out
        } else if matches!(standing, Standing::Firing(_)) {
            Status::Low
        } else {
            Status::Ok
        }
    }
}

/// A level in one word, as `filter[status]` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing is available.
    Out,
    /// Something is, and an alert fires.
    Low,
    Ok,
}

/// The levels of an image, and what of it could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels {
    pub levels: Vec<(LevelKey, Level)>,
    pub unreadable: Vec<Unreadable>,
}

/// Why an image has no level in an inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("the attribute `{0}` is missing")]
    ItemMissing(String),
    #[error("the attribute `{attribute}` {problem}")]
    Name { attribute: String, problem: group::Error },
    #[error(transparent)]
    Number(#[from] NumberProblem),
    #[error("its item and location need a key of {bytes} bytes; at most {KEY_BYTES_MAX} are possible")]
    KeyTooLong { bytes: usize },
}

/// The levels that an image of `source` is: one in each inventory made from the source.
pub fn of_image(running: &Running, source: &SourceName, image: &Image, tenant: &TenantId) -> Levels {
    let mut levels = Levels::default();
    for (name, inventory) in running.inventories.iter().filter(|(_, inventory)| inventory.source == *source) {
        match read(inventory, image) {
            Ok((item, location, level)) => {
                let key = LevelKey { tenant: tenant.clone(), inventory: name.clone(), item, location };
                levels.levels.push((key, level));
            }
            Err(problem) => levels.unreadable.push(Unreadable::Level { inventory: name.clone(), problem }),
        }
    }
    levels
}

fn read(inventory: &Inventory, image: &Image) -> Result<(String, String, Level), Problem> {
    let item = name(image, &inventory.item)?.ok_or_else(|| Problem::ItemMissing(inventory.item.clone()))?;
    let location = match &inventory.location {
        Some(rule) => name(image, &rule.attribute)?.or_else(|| rule.default.clone()),
        None => None,
    };
    let location = location.unwrap_or_else(|| LOCATION_DEFAULT.to_owned());
    let bytes = encoded(&item, &location).len();
    if bytes > KEY_BYTES_MAX {
        return Err(Problem::KeyTooLong { bytes });
    }
    let reorder_point = match &inventory.reorder_point {
        Some(attribute) if present(image, attribute).is_some() => Some(number(image, attribute)?),
        _ => None,
    };
    let level = Level {
        on_hand: number(image, &inventory.on_hand)?,
        committed: quantity(image, inventory.committed.as_ref())?,
        incoming: quantity(image, inventory.incoming.as_ref())?,
        reorder_point,
    };
    let available = level.available();
    if !available.is_readable() {
        return Err(NumberProblem::OutOfRange(available.to_string()).into());
    }
    Ok((item, location, level))
}

/// The text that names an item or a location; numbers and booleans by their canonical text.
fn name(image: &Image, attribute: &str) -> Result<Option<String>, Problem> {
    match Group::of(image.get(attribute)) {
        Ok(Group::Text(text)) => Ok(Some(text)),
        Ok(Group::Null) => Ok(None),
        Err(problem) => Err(Problem::Name { attribute: attribute.to_owned(), problem }),
    }
}

/// Nothing, where the inventory has no such quantity.
fn quantity(image: &Image, quantity: Option<&Quantity>) -> Result<Decimal, NumberProblem> {
    let Some(Quantity { attribute, default }) = quantity else { return Ok(Decimal::zero()) };
    match default {
        Some(default) if present(image, attribute).is_none() => Ok(default.clone()),
        _ => number(image, attribute),
    }
}

fn encoded(item: &str, location: &str) -> String {
    let part = |text: &str| Group::Text(text.to_owned()).encoded();
    format!("{}#{}", part(item), part(location))
}
