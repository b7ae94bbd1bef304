//! From a host's name to its addresses: the system's name servers and hosts file, asked by ourselves.
//!
//! Names are taken as they stand: the search list of `/etc/resolv.conf` would turn `example.com` into names of the cluster.
//!
//! A look-up without an answer has two possible causes. Either our name servers do not work, which is our fault, or they wait for the
//! servers of the name, which do not answer: the owner of the name can cause that. So the name servers are asked about the root
//! zone, which no tenant can influence, before the fault is called ours.

mod probe;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::time::timeout;

use probe::Probe;

/// Answers that are remembered, each for its TTL and at most [`CACHED_FOR_MAX`].
const CACHE_ENTRIES: u64 = 1024;
/// A changed address is noticed within this, whatever its TTL says.
const CACHED_FOR_MAX: Duration = Duration::from_secs(300);
/// A name that does not exist yet is asked for again within this.
const ABSENT_FOR_MAX: Duration = Duration::from_secs(30);
/// How long one name server has to answer one question.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(1500);
/// Times that a question is asked again when there was no answer.
const QUESTIONS_AGAIN: usize = 2;

/// The share of a resolver's limit that a look-up has before our name servers are asked whether they work. It goes on meanwhile.
const ALONE: f64 = 0.75;
/// The share that this probe has. The rest of the limit is a reserve, so that the caller's own timeout does not come first.
const PROBED: f64 = 0.2;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a name has no addresses for us.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name servers answered that there are none, or that the name's own servers fail; or they work, and did not answer this.
    #[error("the name has no address")]
    NoAddress(#[source] Cause),
    /// No name server of ours answers anything. That is not the endpoint's fault.
    #[error("no name server answers")]
    NoResolver(#[source] Cause),
}

/// Looks names up. What it returns is judged, and then connected to; it is never asked twice for one connection.
pub trait Resolve: Send + Sync {
    /// All addresses of a name.
    ///
    /// # Errors
    /// [`Error`]; also when the name has no address.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Error>>;
}

/// The system's own: `/etc/hosts`, and the name servers of `/etc/resolv.conf`. Clones share the cache and the probe.
#[derive(Debug, Clone)]
pub struct SystemResolver {
    names: TokioResolver,
    probe: Arc<Probe>,
    /// How long a look-up has before the probe.
    alone: Duration,
}

impl SystemResolver {
    /// Reads the system's configuration. Without a usable one only the hosts file is known; every other name is
    /// [`Error::NoResolver`], and a line in the log says so.
    ///
    /// Each look-up ends within `limit`, probe included. A caller's own timeout must not be shorter: it could not tell whose fault
    /// the silence is.
    pub fn within(limit: Duration) -> Self {
        let builder = || {
            TokioResolver::builder_tokio().unwrap_or_else(|error| {
                tracing::warn!(?error, "no name servers: webhooks reach only hosts of the hosts file");
                TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
            })
        };
        Self::with(builder, QUESTION_TIMEOUT, limit)
    }

    fn with(builder: impl Fn() -> ResolverBuilder<TokioRuntimeProvider>, question_timeout: Duration, limit: Duration) -> Self {
        let mut names = builder();
        let options = names.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.cache_size = CACHE_ENTRIES;
        options.positive_max_ttl = Some(CACHED_FOR_MAX);
        options.negative_max_ttl = Some(ABSENT_FOR_MAX);
        options.timeout = question_timeout;
        options.attempts = QUESTIONS_AGAIN;
        let probe = Arc::new(Probe::new(builder(), limit.mul_f64(PROBED)));
        Self { names: built(names), probe, alone: limit.mul_f64(ALONE) }
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        let mut asked = pin!(self.names.lookup_ip(format!("{}.", name.trim_end_matches('.'))));
        let early = timeout(self.alone, &mut asked).await.ok();
        let (found, works) = match early {
            Some(Ok(found)) => (Ok(found), true),
            Some(Err(error)) if is_answer(&error) => (Err(error), true),
            Some(Err(error)) => (Err(error), self.probe.works().await),
            None => {
                let (late, works) = tokio::join!(timeout(self.probe.limit(), asked), self.probe.works());
                (late.unwrap_or(Err(NetError::Timeout)), works)
            }
        };
        match found {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if works || is_answer(&error) => Err(Error::NoAddress(error.into())),
            Err(error) => Err(Error::NoResolver(error.into())),
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Error>> {
        self.look_up(name).boxed()
    }
}

fn built(builder: ResolverBuilder<TokioRuntimeProvider>) -> TokioResolver {
    builder.build().expect("only name servers over TLS can be refused, and there are none")
}

/// A name server of ours did its work, whatever the answer. One that refuses to serve us did not.
fn is_answer(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => false,
        NetError::Dns(_) | NetError::Proto(_) => true,
        _ => false,
    }
}
