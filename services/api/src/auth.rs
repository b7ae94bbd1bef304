//! From a request's credential to its tenant. A handler gets a [`Tenant`] from [`Caller`], or as an [`Operator`] by its name, and from
//! nowhere else; and the store's functions demand one: a route that forgets to ask for a scope does not compile.
//!
//! A credential is an API key, looked up with each request, or an access token of the deployment's issuer, if it has one.

pub(crate) mod oidc;
pub(crate) mod scope;

use std::collections::BTreeSet;
use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, Method, header, request::Parts};
use jiff::Timestamp;
use tidemark_domain::TenantId;
use tidemark_store::{AuthenticationError, Credential, Holder, Scope, Tenant, TenantRates};

use oidc::{TokenError, Tokens};

use crate::instruments;
use crate::limits::{Admission, Asked, Effect};
use crate::problem::{ApiError, Unavailable};
use crate::state::ApiState;

/// What every API key begins with, and no token.
const KEY_PREFIX: &str = "tdm_";
const EXPECTED: &str = "give one API key, as `Authorization: Bearer tdm_…`";
const MALFORMED: &str = "this is no API key: it is mistyped or cut short";
const UNKNOWN: &str = "no such API key: it is mistyped, or it was deleted";
const EXPIRED: &str = "this API key has expired";

/// Whoever made the request, known to have the scope `S`.
#[derive(Debug)]
pub(crate) struct Caller<S> {
    pub tenant: Tenant,
    /// Of the key: who acknowledged an alert, say. Of a token `oidc:` and its subject.
    pub key_id: String,
    /// All it has: a key that it makes can have these.
    pub scopes: BTreeSet<Scope>,
    scope: PhantomData<S>,
}

/// Whoever made the request, known to be an operator.
#[derive(Debug)]
pub(crate) struct Operator {
    /// For the log: operators are told apart by their keys.
    pub key_id: String,
    /// Only a credential makes one.
    _proof: (),
}

impl<S: scope::Required> Caller<S> {
    fn of(credential: Credential) -> Result<Self, ApiError> {
        let Holder::Tenant(tenant) = credential.holder else { return Err(ApiError::NoTenant) };
        if !credential.scopes.contains(&S::SCOPE) {
            return Err(ApiError::MissingScope(S::SCOPE));
        }
        Ok(Self { tenant, key_id: credential.key_id, scopes: credential.scopes, scope: PhantomData })
    }

    /// What the request will do. One that lacks the scope will be refused and changes nothing: a key that may only read cannot use up
    /// its tenant's writes.
    fn effect(method: &Method, credential: &Credential) -> Effect {
        if credential.scopes.contains(&S::SCOPE) { S::effect_of(method) } else { Effect::Read }
    }
}

impl Operator {
    fn of(credential: Credential) -> Result<Self, ApiError> {
        match credential.holder {
            Holder::Tenant(_) => Err(ApiError::NotOperator),
            Holder::Operator if !credential.scopes.contains(&Scope::Operator) => Err(ApiError::MissingScope(Scope::Operator)),
            Holder::Operator => Ok(Self { key_id: credential.key_id, _proof: () }),
        }
    }

    /// The tenant of this id, whether it was created or not.
    ///
    /// # Errors
    /// 404 for what can be no tenant's id.
    pub(crate) fn tenant(&self, id: &str) -> Result<Tenant, ApiError> {
        TenantId::new(id).map(Tenant::named_by_operator).map_err(|_| ApiError::NotFound)
    }
}

impl<S: scope::Required> FromRequestParts<ApiState> for Caller<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        admitted(parts, state, Self::effect).await.and_then(Self::of).inspect_err(count)
    }
}

impl FromRequestParts<ApiState> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        // Operators' writes are not limited.
        admitted(parts, state, |_, _| Effect::Read).await.and_then(Self::of).inspect_err(count)
    }
}

/// The request's credential, within the limits of its key and tenant.
async fn admitted(
    parts: &Parts,
    state: &ApiState,
    effect: impl FnOnce(&Method, &Credential) -> Effect,
) -> Result<Credential, ApiError> {
    let presented = bearer(&parts.headers)?;
    let credential = match &state.tokens {
        Some(tokens) if is_token(presented) => verify(state, tokens, presented, state.now()).await?,
        _ => look_up(state, presented).await?,
    };
    let (whose, own) = match &credential.holder {
        Holder::Tenant(tenant) => (Some(tenant.id()), state.own_rates.of(tenant)),
        Holder::Operator => (None, TenantRates::default()),
    };
    let admission = parts.extensions.get::<Admission>().cloned().unwrap_or_default();
    let effect = effect(&parts.method, &credential);
    state.limits.admit(&admission, Asked { key: &credential.key_id, whose, own, effect })?;
    Ok(credential)
}

/// Finds out whose token it is. Its tenant must have been created here: an issuer makes no tenants, and a tenant that is deleted is
/// gone for its tokens at once.
async fn verify(state: &ApiState, tokens: &Tokens, presented: &str, now: Timestamp) -> Result<Credential, ApiError> {
    let token = tokens.verify(presented, now).map_err(|error| match error {
        TokenError::Refused(why) => ApiError::Unauthenticated(why),
        TokenError::IssuerUnavailable => ApiError::Unavailable(Unavailable::Issuer),
    })?;
    let tenant = state.store.tenant_of_token(token.tenant).await.map_err(ApiError::of_store)?;
    let tenant = tenant.ok_or(ApiError::Unauthenticated("the token's tenant is not known here"))?;
    Ok(Credential { key_id: format!("oidc:{}", token.subject), holder: Holder::Tenant(tenant), scopes: token.scopes })
}

