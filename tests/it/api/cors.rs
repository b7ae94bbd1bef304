//! Which web pages a browser lets call the API. API.md §1.

use reqwest::Method;
use tidemark_api::EdgeSettings;
use tidemark_tests::client::settings;

use super::stock::Stock;

const APP: &str = "https://app.example.com";

#[tokio::test]
async fn no_page_may_call_the_api_unless_it_is_named() {
    let stock = Stock::open().await;
    let key = stock.deployment.key_of("acme").await;
    let edge = EdgeSettings { cors_origins: APP.parse().expect("an origin"), ..settings().edge };
    let open = stock.deployment.start_api_at(edge).await;
    let before = |origin: &'static str| {
        [("origin", origin), ("access-control-request-method", "POST"), ("access-control-request-headers", "authorization")]
    };
    for (api, origin, allowed) in
        [(&open, APP, Some(APP)), (&open, "https://evil.example", None), (&open, "null", None), (&stock.api, APP, None)]
    {
        let asked = api.stranger().send(Method::OPTIONS, "/v1/alert-rules", &before(origin)).await;
        assert_eq!(asked.header("access-control-allow-origin"), allowed, "{origin}");
        let answer = api.client(&key).send(Method::GET, "/v1/alert-rules", &[("origin", origin)]).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, allowed), "{origin}");
        let refused = api.stranger().send(Method::GET, "/v1/alert-rules", &[("origin", origin)]).await;
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, allowed), "a page may read refusals");
        for answer in [asked, answer, refused] {
            assert_eq!(answer.header("access-control-allow-credentials"), None, "keys are given, not sent along");
        }
    }
    let asked = open.stranger().send(Method::OPTIONS, "/v1/alert-rules", &before(APP)).await;
    let headers = asked.header("access-control-allow-headers").expect("headers");
    for taken in ["authorization", "if-match", "if-none-match", "idempotency-key", "x-request-id", "content-type"] {
        assert!(headers.contains(taken), "{headers}");
    }
    let answer = open.client(&key).send(Method::GET, "/v1/alert-rules", &[("origin", APP)]).await;
    let shown = answer.header("access-control-expose-headers").expect("headers");
    for header in ["etag", "data-watermark", "ratelimit", "retry-after", "location", "x-request-id"] {
        assert!(shown.contains(header), "{shown}");
    }
    open.stop().await;
}
