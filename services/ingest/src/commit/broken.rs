//! Rows that have refused a delta for good, remembered: what they take is found out before a commit, not by one that fails.
//!
//! A row that is full stays so for as long as records are added to it, and a batch that meets it costs three calls instead of one, or
//! twenty where it is cut down to the record that does not fit. That is done once for each tenant: from then on whatever else a
//! tenant's rows refuse is diverted as the batch has it, so that nobody else waits for it. What is diverted, and when the row takes
//! deltas again, is decided by the row as it stands, each time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tidemark_domain::TenantId;
use tidemark_domain::delta::RowKey;
use tidemark_store::{RowWrite, Writes};

use crate::by_tenant::ByTenant;

/// Most rows remembered; a forgotten one is found out again by a commit that fails. A row's key has 1 KB at most.
const ROWS_MAX: usize = 4_000;
/// Most rows of one tenant among them.
const ROWS_OF_TENANT_MAX: usize = ROWS_MAX / 8;

type Rows = ByTenant<(RowKey, u16), ()>;

/// The rows that this process has marked broken lately.
#[derive(Debug)]
pub(super) struct BrokenRows(Mutex<Rows>);

impl Default for BrokenRows {
    fn default() -> Self {
        Self(Mutex::new(ByTenant::new(ROWS_MAX, ROWS_OF_TENANT_MAX)))
    }
}

impl BrokenRows {
    /// Remembers a row; says whether it was not known.
    pub(super) fn remember(&self, row: &RowWrite) -> bool {
        self.known().put(&row.key.tenant, (row.key.clone(), row.lane), ()).is_none()
    }

    /// Which rows of a commit are known, by index.
    pub(super) fn among(&self, writes: &Writes) -> Vec<usize> {
        let mut known = self.known();
        if known.is_empty() {
            return Vec::new();
        }
        let is_known = |(_, row): &(usize, &RowWrite)| known.get(&row.key.tenant, &(row.key.clone(), row.lane)).is_some();
        writes.rows.iter().enumerate().filter(is_known).map(|(index, _)| index).collect()
    }

    /// Whether any row of a tenant is known.
    pub(super) fn has_any_of(&self, tenant: &TenantId) -> bool {
        self.known().has_any_of(tenant)
    }

    fn known(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
