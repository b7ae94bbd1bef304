//! Telling the dispatcher of this process that there is something to do in some slots, before it finds out by looking.
//!
//! Being told is a matter of speed alone: work whose slot was never told is found by the next look at it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tidemark_store::Slot;
use tokio::sync::Notify;

/// The slots with news since they were last taken. Clones share them. However often a slot is told, it is one entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    slots: Mutex<BTreeSet<Slot>>,
    told: Notify,
}

impl Wake {
    /// There is something new in a slot.
    pub(crate) fn slot(&self, slot: Slot) {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner).insert(slot);
        self.0.told.notify_one();
    }

    /// Waits until some slot has news, and takes all that have: for one dispatcher. To give up waiting loses none.
    pub(crate) async fn changed(&self) -> BTreeSet<Slot> {
        loop {
            let slots = std::mem::take(&mut *self.0.slots.lock().unwrap_or_else(PoisonError::into_inner));
            if !slots.is_empty() {
                return slots;
            }
            self.0.told.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_slot_told_before_anybody_waits_is_heard_of_once() {
        let wake = Wake::default();
        let slots: Vec<Slot> = Slot::all().collect();
        for slot in [slots[3], slots[1], slots[3]] {
            wake.slot(slot);
        }
        assert_eq!(wake.changed().await, BTreeSet::from([slots[1], slots[3]]));
        let (waiting, patience) = (wake.changed(), Duration::from_millis(5));
        assert!(timeout(patience, waiting).await.is_err(), "there is nothing new");
        let waiting = tokio::task::JoinSet::from_iter([{
            let wake = wake.clone();
            async move { wake.changed().await }
        }]);
        wake.slot(slots[0]);
        assert_eq!(waiting.join_all().await, [BTreeSet::from([slots[0]])]);
    }
}
