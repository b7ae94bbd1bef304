//! Levels: what is in stock, and how it stands with its alert. One row each, guarded by one version. ALERTS §1.
//!
//! Whoever changes a row, its alert or both (a commit, a rule's job, somebody who acknowledges) does so in one transaction that finds
//! the row's version as it was read. So all that is decided about a row is decided one after the other.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::TransactWriteItem;
use jiff::Timestamp;
use tidemark_domain::{Decimal, InventoryName, Level, LevelKey, Standing};

use crate::error::Error;
use crate::item::{Item, Stored, item_of, json, n, s};
use crate::key::{self, INDEX_PK, INDEX_SK, Key, SK};
use crate::read::{Order, Stretch};
use crate::{Store, Tenant};

mod by_available;

const ON_HAND: &str = "on_hand";
const COMMITTED: &str = "committed";
const INCOMING: &str = "incoming";
const REORDER_POINT: &str = "reorder_point";
const STANDING: &str = "standing";
const UPDATED_AT: &str = "updated_at";
const VERSION: &str = "version";

/// A level as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelRow {
    pub level: Level,
    pub standing: Standing,
    /// When the image it is made from was written.
    pub updated_at: Timestamp,
    /// See [`LevelRow::version_after`].
    pub version: u64,
}

/// What becomes of a level's row, if it is still as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelWrite {
    pub key: LevelKey,
    /// The version that was read; `None`: there was no row.
    pub seen: Option<u64>,
    /// `None`: the row goes.
    pub row: Option<LevelRow>,
}

/// Which levels of an inventory to list, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LevelsBy {
    /// All, by item and location, as their keys sort.
    Key,
    /// All, least first. The order lags behind the values a little, so that a level that changes meanwhile may be met twice or not.
    Available,
    /// All locations of one item.
    Item(String),
}

/// One page of levels.
#[derive(Debug, Clone)]
pub struct LevelQuery {
    pub by: LevelsBy,
    /// From a page of the same list.
    pub after: Option<LevelCursor>,
    pub limit: usize,
}

/// A place in a list of levels. Its text is to be sealed before a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelCursor(String);

#[derive(Debug, Clone)]
pub struct LevelPage {
    pub rows: Vec<(LevelKey, LevelRow)>,
    /// The place of each row, for a list that goes on after one in the middle of the page.
    pub places: Vec<LevelCursor>,
    /// `None`: there is no more.
    pub next: Option<LevelCursor>,
}

impl LevelRow {
    /// The version of the row that follows. The first is the millisecond it is made: a row that went and came again never has a
    /// version it had before.
    pub fn version_after(seen: Option<u64>, now: Timestamp) -> u64 {
        seen.map_or_else(|| u64::try_from(now.as_millisecond()).unwrap_or_default(), |version| version + 1)
    }

    fn read(stored: &Stored<'_>) -> Result<Self, Error> {
        let quantity = |name: &str| stored.number::<Decimal>(name);
        let needed = |name: &str| quantity(name)?.ok_or_else(|| stored.corrupt(name, "is missing"));
        Ok(Self {
            level: Level {
                on_hand: needed(ON_HAND)?,
                committed: needed(COMMITTED)?,
                incoming: needed(INCOMING)?,
                reorder_point: quantity(REORDER_POINT)?,
            },
            standing: stored.json(STANDING)?,
            updated_at: stored.moment(UPDATED_AT)?,
            version: stored.number(VERSION)?.ok_or_else(|| stored.corrupt(VERSION, "is missing"))?,
        })
    }

    fn item(&self, of: &LevelKey) -> Item {
        let key = key::level(of);
        let mut item = item_of(
            &key,
            [
                (ON_HAND, n(&self.level.on_hand)),
                (COMMITTED, n(&self.level.committed)),
                (INCOMING, n(&self.level.incoming)),
                (STANDING, json(&self.standing)),
                (UPDATED_AT, s(self.updated_at.to_string())),
                (VERSION, n(self.version)),
                (INDEX_PK, s(key::level_order_partition(of))),
                (INDEX_SK, s(key::level_order(&self.level.available(), &key.sk))),
            ],
        );
        if let Some(point) = &self.level.reorder_point {
            item.insert(REORDER_POINT.to_owned(), n(point));
        }
        item
    }
}

