//! Rows that are known to be stored, so that each is stored once and not with every commit.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

/// A bounded memory of what is stored. What it forgets is stored again, which must change nothing.
#[derive(Debug)]
pub(crate) struct Known<T: Hash + Eq>(Mutex<LruCache<T, ()>>);

impl<T: Hash + Ord> Known<T> {
    /// Remembers at most so many.
    pub(crate) fn new(most: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(most)))
    }

    /// Those that are not known to be stored, each once.
    pub(crate) fn without(&self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut known = self.known();
        let new: BTreeSet<T> = all.into_iter().filter(|one| known.get(one).is_none()).collect();
        new.into_iter().collect()
    }

    /// These are stored.
    pub(crate) fn remember(&self, stored: Vec<T>) {
        let mut known = self.known();
        for one in stored {
            known.put(one, ());
        }
    }

    fn known(&self) -> MutexGuard<'_, LruCache<T, ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
