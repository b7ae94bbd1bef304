//! Creating tenants.

use jiff::Timestamp;
use tidemark_domain::{Currency, TenantId, Zone};

use super::{CREATED_AT, CURRENCY, FROZEN, NAME, Tenant, TenantRates, TenantSettings, VERSION, ZONE};
use crate::Store;
use crate::edit::Edit;
use crate::error::Error;
use crate::idempotency::Settled;
use crate::item::{key_item, n, s};
use crate::key;

/// A tenant to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTenant {
    pub id: TenantId,
    pub name: Option<String>,
    /// `None`: UTC, or what is frozen already.
    pub zone: Option<Zone>,
    pub currency: Option<Currency>,
    pub rates: TenantRates,
}

/// How creating a tenant ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantCreated {
    New,
    /// It was there with the same settings.
    Same,
    /// It was there with other settings, which stand, or is being deleted.
    Different,
    /// Its records are counted by this other zone already, which cannot be changed any more.
    ZoneFrozen(Zone),
}

impl NewTenant {
    /// How creating it ends where these settings stand; `None`: it can be created.
    fn against(&self, stands: &TenantSettings) -> Option<TenantCreated> {
        let same_zone = self.zone.as_ref().is_none_or(|zone| *zone == stands.zone);
        if stands.zone_frozen && !same_zone {
            return Some(TenantCreated::ZoneFrozen(stands.zone.clone()));
        }
        stands.created_at?;
        let same_rest = (&self.name, &self.currency, self.rates) == (&stands.name, &stands.currency, stands.rates);
        let is_same = same_zone && same_rest && stands.deleting_since.is_none();
        Some(if is_same { TenantCreated::Same } else { TenantCreated::Different })
    }
}

impl Store {
    /// Creates a tenant, in one transaction with its zone and its place in the list. Doing it twice is no error.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn create_tenant(&self, new: &NewTenant, now: Timestamp) -> Result<TenantCreated, Error> {
        self.create_tenant_once(new, now, None).await
    }

    /// As [`create_tenant`](Self::create_tenant), with the answer that is kept for an `Idempotency-Key`.
    ///
    /// # Errors
    /// As `create_tenant`; [`Error::ConditionFailed`] also when the key's claim was taken over.
    pub async fn create_tenant_once(
        &self,
        new: &NewTenant,
        now: Timestamp,
        settled: Option<&Settled>,
    ) -> Result<TenantCreated, Error> {
        let tenant = Tenant::named_by_operator(new.id.clone());
        let stood = self.tenant_settings(&tenant).await?;
        if let Some(ended) = new.against(&stood) {
            return Ok(ended);
        }
        let mut settings = key_item(&key::tenant_settings(&new.id));
        settings.extend([(CREATED_AT.to_owned(), n(now.as_second())), (VERSION.to_owned(), n(1))]);
        settings.extend(new.name.as_ref().map(|name| (NAME.to_owned(), s(name))));
        settings.extend(new.currency.as_ref().map(|currency| (CURRENCY.to_owned(), s(currency.as_str()))));
        settings.extend(new.rates.named().into_iter().filter_map(|(name, number)| Some((name.to_owned(), n(number?)))));
        let mut items = vec![self.put_new(settings), self.put(key_item(&key::tenant_listing(&new.id)))];
        // A frozen zone is the same, and stays so.
        if let Some(zone) = new.zone.as_ref().filter(|_| !stood.zone_frozen) {
            let edit = Edit::of(&key::tenant_zone(&new.id)).set(ZONE, s(zone.name()));
            items.push(edit.only_if_still(FROZEN, None).within(&self.tables.data));
        }
        items.extend(settled.map(|settled| settled.within(&self.tables.data)));
        let Err(error) = self.transact(items).await else { return Ok(TenantCreated::New) };
        // A lost answer of our own write, or somebody else's: what stands now decides.
        let stands = self.tenant_settings(&tenant).await?;
        new.against(&stands).ok_or_else(|| error.into_error())
    }
}
