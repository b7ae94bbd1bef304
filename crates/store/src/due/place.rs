//! Where the index has what there is to do. A slot has two partitions:
//!
//! ```text
//! DUE#<slot>           !event/<tenant>#<at>#…   !job/<tenant>#<at>#…   <endpoint>#<at>#<event>            looked at all the time
//! DUE#<slot>#waiting   !later#<at>#<endpoint>#<event>   !later#<at>#<job>   <stream's ARN>#<since>#…      looked at now and then
//! ```
//!
//! In the first, events and jobs lie by tenant and deliveries by endpoint. So all that one tenant has too much of, or one dead endpoint
//! gets, is passed over at once. That costs a read for each tenant and endpoint that has any, so what is to wait for long is not among
//! them. In the second, deliveries and jobs lie by time alone: however many of them wait, one read finds what has come due. Held events
//! lie by stream and by when they were written: one read, and the stream's watermark, tell of all of them whether they may go. A claim
//! takes each of them into the first partition.
//!
//! Binaries before this one had all in the first partition, events and jobs in one queue for all tenants (`!event`, `!job`), and a
//! quarter of the slots. What they wrote is found where they put it, done at its time, and moved to its place by its first claim.

use jiff::Timestamp;
use tidemark_domain::{JobId, TenantId};

use super::{Slot, Work};
use crate::edit::Edit;
use crate::event::{EventKey, Hold};
use crate::id::DeliveryId;
use crate::item::{Item, s};
use crate::key::{self, INDEX_PK, INDEX_SK, LATER_LEAD};

/// A partition of the index, and a place in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    partition: String,
    order: String,
}

impl Place {
    /// An event that is to be fanned out.
    pub(crate) fn event(tenant: &TenantId, key: &EventKey, at: Timestamp) -> Self {
        Self { partition: key::due(Slot::of_event(key)), order: key::due_place(&key::event_lead(tenant), at, &key.encoded()) }
    }

    /// An event that waits for its stream.
    pub(crate) fn held(key: &EventKey, hold: &Hold) -> Self {
        // An ARN has no `#` (AWS: Amazon Resource Names), and begins with a letter.
        let order = key::due_place(&hold.stream, hold.since, &key.encoded());
        Self { partition: key::waiting(Slot::of_event(key)), order }
    }

    /// A job in its tenant's queue.
    pub(crate) fn job(tenant: &TenantId, id: &JobId, at: Timestamp) -> Self {
        Self { partition: key::due(Slot::of_job(id)), order: key::due_place(&key::job_lead(tenant), at, id.as_str()) }
    }

    /// A job that waits for its time.
    pub(crate) fn job_later(id: &JobId, at: Timestamp) -> Self {
        Self { partition: key::waiting(Slot::of_job(id)), order: key::due_place(LATER_LEAD, at, id.as_str()) }
    }

    /// A delivery in its endpoint's queue.
    pub(crate) fn delivery(id: &DeliveryId, at: Timestamp) -> Self {
        let order = key::due_place(id.endpoint.as_str(), at, id.event.as_str());
        Self { partition: key::due(Slot::of_endpoint(&id.endpoint)), order }
    }

    /// A delivery that waits for its time.
    pub(crate) fn later(id: &DeliveryId, at: Timestamp) -> Self {
        let order = key::due_place(LATER_LEAD, at, &format!("{}#{}", id.endpoint, id.event));
        Self { partition: key::waiting(Slot::of_endpoint(&id.endpoint)), order }
    }

    /// Among what is looked at all the time, in its queue.
    pub(super) fn of_work(tenant: &TenantId, work: &Work, at: Timestamp) -> Self {
        match work {
            Work::Event(event) | Work::Held { event, .. } => Self::event(tenant, event, at),
            Work::Job(job) => Self::job(tenant, job, at),
            Work::Delivery(delivery) => Self::delivery(delivery, at),
        }
    }

    pub(crate) fn order(&self) -> &str {
        &self.order
    }

    /// Has a new item in the index.
    pub(crate) fn put_into(self, item: &mut Item) {
        item.insert(INDEX_PK.to_owned(), s(self.partition));
        item.insert(INDEX_SK.to_owned(), s(self.order));
    }

    /// An edit that also moves the item here.
    pub(crate) fn set_by(self, edit: Edit) -> Edit {
        edit.set(INDEX_PK, s(self.partition)).set(INDEX_SK, s(self.order))
    }

    /// An edit that also puts the item here, unless it is in the index already: then it stays where it is, and so does a claim on it.
    pub(crate) fn set_if_absent_by(self, edit: Edit) -> Edit {
        edit.set_if_absent(INDEX_PK, s(self.partition)).set_if_absent(INDEX_SK, s(self.order))
    }
}
