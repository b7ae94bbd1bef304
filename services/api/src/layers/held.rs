//! An answer holds its tenant's place among the requests, and its bytes in memory, until the last byte of it is sent. A tenant whose
//! clients do not read so runs out of its own places and its own memory.
//!
//! Here it is decided what an answer holds; `unsent.rs` gives it to the bytes that are sent, once they are compressed.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::limits::{Admission, Share};
use crate::problem::ApiError;

/// Shorter answers are not counted by their bytes, the places bound them: 64 of them are 1 MiB. So what was changed is always answered.
const COUNTED_FROM: u64 = 16 * 1024;

/// What an answer holds; in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    _admission: Admission,
    _share: Option<Arc<Share>>,
}

pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let admission = request.extensions().get::<Admission>().cloned().unwrap_or_default();
    let mut response = next.run(request).await;
    let Some(mut share) = admission.memory() else { return response };
    // An answer that several requests share was counted when it was made.
    let mut counted = response.extensions_mut().remove::<Arc<Share>>();
    // Every answer is in memory as a whole, so its size is exact.
    let bytes = response.body().size_hint().lower();
    if counted.is_none() && bytes >= COUNTED_FROM {
        if let Err(full) = share.grow(usize::try_from(bytes).unwrap_or(usize::MAX)) {
            return ApiError::from(full).into_response();
        }
        counted = Some(Arc::new(share));
    }
    response.extensions_mut().insert(Held { _admission: admission, _share: counted });
    response
}
