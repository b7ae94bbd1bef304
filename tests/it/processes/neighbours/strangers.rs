//! What clients without a good key do, or with one that they use for nothing but harm; and how long a good key waits meanwhile.

use std::time::Duration;

use tidemark_tests::unread::Unread;
use tidemark_tests::{Client, wait_until};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::measure::ask;
use super::scene::{HOSTILE, NEIGHBOUR, PATIENCE, Scene};

/// One kind of attack.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stranger {
    /// Connections that say nothing.
    Silent,
    /// The page for people and all it is made of, again and again.
    Pages,
    /// Keys that look right and were never issued.
    MadeUpKeys,
    /// Unsigned access tokens, while the issuer accepts connections and says nothing.
    Tokens,
    /// Answers that are not read, to a good key and to none.
    Unread,
}

/// Silent connections are closed within this time.
const CLOSED_WITHIN: Duration = Duration::from_secs(60);
const SILENT: usize = 4_200;
/// More than one peer may have.
const SILENT_MIN: usize = 600;
const READERS: usize = 16;
/// From one request of an attack to the next.
const PERIOD: Duration = Duration::from_millis(2);
/// From the end of one round of the good key to the next.
const PAUSE: Duration = Duration::from_millis(20);
const UNREAD: usize = 250;
/// Requests on one HTTP/2 connection.
const STREAMS: usize = 50;
const TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.e30.AAAA";

impl Stranger {
    pub(super) const ALL: [Self; 5] = [Self::Silent, Self::Pages, Self::MadeUpKeys, Self::Tokens, Self::Unread];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent connections",
            Self::Pages => "16 readers of the pages",
            Self::MadeUpKeys => "hundreds of made-up keys a second",
            Self::Tokens => "hundreds of unsigned tokens a second, a silent issuer",
            Self::Unread => "250 unread answers again and again",
        }
    }

    /// Attacks until stopped, and says what was done.
    pub(super) async fn run(self, scene: &Scene, stop: &CancellationToken) -> String {
        match self {
            Self::Silent => stay_silent(scene, stop).await,
            Self::Pages => read_pages(scene, stop).await,
            Self::MadeUpKeys => present(scene, stop, made_up_key).await,
            Self::Tokens => present(scene, stop, |_| TOKEN.to_owned()).await,
            Self::Unread => leave_unread(scene, stop).await,
        }
    }
}

/// How long the good key's requests took: round after round until an instant. In every third round there is a further request, with a key
/// that the API has not seen before.
pub(super) async fn measure(client: &Client, fresh: &mut Vec<Client>, end: Instant) -> Vec<Duration> {
    let (mut taken, mut number) = (Vec::new(), 0);
    while Instant::now() < end {
        number += 1;
        taken.push(ask(client, number).await);
        if number % 3 == 0
            && let Some(fresh) = fresh.pop()
        {
            taken.push(ask(&fresh, number).await);
        }
        sleep(PAUSE).await;
    }
    taken
}

/// Clients with keys that were never used, some of them for one attack. A tenant has at most a hundred keys, so there are several tenants.
pub(super) async fn fresh_clients(scene: &Scene, stranger: Stranger, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 0..count {
        clients.push(scene.client(&format!("{NEIGHBOUR}-{stranger:?}-{}", number % 2)).await);
    }
    clients
}

/// As many connections as the system lets this process have.
async fn stay_silent(scene: &Scene, stop: &CancellationToken) -> String {
    let mut silent = JoinSet::new();
    for _ in 0..SILENT {
        let Ok(mut stream) = TcpStream::connect(scene.address()).await else { break };
        silent.spawn(async move {
            // It ends, however it does, when the server closes the connection.
            drop(stream.read(&mut [0]).await);
        });
    }
    let opened = silent.len();
    assert!(opened >= SILENT_MIN, "{opened} connections prove nothing");
    stop.cancelled().await;
    let all_closed = async { while silent.join_next().await.is_some() {} };
    let waited = Instant::now();
    tokio::time::timeout(CLOSED_WITHIN, all_closed).await.expect("silent connections are closed");
    format!("{opened} opened, all closed {} s after the attack", waited.elapsed().as_secs())
}

