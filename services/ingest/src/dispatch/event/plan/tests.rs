//! Who gets what.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use tidemark_domain::alert::{AlertState, Muted, Reason};
use tidemark_domain::rule::{Applied, Severity, Thresholds};
use tidemark_domain::{AlertId, Decimal, EventId, InventoryName, LevelKey, TenantId};
use tidemark_store::{EndpointState, Hold, ulid};

use super::*;

const FIRED: EventType = EventType::AlertFired;
const ESCALATED: EventType = EventType::AlertEscalated;
const REPEATED: EventType = EventType::AlertRepeated;
const RESOLVED: EventType = EventType::AlertResolved;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("an instant")
}

fn id(number: u128) -> EndpointId {
    EndpointId::from_ulid_text(&ulid(now(), number)).expect("a ULID")
}

fn alert_id() -> AlertId {
    AlertId::from_ulid_text(&ulid(now(), 0)).expect("a ULID")
}

fn endpoint(number: u128, types: Option<&[EventType]>) -> Endpoint {
    Endpoint {
        id: id(number),
        url: "https://example.com/".to_owned(),
        event_types: types.map(|types| types.iter().map(|wanted| wanted.as_str().to_owned()).collect()),
        description: None,
        headers: BTreeMap::new(),
        state: EndpointState::Enabled,
        secret: String::new(),
        previous_secret: None,
        health: None,
        created_at: now(),
        updated_at: now(),
        version: 1,
    }
}

/// Endpoints for: 0 all, 1 fired, 2 resolved, 3 escalated and resolved, 4 repeated and resolved.
fn endpoints() -> Vec<Endpoint> {
    let types: [Option<&[EventType]>; 5] =
        [None, Some(&[FIRED]), Some(&[RESOLVED]), Some(&[ESCALATED, RESOLVED]), Some(&[REPEATED, RESOLVED])];
    types.into_iter().zip(0..).map(|(types, number)| endpoint(number, types)).collect()
}

fn alert(sequence: u32, is_firing: bool) -> Alert {
    let zero = || Decimal::zero();
    Alert {
        id: alert_id(),
        key: LevelKey {
            tenant: TenantId::new("acme").expect("an id"),
            inventory: InventoryName::new("stock").expect("a name"),
            item: "tea".to_owned(),
            location: "main".to_owned(),
        },
        rule: Applied { rule: None, thresholds: Thresholds::warning_at(zero()), repeat_every: None },
        severity: Severity::Warning,
        state: if is_firing { AlertState::Firing } else { AlertState::Resolved { at: now(), reason: Reason::Recovered } },
        available: zero(),
        fired_at: now(),
        sequence,
        event_at: now(),
        acknowledged: None,
        muted: None,
        actions: Vec::new(),
        updated_at: now(),
    }
}

fn event(event_type: EventType, sequence: u32) -> Event {
    Event {
        key: EventKey::Alert { alert: alert_id(), sequence },
        id: EventId::from_ulid_text(&ulid(now(), 1)).expect("a ULID"),
        event_type: event_type.as_str().to_owned(),
        body: Vec::new(),
        at: now(),
        state: EventState::Pending,
        traceparent: None,
    }
}

fn held(event: Event) -> Event {
    Event { state: EventState::Held(Hold { stream: "arn".to_owned(), since: now() }), ..event }
}

/// The numbers of those that get an event of an alert that these were told of.
fn told(event: &Event, alert: Alert, notified: &[u128]) -> Option<Vec<u128>> {
    let occasion = Occasion::Alert { alert: Box::new(alert), notified: notified.iter().map(|number| id(*number)).collect() };
    let told = recipients(event, &occasion, &endpoints(), now())?;
    Some((0..5).filter(|number| told.contains(&id(*number))).collect())
}

#[test]
fn an_event_goes_to_those_who_want_it_disabled_or_not() {
    assert_eq!(told(&event(FIRED, 1), alert(1, true), &[]), Some(vec![0, 1]));
    assert_eq!(told(&event(ESCALATED, 2), alert(2, true), &[]), Some(vec![0, 3]));
    assert_eq!(told(&event(REPEATED, 2), alert(2, true), &[]), Some(vec![0, 4]));
    let disabled = EndpointState::Disabled { reason: "gone".to_owned(), at: now() };
    let disabled = [Endpoint { state: disabled, ..endpoint(0, None) }];
    let occasion = Occasion::Alert { alert: Box::new(alert(1, true)), notified: BTreeSet::new() };
    assert_eq!(recipients(&event(FIRED, 1), &occasion, &disabled, now()), Some(vec![id(0)]), "its delivery is held");
}

#[test]
fn the_end_goes_to_those_who_heard_and_to_those_who_want_ends_alone() {
    assert_eq!(told(&event(RESOLVED, 2), alert(2, false), &[0, 1]), Some(vec![0, 1, 2, 4]));
    assert_eq!(told(&event(RESOLVED, 2), alert(2, false), &[]), Some(vec![2, 4]), "others missed the beginning");
    assert_eq!(told(&event(RESOLVED, 2), alert(2, false), &[9]), Some(vec![2, 4]), "one that is deleted gets nothing");
}

#[test]
fn a_muted_alert_is_told_to_nobody_but_its_end_to_those_who_heard() {
    let muted = |alert: Alert, seconds| {
        let until = now() + SignedDuration::from_secs(seconds);
        Alert { muted: Some(Muted { until, by: "key_1".to_owned(), note: None }), ..alert }
    };
    assert_eq!(told(&event(FIRED, 1), muted(alert(1, true), 1), &[]), Some(vec![]));
    assert_eq!(told(&event(FIRED, 1), muted(alert(1, true), 0), &[]), Some(vec![0, 1]), "the mute is over");
    assert_eq!(told(&event(RESOLVED, 2), muted(alert(2, false), 1), &[1]), Some(vec![1]));
}

#[test]
fn old_news_is_told_if_it_still_holds_and_is_the_last_there_is() {
    assert_eq!(told(&held(event(FIRED, 1)), alert(1, true), &[]), Some(vec![0, 1]));
    assert_eq!(told(&held(event(FIRED, 1)), alert(2, true), &[]), None, "a later event tells all");
    assert_eq!(told(&held(event(FIRED, 1)), alert(2, false), &[]), None, "the episode is over");
    assert_eq!(told(&held(event(RESOLVED, 2)), alert(2, false), &[]), None);
    assert_eq!(told(&held(event(RESOLVED, 2)), alert(2, false), &[1]), Some(vec![1]), "but who heard of it hears the end");
}

#[test]
fn the_others_are_told_of_an_endpoint_that_was_disabled() {
    let about =
        Event { key: EventKey::Endpoint { endpoint: id(0), id: event(FIRED, 1).id }, ..event(EventType::EndpointDisabled, 1) };
    let all = [endpoint(0, None), endpoint(1, None), endpoint(2, Some(&[FIRED]))];
    assert_eq!(recipients(&about, &Occasion::Endpoint(id(0)), &all, now()), Some(vec![id(1)]));
}

#[test]
fn a_type_that_this_binary_does_not_know_goes_to_those_who_want_it() {
    let unknown = Event { event_type: "inventory.alert.snoozed".to_owned(), ..event(FIRED, 1) };
    let mut wants = endpoint(1, Some(&[FIRED]));
    wants.event_types = Some(vec![unknown.event_type.clone()]);
    let occasion = Occasion::Alert { alert: Box::new(alert(1, true)), notified: BTreeSet::new() };
    assert_eq!(recipients(&unknown, &occasion, &[wants, endpoint(2, Some(&[FIRED]))], now()), Some(vec![id(1)]));
}
