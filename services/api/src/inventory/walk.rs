//! A walk over an inventory's levels that stops at a page's worth of those that are wanted, or when it has looked at enough.

use std::collections::BTreeSet;

use tidemark_domain::level::Status;
use tidemark_domain::{Decimal, Group, InventoryName, LevelKey};
use tidemark_store::{LevelCursor, LevelQuery, LevelRow, LevelsBy, Store, Tenant};

use crate::problem::ApiError;

/// Most levels one request looks at for those that its filter lets in.
pub(crate) const LOOKED_AT_MAX: usize = 5_000;
/// Levels read at once when a filter may not let all of them in.
const READ_AT_ONCE: usize = 500;

/// In which order levels are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// By item and location.
    Key,
    /// Least available first.
    Available,
}

/// Which levels are wanted; `None` lets all in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub items: Option<BTreeSet<String>>,
    pub locations: Option<BTreeSet<String>>,
    pub statuses: Option<Vec<Status>>,
    pub order: Order,
}

/// Whose levels are walked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub store: &'a Store,
    pub tenant: &'a Tenant,
    pub inventory: &'a InventoryName,
}

/// What a walk met.
#[derive(Debug)]
pub(crate) struct Walked {
    pub rows: Vec<(LevelKey, LevelRow)>,
    /// Where to go on. `None`: nothing that is wanted comes after.
    pub next: Option<LevelCursor>,
}

/// One stretch of the walk: the whole inventory, or one item's locations.
#[derive(Debug)]
struct Leg {
    by: LevelsBy,
    after: Option<LevelCursor>,
}

impl Wanted {
    fn is_everything(&self) -> bool {
        self.items.is_none() && self.locations.is_none() && self.statuses.is_none()
    }

    fn lets_in(&self, key: &LevelKey, row: &LevelRow) -> bool {
        self.items.as_ref().is_none_or(|items| items.contains(&key.item))
            && self.locations.as_ref().is_none_or(|locations| locations.contains(&key.location))
            && self.statuses.as_ref().is_none_or(|statuses| statuses.contains(&row.level.status(&row.standing)))
    }

    /// Whether nothing that is wanted can come after this row: in the order of what is available, nothing is out any more.
    fn ends_before(&self, row: &LevelRow) -> bool {
        let only_out = self.statuses.as_ref().is_some_and(|statuses| statuses.iter().all(|status| *status == Status::Out));
        only_out && self.order == Order::Available && row.level.available() > Decimal::zero()
    }

    /// What is left of the walk after a place.
    fn legs(&self, after: Option<LevelCursor>) -> Vec<Leg> {
        let (items, by) = match (&self.items, self.order) {
            (_, Order::Available) => return vec![Leg { by: LevelsBy::Available, after }],
            (None, Order::Key) => return vec![Leg { by: LevelsBy::Key, after }],
            (Some(items), Order::Key) => (items, LevelsBy::Item),
        };
        // In the order of their keys, so that a place says which items are done.
        let mut prefixes: Vec<(String, &String)> =
            items.iter().map(|item| (Group::Text(item.clone()).encoded() + "#", item)).collect();
        prefixes.sort();
        let place = after.as_ref().map(LevelCursor::as_str).unwrap_or_default();
        let left = prefixes.into_iter().filter(|(prefix, _)| prefix.as_str() > place || place.starts_with(prefix));
        let leg = |(prefix, item): (String, &String)| Leg {
            by: by(item.clone()),
            after: after.clone().filter(|after| after.as_str().starts_with(&prefix)),
        };
        left.map(leg).collect()
    }
}

impl Walk<'_> {
    /// The first `limit` levels after a place that are wanted, and whether there are more. A walk that has looked at
    /// [`LOOKED_AT_MAX`] levels stops there, with what it has.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) async fn page(&self, wanted: &Wanted, after: Option<LevelCursor>, limit: usize) -> Result<Walked, ApiError> {
        let mut walked = Walked { rows: Vec::new(), next: None };
        let (mut last, mut looked_at) = (None, 0);
        let read_at_once = if wanted.is_everything() { limit + 1 } else { READ_AT_ONCE };
        for Leg { by, mut after } in wanted.legs(after) {
            loop {
                let query = LevelQuery { by: by.clone(), after: after.take(), limit: read_at_once };
                let page = self.store.levels(self.tenant, self.inventory, &query).await.map_err(ApiError::of_store)?;
                for ((key, row), place) in page.rows.into_iter().zip(page.places) {
                    looked_at += 1;
                    if wanted.ends_before(&row) {
                        return Ok(walked);
                    }
                    if wanted.lets_in(&key, &row) {
                        if walked.rows.len() == limit {
                            walked.next = last;
                            return Ok(walked);
                        }
                        walked.rows.push((key, row));
                        last = Some(place);
                    } else if looked_at >= LOOKED_AT_MAX {
                        walked.next = Some(place);
                        return Ok(walked);
                    }
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(walked)
    }
}
