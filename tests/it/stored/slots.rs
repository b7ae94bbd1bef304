//! Slots: where binaries before this one put work, and how one tenant's is passed over.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use tidemark_domain::{AlertId, EventId};
use tidemark_store::{Decisions, Due, EventKey, EventWrite, JobKind, NewJob, SLOTS, Slot, Tenant, Work};
use tidemark_tests::deployment::tables;

use super::{Shelf, at, endpoint, new_alert, tenant};

/// How many slots binaries had before this one.
const SLOTS_BEFORE: u8 = 8;

impl Shelf {
    /// An event of a new alert whose slot is like this; due now.
    async fn event_in(&self, tenant: &Tenant, is_wanted: impl Fn(Slot) -> bool) -> EventKey {
        let key = |alert: &AlertId| EventKey::Alert { alert: alert.clone(), sequence: 1 };
        let alert = std::iter::repeat_with(|| new_alert(at(0))).find(|alert| is_wanted(Slot::of_event(&key(alert)))).unwrap();
        let event = EventWrite {
            tenant: tenant.id().clone(),
            key: key(&alert),
            id: EventId::from_ulid_text(alert.ulid_text()).unwrap(),
            event_type: "inventory.alert.fired".to_owned(),
            body: b"{}".to_vec(),
            at: at(0),
            due_at: at(0),
            hold: None,
            traceparent: None,
        };
        self.send(Decisions { events: vec![event], ..Decisions::default() }).await.unwrap();
        key(&alert)
    }

    /// Moves an entry of a slot of today to where a binary before this one would have put it.
    async fn as_before(&self, [pk, sk]: [&str; 2], slot: Slot, place: &str) -> Slot {
        // The remainder by eight of the remainder by 32 is the remainder by eight.
        let before = slot.number() % SLOTS_BEFORE;
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let update = self.world.dynamodb().update_item().table_name(tables().data).key("pk", text(pk)).key("sk", text(sk));
        let update = update.update_expression("SET index_pk = :pk, index_sk = :sk");
        let update = update.expression_attribute_values(":pk", text(&format!("DUE#{before}")));
        update.expression_attribute_values(":sk", text(place)).send().await.unwrap();
        Slot::all().nth(before.into()).expect("it is a slot still")
    }

    async fn find(&self, slot: Slot, work: &Work) -> Option<Due> {
        self.due(slot, None).await.into_iter().find(|due| due.work == *work)
    }
}

/// A slot that binaries before this one did not have.
fn is_new(slot: Slot) -> bool {
    slot.number() >= SLOTS_BEFORE
}

#[tokio::test]
async fn what_a_binary_before_put_into_one_of_eight_slots_is_found_there_and_moves_with_its_first_claim() {
    assert_eq!(SLOTS % SLOTS_BEFORE, 0);
    let shelf = Shelf::new().await;
    let (store, acme, ms) = (&shelf.store, &shelf.tenant, at(0).as_millisecond());

    let key = shelf.event_in(acme, is_new).await;
    let EventKey::Alert { alert, .. } = &key else { panic!("an alert's event") };
    let (pk, place) = (format!("T#acme#AE#{alert}"), format!("!event#{ms:015}#{alert}#1"));
    let slot = shelf.as_before([&pk, "000001"], Slot::of_event(&key), &place).await;
    let seen = shelf.find(slot, &Work::Event(key.clone())).await.expect("it is found");
    assert!(seen.is_apart(), "it can be moved to its tenant's queue");
    let event = store.claim_event(&seen, at(30_000)).await.unwrap().expect("claimed");
    let moved = shelf.find(Slot::of_event(&key), &seen.work).await.expect("in its own slot");
    assert_eq!((moved.at, moved.is_apart(), shelf.find(slot, &seen.work).await), (at(30_000), false, None));

    let endpoint = std::iter::repeat_with(|| endpoint().id).find(|id| is_new(Slot::of_endpoint(id))).unwrap();
    assert!(store.fan_out(acme, &event.value, std::slice::from_ref(&endpoint), &BTreeSet::new(), at(0)).await.unwrap());
    let (pk, id) = (format!("T#acme#WD#{endpoint}"), event.value.id.as_str());
    let place = format!("{endpoint}#{ms:015}#{id}");
    let slot = shelf.as_before([&pk, id], Slot::of_endpoint(&endpoint), &place).await;
    let found = shelf.due(slot, None).await.into_iter().find(|due| matches!(due.work, Work::Delivery(_)));
    let seen = found.expect("it is found");
    assert!(store.claim_delivery(&seen, at(30_000)).await.unwrap().is_some());
    let moved = shelf.find(Slot::of_endpoint(&endpoint), &seen.work).await.expect("in its own slot");
    assert_eq!((moved.at, shelf.find(slot, &seen.work).await), (at(30_000), None));

    let id = loop {
        let kind = JobKind::Recover { endpoint: endpoint.clone(), since: at(-1000), until: at(0) };
        let id = store.create_job(acme, &NewJob { kind, due_at: at(0), created_at: at(0) }).await.unwrap();
        if is_new(Slot::of_job(&id)) {
            break id;
        }
    };
    let place = format!("!job#{ms:015}#{id}");
    let slot = shelf.as_before(["T#acme#JOB", id.as_str()], Slot::of_job(&id), &place).await;
    let seen = shelf.find(slot, &Work::Job(id.clone())).await.expect("it is found");
    assert!(seen.is_apart(), "it can be moved to its tenant's queue");
    assert!(store.claim_job(&seen, at(30_000)).await.unwrap().is_some());
    let moved = shelf.find(Slot::of_job(&id), &seen.work).await.expect("in its own slot");
    assert_eq!((moved.at, moved.is_apart(), shelf.find(slot, &seen.work).await), (at(30_000), false, None));
}

#[tokio::test]
async fn however_much_of_one_tenants_is_due_one_read_passes_over_it() {
    let shelf = Shelf::new().await;
    let slot = Slot::all().next().unwrap();
    for (name, count) in [("a", 5), ("a-b", 3), ("A", 1)] {
        for _ in 0..count {
            shelf.event_in(&tenant(name), |of| of == slot).await;
        }
    }
    let mut met = Vec::new();
    let mut page = shelf.store.due(slot, None, 1).await.unwrap();
    while let Some(entry) = page.entries.first() {
        met.push(entry.tenant.clone());
        let again = shelf.store.due(slot, Some(&entry.place_before_its_kind()), 1).await.unwrap();
        assert_eq!(&again.entries[0], entry, "a look can begin with the kind");
        page = shelf.store.due(slot, Some(&entry.place_behind_its_kind()), 1).await.unwrap();
    }
    assert_eq!(met, ["A", "a", "a-b"].map(tenant));
}
