//! Look-ups at real name servers on loopback, good and bad ones.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::*;

/// Each test's look-ups end within this.
const LIMIT: Duration = Duration::from_secs(2);

/// A name server on loopback. It ends when it is dropped.
struct NameServer {
    address: SocketAddr,
    /// How often it was asked about the root zone.
    asked_for_root: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl NameServer {
    /// Answers questions about the root zone, and those about all other names, with these codes and no records; `None`: not at all.
    async fn start(root: Option<ResponseCode>, others: Option<ResponseCode>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = socket.local_addr().expect("a bound socket");
        let asked_for_root = Arc::<AtomicUsize>::default();
        let (mut tasks, counted) = (JoinSet::new(), Arc::clone(&asked_for_root));
        tasks.spawn(async move {
            let mut packet = [0; 512];
            loop {
                let (length, sender) = socket.recv_from(&mut packet).await.expect("a question");
                let name = packet[12..length].iter().position(|byte| *byte == 0).expect("a name ends");
                let is_root = name == 0;
                counted.fetch_add(usize::from(is_root), Ordering::Relaxed);
                let Some(code) = (if is_root { root } else { others }) else { continue };
                // An answer, with recursion; no records of any kind.
                packet[2..4].copy_from_slice(&[0x81, 0x80 | code.low()]);
                packet[6..12].fill(0);
                socket.send_to(&packet[..12 + name + 5], sender).await.expect("sent");
            }
        });
        Self { address, asked_for_root, _tasks: tasks }
    }

    fn resolver(&self) -> SystemResolver {
        asking(self.address)
    }
}

/// Asks one name server on loopback.
fn asking(server: SocketAddr) -> SystemResolver {
    let builder = || {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let servers = vec![NameServerConfig::new(server.ip(), true, vec![connection])];
        let config = ResolverConfig::from_parts(None, vec![], servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    SystemResolver::with(builder, Duration::from_millis(900), LIMIT)
}

/// Whose fault it is that a name has no addresses. That is known within the limit, for a caller that waits no longer.
async fn is_ours(resolver: &SystemResolver, name: &str) -> bool {
    let found = timeout(LIMIT, resolver.resolve(name)).await.expect("an answer within the limit");
    matches!(found.expect_err("no address"), Error::NoResolver(_))
}

#[tokio::test]
async fn the_machines_own_name_is_known_without_asking() {
    let addresses = SystemResolver::within(LIMIT).resolve("localhost").await.expect("an address");
    assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
}

#[tokio::test]
async fn a_name_without_an_address_is_told_from_a_name_server_that_does_not_work() {
    for (code, ours) in [
        (ResponseCode::NXDomain, false),
        (ResponseCode::NoError, false),
        (ResponseCode::ServFail, false),
        (ResponseCode::Refused, true),
    ] {
        let server = NameServer::start(Some(code), Some(code)).await;
        assert_eq!(is_ours(&server.resolver(), "receiver.test").await, ours, "{code}");
    }
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port").local_addr().expect("bound");
    assert!(is_ours(&asking(closed), "receiver.test").await);
}

#[tokio::test]
async fn a_name_whose_own_servers_are_silent_is_no_fault_of_ours() {
    let table = [
        (Some(ResponseCode::NoError), None, false),
        (Some(ResponseCode::ServFail), None, false),
        (Some(ResponseCode::NoError), Some(ResponseCode::Refused), false),
        (Some(ResponseCode::Refused), None, true),
        (None, None, true),
    ];
    // At once: most of them take the whole time.
    join_all(table.map(async |(root, others, ours)| {
        let server = NameServer::start(root, others).await;
        assert_eq!(is_ours(&server.resolver(), "dead.test").await, ours, "{root:?}, {others:?}");
    }))
    .await;
}

#[tokio::test]
async fn however_many_names_are_without_an_answer_the_probe_is_one() {
    let server = NameServer::start(Some(ResponseCode::NoError), None).await;
    let resolver = server.resolver();
    let names: Vec<String> = (0..50).map(|number| format!("dead-{number}.test")).collect();
    let ours = join_all(names.iter().map(|name| is_ours(&resolver, name))).await;
    assert!(ours.iter().all(|ours| !ours), "{ours:?}");
    assert_eq!(server.asked_for_root.load(Ordering::Relaxed), 1);
    assert!(!is_ours(&resolver, "dead.test").await);
    assert_eq!(server.asked_for_root.load(Ordering::Relaxed), 1, "the result is remembered for a moment");
}
