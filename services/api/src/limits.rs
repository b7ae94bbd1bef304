//! Who may ask how often, and how much at once: per key, per tenant, and for those whose key is not known yet. All in this process.
//!
//! Written here rather than with `governor`: its keyed limiters grow with whoever comes, and what the headers must say of two limits
//! that a request passes together or not at all is not theirs to tell. A bucket is one instant, and the rest is two LRU maps.

mod bucket;
mod strangers;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use lru::LruCache;
use tidemark_domain::TenantId;
use tokio::time::Instant;

use crate::instruments::{self, Limit};
use crate::problem::ApiError;
use crate::router::REQUESTS_AT_ONCE_MAX;

pub use bucket::Rate;
pub(crate) use bucket::seconds;
use bucket::{Bucket, Passed};
pub(crate) use strangers::Strangers;

/// What a key may ask: 100 requests a second, 200 in a burst. API.md §1.
pub(crate) const KEY_RATE: Rate = Rate { per_second: 100, burst: 200 };
/// How many times what one key may ask all keys of a tenant may ask together.
pub(crate) const TENANT_MULTIPLE: u32 = 4;
/// Most requests of one tenant that are answered at once: a quarter of all places, so that nobody can take the others'.
pub(crate) const TENANT_AT_ONCE_MAX: usize = REQUESTS_AT_ONCE_MAX / 4;
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
    key: Rate,
    tenant: Rate,
    buckets: Mutex<Buckets>,
    under_way: Mutex<HashMap<Whose, usize>>,
    pub strangers: Strangers,
}

/// `None`: the operators.
type Whose = Option<TenantId>;

#[derive(Debug)]
struct Buckets {
    /// With their tenants: subjects of tokens are names of an issuer's making, and two tenants' may be the same.
    keys: LruCache<(Whose, String), Bucket>,
    tenants: LruCache<Whose, Bucket>,
}

/// What a request was found to be allowed; in its extensions, and filled in once its key is known. It holds the request's place
/// among its tenant's until the last clone is gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admission {
    standing: Arc<OnceLock<Standing>>,
    place: Arc<OnceLock<Place>>,
}

/// How a key and its tenant stand with their limits, in the order of [`Admission::write`].
#[derive(Debug, Clone, Copy)]
struct Standing {
    limits: [(Limit, Rate, Passed); 2],
}

/// One of the places of a tenant.
#[derive(Debug)]
struct Place {
    limits: Arc<Limits>,
    whose: Whose,
}

impl Limits {
    /// With a rate for each key; a tenant's is a multiple of it.
    pub(crate) fn new(key: Rate) -> Self {
        Self {
            key,
            tenant: key.times(TENANT_MULTIPLE),
            buckets: Mutex::new(Buckets { keys: LruCache::new(REMEMBERED_MAX), tenants: LruCache::new(REMEMBERED_MAX) }),
            under_way: Mutex::default(),
            strangers: Strangers::default(),
        }
    }

    /// Lets a request in, whose key is known to be good, and notes what it is to be told.
    ///
    /// # Errors
    /// `rate_limited`, `too_many_at_once`.
    pub(crate) fn admit(self: &Arc<Self>, admission: &Admission, key: &str, whose: Option<&TenantId>) -> Result<(), ApiError> {
        let standing = self.count(key, whose, Instant::now());
        let refusals = standing.limits.iter().filter_map(|(limit, _, passed)| Some((passed.wait?, *limit)));
        let refusal = refusals.max_by_key(|(wait, _)| *wait);
        // A request has one key, and is let in once.
        admission.standing.get_or_init(|| standing);
        if let Some((wait, limit)) = refusal {
            instruments::limited(limit);
            return Err(ApiError::RateLimited(wait));
        }
        let Some(place) = self.take_place(whose.cloned()) else {
            instruments::limited(Limit::AtOnce);
            return Err(ApiError::TooManyAtOnce(AT_ONCE_PAUSE));
        };
        admission.place.get_or_init(|| place);
        Ok(())
    }

    fn count(&self, key: &str, whose: Option<&TenantId>, now: Instant) -> Standing {
        let mut buckets = locked(&self.buckets);
        let Buckets { keys, tenants } = &mut *buckets;
        let of_key = keys.get_or_insert_mut((whose.cloned(), key.to_owned()), Bucket::default);
        let of_tenant = tenants.get_or_insert_mut(whose.cloned(), Bucket::default);
        let passed = Bucket::take_together([(of_key, self.key), (of_tenant, self.tenant)], now);
        Standing { limits: [(Limit::Key, self.key, passed[0]), (Limit::Tenant, self.tenant, passed[1])] }
    }

    fn take_place(self: &Arc<Self>, whose: Whose) -> Option<Place> {
        let mut under_way = locked(&self.under_way);
        let taken = under_way.entry(whose.clone()).or_default();
        if *taken >= TENANT_AT_ONCE_MAX {
            return None;
        }
        *taken += 1;
        Some(Place { limits: Arc::clone(self), whose })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = locked(&self.limits.under_way);
        if let Some(taken) = under_way.get_mut(&self.whose) {
            *taken -= 1;
            // So the map is never larger than the number of requests under way.
            if *taken == 0 {
                under_way.remove(&self.whose);
            }
        }
    }
}

impl Admission {
    /// Says in headers how the request's key and tenant stand (draft-ietf-httpapi-ratelimit-headers). Nothing before its key is known.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Some(Standing { limits }) = self.standing.get() else { return };
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
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is counted here is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
