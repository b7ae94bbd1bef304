//! The rates that operators set for tenants, as this process knows them. Admission asks here, and never waits for a read.
//!
//! A tenant that asks something has its rates read in the background, at most once in each [`KNOWN_FOR`]. Until the first read ends, the
//! deployment's rates hold; when a read fails, the last known ones stay. A change by operators holds in each process after that time, and
//! the read that the tenant's next request starts.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::poll_fn;
use lru::LruCache;
use tidemark_domain::TenantId;
use tidemark_runtime::process::chain;
use tidemark_store::{Error, Store, Tenant, TenantRates};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long rates are taken to be as they were read.
pub(crate) const KNOWN_FOR: Duration = Duration::from_secs(15);
/// Most tenants whose rates are known, one entry each. Beyond that, the tenant that has not asked for the longest time is forgotten: when
/// it asks again, the deployment's rates hold until its own are read again.
const TENANTS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// Most tenants that wait for a read, once each. One more is read when it asks again.
const WAITING_MAX: usize = 256;
/// Most reads under way.
const READS_AT_ONCE: usize = 16;

/// What is known. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct OwnRates {
    known: Arc<Mutex<LruCache<TenantId, Known>>>,
    waiting: mpsc::Sender<Tenant>,
    known_for: Duration,
}

/// The tenants that wait for a read.
pub(crate) type Waiting = mpsc::Receiver<Tenant>;

#[derive(Debug, Default)]
struct Known {
    rates: TenantRates,
    reading: Reading,
}

/// How it stands with reading a tenant's rates.
#[derive(Debug, Default)]
enum Reading {
    #[default]
    Never,
    Waiting,
    Ended(Instant),
}

impl OwnRates {
    pub(crate) fn new(known_for: Duration) -> (Self, Waiting) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let known = Arc::new(Mutex::new(LruCache::new(TENANTS_MAX)));
        (Self { known, waiting: sender, known_for }, waiting)
    }

    /// A tenant's rates, as far as they are known. If they are not, or no longer, they are read in the background.
    pub(crate) fn of(&self, tenant: &Tenant) -> TenantRates {
        let now = Instant::now();
        let mut known = locked(&self.known);
        let known = known.get_or_insert_mut(tenant.id().clone(), Known::default);
        let is_due = match known.reading {
            Reading::Never => true,
            Reading::Waiting => false,
            Reading::Ended(at) => now.duration_since(at) >= self.known_for,
        };
        if is_due && self.waiting.try_send(tenant.clone()).is_ok() {
            known.reading = Reading::Waiting;
        }
        known.rates
    }

    /// Reads the rates of the tenants that wait, until `shutdown`.
    pub(crate) async fn follow(self, store: Store, mut waiting: Waiting, shutdown: CancellationToken) {
        let read = |tenant: Tenant| {
            let store = store.clone();
            async move { (store.tenant_rates(&tenant).await, tenant) }
        };
        let mut reads = pin!(poll_fn(|context| waiting.poll_recv(context)).map(read).buffer_unordered(READS_AT_ONCE));
        let mut failing = false;
        loop {
            let (read, tenant) = tokio::select! {
                () = shutdown.cancelled() => return,
                Some(read) = reads.next() => read,
            };
            // Once for all reads that fail one after another: requests fail for the same reason, and each is logged.
            if let Err(error) = &read
                && !failing
            {
                tracing::warn!(error = %chain(error), "tenants' rates cannot be read; the last known ones stay in force");
            }
            failing = read.is_err();
            self.note(&tenant, read);
        }
    }

    fn note(&self, tenant: &Tenant, read: Result<TenantRates, Error>) {
        let mut known = locked(&self.known);
        // One that was forgotten meanwhile is read again when it asks again.
        let Some(known) = known.peek_mut(tenant.id()) else { return };
        known.rates = read.unwrap_or(known.rates);
        known.reading = Reading::Ended(Instant::now());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is known is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: &str) -> Tenant {
        Tenant::named_by_operator(TenantId::new(id).expect("an id"))
    }

    fn key_rps(number: u32) -> TenantRates {
        TenantRates { key_rps: Some(number), ..TenantRates::default() }
    }

    fn failed() -> Result<TenantRates, Error> {
        Err(Error::Throttled("by a test".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_read_once_at_a_time_and_again_when_they_are_old() {
        let (rates, mut waiting) = OwnRates::new(KNOWN_FOR);
        let acme = tenant("acme");
        for _ in 0..3 {
            assert_eq!(rates.of(&acme), TenantRates::default(), "the deployment's, until they are read");
            tokio::time::advance(KNOWN_FOR).await;
        }
        assert_eq!(waiting.try_recv().ok(), Some(acme.clone()));
        rates.of(&acme);
        assert!(waiting.try_recv().is_err(), "one read at a time, however long it takes");
        rates.note(&acme, Ok(key_rps(5)));
        assert_eq!(rates.of(&acme), key_rps(5));
        tokio::time::advance(KNOWN_FOR - Duration::from_millis(1)).await;
        rates.of(&acme);
        assert!(waiting.try_recv().is_err(), "they are not old yet");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(rates.of(&acme), key_rps(5), "they hold while they are read again");
        assert!(waiting.try_recv().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_fails_keeps_the_last_known_rates_and_is_made_again() {
        let (rates, mut waiting) = OwnRates::new(KNOWN_FOR);
        let acme = tenant("acme");
        for read in [Ok(key_rps(5)), failed(), failed()] {
            rates.of(&acme);
            assert!(waiting.try_recv().is_ok());
            rates.note(&acme, read);
            assert_eq!(rates.of(&acme), key_rps(5));
            assert!(waiting.try_recv().is_err(), "no sooner than after a good read");
            tokio::time::advance(KNOWN_FOR).await;
        }
        rates.of(&acme);
        waiting.try_recv().expect("a read");
        rates.note(&acme, Ok(TenantRates::default()));
        assert_eq!(rates.of(&acme), TenantRates::default(), "operators took them back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_takes_one_entry_and_one_place_and_the_longest_silent_one_is_forgotten() {
        let (rates, mut waiting) = OwnRates::new(Duration::ZERO);
        let (acme, rival) = (tenant("acme"), tenant("rival"));
        rates.of(&rival);
        rates.note(&rival, Ok(key_rps(7)));
        for _ in 0..2 * WAITING_MAX {
            rates.of(&acme);
        }
        assert_eq!((locked(&rates.known).len(), waiting.len()), (2, 2));
        for number in 0..TENANTS_MAX.get() - 2 {
            rates.of(&tenant(&format!("t{number}")));
        }
        assert_eq!(waiting.len(), WAITING_MAX);
        assert_eq!(rates.of(&rival), key_rps(7), "there is room for all of them");
        rates.of(&tenant("one-more"));
        assert_eq!(locked(&rates.known).len(), TENANTS_MAX.get());
        assert!(locked(&rates.known).peek(acme.id()).is_none(), "it was silent for the longest time");
        rates.note(&acme, Ok(key_rps(5)));
        assert_eq!(rates.of(&acme), TenantRates::default(), "the deployment's, until they are read again");
        // One that found no place to wait is read when it asks again.
        while waiting.try_recv().is_ok() {}
        rates.of(&acme);
        assert_eq!(waiting.try_recv().ok(), Some(acme));
    }

    #[tokio::test]
    async fn without_a_reader_the_deployments_rates_hold() {
        let (rates, waiting) = OwnRates::new(KNOWN_FOR);
        drop(waiting);
        assert_eq!(rates.of(&tenant("acme")), TenantRates::default());
    }
}
