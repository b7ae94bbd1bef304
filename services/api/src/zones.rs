//! The zones of tenants, remembered for as long as they cannot change: what an answer from memory costs is then the look at its key.
//!
//! A zone is frozen when its tenant's first record is counted, and stands from then on (DESIGN §4). Before, it is for the tenant to
//! change, who is to be answered by it from the next request on: so it is read with each.

use moka::future::Cache;
use tidemark_domain::{TenantId, Zone};
use tidemark_store::{Store, Tenant};

use crate::problem::ApiError;

/// Most tenants whose zones are remembered; one beyond costs two reads to be asked again.
const TENANTS_MAX: u64 = 10_000;

/// Answers by which zone a tenant's days are kept. Clones share what is remembered.
#[derive(Debug, Clone)]
pub(crate) struct Zones {
    store: Store,
    frozen: Cache<TenantId, Zone>,
}

impl Zones {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, frozen: Cache::new(TENANTS_MAX) }
    }

    /// The zone of a tenant as it stands.
    ///
    /// # Errors
    /// When it is not remembered and cannot be read.
    pub(crate) async fn of(&self, tenant: &Tenant) -> Result<Zone, ApiError> {
        if let Some(zone) = self.frozen.get(tenant.id()).await {
            return Ok(zone);
        }
        let settings = self.store.tenant_settings(tenant).await.map_err(ApiError::of_store)?;
        if settings.zone_frozen {
            self.frozen.insert(settings.id, settings.zone.clone()).await;
        }
        Ok(settings.zone)
    }
}
