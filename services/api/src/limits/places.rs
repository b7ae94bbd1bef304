//! How much is under way at once: a number for each tenant, and one for the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{Whose, locked};

/// Places that are taken and given back.
#[derive(Debug)]
pub(super) struct Places {
    tenant_max: usize,
    process_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// No entry is zero, so the map is never larger than the number of places that are taken.
    of: HashMap<Whose, usize>,
}

/// One place. It is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    whose: Whose,
}

impl Places {
    pub(super) fn new(tenant_max: usize, process_max: usize) -> Arc<Self> {
        Arc::new(Self { tenant_max, process_max, taken: Mutex::default() })
    }

    /// `None`: the tenant, or the process, has no place left.
    pub(super) fn take(self: &Arc<Self>, whose: Whose) -> Option<Place> {
        let mut taken = locked(&self.taken);
        let of_tenant = taken.of.get(&whose).copied().unwrap_or_default();
        if of_tenant >= self.tenant_max || taken.all >= self.process_max {
            return None;
        }
        taken.all += 1;
        taken.of.insert(whose.clone(), of_tenant + 1);
        Some(Place { places: Arc::clone(self), whose })
    }

    /// How many tenants have a place.
    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        locked(&self.taken).of.len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = locked(&self.places.taken);
        taken.all -= 1;
        if let Some(of_tenant) = taken.of.get_mut(&self.whose) {
            *of_tenant -= 1;
            if *of_tenant == 0 {
                taken.of.remove(&self.whose);
            }
        }
    }
}
