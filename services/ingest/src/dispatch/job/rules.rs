//! Judging the levels of a rule's scope again, after the rule was made, changed or deleted.
//!
//! The rules are read after the job was claimed, and so hold all that the pass answers (`store::job`). What is decided by them is written
//! on condition that they, and the rows, are still as they were read: a commit that changes a level meanwhile is decided by the new
//! rules itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemark_domain::LevelKey;
use tidemark_domain::rule::Scope;
use tidemark_runtime::clock;
use tidemark_store::{Claimed, Decisions, Job, LevelCursor, LevelQuery, LevelRow, LevelsBy, Slot, Tenant};
use tokio::time::Instant;

use super::{Dispatch, Error, Page, count};
use crate::commit::Backoff;
use crate::stock::{Rules, Stock, Writing};

/// Rows looked at between two writings of the job's place.
const PAGE: usize = 100;
/// Rows written in one transaction: each is 7 items at most (itself; an alert that ends with its event; one that begins with its
/// event and repeat job; the old one's job), and there are 100 with the check.
const ROWS_MAX: usize = 12;
/// How often rows are decided anew because they or the rules changed meanwhile, before the job gives others a turn.
const TRIES: usize = 10;

/// What one job judges.
pub(super) struct Judge<'a> {
    dispatch: &'a Dispatch,
    tenant: Tenant,
    scope: Scope,
    rules: Arc<Rules>,
}

impl Dispatch {
    pub(super) async fn judge(&self, job: &mut Claimed<Job>, scope: Scope) -> Result<Judge<'_>, Error> {
        if job.value.progress.cursor.is_none() {
            count(job, "passes", 1);
        }
        let tenant = job.tenant.clone();
        let rules = self.rules.since(&tenant, Instant::now()).await?;
        Ok(Judge { dispatch: self, tenant, scope, rules })
    }
}

impl Judge<'_> {
    pub(super) async fn page(&mut self, job: &mut Claimed<Job>) -> Result<Page, Error> {
        let (rows, next) = self.levels(job).await?;
        count(job, "seen", rows.len());
        let now = clock::now();
        let is_stale = |row: &(LevelKey, LevelRow)| {
            self.scope.contains(&row.0) && !Stock::anew([row.clone()], &self.rules, now).is_unchanged()
        };
        let stale: Vec<_> = rows.into_iter().filter(is_stale).collect();
        for rows in stale.chunks(ROWS_MAX) {
            self.judge(rows.to_vec()).await?;
            count(job, "judged", rows.len());
        }
        Ok(next.map_or(Page::Done, |next| Page::More(next.as_str().to_owned())))
    }

    /// The next rows of the scope, or of what it is a part of.
    async fn levels(&self, job: &Claimed<Job>) -> Result<(Vec<(LevelKey, LevelRow)>, Option<LevelCursor>), Error> {
        let Scope { inventory, item, location } = &self.scope;
        let store = &self.dispatch.store;
        if let (Some(item), Some(location)) = (item, location) {
            let (tenant, item, location) = (self.tenant.id().clone(), item.clone(), location.clone());
            let key = LevelKey { tenant, inventory: inventory.clone(), item, location };
            let row = store.level(&self.tenant, &key).await?;
            return Ok((row.map(|row| (key, row)).into_iter().collect(), None));
        }
        let by = item.as_ref().map_or(LevelsBy::Key, |item| LevelsBy::Item(item.clone()));
        let after = job.value.progress.cursor.as_deref().map(LevelCursor::of_text);
        let page = store.levels(&self.tenant, inventory, &LevelQuery { by, after, limit: PAGE }).await?;
        Ok((page.rows, page.next))
    }

    /// Writes what the rules make of some rows, reading both again whenever something else was written first.
    async fn judge(&mut self, mut rows: Vec<(LevelKey, LevelRow)>) -> Result<(), Error> {
        let store = &self.dispatch.store;
        let mut backoff = Backoff::default();
        let mut tries = 0;
        loop {
            let now = clock::now();
            let decisions = Stock::anew(rows.clone(), &self.rules, now).decisions(&Writing::of_now(now))?;
            if decisions.is_empty() {
                return Ok(());
            }
            tries += 1;
            match store.decide(&self.tenant, &decisions).await {
                Ok(()) => {
                    self.told(&decisions);
                    return Ok(());
                }
                Err(tidemark_store::Error::ConditionFailed | tidemark_store::Error::Throttled(_)) if tries < TRIES => {}
                // One of the levels cannot be stored; the others are to be judged all the same.
                Err(tidemark_store::Error::Refused(_)) if rows.len() > 1 => {
                    for row in rows {
                        Box::pin(self.judge(vec![row])).await?;
                    }
                    return Ok(());
                }
                Err(tidemark_store::Error::Refused(problem)) => {
                    let (tenant, key) = (self.tenant.id(), &rows[0].0);
                    tracing::error!(%tenant, item = key.item, location = key.location, problem, "a level cannot be judged by its rule");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
            backoff.wait().await;
            self.rules = self.dispatch.rules.since(&self.tenant, Instant::now()).await?;
            let keys: Vec<LevelKey> = rows.into_iter().map(|(key, _)| key).collect();
            // In the order of their keys: ids of new alerts are drawn in it, and a simulation replays them.
            rows = store.level_rows(&keys).await?.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        }
    }

    fn told(&self, decisions: &Decisions) {
        for event in &decisions.events {
            self.dispatch.wake.slot(Slot::of_event(&event.key));
        }
    }
}
