//! What is decided about levels and alerts, and written in one transaction: by a commit together with its shard's position, or by
//! itself when a rule's job or a person decided it. ALERTS §2, §3.

use aws_sdk_dynamodb::types::TransactWriteItem;
use jiff::Timestamp;
use tidemark_domain::{Alert, TenantId};

use crate::error::Error;
use crate::event::EventWrite;
use crate::job::repeat_job;
use crate::level::LevelWrite;
use crate::rule::RulesCheck;
use crate::{Store, Tenant};

/// Levels with the alerts and events that follow from them. No level, alert, event or check may be in it twice.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    /// The rules that were decided by.
    pub checks: Vec<RulesCheck>,
    pub levels: Vec<LevelWrite>,
    /// Every alert that changed, as it is from now on. One that is to be repeated brings its job with it.
    pub alerts: Vec<Alert>,
    pub events: Vec<EventWrite>,
}

impl Decisions {
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.alerts.is_empty() && self.events.is_empty()
    }

    /// How many items of a transaction they are.
    pub fn items(&self) -> usize {
        self.conditions() + self.alerts.len() + self.repeated().count() + self.events.len()
    }

    /// How many of the items, at the front, carry a condition.
    pub(crate) fn conditions(&self) -> usize {
        self.checks.len() + self.levels.iter().filter(|level| level.writes()).count()
    }

    /// The items. The first ones, [`conditions`](Self::conditions) many, are all that carry one.
    pub(crate) fn within(&self, store: &Store) -> Vec<TransactWriteItem> {
        let mut items: Vec<_> = self.checks.iter().map(|check| check.within(store)).collect();
        items.extend(self.levels.iter().filter_map(|level| level.within(store)));
        items.extend(self.alerts.iter().map(|alert| store.alert_update(alert)));
        items.extend(self.repeated().map(|(alert, at)| store.put(repeat_job(alert, at))));
        items.extend(self.events.iter().map(|event| store.put(event.item())));
        items
    }

    fn repeated(&self) -> impl Iterator<Item = (&Alert, Timestamp)> {
        self.alerts.iter().filter_map(|alert| alert.repeat_at().map(|at| (alert, at)))
    }

    fn are_of(&self, tenant: &TenantId) -> bool {
        let levels = self.levels.iter().map(|write| &write.key.tenant);
        let alerts = self.alerts.iter().map(|alert| &alert.key.tenant);
        let events = self.events.iter().map(|event| &event.tenant);
        levels.chain(alerts).chain(events).chain(self.checks.iter().map(RulesCheck::tenant)).all(|of| of == tenant)
    }
}

impl Store {
    /// Writes what was decided about one tenant's levels, if they and the rules are still as they were read.
    ///
    /// # Errors
    /// [`Error::ConditionFailed`]: they are not; read again and decide again. [`Error::Refused`] for another tenant's.
    pub async fn decide(&self, tenant: &Tenant, decisions: &Decisions) -> Result<(), Error> {
        if !decisions.are_of(tenant.id()) {
            return Err(Error::Refused("decisions about another tenant's levels".to_owned()));
        }
        self.transact(decisions.within(self)).await.map_err(|not_made| not_made.into_error())
    }
}
