//! A bounded memory that tenants share: the entries of one tenant never push out more than a share of it.
//!
//! With one list of least recent use for all tenants, a tenant with many values pushes out the values of all others, and each of
//! those costs a read or a write again.

use std::hash::Hash;

use lru::LruCache;
use tidemark_domain::TenantId;

/// Entries of tenants. A tenant beyond its share loses its own least recently used entry. When the whole is full, the tenant that was
/// used least recently is forgotten as a whole.
#[derive(Debug)]
pub(crate) struct ByTenant<K: Hash + Eq, V> {
    tenants: LruCache<TenantId, LruCache<K, V>>,
    len: usize,
    most: usize,
    share: usize,
}

impl<K: Hash + Eq, V> ByTenant<K, V> {
    /// At most `most` entries, of each tenant at most `share`.
    pub(crate) fn new(most: usize, share: usize) -> Self {
        Self { tenants: LruCache::unbounded(), len: 0, most, share: share.min(most) }
    }

    pub(crate) fn get(&mut self, tenant: &TenantId, key: &K) -> Option<&V> {
        self.tenants.get_mut(tenant)?.get(key)
    }

    /// Puts an entry, and gives the one that it replaces.
    pub(crate) fn put(&mut self, tenant: &TenantId, key: K, value: V) -> Option<V> {
        let own = self.tenants.get_or_insert_mut(tenant.clone(), LruCache::unbounded);
        let before = own.len();
        let replaced = own.put(key, value);
        if own.len() > self.share {
            own.pop_lru();
        }
        self.len += own.len() - before;
        while self.len > self.most
            && let Some((_, forgotten)) = self.tenants.pop_lru()
        {
            self.len -= forgotten.len();
        }
        replaced
    }

    pub(crate) fn has_any_of(&self, tenant: &TenantId) -> bool {
        self.tenants.contains(tenant)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(number: usize) -> TenantId {
        TenantId::new(&format!("t{number}")).expect("an id")
    }

    #[test]
    fn a_tenant_beyond_its_share_pushes_out_its_own_entries_alone() {
        let mut memory = ByTenant::new(10, 4);
        memory.put(&tenant(1), 0, "kept");
        for key in 0..100 {
            memory.put(&tenant(2), key, "many");
        }
        assert_eq!(memory.get(&tenant(1), &0), Some(&"kept"));
        assert_eq!(
            (95..100).map(|key| memory.get(&tenant(2), &key).is_some()).collect::<Vec<_>>(),
            [false, true, true, true, true]
        );
        assert_eq!(memory.put(&tenant(2), 99, "again"), Some("many"));
    }

    #[test]
    fn a_full_memory_forgets_the_tenant_that_was_used_least_recently() {
        let mut memory = ByTenant::new(4, 2);
        for (of, key) in [(1, 0), (2, 0), (2, 1)] {
            memory.put(&tenant(of), key, ());
        }
        memory.get(&tenant(1), &0);
        memory.put(&tenant(3), 0, ());
        memory.put(&tenant(3), 1, ());
        assert_eq!([1, 2, 3].map(|of| memory.has_any_of(&tenant(of))), [true, false, true]);
    }

    proptest! {
        #[test]
        fn no_more_is_remembered_than_there_may_be(puts in proptest::collection::vec((0_usize..6, 0_u8..20), 0..200)) {
            let mut memory = ByTenant::new(12, 5);
            for (of, key) in puts {
                memory.put(&tenant(of), key, ());
                let each: Vec<usize> = memory.tenants.iter().map(|(_, own)| own.len()).collect();
                prop_assert_eq!(each.iter().sum::<usize>(), memory.len);
                prop_assert!(memory.len <= 12 && each.iter().all(|own| (1..=5).contains(own)), "{each:?}");
                prop_assert!(memory.get(&tenant(of), &key).is_some(), "what was just put is there");
            }
        }
    }
}
