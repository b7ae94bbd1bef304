//! One attempt: the request that is made, and what came of it.
//!
//! The URL is checked, its host looked up by our resolver, the addresses judged, and a connection made to exactly those: the client
//! of an attempt knows no other address and no way to look one up. It follows no redirect, uses no proxy, keeps no cookie and unpacks
//! nothing. A client per attempt costs a handshake, and buys that no connection outlives the judgement it was made under.

mod call;
mod outcome;
mod route;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::headers::CustomHeaders;
use crate::policy::{Denied, Host, Target, UrlPolicy, Vetted};
use crate::resolve::{self, Resolve};
use crate::sign::Signed;

pub use outcome::{Outcome, UnknownOutcome};

/// Most bytes of an answer's body that are read; the connection is then closed. As they come: nothing is unpacked.
pub const BODY_READ_MAX: usize = 16 * 1024;
/// Most bytes of an answer's body that are kept.
pub const SNIPPET_MAX: usize = 1024;

/// How long the steps of an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking the host up. The resolver's own limit is this or less: see [`crate::resolve::SystemResolver::within`].
    pub resolve: Duration,
    /// Connecting, with the TLS handshake.
    pub connect: Duration,
    /// Everything together, to the end of the answer's body.
    pub exchange: Duration,
}

impl Timeouts {
    /// What is promised to receivers.
    pub const STANDARD: Self =
        Self { resolve: Duration::from_secs(5), connect: Duration::from_secs(5), exchange: Duration::from_secs(15) };
}

/// Why an attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// By the retry schedule, the first attempt included.
    Scheduled,
    /// Somebody asked for this delivery again.
    Manual,
    /// Somebody asked for everything since an instant.
    Recover,
    /// Somebody tests the endpoint.
    Test,
}

/// What is to be sent, and where.
#[derive(Debug, Clone)]
pub struct Request {
    pub url: String,
    pub message: Signed,
    /// The endpoint's own.
    pub headers: CustomHeaders,
    /// From 1.
    pub attempt: u32,
    pub trigger: Trigger,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub outcome: Outcome,
    /// Of the answer, if there was one.
    pub status: Option<u16>,
    pub elapsed: Duration,
    /// The beginning of the answer's body as text, at most [`SNIPPET_MAX`] bytes; what is no UTF-8 is replaced.
    pub snippet: String,
    /// Who answered; without an answer, the address that was tried if there was only one.
    pub peer: Option<IpAddr>,
    /// What the receiver asked for, for [`crate::schedule::wait`].
    pub retry_after: Option<Duration>,
}

/// Sends webhooks. Deliveries, tests and pings all go through one of these.
#[derive(Clone)]
pub struct Sender {
    policy: UrlPolicy,
    resolver: Arc<dyn Resolve>,
    tls: ClientConfig,
    /// Without authorities every certificate is refused, and none for a fault of its own.
    trusts_nobody: bool,
    user_agent: HeaderValue,
    timeouts: Timeouts,
}

/// What is known of the answer so far. It outlives an exchange that ran out of time.
#[derive(Debug, Default)]
struct Answer {
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    body: Vec<u8>,
    peer: Option<IpAddr>,
}

impl Sender {
    /// Trusts the system's certificate authorities. Where there are none, every attempt over TLS is [`Outcome::Local`], and a line in
    /// the log says so.
    ///
    /// # Panics
    /// When `version` cannot be in a header.
    pub fn new(policy: UrlPolicy, resolver: Arc<dyn Resolve>, version: &str) -> Self {
        Self::trusting(system_roots(), policy, resolver, version)
    }

    /// With other limits of time, for tests.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    fn trusting(roots: RootCertStore, policy: UrlPolicy, resolver: Arc<dyn Resolve>, version: &str) -> Self {
        let user_agent = HeaderValue::from_str(&format!("Tidemark-Webhooks/{version}")).expect("a version is visible ASCII");
        let trusts_nobody = roots.is_empty();
        Self { policy, resolver, tls: call::tls(roots), trusts_nobody, user_agent, timeouts: Timeouts::STANDARD }
    }

    /// The rules it sends by, for checking a URL before it is stored.
    pub fn policy(&self) -> &UrlPolicy {
        &self.policy
    }

    /// Makes one attempt. Whatever goes wrong is an [`Outcome`].
    pub async fn send(&self, request: &Request) -> Attempt {
        let begun = Instant::now();
        let mut answer = Answer::default();
        // Boxed: the future of a whole HTTP exchange is large, and callers hold many.
        let exchange = Box::pin(self.exchange(request, &mut answer));
        let ended = tokio::time::timeout(self.timeouts.exchange, exchange).await;
        let outcome = match (ended, answer.status) {
            (Ok(Ok(())), Some(status)) => Outcome::of_status(status),
            // A status that is no success decides, however its body ends.
            (_, Some(status)) if !status.is_success() => Outcome::of_status(status),
            (Ok(Err(Outcome::Certificate)), _) if self.trusts_nobody => Outcome::Local,
            (Ok(Err(failure)), _) => failure,
            (Err(_), Some(_)) => Outcome::BodyTooSlow,
            (Ok(Ok(())) | Err(_), None) => Outcome::Timeout,
        };
        Attempt {
            outcome,
            status: answer.status.map(|status| status.as_u16()),
            elapsed: begun.elapsed(),
            snippet: snippet(&answer.body),
            peer: answer.peer,
            retry_after: answer.retry_after,
        }
    }

    async fn exchange(&self, request: &Request, answer: &mut Answer) -> Result<(), Outcome> {
        let target = self.policy.check(&request.url).map_err(|_| Outcome::RefusedUrl)?;
        let vetted = self.vet(&target).await?;
        if let [only] = vetted.addresses() {
            answer.peer = Some(*only);
        }
        self.call(&target, &vetted, request, answer).await
    }

    /// The addresses that this attempt may connect to.
    async fn vet(&self, target: &Target) -> Result<Vetted, Outcome> {
        let addresses = match target.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => match tokio::time::timeout(self.timeouts.resolve, self.resolver.resolve(name)).await {
                Ok(Ok(addresses)) => addresses,
                Ok(Err(resolve::Error::NoAddress(_))) => return Err(Outcome::Dns),
                // A resolver that works decides within this time whose fault a silence is.
                Ok(Err(resolve::Error::NoResolver(_))) | Err(_) => return Err(Outcome::NoResolver),
            },
        };
        let vetted = self.policy.judge(target, &addresses).map_err(|denied| {
            tracing::debug!(?denied, "a webhook's host has an address that must not be reached");
            if denied == Denied::NoAddress { Outcome::Dns } else { Outcome::DeniedAddress }
        })?;
        match vetted.retain(|address| route::has_route(*address)) {
            Ok(routed) => Ok(routed),
            Err(without) if without.addresses().iter().all(IpAddr::is_ipv6) => Err(Outcome::Connect),
            // Without a route for IPv4 we reach no host: the exchange will say what is wrong.
            Err(without) => Ok(without),
        }
    }
}

fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!(errors = ?found.errors, "no certificate authorities: install ca-certificates, or set SSL_CERT_FILE");
    }
    roots
}

fn snippet(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&body[..body.len().min(SNIPPET_MAX)]).into_owned();
    // Each unreadable byte became three.
    text.truncate(text.floor_char_boundary(SNIPPET_MAX));
    text
}

impl Trigger {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Manual => "manual",
            Self::Recover => "recover",
            Self::Test => "test",
        }
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("policy", &self.policy).field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}
