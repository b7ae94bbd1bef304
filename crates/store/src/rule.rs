//! Alert rules: one item each, one more that says its scope is taken, and the lanes by which commits notice a change. ALERTS §2.
//!
//! A write of a rule raises all lanes; a commit that decided by rules checks one of them at the version it read *before* the rules. So
//! no commit by the rules of before can be made after a write, and the job asked for along with it sees every commit made before.

use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem};
use jiff::Timestamp;
use tidemark_domain::rule::Scope;
use tidemark_domain::{Rule, RuleBook, RuleId, TenantId};

use crate::edit::Edit;
use crate::error::Error;
use crate::idempotency::Settled;
use crate::item::{Item, Stored, item_of, json, key_item, n, s};
use crate::key::{self, RULE_PREFIX};
use crate::read::{Order, Stretch};
use crate::transact::NotMade;
use crate::{Store, Tenant};

const RULE: &str = "rule";
const ID: &str = "id";
const VERSION: &str = "version";
/// On the first lane: how many rules there are. Counting in the transaction of the rule itself makes the quota exact.
const COUNT: &str = "rules";

/// How many lanes a tenant has: so many commits check the rules at once without meeting each other.
pub const LANES: u8 = 8;
/// Most rules of a tenant: a commit that finds a lane changed reads them all, about 1 MB.
pub const RULES_MAX: usize = 1_000;

/// One of a tenant's lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RulesLane(u8);

/// That a tenant's rules are still those of its book: a part of what was decided by them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RulesCheck {
    tenant: TenantId,
    lane: RulesLane,
    /// `None`: no rule was ever written.
    version: Option<u64>,
}

/// Why a rule was not written.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    #[error("the rule {0} has this scope already")]
    Exists(RuleId),
    #[error("a tenant has at most {RULES_MAX} rules")]
    Quota,
    /// It was changed or deleted since it was read.
    #[error("the rule was changed meanwhile")]
    ConditionFailed,
    #[error(transparent)]
    Store(#[from] Error),
}

impl RulesLane {
    /// The lane of whoever has this name: a shard's id, for its commits.
    pub fn of(name: &str) -> Self {
        let lane = crc32fast::hash(name.as_bytes()) % u32::from(LANES);
        Self(u8::try_from(lane).expect("a remainder is smaller than its divisor"))
    }
}

impl RulesCheck {
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub(crate) fn within(&self, store: &Store) -> TransactWriteItem {
        let key = key::rules_lane(&self.tenant, self.lane.0);
        let check = ConditionCheck::builder().table_name(&store.tables.data).set_key(Some(key_item(&key)));
        let check = check.expression_attribute_names("#version", VERSION);
        let check = match self.version {
            None => check.condition_expression("attribute_not_exists(#version)"),
            Some(version) => {
                check.condition_expression("#version = :version").expression_attribute_values(":version", n(version))
            }
        };
        TransactWriteItem::builder().condition_check(check.build().expect("table, key and condition are set")).build()
    }
}

