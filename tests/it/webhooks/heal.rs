//! Whatever is broken off comes back by itself: claims lapse, jobs go on where they were.

use std::collections::BTreeSet;
use std::time::Duration;

use tidemark_domain::rule::Severity;
use tidemark_runtime::clock;
use tidemark_store::{DeliveryState, EndpointState, JobKind, NewJob};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Fault, Reaction, Received, When, wait_until};

use super::Scene;

/// So many that a job needs several pages.
const MANY: usize = 260;

#[tokio::test]
async fn a_delivery_under_way_when_its_worker_is_killed_is_made_by_the_next_one() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("a", None).await;
    scene.receiver.react("a", |received| if received.nth == 1 { Reaction::Silence } else { Reaction::Status(200) });
    let worker = scene.worker_with(|settings| settings.webhooks.pace.timeouts.exchange = DEADLINE).await;
    scene.stock("tea", 3).await;
    let first = scene.receiver.until_received("a", 1).await.remove(0);
    worker.kill().await;
    let worker = scene.worker().await;
    let again = scene.receiver.until_taken("a", &["fired"]).await.remove(0);
    assert_eq!((again.id(), &again.body), (first.id(), &first.body));
    assert_eq!(again.header("tidemark-webhook-attempt"), "2", "the first one counts, too");
    scene.until_all(&endpoint, 1, DeliveryState::Delivered).await;
    let delivery = scene.delivery(&endpoint, first.id()).await;
    let listed = scene.store().attempts(&scene.tenant, &delivery.id).await.unwrap();
    assert_eq!((delivery.attempts, listed.iter().map(|attempt| attempt.number).collect::<Vec<_>>()), (2, vec![2]));
    scene.until_nothing_is_due().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_stops_lets_exchanges_end_and_begins_none() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("a", None).await;
    scene.receiver.react("a", |_| Reaction::Slow(Duration::from_millis(600), 200));
    let worker = scene.worker().await;
    for item in 0..12 {
        scene.stock(&format!("item-{item}"), 3).await;
    }
    scene.receiver.until_received("a", 2).await;
    worker.stop().await;
    let begun = scene.receiver.received("a").len();
    let deliveries = scene.deliveries(&endpoint).await;
    let made = deliveries.iter().filter(|delivery| delivery.state == DeliveryState::Delivered).count();
    assert_eq!(made, begun, "what was begun is noted");
    assert!(begun < 12, "nothing more was begun");
    let worker = scene.worker().await;
    scene.until_all(&endpoint, 12, DeliveryState::Delivered).await;
    assert_eq!(scene.receiver.received("a").len(), 12, "each was sent once");
    worker.stop().await;
}

#[tokio::test]
async fn a_lost_answer_to_any_write_loses_nothing() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("a", None).await;
    let worker = scene.worker().await;
    let front = scene.deployment.world.front();
    for (round, fault) in [Fault::CommitThenDrop, Fault::ServerError, Fault::Reset, Fault::Throttle].into_iter().enumerate() {
        for call in ["UpdateItem", "TransactWriteItems"] {
            front.fault(call, When::Next(4), fault);
        }
        scene.stock(&format!("item-{round}"), 3).await;
        let taken = || scene.receiver.received("a").into_iter().map(|received| received.id().to_owned());
        let count = || taken().collect::<BTreeSet<_>>().len();
        wait_until("the event to arrive", DEADLINE, async || count() == round + 1).await;
    }
    scene.until_all(&endpoint, 4, DeliveryState::Delivered).await;
    scene.until_nothing_is_due().await;
    front.no_faults();
    worker.stop().await;
}

#[tokio::test]
async fn a_rules_job_goes_on_where_a_killed_worker_left_it() {
    let scene = Scene::start().await;
    for number in 0..MANY {
        scene.commit_without_point(&format!("item-{number}"), 3).await;
    }
    let rule = scene.rule(None, &[(Severity::Warning, "5")]);
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    // Slow enough to be met in the middle.
    let delays = When::Matching(Box::new(|_| true));
    scene.deployment.world.front().fault("TransactWriteItems", delays, Fault::Delay(Duration::from_millis(50)));
    let worker = scene.worker().await;
    wait_until("some of them to fire", DEADLINE, async || !scene.alerts().await.is_empty()).await;
    worker.kill().await;
    let fired = scene.alerts().await.len();
    assert!(fired < MANY, "the job was not broken off: {fired}");
    scene.deployment.world.front().no_faults();
    let worker = scene.worker().await;
    wait_until("all of them to fire", DEADLINE, async || scene.alerts().await.len() >= MANY).await;
    scene.until_nothing_is_due().await;
    let mut items: Vec<_> = scene.alerts().await.into_iter().map(|alert| alert.key.item).collect();
    items.sort();
    items.dedup();
    assert_eq!((items.len(), scene.alerts().await.len()), (MANY, MANY), "each fired once");
    worker.stop().await;
}

#[tokio::test]
async fn a_recovery_goes_on_where_a_killed_worker_left_it() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("a", None).await;
    let worker = scene.worker().await;
    scene.commit("taken", 3, clock::now()).await;
    let taken = scene.receiver.until_taken("a", &["fired"]).await.remove(0);
    scene.until_all(&endpoint, 1, DeliveryState::Delivered).await;
    worker.stop().await;
    let read = scene.stored(&endpoint).await;
    let state = EndpointState::Disabled { reason: "manual".to_owned(), at: clock::now() };
    let to = tidemark_store::Endpoint { state, ..read.clone() };
    scene.store().update_endpoint(&scene.tenant, &read, to).await.unwrap();
    for number in 0..MANY {
        scene.commit(&format!("item-{number}"), 3, clock::now()).await;
    }
    let worker = scene.worker().await;
    let held = async || scene.deliveries(&endpoint).await.iter().filter(|delivery| delivery.state == DeliveryState::Held).count();
    wait_until("all of them to be held", DEADLINE, async || held().await == MANY).await;
    worker.stop().await;
    scene.enable(&endpoint).await;
    let kind = JobKind::Recover { endpoint: endpoint.id.clone(), since: endpoint.created_at, until: clock::now() };
    let job = NewJob { kind, due_at: clock::now(), created_at: clock::now() };
    let job = scene.store().create_job(&scene.tenant, &job).await.unwrap();
    let delays = When::Matching(Box::new(|_| true));
    scene.deployment.world.front().fault("UpdateItem", delays, Fault::Delay(Duration::from_millis(10)));
    let worker = scene.worker().await;
    let stored = async || scene.store().job(&scene.tenant, &job).await.unwrap().unwrap();
    wait_until("a page to be done", DEADLINE, async || stored().await.progress.cursor.is_some()).await;
    worker.kill().await;
    assert!(!stored().await.is_done, "the job was not broken off");
    scene.deployment.world.front().no_faults();
    let worker = scene.worker().await;
    scene.until_all(&endpoint, MANY + 1, DeliveryState::Delivered).await;
    scene.until_nothing_is_due().await;
    let received: Vec<Received> = scene.receiver.received("a");
    let ids: BTreeSet<&str> = received.iter().map(Received::id).collect();
    assert_eq!(ids.len(), MANY + 1);
    assert_eq!(received.iter().filter(|other| other.id() == taken.id()).count(), 1, "what was taken is not sent again");
    worker.stop().await;
}
