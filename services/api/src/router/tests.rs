//! The layers and the refusals, through the whole router. Nothing here reaches the database.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::Value;
use tidemark_domain::{Definitions, Running};
use tidemark_runtime::settings::SecretKeys;
use tidemark_store::{KeySigner, RunningDefinitions, Store, Tables};
use tidemark_streams::Streams;
use tidemark_webhooks::policy::UrlPolicy;
use tower::ServiceExt;

use super::*;
use crate::answers::{Answers, SHARED_FOR};
use crate::edge::{Docs, EdgeSettings};
use crate::limits::{Limits, Rates};
use crate::own_rates::{KNOWN_FOR, OwnRates};
use crate::webhooks::Webhooks;
use crate::zones::Zones;

const ORDERS: &str = "
sources: { orders: { table: Orders, tenant: { attribute: tenant_id, default: demo } } }
metrics:
  sales: { source: orders, time: at, measures: { orders: { count: true } }, group_by: [[]] }
";

/// The API over a database that is not there: port 9 is the discard protocol's, and nothing listens.
fn api() -> Router {
    api_with(Docs::On)
}

pub(crate) fn api_with(docs: Docs) -> Router {
    let aws = tidemark_runtime::aws::at_endpoint("http://127.0.0.1:9", "test");
    let store = Store::new(&aws, Tables { data: "data".into(), control: "control".into() });
    let running = Running::first(&Definitions::parse(ORDERS).expect("a good file"));
    let running = RunningDefinitions::new(store.clone(), running);
    let keys = Arc::new(SecretKeys { current: [1; 32].into(), previous: None });
    let key_signer = Arc::new(KeySigner::new(&keys.current, None));
    let webhooks = Webhooks::new(UrlPolicy::default(), &keys);
    let (limits, answers) = (Arc::new(Limits::new(Rates::DEFAULT)), Answers::new(SHARED_FOR));
    let (streams, zones) = (Streams::new(&aws, "control".into()), Zones::new(store.clone()));
    let (own_rates, _) = OwnRates::new(KNOWN_FOR);
    let skew_watch = Arc::default();
    let state = ApiState {
        store,
        streams,
        keys,
        key_signer,
        running,
        webhooks,
        limits,
        own_rates,
        answers,
        zones,
        skew_watch,
        tokens: None,
    };
    router(state, &EdgeSettings { docs, ..EdgeSettings::default() }, CancellationToken::new())
}

/// Routes of a test's own, in the layers.
fn bare(routes: Router) -> Router {
    layered(routes, None, &Origins::default(), CancellationToken::new())
}

async fn send(router: Router, request: Request) -> (StatusCode, HeaderMap, Vec<u8>) {
    let response = router.oneshot(request).await.expect("a router does not fail");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    (parts.status, parts.headers, body.to_vec())
}

fn request(method: &str, path: &str) -> Request {
    Request::builder().method(method).uri(path).header("x-request-id", "test-1").body(Body::empty()).expect("a request")
}

/// The problem that answers a request, after a look at what every problem has.
async fn problem(router: Router, request: Request) -> (StatusCode, HeaderMap, Value) {
    let (status, headers, body) = send(router, request).await;
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(headers[header::CACHE_CONTROL], "private, no-cache");
    assert_eq!(headers["x-request-id"], "test-1");
    let problem: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["instance"], "urn:tidemark:request:test-1");
    assert_eq!(problem["type"], format!("urn:tidemark:problem:{}", problem["code"].as_str().expect("a code")));
    (status, headers, problem)
}

#[tokio::test]
async fn what_the_framework_refuses_is_a_problem_too() {
    for (method, path, status, code) in [
        ("GET", "/v2/metrics", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("DELETE", "/v1/metrics", 405, "method_not_allowed"),
        ("GET", "/v1/metrics", 401, "unauthenticated"),
        ("GET", "/v1/metrics/sales/values?from=x", 401, "unauthenticated"),
        ("GET", "/v1/quarantine/qua_1", 401, "unauthenticated"),
        ("POST", "/v1/alert-rules", 401, "unauthenticated"),
        ("PUT", "/v1/alert-rules", 405, "method_not_allowed"),
        ("POST", "/v1/alerts/alr_1/silence", 404, "not_found"),
    ] {
        let (answered, _, problem) = problem(api(), request(method, path)).await;
        assert_eq!((answered.as_u16(), problem["code"].as_str()), (status, Some(code)), "{method} {path}");
    }
}

#[tokio::test]
async fn refusals_say_how_to_go_on() {
    let (_, headers, _) = problem(api(), request("POST", "/v1/status")).await;
    assert_eq!(headers[header::ALLOW], "GET,HEAD");
    let mut mistyped = request("GET", "/v1/status");
    mistyped.headers_mut().insert(header::AUTHORIZATION, "Bearer tdm_a_b_c".parse().expect("a header"));
    let (status, headers, problem) = problem(api(), mistyped).await;
    assert_eq!((status, &headers[header::WWW_AUTHENTICATE]), (StatusCode::UNAUTHORIZED, &"Bearer".parse().expect("a header")));
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("mistyped")), "{problem}");
}

#[tokio::test]
async fn a_body_too_large_is_refused() {
    let body = Body::from(vec![0; BODY_BYTES_MAX + 1]);
    let long = Request::builder().method("GET").uri("/v1/status").header("x-request-id", "test-1");
    let (status, _, problem) =
        problem(api(), long.header("content-length", BODY_BYTES_MAX + 1).body(body).expect("a request")).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::PAYLOAD_TOO_LARGE, Some("body_too_large")));
}

