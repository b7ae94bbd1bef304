//! Endpoints: so many for each tenant; what people set and what the dispatcher notes do not disturb each other.

use std::collections::BTreeSet;

use tidemark_store::{
    ENDPOINTS_MAX, Endpoint, EndpointEffect, EndpointError, EndpointState, EventKey, Finish, Next, PreviousSecret, Slot, Work,
};

use super::{Shelf, at, endpoint, tenant};

#[tokio::test]
async fn a_tenant_has_so_many_endpoints_and_no_more() {
    let shelf = Shelf::new().await;
    let mut all = Vec::new();
    for _ in 0..ENDPOINTS_MAX {
        all.push(shelf.endpoint().await);
    }
    assert!(matches!(shelf.store.create_endpoint(&shelf.tenant, &endpoint()).await, Err(EndpointError::Quota)));
    shelf.store.create_endpoint(&tenant("rival"), &endpoint()).await.expect("another tenant's are its own");
    assert_eq!(shelf.store.endpoints(&shelf.tenant).await.unwrap().len(), ENDPOINTS_MAX);
    shelf.store.delete_endpoint(&shelf.tenant, &all[0]).await.unwrap();
    assert!(matches!(shelf.store.delete_endpoint(&shelf.tenant, &all[0]).await, Err(EndpointError::ConditionFailed)));
    shelf.store.create_endpoint(&shelf.tenant, &endpoint()).await.expect("one place is free, and only one");
    assert!(matches!(shelf.store.create_endpoint(&shelf.tenant, &endpoint()).await, Err(EndpointError::Quota)));
}

/// Fires an alert, sends its event to an endpoint, and ends the attempt with this effect.
async fn attempted(shelf: &Shelf, item: &str, endpoint: &Endpoint, effect: EndpointEffect) {
    let alert = shelf.fired(item).await;
    let key = EventKey::Alert { alert: alert.id, sequence: 1 };
    let due = shelf.due(Slot::of_event(&key), None).await.into_iter().find(|due| due.work == Work::Event(key.clone()));
    let event = shelf.store.claim_event(&due.unwrap(), at(1)).await.unwrap().unwrap();
    assert!(
        shelf
            .store
            .fan_out(&shelf.tenant, &event.value, std::slice::from_ref(&endpoint.id), &BTreeSet::new(), at(1))
            .await
            .unwrap()
    );
    let due = shelf.due(Slot::of_endpoint(&endpoint.id), None).await;
    let due = due.into_iter().find(|due| matches!(&due.work, Work::Delivery(id) if id.endpoint == endpoint.id));
    let delivery = shelf.store.claim_delivery(&due.unwrap(), at(2)).await.unwrap().unwrap();
    let attempt = tidemark_store::Attempt {
        number: 1,
        at: at(2),
        trigger: tidemark_store::Trigger::Scheduled,
        outcome: "delivered".to_owned(),
        status: Some(200),
        elapsed_ms: 1,
        snippet: None,
        peer: Some("192.0.2.1".to_owned()),
    };
    assert!(shelf.store.finish_delivery(&delivery, &Finish { attempt, next: Next::Delivered, effect }).await.unwrap());
}

#[tokio::test]
async fn settings_and_health_do_not_overwrite_each_other() {
    let shelf = Shelf::new().await;
    let (store, acme) = (&shelf.store, &shelf.tenant);
    let read = shelf.endpoint().await;
    assert_eq!(store.endpoint(acme, &read.id).await.unwrap(), Some(read.clone()), "it reads back as it was written");
    let health = |text: &str| EndpointEffect { health: Some(text.to_owned()), ..EndpointEffect::default() };
    attempted(&shelf, "tea", &read, health("failing")).await;

    let to = Endpoint {
        url: "https://example.org/other".to_owned(),
        event_types: Some(vec!["inventory.alert.fired".to_owned()]),
        description: Some("the other".to_owned()),
        previous_secret: Some(PreviousSecret { secret: "older".to_owned(), until: at(86_400_000) }),
        ..read.clone()
    };
    let changed = store.update_endpoint(acme, &read, to.clone()).await.expect("a note about its health is no change");
    assert_eq!(changed, Endpoint { health: Some("failing".to_owned()), version: 2, ..to });
    assert!(matches!(store.update_endpoint(acme, &read, read.clone()).await, Err(EndpointError::ConditionFailed)));

    let disabled = EndpointEffect { disabled: Some(("failing".to_owned(), at(5))), ..health("hopeless") };
    attempted(&shelf, "mug", &changed, disabled.clone()).await;
    let off = store.endpoint(acme, &read.id).await.unwrap().unwrap();
    assert_eq!(off.state, EndpointState::Disabled { reason: "failing".to_owned(), at: at(5) });
    assert_eq!((off.version, off.health.as_deref()), (3, Some("hopeless")), "who changes it must have seen that");
    attempted(&shelf, "cup", &changed, EndpointEffect { health: Some("again".to_owned()), ..disabled }).await;
    let same = store.endpoint(acme, &read.id).await.unwrap().unwrap();
    assert_eq!((same.version, same.health.as_deref()), (3, Some("hopeless")), "it is disabled once");

    let on = Endpoint { state: EndpointState::Enabled, event_types: None, previous_secret: None, ..off.clone() };
    let on = store.update_endpoint(acme, &off, on).await.unwrap();
    assert_eq!((on.health, on.state, on.previous_secret.is_none()), (None, EndpointState::Enabled, true));
    assert!(!format!("{off:?}").contains("sealed"), "secrets are not for logs");
}
