//! The zones of tenants, remembered for as long as they cannot change: what an answer from memory costs is then the look at its key.
//!
//! A zone is frozen when its tenant's first record is counted, and stands from then on (DESIGN §4). Before, it is for the tenant to
//! change, who is to be answered by it from the next request on: so it is read with each.
//!
//! Whether days of a zone have moved is remembered for a minute: workers find that out when they start.

use std::time::Duration;

use jiff::Timestamp;
use moka::future::Cache;
use tidemark_domain::{TenantId, Zone};
use tidemark_store::{Error, Store, Tenant};

use crate::problem::ApiError;

/// Most tenants whose zones are remembered; one beyond costs two reads to be asked again.
const TENANTS_MAX: u64 = 10_000;
/// Most zones of which it is remembered when their days moved; one beyond costs a read to be asked again. There are some 600 names.
const ZONES_MAX: u64 = 1_000;
/// How long that is remembered.
const MOVES_KNOWN_FOR: Duration = Duration::from_secs(60);

/// Answers by which zone a tenant's days are kept. Clones share what is remembered.
#[derive(Debug, Clone)]
pub(crate) struct Zones {
    store: Store,
    frozen: Cache<TenantId, Zone>,
    moved: Cache<String, Option<Timestamp>>,
}

impl Zones {
    pub(crate) fn new(store: Store) -> Self {
        let moved = Cache::builder().max_capacity(ZONES_MAX).time_to_live(MOVES_KNOWN_FOR).build();
        Self { store, frozen: Cache::new(TENANTS_MAX), moved }
    }

    /// The zone of a tenant as it stands.
    ///
    /// # Errors
    /// When it is not remembered and cannot be read.
    pub(crate) async fn of(&self, tenant: &Tenant) -> Result<Zone, ApiError> {
        self.read(tenant).await.map_err(ApiError::of_store)
    }

    /// A tenant's zone and when its days last moved; `None`: they have not, or this binary does not know the zone, and the status
    /// can be asked for all the same.
    ///
    /// # Errors
    /// When it is not remembered and DynamoDB cannot be asked.
    pub(crate) async fn move_of(&self, tenant: &Tenant) -> Result<Option<(Zone, Timestamp)>, ApiError> {
        let zone = match self.read(tenant).await {
            Err(Error::Corrupt { .. }) => return Ok(None),
            zone => zone.map_err(ApiError::of_store)?,
        };
        Ok(self.moved_at(&zone).await?.map(|moved_at| (zone, moved_at)))
    }

    async fn read(&self, tenant: &Tenant) -> Result<Zone, Error> {
        if let Some(zone) = self.frozen.get(tenant.id()).await {
            return Ok(zone);
        }
        let settings = self.store.tenant_settings(tenant).await?;
        if settings.zone_frozen {
            self.frozen.insert(settings.id, settings.zone.clone()).await;
        }
        Ok(settings.zone)
    }

    /// When a newer time-zone database last moved days of a zone, as of at most a minute ago.
    ///
    /// # Errors
    /// When it is not remembered and cannot be read.
    pub(crate) async fn moved_at(&self, zone: &Zone) -> Result<Option<Timestamp>, ApiError> {
        if let Some(moved_at) = self.moved.get(zone.name()).await {
            return Ok(moved_at);
        }
        let moved_at = self.store.zone_moved_at(zone).await.map_err(ApiError::of_store)?;
        self.moved.insert(zone.name().to_owned(), moved_at).await;
        Ok(moved_at)
    }
}
