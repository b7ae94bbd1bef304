//! The endpoints that are being sent to, remembered for a moment, and whose turn it is to write one's health.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tidemark_domain::{EndpointId, TenantId};
use tidemark_store::{Endpoint, Error, Store, Tenant};
use tokio::time::Instant;

/// A change of an endpoint (its URL, its secret, that it is disabled) is noticed within this.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);
/// Most endpoints remembered, each of a few KB.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");
/// Endpoints that share a turn, by their id: a bound on how many turns there are.
const TURNS: usize = 64;

type Known = LruCache<(TenantId, EndpointId), (Instant, Arc<Endpoint>)>;

/// Reads endpoints for one process.
#[derive(Debug)]
pub(super) struct Endpoints {
    store: Store,
    known: Mutex<Known>,
    turns: [tokio::sync::Mutex<()>; TURNS],
}

impl Endpoints {
    pub(super) fn new(store: Store) -> Self {
        let turns = std::array::from_fn(|_| tokio::sync::Mutex::default());
        Self { store, known: Mutex::new(LruCache::new(REMEMBERED_MAX)), turns }
    }

    /// An endpoint that is sent to, as it was [`REMEMBERED_FOR`] ago at most. That one is disabled or gone is never remembered: what is
    /// sent again right after it was enabled must not be held for that.
    pub(super) async fn get(&self, tenant: &Tenant, id: &EndpointId) -> Result<Option<Arc<Endpoint>>, Error> {
        let of = (tenant.id().clone(), id.clone());
        let known = self.known().get(&of).cloned();
        if let Some((read_at, endpoint)) = known
            && read_at.elapsed() < REMEMBERED_FOR
        {
            return Ok(Some(endpoint));
        }
        let read_at = Instant::now();
        let endpoint = self.store.endpoint(tenant, id).await?.map(Arc::new);
        match &endpoint {
            Some(endpoint) if endpoint.is_enabled() => drop(self.known().put(of, (read_at, endpoint.clone()))),
            _ => drop(self.known().pop(&of)),
        }
        Ok(endpoint)
    }

    /// Has an endpoint read again the next time: it was just written.
    pub(super) fn forget(&self, tenant: &Tenant, id: &EndpointId) {
        self.known().pop(&(tenant.id().clone(), id.clone()));
    }

    /// To be locked while an endpoint's health is read and written: two that do so at once would each undo what the other noted.
    pub(super) fn turn(&self, id: &EndpointId) -> &tokio::sync::Mutex<()> {
        let turn = crc32fast::hash(id.as_str().as_bytes()) as usize % TURNS;
        &self.turns[turn]
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
