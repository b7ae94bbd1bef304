//! The page for people at `/docs` and the document at `/openapi.json`. They need no key, so a request for them must cost nothing: the
//! files are made and compressed once per process, and sent as they are.
//!
//! The page's parts have the digest of all of them in their addresses, so that a browser asks for each once. Page and document have
//! fixed addresses: a browser asks each time, and is answered 304 while they are the same.

mod file;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Redirect, Response};
use axum::routing::get;
use utoipa_swagger_ui::Config;

use crate::etag;
use crate::limits::Limits;
use crate::openapi;
use crate::problem::ApiError;
use crate::state::ApiState;

use file::File;
pub(crate) use file::may_be_compressed;

const PAGE: &str = "/docs/";
const DOCUMENT: &str = "/openapi.json";
/// The parts of the page, by the names that it loads them by.
const PARTS: [&str; 7] = [
    "favicon-16x16.png",
    "favicon-32x32.png",
    "index.css",
    "swagger-initializer.js",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];
/// What has its digest in its address never changes.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// To be asked for each time. It is no tenant's, so any cache may keep it.
const ASK_EACH_TIME: HeaderValue = HeaderValue::from_static("no-cache");

/// All of this process, made when the first is asked for.
static FILES: OnceLock<Files> = OnceLock::new();

/// All that is served.
#[derive(Debug)]
struct Files {
    page: File,
    document: File,
    parts: BTreeMap<&'static str, File>,
    /// Of all parts, in their addresses.
    digest: String,
}

/// The routes, limited for all clients together.
pub(crate) fn routes(limits: Arc<Limits>) -> Router<ApiState> {
    Router::new()
        .route("/docs", get(async || Redirect::to(PAGE)))
        .route(PAGE, get(page))
        .route("/docs/{digest}/{name}", get(part))
        .route(DOCUMENT, get(document))
        .route_layer(from_fn_with_state(limits, admit))
}

async fn admit(State(limits): State<Arc<Limits>>, request: Request, next: Next) -> Result<Response, ApiError> {
    limits.admit_docs()?;
    Ok(next.run(request).await)
}

async fn page(headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(files().await?.page.answer(&headers, ASK_EACH_TIME))
}

async fn document(headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(files().await?.document.answer(&headers, ASK_EACH_TIME))
}

async fn part(Path((digest, name)): Path<(String, String)>, headers: HeaderMap) -> Result<Response, ApiError> {
    let files = files().await?;
    let part = files.parts.get(&*name).ok_or(ApiError::NotFound)?;
    // A page of another build asks for its own digest. During a rollout it is better served by this build's part than by none.
    let cache = if digest == files.digest { IMMUTABLE } else { ASK_EACH_TIME };
    Ok(part.answer(&headers, cache))
}

/// The files. The first request has them made, on a thread that may block, and goes on having it done when its client goes away. Requests
/// that come meanwhile wait on such threads, too: no more than may be answered at once.
async fn files() -> Result<&'static Files, ApiError> {
    if let Some(files) = FILES.get() {
        return Ok(files);
    }
    let made = tokio::task::spawn_blocking(|| FILES.get_or_init(Files::make)).await;
    made.map_err(|error| ApiError::Internal(Box::new(error)))
}

impl Files {
    fn make() -> Self {
        // Swagger UI would otherwise send the document to a validator on the internet.
        let config = Arc::new(Config::new([DOCUMENT]).validator_url("none"));
        let shipped = |name: &str| {
            let file = utoipa_swagger_ui::serve(name, Arc::clone(&config)).expect("its files are text where it edits them");
            file.expect("it has all files of the page")
        };
        let parts: BTreeMap<_, _> = PARTS.into_iter().map(|name| (name, File::of(shipped(name)))).collect();
        let digest = etag::digest(parts.iter().flat_map(|(name, part)| [name.as_bytes(), part.bytes()]));
        let page = shipped("index.html");
        let page = String::from_utf8(page.bytes.into_owned()).expect("the page is text");
        let page = PARTS.into_iter().fold(page, |page, name| {
            let address = format!("\"{PAGE}{digest}/{name}\"");
            page.replace(&format!("\"./{name}\""), &address).replace(&format!("\"{name}\""), &address)
        });
        let document = serde_json::to_vec(&openapi::document()).expect("the document is plain data");
        Self {
            page: File::new("text/html; charset=utf-8", page.into()),
            document: File::new("application/json", document.into()),
            parts,
            digest,
        }
    }
}

#[cfg(test)]
mod tests;
