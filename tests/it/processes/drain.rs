//! An API that is asked to stop takes its leave so that nobody notices who looks at `/readyz`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tidemark_api::DRAIN_DELAY;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, wait_until};
use tokio::task::JoinSet;

use super::pod::{Pod, is_ready};
use super::process::http;

const SHOP: &str = include_str!("../api/shop.yaml");
/// Clients that ask without a pause.
const CLIENTS: usize = 6;

/// What the clients saw.
#[derive(Debug, Default)]
struct Seen {
    ready: AtomicBool,
    answered: AtomicUsize,
    /// Answers behind which the connection was closed.
    closing: AtomicUsize,
}

#[tokio::test]
async fn no_request_fails_of_a_client_that_heeds_readiness() {
    let deployment = Deployment::start(SHOP).await;
    let key = deployment.key_of("acme").await;
    let folder = tempfile::tempdir().unwrap();
    let definitions = folder.path().join("shop.yaml");
    std::fs::write(&definitions, SHOP).unwrap();
    let (api, serving) = Pod::api(&deployment, &definitions).await;
    let (probes, readiness_url) = (http(), api.readiness_url());

    let seen = Arc::new(Seen { ready: AtomicBool::new(true), ..Seen::default() });
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask(format!("{serving}/v1/metrics"), key.clone(), Arc::clone(&seen)));
    }
    wait_until("requests to be under way", DEADLINE, async || seen.answered.load(Ordering::Relaxed) > 50).await;
    api.process.signal("-TERM").await;
    wait_until("the API to say that it drains", DEADLINE, async || !is_ready(&probes, &readiness_url).await).await;
    // It still serves whoever has not looked yet.
    wait_until("requests to be answered in the drain", DRAIN_DELAY, async || seen.late_enough()).await;
    seen.ready.store(false, Ordering::Relaxed);
    for failures in clients.join_all().await {
        assert_eq!(failures, Vec::<String>::new());
    }
    assert_eq!(api.process.ended(DRAIN_DELAY + DEADLINE).await.code, Some(0));
    assert!(seen.closing.load(Ordering::Relaxed) > 0, "connections are closed behind their answers: {seen:?}");
}

impl Seen {
    fn late_enough(&self) -> bool {
        self.closing.load(Ordering::Relaxed) >= 2 * CLIENTS
    }
}

/// Asks without a pause while the API is ready; everything that was no good answer.
async fn ask(url: String, key: String, seen: Arc<Seen>) -> Vec<String> {
    let (client, mut failures) = (http(), Vec::new());
    while seen.ready.load(Ordering::Relaxed) {
        match client.get(&url).bearer_auth(&key).send().await {
            Ok(answer) if matches!(answer.status().as_u16(), 200 | 429) => {
                seen.answered.fetch_add(1, Ordering::Relaxed);
                let closes = answer.headers().get("connection").is_some_and(|value| value == "close");
                seen.closing.fetch_add(usize::from(closes), Ordering::Relaxed);
                if let Err(error) = answer.bytes().await {
                    failures.push(format!("{error:?}"));
                }
            }
            Ok(answer) => failures.push(answer.status().to_string()),
            Err(error) => failures.push(format!("{error:?}")),
        }
    }
    failures
}
