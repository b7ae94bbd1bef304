//! Levels decided anew though none of them has changed: their rules have. And what happens now, to no stream's knowledge.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tidemark_domain::LevelKey;
use tidemark_domain::alert::Facts;
use tidemark_store::{Error, LevelRow, RulesLane, Store, Tenant};

use super::{Guard, Row, Rules, Stock, Writing};

impl Rules {
    /// A tenant's rules as they are, and the check of a lane that they still are.
    pub(crate) async fn read(store: &Store, tenant: &Tenant, lane: RulesLane) -> Result<Arc<Self>, Error> {
        let (book, check) = store.rule_book(tenant, lane).await?;
        Ok(Arc::new(Self { book: Arc::new(book), guard: Guard::Check(check) }))
    }
}

impl Stock {
    /// Levels of one tenant as they were read, after a step by these rules.
    pub(crate) fn anew(rows: impl IntoIterator<Item = (LevelKey, LevelRow)>, rules: &Arc<Rules>, at: Timestamp) -> Self {
        let mut stock = Self::default();
        for (key, seen) in rows {
            let level = seen.level.clone();
            let facts = Facts { key: &key, level: Some(&level), book: &rules.book, at };
            let row = Row::read(Some(seen)).after(&facts);
            stock.rules.entry(key.tenant.clone()).or_insert_with(|| Rules::clone(rules));
            stock.rows.insert(key, row);
        }
        stock
    }
}

impl Writing<'static> {
    /// Of what happens now: none of it is old.
    pub(crate) fn of_now(now: Timestamp) -> Self {
        Self { stream: "", now, alert_max_age: SignedDuration::MAX, traceparent: None }
    }
}
