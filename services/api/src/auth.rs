//! From a request's credential to its tenant. A handler gets a [`Tenant`] from [`Caller`] and from nowhere else, and the store's
//! functions demand one: a route that forgets to ask for a scope does not compile.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header, request::Parts};
use tidemark_store::{AuthenticationError, Credential, Holder, Tenant};

use crate::problem::ApiError;
use crate::state::ApiState;

/// The scopes a route can ask for, as types.
pub(crate) mod scope {
    use tidemark_store::Scope;

    /// One scope.
    pub(crate) trait Required: Send + Sync {
        const SCOPE: Scope;
    }

    macro_rules! scope {
        ($(#[$doc:meta])* $name:ident) => {
            $(#[$doc])*
            #[derive(Debug)]
            pub(crate) struct $name;

            impl Required for $name {
                const SCOPE: Scope = Scope::$name;
            }
        };
    }

    scope!(
        /// Reading metrics, their freshness, and what could not be counted.
        MetricsRead
    );
    scope!(
        /// Reading what is in stock.
        InventoryRead
    );
    scope!(
        /// Reading alerts and the rules behind them.
        AlertsRead
    );
    scope!(
        /// Acknowledging, resolving and muting alerts.
        AlertsWrite
    );
    scope!(
        /// Making, changing and deleting alert rules.
        RulesWrite
    );
    scope!(
        /// Everything about webhook endpoints and their deliveries, reading included.
        WebhooksWrite
    );
}

/// Whoever made the request, known to have the scope `S`.
#[derive(Debug)]
pub(crate) struct Caller<S> {
    pub tenant: Tenant,
    /// Of the key: who acknowledged an alert, say.
    pub key_id: String,
    scope: PhantomData<S>,
}

impl<S: scope::Required> Caller<S> {
    fn of(credential: Credential) -> Result<Self, ApiError> {
        let Holder::Tenant(tenant) = credential.holder else { return Err(ApiError::NoTenant) };
        if !credential.scopes.contains(&S::SCOPE) {
            return Err(ApiError::MissingScope(S::SCOPE));
        }
        Ok(Self { tenant, key_id: credential.key_id, scope: PhantomData })
    }
}

impl<S: scope::Required> FromRequestParts<ApiState> for Caller<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let presented = bearer(&parts.headers)?;
        let credential = state.store.authenticate(presented, state.now()).await.map_err(of_authentication)?;
        Self::of(credential)
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    const EXPECTED: &str = "give one API key, as `Authorization: Bearer tdm_…`";
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
        AuthenticationError::Malformed => ApiError::Unauthenticated("this is no API key: it is mistyped or cut short"),
        AuthenticationError::Unknown => ApiError::Unauthenticated("no such API key"),
        AuthenticationError::Expired => ApiError::Unauthenticated("this API key has expired"),
        AuthenticationError::Store(error) => ApiError::of_store(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::HeaderValue;
    use tidemark_domain::TenantId;
    use tidemark_store::Scope;

    use super::scope::MetricsRead;
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
