//! Tenants of quarantined records, listed for operators before the commit that first sets one aside.

use std::collections::BTreeSet;

use tidemark_store::{Concerned, Store};

use crate::known::Known;

/// Most tenants remembered, by source; a forgotten one is listed again, which changes nothing.
const TENANTS_MAX: usize = 20_000;
/// Most sources of one tenant among them.
const SOURCES_OF_TENANT_MAX: usize = 100;

/// Lists the tenants of a commit's quarantined records.
#[derive(Debug)]
pub(crate) struct ConcernedTenants {
    store: Store,
    known: Known<Concerned>,
}

impl ConcernedTenants {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, known: Known::new(TENANTS_MAX, SOURCES_OF_TENANT_MAX) }
    }

    /// Lists those that are not known to be listed.
    ///
    /// # Errors
    /// When DynamoDB does not take them.
    pub(crate) async fn list(&self, concerned: BTreeSet<Concerned>) -> Result<(), tidemark_store::Error> {
        let new = self.known.without(concerned);
        if !new.is_empty() {
            self.store.list_concerned(&new).await?;
            self.known.remember(new);
        }
        Ok(())
    }
}