/// Finds out whose key it is. What look-ups of made-up keys may cost is bounded; a key that this deployment has signed is not made up.
async fn look_up(state: &ApiState, presented: &str) -> Result<Credential, ApiError> {
    let key = state.key_signer.read(presented).ok_or(ApiError::Unauthenticated(MALFORMED))?;
    let knock = state.limits.strangers.knock(presented, key.is_signed())?;
    let looked_up = state.store.authenticate(&key, state.now()).await;
    match &looked_up {
        Ok(_) => knock.welcomed(),
        Err(AuthenticationError::Unknown) => knock.refused(UNKNOWN),
        Err(AuthenticationError::Expired) => knock.refused(EXPIRED),
        Err(AuthenticationError::Store(_)) => knock.unanswered(),
    }
    looked_up.map_err(of_authentication)
}

/// The access token of a request, if its credential can be one.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).ok().filter(|presented| is_token(presented))
}

fn is_token(presented: &str) -> bool {
    !presented.starts_with(KEY_PREFIX)
}

fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(ApiError::Unauthenticated(EXPECTED)) };
    let parts = value.to_str().ok().and_then(|value| value.split_once(' '));
    match parts {
        Some((kind, key)) if kind.eq_ignore_ascii_case("bearer") => Ok(key.trim()),
        _ => Err(ApiError::Unauthenticated(EXPECTED)),
    }
}

fn of_authentication(error: AuthenticationError) -> ApiError {
    match error {
        AuthenticationError::Unknown => ApiError::Unauthenticated(UNKNOWN),
        AuthenticationError::Expired => ApiError::Unauthenticated(EXPIRED),
        AuthenticationError::Store(error) => ApiError::of_store(error),
    }
}

/// Counts what the credential is to blame for.
fn count(error: &ApiError) {
    let reason = match error {
        ApiError::Unauthenticated(EXPECTED) => "missing",
        ApiError::Unauthenticated(MALFORMED) => "malformed",
        ApiError::Unauthenticated(UNKNOWN) => "unknown",
        ApiError::Unauthenticated(EXPIRED) => "expired",
        ApiError::Unauthenticated(_) => "token",
        ApiError::MissingScope(_) => "missing_scope",
        ApiError::NoTenant => "no_tenant",
        ApiError::NotOperator => "not_operator",
        _ => return,
    };
    instruments::auth_failed(reason);
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::scope::{MetricsRead, RulesWrite};
    use super::*;

    fn credential(holder: Holder, scope: Scope) -> Credential {
        Credential { key_id: "k1".to_owned(), holder, scopes: BTreeSet::from([scope]) }
    }

    #[test]
    fn a_caller_has_a_tenant_and_the_scope() {
        let acme = || Holder::Tenant(Tenant::named_by_operator(TenantId::new("acme").expect("an id")));
        let caller =
            |holder, scope| Caller::<MetricsRead>::of(credential(holder, scope)).map(|caller| caller.tenant.id().to_string());
        assert_eq!(caller(acme(), Scope::MetricsRead).ok().as_deref(), Some("acme"));
        assert!(matches!(caller(acme(), Scope::AlertsRead), Err(ApiError::MissingScope(Scope::MetricsRead))));
        assert!(matches!(caller(Holder::Operator, Scope::Operator), Err(ApiError::NoTenant)));
    }

    #[test]
    fn a_request_without_the_scope_takes_nothing_of_its_tenants_writes() {
        let acme = || Holder::Tenant(Tenant::named_by_operator(TenantId::new("acme").expect("an id")));
        let effect = |scope| Caller::<RulesWrite>::effect(&Method::PATCH, &credential(acme(), scope));
        assert_eq!(effect(Scope::RulesWrite), Effect::Write);
        assert_eq!(effect(Scope::AlertsRead), Effect::Read);
    }

    #[test]
    fn an_operator_is_of_no_tenant_and_has_the_scope() {
        let acme = Holder::Tenant(Tenant::named_by_operator(TenantId::new("acme").expect("an id")));
        let operator = |holder, scope| Operator::of(credential(holder, scope)).map(|operator| operator.key_id);
        assert_eq!(operator(Holder::Operator, Scope::Operator).ok().as_deref(), Some("k1"));
        assert!(matches!(operator(Holder::Operator, Scope::KeysWrite), Err(ApiError::MissingScope(Scope::Operator))));
        assert!(matches!(operator(acme, Scope::Operator), Err(ApiError::NotOperator)), "whatever such a key says of itself");
    }

    #[test]
    fn a_credential_is_one_bearer_key() {
        let headers = |values: &[&str]| {
            let pairs = values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_str(value).expect("ASCII")));
            pairs.collect::<HeaderMap>()
        };
        assert_eq!(bearer(&headers(&["bearer tdm_1"])).ok(), Some("tdm_1"));
        for bad in [&[][..], &["tdm_1"], &["Basic abc"], &["Bearer a", "Bearer b"]] {
            assert!(matches!(bearer(&headers(bad)), Err(ApiError::Unauthenticated(_))), "{bad:?}");
        }
    }
}
