//! Making keys, listing them, taking them back: so many for each holder, and no more.
//!
//! A key is two items: what a request is looked up by, and its entry in the holder's list. Both vanish by themselves some time after
//! the key has expired, each when it likes, so no counter could follow; the list is counted instead, under a version that every new key
//! raises.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use jiff::Timestamp;
use secrecy::SecretString;

use super::{HASH, Holder, KEY_EXPIRES_AT, KeySigner, SCOPES, Scope, TENANT, hash, is_id, scope, spelled};
use crate::Store;
use crate::edit::Edit;
use crate::error::Error;
use crate::idempotency::Settled;
use crate::item::{Item, Stored, key_item, n, s};
use crate::key::{self, API_KEY_PREFIX, EXPIRES_AT, PK};
use crate::read::{Order, Stretch};
use crate::tenant::is_staying;
use crate::transact::NotMade;

const NAME: &str = "name";
const CREATED_AT: &str = "created_at";
const VERSION: &str = "version";

/// Most keys of one tenant, and of the operators together. Those that have expired do not count.
pub const KEYS_MAX: usize = 100;
/// How often a key is tried that meets another being made.
const ATTEMPTS_MAX: usize = 5;

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

/// What is known of a key: everything but its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: String,
    pub scopes: BTreeSet<Scope>,
    pub name: Option<String>,
    /// To the second.
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("there are {KEYS_MAX} keys, and there can be no more: delete one that is not needed")]
    Quota,
    #[error("the tenant is being deleted")]
    TenantLeaving,
    /// Others make keys at the same time, or the claim of an `Idempotency-Key` was taken over.
    #[error("other keys were made meanwhile")]
    ConditionFailed,
    #[error(transparent)]
    Store(#[from] Error),
}

impl NewKey {
    /// A key and its secret, not yet stored. Without a signer its look-ups share a limit with those of made-up keys.
    pub fn mint(&self, signer: Option<&KeySigner>, now: Timestamp) -> IssuedKey {
        // The id begins with the time, so that lists are in the order of making.
        let id = format!("{:012x}{}", now.as_millisecond(), hex::encode(rand::random::<[u8; 4]>()));
        let key = spelled(&id, rand::random(), signer).into();
        IssuedKey { id, key }
    }

    /// Whether it would be of no use from the start: it ends by `now`, to the second.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at.as_second() <= now.as_second())
    }

    /// What both items say.
    fn describe(&self, now: Timestamp) -> Item {
        let mut item =
            Item::from([(SCOPES.to_owned(), s(scope::text(&self.scopes))), (CREATED_AT.to_owned(), n(now.as_second()))]);
        if let Holder::Tenant(tenant) = &self.holder {
            item.insert(TENANT.to_owned(), s(tenant.id().as_str()));
        }
        if let Some(name) = &self.name {
            item.insert(NAME.to_owned(), s(name));
        }
        if let Some(expires_at) = self.expires_at {
            item.insert(KEY_EXPIRES_AT.to_owned(), n(expires_at.as_second()));
            item.insert(EXPIRES_AT.to_owned(), n(expires_at.as_second()));
        }
        item
    }
}

impl Holder {
    fn id(&self) -> Option<&tidemark_domain::TenantId> {
        match self {
            Self::Tenant(tenant) => Some(tenant.id()),
            Self::Operator => None,
        }
    }
}

impl ApiKey {
    /// Whether it is of no use any more.
    fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    fn read(item: &Item) -> Result<Self, Error> {
        let stored = Stored(item);
        let sk = stored.text(key::SK)?;
        let id = sk.strip_prefix(API_KEY_PREFIX).ok_or_else(|| stored.corrupt(key::SK, "is no key's"))?;
        Ok(Self {
            id: id.to_owned(),
            scopes: scope::read(&stored.text(SCOPES)?),
            name: stored.optional_text(NAME)?,
            created_at: stored.instant(CREATED_AT)?.ok_or_else(|| stored.corrupt(CREATED_AT, "is missing"))?,
            expires_at: stored.instant(KEY_EXPIRES_AT)?,
        })
    }
}

impl Store {
    /// Makes a key, as [`NewKey::mint`] does, and stores it.
    ///
    /// # Errors
    /// [`KeyError`], and when it cannot be stored.
    pub async fn create_key(&self, new: &NewKey, signer: Option<&KeySigner>, now: Timestamp) -> Result<IssuedKey, KeyError> {
        let issued = new.mint(signer, now);
        self.store_key(new, &issued, now, None).await?;
        Ok(issued)
    }

