//! From a host's name to its addresses: the system's name servers and hosts file, asked by ourselves.
//!
//! Names are taken as they stand: the search list of `/etc/resolv.conf` would turn `example.com` into names of the cluster.

use std::net::IpAddr;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::{ResolverBuilder, TokioResolver};

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

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a name has no addresses for us.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name servers answered: there are none, or whoever serves the name is broken.
    #[error("the name has no address")]
    NoAddress(#[source] Cause),
    /// No name server of ours answered. That is not the endpoint's fault.
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

/// The system's own: `/etc/hosts`, and the name servers of `/etc/resolv.conf`.
#[derive(Debug, Clone)]
pub struct SystemResolver(TokioResolver);

impl SystemResolver {
    /// Reads the system's configuration. Without a usable one only the hosts file is known; every other name is
    /// [`Error::NoResolver`], and a line in the log says so.
    pub fn new() -> Self {
        let builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
            tracing::warn!(?error, "no name servers: webhooks reach only hosts of the hosts file");
            TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
        });
        Self::with(builder, QUESTION_TIMEOUT)
    }

    fn with(mut builder: ResolverBuilder<TokioRuntimeProvider>, question_timeout: Duration) -> Self {
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.cache_size = CACHE_ENTRIES;
        options.positive_max_ttl = Some(CACHED_FOR_MAX);
        options.negative_max_ttl = Some(ABSENT_FOR_MAX);
        options.timeout = question_timeout;
        options.attempts = QUESTIONS_AGAIN;
        Self(builder.build().expect("only name servers over TLS can be refused, and there are none"))
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Error>> {
        let absolute = format!("{}.", name.trim_end_matches('.'));
        async move { self.0.lookup_ip(absolute).await.map(|found| found.iter().collect()).map_err(Error::from) }.boxed()
    }
}

impl From<NetError> for Error {
    fn from(error: NetError) -> Self {
        match error {
            // A server that refuses to serve us is ours to set right; one that failed to find out is the name's.
            NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => Self::NoResolver(error.into()),
            NetError::Dns(_) | NetError::Proto(_) => Self::NoAddress(error.into()),
            _ => Self::NoResolver(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
    use tokio::net::UdpSocket;
    use tokio::task::JoinSet;

    use super::*;

    /// Asks one name server on loopback.
    fn asking(server: SocketAddr) -> SystemResolver {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let servers = vec![NameServerConfig::new(server.ip(), true, vec![connection])];
        let config = ResolverConfig::from_parts(None, vec![], servers);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        SystemResolver::with(builder, Duration::from_millis(300))
    }

    /// A name server that answers every question with this code, and no records.
    async fn name_server(code: ResponseCode, tasks: &mut JoinSet<()>) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = socket.local_addr().expect("a bound socket");
        tasks.spawn(async move {
            let mut packet = [0; 512];
            loop {
                let (length, sender) = socket.recv_from(&mut packet).await.expect("a question");
                // An answer, with recursion; no records of any kind.
                packet[2..4].copy_from_slice(&[0x81, 0x80 | code.low()]);
                packet[6..12].fill(0);
                let question = packet[12..length].iter().position(|byte| *byte == 0).expect("a name ends") + 12 + 5;
                socket.send_to(&packet[..question], sender).await.expect("sent");
            }
        });
        address
    }

    #[tokio::test]
    async fn the_machines_own_name_is_known_without_asking() {
        let addresses = SystemResolver::new().resolve("localhost").await.expect("an address");
        assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_told_from_a_silent_name_server() {
        let mut tasks = JoinSet::new();
        for (code, ours) in [
            (ResponseCode::NXDomain, false),
            (ResponseCode::NoError, false),
            (ResponseCode::ServFail, false),
            (ResponseCode::Refused, true),
        ] {
            let server = name_server(code, &mut tasks).await;
            let error = asking(server).resolve("receiver.test").await.expect_err("no address");
            assert_eq!(matches!(error, Error::NoResolver(_)), ours, "{code}: {error:?}");
        }
        let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port").local_addr().expect("bound");
        assert!(matches!(asking(closed).resolve("receiver.test").await, Err(Error::NoResolver(_))));
    }
}
