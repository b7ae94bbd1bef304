//! Events become deliveries once, and what an attempt came to is recorded once. ALERTS §4.

use std::collections::BTreeSet;

use tidemark_domain::EndpointId;
use tidemark_store::{
    Attempt, Claimed, Delivery, DeliveryId, DeliveryQuery, DeliveryState, Endpoint, EndpointEffect, Event, EventKey, Finish,
    Next, RequeueError, Slot, Trigger, Work,
};

use super::{Shelf, at};

impl Shelf {
    /// The first event of a new alert, claimed.
    async fn claimed_event(&self, item: &str) -> Claimed<Event> {
        let alert = self.fired(item).await;
        let key = EventKey::Alert { alert: alert.id, sequence: 1 };
        let due = self.due(Slot::of_event(&key), None).await.into_iter().find(|due| due.work == Work::Event(key.clone()));
        self.store.claim_event(&due.expect("due"), at(30_000)).await.unwrap().expect("claimed")
    }

    /// The only delivery to an endpoint that is due, claimed.
    async fn claimed_delivery(&self, endpoint: &EndpointId, until: i64) -> Option<Claimed<Delivery>> {
        let due = self.due(Slot::of_endpoint(endpoint), None).await;
        let due = due.into_iter().find(|due| matches!(&due.work, Work::Delivery(id) if id.endpoint == *endpoint))?;
        self.store.claim_delivery(&due, at(until)).await.unwrap()
    }

    async fn stored(&self, id: &DeliveryId) -> Delivery {
        self.store.delivery(&self.tenant, id).await.unwrap().expect("a delivery")
    }
}

/// The end of an attempt that failed.
fn finish(claimed: &Claimed<Delivery>, next: Next) -> Finish {
    let attempt = Attempt {
        number: claimed.value.attempts,
        at: at(100),
        trigger: Trigger::Scheduled,
        outcome: "http_status".to_owned(),
        status: Some(500),
        elapsed_ms: 12,
        snippet: Some("no".to_owned()),
        peer: None,
    };
    Finish { attempt, next, effect: EndpointEffect::default() }
}

#[tokio::test]
async fn an_event_fanned_out_twice_is_one_delivery() {
    let shelf = Shelf::new().await;
    let (first, second) = (shelf.endpoint().await.id, shelf.endpoint().await.id);
    let event = shelf.claimed_event("tea").await;
    let endpoints = [first.clone(), second.clone()];
    let none_heard = BTreeSet::new();
    let both = tokio::join!(
        shelf.store.fan_out(&shelf.tenant, &event.value, &endpoints, &none_heard, at(1)),
        shelf.store.fan_out(&shelf.tenant, &event.value, &endpoints, &none_heard, at(2))
    );
    let (one, other) = (both.0.unwrap(), both.1.unwrap());
    assert!(one != other, "one of two is first: {one}, {other}");
    for endpoint in &endpoints {
        let query = DeliveryQuery { after: None, limit: 10 };
        let page = shelf.store.deliveries(&shelf.tenant, endpoint, &query).await.unwrap();
        assert_eq!((page.deliveries.len(), page.next), (1, None));
        assert_eq!(page.deliveries[0].event, event.value.key);
        let due = shelf.due(Slot::of_endpoint(endpoint), None).await;
        assert_eq!(due.iter().filter(|due| matches!(&due.work, Work::Delivery(id) if id.endpoint == *endpoint)).count(), 1);
    }
    let EventKey::Alert { alert, .. } = &event.value.key else { panic!("an alert's event") };
    let notified = shelf.store.alert(&shelf.tenant, alert).await.unwrap().unwrap().notified;
    assert_eq!(notified, endpoints.into());
    let resolved = shelf.commit("tea", "50").await.1.remove(0).alert;
    let record = shelf.store.alert(&shelf.tenant, alert).await.unwrap().unwrap();
    assert_eq!((record.alert, record.notified), (resolved, notified), "a later state keeps who was notified");
}

