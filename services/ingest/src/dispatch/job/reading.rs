//! Rules as jobs read them: one read serves all jobs of a tenant that wait for it.
//!
//! A tenant may have a thousand rules, about 1 MB, and a job for each that it changes. If each job read them, ten changes a second would
//! take 2,000 read units a second, and most of a worker's time.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use lru::LruCache;
use tidemark_domain::TenantId;
use tidemark_store::{Error, RulesLane, Store, Tenant};
use tokio::time::Instant;

use crate::stock::{Rules, StockReader};

/// After a read, the next one of the same tenant waits so many times as long as it took: reads of one tenant's rules take a tenth of
/// the time at most. Few rules are read almost at once…
const PAUSE_FACTOR: u32 = 9;
/// …and many within this: a rule's levels are to be judged within 10 s of its change.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Most tenants whose last read is remembered; a forgotten tenant's rules are read at once. The rules themselves are kept by the jobs
/// that use them.
const TENANTS_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");

/// A tenant's last read. It is locked while the rules are read: jobs that come meanwhile wait, and share the next read.
type LastRead = Arc<tokio::sync::Mutex<Option<Read>>>;

#[derive(Debug)]
struct Read {
    begun: Instant,
    /// When the next one may begin.
    next: Instant,
    rules: Weak<Rules>,
}

/// Reads rules for the jobs of one process.
#[derive(Debug)]
pub(in crate::dispatch) struct RulesReader {
    store: Store,
    /// Shards decide by the rules of restless tenants as jobs read them.
    stock: Arc<StockReader>,
    tenants: Mutex<LruCache<TenantId, LastRead>>,
}

impl RulesReader {
    pub(in crate::dispatch) fn new(store: Store, stock: Arc<StockReader>) -> Self {
        Self { store, stock, tenants: Mutex::new(LruCache::new(TENANTS_MAX)) }
    }

    /// A tenant's rules by a read that began after this instant, with the check of the lane of all its jobs.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) async fn since(&self, tenant: &Tenant, instant: Instant) -> Result<Arc<Rules>, Error> {
        let last_read = self.last_read(tenant.id());
        let mut last = last_read.lock().await;
        if let Some(read) = &*last {
            if let Some(rules) = read.rules.upgrade().filter(|_| read.begun > instant) {
                return Ok(rules);
            }
            tokio::time::sleep_until(read.next).await;
        }
        let begun = Instant::now();
        let rules = Rules::read(&self.store, tenant, RulesLane::of(tenant.id().as_str())).await?;
        self.stock.refresh(tenant.id(), &rules).await;
        let next = Instant::now() + (begun.elapsed() * PAUSE_FACTOR).min(PAUSE_MAX);
        *last = Some(Read { begun, next, rules: Arc::downgrade(&rules) });
        Ok(rules)
    }

    fn last_read(&self, tenant: &TenantId) -> LastRead {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.get_or_insert(tenant.clone(), LastRead::default).clone()
    }
}
