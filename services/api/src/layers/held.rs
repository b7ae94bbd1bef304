//! An answer holds its tenant's place among the requests, and its bytes in memory, until the last byte of it is sent. A tenant whose
//! clients do not read so runs out of its own places and its own memory.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::unsent::{hold, whole};
use crate::connections::Exchange;
use crate::limits::{Admission, Full, Share};
use crate::problem::{ApiError, OVERLOADED, Problem};

/// Shorter answers are not counted by their bytes, the places bound them: 64 of them are 4 MiB. So what was changed is always answered.
const COUNTED_FROM: usize = 64 * 1024;

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let admission = request.extensions().get::<Admission>().cloned().unwrap_or_default();
    let exchange = request.extensions().get::<Exchange>().cloned();
    let mut response = next.run(request).await;
    if is_overloaded(&response) {
        close_slowest(exchange.as_ref());
    }
    // An answer that several requests share has been counted.
    let counted = response.extensions_mut().remove::<Arc<Share>>();
    let Some(mut share) = admission.memory() else { return response };
    let (parts, body) = response.into_parts();
    let bytes = whole(body).await;
    if counted.is_none()
        && bytes.len() >= COUNTED_FROM
        && let Err(full) = share.grow(bytes.len())
    {
        if full == Full::Process {
            close_slowest(exchange.as_ref());
        }
        return ApiError::from(full).into_response();
    }
    hold(Response::from_parts(parts, Body::from(bytes)), (admission, share, counted)).await
}

/// Whether a handler found all memory taken, or all places.
fn is_overloaded(response: &Response) -> bool {
    response.extensions().get::<Problem>().is_some_and(|problem| problem.code == OVERLOADED)
}

/// Where memory is short, the slowest reader loses what it holds.
fn close_slowest(exchange: Option<&Exchange>) {
    if let Some(exchange) = exchange {
        exchange.close_slowest();
    }
}
