//! Work is found when it is due, and done by one.

use std::collections::BTreeSet;

use tidemark_domain::{AlertId, EndpointId, EventId, JobId};
use tidemark_store::{
    Decisions, DeliveryState, Due, EventKey, EventState, EventWrite, Hold, JobKind, NewJob, Next, RequeueError, Slot, Trigger,
    Work,
};

use super::{Shelf, at, endpoint, new_alert};

#[tokio::test]
async fn of_two_who_claim_one_entry_one_wins() {
    let shelf = Shelf::new().await;
    let alert = shelf.fired("tea").await;
    let key = EventKey::Alert { alert: alert.id, sequence: 1 };
    let slot = Slot::of_event(&key);
    let due = shelf.due(slot, None).await;
    let due = due.iter().find(|due| due.work == Work::Event(key.clone())).expect("the event is due");
    assert_eq!((due.at, &due.tenant), (at(0), &shelf.tenant));
    // Even with the same end of the claim, and even if that is where the entry was seen.
    for until in [at(0), at(30_000), at(30_000)] {
        let seen = shelf.due(slot, None).await.into_iter().find(|due| due.work == Work::Event(key.clone())).unwrap();
        let claims = tokio::join!(shelf.store.claim_event(&seen, until), shelf.store.claim_event(&seen, until));
        let won = [claims.0.unwrap(), claims.1.unwrap()].into_iter().flatten().count();
        assert_eq!(won, 1, "until {until}");
    }
}

#[tokio::test]
async fn a_claim_lapses_and_whoever_held_it_cannot_keep_the_work_from_others() {
    let shelf = Shelf::new().await;
    let alert = shelf.fired("tea").await;
    let key = EventKey::Alert { alert: alert.id, sequence: 1 };
    let find = async || shelf.due(Slot::of_event(&key), None).await.into_iter().find(|due| due.work == Work::Event(key.clone()));
    let crashed = shelf.store.claim_event(&find().await.unwrap(), at(30_000)).await.unwrap().expect("claimed");
    assert_eq!(crashed.until(), at(30_000));
    let lapsed = find().await.expect("it stays in the index");
    assert_eq!(lapsed.at, at(30_000), "it comes due again by itself");

    let mut next = shelf.store.claim_event(&lapsed, at(60_000)).await.unwrap().expect("claimed");
    assert!(!shelf.store.put_off(&mut crashed.clone(), at(90_000)).await.unwrap());
    assert!(shelf.store.put_off(&mut next, at(90_000)).await.unwrap());
    assert!(shelf.store.fan_out(&shelf.tenant, &next.value, &[], &BTreeSet::new(), at(80_000)).await.unwrap());
    assert!(find().await.is_none(), "what is done is not due");
    assert_eq!(shelf.store.event(&shelf.tenant, &key).await.unwrap().unwrap().state, EventState::Done);
    for late in [&crashed, &next] {
        assert!(!shelf.store.skip_event(&shelf.tenant, &late.value).await.unwrap(), "once done, it stays so");
        assert!(
            !shelf.store.fan_out(&shelf.tenant, &late.value, &[], &BTreeSet::new(), at(80_001)).await.unwrap(),
            "by whomever"
        );
    }
}

