//! One pool of permits, shared fairly by tenants. Pure: it knows tenants and numbers only.
//!
//! A tenant may take one more permit if and only if the permits that it holds are fewer than a third of those that are free. This is
//! the dynamic threshold of Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches" (IEEE/ACM
//! Transactions on Networking 6, 1998), with α = 1/3. It gives, of a pool of N permits:
//!
//! - A tenant alone gets N/4. The other three quarters stay free for tenants that come later, and wait for nothing.
//! - n tenants that all want more get N/(n+3) each. No setting says how many tenants there are.
//! - A tenant that holds none gets a permit while any is free. The last three free permits go to such tenants only.
//!
//! A fixed quota per tenant gives either too little to a few tenants or too much to many. A queue for permits would need a place for
//! each waiting piece of work: here the work waits in the table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidemark_domain::TenantId;

/// One third, as the number of free permits that each permit held asks for.
const FREE_PER_HELD: usize = 3;

/// A pool of permits. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    size: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    /// Only tenants that hold any: at most as many entries as the pool has permits.
    by_tenant: HashMap<TenantId, usize>,
}

/// One permit; given back when dropped, panic or not.
#[derive(Debug)]
pub(super) struct Share {
    pool: Pool,
    tenant: TenantId,
}

impl Pool {
    pub(super) fn new(size: usize) -> Self {
        Self(Arc::new(Inner { size, held: Mutex::default() }))
    }

    /// One more permit for a tenant, if its share allows one.
    pub(super) fn take(&self, tenant: &TenantId) -> Option<Share> {
        let mut held = self.lock();
        let own = held.by_tenant.get(tenant).copied().unwrap_or_default();
        if own * FREE_PER_HELD >= self.0.size - held.all {
            return None;
        }
        held.all += 1;
        *held.by_tenant.entry(tenant.clone()).or_default() += 1;
        Some(Share { pool: self.clone(), tenant: tenant.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Each change is made of sums that cannot panic halfway.
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.pool.lock();
        held.all -= 1;
        if let Some(own) = held.by_tenant.get_mut(&self.tenant) {
            *own -= 1;
        }
        if held.by_tenant.get(&self.tenant) == Some(&0) {
            held.by_tenant.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 5] = [4, 16, 32, 64, 101];

    fn tenant(number: usize) -> TenantId {
        TenantId::new(&format!("tenant-{number}")).expect("an id")
    }

    /// Takes all that a tenant may have.
    fn fill(pool: &Pool, number: usize) -> Vec<Share> {
        std::iter::from_fn(|| pool.take(&tenant(number))).collect()
    }

    #[test]
    fn a_tenant_alone_gets_a_quarter_and_a_free_permit_goes_to_any_tenant_that_has_none() {
        for size in SIZES {
            let pool = Pool::new(size);
            let alone = fill(&pool, 0);
            assert_eq!(alone.len(), size.div_ceil(4), "of {size}");
            let others: Vec<Share> = (1..).map_while(|number| pool.take(&tenant(number))).collect();
            assert_eq!(alone.len() + others.len(), size);
            drop((alone, others));
            assert!(pool.lock().by_tenant.is_empty(), "nothing is remembered of tenants that hold none");
            assert_eq!(fill(&pool, 0).len(), size.div_ceil(4), "all were given back");
        }
    }

    #[test]
    fn busy_tenants_come_to_equal_shares_of_all_but_what_stays_free() {
        for (size, busy) in [(64, 2), (64, 5), (64, 13), (32, 5), (16, 5)] {
            let pool = Pool::new(size);
            let mut shares: Vec<Vec<Share>> = (0..busy).map(|number| fill(&pool, number)).collect();
            // Each gives back what it holds, one at a time, and takes what it may have again.
            for _ in 0..size {
                for (number, of_tenant) in shares.iter_mut().enumerate() {
                    of_tenant.pop();
                    of_tenant.extend(fill(&pool, number));
                }
            }
            let counts: Vec<usize> = shares.iter().map(Vec::len).collect();
            let fair = size / (busy + 3);
            assert!(counts.iter().all(|count| count.abs_diff(fair) <= 1), "{counts:?} of {size}, {fair} each");
        }
    }

    #[test]
    fn whatever_is_taken_and_given_back_the_shares_hold() {
        let mut random = fastrand::Rng::with_seed(11);
        for size in SIZES {
            let pool = Pool::new(size);
            // The naive statement: a list of who holds a permit.
            let mut held: Vec<(usize, Share)> = Vec::new();
            let count = |held: &[(usize, Share)], number| held.iter().filter(|(of, _)| *of == number).count();
            for _ in 0..20_000 {
                let number = random.usize(0..=size + 1);
                if random.u8(0..3) == 0 && !held.is_empty() {
                    held.swap_remove(random.usize(0..held.len()));
                    continue;
                }
                // Some tenants want far more than others.
                let number = if random.bool() { number % 3 } else { number };
                let (own, free) = (count(&held, number), size - held.len());
                let given = pool.take(&tenant(number));
                assert!(given.is_none() || free > 0, "never more than there are");
                assert!(own > 0 || given.is_some() == (free > 0), "one that has none gets a free one");
                assert!(own == 0 || given.is_none() || free > 3, "the last three are for those that have none");
                assert!(given.is_none() || own < size.div_ceil(4), "no more than a quarter");
                assert!(own == 0 || given.is_some() == (3 * own < free), "fewer than a third of what is free");
                held.extend(given.map(|share| (number, share)));
            }
        }
    }

    #[test]
    fn a_panic_gives_permits_back() {
        let pool = Pool::new(16);
        let clone = pool.clone();
        let panicked = std::thread::spawn(move || {
            let _shares = fill(&clone, 1);
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert_eq!(fill(&pool, 1).len(), 4);
    }
}
