//! The body that makes a key, and how keys are shown.

use std::collections::BTreeSet;

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json};
use tidemark_store::{ApiKey, Holder, KEYS_MAX, KeyError, NewKey, Scope, Tenant};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::body::{Fields, Object};
use crate::idempotency::{Attempt, Created};
use crate::iso8601;
use crate::problem::{ApiError, Code, Conflict, Unavailable};
use crate::routes::tenant::form::checked_name;
use crate::state::ApiState;

/// A key to be made.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey, example = json!({"name": "dashboard", "scopes": ["metrics:read", "inventory:read"], "expires_at": "2126-01-01T00:00:00Z"}))]
#[expect(dead_code, reason = "documents the body that is read by its fields")]
pub(crate) struct KeyBody {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    #[schema(value_type = Vec<ScopeName>, min_items = 1)]
    scopes: Vec<String>,
    /// From when on it is refused; a fraction of a second is left off. Never unless given.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<String>,
}

/// Documents a scope that a tenant's key can have.
pub(crate) struct ScopeName;

impl PartialSchema for ScopeName {
    fn schema() -> RefOr<Schema> {
        let scopes: Vec<String> = Scope::of_tenants().iter().map(Scope::to_string).collect();
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(scopes)).into()
    }
}

impl ToSchema for ScopeName {
    fn name() -> std::borrow::Cow<'static, str> {
        "Scope".into()
    }
}

/// What is known of a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey, example = json!(example()))]
pub(crate) struct ApiKeyShape {
    /// The part of the key behind `tdm_`, which is no secret.
    pub id: String,
    #[schema(required)]
    pub name: Option<String>,
    #[schema(value_type = Vec<ScopeName>, min_items = 1)]
    pub scopes: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Null: never.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub expires_at: Option<Timestamp>,
    /// Whether this request was made with it.
    pub current: bool,
}

/// A key with its secret: in the answer that makes it, and never again.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedApiKey, example = json!(issued_example()))]
pub(crate) struct IssuedKeyShape {
    #[serde(flatten)]
    pub shown: ApiKeyShape,
    /// What requests present as `Authorization: Bearer`.
    #[schema(pattern = "^tdm_")]
    pub key: String,
}

/// What a body asks for.
#[derive(Debug)]
pub(crate) struct KeyForm {
    name: Option<String>,
    pub scopes: BTreeSet<Scope>,
    expires_at: Option<Timestamp>,
}

/// Who has a key made, by the id of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Maker<'a> {
    /// Somebody of the tenant, who finds it at its address.
    Colleague(&'a str),
    /// An operator, to whom the tenant's addresses are closed.
    Operator(&'a str),
}

impl KeyForm {
    /// # Errors
    /// Everything that is wrong with the body, at once.
    pub(crate) fn read(body: Object, now: Timestamp) -> Result<Self, ApiError> {
        let mut fields = Fields::of(body);
        fields.require(&["scopes"]);
        let name = fields.read("name", checked_name);
        let scopes = fields.texts("scopes", tenants_scope).map(BTreeSet::from_iter);
        if scopes.as_ref().is_some_and(BTreeSet::is_empty) {
            fields.refuse("scopes", Code::InvalidValue, "must have at least one scope");
        }
        let expires_at = fields.read("expires_at", iso8601::instant).map(whole_seconds);
        if expires_at.is_some_and(|expires_at| expires_at <= now) {
            fields.refuse("expires_at", Code::UnfitInstant, "must be in the future");
        }
        fields.finish(|| Some(Self { name, scopes: scopes?, expires_at }))
    }
}

impl ApiKeyShape {
    /// As it is shown to whoever made the request with the key `current`.
    pub(super) fn of(key: ApiKey, current: &str) -> Self {
        let ApiKey { id, scopes, name, created_at, expires_at } = key;
        Self { current: id == current, id, name, scopes: scopes.iter().map(Scope::to_string).collect(), created_at, expires_at }
    }
}

/// Makes a key for a tenant.
pub(crate) async fn issue(
    state: &ApiState,
    tenant: &Tenant,
    form: KeyForm,
    maker: Maker<'_>,
    attempt: &Attempt,
) -> Result<Created, ApiError> {
    let now = state.now();
    let (Maker::Colleague(by) | Maker::Operator(by)) = maker;
    let KeyForm { name, scopes, expires_at } = form;
    let new = NewKey { holder: Holder::Tenant(tenant.clone()), scopes, name, expires_at };
    let issued = new.mint(Some(&state.key_signer), now);
    let NewKey { scopes, name, .. } = new.clone();
    let known = ApiKey { id: issued.id.clone(), scopes, name, created_at: whole_seconds(now), expires_at };
    let shown = IssuedKeyShape { shown: ApiKeyShape::of(known, by), key: issued.key.expose_secret().to_owned() };
    let created = match maker {
        Maker::Colleague(_) => Created::new(&shown).at(format!("/v1/api-keys/{}", issued.id)),
        Maker::Operator(_) => Created::new(&shown),
    };
    let settled = attempt.settled(&created);
    state.store.store_key(&new, &issued, now, settled.as_ref()).await.map_err(of_key_error)?;
    tracing::info!(by, tenant = %tenant.id(), key = issued.id, "API key made");
    Ok(created)
}

fn tenants_scope(text: &str) -> Result<Scope, String> {
    match text.parse() {
        Ok(Scope::Operator) => Err("must be a tenant's scope; `operator` is not".to_owned()),
        Ok(scope) => Ok(scope),
        Err(error) => Err(error.to_string()),
    }
}

/// An instant as keys have it.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).expect("no later than a valid instant")
}

