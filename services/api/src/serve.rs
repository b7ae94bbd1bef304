//! Serving connections: what HTTP allows on each, and how all come to an orderly end. Which of them are closed, `connections.rs` decides.
//!
//! `axum::serve` has no bound on their number or time, and stops listening the moment it is asked to; so connections are served here.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tidemark_runtime::listen;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

use crate::connections::{Connection, Connections};
use crate::limits::Memory;

/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// Most header fields that are parsed. Beyond, hyper answers with a bare 431; the API's own limits, which say so in a body, are a
/// fraction of this (`layers/head.rs`).
const FIELDS_PARSED_MAX: usize = 512;
/// Most bytes of a head that are held: the API's own limits for path, query and fields, and a third more.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// Bytes of request bodies that are taken unread, on one HTTP/2 stream and on a whole connection. The longest body is 256 KiB.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Bytes of answers that the kernel holds for one connection (it takes twice that). They count for the pod's memory, too, and would
/// otherwise grow to megabytes.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How long the kernel keeps bytes that the client does not acknowledge, or has no room for; also when the connection is closed already.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// An HTTP/2 client that is gone without a word is noticed after both.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time that requests under way are waited for at the end; each has its own, shorter limit.
const FINISH_MAX: Duration = Duration::from_secs(15);

/// Answers requests until `stop`, and for `drain_delay` after it; then those under way are finished.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections: Connections,
    memory: Arc<Memory>,
    stop: CancellationToken,
    drain_delay: Duration,
) {
    let closing = CancellationToken::new();
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(drain_delay).await;
    };
    let serve = |stream: TcpStream| {
        // Counted before the next is accepted. A peer without an address has gone already.
        let connection = stream.peer_addr().ok().and_then(|address| connections.open(address.ip()));
        let (router, closing) = (router.clone(), closing.clone());
        async move {
            if let Some(connection) = connection {
                converse(stream, Arc::new(connection), router, closing).await;
            }
        }
    };
    let sweeping = async {
        let mut ticks = tokio::time::interval(connections.limits().sweep_every);
        loop {
            ticks.tick().await;
            connections.sweep();
            if memory.was_full() {
                connections.close_slowest();
            }
        }
    };
    let served = async {
        let mut open = listen::accept(listener, usize::MAX, drained, serve).await;
        closing.cancel();
        connections.close_silent();
        let finished = async { while open.join_next().await.is_some() {} };
        if tokio::time::timeout(FINISH_MAX, finished).await.is_err() {
            tracing::warn!("requests still under way were dropped at shutdown");
        }
    };
    tokio::select! {
        () = served => {}
        () = sweeping => {}
    }
}

/// Serves one connection until it ends or receives the signal to close. After the signal to finish, its own or that of the whole server, it
/// completes the requests under way and ends.
async fn converse(stream: TcpStream, connection: Arc<Connection>, router: Router, closing: CancellationToken) {
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%error, "a connection keeps the system's options");
    }
    let signals = connection.signals.clone();
    let begin = move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection.begin());
        request
    };
    let service = TowerToHyperService::new(ServiceBuilder::new().map_request(begin).service(router));
    let builder = http();
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let asked_to_finish = async {
        tokio::select! {
            () = signals.finish.cancelled() => {}
            () = closing.cancelled() => {}
        }
    };
    let finished = async {
        tokio::select! {
            ended = serving.as_mut() => return ended,
            () = asked_to_finish => {}
        }
        serving.as_mut().graceful_shutdown();
        serving.await
    };
    tokio::select! {
        () = signals.close.cancelled() => {}
        ended = finished => if let Err(error) = ended {
            tracing::debug!(error = &*error, "a connection ended early");
        },
    }
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    // An answer is written as a whole; there is nothing to gather it with.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)
}

fn http() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // The table of connections has a time for the first head and one for the next.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder.http1().max_headers(FIELDS_PARSED_MAX).max_buf_size(HEAD_BYTES_MAX as usize);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).keep_alive_timeout(PING_TIMEOUT);
    builder.http2().max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEAD_BYTES_MAX);
    builder.http2().initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    builder
}
