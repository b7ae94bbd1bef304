//! Web pages that may call the API, if any are named. Their credential is a key in a header, never a cookie, so no answer allows
//! browsers to send credentials of their own accord.

use std::time::Duration;

use axum::http::{HeaderName, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::request_id::X_REQUEST_ID;
use crate::edge::Origins;
use crate::freshness::{DATA_EXACT, DATA_WATERMARK};
use crate::idempotency::IDEMPOTENCY_KEY;
use crate::limits::{POLICY, STANDING};

/// How long a browser remembers what it may do.
const MAX_AGE: Duration = Duration::from_secs(600);

const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PATCH, Method::DELETE];
const TAKEN: [HeaderName; 6] =
    [header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH, header::IF_NONE_MATCH, IDEMPOTENCY_KEY, X_REQUEST_ID];
const SHOWN: [HeaderName; 8] =
    [header::ETAG, header::LOCATION, header::RETRY_AFTER, DATA_WATERMARK, DATA_EXACT, POLICY, STANDING, X_REQUEST_ID];

/// `None` if no page may call us: then a browser is told nothing at all.
pub(crate) fn layer(origins: &Origins) -> Option<CorsLayer> {
    if origins.0.is_empty() {
        return None;
    }
    let layer = CorsLayer::new().allow_origin(AllowOrigin::list(origins.0.clone())).allow_methods(METHODS);
    Some(layer.allow_headers(TAKEN).expose_headers(SHOWN).max_age(MAX_AGE))
}
