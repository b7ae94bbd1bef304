//! A receiver on loopback that answers as it is told, however badly. It speaks HTTP by hand: no library would misbehave so.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How the receiver answers a request.
#[derive(Clone)]
pub(super) enum Reply {
    /// These bytes to whatever comes first, be it a request or not, and the connection is closed.
    Deaf(Vec<u8>),
    /// These bytes, and the connection is closed.
    Raw(Vec<u8>),
    /// A head, and then this chunk again and again, until the sender has gone or this much was sent.
    Stream { head: &'static str, chunk: Vec<u8>, total: usize },
    /// A head, and then these bytes one by one with a pause before each, until the sender has gone.
    Drip { head: &'static str, bytes: &'static [u8] },
    /// Nothing, until the sender has gone.
    Silence,
}

/// A pause longer than any limit of a test divided by the bytes that drip.
const DRIP: Duration = Duration::from_millis(50);

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    received: Vec<Received>,
    /// Bytes of answers that the sender's side took.
    written: usize,
}

/// Listens until it is dropped.
pub(super) struct Receiver {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    tasks: JoinSet<()>,
}

impl Reply {
    pub(super) fn status(status: &str, body: &str) -> Self {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nset-cookie: a=b\r\n\r\n", body.len());
        Self::Raw([head.as_bytes(), body.as_bytes()].concat())
    }
}

impl Receiver {
    pub(super) async fn start(reply: Reply) -> Self {
        Self::start_with(reply, None).await
    }

    pub(super) async fn start_with(reply: Reply, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let seen = Arc::<Mutex<Seen>>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, reply, tls, Arc::clone(&seen)));
        Self { port, seen, tasks }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.lock().expect("no panic held it").connections
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.seen.lock().expect("no panic held it").received.clone()
    }

    pub(super) fn written(&self) -> usize {
        self.seen.lock().expect("no panic held it").written
    }

    /// Closes its port.
    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn accept(listener: TcpListener, reply: Reply, tls: Option<TlsAcceptor>, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        seen.lock().expect("no panic held it").connections += 1;
        let (reply, tls, seen) = (reply.clone(), tls.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            match tls {
                None => serve(stream, &reply, &seen).await,
                // A sender that does not trust us hangs up in the handshake.
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &reply, &seen).await,
                    Err(_) => None,
                },
            }
        });
    }
}

/// Reads one request and answers it. `None`: the sender went away first, which many tests want.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: &Reply, seen: &Mutex<Seen>) -> Option<()> {
    if let Reply::Deaf(bytes) = reply {
        if stream.read(&mut [0; 4096]).await.ok()? == 0 {
            return None;
        }
        stream.write_all(bytes).await.ok()?;
        return stream.shutdown().await.ok();
    }
    let request = read(&mut stream).await?;
    seen.lock().expect("no panic held it").received.push(request);
    match reply {
        Reply::Deaf(_) => {}
        Reply::Raw(bytes) => stream.write_all(bytes).await.ok()?,
        Reply::Stream { head, chunk, total } => {
            stream.write_all(head.as_bytes()).await.ok()?;
            for _ in 0..total / chunk.len() {
                stream.write_all(chunk).await.ok()?;
                seen.lock().expect("no panic held it").written += chunk.len();
            }
        }
        Reply::Drip { head, bytes } => {
            stream.write_all(head.as_bytes()).await.ok()?;
            for byte in bytes.iter() {
                tokio::time::sleep(DRIP).await;
                stream.write_all(&[*byte]).await.ok()?;
            }
        }
        Reply::Silence => while stream.read(&mut [0; 64]).await.ok()? > 0 {},
    }
    // Says goodbye in TLS, too.
    stream.shutdown().await.ok()
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let mut bytes = Vec::new();
    let head_length = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let more = stream.read_buf(&mut bytes).await.ok()?;
        if more == 0 {
            return None;
        }
    };
    let head = std::str::from_utf8(&bytes[..head_length]).ok()?.to_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    };
    let headers: HeaderMap = lines.filter_map(header).collect();
    let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    let mut body = bytes.split_off(head_length + 4);
    while body.len() < length {
        let more = stream.read_buf(&mut body).await.ok()?;
        if more == 0 {
            return None;
        }
    }
    Some(Received { line, headers, body })
}
