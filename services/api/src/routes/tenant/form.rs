//! The bodies that create or change a tenant: what they may say, and what they come to.

use serde_json::{Value, json};
use tidemark_domain::{Currency, TenantId, Zone};
use tidemark_store::{NewTenant, RATE_MAX, TenantChange, TenantRates, TenantSettings};
use utoipa::ToSchema;

use super::{Editor, TenantLimits};
use crate::body::{Fields, Object};
use crate::limits::Rates;
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
    limits: Option<TenantRatesBody>,
}

/// The rates of one tenant. A number that is null or missing has the deployment's value.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantRates, example = json!({"key_rps": 200, "key_burst": 400}))]
#[expect(dead_code, reason = "documents a part of bodies that are read by their fields")]
pub(crate) struct TenantRatesBody {
    /// Requests a second of one key. All keys of the tenant together may write at a tenth of it.
    #[schema(minimum = 1, maximum = 1_000_000)]
    key_rps: Option<u32>,
    /// Requests of one key at once, after a pause. All keys of the tenant together may write half as many.
    #[schema(minimum = 1, maximum = 1_000_000)]
    key_burst: Option<u32>,
    /// Requests a second of all keys together.
    #[schema(minimum = 1, maximum = 1_000_000)]
    tenant_rps: Option<u32>,
    /// Requests of all keys together at once, after a pause.
    #[schema(minimum = 1, maximum = 1_000_000)]
    tenant_burst: Option<u32>,
}

/// The fields of a tenant that operators can change; see `NewTenant` for what the fields mean.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AdminTenantPatch, example = json!({"name": "Acme Ltd", "limits": {"key_rps": 200, "key_burst": null}}))]
#[expect(dead_code, reason = "documents the body that a tenant is merged with")]
pub(crate) struct AdminTenantPatch {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    #[schema(min_length = 1)]
    time_zone: Option<String>,
    #[schema(pattern = "^[A-Za-z0-9_-]{1,16}$")]
    currency: Option<String>,
    /// Null: the deployment's values apply.
    limits: Option<TenantRatesBody>,
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
    rates: TenantRates,
}

impl TenantForm {
    /// Reads a body of settings alone.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub(super) fn read(body: Object, editor: Editor) -> Result<Self, ApiError> {
        let mut fields = Fields::of(body);
        let form = Self::take(&mut fields, editor);
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
        let Self { name, zone, currency, rates } = Self::take(&mut fields, Editor::Operator);
        fields.finish(|| Some(NewTenant { id: id?, name, zone, currency, rates }))
    }

    /// Errors stay with the fields.
    fn take(fields: &mut Fields, editor: Editor) -> Self {
        let name = fields.read("name", checked_name);
        let zone = fields.text("time_zone").and_then(|name| {
            Zone::named(&name).map_err(|error| fields.refuse("time_zone", Code::UnknownTimeZone, error.to_string())).ok()
        });
        let currency = fields.read("currency", Currency::new);
        let rates = match editor {
            Editor::Tenant => None,
            Editor::Operator => fields.object("limits", |fields| Some(rates(fields))),
        };
        Self { name, zone, currency, rates: rates.unwrap_or_default() }
    }

    /// What a tenant's settings come to.
    pub(super) fn over(self, read: &TenantSettings, editor: Editor) -> TenantChange {
        let Self { name, zone, currency, rates } = self;
        let rates = match editor {
            Editor::Tenant => read.rates,
            Editor::Operator => rates,
        };
        TenantChange { name, zone: zone.unwrap_or_else(Zone::utc), currency, rates }
    }
}

/// Errors stay with the fields.
fn rates(fields: &mut Fields) -> TenantRates {
    let mut number = |name| fields.whole_number(name, 1..=RATE_MAX);
    TenantRates {
        key_rps: number("key_rps"),
        key_burst: number("key_burst"),
        tenant_rps: number("tenant_rps"),
        tenant_burst: number("tenant_burst"),
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
pub(super) fn writable(settings: &TenantSettings, editor: Editor) -> Object {
    let mut fields =
        vec![("name", json!(settings.name)), ("time_zone", json!(settings.zone)), ("currency", json!(settings.currency))];
    if editor == Editor::Operator {
        let limits = settings.rates.named().into_iter().map(|(name, number)| (name.to_owned(), json!(number)));
        fields.push(("limits", limits.collect::<Object>().into()));
    }
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A tenant, as an example.
pub(crate) fn example() -> Value {
    let own = TenantRates { key_rps: Some(200), key_burst: Some(400), ..TenantRates::default() };
    json!({
        "id": "acme", "name": "Acme Ltd", "time_zone": "Europe/Berlin", "time_zone_frozen": true, "currency": "EUR",
        "limits": TenantLimits::of(Rates::DEFAULT.with(own), own), "created_at": "2026-03-30T09:14:05Z", "version": 3
    })
}
