//! The levels that a batch touches, and what becomes of them and of their alerts. ALERTS §1, §3.
//!
//! Rows and rules are read before the batch is folded; every change is then decided in the order of its records, one step of the
//! alert's state machine each. So what happened between two commits is told in full: an item that was sold out and restocked within
//! one batch has fired and resolved. What was read may be stale by the time of the commit. Its conditions find out, and everything is
//! read and decided anew.

mod anew;
mod books;
mod reader;
mod refused;
mod row;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tidemark_domain::alert::Facts;
use tidemark_domain::{AlertEvent, InventoryName, LevelKey, RuleBook, TenantId};
use tidemark_store::{Decisions, EventWrite, Hold, JudgedAgain, RulesCheck};
use tidemark_webhooks::event::{BodyError, EventType};
use tidemark_webhooks::payload;

use crate::effect::LevelChange;

pub use reader::StockReader;
use row::Row;

/// The levels of a batch. They are either all read, or none of them: then it counts what it touches, to be read.
#[derive(Debug, Clone, Default)]
pub struct Stock {
    rows: BTreeMap<LevelKey, Row>,
    rules: HashMap<TenantId, Rules>,
    unread: BTreeSet<LevelKey>,
    undecidable: Undecidable,
}

/// A tenant's rules, and what makes decisions by them safe.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    book: Arc<RuleBook>,
    guard: Guard,
}

/// Why no level stays decided by rules that have changed meanwhile.
#[derive(Debug, Clone)]
enum Guard {
    /// The transaction checks that the rules have not changed.
    Check(RulesCheck),
    /// The transaction also writes a job that judges the levels again. For a tenant whose rules change faster than commits are made:
    /// a check that fails every time would hold up the other tenants of the shard.
    JudgedAgain,
}

/// Levels that cannot be decided, each with why: their rows, or their tenants' rules, are stored and cannot be read.
#[derive(Debug, Clone, Default)]
pub struct Undecidable(BTreeMap<LevelKey, String>);

impl Undecidable {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why this level cannot be decided, if it cannot.
    pub fn get(&self, key: &LevelKey) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// How a batch's levels would be with some changes more.
#[derive(Debug)]
pub(crate) struct Changed {
    rows: BTreeMap<LevelKey, Row>,
    unread: BTreeSet<LevelKey>,
}

/// Where and when decisions are written.
#[derive(Debug, Clone, Copy)]
pub struct Writing<'a> {
    /// The ARN of the stream that is committed.
    pub stream: &'a str,
    pub now: Timestamp,
    /// Events that are older are held until the stream has caught up.
    pub alert_max_age: SignedDuration,
    /// The commit that writes them, as a W3C `traceparent`, where it is recorded.
    pub traceparent: Option<&'a str>,
}

impl Stock {
    /// Levels that were touched and are not read.
    pub fn unread(&self) -> &BTreeSet<LevelKey> {
        &self.unread
    }

    /// Levels that were to be read, and cannot be decided.
    pub fn undecidable(&self) -> &Undecidable {
        &self.undecidable
    }

    /// The levels that were read.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &LevelKey> {
        self.rows.keys()
    }

    /// Decides what these changes of one record come to.
    pub(crate) fn decide(&self, changes: &[LevelChange]) -> Changed {
        let mut changed = Changed { rows: BTreeMap::new(), unread: BTreeSet::new() };
        for LevelChange { key, level, at } in changes {
            let (Some(row), Some(rules)) = (self.rows.get(key), self.rules.get(&key.tenant)) else {
                changed.unread.insert(key.clone());
                continue;
            };
            let facts = Facts { key, level: level.as_ref(), book: &rules.book, at: *at };
            changed.rows.insert(key.clone(), row.after(&facts));
        }
        changed
    }

    /// How many items of a transaction the levels will be with this: at least so many, where they are not read.
    pub(crate) fn items_with(&self, changed: &Changed) -> usize {
        let unchanged = self.rows.iter().filter(|(key, _)| !changed.rows.contains_key(key));
        let written = || unchanged.clone().chain(&changed.rows).filter(|(_, row)| row.is_changed());
        // A guard takes one item for each tenant, or for each of its inventories.
        let guards: BTreeSet<(&TenantId, &InventoryName)> = written().map(|(key, _)| (&key.tenant, &key.inventory)).collect();
        let rows: usize = written().map(|(_, row)| row.items()).sum();
        guards.len() + rows + self.unread.union(&changed.unread).count()
    }

    pub(crate) fn take(&mut self, changed: Changed) {
        self.rows.extend(changed.rows);
        self.unread.extend(changed.unread);
    }

    /// Whether nothing is to be written.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.unread.is_empty() && !self.rows.values().any(Row::is_changed)
    }

    /// Whether these changes leave every level as it is, with nothing to tell.
    pub(crate) fn is_same_with(&self, changed: &Changed) -> bool {
        changed.unread.is_empty()
            && changed.rows.iter().all(|(key, row)| self.rows.get(key).is_some_and(|before| row.is_same(before)))
    }

    /// What is to be written. A level that is what it was is not.
    ///
    /// # Errors
    /// When an event cannot be said in the bytes it may have, which no level brings about.
    pub(crate) fn decisions(&self, writing: &Writing<'_>) -> Result<Decisions, BodyError> {
        let mut decisions = Decisions::default();
        let mut changed: BTreeMap<&TenantId, BTreeSet<&InventoryName>> = BTreeMap::new();
        for (key, row) in self.rows.iter().filter(|(_, row)| row.is_changed()) {
            changed.entry(&key.tenant).or_default().insert(&key.inventory);
            decisions.levels.push(row.write(key, writing.now));
            decisions.alerts.extend(row.alerts().cloned());
            for event in row.events() {
                decisions.events.push(writing.event(event)?);
            }
        }
        for (tenant, inventories) in changed {
            let again =
                |inventory: &InventoryName| JudgedAgain { tenant: tenant.clone(), inventory: inventory.clone(), at: writing.now };
            match self.rules.get(tenant).map(|rules| &rules.guard) {
                Some(Guard::Check(check)) => decisions.checks.push(check.clone()),
                Some(Guard::JudgedAgain) => decisions.judged_again.extend(inventories.into_iter().map(again)),
                None => {}
            }
        }
        Ok(decisions)
    }
}

impl Writing<'_> {
    /// An event as it is written, with its body.
    pub(crate) fn event(&self, event: &AlertEvent) -> Result<EventWrite, BodyError> {
        let is_old = self.now.duration_since(event.at) > self.alert_max_age;
        let hold = is_old.then(|| Hold { stream: self.stream.to_owned(), since: self.now });
        let event_type = EventType::from(event.kind).as_str();
        let write = EventWrite::of_alert(event, event_type, &payload::body(event)?, fastrand::u128(..));
        Ok(EventWrite { due_at: self.now, hold, traceparent: self.traceparent.map(str::to_owned), ..write })
    }
}
