//! Tenants: the proof that lets a caller at a tenant's data, their settings, and the zone that ingest freezes.

use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValue, TransactWriteItem, Update};
use jiff::Timestamp;
use tidemark_domain::{Currency, TenantId, Zone};

use crate::Store;
use crate::error::Error;
use crate::item::{Stored, key_item, n, s};
use crate::key;

const NAME: &str = "name";
const CURRENCY: &str = "currency";
const CREATED_AT: &str = "created_at";
const ZONE: &str = "zone";
const FROZEN: &str = "frozen";

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
    /// A record has been counted by this zone: changing it needs a rebuild.
    pub zone_frozen: bool,
    pub currency: Option<Currency>,
    /// `None`: nobody created the tenant; it is known from records alone.
    pub created_at: Option<Timestamp>,
}

/// A tenant to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTenant {
    pub id: TenantId,
    pub name: Option<String>,
    /// `None`: UTC, or what is frozen already.
    pub zone: Option<Zone>,
    pub currency: Option<Currency>,
}

/// How creating a tenant ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantCreated {
    New,
    /// It was there with the same settings.
    Same,
    /// It was there with other settings, which stand.
    Different,
    /// Its records are counted by this other zone already: another needs a rebuild.
    ZoneFrozen(Zone),
}

impl Store {
    /// Creates a tenant, in one transaction with its zone and its place in the list. Doing it twice is no error.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn create_tenant(&self, new: &NewTenant, now: Timestamp) -> Result<TenantCreated, Error> {
        let tenant = Tenant::named_by_operator(new.id.clone());
        let current = self.tenant_settings(&tenant).await?;
        if let Some(zone) = &new.zone
            && current.zone_frozen
            && current.zone != *zone
        {
            return Ok(TenantCreated::ZoneFrozen(current.zone));
        }
        if current.created_at.is_some() {
            let same_zone = new.zone.as_ref().is_none_or(|zone| *zone == current.zone);
            let same = same_zone && new.name == current.name && new.currency == current.currency;
            return Ok(if same { TenantCreated::Same } else { TenantCreated::Different });
        }
        let sent = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(self.settings_put(new, now)).build())
            .transact_items(TransactWriteItem::builder().put(self.listing_put(&new.id)).build())
            .transact_items(TransactWriteItem::builder().update(self.zone_update(new)).build())
            .send()
            .await;
        match sent {
            Ok(_) => Ok(TenantCreated::New),
            Err(error) => {
                let error = Error::from_sdk(&self.tables.data, error);
                // A lost answer of our own write, or somebody else's: what stands now decides.
                let stands = self.tenant_settings(&tenant).await?;
                if stands.created_at.is_none() {
                    return match &new.zone {
                        Some(zone) if stands.zone_frozen && stands.zone != *zone => Ok(TenantCreated::ZoneFrozen(stands.zone)),
                        _ => Err(error),
                    };
                }
                let same_zone = new.zone.as_ref().is_none_or(|zone| *zone == stands.zone);
                let same = same_zone && new.name == stands.name && new.currency == stands.currency;
                Ok(if same { TenantCreated::Same } else { TenantCreated::Different })
            }
        }
    }

    /// A tenant's settings; those of a tenant nobody created are UTC and nothing else.
    ///
    /// # Errors
    /// When the items cannot be read.
    pub async fn tenant_settings(&self, tenant: &Tenant) -> Result<TenantSettings, Error> {
        let (settings_key, zone_key) = (key::tenant_settings(tenant.id()), key::tenant_zone(tenant.id()));
        let (settings, zone) = tokio::try_join!(self.get(&settings_key), self.get(&zone_key))?;
        let (settings, zone) = (settings.unwrap_or_default(), zone.unwrap_or_default());
        let (settings, zone_item) = (Stored(&settings), Stored(&zone));
        Ok(TenantSettings {
            id: tenant.id().clone(),
            name: settings.optional_text(NAME)?,
            zone: zone_of(&zone_item)?.unwrap_or_else(Zone::utc),
            zone_frozen: zone_item.flag(FROZEN),
            currency: settings
                .optional_text(CURRENCY)?
                .map(|code| Currency::new(&code).map_err(|error| settings.corrupt(CURRENCY, &error.to_string())))
                .transpose()?,
            created_at: settings.instant(CREATED_AT)?,
        })
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

    fn settings_put(&self, new: &NewTenant, now: Timestamp) -> Put {
        let mut item = key_item(&key::tenant_settings(&new.id));
        item.insert(CREATED_AT.to_owned(), n(now.as_second()));
        if let Some(name) = &new.name {
            item.insert(NAME.to_owned(), s(name));
        }
        if let Some(currency) = &new.currency {
            item.insert(CURRENCY.to_owned(), s(currency.as_str()));
        }
        let put = Put::builder().table_name(&self.tables.data).set_item(Some(item));
        put.condition_expression("attribute_not_exists(pk)").build().expect("table and item are set")
    }

    fn listing_put(&self, id: &TenantId) -> Put {
        let item = key_item(&key::tenant_listing(id));
        Put::builder().table_name(&self.tables.data).set_item(Some(item)).build().expect("table and item are set")
    }

    fn zone_update(&self, new: &NewTenant) -> Update {
        let update = Update::builder()
            .table_name(&self.tables.data)
            .set_key(Some(key_item(&key::tenant_zone(&new.id))))
            .expression_attribute_names("#zone", ZONE);
        let update = match &new.zone {
            None => update
                .update_expression("SET #zone = if_not_exists(#zone, :zone)")
                .expression_attribute_values(":zone", s(Zone::utc().name())),
            Some(zone) => update
                .update_expression("SET #zone = :zone")
                .condition_expression("attribute_not_exists(#frozen) OR #zone = :zone")
                .expression_attribute_names("#frozen", FROZEN)
                .expression_attribute_values(":zone", s(zone.name())),
        };
        update.build().expect("table, key and expression are set")
    }
}

fn zone_of(stored: &Stored<'_>) -> Result<Option<Zone>, Error> {
    let name = stored.optional_text(ZONE)?;
    name.map(|name| Zone::named(&name).map_err(|error| stored.corrupt(ZONE, &error.to_string()))).transpose()
}