    /// Stores a key that was minted, with the answer that is kept for an `Idempotency-Key`.
    ///
    /// # Errors
    /// [`KeyError`], and when it cannot be stored.
    pub async fn store_key(
        &self,
        new: &NewKey,
        issued: &IssuedKey,
        now: Timestamp,
        settled: Option<&Settled>,
    ) -> Result<(), KeyError> {
        for _ in 0..ATTEMPTS_MAX {
            let version = self.keys_version(&new.holder).await?;
            let (over, live): (Vec<_>, Vec<_>) =
                self.keys_stored(&new.holder).await?.into_iter().partition(|key| key.is_over(now));
            if live.len() >= KEYS_MAX {
                return Err(KeyError::Quota);
            }
            // Before the list outgrows what is read of it.
            for key in over {
                self.delete_key(&new.holder, &key.id).await?;
            }
            let mut items = self.key_puts(new, issued, now);
            let edit = Edit::of(&key::api_keys_version(new.holder.id())).add(VERSION, n(1));
            items.push(edit.only_if_still(VERSION, version.map(n)).within(&self.tables.data));
            let staying_at = items.len();
            items.extend(new.holder.id().map(|tenant| is_staying(tenant, &self.tables.data)));
            let settled_at = items.len();
            items.extend(settled.map(|settled| settled.within(&self.tables.data)));
            match self.transact(items).await {
                Ok(()) => return Ok(()),
                Err(NotMade::Failed(error)) => return Err(error.into()),
                // Only another key is worth another look.
                Err(NotMade::Refused(refused)) if refused.contains(&settled_at) => break,
                Err(NotMade::Refused(refused)) if refused.contains(&staying_at) => return Err(KeyError::TenantLeaving),
                Err(NotMade::Refused(_)) => {}
            }
        }
        Err(KeyError::ConditionFailed)
    }

    /// All keys of a holder that have not expired, oldest first; at most [`KEYS_MAX`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn keys(&self, holder: &Holder, now: Timestamp) -> Result<Vec<ApiKey>, Error> {
        let keys = self.keys_stored(holder).await?;
        Ok(keys.into_iter().filter(|key| !key.is_over(now)).collect())
    }

    /// Takes a key back: the next request that presents it is refused. False: the holder has no such key.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn delete_key(&self, holder: &Holder, id: &str) -> Result<bool, Error> {
        if !is_id(id) {
            return Ok(false);
        }
        let listing = key::api_key_listing(holder.id(), id);
        // The list is the holder's own: what is not in it is somebody else's.
        let delete = self.delete(&listing, PK, s(&listing.pk));
        match self.transact(vec![delete, self.delete_any(&key::api_key(id))]).await {
            Ok(()) => Ok(true),
            Err(NotMade::Refused(_)) => Ok(false),
            Err(NotMade::Failed(error)) => Err(error),
        }
    }

    async fn keys_stored(&self, holder: &Holder) -> Result<Vec<ApiKey>, Error> {
        let pk = key::api_key_listing(holder.id(), "").pk;
        let wanted = Stretch { pk: &pk, prefix: API_KEY_PREFIX, after: None, order: Order::Rising, limit: KEYS_MAX };
        self.stretch(&wanted).await?.items.iter().map(ApiKey::read).collect()
    }

    async fn keys_version(&self, holder: &Holder) -> Result<Option<u64>, Error> {
        let item = self.get(&key::api_keys_version(holder.id())).await?;
        Ok(item.map(|item| Stored(&item).number(VERSION)).transpose()?.flatten())
    }

    fn key_puts(&self, new: &NewKey, issued: &IssuedKey, now: Timestamp) -> Vec<TransactWriteItem> {
        use secrecy::ExposeSecret;
        let stored_hash: AttributeValue = s(hash(issued.key.expose_secret()));
        let mut key = new.describe(now);
        key.extend(key_item(&key::api_key(&issued.id)));
        key.insert(HASH.to_owned(), stored_hash);
        let mut listing = new.describe(now);
        listing.extend(key_item(&key::api_key_listing(new.holder.id(), &issued.id)));
        vec![self.put_new(key), self.put_new(listing)]
    }
}