impl Store {
    /// A tenant's rules, in no order, and the check that says they still are its rules.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn rule_book(&self, tenant: &Tenant, lane: RulesLane) -> Result<(RuleBook, RulesCheck), Error> {
        // First the lane: rules that are newer than it do no harm, for the check fails; older ones would.
        let item = self.get(&key::rules_lane(tenant.id(), lane.0)).await?;
        let version = item.map(|item| Stored(&item).number(VERSION)).transpose()?.flatten();
        let rules = self.rules(tenant).await?;
        Ok((RuleBook::new(rules), RulesCheck { tenant: tenant.id().clone(), lane, version }))
    }

    /// All rules of a tenant, oldest first; at most [`RULES_MAX`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn rules(&self, tenant: &Tenant) -> Result<Vec<Rule>, Error> {
        let pk = key::rules(tenant.id());
        let wanted = Stretch { pk: &pk, prefix: RULE_PREFIX, after: None, order: Order::Rising, limit: RULES_MAX };
        self.stretch(&wanted).await?.items.iter().map(read).collect()
    }

    /// # Errors
    /// When it cannot be read.
    pub async fn rule(&self, tenant: &Tenant, id: &RuleId) -> Result<Option<Rule>, Error> {
        let item = self.get(&key::rule(tenant.id(), id)).await?;
        item.as_ref().map(read).transpose()
    }

    /// Writes a new rule, and asks for the job that looks at the levels it is for. The same twice is no error.
    ///
    /// # Errors
    /// [`RuleError::Exists`], [`RuleError::Quota`], and when it cannot be stored.
    pub async fn create_rule(&self, tenant: &Tenant, rule: &Rule, now: Timestamp) -> Result<(), RuleError> {
        self.create_rule_once(tenant, rule, now, None).await
    }

    /// As [`create_rule`](Self::create_rule), with the answer that is kept for an `Idempotency-Key`.
    ///
    /// # Errors
    /// As `create_rule`; [`RuleError::ConditionFailed`] also when the key's claim was taken over.
    pub async fn create_rule_once(
        &self,
        tenant: &Tenant,
        rule: &Rule,
        now: Timestamp,
        settled: Option<&Settled>,
    ) -> Result<(), RuleError> {
        let scope = self.scope_put(tenant, rule);
        let mut items = vec![self.put_new(rule_item(tenant, rule)), scope];
        items.extend(self.raised_lanes(tenant, Counted::Up));
        items.push(self.rules_job(tenant.id(), &rule.scope, now));
        items.extend(settled.map(|settled| settled.within(&self.tables.data)));
        let refused = match self.transact(items).await {
            Ok(()) => return Ok(()),
            Err(NotMade::Failed(error)) => return Err(error.into()),
            Err(NotMade::Refused(refused)) => refused,
        };
        match self.holder_of(tenant, &rule.scope).await? {
            // Our own write, whose answer was lost.
            Some(holder) if holder == rule.id => Ok(()),
            Some(holder) if refused.contains(&1) => Err(RuleError::Exists(holder)),
            _ if refused.contains(&2) => Err(RuleError::Quota),
            _ => Err(RuleError::ConditionFailed),
        }
    }

    /// Replaces a rule, as it was read, by another of the same id, with the next version; and asks for the jobs that look at the
    /// levels of the old scope and the new.
    ///
    /// # Errors
    /// [`RuleError::ConditionFailed`], [`RuleError::Exists`] for a new scope, and when it cannot be stored.
    pub async fn update_rule(&self, tenant: &Tenant, read: &Rule, mut to: Rule, now: Timestamp) -> Result<Rule, RuleError> {
        to.id = read.id.clone();
        to.version = read.version + 1;
        let mut items = vec![self.put_over(rule_item(tenant, &to), VERSION, n(read.version))];
        if to.scope != read.scope {
            items.push(self.scope_put(tenant, &to));
            items.push(self.scope_delete(tenant, read));
            items.push(self.rules_job(tenant.id(), &read.scope, now));
        }
        items.extend(self.raised_lanes(tenant, Counted::Same));
        items.push(self.rules_job(tenant.id(), &to.scope, now));
        match self.transact(items).await {
            Ok(()) => Ok(to),
            Err(NotMade::Failed(error)) => Err(error.into()),
            Err(NotMade::Refused(refused)) if refused.contains(&0) => Err(RuleError::ConditionFailed),
            Err(NotMade::Refused(_)) => match self.holder_of(tenant, &to.scope).await? {
                Some(holder) => Err(RuleError::Exists(holder)),
                None => Err(RuleError::ConditionFailed),
            },
        }
    }

    /// Deletes a rule, if it is still as it was read, and asks for the job that looks at the levels it was for.
    ///
    /// # Errors
    /// [`RuleError::ConditionFailed`], and when DynamoDB cannot be asked.
    pub async fn delete_rule(&self, tenant: &Tenant, read: &Rule, now: Timestamp) -> Result<(), RuleError> {
        let mut items = vec![self.delete(&key::rule(tenant.id(), &read.id), VERSION, n(read.version))];
        items.push(self.scope_delete(tenant, read));
        items.extend(self.raised_lanes(tenant, Counted::Down));
        items.push(self.rules_job(tenant.id(), &read.scope, now));
        match self.transact(items).await {
            Ok(()) => Ok(()),
            Err(NotMade::Refused(_)) => Err(RuleError::ConditionFailed),
            Err(NotMade::Failed(error)) => Err(error.into()),
        }
    }

    async fn holder_of(&self, tenant: &Tenant, scope: &Scope) -> Result<Option<RuleId>, Error> {
        let item = self.get(&key::rule_scope(tenant.id(), scope)).await?;
        item.map(|item| Stored(&item).parsed(ID)).transpose()
    }

    fn scope_put(&self, tenant: &Tenant, rule: &Rule) -> TransactWriteItem {
        self.put_new(item_of(&key::rule_scope(tenant.id(), &rule.scope), [(ID, s(rule.id.as_str()))]))
    }

    fn scope_delete(&self, tenant: &Tenant, rule: &Rule) -> TransactWriteItem {
        self.delete(&key::rule_scope(tenant.id(), &rule.scope), ID, s(rule.id.as_str()))
    }

    fn raised_lanes(&self, tenant: &Tenant, counted: Counted) -> impl Iterator<Item = TransactWriteItem> {
        (0..LANES).map(move |lane| {
            let edit = Edit::of(&key::rules_lane(tenant.id(), lane)).add(VERSION, n(1));
            let edit = match (lane, counted) {
                (0, Counted::Up) => edit.add(COUNT, n(1)).only_if_below(COUNT, n(RULES_MAX)),
                (0, Counted::Down) => edit.add(COUNT, n(-1)),
                _ => edit,
            };
            edit.within(&self.tables.data)
        })
    }
}

/// What a write does to the number of rules.
#[derive(Debug, Clone, Copy)]
enum Counted {
    Up,
    Same,
    Down,
}

fn rule_item(tenant: &Tenant, rule: &Rule) -> Item {
    item_of(&key::rule(tenant.id(), &rule.id), [(RULE, json(rule)), (VERSION, n(rule.version))])
}

fn read(item: &Item) -> Result<Rule, Error> {
    let stored = Stored(item);
    let rule: Rule = stored.json(RULE)?;
    Ok(Rule { version: stored.number(VERSION)?.unwrap_or(rule.version), ..rule })
}
