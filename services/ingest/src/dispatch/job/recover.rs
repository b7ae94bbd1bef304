//! Sending an endpoint again what it did not get of the events that were fanned out to it within a span of time.
//!
//! Deliveries are listed by their event's id, newest first. An event is made before it is fanned out, so those made after the span
//! are passed at once; how long before, is bounded by what a stream remembers and by how long events are held.

use jiff::{SignedDuration, Timestamp};
use tidemark_domain::{EndpointId, EventId};
use tidemark_runtime::clock;
use tidemark_store::{Claimed, Delivery, DeliveryQuery, DeliveryState, Job, RequeueError, Slot, Tenant, Trigger, ulid};

use super::{Dispatch, Error, Page, count};

/// Deliveries looked at between two writings of the job's place.
const PAGE: usize = 100;
/// An event is fanned out this long after it happened at most. A stream remembers a day: an event is as old when it is found, and held
/// for another while the stream is caught up with; the third is for a watermark that stands still.
const FANNED_OUT_WITHIN: SignedDuration = SignedDuration::from_hours(72);

/// One recovery.
pub(super) struct Recovery<'a> {
    dispatch: &'a Dispatch,
    endpoint: EndpointId,
    since: Timestamp,
    until: Timestamp,
}

impl Dispatch {
    pub(super) fn recovery(&self, endpoint: EndpointId, since: Timestamp, until: Timestamp) -> Recovery<'_> {
        Recovery { dispatch: self, endpoint, since, until }
    }
}

impl Recovery<'_> {
    pub(super) async fn page(&self, job: &mut Claimed<Job>) -> Result<Page, Error> {
        let store = &self.dispatch.store;
        let endpoint = store.endpoint(&job.tenant, &self.endpoint).await?;
        // What is sent to a disabled endpoint would only be held again.
        if !endpoint.is_some_and(|endpoint| endpoint.is_enabled()) {
            return Ok(Page::Done);
        }
        let cursor = job.value.progress.cursor.as_deref().and_then(|text| EventId::new(text).ok());
        let query = DeliveryQuery { after: Some(cursor.unwrap_or_else(|| first_after(self.until))), limit: PAGE };
        let page = store.deliveries(&job.tenant, &self.endpoint, &query).await?;
        count(job, "seen", page.deliveries.len());
        let tenant = job.tenant.clone();
        for delivery in page.deliveries.iter().filter(|delivery| self.is_wanted(delivery)) {
            if self.requeue(&tenant, delivery).await? {
                count(job, "requeued", 1);
            }
        }
        self.dispatch.wake.slot(Slot::of_endpoint(&self.endpoint));
        let oldest = first_after(self.since.saturating_sub(FANNED_OUT_WITHIN).unwrap_or(Timestamp::MIN));
        Ok(match page.next {
            Some(next) if next > oldest => Page::More(next.as_str().to_owned()),
            _ => Page::Done,
        })
    }

    /// Given up, but not for good: what is pending will be sent anyway, and what was cancelled has nothing to send.
    fn is_wanted(&self, delivery: &Delivery) -> bool {
        let is_given_up = matches!(delivery.state, DeliveryState::Exhausted | DeliveryState::Held);
        is_given_up && (self.since..self.until).contains(&delivery.created_at)
    }

    async fn requeue(&self, tenant: &Tenant, delivery: &Delivery) -> Result<bool, Error> {
        match self.dispatch.store.requeue(tenant, delivery, Trigger::Recover, clock::now()).await {
            Ok(_) => Ok(true),
            // It was requeued by hand since it was read, or has no attempt left.
            Err(RequeueError::ConditionFailed | RequeueError::UnderWay { .. } | RequeueError::TooManyAttempts) => Ok(false),
            Err(RequeueError::Store(error)) => Err(error.into()),
        }
    }
}

/// What sorts behind the id of everything that happened before an instant.
fn first_after(instant: Timestamp) -> EventId {
    EventId::from_ulid_text(&ulid(instant, 0)).expect("a ULID's text")
}
