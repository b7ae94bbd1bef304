//! A client with one connection that asks one question after the other, and the times of its answers.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Request, StatusCode};
use tokio::time::{Instant, sleep_until};

use crate::lab::{self, Lab};

/// Asks some requests in turn.
pub(super) struct Asker {
    requests: Vec<Request>,
    /// When each was last answered.
    answered: Vec<Option<Instant>>,
    next: usize,
    /// How long after an answer the same request waits.
    apart: Duration,
    expected: StatusCode,
}

/// A whole answer.
pub(super) struct Answer {
    etag: Option<HeaderValue>,
    pub(super) body: Bytes,
    pub(super) took: Duration,
}

/// The requests of a short time.
#[derive(Default)]
pub(super) struct Slice {
    /// CPU time of the process that answered.
    pub(super) cpu_seconds: f64,
    pub(super) took: Vec<Duration>,
    /// Calls to DynamoDB, the Queries among them, and the read units of all.
    pub(super) calls: u64,
    pub(super) queries: u64,
    pub(super) read_units: f64,
}

impl Asker {
    pub(super) fn new(requests: Vec<Request>, apart: Duration) -> Self {
        let answered = vec![None; requests.len()];
        Self { requests, answered, next: 0, apart, expected: StatusCode::OK }
    }

    /// From now on every request has `If-None-Match` with the tag of this answer, and 304 is expected.
    ///
    /// # Errors
    /// When the answer has no ETag.
    pub(super) fn knows(&mut self, answer: &Answer) -> anyhow::Result<()> {
        let etag = answer.etag.as_ref().context("an answer without an ETag")?;
        self.requests.iter_mut().for_each(|request| {
            request.headers_mut().insert(IF_NONE_MATCH, etag.clone());
        });
        self.expected = StatusCode::NOT_MODIFIED;
        Ok(())
    }

    /// Asks the next request, and waits for its whole answer.
    ///
    /// # Errors
    /// When the answer is another than expected.
    pub(super) async fn ask(&mut self, lab: &Lab) -> anyhow::Result<Answer> {
        let at = self.next;
        self.next = (at + 1) % self.requests.len();
        if let Some(answered) = self.answered[at] {
            sleep_until(answered + self.apart).await;
        }
        let request = self.requests[at].try_clone().context("a request without a body")?;
        let begin = Instant::now();
        let response = lab.http.execute(request).await?;
        let (status, etag) = (response.status(), response.headers().get(ETAG).cloned());
        let answer = Answer { etag, body: response.bytes().await?, took: begin.elapsed() };
        anyhow::ensure!(status == self.expected, "{} is answered {status}: {}", self.requests[at].url(), answer.text());
        self.answered[at] = Some(Instant::now());
        Ok(answer)
    }
}

impl Answer {
    /// The body, for an error.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(2_000).collect()
    }
}

impl Slice {
    pub(super) fn requests(&self) -> usize {
        self.took.len()
    }

    /// CPU time per request, in milliseconds.
    pub(super) fn cpu_ms(&self) -> f64 {
        self.cpu_seconds * 1e3 / self.took.len() as f64
    }
}

/// The percentile of the requests of some slices, in milliseconds.
pub(super) fn percentile(slices: &[Slice], percent: f64) -> f64 {
    lab::percentile(slices.iter().flat_map(|slice| slice.took.iter().copied()).collect(), percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_over_the_requests_of_all_slices() {
        let slice = |took: std::ops::RangeInclusive<u64>| Slice {
            cpu_seconds: 0.5,
            took: took.map(Duration::from_millis).collect(),
            calls: 0,
            queries: 0,
            read_units: 0.0,
        };
        let slices = [slice(51..=100), slice(1..=50)];
        assert_eq!([50.0, 99.0, 100.0].map(|percent| percentile(&slices, percent)), [50.0, 99.0, 100.0]);
        assert_eq!((slices[0].requests(), slices[0].cpu_ms()), (50, 10.0));
    }
}
