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
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Not the URL's fault.
    #[error("no name server answers")]
    NoResolver,
}

impl Webhooks {
    pub(crate) fn new(policy: UrlPolicy, keys: &SecretKeys) -> Self {
        let resolver: Arc<dyn Resolve> = Arc::new(SystemResolver::new());
        let sender = Sender::new(policy, Arc::clone(&resolver), env!("CARGO_PKG_VERSION")).with_timeouts(TEST_TIMEOUTS);
        let sealing = SealingKeys::new(&keys.current, keys.previous.as_ref());
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
        policy.judge(&target, &addresses)?;
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