#[tokio::test]
async fn an_attempt_is_recorded_under_its_claim_only() {
    let shelf = Shelf::new().await;
    let endpoint = shelf.endpoint().await.id;
    let event = shelf.claimed_event("tea").await;
    shelf.store.fan_out(&shelf.tenant, &event.value, std::slice::from_ref(&endpoint), &BTreeSet::new(), at(1)).await.unwrap();
    let slow = shelf.claimed_delivery(&endpoint, 30_000).await.expect("claimed");
    let id = slow.value.id.clone();
    let quick = shelf.claimed_delivery(&endpoint, 60_000).await.expect("the claim lapsed");
    assert_eq!([&slow, &quick].map(|claimed| claimed.value.attempts), [1, 2], "each claim is an attempt");
    assert!(shelf.store.finish_delivery(&quick, &finish(&quick, Next::Again { at: at(65_000) })).await.unwrap());
    assert!(!shelf.store.finish_delivery(&slow, &finish(&slow, Next::Delivered)).await.unwrap());
    let stored = shelf.stored(&id).await;
    assert_eq!((stored.state, stored.attempts), (DeliveryState::Pending { due_at: at(65_000) }, 2));
    assert_eq!(stored.round_began, 1, "the attempt without a result is none of the schedule's");
    assert_eq!(stored.last.map(|last| (last.outcome, last.status)), Some(("http_status".to_owned(), Some(500))));

    let again = shelf.claimed_delivery(&endpoint, 90_000).await.expect("claimed");
    let last = finish(&again, Next::Exhausted);
    let last = Finish { attempt: Attempt { status: None, ..last.attempt.clone() }, ..last };
    assert!(shelf.store.finish_delivery(&again, &last).await.unwrap());
    assert!(shelf.claimed_delivery(&endpoint, 99_000).await.is_none(), "nothing is due any more");
    let attempts = shelf.store.attempts(&shelf.tenant, &id).await.unwrap();
    assert_eq!(attempts.iter().map(|attempt| (attempt.number, attempt.status)).collect::<Vec<_>>(), [(2, Some(500)), (3, None)]);

    let exhausted = shelf.stored(&id).await;
    let requeued = shelf.store.requeue(&shelf.tenant, &exhausted, Trigger::Manual, at(100_000)).await.unwrap();
    assert_eq!((requeued.attempts, requeued.round_began, requeued.trigger), (3, 3, Trigger::Manual));
    assert_eq!(requeued.state, DeliveryState::Pending { due_at: at(100_000) });
    let twice = shelf.store.requeue(&shelf.tenant, &exhausted, Trigger::Manual, at(100_000)).await;
    assert!(matches!(twice, Err(RequeueError::ConditionFailed)));
    assert!(shelf.claimed_delivery(&endpoint, 130_000).await.is_some());
    let moved = shelf.store.requeue(&shelf.tenant, &requeued, Trigger::Manual, at(101_000)).await;
    assert!(matches!(moved, Err(RequeueError::ConditionFailed)), "it is under way since it was read");
    let worn = Delivery { attempts: 999, ..requeued };
    let refused = shelf.store.requeue(&shelf.tenant, &worn, Trigger::Manual, at(101_000)).await;
    assert!(matches!(refused, Err(RequeueError::TooManyAttempts)));
}

#[tokio::test]
async fn an_endpoint_that_is_gone_does_not_come_back_by_an_attempt() {
    let shelf = Shelf::new().await;
    let endpoint: Endpoint = shelf.endpoint().await;
    let event = shelf.claimed_event("tea").await;
    shelf.store.fan_out(&shelf.tenant, &event.value, std::slice::from_ref(&endpoint.id), &BTreeSet::new(), at(1)).await.unwrap();
    let delivery = shelf.claimed_delivery(&endpoint.id, 30_000).await.expect("claimed");
    shelf.store.delete_endpoint(&shelf.tenant, &endpoint).await.unwrap();
    let effect = EndpointEffect { health: Some("{}".to_owned()), ..EndpointEffect::default() };
    let end = Finish { effect, ..finish(&delivery, Next::Cancelled) };
    assert!(shelf.store.finish_delivery(&delivery, &end).await.unwrap(), "the attempt is recorded all the same");
    assert_eq!(shelf.stored(&delivery.value.id).await.state, DeliveryState::Cancelled);
    assert_eq!(shelf.store.attempts(&shelf.tenant, &delivery.value.id).await.unwrap().len(), 1);
    assert!(shelf.store.endpoint(&shelf.tenant, &endpoint.id).await.unwrap().is_none());
    assert!(shelf.store.endpoints(&shelf.tenant).await.unwrap().is_empty());
    assert!(shelf.claimed_delivery(&endpoint.id, 60_000).await.is_none());
}

