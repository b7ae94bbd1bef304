//! Reads what the levels of a batch are decided by: their rows, each time, and the rules of their tenants, remembered.
//!
//! Remembered rules may be out of date. A commit checks that they are not; if they are, they are forgotten and read again.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use tidemark_domain::{LevelKey, TenantId};
use tidemark_store::{RulesLane, Store, Tenant};
use tokio::sync::Mutex;

use super::{Row, Rules, Stock};

/// Most rule books remembered: a tenant's is a few KB as a rule, and never much more than 1 MB.
const BOOKS_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");

/// Reads for all shards of a worker.
#[derive(Debug)]
pub struct StockReader {
    store: Store,
    books: Mutex<LruCache<(TenantId, RulesLane), Arc<Rules>>>,
}

impl StockReader {
    pub fn new(store: Store) -> Self {
        Self { store, books: Mutex::new(LruCache::new(BOOKS_MAX)) }
    }

    /// Reads these levels, and the rules of their tenants as a shard's commits check them: in its lane.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn read(&self, levels: &BTreeSet<LevelKey>, lane: RulesLane) -> Result<Stock, tidemark_store::Error> {
        let mut rules = HashMap::new();
        for tenant in levels.iter().map(|key| &key.tenant).collect::<BTreeSet<_>>() {
            rules.insert(tenant.clone(), self.rules(tenant, lane).await?);
        }
        let keys: Vec<LevelKey> = levels.iter().cloned().collect();
        let mut seen = self.store.level_rows(&keys).await?;
        let rows = keys.into_iter().map(|key| {
            let row = Row::read(seen.remove(&key));
            (key, row)
        });
        Ok(Stock { rows: rows.collect(), rules, unread: BTreeSet::new() })
    }

    /// Forgets the rules that these levels were decided by: they may be others by now.
    pub async fn forget(&self, stock: &Stock, lane: RulesLane) {
        let mut books = self.books.lock().await;
        for tenant in stock.rules.keys() {
            books.pop(&(tenant.clone(), lane));
        }
    }

    async fn rules(&self, tenant: &TenantId, lane: RulesLane) -> Result<Arc<Rules>, tidemark_store::Error> {
        let of = (tenant.clone(), lane);
        if let Some(rules) = self.books.lock().await.get(&of) {
            return Ok(rules.clone());
        }
        let (book, check) = self.store.rule_book(&Tenant::of_image(tenant.clone()), lane).await?;
        let rules = Arc::new(Rules { book, check });
        self.books.lock().await.put(of, rules.clone());
        Ok(rules)
    }
}
