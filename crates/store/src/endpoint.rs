//! Webhook endpoints: where a tenant wants its events sent. ALERTS §4.
//!
//! What people set is guarded by `version`; `health` is the dispatcher's own and is not. Secrets are sealed by the caller: here they
//! are texts.

mod walk;

pub use walk::{EndpointPage, EndpointWalk};

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use tidemark_domain::EndpointId;

use crate::edit::Edit;
use crate::error::Error;
use crate::event::EventWrite;
use crate::idempotency::Settled;
use crate::item::{Item, Stored, json, n, s};
use crate::key;
use crate::read::{Order, Stretch};
use crate::transact::NotMade;
use crate::{Store, Tenant};

const URL: &str = "url";
const EVENT_TYPES: &str = "event_types";
const DESCRIPTION: &str = "description";
const HEADERS: &str = "headers";
const STATE: &str = "state";
const ENABLED: &str = "enabled";
const DISABLED: &str = "disabled";
const DISABLED_REASON: &str = "disabled_reason";
const DISABLED_AT: &str = "disabled_at";
const SECRET: &str = "secret";
const PREVIOUS_SECRET: &str = "previous_secret";
const PREVIOUS_UNTIL: &str = "previous_until";
const HEALTH: &str = "health";
const CREATED_AT: &str = "created_at";
const UPDATED_AT: &str = "updated_at";
const VERSION: &str = "version";
const COUNT: &str = "endpoints";

/// Most endpoints of a tenant: an event is fanned out to all of them in one transaction.
pub const ENDPOINTS_MAX: usize = 50;

/// An endpoint as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub id: EndpointId,
    pub url: String,
    /// `None`: all.
    pub event_types: Option<Vec<String>>,
    pub description: Option<String>,
    /// Sent along with every event.
    pub headers: BTreeMap<String, String>,
    pub state: EndpointState,
    /// Sealed.
    pub secret: String,
    pub previous_secret: Option<PreviousSecret>,
    /// The dispatcher's notes about successes and failures; `None`: nothing was sent since it was enabled.
    pub health: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Raised by one with every change but those of its health.
    pub version: u64,
}

/// The secret before the last rotation.
#[derive(Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// Sealed.
    pub secret: String,
    /// Until then it signs along; exclusive.
    pub until: Timestamp,
}

/// Whether an endpoint is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointState {
    Enabled,
    /// Its deliveries are held.
    Disabled {
        reason: String,
        at: Timestamp,
    },
}

/// What an attempt means for its endpoint. Nothing, as a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointEffect {
    /// Its health from now on.
    pub health: Option<String>,
    /// It is disabled, for this reason.
    pub disabled: Option<(String, Timestamp)>,
    /// What the tenant's other endpoints are told.
    pub events: Vec<EventWrite>,
}

/// Why an endpoint was not written.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("a tenant has at most {ENDPOINTS_MAX} endpoints")]
    Quota,
    /// It was changed or deleted since it was read.
    #[error("the endpoint was changed meanwhile")]
    ConditionFailed,
    #[error(transparent)]
    Store(#[from] Error),
}

impl std::fmt::Debug for Endpoint {
    /// Without headers and secrets, which may be credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, url, state, health, version, .. } = self;
        write!(f, "Endpoint {{ id: {id}, url: {url:?}, state: {state:?}, health: {health:?}, version: {version}, .. }}")
    }
}

impl Endpoint {
    pub fn is_enabled(&self) -> bool {
        self.state == EndpointState::Enabled
    }

    fn read(item: &Item) -> Result<Self, Error> {
        let stored = Stored(item);
        let state = match stored.text(STATE)?.as_str() {
            ENABLED => EndpointState::Enabled,
            DISABLED => EndpointState::Disabled { reason: stored.text(DISABLED_REASON)?, at: stored.moment(DISABLED_AT)? },
            other => return Err(stored.corrupt(STATE, &format!("`{other}` is unknown"))),
        };
        let previous = stored.optional_text(PREVIOUS_SECRET)?;
        let previous = previous.map(|secret| Ok::<_, Error>(PreviousSecret { secret, until: stored.moment(PREVIOUS_UNTIL)? }));
        Ok(Self {
            id: stored.parsed(key::SK)?,
            url: stored.text(URL)?,
            event_types: if item.contains_key(EVENT_TYPES) { Some(stored.json(EVENT_TYPES)?) } else { None },
            description: stored.optional_text(DESCRIPTION)?,
            headers: stored.json(HEADERS)?,
            state,
            secret: stored.text(SECRET)?,
            previous_secret: previous.transpose()?,
            health: stored.optional_text(HEALTH)?,
            created_at: stored.moment(CREATED_AT)?,
            updated_at: stored.moment(UPDATED_AT)?,
            version: stored.number(VERSION)?.ok_or_else(|| stored.corrupt(VERSION, "is missing"))?,
        })
    }

    /// The attributes that people set; an absent one is not to be there.
    fn attributes(&self) -> [(&'static str, Option<AttributeValue>); 13] {
        let (state, reason, disabled_at) = match &self.state {
            EndpointState::Enabled => (ENABLED, None, None),
            EndpointState::Disabled { reason, at } => (DISABLED, Some(s(reason)), Some(s(at.to_string()))),
        };
        let previous = self.previous_secret.as_ref();
        [
            (URL, Some(s(&self.url))),
            (EVENT_TYPES, self.event_types.as_ref().map(json)),
            (DESCRIPTION, self.description.as_ref().map(s)),
            (HEADERS, Some(json(&self.headers))),
            (STATE, Some(s(state))),
            (DISABLED_REASON, reason),
            (DISABLED_AT, disabled_at),
            (SECRET, Some(s(&self.secret))),
            (PREVIOUS_SECRET, previous.map(|previous| s(&previous.secret))),
            (PREVIOUS_UNTIL, previous.map(|previous| s(previous.until.to_string()))),
            (CREATED_AT, Some(s(self.created_at.to_string()))),
            (UPDATED_AT, Some(s(self.updated_at.to_string()))),
            (VERSION, Some(n(self.version))),
        ]
    }
}

impl EndpointEffect {
    pub(crate) fn is_empty(&self) -> bool {
        self.health.is_none() && self.disabled.is_none() && self.events.is_empty()
    }

