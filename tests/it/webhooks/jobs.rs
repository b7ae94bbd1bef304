//! What the dispatcher does beside delivering: rules judged anew, alerts repeated.

use jiff::SignedDuration;
use tidemark_domain::alert::{Act, AlertState, Reason};
use tidemark_domain::rule::{RepeatEvery, Severity};
use tidemark_domain::{Alert, Rule};
use tidemark_runtime::clock;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::wait_until;
use tokio::time::{Duration, Instant};

use super::Scene;

/// ALERTS §2.
const WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_rule_over_stock_that_is_low_already_fires_and_ends_with_the_rule() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    let worker = scene.worker().await;
    for (item, on_hand) in [("tea", 3), ("mug", 4), ("tray", 50)] {
        scene.stock_without_point(item, on_hand).await;
        scene.until_stored(item).await;
    }
    let rule = scene.rule(None, &[(Severity::Warning, "5")]);
    let written = Instant::now();
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    scene.receiver.until_taken("all", &["fired", "fired"]).await;
    assert!(written.elapsed() < WITHIN);

    let kept = scene.rule(Some("mug"), &[(Severity::Warning, "9")]);
    scene.store().create_rule(&scene.tenant, &kept, clock::now()).await.unwrap();
    scene.receiver.until_taken("all", &["fired", "fired", "resolved", "fired"]).await;
    let stored = scene.store().rule(&scene.tenant, &rule.id).await.unwrap().unwrap();
    scene.store().delete_rule(&scene.tenant, &stored, clock::now()).await.unwrap();
    scene.receiver.until_taken("all", &["fired", "fired", "resolved", "fired", "resolved"]).await;
    scene.until_nothing_is_due().await;
    let mut ends: Vec<_> = scene.alerts().await.into_iter().map(|alert| (alert.key.item, alert.rule.rule, alert.state)).collect();
    ends.sort_by_key(|(item, rule, _)| (item.clone(), rule.clone()));
    let is_end = |state: &AlertState, reason: &Reason| matches!(state, AlertState::Resolved { reason: why, .. } if why == reason);
    assert!(is_end(&ends[0].2, &Reason::RuleChanged), "the more specific rule took over: {ends:?}");
    assert_eq!((&ends[1].1, &ends[1].2), (&Some(kept.id), &AlertState::Firing));
    assert!(is_end(&ends[2].2, &Reason::RuleDeleted), "{ends:?}");
    assert_eq!(ends.len(), 3);
    worker.stop().await;
}

#[tokio::test]
async fn a_rules_job_does_not_undo_what_a_commit_does_meanwhile() {
    let scene = Scene::start().await;
    let items: Vec<String> = (0..250).map(|number| format!("item-{number}")).collect();
    for item in &items {
        scene.commit_without_point(item, 3).await;
    }
    let rule = scene.rule(None, &[(Severity::Warning, "5")]);
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    let worker = scene.worker().await;
    // While the job goes through them, every other one is restocked by changes of the source.
    for item in items.iter().step_by(2) {
        scene.stock_without_point(item, 30).await;
    }
    scene.deployment.settled("stock").await;
    scene.until_nothing_is_due().await;
    let alerts = scene.alerts().await;
    for (index, item) in items.iter().enumerate() {
        let of_item: Vec<&Alert> = alerts.iter().filter(|alert| alert.key.item == *item).collect();
        assert!(of_item.len() <= 1, "{item}: {of_item:?}");
        let fires = of_item.iter().any(|alert| alert.is_firing());
        assert_eq!(fires, index % 2 == 1, "{item}: {of_item:?}");
    }
    worker.stop().await;
}

/// An alert that began some minutes ago, by a rule that repeats it every quarter of an hour.
async fn fired_before(scene: &Scene, minutes: i64) -> Alert {
    let every = RepeatEvery::new(SignedDuration::from_mins(15)).unwrap();
    let rule = Rule { repeat_every: Some(every), ..scene.rule(Some("tea"), &[(Severity::Warning, "5")]) };
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    let events = scene.commit("tea", 3, clock::now() - SignedDuration::from_mins(minutes)).await;
    events[0].alert.clone()
}

#[tokio::test]
async fn an_alert_that_nobody_acknowledges_is_repeated_once_each_time() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    let alert = fired_before(&scene, 20).await;
    let worker = scene.worker().await;
    scene.receiver.until_taken("all", &["fired", "repeated"]).await;
    wait_until("the next repeat to be all that is left", DEADLINE, async || scene.outstanding().await.len() == 1).await;
    let repeated = scene.alerts().await.remove(0);
    assert_eq!((&repeated.id, repeated.sequence), (&alert.id, 2));
    let next = scene.outstanding().await[0].at.duration_since(repeated.event_at);
    assert!((next - SignedDuration::from_mins(15)).abs() < SignedDuration::from_secs(1), "{next}");
    worker.stop().await;
}

#[tokio::test]
async fn an_acknowledged_alert_is_not_repeated() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    let alert = fired_before(&scene, 20).await;
    scene.act(&alert.id, Act::Acknowledge { by: "key_1".to_owned(), note: None }).await;
    let worker = scene.worker().await;
    scene.receiver.until_taken("all", &["fired"]).await;
    scene.until_nothing_is_due().await;
    assert_eq!(scene.alerts().await[0].sequence, 1);
    worker.stop().await;
}
