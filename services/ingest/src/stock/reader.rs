//! Reads what the levels of a batch are decided by: their rows, each time, and the rules of their tenants, remembered.
//!
//! Remembered rules may be out of date. A commit checks that they are not; if they are, they are forgotten and read again. What is
//! stored and cannot be read concerns its own tenant, and is told level by level; a DynamoDB that does not answer is an error.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tidemark_domain::{LevelKey, TenantId};
use tidemark_store::{Error, LevelRow, RulesLane, Store, Tenant};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::books::Books;
use super::refused::Refused;
use super::{Guard, Row, Rules, Stock, Undecidable};

/// Reads for all shards of a worker.
#[derive(Debug)]
pub struct StockReader {
    store: Store,
    books: Mutex<Books>,
    refused: Refused,
}

impl StockReader {
    pub fn new(store: Store) -> Self {
        Self { store, books: Mutex::default(), refused: Refused::default() }
    }

    /// Reads these levels, and the rules of their tenants as a shard's commits check them: in its lane.
    ///
    /// # Errors
    /// When they cannot be read just now.
    pub async fn read(&self, levels: &BTreeSet<LevelKey>, lane: RulesLane) -> Result<Stock, Error> {
        let (mut rules, mut without_rules) = (HashMap::new(), HashMap::new());
        let mut undecidable = self.refused.among(levels, Instant::now());
        let levels: BTreeSet<&LevelKey> = levels.iter().filter(|key| !undecidable.contains_key(key)).collect();
        for tenant in levels.iter().map(|key| &key.tenant).collect::<BTreeSet<_>>() {
            match self.rules(tenant, lane).await {
                Ok(read) => rules.extend([(tenant.clone(), read)]),
                Err(Error::Corrupt { problem, .. }) => without_rules.extend([(tenant, problem)]),
                Err(error) => return Err(error),
            }
        }
        let keys: Vec<LevelKey> = levels.into_iter().cloned().collect();
        let mut seen = self.store.level_rows_apart(&keys).await?;
        let mut rows = BTreeMap::new();
        for key in keys {
            let row = seen.remove(&key).transpose();
            match decidable(without_rules.get(&key.tenant), row)? {
                Ok(row) => rows.extend([(key, Row::read(row))]),
                Err(problem) => undecidable.extend([(key, problem)]),
            }
        }
        Ok(Stock { rows, rules, unread: BTreeSet::new(), undecidable: Undecidable(undecidable) })
    }

    /// The rules of these tenants are not those that a batch was decided by.
    pub async fn were_stale(&self, decided: &Stock, tenants: &BTreeSet<TenantId>) {
        let (mut books, now) = (self.books.lock().await, Instant::now());
        for (tenant, rules) in tenants.iter().filter_map(|tenant| Some((tenant, decided.rules.get(tenant)?))) {
            books.was_stale(tenant, &rules.book, now);
        }
    }

    /// A job has read a tenant's rules. If the tenant is restless, its levels are decided by them from now on.
    pub(crate) async fn refresh(&self, tenant: &TenantId, rules: &Rules) {
        self.books.lock().await.refresh(tenant, &rules.book, Instant::now());
    }

    /// DynamoDB refuses to store these levels, or their alerts, as they were decided. For a while they are undecidable.
    pub(crate) fn were_refused<'a>(&self, levels: impl IntoIterator<Item = &'a LevelKey>) {
        self.refused.remember(levels, Instant::now());
    }

    async fn rules(&self, tenant: &TenantId, lane: RulesLane) -> Result<Rules, Error> {
        let mut checks = match self.books.lock().await.get(tenant, lane, Instant::now()) {
            Ok(rules) => return Ok(rules),
            Err(checks) => checks,
        };
        let (book, check) = self.store.rule_book(&Tenant::of_image(tenant.clone()), lane).await?;
        let book = Arc::new(book);
        checks.insert(lane, check.clone());
        let mut books = self.books.lock().await;
        books.put(tenant, &book, checks);
        let is_restless = books.is_restless(tenant, Instant::now());
        Ok(Rules { book, guard: if is_restless { Guard::JudgedAgain } else { Guard::Check(check) } })
    }
}

/// A level's row as it was read, if there is one; or why the level cannot be decided.
fn decidable(
    without_rules: Option<&String>,
    row: Result<Option<LevelRow>, Error>,
) -> Result<Result<Option<LevelRow>, String>, Error> {
    match (without_rules, row) {
        (Some(problem), _) => Ok(Err(format!("the tenant's alert rules are stored and cannot be read ({problem})"))),
        (None, Ok(row)) => Ok(Ok(row)),
        (None, Err(Error::Corrupt { problem, .. })) => Ok(Err(format!("the level is stored and cannot be read ({problem})"))),
        (None, Err(error)) => Err(error),
    }
}
