//! Changing a tenant's settings.

use jiff::Timestamp;
use tidemark_domain::{Currency, Zone};

use super::{
    CREATED_AT, CURRENCY, DELETING_AT, FROZEN, NAME, Tenant, TenantRates, TenantSettings, VERSION, ZONE, stored_version,
};
use crate::Store;
use crate::edit::Edit;
use crate::error::Error;
use crate::item::{key_item, n, s};
use crate::key;
use crate::transact::NotMade;

/// What a tenant's settings are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantChange {
    pub name: Option<String>,
    pub zone: Zone,
    pub currency: Option<Currency>,
    /// Those that were read, unless an operator changes them.
    pub rates: TenantRates,
}

/// Why a tenant was not changed.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// Its records are counted by the zone that stands.
    #[error("the tenant's records are counted in its time zone already: it cannot be changed any more")]
    ZoneFrozen,
    /// It was changed, or is being deleted, since it was read.
    #[error("the tenant was changed meanwhile")]
    ConditionFailed,
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// Replaces a tenant's settings, as they were read, and raises their version. The first change of a tenant that nobody created
    /// creates it.
    ///
    /// # Errors
    /// [`TenantError`], and when DynamoDB cannot be asked.
    pub async fn update_tenant(
        &self,
        tenant: &Tenant,
        read: &TenantSettings,
        to: &TenantChange,
        now: Timestamp,
    ) -> Result<TenantSettings, TenantError> {
        let (id, table) = (tenant.id(), &self.tables.data);
        let edit = Edit::of(&key::tenant_settings(id)).only_if_still(VERSION, stored_version(read.version));
        let edit = edit.only_if_still(DELETING_AT, None).set(VERSION, n(read.version + 1));
        let edit = edit.set(CREATED_AT, n(read.created_at.unwrap_or(now).as_second()));
        let edit = edit.set_or_remove(NAME, to.name.as_ref().map(s));
        let edit = edit.set_or_remove(CURRENCY, to.currency.as_ref().map(|currency| s(currency.as_str())));
        let edit = to.rates.named().into_iter().fold(edit, |edit, (name, number)| edit.set_or_remove(name, number.map(n)));
        let mut items = vec![edit.within(table), self.put(key_item(&key::tenant_listing(id)))];
        // Only a worker freezes a zone, and it may do so at any moment.
        if to.zone != read.zone {
            let zone = Edit::of(&key::tenant_zone(id)).set(ZONE, s(to.zone.name())).only_if_still(FROZEN, None);
            items.push(zone.within(table));
        }
        match self.transact(items).await {
            Ok(()) => Ok(self.tenant_settings(tenant).await?),
            Err(NotMade::Failed(error)) => Err(error.into()),
            Err(NotMade::Refused(refused)) if refused.contains(&0) => Err(TenantError::ConditionFailed),
            Err(NotMade::Refused(_)) => Err(TenantError::ZoneFrozen),
        }
    }
}
