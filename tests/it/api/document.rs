//! The document and its page are served by us, and are what is committed.

use std::collections::BTreeSet;

use serde_json::Value;
use tidemark_tests::Deployment;

use super::SHOP;

/// The addresses that a page, script or style sheet names in these ways.
fn addresses(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (before, after) in [("src=\"", "\""), ("href=\"", "\""), ("\"url\": \"", "\""), ("url(\"", "\""), ("@import \"", "\"")] {
        found.extend(text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).map(str::to_owned));
    }
    found
}

#[tokio::test]
async fn the_served_document_is_the_committed_one() {
    let deployment = Deployment::start(SHOP).await;
    let api = deployment.start_api().await;
    let served = api.stranger().get("/openapi.json").await.json();
    let committed: Value = serde_json::from_str(include_str!("../../../openapi/openapi.json")).unwrap();
    assert_eq!(served, committed, "openapi/openapi.json is stale: run `just openapi`");
    api.stop().await;
}

#[tokio::test]
async fn the_page_for_people_loads_nothing_from_elsewhere() {
    let deployment = Deployment::start(SHOP).await;
    let api = deployment.start_api().await;
    let client = api.stranger();
    // Redirects are followed, as a browser does.
    let page = client.get("/docs").await;
    assert_eq!((page.status, page.header("content-type").map(|kind| kind.starts_with("text/html"))), (200, Some(true)));
    let mut wanted: Vec<String> = addresses(&page.text).into_iter().collect();
    let mut loaded = BTreeSet::new();
    while let Some(address) = wanted.pop() {
        // An address inside the page itself needs nobody.
        if address.starts_with('#') || address.starts_with("data:") || !loaded.insert(address.clone()) {
            continue;
        }
        assert!(!address.contains("//"), "{address} is on another host");
        let path = match address.strip_prefix('/') {
            Some(_) => address.clone(),
            None => format!("/docs/{}", address.trim_start_matches("./")),
        };
        let asset = client.get(&path).await;
        assert_eq!(asset.status, 200, "{path}");
        if path.ends_with(".css") || path.ends_with("initializer.js") {
            wanted.extend(addresses(&asset.text));
        }
    }
    for needed in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        assert!(loaded.iter().any(|address| address.ends_with(needed)), "{needed} is not among {loaded:?}");
    }
    assert!(loaded.contains("/openapi.json"), "the page shows our document: {loaded:?}");
    api.stop().await;
}