#[tokio::test]
async fn a_head_too_large_is_refused_and_the_largest_is_not() {
    let path = |length: usize| format!("/{}", "x".repeat(length - 1));
    // `x-request-id: test-1` is there already.
    let fields = |count: usize| (1..count).map(|number| (format!("x-{number}"), "y".to_owned())).collect::<Vec<_>>();
    let bytes = |length: usize| vec![("x-long".to_owned(), "y".repeat(length - "x-request-idtest-1x-long".len()))];
    for (path, fields, status, code) in [
        (path(head::TARGET_BYTES_MAX), vec![], 404, "not_found"),
        (path(head::TARGET_BYTES_MAX + 1), vec![], 414, "uri_too_long"),
        (format!("/v1/metrics?{}", path(head::TARGET_BYTES_MAX)), vec![], 414, "uri_too_long"),
        (path(1), fields(head::FIELDS_MAX), 404, "not_found"),
        (path(1), fields(head::FIELDS_MAX + 1), 431, "request_header_fields_too_large"),
        (path(1), bytes(head::FIELDS_BYTES_MAX), 404, "not_found"),
        (path(1), bytes(head::FIELDS_BYTES_MAX + 1), 431, "request_header_fields_too_large"),
    ] {
        let mut asked = request("GET", &path);
        for (name, value) in fields {
            asked.headers_mut().append(name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"));
        }
        let (answered, _, problem) = problem(api(), asked).await;
        assert_eq!((answered.as_u16(), problem["code"].as_str()), (status, Some(code)), "{path:.40}");
    }
}

#[tokio::test]
async fn a_panic_shows_nothing_of_itself() {
    let routes = Router::new().route("/boom", get(|| async { panic!("the secret is 42") as StatusCode }));
    let (status, _, problem) = problem(bare(routes), request("GET", "/boom")).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::INTERNAL_SERVER_ERROR, Some("internal")));
    assert!(!problem.to_string().contains("42"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_is_given_up() {
    let routes = Router::new().route("/slow", get(std::future::pending::<StatusCode>));
    let (status, headers, problem) = problem(bare(routes), request("GET", "/slow")).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("timeout")));
    assert_eq!(headers[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn one_request_too_many_is_shed_whatever_its_route() {
    let (entered, mut waiting) = tokio::sync::mpsc::channel(REQUESTS_AT_ONCE_MAX);
    let slow = get(move || {
        let entered = entered.clone();
        async move {
            entered.send(()).await.expect("the test listens");
            std::future::pending::<StatusCode>().await
        }
    });
    let router = bare(Router::new().route("/slow", slow).route("/fast", get(|| async { StatusCode::OK })));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS_AT_ONCE_MAX {
        tasks.spawn(router.clone().oneshot(request("GET", "/slow")));
    }
    for _ in 0..REQUESTS_AT_ONCE_MAX {
        waiting.recv().await.expect("every request is under way");
    }
    let (status, headers, problem) = problem(router, request("GET", "/fast")).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("overloaded")));
    assert_eq!(headers[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn the_document_and_its_page_are_served_by_us() {
    let (status, _, body) = send(api(), request("GET", "/openapi.json")).await;
    assert_eq!(status, StatusCode::OK);
    let served: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(served, serde_json::to_value(openapi::document()).expect("plain data"));
    let (status, _, page) = send(api(), request("GET", "/docs/")).await;
    let page = String::from_utf8(page).expect("text");
    assert!(status == StatusCode::OK && !page.contains("https://"), "{page}");
    let initializer = page.split('"').find(|text| text.ends_with("swagger-initializer.js")).expect("it is loaded");
    let (status, _, initializer) = send(api(), request("GET", initializer)).await;
    let initializer = String::from_utf8(initializer).expect("text");
    assert!(status == StatusCode::OK && initializer.contains("\"/openapi.json\"") && !initializer.contains("https://"));
}

#[tokio::test]
async fn a_harmful_request_id_is_replaced() {
    for id in ["", "a b", "<script>", &"x".repeat(200)] {
        let odd = Request::builder().uri("/").header("x-request-id", id).body(Body::empty()).expect("a request");
        let (_, headers, _) = send(api(), odd).await;
        let ours = headers["x-request-id"].to_str().expect("ASCII");
        assert!(ours.len() == 16 && ours != id, "{id}: {ours}");
    }
}

#[tokio::test]
async fn answers_are_compressed_on_request() {
    let mut wanted = request("GET", "/openapi.json");
    wanted.headers_mut().insert(header::ACCEPT_ENCODING, "gzip".parse().expect("a header"));
    let (_, headers, body) = send(api(), wanted).await;
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    assert!(body.len() < 30_000, "{} bytes", body.len());
}

#[tokio::test]
async fn an_api_that_takes_its_leave_closes_connections_that_can_be_told_to() {
    for (stops, version, closes) in
        [(false, Version::HTTP_11, false), (true, Version::HTTP_11, true), (true, Version::HTTP_2, false)]
    {
        let stop = CancellationToken::new();
        let router = layered(Router::new().route("/", get(|| async { StatusCode::OK })), None, &Origins::default(), stop.clone());
        if stops {
            stop.cancel();
        }
        let mut asked = request("GET", "/");
        *asked.version_mut() = version;
        let (status, headers, _) = send(router, asked).await;
        let expected = closes.then(|| HeaderValue::from_static("close"));
        assert_eq!((status, headers.get(header::CONNECTION)), (StatusCode::OK, expected.as_ref()), "{stops} {version:?}");
    }
}