#[tokio::test]
async fn a_held_delivery_waits_for_its_requeuing() {
    let shelf = Shelf::new().await;
    let endpoint = shelf.endpoint().await.id;
    let event = shelf.claimed_event("tea").await;
    shelf.store.fan_out(&shelf.tenant, &event.value, std::slice::from_ref(&endpoint), &BTreeSet::new(), at(1)).await.unwrap();
    let delivery = shelf.claimed_delivery(&endpoint, 30_000).await.expect("claimed");
    assert!(shelf.store.settle_delivery(&delivery, Next::Held).await.unwrap());
    assert!(!shelf.store.settle_delivery(&delivery, Next::Cancelled).await.unwrap());
    assert!(shelf.claimed_delivery(&endpoint, 60_000).await.is_none());
    let held = shelf.stored(&delivery.value.id).await;
    assert_eq!((held.state, held.attempts), (DeliveryState::Held, 0));
    shelf.store.requeue(&shelf.tenant, &held, Trigger::Recover, at(70_000)).await.unwrap();
    assert_eq!(shelf.claimed_delivery(&endpoint, 90_000).await.expect("due").value.trigger, Trigger::Recover);
}

#[tokio::test]
async fn an_attempt_counts_from_its_claim_on_and_its_number_is_given_back_where_nothing_was_sent() {
    let shelf = Shelf::new().await;
    let endpoint = shelf.endpoint().await.id;
    let event = shelf.claimed_event("tea").await;
    shelf.store.fan_out(&shelf.tenant, &event.value, std::slice::from_ref(&endpoint), &BTreeSet::new(), at(1)).await.unwrap();
    let claimed = shelf.claimed_delivery(&endpoint, 30_000).await.expect("claimed");
    let stored = shelf.stored(&claimed.value.id).await;
    assert_eq!((stored.attempts, claimed.value.attempts), (1, 1));
    assert!(shelf.store.settle_delivery(&claimed, Next::Again { at: at(40_000) }).await.unwrap());
    let stored = shelf.stored(&claimed.value.id).await;
    assert_eq!((stored.attempts, stored.round_began, stored.is_claimed), (0, 0, false));
    assert!(!shelf.store.settle_delivery(&claimed, Next::Held).await.unwrap(), "nothing is given back twice");

    let crashed = shelf.claimed_delivery(&endpoint, 50_000).await.expect("claimed");
    let next = shelf.claimed_delivery(&endpoint, 60_000).await.expect("the claim lapsed");
    assert!(shelf.store.settle_delivery(&next, Next::Later { at: at(70_000) }).await.unwrap());
    assert!(!shelf.store.settle_delivery(&crashed, Next::Held).await.unwrap());
    let stored = shelf.stored(&crashed.value.id).await;
    assert_eq!((stored.attempts, stored.round_began), (1, 1), "what may have been sent stays counted");
    shelf.store.requeue(&shelf.tenant, &stored, Trigger::Manual, at(65_000)).await.expect("as it was read");
}

#[tokio::test]
async fn a_delivery_under_way_is_not_requeued_until_its_claim_ends() {
    let shelf = Shelf::new().await;
    let endpoint = shelf.endpoint().await.id;
    let event = shelf.claimed_event("tea").await;
    shelf.store.fan_out(&shelf.tenant, &event.value, std::slice::from_ref(&endpoint), &BTreeSet::new(), at(1)).await.unwrap();
    let id = shelf.claimed_delivery(&endpoint, 30_000).await.expect("claimed").value.id;
    let under_way = shelf.stored(&id).await;
    assert_eq!(under_way.under_way_until(at(29_999)), Some(at(30_000)));
    let refused = shelf.store.requeue(&shelf.tenant, &under_way, Trigger::Manual, at(29_999)).await;
    assert!(matches!(refused, Err(RequeueError::UnderWay { until }) if until == at(30_000)), "{refused:?}");
    // Its dispatcher crashed.
    let requeued = shelf.store.requeue(&shelf.tenant, &under_way, Trigger::Manual, at(30_000)).await.expect("the claim ended");
    assert_eq!((requeued.is_claimed, requeued.attempts, requeued.round_began), (false, 1, 1));

    // A binary that does not know the mark moves the item and leaves the mark where it is.
    let claimed = shelf.claimed_delivery(&endpoint, 60_000).await.expect("claimed");
    let due = shelf.due(Slot::of_endpoint(&endpoint), None).await;
    let due = due.into_iter().find(|due| due.work == Work::Delivery(id.clone())).expect("due at the claim's end");
    assert!(shelf.store.queue_up(&due, due.at).await.unwrap());
    let moved = shelf.stored(&claimed.value.id).await;
    assert_eq!((moved.is_claimed, moved.under_way_until(at(40_000))), (false, None));
    shelf.store.requeue(&shelf.tenant, &moved, Trigger::Manual, at(40_000)).await.expect("nothing is under way");
}
