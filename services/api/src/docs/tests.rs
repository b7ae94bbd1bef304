//! The files, through the whole router.

use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::edge::Docs;
use crate::router::tests::api_with;

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(&name).map_or("", |value| value.to_str().expect("ASCII"))
    }
}

async fn ask(router: &Router, method: Method, path: &str, headers: &[(header::HeaderName, &str)]) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, *value));
    let response = router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("a router does not fail");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn get(router: &Router, path: &str) -> Answer {
    ask(router, Method::GET, path, &[]).await
}

async fn get_gzip(router: &Router, path: &str) -> Answer {
    ask(router, Method::GET, path, &[(header::ACCEPT_ENCODING, "gzip")]).await
}

/// The addresses of all that is served: the page, the document, and the parts that the page loads.
async fn addresses(router: &Router) -> Vec<String> {
    let page = get(router, PAGE).await;
    let page = String::from_utf8(page.body.to_vec()).expect("text");
    let parts = page.split('"').filter(|text| text.starts_with(PAGE)).map(str::to_owned);
    let addresses: Vec<String> = [PAGE, DOCUMENT].map(str::to_owned).into_iter().chain(parts).collect();
    assert_eq!(addresses.len(), PARTS.len() + 2, "{addresses:?}");
    addresses
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(bytes), &mut plain).expect("gzip");
    plain
}

#[tokio::test]
async fn a_file_is_compressed_once_for_all_requests() {
    // Two APIs in a process have the same files.
    let (router, other) = (api_with(Docs::On), api_with(Docs::On));
    for address in addresses(&router).await {
        let [first, second] = [get_gzip(&router, &address).await, get_gzip(&other, &address).await];
        assert_eq!((first.status, first.header(header::CONTENT_ENCODING)), (StatusCode::OK, "gzip"), "{address}");
        assert_eq!(first.header(header::VARY), "accept-encoding");
        assert_eq!((first.body.as_ptr(), first.body.len()), (second.body.as_ptr(), second.body.len()), "{address}: a copy");
        let plain = get(&router, &address).await;
        assert_eq!((plain.status, plain.header(header::CONTENT_ENCODING)), (StatusCode::OK, ""), "{address}");
        assert_eq!(plain.header(header::VARY), "accept-encoding");
        assert_eq!(unzipped(&first.body), plain.body, "{address}");
        assert_eq!(plain.body.as_ptr(), get(&other, &address).await.body.as_ptr(), "{address}: a copy");
    }
}

/// Not even for a client that the compression layer takes to accept gzip, when we do not.
#[tokio::test]
async fn a_plain_file_is_never_compressed_for_a_request() {
    let router = api_with(Docs::On);
    let page = get(&router, PAGE).await;
    let accepts_in_part = [(header::ACCEPT_ENCODING, "gzip;q=0"), (header::ACCEPT_ENCODING, "gzip;q=1")];
    let answer = ask(&router, Method::GET, PAGE, &accepts_in_part).await;
    assert_eq!((answer.header(header::CONTENT_ENCODING), answer.body.as_ptr()), ("", page.body.as_ptr()));
}

