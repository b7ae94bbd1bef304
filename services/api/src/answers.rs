//! Answers that requests share: the same question of the same tenant, asked again within a second, is answered from memory, and asked
//! while it is being answered, waits for that answer. API.md §1.
//!
//! Only [`values`](crate::routes::values) are shared. They are what costs, and what dashboards ask for in chorus; nothing a client can
//! change by itself is in them, so nobody waits to read what he has just written.
//!
//! `moka` holds them: it bounds by weight, forgets by time, and lets one caller compute for all who ask meanwhile; if that one is
//! cancelled, the next takes over. It is in the tree already, with our resolver.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use moka::future::Cache;
use tidemark_domain::TenantId;

use crate::etag;
use crate::freshness::Freshness;
use crate::limits::{Full, Memory, Share};
use crate::problem::{ApiError, Problem};

/// How long an answer is shared, from the moment it is there.
pub(crate) const SHARED_FOR: Duration = Duration::from_secs(1);
/// Most bytes of all answers in memory.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What the smallest answer counts for, so that there are 4096 at most.
const ENTRY_BYTES_MIN: usize = 4 * 1024;

/// The answers of the last second. Clones share them.
#[derive(Clone)]
pub(crate) struct Answers(Cache<Question, Arc<SharedAnswer>>);

/// Whose question, and which.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub tenant: TenantId,
    /// What is meant rather than what was written: everything that the answer depends on but stored rows and the clock.
    pub meaning: String,
}

/// An answer, ready to be sent to any number of clients.
#[derive(Debug)]
pub(crate) struct SharedAnswer {
    body: Bytes,
    content_type: HeaderValue,
    etag: HeaderValue,
    freshness: Freshness,
    /// Of all responses with this answer that are being sent.
    sent: Mutex<Weak<Share>>,
}

impl SharedAnswer {
    pub(crate) fn new(content_type: &'static str, body: Vec<u8>, freshness: Freshness) -> Self {
        let etag = etag::of_content(&body, Some(&freshness));
        let content_type = HeaderValue::from_static(content_type);
        Self { body: body.into(), content_type, etag, freshness, sent: Mutex::default() }
    }

    /// Holds the body's bytes in memory for its tenant, once for all responses that hold them at the same time. Answers that only wait
    /// here for the next question are bounded by [`BYTES_MAX`] instead.
    ///
    /// # Errors
    /// When the tenant or the process holds too much.
    pub(crate) fn hold(&self, memory: &Arc<Memory>, tenant: &TenantId) -> Result<Arc<Share>, Full> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = sent.upgrade() {
            return Ok(share);
        }
        let mut share = memory.share(Some(tenant.clone()));
        share.grow(self.body.len())?;
        let share = Arc::new(share);
        *sent = Arc::downgrade(&share);
        Ok(share)
    }
}

impl IntoResponse for &SharedAnswer {
    fn into_response(self) -> Response {
        let mut response = Body::from(self.body.clone()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        headers.insert(header::ETAG, self.etag.clone());
        self.freshness.write(headers);
        response
    }
}

impl Answers {
    pub(crate) fn new(shared_for: Duration) -> Self {
        let weigh = |question: &Question, answer: &Arc<SharedAnswer>| {
            let bytes = question.meaning.len() + answer.body.len() + size_of::<SharedAnswer>();
            u32::try_from(bytes.max(ENTRY_BYTES_MIN)).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(BYTES_MAX).weigher(weigh).time_to_live(shared_for).build())
    }

    /// The answer to a question: one of the last second, or else that of `compute`. Errors are told to all who waited for the answer,
    /// and not kept.
    ///
    /// # Errors
    /// Those of `compute`.
    pub(crate) async fn get(
        &self,
        question: Question,
        compute: impl Future<Output = Result<SharedAnswer, ApiError>>,
    ) -> Result<Arc<SharedAnswer>, ApiError> {
        let computed = async { compute.await.map(Arc::new).map_err(ApiError::into_problem) };
        self.0
            .try_get_with(question, computed)
            .await
            .map_err(|problem: Arc<Problem>| ApiError::Told(Box::new((*problem).clone())))
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").field("entries", &self.0.entry_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
