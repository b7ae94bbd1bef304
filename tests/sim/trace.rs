//! Every call of a schedule as it sets out: what a replay must repeat.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tidemark_tests::wire::Call;
use tokio::time::Instant;

/// All calls of all workers so far.
#[derive(Debug)]
pub(crate) struct Trace {
    begun: Instant,
    sent: Vec<Sent>,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Since the schedule began, in virtual time.
    at: Duration,
    /// Which worker sent it, counted in the order of their starts.
    worker: u64,
    name: String,
    /// The request's hash: whole requests of a thousand schedules would be a lot to keep.
    request: u64,
}

impl Trace {
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), sent: Vec::new() }
    }

    pub(crate) fn note(&mut self, worker: u64, call: &Call) {
        // This hasher is the same in every process.
        let mut hasher = DefaultHasher::new();
        call.request.hash(&mut hasher);
        self.sent.push(Sent { at: self.begun.elapsed(), worker, name: call.name.clone(), request: hasher.finish() });
    }

    pub(crate) fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }
}
