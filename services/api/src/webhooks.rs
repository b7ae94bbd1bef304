//! What the API itself does with webhooks: it judges URLs before they are stored, seals secrets, and sends tests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use jiff::Timestamp;
use tidemark_domain::EndpointId;
use tidemark_runtime::settings::SecretKeys;
use tidemark_store::Tenant;
use tidemark_webhooks::event::{BodyError, Envelope, EventType};
use tidemark_webhooks::policy::{Denied, UrlPolicy, UrlProblem};
use tidemark_webhooks::resolve::{self, Resolve, SystemResolver};
use tidemark_webhooks::seal::{self, Owner, Sealed, SealingKeys};
use tidemark_webhooks::secret::Secret;
use tidemark_webhooks::send::{Sender, Timeouts};

/// How long a test may take: the answer to a tenant's request must be out within
/// [`REQUEST_TIMEOUT`](crate::router::REQUEST_TIMEOUT), whatever the endpoint does. A delivery has more time.
const TEST_TIMEOUTS: Timeouts =
    Timeouts { resolve: Duration::from_secs(3), connect: Duration::from_secs(4), exchange: Duration::from_secs(8) };

/// The means for that. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Webhooks {
    pub sender: Arc<Sender>,
    resolver: Arc<dyn Resolve>,
    sealing: SealingKeys,
}

/// Why a URL cannot be an endpoint's. The texts tell nothing of our network but that it is not to be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UrlError {
    #[error(transparent)]
    Problem(#[from] UrlProblem),
    /// One text for all: the difference between no address and one that must not be reached would show a tenant which names the DNS
    /// of our own network knows.
    #[error("the host has no address that webhooks may be sent to; give an https URL of a host on the public internet")]
    Denied(#[from] Denied),
    /// Not the URL's fault.
    #[error("no name server answers")]
    NoResolver,
}

impl Webhooks {
    pub(crate) fn new(policy: UrlPolicy, keys: &SecretKeys) -> Self {
        let resolver: Arc<dyn Resolve> = Arc::new(SystemResolver::within(TEST_TIMEOUTS.resolve));
        let sender = Sender::new(policy, Arc::clone(&resolver), env!("CARGO_PKG_VERSION")).with_timeouts(TEST_TIMEOUTS);
        let sealing = SealingKeys::new(&keys.current, keys.previous.as_deref());
        Self { sender: Arc::new(sender), resolver, sealing }
    }

    /// Judges a URL as it is written and by where it leads now. Before each attempt it is judged again.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub(crate) async fn judge(&self, url: &str) -> Result<(), UrlError> {
        let policy = self.sender.policy();
        let target = policy.check(url)?;
        // An address as the host was judged with the text.
        let Some(name) = target.url().domain() else { return Ok(()) };
        let addresses = match tokio::time::timeout(TEST_TIMEOUTS.resolve, self.resolver.resolve(name)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(resolve::Error::NoAddress(_))) => return Err(Denied::NoAddress.into()),
            Ok(Err(resolve::Error::NoResolver(_))) | Err(_) => return Err(UrlError::NoResolver),
        };
        policy.judge(&target, &addresses).inspect_err(|denied| tracing::debug!(?denied, "a URL is refused for its addresses"))?;
        Ok(())
    }

    /// A secret as it is stored for an endpoint.
    pub(crate) fn seal(&self, secret: &Secret, tenant: &Tenant, endpoint: &EndpointId) -> String {
        self.sealing.seal(secret, owner(tenant, endpoint)).into()
    }

    /// # Errors
    /// When neither of the deployment's keys opens it.
    pub(crate) fn open(&self, sealed: &str, tenant: &Tenant, endpoint: &EndpointId) -> Result<Secret, seal::Error> {
        self.sealing.open(&Sealed::try_from(sealed.to_owned())?, owner(tenant, endpoint))
    }
}

/// The body of a test's `webhook.ping`.
///
/// # Errors
/// As [`Envelope::body`]; it is always short enough.
pub(crate) fn ping(endpoint: &EndpointId, now: Timestamp) -> Result<Bytes, BodyError> {
    let data = BTreeMap::from([("endpoint_id", endpoint)]);
    Envelope { event_type: EventType::Ping, timestamp: now, data }.body()
}

fn owner<'a>(tenant: &'a Tenant, endpoint: &'a EndpointId) -> Owner<'a> {
    Owner { tenant: tenant.id(), endpoint }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("sender", &self.sender).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::IpAddr;

    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;

    /// Knows these addresses of every name; without any, that there is none.
    struct Fixed(&'static [&'static str]);

    impl Resolve for Fixed {
        fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, resolve::Error>> {
            let found: Vec<IpAddr> = self.0.iter().map(|text| text.parse().expect("an address")).collect();
            let absent = || resolve::Error::NoAddress(Box::new(io::Error::other("scripted")));
            async move { if found.is_empty() { Err(absent()) } else { Ok(found) } }.boxed()
        }
    }

    #[tokio::test]
    async fn a_name_with_an_address_of_our_network_looks_like_one_without_any() {
        let keys = SecretKeys { current: [1; 32].into(), previous: None };
        let denied = UrlPolicy::new("127.0.0.0/8".parse().expect("a list"), "8.8.8.8/32".parse().expect("a list"));
        let mut texts = Vec::new();
        for addresses in [&[][..], &["10.0.0.1"], &["169.254.169.254"], &["8.8.8.8"], &["1.1.1.1", "::1"]] {
            let known = Webhooks { resolver: Arc::new(Fixed(addresses)), ..Webhooks::new(denied.clone(), &keys) };
            for url in ["https://host.example/", "http://host.example/", "https://host.internal/"] {
                texts.push(known.judge(url).await.expect_err("nothing to send to").to_string());
            }
        }
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    }
}
