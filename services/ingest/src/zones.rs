//! The frozen zones of tenants, remembered.
//!
//! A zone never changes once it is frozen, so a remembered one stays true for as long as the process lives. That one cannot be read is
//! remembered for a while only: an operator may mend what is stored.
//!
//! Which instants a zone's days hold is another matter: a newer time-zone database may change it (`zones/check.rs`).

mod check;

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tidemark_domain::{TenantId, Zone};
use tidemark_store::{Error, Store, Tenant};
use tokio::sync::Mutex;
use tokio::time::Instant;

use check::Checks;

/// Most tenants remembered; one beyond costs a write to be asked again.
const TENANTS_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");
/// For so long a zone that could not be read is not asked for again: each of its tenant's records would cost a write.
const UNREADABLE_FOR: Duration = Duration::from_secs(30);

/// Answers by which zone a tenant's records are counted.
#[derive(Debug)]
pub struct Zones {
    store: Store,
    known: Mutex<LruCache<TenantId, Known>>,
    checks: Checks,
}

#[derive(Debug)]
enum Known {
    Zone(Zone),
    Unreadable { key: String, problem: String, since: Instant },
}

impl Zones {
    pub fn new(store: Store) -> Self {
        Self { store, known: Mutex::new(LruCache::new(TENANTS_MAX)), checks: Checks::default() }
    }

    /// The zone of a tenant, frozen from now on. At its first use in this process it is checked whether its days have moved.
    ///
    /// # Errors
    /// [`Error::Corrupt`]: it is stored, and this binary cannot read it. All others: it is not known yet and DynamoDB cannot be asked.
    pub async fn of(&self, tenant: &TenantId) -> Result<Zone, Error> {
        let zone = self.frozen(tenant).await?;
        self.checks.check(&self.store, &zone).await;
        Ok(zone)
    }

    async fn frozen(&self, tenant: &TenantId) -> Result<Zone, Error> {
        match self.known.lock().await.get(tenant) {
            Some(Known::Zone(zone)) => return Ok(zone.clone()),
            Some(Known::Unreadable { key, problem, since }) if since.elapsed() < UNREADABLE_FOR => {
                return Err(Error::Corrupt { key: key.clone(), problem: problem.clone() });
            }
            _ => {}
        }
        let asked = self.store.freeze_zone(&Tenant::of_image(tenant.clone())).await;
        let known = match &asked {
            Ok(zone) => Known::Zone(zone.clone()),
            Err(Error::Corrupt { key, problem }) => {
                tracing::error!(%tenant, problem, "the tenant's stored time zone cannot be read: its records go to quarantine");
                Known::Unreadable { key: key.clone(), problem: problem.clone(), since: Instant::now() }
            }
            Err(_) => return asked,
        };
        self.known.lock().await.put(tenant.clone(), known);
        asked
    }
}
