//! A receiver of webhooks on loopback: answers as it is told, however badly, and remembers every request.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::deployment::DEADLINE;
use crate::server::Dropped;
use crate::{server, wait_until};

/// What the receiver does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// Answers with this status.
    Status(u16),
    /// Answers with this status, asking for a pause.
    RetryAfter(u16, &'static str),
    /// Answers after a while.
    Slow(Duration, u16),
    /// Closes the connection without an answer, with the request in hand.
    Drop,
    /// Never answers.
    Silence,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Which of the receiver's endpoints it came to.
    pub endpoint: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: Instant,
    /// How many with this id this endpoint has had, this one included.
    pub nth: usize,
    /// What was done with it.
    pub reaction: Reaction,
}

type Script = Arc<dyn Fn(&Received) -> Reaction + Send + Sync>;

/// A running receiver. It ends when it is dropped.
pub struct Receiver {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Desk {
    received: Vec<Received>,
    scripts: HashMap<String, Script>,
}

impl Received {
    /// A header that every webhook has.
    ///
    /// # Panics
    /// When this one has not.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_else(|| panic!("{name} is missing: {self:?}"))
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// # Panics
    /// When the body is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The last part of the event's type.
    ///
    /// # Panics
    /// When the body has no type.
    pub fn kind(&self) -> String {
        let kind = self.json()["type"].as_str().expect("a type").to_owned();
        kind.rsplit('.').next().expect("a last part").to_owned()
    }

    /// The receiver has said that it took it.
    pub fn is_taken(&self) -> bool {
        matches!(self.reaction, Reaction::Status(200..300) | Reaction::Slow(_, 200..300))
    }
}

impl Receiver {
    /// Starts one that takes everything.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        let (listener, address) = server::listen().await;
        let desk = Arc::<Mutex<Desk>>::default();
        let (mut server, at) = (JoinSet::new(), Arc::clone(&desk));
        server.spawn(server::serve(listener, move |request| take(request, Arc::clone(&at))));
        Self { address, desk, _server: server }
    }

    /// The URL of one of its endpoints.
    pub fn url(&self, endpoint: &str) -> String {
        format!("http://{}/{endpoint}", self.address)
    }

    /// From now on an endpoint reacts like this.
    pub fn react(&self, endpoint: &str, script: impl Fn(&Received) -> Reaction + Send + Sync + 'static) {
        lock(&self.desk).scripts.insert(endpoint.to_owned(), Arc::new(script));
    }

    /// All that an endpoint has received, in order.
    pub fn received(&self, endpoint: &str) -> Vec<Received> {
        lock(&self.desk).received.iter().filter(|received| received.endpoint == endpoint).cloned().collect()
    }

    pub fn all(&self) -> Vec<Received> {
        lock(&self.desk).received.clone()
    }

    /// Waits until an endpoint has received so many requests, and gives all it has.
    ///
    /// # Panics
    /// When it does not get so many.
    pub async fn until_received(&self, endpoint: &str, count: usize) -> Vec<Received> {
        let what = format!("{endpoint} to receive {count}");
        wait_until(&what, DEADLINE, async || self.received(endpoint).len() >= count).await;
        self.received(endpoint)
    }

    /// Waits until an endpoint has taken events of exactly these kinds, in whatever order.
    ///
    /// # Panics
    /// When it does not, or takes more.
    pub async fn until_taken(&self, endpoint: &str, kinds: &[&str]) -> Vec<Received> {
        let taken = || self.received(endpoint).into_iter().filter(Received::is_taken).collect::<Vec<_>>();
        let what = format!("{endpoint} to take {kinds:?}");
        wait_until(&what, DEADLINE, async || taken().len() >= kinds.len()).await;
        let mut found: Vec<String> = taken().iter().map(Received::kind).collect();
        let mut kinds = kinds.to_vec();
        found.sort();
        kinds.sort_unstable();
        assert_eq!(found, kinds, "{endpoint}");
        taken()
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(request: Request<Incoming>, desk: Arc<Mutex<Desk>>) -> Result<Response<Full<Bytes>>, Dropped> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let reaction = note(&desk, parts.uri.path().trim_start_matches('/').to_owned(), parts.headers, body);
    let answer = |status: u16| Response::builder().status(StatusCode::from_u16(status).expect("a status"));
    let answer = match reaction {
        Reaction::Status(status) => answer(status),
        Reaction::RetryAfter(status, text) => answer(status).header("retry-after", text),
        Reaction::Slow(pause, status) => {
            sleep(pause).await;
            answer(status)
        }
        Reaction::Drop => return Err(Dropped),
        Reaction::Silence => std::future::pending().await,
    };
    Ok(answer.body(Full::default()).expect("a status and headers"))
}

/// Remembers a request, and says what is to be done with it.
fn note(desk: &Mutex<Desk>, endpoint: String, headers: HeaderMap, body: Bytes) -> Reaction {
    let mut desk = lock(desk);
    let mut received = Received { endpoint, headers, body, at: Instant::now(), nth: 0, reaction: Reaction::Status(200) };
    let is_same = |other: &&Received| other.endpoint == received.endpoint && other.id() == received.id();
    received.nth = desk.received.iter().filter(is_same).count() + 1;
    if let Some(script) = desk.scripts.get(&received.endpoint) {
        received.reaction = script(&received);
    }
    let reaction = received.reaction.clone();
    desk.received.push(received);
    reaction
}
