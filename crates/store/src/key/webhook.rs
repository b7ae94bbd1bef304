//! Keys of events, endpoints, deliveries, attempts and jobs, and of where the index has them while they are due.

use jiff::Timestamp;
use tidemark_domain::{AlertId, EndpointId, EventId, JobId, TenantId};

use super::Key;
use crate::due::Slot;
use crate::event::EventKey;
use crate::id::DeliveryId;

/// What the queues of events and of jobs begin with; a tenant follows. `!` sorts before every endpoint's id.
const EVENT_LEAD: &str = "!event";
const JOB_LEAD: &str = "!job";
/// Deliveries and jobs that wait for their time, in a partition of what waits: `!` sorts before every stream's ARN.
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

/// What a tenant's events have in common, among what is due. `/` is no character of a tenant's id, and `#`, which follows, sorts before
/// all that are: so the queues of two tenants are never mixed.
pub(crate) fn event_lead(tenant: &TenantId) -> String {
    format!("{EVENT_LEAD}/{tenant}")
}

/// What a tenant's jobs have in common, among what is due.
pub(crate) fn job_lead(tenant: &TenantId) -> String {
    format!("{JOB_LEAD}/{tenant}")
}

/// Whether a lead is the queue of a tenant's events. Binaries before this one had a single queue for all tenants' events.
pub(crate) fn is_event_lead(lead: &str, tenant: &TenantId) -> bool {
    is_queue(lead, EVENT_LEAD, tenant)
}

/// Whether a lead is the queue of a tenant's jobs, or the one of all tenants' jobs that binaries before this one had.
pub(crate) fn is_job_lead(lead: &str, tenant: &TenantId) -> bool {
    is_queue(lead, JOB_LEAD, tenant)
}

fn is_queue(lead: &str, of: &str, tenant: &TenantId) -> bool {
    let rest = lead.strip_prefix(of);
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('/') == Some(tenant.as_str()))
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

/// Before all places of a lead, and behind those of every lead that sorts before it.
pub(crate) fn place_before(lead: &str) -> String {
    format!("{lead}#")
}

/// Behind all places of a lead: `~` sorts behind every digit.
pub(crate) fn place_behind(lead: &str) -> String {
    format!("{lead}#~")
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

    /// As the index sorts them: by bytes.
    #[test]
    fn each_tenants_queue_is_one_stretch_behind_the_queue_of_binaries_before_and_before_all_endpoints() {
        let tenants = ["-", "A", "_", "a", "a-", "a-b", "a0", "aA", "a_", "aa", "b"].map(|id| TenantId::new(id).expect("an id"));
        let instants = [0, 253_402_207_200_000].map(|at| Timestamp::from_millisecond(at).expect("an instant"));
        let mut leads = vec![EVENT_LEAD.to_owned()];
        leads.extend(tenants.iter().map(event_lead));
        leads.push(JOB_LEAD.to_owned());
        leads.extend(tenants.iter().map(job_lead));
        leads.push("ep_01J9Z3NDEKTSV4RRFFQ69G5FAV".to_owned());
        let mut stretches: Vec<[String; 4]> = Vec::new();
        for lead in &leads {
            let [first, last] = instants.map(|at| due_place(lead, at, "x"));
            let (start, end) = (place_before(lead), place_behind(lead));
            assert!(start < first && first < last && last < end, "{lead}");
            assert_eq!(parse_due_place(&first).map(|(lead, ..)| lead.to_owned()).as_ref(), Some(lead));
            stretches.push([start, first, last, end]);
        }
        stretches.sort();
        let ends = stretches.iter().map(|[.., end]| end).zip(stretches.iter().skip(1).map(|[start, ..]| start));
        ends.for_each(|(end, start)| assert!(end < start, "{end} and {start} overlap"));
        assert_eq!(stretches.len(), leads.len());
    }

    #[test]
    fn a_queue_is_its_own_tenants_or_that_of_binaries_before() {
        let tenant = TenantId::new("a").expect("an id");
        for (lead, is_events) in
            [("!event/a", true), ("!event", true), ("!event/a-b", false), ("!event/", false), ("!job/a", false)]
        {
            assert_eq!(is_event_lead(lead, &tenant), is_events, "{lead}");
        }
        assert!(is_job_lead("!job", &tenant) && is_job_lead(&job_lead(&tenant), &tenant) && !is_job_lead("!jobs", &tenant));
    }
}