#[tokio::test]
async fn a_sweep_meets_events_first_and_skips_from_endpoint_to_endpoint() {
    let shelf = Shelf::new().await;
    let slot = Slot::all().next().unwrap();
    let key = |alert: AlertId| EventKey::Alert { alert, sequence: 1 };
    let alert_here = || std::iter::repeat_with(|| new_alert(at(0))).find(|id| Slot::of_event(&key(id.clone())) == slot).unwrap();
    let mut endpoints: Vec<EndpointId> =
        std::iter::repeat_with(|| endpoint().id).filter(|id| Slot::of_endpoint(id) == slot).take(3).collect();
    endpoints.sort();
    let job = |alert: &AlertId| JobId::from_ulid_text(alert.ulid_text()).unwrap();
    let repeated = std::iter::repeat_with(|| new_alert(at(0))).find(|id| Slot::of_job(&job(id)) == slot).unwrap();
    let kind = JobKind::Repeat { alert: repeated };
    shelf.store.create_job(&shelf.tenant, &NewJob { kind, due_at: at(0), created_at: at(0) }).await.unwrap();
    // Four events, two of which become deliveries.
    for number in 0..4 {
        let alert = alert_here();
        let event = EventWrite {
            tenant: shelf.tenant.id().clone(),
            key: key(alert.clone()),
            id: EventId::from_ulid_text(alert.ulid_text()).unwrap(),
            event_type: "inventory.alert.fired".to_owned(),
            body: b"{}".to_vec(),
            at: at(0),
            due_at: at(number),
            hold: None,
            traceparent: None,
        };
        shelf.send(Decisions { events: vec![event], ..Decisions::default() }).await.unwrap();
        if number < 2 {
            let [due] = &shelf.due(slot, None).await[..1] else { panic!("nothing is due") };
            let event = shelf.store.claim_event(due, at(1)).await.unwrap().expect("claimed");
            assert!(
                shelf.store.fan_out(&shelf.tenant, &event.value, &endpoints, &BTreeSet::new(), at(1)).await.unwrap(),
                "also where the alert is gone"
            );
        }
    }
    let mut met = Vec::new();
    let mut page = shelf.store.due(slot, None, 1).await.unwrap();
    while let Some(entry) = page.entries.first() {
        met.push(match &entry.work {
            Work::Event(_) | Work::Held { .. } => "event".to_owned(),
            Work::Job(_) => "job".to_owned(),
            Work::Delivery(id) => id.endpoint.to_string(),
        });
        page = shelf.store.due(slot, Some(&entry.place_behind_its_kind()), 1).await.unwrap();
    }
    let expected = ["event".to_owned(), "job".to_owned()].into_iter().chain(endpoints.iter().map(ToString::to_string));
    assert_eq!(met, expected.collect::<Vec<_>>());
    assert_eq!(shelf.due(slot, None).await.len(), 2 + 1 + 2 * 3);
}

