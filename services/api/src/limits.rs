//! Who may ask how often, and how much at once: per key, per tenant, and for those whose key is not known yet. All in this process.
//!
//! Requests that write have a further, smaller bucket per tenant. A changed rule costs 24 write units, and every shard decides its
//! current batch again by the tenant's new rules, with the other tenants' records in it: the rate of reads is too high for that.
//!
//! Written here rather than with `governor`: its keyed limiters grow with every key that comes, and what the headers must say of limits
//! that a request passes together or not at all is not theirs to tell. A bucket is one instant with its rate, and the rest is three LRU maps.

mod bucket;
mod memory;
mod pages;
mod places;
mod rates;
mod strangers;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use lru::LruCache;
use tidemark_domain::TenantId;
use tidemark_store::TenantRates;
use tokio::time::Instant;

use crate::instruments::{self, Limit};
use crate::problem::ApiError;
use crate::router::REQUESTS_AT_ONCE_MAX;

pub use bucket::Rate;
pub(crate) use bucket::seconds;
use bucket::{Bucket, Passed};
pub(crate) use memory::{Full, Memory, Share};
pub(crate) use pages::{PagePlace, PageQueue, Pages, TENANT_PAGES_MAX};
pub(crate) use places::Place;
use places::Places;
pub use rates::Rates;
pub(crate) use strangers::Strangers;

/// Requests for the page for people and the document, by all clients together: they need no key.
const DOCS: Rate = Rate { per_second: 50, burst: 500 };
/// Most requests of one tenant that are answered at once: a quarter of all places, so that nobody can take the others'.
pub(crate) const TENANT_AT_ONCE_MAX: usize = REQUESTS_AT_ONCE_MAX / 4;
/// Most tests of webhook endpoints that one tenant may have under way. A test holds one of the places for requests until its receiver
/// has answered or the request's time is over.
const TENANT_TESTS_MAX: usize = 4;
/// Most tests of all tenants together: a sixteenth of all places.
const TESTS_MAX: usize = REQUESTS_AT_ONCE_MAX / 16;
/// Most keys, and most tenants, whose buckets are remembered. One that is forgotten begins full, so whoever wants that to happen needs
/// more good keys than this.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// What a client that has too many requests under way waits before it asks again.
const AT_ONCE_PAUSE: Duration = Duration::from_secs(1);

pub(crate) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// The limits of one process.
#[derive(Debug)]
pub(crate) struct Limits {
    deployment: Rates,
    buckets: Mutex<Buckets>,
    docs: Mutex<Bucket>,
    /// The layer in `router.rs` limits those of all tenants together.
    requests: Arc<Places>,
    tests: Arc<Places>,
    pub memory: Arc<Memory>,
    pub pages: Arc<Pages>,
    pub strangers: Strangers,
}

/// `None`: the operators.
type Whose = Option<TenantId>;

#[derive(Debug)]
struct Buckets {
    /// With their tenants: subjects of tokens are names of an issuer's making, and two tenants' may be the same.
    keys: LruCache<(Whose, String), Bucket>,
    tenants: LruCache<Whose, Bucket>,
    writes: LruCache<TenantId, Bucket>,
}

/// A request whose key is known to be good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The key's id.
    pub key: &'a str,
    /// `None`: the operators.
    pub whose: Option<&'a TenantId>,
    /// What operators set for the tenant, as far as it is known.
    pub own: TenantRates,
    pub effect: Effect,
}

/// Whether a request counts as a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Read,
    /// It changes what is stored for its tenant. Operators' writes are not limited.
    Write,
}

/// What a request was found to be allowed; in its extensions, and filled in once its key is known. It holds the request's place
/// among its tenant's until the last clone is gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admission {
    admitted: Arc<OnceLock<Admitted>>,
    place: Arc<OnceLock<Place>>,
}

/// Whose request it is, and how its limits stand.
#[derive(Debug)]
struct Admitted {
    limits: Arc<Limits>,
    whose: Whose,
    standing: Mutex<Standing>,
}

/// How a key and its tenant stand with the limits that the request counts for, in the order of [`Admission::write`].
#[derive(Debug)]
struct Standing {
    limits: Vec<(Limit, Rate, Passed)>,
}

impl Limits {
    /// With the rates of all that have none of their own.
    pub(crate) fn new(deployment: Rates) -> Self {
        Self {
            deployment,
            docs: Mutex::default(),
            buckets: Mutex::new(Buckets {
                keys: LruCache::new(REMEMBERED_MAX),
                tenants: LruCache::new(REMEMBERED_MAX),
                writes: LruCache::new(REMEMBERED_MAX),
            }),
            requests: Places::new(TENANT_AT_ONCE_MAX, usize::MAX),
            tests: Places::new(TENANT_TESTS_MAX, TESTS_MAX),
            memory: Memory::new(memory::TENANT_BYTES_MAX, memory::PROCESS_BYTES_MAX),
            pages: Pages::new(),
            strangers: Strangers::default(),
        }
    }

    /// The rates of a tenant for which operators set these.
    pub(crate) fn rates(&self, own: TenantRates) -> Rates {
        self.deployment.with(own)
    }

