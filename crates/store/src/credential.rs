//! API keys: made once, shown once, stored as a hash.
//!
//! A key is `tdm_<id>_<secret>_<checksum>`. The checksum says whether this deployment made the key, before anything is read
//! (`signer.rs`). A key is looked up with each request, so one that is deleted is refused from then on.

mod issue;
mod scope;
mod signer;

use std::collections::BTreeSet;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tidemark_domain::TenantId;

use crate::error::Error;
use crate::item::Stored;
use crate::key;
use crate::{Store, Tenant};

pub use issue::{ApiKey, IssuedKey, KEYS_MAX, KeyError, NewKey};
pub use scope::{Scope, UnknownScope};
pub use signer::{KeySigner, PresentedKey};
use signer::{is_id, spelled};

const HASH: &str = "sha256";
const TENANT: &str = "tenant";
const SCOPES: &str = "scopes";
const KEY_EXPIRES_AT: &str = "key_expires_at";

/// Who presented a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    Tenant(Tenant),
    Operator,
}

/// A key that was presented and is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub key_id: String,
    pub holder: Holder,
    pub scopes: BTreeSet<Scope>,
}

/// Why a presented key is not good.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    #[error("the key is unknown or was revoked")]
    Unknown,
    #[error("the key has expired")]
    Expired,
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// Finds out whose key was presented.
    ///
    /// # Errors
    /// [`AuthenticationError`] says why it is not good.
    pub async fn authenticate(&self, presented: &PresentedKey<'_>, now: Timestamp) -> Result<Credential, AuthenticationError> {
        let id = presented.id;
        let item = self.get(&key::api_key(id)).await?.ok_or(AuthenticationError::Unknown)?;
        let stored = Stored(&item);
        let same = stored.text(HASH)?.as_bytes().ct_eq(hash(presented.text).as_bytes());
        if !bool::from(same) {
            return Err(AuthenticationError::Unknown);
        }
        if stored.instant(KEY_EXPIRES_AT)?.is_some_and(|expires_at| expires_at <= now) {
            return Err(AuthenticationError::Expired);
        }
        let scopes = stored.text(SCOPES)?;
        let holder = holder(&stored, &scopes)?;
        Ok(Credential { key_id: id.to_owned(), holder, scopes: scope::read(&scopes) })
    }
}

/// Whose key an item is. One without a tenant is an operator's only if its scopes are `operator` and nothing else, which is what every
/// operator's key has been stored with; a tenant's key has never had that scope. So the key of a tenant whose attribute `tenant` was lost
/// (an edit by hand, a bad restore) is corrupt and is refused, instead of being an operator's.
fn holder(stored: &Stored<'_>, scopes: &str) -> Result<Holder, Error> {
    match stored.optional_text(TENANT)? {
        Some(tenant) => {
            let tenant = TenantId::new(&tenant).map_err(|error| stored.corrupt(TENANT, &error.to_string()))?;
            Ok(Holder::Tenant(Tenant::of_credential(tenant)))
        }
        None if scopes == Scope::Operator.to_string() => Ok(Holder::Operator),
        None => Err(stored.corrupt(TENANT, "is missing, and the key has not the scope `operator` alone")),
    }
}

fn hash(presented: &str) -> String {
    hex::encode(Sha256::digest(presented))
}
