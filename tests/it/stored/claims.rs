//! Work is found when it is due, and done by one.

use tidemark_domain::{AlertId, EndpointId, EventId, JobId};
use tidemark_store::{Decisions, EventKey, EventState, EventWrite, JobKind, NewJob, Slot, Work};

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
    assert!(shelf.store.fan_out(&shelf.tenant, &next.value, &[], at(80_000)).await.unwrap());
    assert!(find().await.is_none(), "what is done is not due");
    assert_eq!(shelf.store.event(&shelf.tenant, &key).await.unwrap().unwrap().state, EventState::Done);
    for late in [&crashed, &next] {
        assert!(!shelf.store.skip_event(&shelf.tenant, &late.value).await.unwrap(), "once done, it stays so");
        assert!(!shelf.store.fan_out(&shelf.tenant, &late.value, &[], at(80_001)).await.unwrap(), "by whomever");
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
                shelf.store.fan_out(&shelf.tenant, &event.value, &endpoints, at(1)).await.unwrap(),
                "also where the alert is gone"
            );
        }
    }
    let mut met = Vec::new();
    let mut page = shelf.store.due(slot, None, 1).await.unwrap();
    while let Some(entry) = page.entries.first() {
        met.push(match &entry.work {
            Work::Event(_) => "event".to_owned(),
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
