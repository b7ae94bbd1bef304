//! Retries by hand: however often a client asks, each request is counted, and there is never more than one at a time.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use tidemark_runtime::clock;
use tidemark_store::DeliveryState;
use tidemark_tests::deployment::{DEADLINE, tables};
use tidemark_tests::{Reaction, wait_until};
use tokio::task::JoinSet;

use super::Scene;

const RETRIES: usize = 63;
const AT_ONCE: usize = 9;

#[tokio::test]
async fn however_often_a_delivery_is_retried_each_request_that_arrives_is_counted_and_listed() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("slow", None).await;
    scene.receiver.react("slow", |_| Reaction::Slow(Duration::from_millis(700), 200));
    let api = scene.deployment.start_api().await;
    let client = api.client(scene.deployment.key_of("acme").await);
    let worker = scene.worker().await;
    scene.stock("tea", 3).await;
    let first = scene.receiver.until_received("slow", 1).await.remove(0);
    let path = format!("/v1/deliveries/{}", scene.delivery(&endpoint, first.id()).await.id);
    let shown_at = path.clone();
    let retry = {
        let client = client.clone();
        move || {
            let (client, path) = (client.clone(), format!("{path}/retry"));
            async move { client.send(Method::POST, &path, &[]).await.status }
        }
    };
    let mut accepted = 0;
    for _ in 0..RETRIES / AT_ONCE {
        let answers: JoinSet<u16> = (0..AT_ONCE).map(|_| retry()).collect();
        let answers = answers.join_all().await;
        assert!(answers.iter().all(|status| [202, 409].contains(status)), "{answers:?}");
        accepted += answers.iter().filter(|status| **status == 202).count();
    }
    wait_until("a retry to be accepted", DEADLINE, async || {
        accepted += usize::from(retry().await == 202);
        accepted > 0
    })
    .await;
    scene.receiver.until_received("slow", 2).await;
    scene.until_nothing_is_due().await;
    let shown = client.get(&shown_at).await.json();
    let listed = shown["attempts"].as_array().unwrap().len();
    let arrived = scene.receiver.received("slow").len();
    assert_eq!((shown["attempt_count"].as_u64(), listed), (Some(arrived as u64), arrived), "{accepted} were accepted");
    let told: Vec<_> =
        scene.receiver.received("slow").iter().map(|one| one.header("tidemark-webhook-attempt").to_owned()).collect();
    assert_eq!(told, (1..=arrived).map(|number| number.to_string()).collect::<Vec<_>>());
    worker.stop().await;
    api.stop().await;
}

#[tokio::test]
async fn a_delivery_without_an_attempt_left_is_exhausted_and_nothing_is_sent() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("a", None).await;
    let events = scene.commit("tea", 3, clock::now()).await;
    assert_eq!(events.len(), 1);
    scene.receiver.react("a", |_| Reaction::Status(500));
    let worker = scene.worker().await;
    let first = scene.receiver.until_received("a", 1).await.remove(0);
    wait_until("the first result", DEADLINE, async || scene.delivery(&endpoint, first.id()).await.last.is_some()).await;
    worker.stop().await;
    let sent = scene.receiver.received("a").len();
    let key = |name: &str| AttributeValue::S(name.to_owned());
    let update = scene.deployment.world.dynamodb().update_item().table_name(tables().data);
    let update = update.key("pk", key(&format!("T#acme#WD#{}", endpoint.id))).key("sk", key(first.id()));
    let update =
        update.update_expression("SET attempts = :n").expression_attribute_values(":n", AttributeValue::N("999".to_owned()));
    update.send().await.unwrap();
    let worker = scene.worker().await;
    scene.until_all(&endpoint, 1, DeliveryState::Exhausted).await;
    scene.until_nothing_is_due().await;
    assert_eq!((scene.delivery(&endpoint, first.id()).await.attempts, scene.receiver.received("a").len()), (999, sent));
    worker.stop().await;
}
