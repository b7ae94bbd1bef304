//! One delivery: tried again, given up, held, cancelled, sent once more.

use std::time::Duration;

use jiff::ToSpan;
use tidemark_runtime::clock;
use tidemark_store::{DeliveryState, Endpoint, EndpointState, JobKind, NewJob, PreviousSecret, Trigger};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Reaction, Received, wait_until};
use tidemark_webhooks::event::EventType;

use super::Scene;

#[tokio::test]
async fn a_failed_delivery_is_sent_again_byte_for_byte_until_it_is_taken() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("a", None).await;
    scene.receiver.react("a", |received| match received.nth {
        1 => Reaction::Status(500),
        2 => Reaction::Drop,
        3 => Reaction::Silence,
        _ => Reaction::Status(204),
    });
    let worker = scene.worker().await;
    scene.stock("tea", 3).await;
    let received = scene.receiver.until_received("a", 4).await;
    scene.until_nothing_is_due().await;
    assert_eq!(received.len(), 4);
    assert!(received.iter().all(|other| (other.id(), &other.body) == (received[0].id(), &received[0].body)));
    let told: Vec<&str> = received.iter().map(|received| received.header("tidemark-webhook-attempt")).collect();
    assert_eq!(told, ["1", "2", "3", "4"]);
    let delivery = scene.delivery(&endpoint, received[0].id()).await;
    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Delivered, 4));
    let attempts = scene.store().attempts(&scene.tenant, &delivery.id).await.unwrap();
    let listed: Vec<_> = attempts.iter().map(|attempt| (attempt.number, attempt.outcome.as_str(), attempt.status)).collect();
    assert_eq!(listed, [(1, "http_status", Some(500)), (2, "reset", None), (3, "timeout", None), (4, "delivered", Some(204))]);
    let health = scene.stored(&endpoint).await.health.expect("noted");
    assert!(health.contains(r#""first_failure_at":null"#) && health.contains(r#""consecutive":0"#), "{health}");
    worker.stop().await;
}

#[tokio::test]
async fn a_secret_before_that_is_lost_costs_its_signature_and_no_webhook() {
    let scene = Scene::start().await;
    let (endpoint, other) = (scene.endpoint("a", None).await, scene.endpoint("b", None).await);
    // It was sealed for another endpoint, so it does not open for this one.
    let previous = PreviousSecret { secret: scene.stored(&other).await.secret, until: clock::now() + 1.hour() };
    let read = scene.stored(&endpoint).await;
    let to = Endpoint { previous_secret: Some(previous), ..read.clone() };
    scene.store().update_endpoint(&scene.tenant, &read, to).await.unwrap();
    let worker = scene.worker().await;
    scene.stock("tea", 3).await;
    let [received] = &scene.receiver.until_received("a", 1).await[..] else { unreachable!("one was waited for") };
    assert_eq!(received.header("webhook-signature").split(' ').count(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn after_ten_attempts_a_delivery_is_given_up_until_somebody_asks_for_it() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("a", None).await;
    scene.receiver.react("a", |received| Reaction::Status(if received.nth <= 10 { 503 } else { 200 }));
    // The whole schedule in about three seconds.
    let worker = scene.worker_with(|settings| settings.webhooks.pace.second = Duration::from_micros(10)).await;
    scene.stock("tea", 3).await;
    scene.until_all(&endpoint, 1, DeliveryState::Exhausted).await;
    scene.until_nothing_is_due().await;
    let received = scene.receiver.received("a");
    assert_eq!(received.len(), 10);
    let delivery = scene.delivery(&endpoint, received[0].id()).await;
    scene.store().requeue(&scene.tenant, &delivery, Trigger::Manual, clock::now()).await.unwrap();
    let again = scene.receiver.until_received("a", 11).await.pop().unwrap();
    assert_eq!((again.id(), &again.body), (received[0].id(), &received[0].body));
    assert_eq!(["tidemark-webhook-attempt", "tidemark-webhook-trigger"].map(|name| again.header(name)), ["11", "manual"]);
    scene.until_all(&endpoint, 1, DeliveryState::Delivered).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_delivered_one_is_sent_once_more_when_somebody_asks() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("a", None).await;
    let worker = scene.worker().await;
    scene.stock("tea", 3).await;
    let first = scene.receiver.until_taken("a", &["fired"]).await.remove(0);
    scene.until_all(&endpoint, 1, DeliveryState::Delivered).await;
    let delivery = scene.delivery(&endpoint, first.id()).await;
    scene.store().requeue(&scene.tenant, &delivery, Trigger::Manual, clock::now()).await.unwrap();
    let again = scene.receiver.until_taken("a", &["fired", "fired"]).await.remove(1);
    assert_eq!((again.id(), &again.body), (first.id(), &first.body));
    assert_eq!(again.header("tidemark-webhook-trigger"), "manual");
    scene.until_nothing_is_due().await;
    worker.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_at_once_and_the_others_are_told() {
    let scene = Scene::start().await;
    let gone = scene.endpoint("gone", None).await;
    scene.endpoint("other", None).await;
    scene.endpoint("deaf", Some(&[EventType::AlertFired])).await;
    scene.receiver.react("gone", |_| Reaction::Status(410));
    let worker = scene.worker().await;
    scene.stock("tea", 3).await;
    let told = scene.receiver.until_taken("other", &["fired", "endpoint_disabled"]).await;
    let told = told.iter().map(Received::json).find(|body| body["type"] == "webhook.endpoint_disabled").unwrap();
    assert_eq!((&told["data"]["endpoint_id"], &told["data"]["reason"]), (&gone.id.as_str().into(), &"gone".into()));
    let state = scene.stored(&gone).await.state;
    assert!(matches!(&state, EndpointState::Disabled { reason, .. } if reason == "gone"), "{state:?}");
    // What comes later is held, too.
    scene.stock("mug", 3).await;
    scene.until_all(&gone, 2, DeliveryState::Held).await;
    scene.until_nothing_is_due().await;
    assert_eq!((scene.receiver.received("gone").len(), scene.receiver.received("deaf").len()), (1, 2));

    scene.receiver.react("gone", |_| Reaction::Status(200));
    let since = gone.created_at;
    scene.enable(&gone).await;
    let kind = JobKind::Recover { endpoint: gone.id.clone(), since, until: clock::now() };
    let job = NewJob { kind, due_at: clock::now(), created_at: clock::now() };
    let job = scene.store().create_job(&scene.tenant, &job).await.unwrap();
    let taken = scene.receiver.until_taken("gone", &["fired", "fired"]).await;
    assert!(taken.iter().all(|taken| taken.header("tidemark-webhook-trigger") == "recover"));
    scene.until_all(&gone, 2, DeliveryState::Delivered).await;
    scene.until_nothing_is_due().await;
    let job = scene.store().job(&scene.tenant, &job).await.unwrap().unwrap();
    assert_eq!((job.is_done, job.progress.counts["requeued"]), (true, 2));
    worker.stop().await;
}

#[tokio::test]
async fn deliveries_to_a_deleted_endpoint_are_cancelled_and_never_looked_at_again() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("a", None).await;
    scene.receiver.react("a", |_| Reaction::RetryAfter(503, "600"));
    // A minute is 600 ms, so that the endpoint can be deleted while all of them wait.
    let worker = scene.worker_with(|settings| settings.webhooks.pace.second = Duration::from_millis(10)).await;
    for item in ["tea", "mug", "tray"] {
        scene.stock(item, 3).await;
    }
    scene.receiver.until_received("a", 3).await;
    let read = scene.stored(&endpoint).await;
    scene.store().delete_endpoint(&scene.tenant, &read).await.unwrap();
    scene.until_all(&endpoint, 3, DeliveryState::Cancelled).await;
    scene.until_nothing_is_due().await;
    assert_eq!(scene.receiver.received("a").len(), 3);
    // Looks go on, and nothing follows from them.
    let front = scene.deployment.world.front();
    let [queries, transactions] = ["Query", "TransactWriteItems"].map(|call| front.calls(call));
    wait_until("many more looks", DEADLINE, async || front.calls("Query") > queries + 60).await;
    assert_eq!(front.calls("TransactWriteItems"), transactions);
    worker.stop().await;
}