impl LevelWrite {
    /// False: there was no row, and there shall be none.
    pub(crate) fn writes(&self) -> bool {
        self.row.is_some() || self.seen.is_some()
    }

    pub(crate) fn within(&self, store: &Store) -> Option<TransactWriteItem> {
        match (&self.row, self.seen) {
            (Some(row), Some(seen)) => Some(store.put_over(row.item(&self.key), VERSION, n(seen))),
            (Some(row), None) => Some(store.put_new(row.item(&self.key))),
            (None, Some(seen)) => Some(store.delete(&key::level(&self.key), VERSION, n(seen))),
            (None, None) => None,
        }
    }
}

impl LevelCursor {
    /// The cursor with this text.
    pub fn of_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Store {
    /// The rows of these levels, as far as they are there. A commit's levels are of many tenants, each taken from an image; whoever
    /// has a credential's tenant uses [`Store::level`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn level_rows(&self, keys: &[LevelKey]) -> Result<HashMap<LevelKey, LevelRow>, Error> {
        self.level_rows_apart(keys).await?.into_iter().map(|(key, row)| Ok((key, row?))).collect()
    }

    /// The same, each row by itself: one that is stored and cannot be read keeps nobody from the others.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn level_rows_apart(&self, keys: &[LevelKey]) -> Result<HashMap<LevelKey, Result<LevelRow, Error>>, Error> {
        let wanted: BTreeMap<Key, &LevelKey> = keys.iter().map(|key| (key::level(key), key)).collect();
        let found = self.get_all(&wanted.keys().cloned().collect::<Vec<_>>()).await?;
        let row = |(key, item): (&Key, &Item)| Some(((*wanted.get(key)?).clone(), LevelRow::read(&Stored(item))));
        Ok(found.iter().filter_map(row).collect())
    }

    /// The row of one level of a tenant; `None` also for another tenant's.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn level(&self, tenant: &Tenant, key: &LevelKey) -> Result<Option<LevelRow>, Error> {
        if key.tenant != *tenant.id() {
            return Ok(None);
        }
        let item = self.get(&key::level(key)).await?;
        item.map(|item| LevelRow::read(&Stored(&item))).transpose()
    }

    /// One page of an inventory's levels, each read consistently. It is empty only if there is no more.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn levels(&self, tenant: &Tenant, inventory: &InventoryName, query: &LevelQuery) -> Result<LevelPage, Error> {
        let pk = key::levels(tenant.id(), inventory);
        let prefix = match &query.by {
            LevelsBy::Key => String::new(),
            LevelsBy::Item(item) => key::item_prefix(item),
            LevelsBy::Available => return self.levels_by_available(tenant, inventory, query).await,
        };
        let after = query.after.as_ref().map(LevelCursor::as_str);
        let wanted = Stretch { pk: &pk, prefix: &prefix, after, order: Order::Rising, limit: query.limit };
        let found = self.stretch(&wanted).await?;
        let row = |item: &Item| {
            let stored = Stored(item);
            Ok((level_key(tenant, inventory, &stored)?, LevelRow::read(&stored)?))
        };
        let rows = found.items.iter().map(row).collect::<Result<Vec<_>, Error>>()?;
        let places = found.items.iter().map(|item| Stored(item).text(SK).map(LevelCursor)).collect::<Result<Vec<_>, _>>()?;
        let next = places.last().filter(|_| found.more).cloned();
        Ok(LevelPage { rows, places, next })
    }
}

fn level_key(tenant: &Tenant, inventory: &InventoryName, stored: &Stored<'_>) -> Result<LevelKey, Error> {
    let sk = stored.text(SK)?;
    let (item, location) = key::parse_level_sort_key(&sk).ok_or_else(|| stored.corrupt(SK, "is no key of a level"))?;
    Ok(LevelKey { tenant: tenant.id().clone(), inventory: inventory.clone(), item, location })
}
