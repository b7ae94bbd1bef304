//! Access tokens of the deployment's OpenID Connect issuer: JWTs (RFC 7519) by its published keys, and nothing else.
//!
//! What a token says of how it is to be checked is not believed: the algorithm is one of three, and must be the one of the key that the
//! token names; keys come from the issuer alone (`jku`, `jwk` and `x5u` are not looked at); what must be understood (`crit`) is not.

mod fetch;
mod keys;
mod kind;
mod rotation;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tidemark_domain::TenantId;
use tidemark_store::Scope;

use crate::settings::OidcSettings;
use fetch::Fetcher;
use keys::Key;
use rotation::Keys;
pub(crate) use rotation::NoKey;

/// The algorithms that are accepted; none of them is symmetric.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How far an issuer's clock may be from ours, in seconds.
const LEEWAY_SECONDS: f64 = 60.0;
/// Most characters of a subject that is kept as it is; others are known by their digest.
const SUBJECT_LENGTH_MAX: usize = 128;

/// Verifies tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    settings: Arc<OidcSettings>,
    keys: Arc<Keys>,
}

/// A good token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub tenant: TenantId,
    /// Who it was issued for, in visible ASCII.
    pub subject: String,
    pub scopes: BTreeSet<Scope>,
}

/// What the header of a token says, which no signature covers yet: the key it names, and by which algorithm.
struct Named {
    kid: String,
    algorithm: Algorithm,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("{0}")]
    Refused(&'static str),
    /// Not the token's fault, as far as is known.
    #[error("the issuer's keys are not available")]
    IssuerUnavailable,
}

impl Named {
    fn read(token: &str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Refused("the token is longer than 8 KiB"));
        }
        // Also what has another number of parts, or an algorithm that has no name here, as `none` has none.
        let header = decode_header(token).map_err(|_| TokenError::Refused("this is neither an API key nor an access token"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(TokenError::Refused("the token's algorithm is none of RS256, ES256, EdDSA"));
        }
        if header.crit.is_some() || header.extras.inner().contains_key("crit") {
            return Err(TokenError::Refused("the token has critical headers, and none are known here"));
        }
        if !header.typ.as_deref().is_none_or(kind::is_accepted) {
            return Err(TokenError::Refused(kind::REFUSED));
        }
        let kid = header.kid.ok_or(TokenError::Refused("the token names no key"))?;
        Ok(Self { kid, algorithm: header.alg })
    }
}

impl Tokens {
    /// Does not ask the issuer: the first token does.
    pub(crate) fn new(settings: OidcSettings) -> Self {
        let keys = Keys::of(Fetcher::new(settings.issuer.clone()));
        Self { settings: Arc::new(settings), keys: Arc::new(keys) }
    }

    /// Waits until the issuer has been asked for the key that a token names, if it has to be asked now. Whether the token is any good is
    /// for [`Self::verify`] to say.
    ///
    /// # Errors
    /// [`NoKey::Unavailable`] when as many requests wait as may wait.
    pub(crate) async fn await_keys(&self, token: &str) -> Result<(), NoKey> {
        match Named::read(token) {
            Ok(Named { kid, .. }) => self.keys.ask_for(&kid).await,
            Err(_) => Ok(()),
        }
    }

    /// Verifies a token by the keys that are known. It waits for nothing.
    ///
    /// # Errors
    /// See [`TokenError`]; what cannot be a token is refused before any key is looked for.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Token, TokenError> {
        let Named { kid, algorithm } = Named::read(token)?;
        let key = self.keys.find(&kid).map_err(|missing| match missing {
            NoKey::Unknown => TokenError::Refused("the token's key is not its issuer's"),
            NoKey::Unavailable => TokenError::IssuerUnavailable,
        })?;
        if key.algorithm != algorithm {
            return Err(TokenError::Refused("the token's key is for another algorithm"));
        }
        self.read(&self.signed(token, &key)?, now)
    }

    /// The claims of a token that its key has signed, for us, by the issuer.
    fn signed(&self, token: &str, key: &Key) -> Result<Map<String, Value>, TokenError> {
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[self.settings.issuer.as_str()]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["iss", "aud"]);
        // Times are judged below, by our own clock.
        validation.validate_exp = false;
        let decoded = decode(token, &key.decoding, &validation).map_err(|error| {
            TokenError::Refused(match error.kind() {
                ErrorKind::InvalidIssuer => "the token is of another issuer",
                ErrorKind::InvalidAudience => "the token is for another audience",
                ErrorKind::MissingRequiredClaim(_) => "the token lacks its issuer or its audience",
                ErrorKind::InvalidSignature => "the token's signature is wrong",
                _ => "the token cannot be read",
            })
        })?;
        Ok(decoded.claims)
    }

    /// What the claims of a genuine token come to.
    fn read(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Token, TokenError> {
        if kind::is_id_token(claims) {
            return Err(TokenError::Refused("this is an ID token, which says who signed in; send the access token instead"));
        }
        if !self.settings.clients.is_empty() && !kind::client(claims).is_some_and(|id| self.settings.clients.contains(id)) {
            return Err(TokenError::Refused("the token was issued to a client that TIDEMARK_OIDC_CLIENTS does not name"));
        }
        let now = now.as_second() as f64;
        let seconds = |name: &str| claims.get(name).map(|value| value.as_f64().ok_or(()));
        match seconds("exp") {
            Some(Ok(exp)) if exp + LEEWAY_SECONDS > now => {}
            Some(Ok(_)) => return Err(TokenError::Refused("the token has expired")),
            None | Some(Err(())) => return Err(TokenError::Refused("the token does not say when it expires")),
        }
        match seconds("nbf") {
            None => {}
            Some(Ok(nbf)) if nbf - LEEWAY_SECONDS <= now => {}
            Some(_) => return Err(TokenError::Refused("the token is not valid yet")),
        }
        let tenant = claims.get(&self.settings.tenant_claim).and_then(Value::as_str).and_then(|id| TenantId::new(id).ok());
        let tenant = tenant.ok_or(TokenError::Refused("the token's tenant claim is missing or is not a valid tenant id"))?;
        let scopes = claims.get(&self.settings.scopes_claim).map(scopes).unwrap_or_default();
        // Limits and acknowledgements go by it: nameless callers would share them.
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty()).map(subject);
        let subject = subject.ok_or(TokenError::Refused("the token does not say whom it was issued for"))?;
        Ok(Token { tenant, subject, scopes })
    }
}

/// The scopes of a list of texts, or of one text with spaces. Others than ours are for somebody else, and `operator` no issuer gives.
fn scopes(claim: &Value) -> BTreeSet<Scope> {
    let known = |text: &str| text.parse().ok().filter(|scope| *scope != Scope::Operator);
    match claim {
        Value::String(text) => text.split(' ').filter_map(known).collect(),
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).filter_map(known).collect(),
        _ => BTreeSet::new(),
    }
}

/// A subject as it is shown and limited by.
fn subject(text: &str) -> String {
    if text.len() <= SUBJECT_LENGTH_MAX && text.bytes().all(|c| c.is_ascii_graphic()) {
        return text.to_owned();
    }
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
