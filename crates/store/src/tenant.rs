//! Tenants: the proof that lets a caller at a tenant's data, their settings, and the zone that ingest freezes.

mod change;
mod create;
mod delete;
mod rates;

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, ReturnValue, TransactWriteItem};
use jiff::Timestamp;
use tidemark_domain::{Currency, TenantId, Zone};

use crate::Store;
use crate::error::Error;
use crate::item::{Item, Stored, key_item, s};
use crate::key::{self, SK, TENANTS};
use crate::read::{Order, Stretch};

pub use change::{TenantChange, TenantError};
pub use create::{NewTenant, TenantCreated};
pub use delete::DeleteError;
pub use rates::{RATE_MAX, TenantRates};

const NAME: &str = "name";
const CURRENCY: &str = "currency";
const CREATED_AT: &str = "created_at";
const ZONE: &str = "zone";
const FROZEN: &str = "frozen";
const VERSION: &str = "version";
const DELETING_AT: &str = "deleting_at";

/// A tenant that the holder may act for. Made from a credential, from an image of a source,
/// from the key of a stored item, or by an operator's word; from nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant(TenantId);

impl Tenant {
    /// The tenant an image of a source belongs to.
    pub fn of_image(id: TenantId) -> Self {
        Self(id)
    }

    /// A tenant named by an operator, who has the tables' own credentials.
    pub fn named_by_operator(id: TenantId) -> Self {
        Self(id)
    }

    /// Whose a stored item is, by its own partition key: for the dispatcher, which finds work of all tenants in the table.
    /// `None`: no tenant's.
    pub(crate) fn of_stored(pk: &str) -> Option<Self> {
        key::tenant_of(pk).map(Self)
    }

    pub(crate) fn of_credential(id: TenantId) -> Self {
        Self(id)
    }

    pub fn id(&self) -> &TenantId {
        &self.0
    }
}

/// What a tenant has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSettings {
    pub id: TenantId,
    pub name: Option<String>,
    pub zone: Zone,
    /// A record has been counted by this zone: it cannot be changed any more.
    pub zone_frozen: bool,
    pub currency: Option<Currency>,
    /// Set by operators alone.
    pub rates: TenantRates,
    /// `None`: nobody created the tenant; it is known from records, or keys, alone.
    pub created_at: Option<Timestamp>,
    /// It is being deleted: no key can be made for it.
    pub deleting_since: Option<Timestamp>,
    /// Raised by one with every change of settings; 0: nobody made any.
    pub version: u64,
}

/// Some tenants, by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPage {
    pub tenants: Vec<TenantSettings>,
    pub more: bool,
}

impl Store {
    /// A tenant's settings; those of a tenant nobody created are UTC and nothing else.
    ///
    /// # Errors
    /// When the items cannot be read.
    pub async fn tenant_settings(&self, tenant: &Tenant) -> Result<TenantSettings, Error> {
        let (settings_key, zone_key) = (key::tenant_settings(tenant.id()), key::tenant_zone(tenant.id()));
        let (settings, zone) = tokio::try_join!(self.get(&settings_key), self.get(&zone_key))?;
        TenantSettings::read(tenant.id(), &settings.unwrap_or_default(), &zone.unwrap_or_default())
    }

    /// The tenant that a verified token names, if somebody created it and nobody deletes it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn tenant_of_token(&self, id: TenantId) -> Result<Option<Tenant>, Error> {
        let settings = self.get(&key::tenant_settings(&id)).await?;
        let is_there = settings.is_some_and(|settings| !settings.contains_key(DELETING_AT));
        Ok(is_there.then(|| Tenant::of_credential(id)))
    }

    /// Tenants that somebody created, in the order of their ids, behind one of them. For operators: what it gives away is whose data
    /// there are, and none of the data.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn tenants(&self, after: Option<&TenantId>, limit: usize) -> Result<TenantPage, Error> {
        let after = after.map(TenantId::as_str);
        let found = self.stretch(&Stretch { pk: TENANTS, prefix: "", after, order: Order::Rising, limit }).await?;
        let ids: Vec<TenantId> = found.items.iter().map(|item| Stored(item).parsed(SK)).collect::<Result<_, _>>()?;
        let keys: Vec<_> = ids.iter().flat_map(|id| [key::tenant_settings(id), key::tenant_zone(id)]).collect();
        let (items, nothing) = (self.get_all(&keys).await?, Item::new());
        let of = |key| items.get(&key).unwrap_or(&nothing);
        let settings = |id| TenantSettings::read(id, of(key::tenant_settings(id)), of(key::tenant_zone(id)));
        Ok(TenantPage { tenants: ids.iter().map(settings).collect::<Result<_, _>>()?, more: found.more })
    }

    /// Fixes the zone by which a tenant's records are counted, for good, and says which it is.
    /// Called before the first contribution of a tenant is computed, so that no two workers ever count by different zones.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked, or the stored zone is unknown to this binary.
    pub async fn freeze_zone(&self, tenant: &Tenant) -> Result<Zone, Error> {
        let request = self.client.update_item().table_name(&self.tables.data);
        let request = request
            .set_key(Some(key_item(&key::tenant_zone(tenant.id()))))
            .update_expression("SET #zone = if_not_exists(#zone, :utc), #frozen = :yes")
            .expression_attribute_names("#zone", ZONE)
            .expression_attribute_names("#frozen", FROZEN)
            .expression_attribute_values(":utc", s(Zone::utc().name()))
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .return_values(ReturnValue::AllNew);
        let output = request.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
        let item = output.attributes.unwrap_or_default();
        let stored = Stored(&item);
        zone_of(&stored)?.ok_or_else(|| stored.corrupt(ZONE, "is missing"))
    }
}

impl TenantSettings {
    fn read(id: &TenantId, settings: &Item, zone: &Item) -> Result<Self, Error> {
        let (settings, zone) = (Stored(settings), Stored(zone));
        let currency = settings.optional_text(CURRENCY)?;
        let currency = currency.map(|code| Currency::new(&code).map_err(|error| settings.corrupt(CURRENCY, &error.to_string())));
        Ok(Self {
            id: id.clone(),
            name: settings.optional_text(NAME)?,
            zone: zone_of(&zone)?.unwrap_or_else(Zone::utc),
            zone_frozen: zone.flag(FROZEN),
            currency: currency.transpose()?,
            rates: TenantRates::read(&settings)?,
            created_at: settings.instant(CREATED_AT)?,
            deleting_since: settings.instant(DELETING_AT)?,
            version: settings.number(VERSION)?.unwrap_or(0),
        })
    }
}

/// The condition that nobody deletes a tenant.
pub(crate) fn is_staying(tenant: &TenantId, table: &str) -> TransactWriteItem {
    let check = ConditionCheck::builder().table_name(table).set_key(Some(key_item(&key::tenant_settings(tenant))));
    let check = check.condition_expression("attribute_not_exists(#deleting_at)");
    let check = check.expression_attribute_names("#deleting_at", DELETING_AT).build();
    TransactWriteItem::builder().condition_check(check.expect("table, key and condition are set")).build()
}

/// The version as a condition has it: tenants without one were never changed.
fn stored_version(version: u64) -> Option<AttributeValue> {
    (version > 0).then(|| crate::item::n(version))
}

fn zone_of(stored: &Stored<'_>) -> Result<Option<Zone>, Error> {
    let name = stored.optional_text(ZONE)?;
    name.map(|name| Zone::named(&name).map_err(|error| stored.corrupt(ZONE, &error.to_string()))).transpose()
}
