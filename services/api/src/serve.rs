//! Connections: how many there are, how long one may take to say what it wants, and how all come to an orderly end.
//!
//! `axum::serve` has no bound on either, and stops listening the moment it is asked to; so connections are served here.

use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tidemark_runtime::listen;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// Longest wait for a whole request head, and so for the next request of a connection that stays open. Longer than the minute after
/// which load balancers close such a connection: whoever opened it should be the one to close it, or a request may cross the end.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// Most header fields that are parsed. Beyond, hyper answers with a bare 431; the API's own limits, which say so in a body, are a
/// fraction of this and the next (`layers/head.rs`).
const FIELDS_PARSED_MAX: usize = 512;
/// Most bytes of a head that are held.
const HEAD_BYTES_MAX: u32 = 128 * 1024;
/// Longest time that requests under way are waited for at the end; each has its own, shorter limit.
const FINISH_MAX: Duration = Duration::from_secs(15);

/// Answers requests until `stop`, and for `drain_delay` after it; then those under way are finished.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken, drain_delay: Duration) {
    let closing = CancellationToken::new();
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(drain_delay).await;
    };
    let serve = |stream| converse(stream, router.clone(), closing.clone());
    let mut connections = listen::accept(listener, CONNECTIONS_MAX, drained, serve).await;
    closing.cancel();
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH_MAX, finished).await.is_err() {
        tracing::warn!("requests still under way were dropped at shutdown");
    }
}

/// Serves one connection until it ends, or until `closing` and the answers under way.
async fn converse(stream: TcpStream, router: Router, closing: CancellationToken) {
    // An answer is written as a whole; there is nothing to gather it with.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http1().max_headers(FIELDS_PARSED_MAX).max_buf_size(HEAD_BYTES_MAX as usize);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEAD_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &*error, "a connection ended early");
    }
}