async fn read_pages(scene: &Scene, stop: &CancellationToken) -> String {
    let mut paths = vec!["/docs/".to_owned(), "/openapi.json".to_owned()];
    let page = Raw::connect(scene).await.get("/docs/", "").await.expect("the page is served").1;
    let page = String::from_utf8(page).expect("text");
    let linked = page.split('"').filter(|part| part.ends_with(".js") || part.ends_with(".css"));
    paths.extend(
        linked.map(
            |name| {
                if name.starts_with('/') { name.to_owned() } else { format!("/docs/{}", name.trim_start_matches("./")) }
            },
        ),
    );
    assert!(paths.len() >= 5, "{paths:?}");
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (mut raw, paths, stop) = (Raw::connect(scene).await, paths.clone(), stop.clone());
        readers.spawn(async move {
            let (mut read, mut refused) = (0_usize, 0_usize);
            for path in paths.iter().cycle() {
                match raw.get(path, "accept-encoding: gzip\r\n").await {
                    _ if stop.is_cancelled() => break,
                    Some((200, _)) => read += 1,
                    Some(_) => {
                        refused += 1;
                        // A pause: the attacker shares two cores with what it attacks.
                        sleep(PERIOD).await;
                    }
                    None => break,
                }
            }
            (read, refused)
        });
    }
    let sums = readers.join_all().await;
    let (read, refused) = sums.iter().fold((0, 0), |(read, refused), (one, other)| (read + one, refused + other));
    format!("{read} read, {refused} refused")
}

/// Presents one credential after the other.
async fn present(scene: &Scene, stop: &CancellationToken, credential: impl Fn(u64) -> String) -> String {
    let (mut under_way, mut number) = (JoinSet::new(), 0);
    while !stop.is_cancelled() {
        number += 1;
        let (address, header) = (scene.address().to_owned(), format!("authorization: Bearer {}\r\n", credential(number)));
        under_way.spawn(async move {
            let mut raw = Raw { stream: BufReader::new(TcpStream::connect(address).await.ok()?) };
            raw.get("/v1/metrics", &header).await.map(|(status, _)| status)
        });
        sleep(PERIOD).await;
    }
    let refused = under_way.join_all().await;
    assert!(!refused.contains(&Some(200)), "no such credential is good");
    format!("{number} presented")
}

async fn leave_unread(scene: &Scene, stop: &CancellationToken) -> String {
    let key = scene.key(HOSTILE).await;
    let (mut rounds, mut kept) = (0, Vec::new());
    while !stop.is_cancelled() {
        for connection in 0..UNREAD / STREAMS {
            let mut unread = Unread::connect(scene.url()).await;
            let key = if connection % 2 == 0 { key.as_str() } else { "tdm_none" };
            let paths = (0..STREAMS).map(|number| format!("/v1/metrics/sales/values?from=2026-01-{:02}", number % 28 + 1));
            unread.ask(paths, key).await;
            kept.push(unread);
        }
        rounds += 1;
        sleep(Duration::from_millis(500)).await;
    }
    format!("{rounds} rounds, {} connections", kept.len())
}

/// A key of the old form whose checksum fits: anyone can compute it.
fn made_up_key(number: u64) -> String {
    let body = format!("tdm_{number:020x}_{number:064x}");
    format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()))
}

/// HTTP/1.1 by hand on one connection: a client that costs next to nothing.
struct Raw {
    stream: BufReader<TcpStream>,
}

impl Raw {
    async fn connect(scene: &Scene) -> Self {
        Self { stream: BufReader::new(TcpStream::connect(scene.address()).await.expect("the API listens")) }
    }

    /// The status and the body; `None` when the connection ends.
    async fn get(&mut self, path: &str, headers: &str) -> Option<(u16, Vec<u8>)> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).await.ok()?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            self.stream.read_line(&mut head).await.ok().filter(|length| *length > 0)?;
        }
        let head = head.to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut body = Vec::new();
        if let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
            self.take(length.parse().ok()?, &mut body).await?;
            return Some((status, body));
        }
        loop {
            let mut length = String::new();
            self.stream.read_line(&mut length).await.ok()?;
            let length = usize::from_str_radix(length.trim(), 16).ok()?;
            self.take(length, &mut body).await?;
            self.take(2, &mut Vec::new()).await?;
            if length == 0 {
                return Some((status, body));
            }
        }
    }

    async fn take(&mut self, length: usize, body: &mut Vec<u8>) -> Option<()> {
        let begin = body.len();
        body.resize(begin + length, 0);
        self.stream.read_exact(&mut body[begin..]).await.ok().map(|_| ())
    }
}

/// Waits until a good key is answered in peace.
pub(super) async fn warm_up(client: &Client) {
    wait_until("the API to answer", PATIENCE, async || ask(client, 0).await < PATIENCE).await;
}
