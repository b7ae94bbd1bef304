//! Every key, item and transaction of Tidemark's own data table, and the running definitions beside the leases.
//!
//! Data flows through here in two directions: [`Store::commit`] takes one batch's deltas and the stream position they belong to,
//! in one transaction; [`Store::rows`] reads aggregates back. AWS types stop here: callers pass the shard's fence through unread.
//! No function for tenant data can be called without a [`Tenant`].

mod aggregate;
mod commit;
mod credential;
mod definitions;
mod dimension;
mod error;
mod item;
mod key;
mod provenance;
mod quarantine;
mod table;
mod tenant;

pub use aggregate::{Row, RowRange, RowsError, Span};
pub use commit::{CommitError, ITEMS_MAX, Item, RowChange, RowWrite, Writes};
pub use credential::{AuthenticationError, Credential, Holder, IssuedKey, NewKey, Scope};
pub use definitions::{AdoptError, Adopted, RunningDefinitions};
pub use dimension::KnownValue;
pub use error::Error;
pub use provenance::Provenance;
pub use quarantine::{
    QuarantineCount, QuarantineId, QuarantinePage, QuarantineQuery, QuarantineWrite, Quarantined, StoredImage, Whose,
};
pub use table::{Created, Tables};
pub use tenant::{NewTenant, Tenant, TenantCreated, TenantSettings};

use aws_types::SdkConfig;

/// Tidemark's tables at one endpoint.
#[derive(Debug, Clone)]
pub struct Store {
    client: aws_sdk_dynamodb::Client,
    tables: Tables,
}

impl Store {
    pub fn new(config: &SdkConfig, tables: Tables) -> Self {
        Self { client: aws_sdk_dynamodb::Client::new(config), tables }
    }

    pub fn tables(&self) -> &Tables {
        &self.tables
    }
}
