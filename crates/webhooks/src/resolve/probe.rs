//! Whether our name servers work at all: they are asked for the servers of the root zone.
//!
//! Any resolver knows those, and no tenant can influence the answer. The question goes past the cache of names, but its result is
//! remembered for a moment and shared, so that however many look-ups are without an answer, probes are few.

use std::time::Duration;

use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{built, is_answer};

/// How long a result is remembered. Shorter than a look-up without an answer takes, so the probe was made while that waited.
const REMEMBERED_FOR: Duration = Duration::from_secs(3);
/// The question is sent twice at most, each time with this share of the limit: one lost packet is no outage.
const QUESTION: f64 = 0.4;
const QUESTIONS_AGAIN: usize = 1;

/// Asks our name servers about the root zone.
#[derive(Debug)]
pub(super) struct Probe {
    resolver: TokioResolver,
    limit: Duration,
    /// Locked while they are asked: those who wait for the lock share the result.
    last: Mutex<Option<(Instant, bool)>>,
}

impl Probe {
    /// A probe of the name servers of `builder` that takes `limit` at most.
    pub(super) fn new(mut builder: ResolverBuilder<TokioRuntimeProvider>, limit: Duration) -> Self {
        let options = builder.options_mut();
        options.cache_size = 0;
        options.timeout = limit.mul_f64(QUESTION);
        options.attempts = QUESTIONS_AGAIN;
        Self { resolver: built(builder), limit, last: Mutex::new(None) }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// One of our name servers gives DNS answers.
    pub(super) async fn works(&self) -> bool {
        timeout(self.limit, self.asked_or_remembered()).await.unwrap_or(false)
    }

    async fn asked_or_remembered(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, works)) = *last
            && at.elapsed() < REMEMBERED_FOR
        {
            return works;
        }
        let works = match self.resolver.lookup(Name::root(), RecordType::NS).await {
            Ok(_) => true,
            Err(error) => is_answer(&error),
        };
        *last = Some((Instant::now(), works));
        works
    }
}