    /// The update of an endpoint that is still there, and still enabled where it is to be disabled.
    pub(crate) fn edit(&self, tenant: &Tenant, endpoint: &EndpointId) -> Edit {
        let mut edit = Edit::of(&key::endpoint(tenant.id(), endpoint)).only_if_there();
        if let Some(health) = &self.health {
            edit = edit.set(HEALTH, s(health));
        }
        if let Some((reason, at)) = &self.disabled {
            edit = edit.set(STATE, s(DISABLED)).only_if(STATE, s(ENABLED));
            edit = edit.set(DISABLED_REASON, s(reason)).set(DISABLED_AT, s(at.to_string())).add(VERSION, n(1));
        }
        edit
    }
}

impl Store {
    /// # Errors
    /// When it cannot be read.
    pub async fn endpoint(&self, tenant: &Tenant, id: &EndpointId) -> Result<Option<Endpoint>, Error> {
        let item = self.get(&key::endpoint(tenant.id(), id)).await?;
        item.as_ref().map(Endpoint::read).transpose()
    }

    /// All endpoints of a tenant, oldest first; at most [`ENDPOINTS_MAX`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn endpoints(&self, tenant: &Tenant) -> Result<Vec<Endpoint>, Error> {
        let pk = key::endpoints(tenant.id());
        let prefix = EndpointId::PREFIX;
        let wanted = Stretch { pk: &pk, prefix, after: None, order: Order::Rising, limit: ENDPOINTS_MAX };
        self.stretch(&wanted).await?.items.iter().map(Endpoint::read).collect()
    }

    /// Writes a new endpoint. Its health is not written.
    ///
    /// # Errors
    /// [`EndpointError::Quota`], and when it cannot be stored.
    pub async fn create_endpoint(&self, tenant: &Tenant, endpoint: &Endpoint) -> Result<(), EndpointError> {
        self.create_endpoint_once(tenant, endpoint, None).await
    }

    /// As [`create_endpoint`](Self::create_endpoint), with the answer that is kept for an `Idempotency-Key`.
    ///
    /// # Errors
    /// As `create_endpoint`; [`EndpointError::ConditionFailed`] also when the key's claim was taken over.
    pub async fn create_endpoint_once(
        &self,
        tenant: &Tenant,
        endpoint: &Endpoint,
        settled: Option<&Settled>,
    ) -> Result<(), EndpointError> {
        let mut item = crate::item::key_item(&key::endpoint(tenant.id(), &endpoint.id));
        let attributes = endpoint.attributes().into_iter();
        item.extend(attributes.filter_map(|(name, value)| Some((name.to_owned(), value?))));
        let count = Edit::of(&key::endpoint_count(tenant.id())).add(COUNT, n(1)).only_if_below(COUNT, n(ENDPOINTS_MAX));
        let mut items = vec![self.put_new(item), count.within(&self.tables.data)];
        items.extend(settled.map(|settled| settled.within(&self.tables.data)));
        match self.transact(items).await {
            Ok(()) => Ok(()),
            Err(NotMade::Failed(error)) => Err(error.into()),
            Err(NotMade::Refused(refused)) if refused.contains(&1) => Err(EndpointError::Quota),
            Err(NotMade::Refused(_)) => Err(EndpointError::ConditionFailed),
        }
    }

    /// Replaces what people set of an endpoint, if that is still as it was read, and raises its version. One that is enabled again
    /// begins with a clean health.
    ///
    /// # Errors
    /// [`EndpointError::ConditionFailed`], and when it cannot be stored.
    pub async fn update_endpoint(&self, tenant: &Tenant, read: &Endpoint, to: Endpoint) -> Result<Endpoint, EndpointError> {
        let to = Endpoint { id: read.id.clone(), version: read.version + 1, ..to };
        let mut edit = Edit::of(&key::endpoint(tenant.id(), &read.id)).only_if(VERSION, n(read.version));
        for (name, value) in to.attributes() {
            edit = edit.set_or_remove(name, value);
        }
        if to.is_enabled() && !read.is_enabled() {
            edit = edit.remove(HEALTH);
        }
        match self.edit(edit).await {
            Ok(item) => Ok(Endpoint::read(&item)?),
            Err(Error::ConditionFailed) => Err(EndpointError::ConditionFailed),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an endpoint, if what people set is still as it was read. Its deliveries are cancelled as they come due.
    ///
    /// # Errors
    /// [`EndpointError::ConditionFailed`], and when DynamoDB cannot be asked.
    pub async fn delete_endpoint(&self, tenant: &Tenant, read: &Endpoint) -> Result<(), EndpointError> {
        let delete = self.delete(&key::endpoint(tenant.id(), &read.id), VERSION, n(read.version));
        let count = Edit::of(&key::endpoint_count(tenant.id())).add(COUNT, n(-1));
        match self.transact(vec![delete, count.within(&self.tables.data)]).await {
            Ok(()) => Ok(()),
            Err(NotMade::Refused(_)) => Err(EndpointError::ConditionFailed),
            Err(NotMade::Failed(error)) => Err(error.into()),
        }
    }
}