#[tokio::test]
async fn parts_never_change_and_page_and_document_are_asked_for_each_time() {
    let router = api_with(Docs::On);
    for address in addresses(&router).await {
        let expected = if [PAGE, DOCUMENT].contains(&&*address) { "no-cache" } else { "public, max-age=31536000, immutable" };
        assert_eq!(get(&router, &address).await.header(header::CACHE_CONTROL), expected, "{address}");
    }
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again_and_each_encoding_has_a_tag_of_its_own() {
    let router = api_with(Docs::On);
    for address in addresses(&router).await {
        let [plain, gzip] = [get(&router, &address).await, get_gzip(&router, &address).await];
        let [plain_tag, gzip_tag] = [&plain, &gzip].map(|answer| answer.header(header::ETAG));
        assert!(
            plain_tag != gzip_tag && plain_tag.starts_with('"'),
            "{address}: strong, and of the bytes: {plain_tag} {gzip_tag}"
        );
        for (encoding, tag, status) in [
            ("identity", plain_tag, StatusCode::NOT_MODIFIED),
            ("gzip", gzip_tag, StatusCode::NOT_MODIFIED),
            ("gzip", plain_tag, StatusCode::OK),
            ("gzip", "\"other\"", StatusCode::OK),
        ] {
            let headers = [(header::ACCEPT_ENCODING, encoding), (header::IF_NONE_MATCH, tag)];
            let answer = ask(&router, Method::GET, &address, &headers).await;
            assert_eq!(
                (answer.status, answer.body.is_empty()),
                (status, status != StatusCode::OK),
                "{address}: {encoding} {tag}"
            );
            let described = [answer.header(header::CONTENT_TYPE), answer.header(header::CONTENT_ENCODING)];
            assert!(status == StatusCode::OK || described == ["", ""], "{address}: {described:?}");
            let (first, kept) = (get(&router, &address).await, [header::CACHE_CONTROL, header::VARY]);
            assert_eq!(kept.clone().map(|name| answer.headers[name].clone()), kept.map(|name| first.headers[name].clone()));
        }
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let router = api_with(Docs::On);
    for address in addresses(&router).await {
        let (got, head) = (get(&router, &address).await, ask(&router, Method::HEAD, &address, &[]).await);
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{address}");
        for name in [header::ETAG, header::CONTENT_TYPE, header::CACHE_CONTROL, header::VARY] {
            assert_eq!(head.headers[&name], got.headers[&name], "{address}");
        }
        assert_eq!(head.header(header::CONTENT_LENGTH), got.body.len().to_string(), "{address}");
    }
}

#[tokio::test]
async fn the_page_is_found_without_its_slash_and_nothing_else_is() {
    let router = api_with(Docs::On);
    let short = get(&router, "/docs").await;
    assert_eq!((short.status, short.header(header::LOCATION)), (StatusCode::SEE_OTHER, PAGE));
    let part = addresses(&router).await.pop().expect("parts");
    let (folder, name) = part.rsplit_once('/').expect("a part has a folder");
    for unknown in [format!("{folder}/none.js"), format!("{PAGE}{name}"), format!("{folder}/"), "/docs/x/../".into()] {
        let answer = get(&router, &unknown).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{unknown}");
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/problem+json", "{unknown}");
    }
    assert_eq!(ask(&router, Method::POST, PAGE, &[]).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let of_another_build = get(&router, &format!("{PAGE}0/{name}")).await;
    assert_eq!(
        (of_another_build.status, of_another_build.header(header::CACHE_CONTROL)),
        (StatusCode::OK, "no-cache"),
        "during a rollout"
    );
}

#[tokio::test]
async fn switched_off_there_is_nothing() {
    let router = api_with(Docs::Off);
    for address in addresses(&api_with(Docs::On)).await.iter().map(String::as_str).chain(["/docs"]) {
        let answer = get(&router, address).await;
        assert_eq!((answer.status, answer.header(header::CONTENT_TYPE)), (StatusCode::NOT_FOUND, "application/problem+json"));
    }
}

#[tokio::test]
async fn all_clients_share_a_limit_and_a_refusal_says_when_to_come_back() {
    let router = api_with(Docs::On);
    let mut refused = None;
    // Answered from memory, they come faster than fifty a second.
    for number in 0..5000 {
        let answer = get(&router, ["/docs", PAGE, DOCUMENT, "/docs/0/none.js"][number % 4]).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some((number, answer));
            break;
        }
    }
    let (number, refused) = refused.expect("a limit");
    assert!(number >= 500, "{number}");
    assert_eq!(refused.header(header::RETRY_AFTER), "1");
    assert_eq!(get(&router, "/v1/status").await.status, StatusCode::UNAUTHORIZED, "other routes have limits of their own");
}
