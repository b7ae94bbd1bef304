//! An answer waits to be sent until the last byte of it is freed, and holds its [`Exchange`] for as long: the bytes themselves own it.
//! A body that only notices that it was read would not do. hyper takes a body as soon as the client lets it send one byte, and keeps it.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::connections::Exchange;

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let exchange = request.extensions().get::<Exchange>().cloned();
    let response = next.run(request).await;
    let Some(exchange) = exchange else { return response };
    exchange.answered();
    hold(response, exchange).await
}

/// The answer, whose bytes own `held` from now on.
pub(crate) async fn hold<H: Send + 'static>(response: Response, held: H) -> Response {
    let (parts, body) = response.into_parts();
    let bytes = whole(body).await;
    if bytes.is_empty() {
        return Response::from_parts(parts, Body::empty());
    }
    let owned = Bytes::from_owner(Owned { bytes, _held: held });
    Response::from_parts(parts, Body::from(owned))
}

/// The bytes of an answer. They are there already, as one piece, which is not copied.
pub(crate) async fn whole(body: Body) -> Bytes {
    to_bytes(body, usize::MAX).await.expect("every answer of ours is made in memory, as one piece")
}

struct Owned<H> {
    bytes: Bytes,
    _held: H,
}

impl<H> AsRef<[u8]> for Owned<H> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
