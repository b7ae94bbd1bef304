//! One file that is served as it is: plain and compressed, each with its strong ETag (RFC 9110 §8.8.3.3: they are two representations).

use std::borrow::Cow;
use std::io::Write;

use axum::body::{Body, Bytes};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use utoipa_swagger_ui::SwaggerFile;

use crate::etag;
use crate::layers::conditional;

const GZIP: &str = "gzip";

#[derive(Debug)]
pub(super) struct File {
    content_type: HeaderValue,
    plain: Representation,
    gzip: Representation,
}

#[derive(Debug)]
struct Representation {
    bytes: Bytes,
    etag: HeaderValue,
}

/// Marks an answer that is sent as it is: to compress it for each request is what this is made to avoid.
#[derive(Debug, Clone, Copy)]
struct AsItIs;

/// Whether the compression layer may compress an answer.
pub(crate) fn may_be_compressed(_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions) -> bool {
    extensions.get::<AsItIs>().is_none()
}

impl File {
    pub(super) fn new(content_type: &str, plain: Bytes) -> Self {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&plain).expect("writing to memory cannot fail");
        let gzip = gzip.finish().expect("writing to memory cannot fail");
        Self {
            content_type: HeaderValue::from_str(content_type).expect("content types are plain ASCII"),
            plain: Representation::new(plain),
            gzip: Representation::new(gzip.into()),
        }
    }

    /// Most files of Swagger UI are part of the binary, and not copied.
    pub(super) fn of(file: SwaggerFile<'static>) -> Self {
        let bytes = match file.bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        Self::new(&file.content_type, bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.plain.bytes
    }

    /// The answer to a request with these headers: the representation that the client accepts, or that it has it.
    pub(super) fn answer(&self, request: &HeaderMap, cache_control: HeaderValue) -> Response {
        let is_gzip = accepts_gzip(request);
        let Representation { bytes, etag } = if is_gzip { &self.gzip } else { &self.plain };
        let is_known = conditional::is_known(request, etag);
        let mut response =
            if is_known { StatusCode::NOT_MODIFIED.into_response() } else { Body::from(bytes.clone()).into_response() };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, etag.clone());
        headers.insert(header::CACHE_CONTROL, cache_control);
        headers.insert(header::VARY, header::ACCEPT_ENCODING.into());
        if !is_known {
            headers.insert(header::CONTENT_TYPE, self.content_type.clone());
            if is_gzip {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(GZIP));
            }
        }
        response.extensions_mut().insert(AsItIs);
        response
    }
}

impl Representation {
    fn new(bytes: Bytes) -> Self {
        let digest = etag::digest([&*bytes]);
        let etag = HeaderValue::from_str(&format!("\"{digest}\"")).expect("base64 in quotes");
        Self { bytes, etag }
    }
}

/// Whether `Accept-Encoding` allows gzip: by its name, or else by `*`, with a weight above zero (RFC 9110 §12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let codings: Vec<(&str, &str)> = values
        .flat_map(|value| value.split(','))
        .map(|coding| coding.split_once(';').unwrap_or((coding, "")))
        .map(|(name, weight)| (name.trim(), weight.trim()))
        .collect();
    let weight_of = |wanted: &str| codings.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, weight)| *weight);
    let weight = weight_of(GZIP).or_else(|| weight_of("*"));
    let is_zero = |weight: &str| weight.split_once('=').is_some_and(|(_, number)| number.trim().parse() == Ok(0.0));
    weight.is_some_and(|weight| !is_zero(weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_accepted_by_name_or_by_star() {
        let accepts = |values: &[&'static str]| {
            let values = values.iter().map(|value| (header::ACCEPT_ENCODING, HeaderValue::from_static(value)));
            accepts_gzip(&values.collect())
        };
        for good in [&["gzip"][..], &["br, GZip;q=0.1"], &["br", "gzip"], &["*"], &["identity, *;q=0.5"], &["*;q=0, gzip"]] {
            assert!(accepts(good), "{good:?}");
        }
        for bad in [&[][..], &[""], &["br, zstd"], &["gzip;q=0"], &["gzip; q=0.000, *"], &["*;q=0"], &["xgzip"]] {
            assert!(!accepts(bad), "{bad:?}");
        }
    }
}