    /// Admits a request for the page for people or the document.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(crate) fn admit_docs(&self) -> Result<(), ApiError> {
        let Some(wait) = locked(&self.docs).take(DOCS, Instant::now()).wait else { return Ok(()) };
        instruments::limited(Limit::Docs);
        Err(ApiError::RateLimited(wait))
    }

    /// Admits a request whose key is known to be good, and notes how its limits stand. A request that one limit refuses takes no token
    /// of any.
    ///
    /// # Errors
    /// `rate_limited`, `too_many_at_once`.
    pub(crate) fn admit(self: &Arc<Self>, admission: &Admission, asked: Asked<'_>) -> Result<(), ApiError> {
        let standing = self.count(asked, Instant::now());
        let refusals = standing.limits.iter().filter_map(|(limit, _, passed)| Some((passed.wait?, *limit)));
        let refusal = refusals.max_by_key(|(wait, _)| *wait);
        // A request has one key, and is let in once.
        let whose = asked.whose.cloned();
        admission.admitted.get_or_init(|| Admitted { limits: Arc::clone(self), whose, standing: Mutex::new(standing) });
        if let Some((wait, limit)) = refusal {
            instruments::limited(limit);
            return Err(ApiError::RateLimited(wait));
        }
        let Some(place) = self.requests.take(asked.whose.cloned()) else {
            instruments::limited(Limit::AtOnce);
            return Err(ApiError::TooManyAtOnce(AT_ONCE_PAUSE));
        };
        admission.place.get_or_init(|| place);
        Ok(())
    }

    /// A place for a test of a webhook endpoint, to be held until the receiver has answered.
    ///
    /// # Errors
    /// `too_many_at_once`.
    pub(crate) fn admit_test(&self, tenant: &TenantId) -> Result<Place, ApiError> {
        self.tests.take(Some(tenant.clone())).ok_or_else(|| {
            instruments::limited(Limit::TestsAtOnce);
            ApiError::TooManyTests { tenant_max: TENANT_TESTS_MAX, wait: AT_ONCE_PAUSE }
        })
    }

    fn count(&self, asked: Asked<'_>, now: Instant) -> Standing {
        let Asked { key, whose, own, effect } = asked;
        let (rates, write) = (self.rates(own), self.rates(own).write());
        let mut buckets = locked(&self.buckets);
        let Buckets { keys, tenants, writes } = &mut *buckets;
        let of_key = keys.get_or_insert_mut((whose.cloned(), key.to_owned()), Bucket::default);
        let of_tenant = tenants.get_or_insert_mut(whose.cloned(), Bucket::default);
        let mut named = vec![(Limit::Key, rates.key), (Limit::Tenant, rates.tenant)];
        let mut shares = vec![(of_key, rates.key), (of_tenant, rates.tenant)];
        if let (Effect::Write, Some(tenant)) = (effect, whose) {
            named.push((Limit::Write, write));
            shares.push((writes.get_or_insert_mut(tenant.clone(), Bucket::default), write));
        }
        let passed = Bucket::take_together(&mut shares, now);
        Standing { limits: named.into_iter().zip(passed).map(|((limit, rate), passed)| (limit, rate, passed)).collect() }
    }
}

impl Admission {
    /// Says in headers how the request's key and tenant stand (draft-ietf-httpapi-ratelimit-headers). Nothing before its key is known.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Some(admitted) = self.admitted.get() else { return };
        let Standing { limits } = &*locked(&admitted.standing);
        let list = |member: &dyn Fn(&(Limit, Rate, Passed)) -> String| {
            let text = limits.iter().map(member).collect::<Vec<_>>().join(", ");
            HeaderValue::from_str(&text).expect("names and numbers are plain ASCII")
        };
        let policy = list(&|(limit, rate, _)| format!("\"{}\";q={};w={}", limit.as_str(), rate.burst, rate.window_seconds()));
        let standing =
            list(&|(limit, _, passed)| format!("\"{}\";r={};t={}", limit.as_str(), passed.left, passed.full_in_seconds()));
        headers.insert(POLICY, policy);
        headers.insert(STANDING, standing);
    }

    /// Charges the tenant for a request that costs more than the token it took when it was admitted. What exceeds the tenant's burst
    /// is charged to a full bucket and leaves a debt.
    ///
    /// # Errors
    /// `rate_limited` when the tenant cannot pay now; nothing is charged then.
    pub(crate) fn charge(&self, tokens: u32) -> Result<(), ApiError> {
        match self.settle(|bucket, rate, now| bucket.take_many(tokens, rate, now)) {
            Some(wait) => {
                instruments::limited(Limit::Tenant);
                Err(ApiError::RateLimited(wait))
            }
            None => Ok(()),
        }
    }

    /// A share of memory for the request's tenant, which holds nothing yet. `None` before its key is known.
    pub(crate) fn memory(&self) -> Option<Share> {
        let Admitted { limits, whose, .. } = self.admitted.get()?;
        Some(limits.memory.share(whose.clone()))
    }

    /// Charges the tenant for what the request has already cost. What the tenant cannot pay is a debt.
    pub(crate) fn owe(&self, tokens: u32) {
        self.settle(|bucket, rate, now| bucket.owe(tokens, rate, now));
    }

    /// Changes the bucket of the request's tenant, and notes how it stands then. How long the tenant has to wait, if it has to.
    fn settle(&self, change: impl FnOnce(&mut Bucket, Rate, Instant) -> Passed) -> Option<Duration> {
        let admitted = self.admitted.get()?;
        let mut standing = locked(&admitted.standing);
        let (_, rate, noted) = standing.limits.iter_mut().find(|(limit, ..)| *limit == Limit::Tenant)?;
        let mut buckets = locked(&admitted.limits.buckets);
        let bucket = buckets.tenants.get_or_insert_mut(admitted.whose.clone(), Bucket::default);
        // Operators may have changed the tenant's rate since the request was admitted.
        *rate = bucket.rate().unwrap_or(*rate);
        *noted = change(bucket, *rate, Instant::now());
        noted.wait
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is counted here is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
