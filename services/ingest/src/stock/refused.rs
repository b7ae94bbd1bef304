//! Levels that DynamoDB refused to store, remembered: the next batches leave them as they are, and need not be cut down to find them.
//!
//! A level's row, its alert and the alert's events are written together. One of these items may be too large, because of what an
//! older version or another program wrote into it. Its records are set aside; other levels and all aggregates are committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidemark_domain::LevelKey;
use tokio::time::Instant;

use crate::by_tenant::ByTenant;

/// Most levels remembered, about 1 KB each; a forgotten one is found again by a commit that fails.
const LEVELS_MAX: usize = 8_000;
/// Most levels of one tenant among them.
const LEVELS_OF_TENANT_MAX: usize = LEVELS_MAX / 8;
/// After this time a level is tried again: its items may have been repaired.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Why a level cannot be decided.
const PROBLEM: &str = "DynamoDB does not store this level or its alert as decided: an item would be too large or is malformed";

/// The levels that were refused lately.
#[derive(Debug)]
pub(super) struct Refused(Mutex<Levels>);

type Levels = ByTenant<LevelKey, Instant>;

impl Default for Refused {
    fn default() -> Self {
        Self(Mutex::new(ByTenant::new(LEVELS_MAX, LEVELS_OF_TENANT_MAX)))
    }
}

impl Refused {
    /// Those of some levels that were refused lately, each with the reason.
    pub(super) fn among(&self, levels: &BTreeSet<LevelKey>, now: Instant) -> BTreeMap<LevelKey, String> {
        let mut known = self.known();
        if known.is_empty() {
            return BTreeMap::new();
        }
        let mut is_refused = |key: &LevelKey| known.get(&key.tenant, key).is_some_and(|at| now < *at + REFUSED_FOR);
        levels.iter().filter(|key| is_refused(key)).map(|key| (key.clone(), PROBLEM.to_owned())).collect()
    }

    pub(super) fn remember<'a>(&self, levels: impl IntoIterator<Item = &'a LevelKey>, now: Instant) {
        let mut known = self.known();
        for key in levels {
            if known.put(&key.tenant, key.clone(), now).is_none() {
                let LevelKey { tenant, inventory, item, location } = key;
                tracing::error!(%tenant, %inventory, item, location, "a level cannot be stored: its records are set aside");
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Levels> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tidemark_domain::{InventoryName, TenantId};

    use super::*;

    #[test]
    fn a_refused_level_is_left_alone_for_a_while_and_then_tried_again() {
        let key = |item: &str| LevelKey {
            tenant: TenantId::new("acme").expect("an id"),
            inventory: InventoryName::new("stock").expect("a name"),
            item: item.to_owned(),
            location: "main".to_owned(),
        };
        let (refused, now) = (Refused::default(), Instant::now());
        let levels = BTreeSet::from([key("a"), key("b")]);
        refused.remember([&key("b")], now);
        let among = |seconds| refused.among(&levels, now + Duration::from_secs(seconds)).into_keys().collect::<Vec<_>>();
        assert_eq!(among(59), [key("b")]);
        assert_eq!(among(60), []);
    }
}
