//! The bodies that create or change a tenant: what they may say, and what they come to.

use serde_json::{Value, json};
use tidemark_domain::{Currency, TenantId, Zone};
use tidemark_store::{NewTenant, TenantChange, TenantSettings};
use utoipa::ToSchema;

use super::TenantLimits;
use crate::body::{Fields, Object};
use crate::problem::{ApiError, Code};

/// Most characters of a tenant's or a key's name.
pub(crate) const NAME_LENGTH_MAX: usize = 200;

/// A tenant to be created.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTenant, example = json!({"id": "acme", "name": "Acme Ltd", "time_zone": "Europe/Berlin", "currency": "EUR"}))]
#[expect(dead_code, reason = "documents the body that is read by its fields")]
pub(crate) struct TenantBody {
    /// As its records have it: 1 to 64 of `A-Z a-z 0-9 _ -`.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    id: String,
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// An IANA zone; UTC unless given. It can be changed until the first record is counted.
    #[schema(min_length = 1)]
    time_zone: Option<String>,
    #[schema(pattern = "^[A-Za-z0-9_-]{1,16}$")]
    currency: Option<String>,
}

/// What of a tenant is to be changed; see `NewTenant` for what the fields mean.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantPatch, example = json!({"name": "Acme Ltd", "currency": null}))]
#[expect(dead_code, reason = "documents the body that a tenant is merged with")]
pub(crate) struct TenantPatch {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    #[schema(min_length = 1)]
    time_zone: Option<String>,
    #[schema(pattern = "^[A-Za-z0-9_-]{1,16}$")]
    currency: Option<String>,
}

/// Settings as a body gives them.
#[derive(Debug, Default)]
pub(crate) struct TenantForm {
    name: Option<String>,
    zone: Option<Zone>,
    currency: Option<Currency>,
}

impl TenantForm {
    /// Reads a body of settings alone.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub(super) fn read(body: Object) -> Result<Self, ApiError> {
        let mut fields = Fields::of(body);
        let form = Self::take(&mut fields);
        fields.finish(|| Some(form))
    }

    /// Reads a body that names a new tenant, too.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_new(body: Object) -> Result<NewTenant, ApiError> {
        let mut fields = Fields::of(body);
        fields.require(&["id"]);
        let id = fields.read("id", TenantId::new);
        let Self { name, zone, currency } = Self::take(&mut fields);
        fields.finish(|| Some(NewTenant { id: id?, name, zone, currency }))
    }

    /// Errors stay with the fields.
    fn take(fields: &mut Fields) -> Self {
        let name = fields.read("name", checked_name);
        let zone = fields.text("time_zone").and_then(|name| {
            Zone::named(&name).map_err(|error| fields.refuse("time_zone", Code::UnknownTimeZone, error.to_string())).ok()
        });
        Self { name, zone, currency: fields.read("currency", Currency::new) }
    }

    /// What a tenant's settings come to.
    pub(super) fn over(self) -> TenantChange {
        let Self { name, zone, currency } = self;
        TenantChange { name, zone: zone.unwrap_or_else(Zone::utc), currency }
    }
}

/// A name of a tenant or a key.
pub(crate) fn checked_name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if (1..=NAME_LENGTH_MAX).contains(&length) {
        Ok(text.to_owned())
    } else {
        Err(format!("must have 1 to {NAME_LENGTH_MAX} characters"))
    }
}

/// The part of a tenant that a patch can change, as a body of its own.
pub(super) fn writable(settings: &TenantSettings) -> Object {
    let fields = [("name", json!(settings.name)), ("time_zone", json!(settings.zone)), ("currency", json!(settings.currency))];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A tenant, as an example.
pub(crate) fn example() -> Value {
    json!({
        "id": "acme", "name": "Acme Ltd", "time_zone": "Europe/Berlin", "time_zone_frozen": true, "currency": "EUR",
        "limits": TenantLimits::STANDING, "created_at": "2026-03-30T09:14:05Z", "version": 3
    })
}
