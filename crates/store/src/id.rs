//! Making ids: the text of a ULID, and the ids that are made of others.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tidemark_domain::id::ULID_LENGTH;
use tidemark_domain::rule::Scope;
use tidemark_domain::{AlertId, EndpointId, EventId, JobId, TenantId};
use ulid::Ulid;

/// The text is no delivery id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a delivery id: `dlv_` and two ULIDs in upper case are needed")]
pub struct InvalidId(());

/// A ULID's text: `at` to the millisecond (1970 at the earliest), then 80 of the random bits. Texts are in the order of time.
pub fn ulid(at: Timestamp, random: u128) -> String {
    Ulid::from_parts(u64::try_from(at.as_millisecond()).unwrap_or_default(), random).to_string()
}

/// A new job's id, not to be foretold.
pub(crate) fn new_job(at: Timestamp) -> JobId {
    JobId::from_ulid_text(&ulid(at, rand::random())).expect("a ULID's text")
}

/// The one job that repeats an alert.
pub(crate) fn job_repeating(alert: &AlertId) -> JobId {
    JobId::from_ulid_text(alert.ulid_text()).expect("an alert's id has a ULID")
}

/// The one job that judges the levels of a tenant's scope: half of a SHA-256 of both, as a ULID. Its time means nothing.
pub(crate) fn job_judging(tenant: &TenantId, scope: &Scope) -> JobId {
    let Scope { inventory, item, location } = scope;
    let mut hash = Sha256::new();
    hash.update(b"tidemark job rules");
    // Each part says how long it is, so no two scopes are the same bytes. One that is left out differs from an empty one.
    for part in [Some(tenant.as_str()), Some(inventory.as_str()), item.as_deref(), location.as_deref()] {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(part.unwrap_or_default().as_bytes());
    }
    let (half, _) = hash.finalize().split_first_chunk().map(|(half, rest)| (*half, rest.len())).expect("it has 32 bytes");
    JobId::from_ulid_text(&Ulid::from(u128::from_be_bytes(half)).to_string()).expect("a ULID's text")
}

/// A delivery: one event to one endpoint. `dlv_` and both their ULIDs, so that it is found without a look-up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    pub event: EventId,
    pub endpoint: EndpointId,
}

impl DeliveryId {
    const PREFIX: &'static str = "dlv_";
}

impl std::str::FromStr for DeliveryId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let (event, endpoint) = text.strip_prefix(Self::PREFIX)?.split_at_checked(ULID_LENGTH)?;
            Some(Self { event: EventId::from_ulid_text(event).ok()?, endpoint: EndpointId::from_ulid_text(endpoint).ok()? })
        };
        parse().ok_or(InvalidId(()))
    }
}

impl std::fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}{}", Self::PREFIX, self.event.ulid_text(), self.endpoint.ulid_text())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tidemark_domain::InventoryName;

    use super::*;

    #[test]
    fn ulids_are_in_the_order_of_time() {
        let at = |ms| Timestamp::from_millisecond(ms).expect("an instant");
        assert!(ulid(at(1_800_000_000_000), u128::MAX) < ulid(at(1_800_000_000_001), 0));
        assert!(ulid(at(-1), u128::MAX) < ulid(at(1), 0), "before 1970 is 1970");
    }

    #[test]
    fn a_delivery_id_names_its_event_and_endpoint() {
        let text = |random| ulid(Timestamp::UNIX_EPOCH, u128::MAX - random);
        let id = DeliveryId {
            event: EventId::from_ulid_text(&text(1)).expect("a ULID"),
            endpoint: EndpointId::from_ulid_text(&text(2)).expect("a ULID"),
        };
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        for bad in [&id.to_string()[..55], &format!("{id}A"), &id.to_string().to_lowercase(), "dlv_"] {
            assert!(bad.parse::<DeliveryId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn each_tenant_and_scope_has_one_job_of_its_own() {
        let id = |tenant: &str, (inventory, item, location): (&str, Option<&str>, Option<&str>)| {
            let inventory = InventoryName::new(inventory).expect("a name");
            let scope = Scope { inventory, item: item.map(str::to_owned), location: location.map(str::to_owned) };
            job_judging(&TenantId::new(tenant).expect("an id"), &scope)
        };
        // Stored data: an id that changed would be a second job for a scope.
        assert_eq!(id("acme", ("stock", Some("tea"), None)).as_str(), "job_178Y80A0G1MGR8GH59QTZ61N8B");
        let scopes = [
            ("stock", None, None),
            ("stock", Some(""), None),
            ("stock", None, Some("")),
            ("stock", Some("tea"), None),
            ("stock", None, Some("tea")),
            ("stock", Some("te"), Some("a")),
            ("stock", Some("t"), Some("ea")),
            ("stocks", Some("tea"), None),
        ];
        let ids: BTreeSet<JobId> = scopes.iter().flat_map(|scope| [id("acme", *scope), id("acm", *scope)]).collect();
        assert_eq!(ids.len(), 2 * scopes.len());
    }
}
