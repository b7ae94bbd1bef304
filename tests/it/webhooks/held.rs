//! Old news: what a worker finds out while it catches up.

use jiff::SignedDuration;
use tidemark_domain::alert::AlertState;
use tidemark_domain::rule::Severity;
use tidemark_runtime::clock;
use tidemark_store::{EventKey, EventState};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::wait_until;
use tidemark_webhooks::event::EventType;

use super::Scene;

#[tokio::test]
async fn of_a_past_that_is_caught_up_only_what_still_holds_is_told() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    // Nobody reads: tea runs out and is restocked, a mug runs out.
    scene.stock("tea", 3).await;
    scene.stock("tea", 30).await;
    scene.stock("mug", 1).await;
    let written = clock::now();
    let max_age = SignedDuration::from_millis(1500);
    wait_until("all of it to be old", DEADLINE, async || clock::now() > written + max_age * 2).await;
    let worker = scene.worker_with(|settings| settings.alert_max_age = max_age).await;
    scene.receiver.until_taken("all", &["fired"]).await;
    scene.until_nothing_is_due().await;
    assert_eq!(scene.receiver.all().len(), 1, "the past of tea is not told");
    let told = &scene.receiver.all()[0].json()["data"]["alert"];
    assert_eq!((&told["item"], &told["state"]), (&"mug".into(), &"firing".into()));
    for alert in scene.alerts().await {
        let is_over = alert.state != AlertState::Firing;
        for sequence in 1..=alert.sequence {
            let key = EventKey::Alert { alert: alert.id.clone(), sequence };
            let state = scene.store().event(&scene.tenant, &key).await.unwrap().unwrap().state;
            assert_eq!(state, if is_over { EventState::Skipped } else { EventState::Done });
        }
    }
    worker.stop().await;
}

#[tokio::test]
async fn an_event_is_held_until_its_stream_has_caught_up() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    let worker = scene.worker().await;
    let since = clock::now() + SignedDuration::from_secs(2);
    scene.commit_held("mug", 1, since).await;
    scene.receiver.until_taken("all", &["fired"]).await;
    let watermark = scene.watermark().await;
    assert!(watermark > since, "{watermark}, not yet {since}");
    scene.until_nothing_is_due().await;
    worker.stop().await;
}

#[tokio::test]
async fn an_end_that_was_caught_up_is_told_to_those_who_heard_of_the_beginning() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    scene.endpoint("ends", Some(&[EventType::AlertResolved])).await;
    let worker = scene.worker().await;
    scene.commit("tea", 3, clock::now()).await;
    scene.receiver.until_taken("all", &["fired"]).await;
    scene.commit_held("tea", 30, clock::now()).await;
    scene.receiver.until_taken("all", &["fired", "resolved"]).await;
    scene.until_nothing_is_due().await;
    assert!(scene.receiver.received("ends").is_empty(), "an episode that is over is no news to anybody else");
    worker.stop().await;
}

#[tokio::test]
async fn a_fresh_event_stands_for_those_held_before_it() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    let rule = scene.rule(None, &[(Severity::Warning, "10"), (Severity::Critical, "0")]);
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    scene.commit_held("mug", 3, clock::now() + SignedDuration::from_hours(1)).await;
    scene.commit("mug", 0, clock::now()).await;
    let worker = scene.worker().await;
    scene.receiver.until_taken("all", &["escalated"]).await;
    scene.until_nothing_is_due().await;
    worker.stop().await;
}
