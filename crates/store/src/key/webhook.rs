//! Keys of events, endpoints, deliveries, attempts and jobs, and of where the index has them while they are due.

use jiff::Timestamp;
use tidemark_domain::{AlertId, EndpointId, EventId, JobId, TenantId};

use super::Key;
use crate::due::Slot;
use crate::event::EventKey;
use crate::id::DeliveryId;

/// Entries of the index that are no delivery: `!` sorts before every endpoint's id.
pub(crate) const EVENT_LEAD: &str = "!event";
pub(crate) const JOB_LEAD: &str = "!job";
/// Deliveries that wait for their time, in a partition of what waits: `!` sorts before every stream's ARN.
pub(crate) const LATER_LEAD: &str = "!later";

pub(crate) fn event(tenant: &TenantId, event: &EventKey) -> Key {
    match event {
        EventKey::Alert { alert, sequence } => Key::new(alert_events(tenant, alert), alert_event_sort_key(*sequence)),
        EventKey::Endpoint { endpoint, id } => Key::new(format!("T#{tenant}#WE#{endpoint}"), id.as_str()),
    }
}

pub(crate) fn alert_events(tenant: &TenantId, alert: &AlertId) -> String {
    format!("T#{tenant}#AE#{alert}")
}

/// Six digits: at a repeat each quarter of an hour they last 28 years.
pub(crate) fn alert_event_sort_key(sequence: u32) -> String {
    format!("{sequence:06}")
}

pub(crate) fn endpoints(tenant: &TenantId) -> String {
    format!("T#{tenant}#WH")
}

/// Whose endpoints a partition holds; `None` for any other partition.
pub(crate) fn tenant_of_endpoints(pk: &str) -> Option<&str> {
    pk.strip_prefix("T#")?.strip_suffix("#WH")
}

pub(crate) fn endpoint(tenant: &TenantId, id: &EndpointId) -> Key {
    Key::new(endpoints(tenant), id.as_str())
}

/// How many endpoints a tenant has.
pub(crate) fn endpoint_count(tenant: &TenantId) -> Key {
    Key::new(endpoints(tenant), "COUNT")
}

pub(crate) fn deliveries(tenant: &TenantId, endpoint: &EndpointId) -> String {
    format!("T#{tenant}#WD#{endpoint}")
}

pub(crate) fn delivery(tenant: &TenantId, id: &DeliveryId) -> Key {
    Key::new(deliveries(tenant, &id.endpoint), id.event.as_str())
}

pub(crate) fn attempts(tenant: &TenantId, delivery: &DeliveryId) -> String {
    format!("T#{tenant}#WT#{}#{}", delivery.endpoint, delivery.event)
}

pub(crate) fn attempt(tenant: &TenantId, delivery: &DeliveryId, number: u32) -> Key {
    Key::new(attempts(tenant, delivery), format!("{number:03}"))
}

pub(crate) fn job(tenant: &TenantId, id: &JobId) -> Key {
    Key::new(format!("T#{tenant}#JOB"), id.as_str())
}

/// Whose item this is, by its partition key; `None`: no tenant's.
pub(crate) fn tenant_of(pk: &str) -> Option<TenantId> {
    TenantId::new(pk.strip_prefix("T#")?.split_once('#')?.0).ok()
}

/// The event at a key that [`event`] made.
pub(crate) fn parse_event(key: &Key) -> Option<EventKey> {
    let (family, of) = family(&key.pk)?;
    match family {
        "AE" => Some(EventKey::Alert { alert: AlertId::new(of).ok()?, sequence: key.sk.parse().ok()? }),
        "WE" => Some(EventKey::Endpoint { endpoint: EndpointId::new(of).ok()?, id: EventId::new(&key.sk).ok()? }),
        _ => None,
    }
}

/// The delivery at a key that [`delivery`] made.
pub(crate) fn parse_delivery(key: &Key) -> Option<DeliveryId> {
    let ("WD", endpoint) = family(&key.pk)? else { return None };
    Some(DeliveryId { event: EventId::new(&key.sk).ok()?, endpoint: EndpointId::new(endpoint).ok()? })
}

/// `T#<tenant>#<family>#<of>`.
fn family(pk: &str) -> Option<(&str, &str)> {
    pk.strip_prefix("T#")?.split_once('#')?.1.split_once('#')
}

/// Where the index has what is due in a slot.
pub(crate) fn due(slot: Slot) -> String {
    format!("DUE#{}", slot.number())
}

/// Where the index has what is not worth looking at yet. Roles that may read what is due may read `DUE#*`.
pub(crate) fn waiting(slot: Slot) -> String {
    format!("{}#waiting", due(slot))
}

/// A place among what is due: `<lead>#<milliseconds>#<rest>`. The rest makes it one item's own.
pub(crate) fn due_place(lead: &str, at: Timestamp, rest: &str) -> String {
    format!("{lead}#{:015}#{rest}", at.as_millisecond().max(0))
}

/// The parts of a [`due_place`].
pub(crate) fn parse_due_place(place: &str) -> Option<(&str, Timestamp, &str)> {
    let mut parts = place.splitn(3, '#');
    let (lead, at, rest) = (parts.next()?, parts.next()?, parts.next()?);
    Some((lead, Timestamp::from_millisecond(at.parse().ok()?).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ulid;

    #[test]
    fn keys_of_work_read_back_as_what_they_were_made_from() {
        let tenant = TenantId::new("acme").expect("an id");
        let at = Timestamp::from_millisecond(1_800_000_000_123).expect("an instant");
        let endpoint = EndpointId::from_ulid_text(&ulid(at, 1)).expect("a ULID");
        let id = EventId::from_ulid_text(&ulid(at, 2)).expect("a ULID");
        let alert = AlertId::new("alr_01J9Z3NDEKTSV4RRFFQ69G5FAV").expect("an id");
        for of in [EventKey::Alert { alert, sequence: 7 }, EventKey::Endpoint { endpoint: endpoint.clone(), id: id.clone() }] {
            let key = event(&tenant, &of);
            assert_eq!((parse_event(&key), tenant_of(&key.pk)), (Some(of), Some(tenant.clone())));
        }
        let delivered = DeliveryId { event: id, endpoint };
        assert_eq!(parse_delivery(&delivery(&tenant, &delivered)), Some(delivered));
        let place = due_place("ep_x", at, "a#b");
        assert_eq!(parse_due_place(&place), Some(("ep_x", at, "a#b")));
        assert!(due_place("ep_x", Timestamp::UNIX_EPOCH, "b") < place && place.as_str() < "ep_x#~");
    }
}
