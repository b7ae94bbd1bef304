//! Every key, item and transaction of Tidemark's own data table, and the running definitions beside the leases.
//!
//! Data flows through here in two directions: [`Store::commit`] takes one batch's deltas and the stream position they belong to,
//! in one transaction, and what was decided about levels; [`Store::row_page`] reads aggregates back, and the dispatcher finds through
//! [`Store::due`] what there is to send. AWS types stop here: callers pass the shard's fence through unread.
//! No function for tenant data can be called without a [`Tenant`].

mod aggregate;
mod alert;
mod attempt;
mod commit;
mod credential;
mod decisions;
mod definitions;
mod delivery;
mod dimension;
mod due;
mod edit;
mod endpoint;
mod error;
mod event;
mod fan_out;
mod id;
mod idempotency;
mod item;
mod job;
mod key;
mod level;
mod limits;
mod name;
mod provenance;
mod quarantine;
mod read;
mod rule;
mod table;
mod tenant;
mod transact;
mod zone;

pub use aggregate::{Row, RowPage, RowQuery, RowRange, Span};
pub use alert::{ActError, AlertPage, AlertQuery, AlertRecord, AlertsWanted, Change};
pub use attempt::{ATTEMPTS_MAX, Attempt};
pub use commit::{CommitError, ITEMS_MAX, Item, Refused, RowChange, RowWrite, Writes};
pub use credential::{
    ApiKey, AuthenticationError, Credential, Holder, IssuedKey, KEYS_MAX, KeyError, KeySigner, NewKey, PresentedKey, Scope,
    UnknownScope,
};
pub use decisions::{Decisions, JudgedAgain};
pub use definitions::{AdoptError, Adopted, Proposal, RunningDefinitions};
pub use delivery::{Delivery, DeliveryPage, DeliveryQuery, DeliveryState, Finish, LastAttempt, Next, RequeueError, Trigger};
pub use dimension::{KnownValue, ValuesPage, ValuesQuery};
pub use due::{Claimed, Due, DuePage, DuePlace, SLOTS, Slot, Work};
pub use endpoint::{
    ENDPOINTS_MAX, Endpoint, EndpointEffect, EndpointError, EndpointPage, EndpointState, EndpointWalk, PreviousSecret,
};
pub use error::Error;
pub use event::{Event, EventKey, EventPage, EventState, EventWrite, Hold};
pub use id::{DeliveryId, InvalidId, ulid};
pub use idempotency::{Claim, Claiming, KEPT, LEASE, Once, Released, Settled};
pub use job::{Job, JobEnd, JobKind, NewJob, Progress};
pub use level::{LevelCursor, LevelPage, LevelQuery, LevelRow, LevelWrite, LevelsBy};
pub use name::{InvalidName, NAME_LENGTH_MAX, checked_name};
pub use provenance::Provenance;
pub use quarantine::{
    Concerned, ConcernedPage, LEVEL_UNREADABLE, QuarantineCount, QuarantineId, QuarantinePage, QuarantineQuery, QuarantineWrite,
    Quarantined, STORED_UNREADABLE, StoredImage, Whose,
};
pub use rule::{LANES, RULES_MAX, RuleError, RulesCheck, RulesLane};
pub use table::{Created, Tables};
pub use tenant::{
    DeleteError, NewTenant, RATE_MAX, Tenant, TenantChange, TenantCreated, TenantError, TenantPage, TenantRates, TenantSettings,
};
pub use tidemark_dynamo::Remedy;
pub use zone::StoredZone;

use aws_sdk_dynamodb::config::SharedInterceptor;
use aws_types::SdkConfig;

use crate::limits::Limits;

/// Tidemark's tables at one endpoint.
#[derive(Debug, Clone)]
pub struct Store {
    client: aws_sdk_dynamodb::Client,
    tables: Tables,
}

impl Store {
    pub fn new(config: &SdkConfig, tables: Tables) -> Self {
        let config = aws_sdk_dynamodb::config::Builder::from(config).interceptor(Limits).build();
        Self { client: aws_sdk_dynamodb::Client::from_conf(config), tables }
    }

    /// The same, with every call going through an interceptor of the SDK: the process measures what it does.
    #[must_use]
    pub fn with_interceptor(self, interceptor: SharedInterceptor) -> Self {
        let mut config = self.client.config().to_builder();
        config.push_interceptor(interceptor);
        Self { client: aws_sdk_dynamodb::Client::from_conf(config.build()), ..self }
    }

    pub fn tables(&self) -> &Tables {
        &self.tables
    }
}
