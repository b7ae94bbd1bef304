//! The frozen zones of tenants, remembered.
//!
//! A zone never changes once it is frozen, so a remembered one stays true for as long as the process lives.

use std::num::NonZeroUsize;

use lru::LruCache;
use tidemark_domain::{TenantId, Zone};
use tidemark_store::{Store, Tenant};
use tokio::sync::Mutex;

/// Most tenants remembered; one beyond costs a write to be asked again.
const TENANTS_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

/// Answers by which zone a tenant's records are counted.
#[derive(Debug)]
pub struct Zones {
    store: Store,
    known: Mutex<LruCache<TenantId, Zone>>,
}

impl Zones {
    pub fn new(store: Store) -> Self {
        Self { store, known: Mutex::new(LruCache::new(TENANTS_MAX)) }
    }

    /// The zone of a tenant, frozen from now on.
    ///
    /// # Errors
    /// When it is not known yet and DynamoDB cannot be asked.
    pub async fn of(&self, tenant: &TenantId) -> Result<Zone, tidemark_store::Error> {
        if let Some(zone) = self.known.lock().await.get(tenant) {
            return Ok(zone.clone());
        }
        let zone = self.store.freeze_zone(&Tenant::of_image(tenant.clone())).await?;
        self.known.lock().await.put(tenant.clone(), zone.clone());
        Ok(zone)
    }
}
