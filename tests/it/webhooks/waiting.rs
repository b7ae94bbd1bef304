//! Deliveries that wait: they cost the looks at what is due nothing, and are made when their time has come.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use tidemark_domain::EndpointId;
use tidemark_runtime::clock;
use tidemark_store::{DeliveryState, Endpoint, Next, Slot, Trigger, Work};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Reaction, wait_until};

use tokio::time::{Duration, Instant};

use super::{Scene, asked, new_endpoint};

/// More than a look reads at once.
const PENDING: usize = 105;
const ENDPOINTS: usize = 6;

impl Scene {
    /// Endpoints of one slot, each with deliveries that are to be made tomorrow.
    async fn wait_for_tomorrow(&self) -> Slot {
        let slot = Slot::all().next().unwrap();
        let is_here = |id: &EndpointId| Slot::of_endpoint(id) == slot;
        for id in std::iter::repeat_with(new_endpoint).filter(is_here).take(ENDPOINTS) {
            self.endpoint_with("asleep", None, id).await;
        }
        let endpoints: Vec<EndpointId> =
            self.store().endpoints(&self.tenant).await.unwrap().into_iter().map(|endpoint| endpoint.id).collect();
        for number in 0..PENDING {
            self.commit(&format!("item-{number}"), 3, clock::now()).await;
        }
        let (now, tomorrow) = (clock::now(), clock::now() + SignedDuration::from_hours(24));
        for slot in Slot::all() {
            for due in self.store().due(slot, None, 1000).await.unwrap().entries {
                if let Some(event) = self.store().claim_event(&due, tomorrow).await.unwrap() {
                    assert!(self.store().fan_out(&self.tenant, &event.value, &endpoints, &BTreeSet::new(), now).await.unwrap());
                }
            }
        }
        for due in self.store().due(slot, None, 1000).await.unwrap().entries {
            let delivery = self.store().claim_delivery(&due, tomorrow).await.unwrap().expect("nobody else is there");
            assert!(self.store().settle_delivery(&delivery, Next::Later { at: tomorrow }).await.unwrap());
        }
        slot
    }

    /// The deliveries to an endpoint that wait apart.
    async fn waiting(&self, endpoint: &Endpoint) -> usize {
        let page = self.store().waiting(Slot::of_endpoint(&endpoint.id), None, 1000).await.unwrap();
        page.entries.iter().filter(|due| matches!(&due.work, Work::Delivery(id) if id.endpoint == endpoint.id)).count()
    }
}

#[tokio::test]
async fn however_many_endpoints_wait_a_look_is_one_query() {
    let scene = Scene::start().await;
    let slot = scene.wait_for_tomorrow().await;
    let queries = scene.overhear("Query");
    let worker = scene.worker().await;
    let own = format!("DUE#{}", slot.number());
    let looks = || queries.count(|query| asked(query) == (own.as_str(), None));
    wait_until("ten looks", DEADLINE, async || looks() >= 10).await;
    let further = queries.count(|query| matches!(asked(query), (pk, Some(_)) if pk.starts_with(&own)));
    // A look at what waits reads a page of it, and whether there is anything else; it is made with every look of an idle slot.
    assert!(further <= looks(), "{further} queries more for {} looks", looks());
    assert!(scene.receiver.all().is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn an_idle_slot_is_looked_at_rarely_and_at_once_when_there_is_news() {
    let scene = Scene::start().await;
    scene.endpoint("a", None).await;
    let queries = scene.overhear("Query");
    let looks = || queries.count(|query| asked(query).0.starts_with("DUE#"));
    let never = Duration::from_secs(3600);
    let worker = scene
        .worker_with(|settings| {
            let pace = &mut settings.webhooks.pace;
            (pace.idle_after, pace.idle_look, pace.empty_look) = (Duration::from_secs(1), never, never);
        })
        .await;
    for (round, item) in ["tea", "mug"].into_iter().enumerate() {
        let (mut before, mut since) = (looks(), Instant::now());
        wait_until("looks to stop", DEADLINE, async || {
            if looks() != before {
                (before, since) = (looks(), Instant::now());
            }
            since.elapsed() > Duration::from_secs(2)
        })
        .await;
        scene.stock(item, 3).await;
        scene.receiver.until_received("a", round + 1).await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn what_is_tried_again_much_later_waits_apart_until_then() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("a", None).await;
    scene.receiver.react("a", |received| Reaction::Status(if received.nth <= 3 { 500 } else { 204 }));
    let worker = scene.worker().await;
    scene.stock("tea", 3).await;
    // Its third wait is one of seconds.
    wait_until("it to wait apart", DEADLINE, async || scene.waiting(&endpoint).await == 1).await;
    assert_eq!(scene.receiver.received("a").len(), 3);
    scene.until_all(&endpoint, 1, DeliveryState::Delivered).await;
    scene.until_nothing_is_due().await;
    worker.stop().await;
}

#[tokio::test]
async fn what_waits_apart_is_made_at_once_when_somebody_asks_for_it() {
    let scene = Scene::start().await;
    let endpoint = scene.endpoint("a", None).await;
    scene.receiver.react("a", |received| Reaction::Status(if received.nth <= 3 { 500 } else { 204 }));
    // Its second wait is one of minutes.
    let worker = scene.worker_with(|settings| settings.webhooks.pace.second = std::time::Duration::from_millis(500)).await;
    scene.stock("tea", 3).await;
    let received = scene.receiver.until_received("a", 2).await;
    wait_until("it to wait apart", DEADLINE, async || scene.waiting(&endpoint).await == 1).await;
    let delivery = scene.delivery(&endpoint, received[0].id()).await;
    let DeliveryState::Pending { due_at } = delivery.state else { panic!("{delivery:?}") };
    assert!(due_at > clock::now() + SignedDuration::from_secs(60), "{due_at}");
    scene.store().requeue(&scene.tenant, &delivery, Trigger::Manual, clock::now()).await.unwrap();
    scene.receiver.until_received("a", 3).await;
    worker.stop().await;
}
