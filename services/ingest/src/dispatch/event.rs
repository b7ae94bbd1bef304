//! One event: who gets it, and when it is old news.
//!
//! A crash anywhere in here heals by itself. Before the fan-out nothing is written but the claim, which ends. The fan-out is one
//! transaction: the deliveries, the alert's note of who was told, and that the event is done, on condition that it was not. Whoever
//! claims the event next does all of it, or finds it done.
//!
//! Events of one alert go out in order: whoever claims one settles those before it first, whoever else may have claimed them. Of two
//! that settle one event the first succeeds, and for both it is settled then.

mod plan;

use tidemark_runtime::clock;
use tidemark_store::{AlertRecord, Due, Event, EventKey, EventState, Slot, Tenant};

use self::plan::Occasion;
use super::instruments::EventFate;
use super::{Dispatch, Error};

impl Dispatch {
    /// Claims a due event and settles it: fans it out, skips it, or leaves it held.
    pub(super) async fn announce(&self, due: &Due) -> Result<(), Error> {
        let Some(event) = self.store.claim_event(due, self.claim_end()).await? else { return Ok(()) };
        if let EventState::Held(hold) = &event.value.state
            && hold.since >= self.holds.end(&hold.stream).await?
        {
            // It was due: an older binary has what is held among the others.
            self.store.hold_event(&event, hold).await?;
            return Ok(());
        }
        if let EventKey::Alert { alert, sequence } = &event.value.key {
            for earlier in self.store.unsettled_events(&event.tenant, alert, *sequence).await? {
                self.settle(&event.tenant, &earlier).await?;
            }
        }
        self.settle(&event.tenant, &event.value).await
    }

    /// Fans an event out, or skips it, unless somebody else did one or the other first.
    async fn settle(&self, tenant: &Tenant, event: &Event) -> Result<(), Error> {
        let occasion = match &event.key {
            // Read after the events before this one were settled: those who heard of them are to hear of the end, too.
            EventKey::Alert { alert, .. } => match self.store.alert(tenant, alert).await? {
                Some(AlertRecord { alert, notified }) => Occasion::Alert { alert: Box::new(alert), notified },
                None => return self.skip(tenant, event).await,
            },
            EventKey::Endpoint { endpoint, .. } => Occasion::Endpoint(endpoint.clone()),
        };
        let endpoints = self.store.endpoints(tenant).await?;
        let now = clock::now();
        let Some(recipients) = plan::recipients(event, &occasion, &endpoints, now) else {
            return self.skip(tenant, event).await;
        };
        if self.store.fan_out(tenant, event, &recipients, &occasion.heard_by(&endpoints), now).await? {
            self.instruments.event(EventFate::FannedOut);
            recipients.iter().for_each(|endpoint| self.wake.slot(Slot::of_endpoint(endpoint)));
        }
        Ok(())
    }

    async fn skip(&self, tenant: &Tenant, event: &Event) -> Result<(), Error> {
        if self.store.skip_event(tenant, event).await? {
            self.instruments.event(EventFate::Skipped);
        }
        Ok(())
    }
}
