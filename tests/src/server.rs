//! The HTTP/1 server of everything here that is called: the front, receivers, collectors, issuers of tokens.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tidemark_runtime::listen;
use tokio::net::TcpListener;

/// More connections than any test has clients.
const CONNECTIONS_MAX: usize = 4096;

/// The connection is to be dropped without an answer. hyper does so when a service fails.
#[derive(Debug, thiserror::Error)]
#[error("this connection is dropped")]
pub struct Dropped;

/// Listens on a free port of loopback.
///
/// # Panics
/// When there is none.
pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    (listener, address)
}

/// Answers every request until the task is ended.
pub async fn serve<Answer, Refusal>(listener: TcpListener, answer: impl Fn(Request<Incoming>) -> Answer + Clone + Send + 'static)
where
    Answer: Future<Output = Result<Response<Full<Bytes>>, Refusal>> + Send + 'static,
    Refusal: Error + Send + Sync + 'static,
{
    let converse = |stream| {
        let service = service_fn(answer.clone());
        // An error here is a client that hung up, or a connection dropped on purpose.
        async { drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await) }
    };
    listen::accept(listener, CONNECTIONS_MAX, std::future::pending(), converse).await;
}
