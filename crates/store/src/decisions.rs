//! What is decided about levels and alerts, and written in one transaction: by a commit together with its shard's position, or by
//! itself when a rule's job or a person decided it. ALERTS §2, §3.

use aws_sdk_dynamodb::types::TransactWriteItem;
use jiff::Timestamp;
use tidemark_domain::rule::Scope;
use tidemark_domain::{Alert, InventoryName, LevelKey, TenantId};

use crate::error::Error;
use crate::event::{EventKey, EventWrite};
use crate::job::repeat_job;
use crate::level::LevelWrite;
use crate::rule::RulesCheck;
use crate::{Store, Tenant};

/// Levels with the alerts and events that follow from them. No level, alert, event or check may be in it twice.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    /// The rules that were decided by.
    pub checks: Vec<RulesCheck>,
    /// Inventories of tenants whose rules are not checked: their levels are judged again afterwards.
    pub judged_again: Vec<JudgedAgain>,
    pub levels: Vec<LevelWrite>,
    /// Every alert that changed, as it is from now on. One that is to be repeated brings its job with it.
    pub alerts: Vec<Alert>,
    pub events: Vec<EventWrite>,
}

/// All levels of an inventory are to be judged again, by the rules as they are then.
///
/// It stands in for a [`RulesCheck`]: levels are decided by rules that may have changed meanwhile, and the job that is written in the
/// same transaction starts after them. So it finds every level that was decided by older rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JudgedAgain {
    pub tenant: TenantId,
    pub inventory: InventoryName,
    /// When the job is due.
    pub at: Timestamp,
}

/// What an item of a transaction is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) tenant: &'a TenantId,
    /// `None`: the tenant's rules, or a job.
    pub(crate) level: Option<&'a LevelKey>,
}

impl Decisions {
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.alerts.is_empty() && self.events.is_empty()
    }

    /// How many items of a transaction they are.
    pub fn items(&self) -> usize {
        let levels = self.levels.iter().filter(|level| level.writes()).count();
        let rules = self.checks.len() + self.judged_again.len();
        rules + levels + self.alerts.len() + self.repeated().count() + self.events.len()
    }

    /// What each of the [items](Self::within) is about, in their order.
    pub(crate) fn about(&self) -> Vec<About<'_>> {
        fn of_level(level: &LevelKey) -> About<'_> {
            About { tenant: &level.tenant, level: Some(level) }
        }
        fn of_tenant(tenant: &TenantId) -> About<'_> {
            About { tenant, level: None }
        }
        let mut about: Vec<About<'_>> = self.checks.iter().map(|check| of_tenant(check.tenant())).collect();
        about.extend(self.levels.iter().filter(|level| level.writes()).map(|write| of_level(&write.key)));
        about.extend(self.alerts.iter().map(|alert| of_level(&alert.key)));
        about.extend(self.repeated().map(|(alert, _)| of_level(&alert.key)));
        about.extend(self.events.iter().map(|event| About { tenant: &event.tenant, level: self.level_of(event) }));
        about.extend(self.judged_again.iter().map(|again| of_tenant(&again.tenant)));
        about
    }

    /// The level whose alert an event announces.
    fn level_of(&self, event: &EventWrite) -> Option<&LevelKey> {
        let EventKey::Alert { alert: id, .. } = &event.key else { return None };
        self.alerts.iter().find(|alert| alert.id == *id).map(|alert| &alert.key)
    }

    /// The items. Checks and levels carry conditions, and no others do.
    pub(crate) fn within(&self, store: &Store) -> Vec<TransactWriteItem> {
        let mut items: Vec<_> = self.checks.iter().map(|check| check.within(store)).collect();
        items.extend(self.levels.iter().filter_map(|level| level.within(store)));
        items.extend(self.alerts.iter().map(|alert| store.alert_update(alert)));
        items.extend(self.repeated().map(|(alert, at)| store.put(repeat_job(alert, at))));
        items.extend(self.events.iter().map(|event| store.put(event.item())));
        items.extend(self.judged_again.iter().map(|again| {
            let scope = Scope { inventory: again.inventory.clone(), item: None, location: None };
            store.rules_job(&again.tenant, &scope, again.at)
        }));
        items
    }

    fn repeated(&self) -> impl Iterator<Item = (&Alert, Timestamp)> {
        self.alerts.iter().filter_map(|alert| alert.repeat_at().map(|at| (alert, at)))
    }

    fn are_of(&self, tenant: &TenantId) -> bool {
        let levels = self.levels.iter().map(|write| &write.key.tenant);
        let alerts = self.alerts.iter().map(|alert| &alert.key.tenant);
        let events = self.events.iter().map(|event| &event.tenant);
        let rules = self.checks.iter().map(RulesCheck::tenant).chain(self.judged_again.iter().map(|again| &again.tenant));
        levels.chain(alerts).chain(events).chain(rules).all(|of| of == tenant)
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
