//! Who hears of what.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use secrecy::ExposeSecret;
use standardwebhooks::Webhook;
use tidemark_domain::alert::Act;
use tidemark_domain::rule::Severity;
use tidemark_runtime::clock;
use tidemark_store::EventKey;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::wait_until;
use tidemark_webhooks::event::EventType;

use super::{Scene, new_endpoint};

#[tokio::test]
async fn a_crossing_reaches_every_endpoint_signed_and_with_one_id() {
    let scene = Scene::start().await;
    let (_, secret) = scene.endpoint_with("a", None, new_endpoint()).await;
    scene.endpoint("b", Some(&[EventType::AlertFired])).await;
    scene.endpoint("deaf", Some(&[EventType::AlertEscalated])).await;
    let worker = scene.worker().await;
    scene.stock("tea", 3).await;
    let [a, b] = [scene.receiver.until_taken("a", &["fired"]).await, scene.receiver.until_taken("b", &["fired"]).await];
    assert_eq!((a[0].id(), &a[0].body), (b[0].id(), &b[0].body), "one event, byte for byte");
    let webhook = Webhook::new(secret.text().expose_secret()).unwrap();
    webhook.verify(&a[0].body, &a[0].headers).expect("the official library takes it");
    assert!(webhook.verify(&b[0].body, &b[0].headers).is_err(), "another endpoint has another secret");
    let told = ["content-type", "tidemark-webhook-attempt", "tidemark-webhook-trigger"].map(|name| a[0].header(name));
    assert_eq!(told, ["application/json", "1", "scheduled"]);
    let alert = &scene.alerts().await[0];
    let body = a[0].json();
    assert_eq!(body["data"]["alert"]["id"], alert.id.as_str());
    assert_eq!((&body["data"]["sequence"], &body["data"]["alert"]["available"]), (&1.into(), &"3".into()));
    scene.until_nothing_is_due().await;
    assert!(scene.receiver.received("deaf").is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn the_end_of_an_episode_is_told_to_those_who_heard_of_it() {
    let scene = Scene::start().await;
    scene.endpoint("begins", Some(&[EventType::AlertFired])).await;
    scene.endpoint("ends", Some(&[EventType::AlertResolved])).await;
    let worker = scene.worker().await;
    scene.stock("tea", 3).await;
    scene.receiver.until_taken("begins", &["fired"]).await;
    // It missed the beginning.
    scene.endpoint("late", None).await;
    scene.stock("tea", 30).await;
    scene.receiver.until_taken("begins", &["fired", "resolved"]).await;
    scene.receiver.until_taken("ends", &["resolved"]).await;
    scene.until_nothing_is_due().await;
    assert!(scene.receiver.received("late").is_empty());
    scene.stock("tea", 1).await;
    scene.receiver.until_taken("late", &["fired"]).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_muted_alert_is_silent_but_its_end_is_told_to_those_who_heard_of_it() {
    let scene = Scene::start().await;
    let rule = scene.rule(None, &[(Severity::Warning, "10"), (Severity::Critical, "0")]);
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    scene.endpoint("all", None).await;
    scene.endpoint("ends", Some(&[EventType::AlertResolved])).await;
    let worker = scene.worker().await;
    scene.stock("tea", 3).await;
    scene.receiver.until_taken("all", &["fired"]).await;
    let alert = scene.alerts().await[0].id.clone();
    let mute = Act::Mute { until: clock::now() + SignedDuration::from_hours(1), by: "key_1".to_owned(), note: None };
    scene.act(&alert, mute).await;
    scene.stock("tea", 0).await;
    let escalated = EventKey::Alert { alert: alert.clone(), sequence: 2 };
    wait_until("the muted event to be done", DEADLINE, async || {
        let event = scene.store().event(&scene.tenant, &escalated).await.unwrap();
        event.is_some_and(|event| event.state.is_settled())
    })
    .await;
    scene.stock("tea", 30).await;
    scene.receiver.until_taken("all", &["fired", "resolved"]).await;
    scene.until_nothing_is_due().await;
    assert!(scene.receiver.received("ends").is_empty(), "it heard nothing of this one");
    worker.stop().await;
}

#[tokio::test]
async fn whoever_meets_a_later_event_settles_those_before_it() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    scene.commit("tea", 3, clock::now()).await;
    let fired = scene.outstanding().await;
    // Somebody else has the first one, for long.
    let far = clock::now() + SignedDuration::from_hours(1);
    let claimed = scene.store().claim_event(&fired[0], far).await.unwrap().expect("nobody else is there");
    scene.commit("tea", 30, clock::now()).await;
    let worker = scene.worker().await;
    scene.receiver.until_taken("all", &["fired", "resolved"]).await;
    scene.until_nothing_is_due().await;
    assert!(
        !scene.store().fan_out(&claimed.tenant, &claimed.value, &[], &BTreeSet::new(), clock::now()).await.unwrap(),
        "whoever had it comes too late"
    );
    worker.stop().await;
}

#[tokio::test]
async fn an_alert_notes_endpoints_that_exist_alone() {
    let scene = Scene::start().await;
    let rule = scene.rule(Some("tea"), &[(Severity::Warning, "10"), (Severity::Critical, "0")]);
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    let worker = scene.worker().await;
    let kept = scene.endpoint("kept", None).await;
    scene.stock("tea", 3).await;
    scene.receiver.until_taken("kept", &["fired"]).await;
    for name in ["first", "second", "third"] {
        let passing = scene.endpoint(name, None).await;
        scene.stock("tea", 0).await;
        scene.receiver.until_taken(name, &["escalated"]).await;
        scene.until_nothing_is_due().await;
        let noted = scene.store().alert(&scene.tenant, &scene.alerts().await[0].id).await.unwrap().unwrap().notified;
        assert_eq!(noted, BTreeSet::from([kept.id.clone(), passing.id.clone()]), "{name}");
        scene.store().delete_endpoint(&scene.tenant, &scene.stored(&passing).await).await.unwrap();
        scene.stock("tea", 3).await;
        scene.until_stored_as("tea", 3).await;
    }
    worker.stop().await;
}
