//! Deleting a tenant that has no data.
//!
//! Only one of which no record was ever counted can be deleted. What is counted stays in its source's table, and the next record of the
//! tenant would be counted against nothing: that is a decision that no single call should make.
//!
//! The keys are more than one transaction can hold. So the tenant is marked first, from when on no key can be made; then the keys go;
//! then the tenant. Whoever is stopped in between leaves a tenant that is seen to be in the course of deletion, and doing it again
//! goes on from there.

use jiff::Timestamp;

use super::{DELETING_AT, FROZEN, Tenant, TenantSettings, VERSION, stored_version};
use crate::Store;
use crate::credential::Holder;
use crate::edit::Edit;
use crate::error::Error;
use crate::item::{Stored, n};
use crate::key;
use crate::transact::NotMade;

/// Why a tenant was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// It stays as it is; keys that were deleted before this was found do not come back.
    #[error("the tenant has data: records that are counted, alert rules, or webhook endpoints")]
    HasData,
    /// It was changed or deleted since it was read.
    #[error("the tenant was changed meanwhile")]
    ConditionFailed,
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// Deletes a tenant, as it was read, with its keys: each is refused from when it is deleted.
    ///
    /// # Errors
    /// [`DeleteError`], and when DynamoDB cannot be asked; it can be asked again.
    pub async fn delete_tenant(&self, tenant: &Tenant, read: &TenantSettings, now: Timestamp) -> Result<(), DeleteError> {
        if self.has_data(tenant).await? {
            return Err(DeleteError::HasData);
        }
        let settings = key::tenant_settings(tenant.id());
        let version = read.version + 1;
        let mark = Edit::of(&settings).only_if_there().only_if_still(VERSION, stored_version(read.version));
        let since = read.deleting_since.unwrap_or(now);
        match self.edit(mark.set(VERSION, n(version)).set(DELETING_AT, n(since.as_second()))).await {
            Ok(_) => {}
            Err(Error::ConditionFailed) => return Err(DeleteError::ConditionFailed),
            Err(error) => return Err(error.into()),
        }
        let holder = Holder::Tenant(tenant.clone());
        // Expired ones, too: all that are listed.
        for key in self.keys(&holder, Timestamp::MIN).await? {
            self.delete_key(&holder, &key.id).await?;
        }
        // A key may have made something before it went.
        if self.has_data(tenant).await? || !self.delete_settings(tenant, version).await? {
            let unmark = Edit::of(&settings).only_if_still(VERSION, stored_version(version)).remove(DELETING_AT);
            return match self.edit(unmark.set(VERSION, n(version + 1))).await {
                Ok(_) => Err(DeleteError::HasData),
                Err(Error::ConditionFailed) => Err(DeleteError::ConditionFailed),
                Err(error) => Err(error.into()),
            };
        }
        Ok(())
    }

    /// Whether a record of the tenant was counted, or it has set up what would work on records.
    async fn has_data(&self, tenant: &Tenant) -> Result<bool, Error> {
        let zone = self.get(&key::tenant_zone(tenant.id())).await?;
        let is_counted = zone.is_some_and(|zone| Stored(&zone).flag(FROZEN));
        Ok(is_counted || !self.rules(tenant).await?.is_empty() || !self.endpoints(tenant).await?.is_empty())
    }

    /// False: a worker has frozen the zone meanwhile, or somebody else is at it.
    async fn delete_settings(&self, tenant: &Tenant, version: u64) -> Result<bool, Error> {
        let id = tenant.id();
        let items = vec![
            self.delete(&key::tenant_settings(id), VERSION, n(version)),
            self.delete_unless(&key::tenant_zone(id), FROZEN),
            self.delete_any(&key::tenant_listing(id)),
            self.delete_any(&key::api_keys_version(Some(id))),
        ];
        match self.transact(items).await {
            Ok(()) => Ok(true),
            Err(NotMade::Refused(_)) => Ok(false),
            Err(NotMade::Failed(error)) => Err(error),
        }
    }
}
