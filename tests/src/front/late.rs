//! Calls that arrive late: after their clients have given up, and after other calls have been answered. No clock is involved.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The calls of one front that are still on their way.
#[derive(Default)]
pub(super) struct LateCalls(Mutex<Vec<Late>>);

struct Late {
    /// How many other calls are answered before it.
    after: u64,
    call: Call,
}

impl LateCalls {
    /// Keeps a call until so many others have been answered.
    pub(super) fn keep(&self, after: u64, call: impl Future<Output = ()> + Send + 'static) {
        // The call itself passes, too.
        self.with(|late| late.push(Late { after: after + 1, call: Box::pin(call) }));
    }

    /// A call has been answered or dropped: carries out those that come after it.
    pub(super) async fn passed(&self) {
        let due: Vec<Late> = self.with(|late| {
            late.iter_mut().for_each(|late| late.after -= 1);
            late.extract_if(.., |late| late.after == 0).collect()
        });
        for late in due {
            late.call.await;
        }
    }

    /// Carries out all of them, in the order of their coming.
    pub(super) async fn arrive(&self) {
        for late in self.with(std::mem::take) {
            late.call.await;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.with(|late| late.len())
    }

    fn with<T>(&self, change: impl FnOnce(&mut Vec<Late>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for LateCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LateCalls").field(&self.count()).finish()
    }
}
