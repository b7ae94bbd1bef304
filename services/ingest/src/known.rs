//! Rows that are known to be stored, so that each is stored once and not with every commit.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, RandomState};
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidemark_domain::TenantId;
use tidemark_store::{Concerned, KnownValue};

use crate::by_tenant::ByTenant;

/// What is remembered of a row.
type Mark = [u64; 2];

/// A row of one tenant.
pub(crate) trait OfTenant {
    fn tenant(&self) -> &TenantId;
}

impl OfTenant for KnownValue {
    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

impl OfTenant for Concerned {
    fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

/// A bounded memory of what is stored. What it forgets is stored again, which must change nothing.
///
/// It remembers 128 bits of each, whatever its size: some 80 bytes in all, where a value of a tenant's may have a thousand. A row that
/// had the mark of another would never be stored. By chance that takes 2^64 of them; and nobody can look for such rows, since the hashes
/// are keyed by numbers that this process draws for itself.
#[derive(Debug)]
pub(crate) struct Known<T> {
    marks: Mutex<ByTenant<Mark, ()>>,
    keys: [RandomState; 2],
    of: PhantomData<fn(T)>,
}

impl<T: Hash + Ord + OfTenant> Known<T> {
    /// Remembers at most `most`, of each tenant at most `share`.
    pub(crate) fn new(most: usize, share: usize) -> Self {
        Self { marks: Mutex::new(ByTenant::new(most, share)), keys: [RandomState::new(), RandomState::new()], of: PhantomData }
    }

    /// Those that are not known to be stored, each once.
    pub(crate) fn without(&self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut known = self.known();
        let new: BTreeSet<T> = all.into_iter().filter(|one| known.get(one.tenant(), &self.mark(one)).is_none()).collect();
        new.into_iter().collect()
    }

    /// These are stored.
    pub(crate) fn remember(&self, stored: Vec<T>) {
        let mut known = self.known();
        for one in stored {
            known.put(one.tenant(), self.mark(&one), ());
        }
    }

    fn mark(&self, one: &T) -> Mark {
        [0, 1].map(|key: usize| self.keys[key].hash_one(one))
    }

    fn known(&self) -> MutexGuard<'_, ByTenant<Mark, ()>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tidemark_domain::SourceName;

    use super::*;

    fn of(tenant: &str, source: &str) -> Concerned {
        let (source, tenant) = (SourceName::new(source).expect("a name"), TenantId::new(tenant).expect("an id"));
        Concerned { source, tenant }
    }

    #[test]
    fn each_is_new_once_and_what_is_forgotten_is_new_again() {
        let known = Known::new(10, 2);
        let [a, b, c] = ["a", "b", "c"].map(|source| of("acme", source));
        assert_eq!(known.without([b.clone(), a.clone(), b.clone()]), [a.clone(), b.clone()]);
        assert_eq!(known.without([a.clone()]), std::slice::from_ref(&a), "asking is not storing");
        known.remember(vec![a.clone(), b.clone()]);
        // Asking counts as a use.
        assert_eq!(known.without([a.clone()]), []);
        known.remember(vec![c.clone()]);
        assert_eq!(known.without([a, b.clone(), c]), [b]);
    }

    #[test]
    fn the_rows_of_one_tenant_push_out_none_of_another() {
        let known = Known::new(10, 5);
        known.remember(vec![of("quiet", "orders")]);
        known.remember((0..100).map(|number| of("busy", &format!("s{number}"))).collect());
        assert_eq!(known.without([of("quiet", "orders")]), []);
    }
}