#[tokio::test]
async fn a_slot_is_read_page_by_page_without_loss() {
    let shelf = Shelf::new().await;
    for number in 0..6 {
        shelf.fired(&format!("item-{number}")).await;
    }
    for slot in Slot::all() {
        let whole = shelf.due(slot, None).await;
        let mut paged = Vec::new();
        let mut next = None;
        loop {
            let page = shelf.store.due(slot, next.as_ref(), 2).await.unwrap();
            assert!(page.entries.len() <= 2);
            paged.extend(page.entries);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(paged, whole);
    }
}

#[tokio::test]
async fn a_delivery_that_waits_apart_is_claimed_there_or_takes_its_turn_among_its_endpoints() {
    let shelf = Shelf::new().await;
    let endpoint = shelf.endpoint().await.id;
    let slot = Slot::of_endpoint(&endpoint);
    let alert = shelf.fired("tea").await;
    let key = EventKey::Alert { alert: alert.id, sequence: 1 };
    let event = shelf.store.event(&shelf.tenant, &key).await.unwrap().unwrap();
    assert!(shelf.store.fan_out(&shelf.tenant, &event, std::slice::from_ref(&endpoint), &BTreeSet::new(), at(0)).await.unwrap());
    let is_delivery = |due: &Due| matches!(due.work, Work::Delivery(_));
    let queued = async || shelf.due(slot, None).await.into_iter().find(is_delivery);
    let apart = async || shelf.store.waiting(slot, None, 100).await.unwrap().entries.into_iter().find(is_delivery);

    let claimed = shelf.store.claim_delivery(&queued().await.unwrap(), at(30_000)).await.unwrap().expect("claimed");
    assert!(shelf.store.settle_delivery(&claimed, Next::Later { at: at(900_000) }).await.unwrap());
    assert!(queued().await.is_none(), "it is not among the others");
    let seen = apart().await.expect("it waits");
    assert_eq!((seen.at, seen.is_apart()), (at(900_000), true));
    let stored = shelf.store.delivery(&shelf.tenant, &claimed.value.id).await.unwrap().unwrap();
    assert_eq!(stored.state, DeliveryState::Pending { due_at: at(900_000) });

    assert!(shelf.store.queue_up(&seen, seen.at).await.unwrap());
    assert!(!shelf.store.queue_up(&seen, seen.at).await.unwrap(), "once");
    assert!(shelf.store.claim_delivery(&seen, at(990_000)).await.unwrap().is_none(), "it is not there any more");
    let in_turn = queued().await.expect("it is among the others");
    assert_eq!((in_turn.at, in_turn.is_apart(), apart().await), (at(900_000), false, None));

    let claimed = shelf.store.claim_delivery(&in_turn, at(930_000)).await.unwrap().expect("claimed");
    assert!(shelf.store.settle_delivery(&claimed, Next::Later { at: at(950_000) }).await.unwrap());
    let seen = apart().await.expect("it waits");
    let claims = tokio::join!(shelf.store.claim_delivery(&seen, at(990_000)), shelf.store.claim_delivery(&seen, at(990_000)));
    assert_eq!([claims.0.unwrap(), claims.1.unwrap()].into_iter().flatten().count(), 1, "one of two");
    let lapsed = queued().await.expect("a claim lapses among the others");
    assert_eq!((lapsed.at, apart().await), (at(990_000), None));

    let claimed = shelf.store.claim_delivery(&lapsed, at(995_000)).await.unwrap().expect("claimed");
    assert!(shelf.store.settle_delivery(&claimed, Next::Later { at: at(999_000) }).await.unwrap());
    let read = shelf.store.delivery(&shelf.tenant, &claimed.value.id).await.unwrap().unwrap();
    shelf.store.requeue(&shelf.tenant, &read, Trigger::Manual, at(996_000)).await.expect("as it was read");
    assert_eq!((queued().await.map(|due| due.at), apart().await), (Some(at(996_000)), None));
    let stale = shelf.store.requeue(&shelf.tenant, &read, Trigger::Manual, at(997_000)).await;
    assert!(matches!(stale, Err(RequeueError::ConditionFailed)));
}

#[tokio::test]
async fn held_events_wait_by_their_stream_and_are_claimed_among_what_is_due() {
    let shelf = Shelf::new().await;
    let slot = Slot::all().next().unwrap();
    let of_here = || std::iter::repeat_with(|| new_alert(at(0))).map(|alert| EventKey::Alert { alert, sequence: 1 });
    let held = [("arn:b", 1), ("arn:a", 3), ("arn:a", 2)];
    for (key, (stream, since)) in of_here().filter(|key| Slot::of_event(key) == slot).zip(held) {
        let EventKey::Alert { alert, .. } = &key else { panic!("an alert's event") };
        let event = EventWrite {
            tenant: shelf.tenant.id().clone(),
            id: EventId::from_ulid_text(alert.ulid_text()).unwrap(),
            key,
            event_type: "inventory.alert.fired".to_owned(),
            body: b"{}".to_vec(),
            at: at(0),
            due_at: at(0),
            hold: Some(Hold { stream: stream.to_owned(), since: at(since) }),
            traceparent: None,
        };
        shelf.send(Decisions { events: vec![event], ..Decisions::default() }).await.unwrap();
    }
    let waiting = async || shelf.store.waiting(slot, None, 100).await.unwrap().entries;
    let named = |due: &Due| match &due.work {
        Work::Held { stream, .. } => (stream.clone(), due.at),
        other => panic!("{other:?}"),
    };
    let all = waiting().await;
    let expected = [("arn:a", 2), ("arn:a", 3), ("arn:b", 1)].map(|(stream, since)| (stream.to_owned(), at(since)));
    assert_eq!(all.iter().map(named).collect::<Vec<_>>(), expected);
    let behind = shelf.store.waiting(slot, Some(&all[0].place_behind_its_kind()), 100).await.unwrap().entries;
    assert_eq!(behind.iter().map(named).collect::<Vec<_>>(), expected[2..], "behind all of one stream");

    assert!(shelf.due(slot, None).await.is_empty(), "none is due");
    let claimed = shelf.store.claim_event(&all[0], at(30_000)).await.unwrap().expect("claimed");
    let [lapsing] = &shelf.due(slot, None).await[..] else { panic!("a claim lapses among what is due") };
    assert_eq!((lapsing.at, waiting().await.len()), (at(30_000), 2));
    let EventState::Held(hold) = &claimed.value.state else { panic!("it is still held") };
    assert!(shelf.store.hold_event(&claimed, hold).await.unwrap());
    assert!(!shelf.store.hold_event(&claimed, hold).await.unwrap(), "the claim is lost");
    assert_eq!(waiting().await.iter().map(named).collect::<Vec<_>>(), expected);
}
