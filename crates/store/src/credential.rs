//! API keys: made once, shown once, stored as a hash.
//!
//! A key is `tdm_<id>_<secret>_<checksum>`. The checksum refuses a mistyped key without a look-up.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use jiff::Timestamp;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tidemark_domain::TenantId;

use crate::error::Error;
use crate::item::{Item, Stored, key_item, n, s};
use crate::key;
use crate::{Store, Tenant};

const HASH: &str = "sha256";
const TENANT: &str = "tenant";
const SCOPES: &str = "scopes";
const NAME: &str = "name";
const CREATED_AT: &str = "created_at";
const KEY_EXPIRES_AT: &str = "key_expires_at";

/// What a credential may do. `operator` is of no tenant, and no other scope comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    MetricsRead,
    InventoryRead,
    AlertsRead,
    AlertsWrite,
    RulesWrite,
    WebhooksWrite,
    KeysWrite,
    Operator,
}

impl Scope {
    const ALL: [(Self, &'static str); 8] = [
        (Self::MetricsRead, "metrics:read"),
        (Self::InventoryRead, "inventory:read"),
        (Self::AlertsRead, "alerts:read"),
        (Self::AlertsWrite, "alerts:write"),
        (Self::RulesWrite, "rules:write"),
        (Self::WebhooksWrite, "webhooks:write"),
        (Self::KeysWrite, "keys:write"),
        (Self::Operator, "operator"),
    ];

    /// Every scope a tenant's key can have.
    pub fn of_tenants() -> BTreeSet<Self> {
        Self::ALL.into_iter().map(|(scope, _)| scope).filter(|scope| *scope != Self::Operator).collect()
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (_, text) = Self::ALL.iter().find(|(scope, _)| scope == self).expect("the table holds every scope");
        f.write_str(text)
    }
}

/// The text is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scope; scopes: metrics:read inventory:read alerts:read alerts:write rules:write webhooks:write keys:write")]
pub struct UnknownScope(String);

impl std::str::FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(scope, _)| scope).ok_or_else(|| UnknownScope(text.chars().take(40).collect()))
    }
}

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
    #[error("the key is mistyped: its checksum does not fit")]
    Malformed,
    #[error("the key is unknown or was revoked")]
    Unknown,
    #[error("the key has expired")]
    Expired,
    #[error(transparent)]
    Store(#[from] Error),
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub holder: Holder,
    pub scopes: BTreeSet<Scope>,
    pub name: Option<String>,
    /// Seconds matter, fractions do not.
    pub expires_at: Option<Timestamp>,
}

/// A key that was made. It cannot be shown again.
#[derive(Debug)]
pub struct IssuedKey {
    pub id: String,
    pub key: SecretString,
}

impl Store {
    /// Makes a key.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn create_key(&self, new: &NewKey, now: Timestamp) -> Result<IssuedKey, Error> {
        // The id begins with the time, so that lists are in the order of making.
        let id = format!("{:012x}{}", now.as_millisecond(), hex::encode(rand::random::<[u8; 4]>()));
        let body = format!("tdm_{id}_{}", hex::encode(rand::random::<[u8; 32]>()));
        let presented = format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()));
        let tenant = match &new.holder {
            Holder::Tenant(tenant) => Some(tenant.id()),
            Holder::Operator => None,
        };
        let mut key = new.describe(now);
        key.extend(key_item(&key::api_key(&id)));
        key.insert(HASH.to_owned(), s(hash(&presented)));
        let mut listing = new.describe(now);
        listing.extend(key_item(&key::api_key_listing(tenant, &id)));
        let put = |item: Item| {
            let put = Put::builder().table_name(&self.tables.data).set_item(Some(item)).build();
            TransactWriteItem::builder().put(put.expect("table and item are set")).build()
        };
        let request = self.client.transact_write_items().transact_items(put(key)).transact_items(put(listing));
        request.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
        Ok(IssuedKey { id, key: presented.into() })
    }

    /// Finds out whose key was presented.
    ///
    /// # Errors
    /// [`AuthenticationError`] says why it is not good; a mistyped key is refused without asking DynamoDB.
    pub async fn authenticate(&self, presented: &str, now: Timestamp) -> Result<Credential, AuthenticationError> {
        let id = id_of(presented).ok_or(AuthenticationError::Malformed)?;
        let item = self.get(&key::api_key(id)).await?.ok_or(AuthenticationError::Unknown)?;
        let stored = Stored(&item);
        let same = stored.text(HASH)?.as_bytes().ct_eq(hash(presented).as_bytes());
        if !bool::from(same) {
            return Err(AuthenticationError::Unknown);
        }
        if stored.instant(KEY_EXPIRES_AT)?.is_some_and(|expires_at| expires_at <= now) {
            return Err(AuthenticationError::Expired);
        }
        let holder = match stored.optional_text(TENANT)? {
            None => Holder::Operator,
            Some(tenant) => {
                let tenant = TenantId::new(&tenant).map_err(|error| stored.corrupt(TENANT, &error.to_string()))?;
                Holder::Tenant(Tenant::of_credential(tenant))
            }
        };
        // A scope of a newer version is none this binary could honour.
        let scopes = stored.text(SCOPES)?.split(' ').filter_map(|scope| scope.parse().ok()).collect();
        Ok(Credential { key_id: id.to_owned(), holder, scopes })
    }
}

impl NewKey {
    fn describe(&self, now: Timestamp) -> HashMap<String, AttributeValue> {
        let scopes: Vec<String> = self.scopes.iter().map(Scope::to_string).collect();
        let mut item = HashMap::from([(SCOPES.to_owned(), s(scopes.join(" "))), (CREATED_AT.to_owned(), n(now.as_second()))]);
        if let Holder::Tenant(tenant) = &self.holder {
            item.insert(TENANT.to_owned(), s(tenant.id().as_str()));
        }
        if let Some(name) = &self.name {
            item.insert(NAME.to_owned(), s(name));
        }
        if let Some(expires_at) = self.expires_at {
            item.insert(KEY_EXPIRES_AT.to_owned(), n(expires_at.as_second()));
            item.insert(key::EXPIRES_AT.to_owned(), n(expires_at.as_second()));
        }
        item
    }
}

/// The id inside a key whose checksum fits.
fn id_of(presented: &str) -> Option<&str> {
    let (body, checksum) = presented.rsplit_once('_')?;
    let checksum = (checksum.len() == 8).then(|| u32::from_str_radix(checksum, 16).ok())??;
    if checksum != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let (id, secret) = body.strip_prefix("tdm_")?.split_once('_')?;
    let hexadecimal = |text: &str| text.bytes().all(|c| c.is_ascii_hexdigit());
    (id.len() == 20 && hexadecimal(id) && secret.len() == 64 && hexadecimal(secret)).then_some(id)
}

fn hash(presented: &str) -> String {
    hex::encode(Sha256::digest(presented))
}