fn of_key_error(error: KeyError) -> ApiError {
    match error {
        KeyError::Quota => ApiError::Quota { what: "API keys", max: KEYS_MAX },
        KeyError::TenantLeaving => Conflict::TenantLeaving.into(),
        KeyError::ConditionFailed => ApiError::Unavailable(Unavailable::Contended),
        KeyError::Store(error) => ApiError::of_store(error),
    }
}

/// A key, as an example.
pub(crate) fn example() -> Value {
    json!({
        "id": "019d3e0fd6c85b9a10fe", "name": "dashboard", "scopes": ["inventory:read", "metrics:read"],
        "created_at": "2026-03-30T09:14:05Z", "expires_at": "2126-01-01T00:00:00Z", "current": false
    })
}

fn issued_example() -> Value {
    let mut example = example();
    example["key"] = "tdm_019d3e0fd6c85b9a10fe_(64 hexadecimal digits)_(16 more)".into();
    example
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<KeyForm, ApiError> {
        let Value::Object(body) = body else { panic!("a body is an object") };
        KeyForm::read(body, Timestamp::from_second(1_800_000_000).expect("an instant"))
    }

    fn faults(body: Value) -> Vec<(String, Code)> {
        let Err(ApiError::Parameters(errors)) = read(body) else { panic!("the body is wrong") };
        errors.into_iter().map(|error| (error.parameter, error.code)).collect()
    }

    #[test]
    fn a_key_says_what_it_may_do_and_is_no_operators() {
        let form = read(json!({ "scopes": ["keys:write", "metrics:read", "keys:write"], "expires_at": null })).expect("a key");
        assert_eq!(form.scopes, BTreeSet::from([Scope::KeysWrite, Scope::MetricsRead]));
        assert_eq!(faults(json!({})), [("scopes".to_owned(), Code::MissingField)]);
        assert_eq!(faults(json!({ "scopes": [] })), [("scopes".to_owned(), Code::InvalidValue)]);
        let body = json!({
            "name": "", "scopes": ["operator", "metrics:write", "alerts:read"], "expires_at": "2027-01-15T07:59:59Z",
            "tenant": "rival"
        });
        let expected = [
            ("name", Code::InvalidValue),
            ("scopes[0]", Code::InvalidValue),
            ("scopes[1]", Code::InvalidValue),
            ("expires_at", Code::UnfitInstant),
            ("tenant", Code::UnknownField),
        ];
        assert_eq!(faults(body), expected.map(|(name, code)| (name.to_owned(), code)));
    }
}
