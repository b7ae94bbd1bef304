//! An answer waits to be sent until the last byte of it is freed, and keeps its [`Exchange`] and what it holds for as long: the bytes
//! themselves own both. A body that only notices that it was read would not do. hyper takes a body as soon as the client lets it send
//! one byte, and keeps it.
//!
//! This is above compression: an encoder takes some hundred kilobytes, more than most answers, and must not wait for a client.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use super::held::Held;
use crate::connections::Exchange;

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let exchange = request.extensions().get::<Exchange>().cloned();
    let (mut parts, body) = next.run(request).await.into_parts();
    let held = parts.extensions.remove::<Held>();
    let bytes = whole(body).await;
    if bytes.is_empty() {
        return Response::from_parts(parts, Body::empty());
    }
    if let Some(exchange) = &exchange {
        exchange.answered();
    }
    let owned = Bytes::from_owner(Owned { bytes, _exchange: exchange, _held: held });
    Response::from_parts(parts, Body::from(owned))
}

/// The bytes of an answer, which are all there. One piece is not copied.
pub(crate) async fn whole(body: Body) -> Bytes {
    to_bytes(body, usize::MAX).await.expect("every answer of ours is made in memory")
}

struct Owned {
    bytes: Bytes,
    _exchange: Option<Exchange>,
    _held: Option<Held>,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
