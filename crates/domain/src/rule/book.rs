//! All rules of a tenant, and which of them applies to a level.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{RepeatEvery, Rule, Scope, Thresholds};
use crate::id::RuleId;
use crate::level::{Level, LevelKey};

/// What is applied to one level: a rule, or the row's own reorder point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// `None`: the row's own reorder point.
    pub rule: Option<RuleId>,
    pub thresholds: Thresholds,
    pub repeat_every: Option<RepeatEvery>,
}

/// The rules of one tenant at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleBook {
    enabled: HashMap<Scope, Rule>,
    ids: HashSet<RuleId>,
}

impl RuleBook {
    /// Takes all of a tenant's rules, those that are not enabled, too.
    pub fn new(rules: Vec<Rule>) -> Self {
        let ids = rules.iter().map(|rule| rule.id.clone()).collect();
        let enabled = rules.into_iter().filter(|rule| rule.enabled).map(|rule| (rule.scope.clone(), rule)).collect();
        Self { enabled, ids }
    }

    /// How many rules there are, enabled or not.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is such a rule, enabled or not.
    pub fn contains(&self, rule: &RuleId) -> bool {
        self.ids.contains(rule)
    }

    /// The one rule that applies to a level: that of its item and location, else of its item, else of its location, else of the
    /// whole inventory; without any, the row's own reorder point.
    pub fn applying(&self, key: &LevelKey, level: &Level) -> Option<Applied> {
        let item = || Some(key.item.clone());
        let location = || Some(key.location.clone());
        let precedence = [(item(), location()), (item(), None), (None, location()), (None, None)];
        let rule = precedence
            .into_iter()
            .find_map(|(item, location)| self.enabled.get(&Scope { inventory: key.inventory.clone(), item, location }));
        match rule {
            Some(Rule { id, thresholds, repeat_every, .. }) => {
                Some(Applied { rule: Some(id.clone()), thresholds: thresholds.clone(), repeat_every: *repeat_every })
            }
            None => level.reorder_point.as_ref().map(|value| Applied {
                rule: None,
                thresholds: Thresholds::warning_at(value.clone()),
                repeat_every: None,
            }),
        }
    }
}
