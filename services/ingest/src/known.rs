//! Rows that are known to be stored, so that each is stored once and not with every commit.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, RandomState};
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

/// What is remembered of a row.
type Mark = [u64; 2];

/// A bounded memory of what is stored. What it forgets is stored again, which must change nothing.
///
/// It remembers 128 bits of each, whatever its size: some 80 bytes in all, where a value of a tenant's may have a thousand. A row that
/// had the mark of another would never be stored. By chance that takes 2^64 of them; and nobody can look for such rows, since the hashes
/// are keyed by numbers that this process draws for itself.
#[derive(Debug)]
pub(crate) struct Known<T> {
    marks: Mutex<LruCache<Mark, ()>>,
    keys: [RandomState; 2],
    of: PhantomData<fn(T)>,
}

impl<T: Hash + Ord> Known<T> {
    /// Remembers at most so many.
    pub(crate) fn new(most: NonZeroUsize) -> Self {
        Self { marks: Mutex::new(LruCache::new(most)), keys: [RandomState::new(), RandomState::new()], of: PhantomData }
    }

    /// Those that are not known to be stored, each once.
    pub(crate) fn without(&self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut known = self.known();
        let new: BTreeSet<T> = all.into_iter().filter(|one| known.get(&self.mark(one)).is_none()).collect();
        new.into_iter().collect()
    }

    /// These are stored.
    pub(crate) fn remember(&self, stored: Vec<T>) {
        let mut known = self.known();
        for one in stored {
            known.put(self.mark(&one), ());
        }
    }

    fn mark(&self, one: &T) -> Mark {
        [0, 1].map(|key: usize| self.keys[key].hash_one(one))
    }

    fn known(&self) -> MutexGuard<'_, LruCache<Mark, ()>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_new_once_and_what_is_forgotten_is_new_again() {
        let known = Known::new(NonZeroUsize::new(2).expect("not zero"));
        assert_eq!(known.without(["b", "a", "b"]), ["a", "b"]);
        assert_eq!(known.without(["a"]), ["a"], "asking is not storing");
        known.remember(vec!["a", "b"]);
        // Whoever is asked for stays.
        assert_eq!(known.without(["a"]), [""; 0]);
        known.remember(vec!["c"]);
        assert_eq!(known.without(["a", "b", "c"]), ["b"]);
    }
}
