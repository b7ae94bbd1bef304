//! One event: who gets it, and when it is old news.
//!
//! A crash anywhere in here heals by itself. Before the fan-out nothing is written but the claim, which ends. The fan-out is one
//! transaction: the deliveries, the alert's note of who was told, and that the event is done, on condition that the claim stands.
//! Whoever claims the event next does all of it, or finds it done.
//!
//! Events of one alert go out in order: whoever claims one settles those before it first, whoever else may have claimed them. Each
//! is settled on condition that it is as it was read, so two that do so never both succeed.

mod plan;

use std::time::Duration;

use tidemark_runtime::clock;
use tidemark_store::{AlertRecord, Claimed, Due, Event, EventKey, EventState, Hold, Slot};
use tidemark_streams::StreamArn;

use self::plan::Occasion;
use super::instruments::EventFate;
use super::{Dispatch, Error};

/// When an event is claimed again whose predecessors somebody else was about to settle.
const OVERTAKEN: Duration = Duration::from_millis(200);
/// A held event is looked at again after this share of the time it was held, so that a long catch-up costs few looks…
const HOLD_SHARE: u32 = 4;
/// …and within these bounds.
const HOLD_LOOK_MIN: Duration = Duration::from_secs(1);
const HOLD_LOOK_MAX: Duration = Duration::from_secs(30);

impl Dispatch {
    /// Claims a due event and settles it: fans it out, skips it, or leaves it held.
    pub(super) async fn announce(&self, due: &Due) -> Result<(), Error> {
        let Some(mut event) = self.store.claim_event(due, self.claim_end()).await? else { return Ok(()) };
        if let EventState::Held(hold) = &event.value.state
            && !self.is_released(hold).await?
        {
            self.instruments.event(EventFate::Held);
            let held_for = clock::now().duration_since(hold.since).unsigned_abs();
            let look = (held_for / HOLD_SHARE).clamp(HOLD_LOOK_MIN, HOLD_LOOK_MAX);
            self.store.put_off(&mut event, clock::now() + self.pace.scaled(look)).await?;
            return Ok(());
        }
        if let EventKey::Alert { alert, sequence } = event.value.key.clone() {
            for earlier in self.store.unsettled_events(&event.tenant, &alert, sequence).await? {
                if !self.settle(&earlier).await? {
                    self.store.put_off(&mut event, clock::now() + OVERTAKEN).await?;
                    return Ok(());
                }
            }
        }
        self.settle(&event).await?;
        Ok(())
    }

    /// Fans an event out, or skips it. False: somebody else did one or the other first, or is about to.
    async fn settle(&self, event: &Claimed<Event>) -> Result<bool, Error> {
        let occasion = match &event.value.key {
            // Read after the events before this one were settled: those who heard of them are to hear of the end, too.
            EventKey::Alert { alert, .. } => match self.store.alert(&event.tenant, alert).await? {
                Some(AlertRecord { alert, notified }) => Occasion::Alert { alert: Box::new(alert), notified },
                None => return self.skip(event).await,
            },
            EventKey::Endpoint { endpoint, .. } => Occasion::Endpoint(endpoint.clone()),
        };
        let endpoints = self.store.endpoints(&event.tenant).await?;
        let now = clock::now();
        let Some(recipients) = plan::recipients(&event.value, &occasion, &endpoints, now) else {
            return self.skip(event).await;
        };
        if !self.store.fan_out(event, &recipients, now).await? {
            return Ok(false);
        }
        self.instruments.event(EventFate::FannedOut);
        recipients.iter().for_each(|endpoint| self.wake.slot(Slot::of_endpoint(endpoint)));
        Ok(true)
    }

    async fn skip(&self, event: &Claimed<Event>) -> Result<bool, Error> {
        let is_skipped = self.store.skip_event(event).await?;
        if is_skipped {
            self.instruments.event(EventFate::Skipped);
        }
        Ok(is_skipped)
    }

    /// Whether everything is known that was in the stream when the event was held. A stream that does not get there within the age
    /// at which events are held does not hold them any longer.
    async fn is_released(&self, hold: &Hold) -> Result<bool, Error> {
        if clock::now().duration_since(hold.since) >= self.alert_max_age {
            return Ok(true);
        }
        // An ARN that means nothing to this binary holds nothing.
        let Ok(stream) = StreamArn::new(&hold.stream) else { return Ok(true) };
        let known = self.streams.watermark(&stream.id()).await?;
        Ok(known.and_then(|known| known.watermark).is_some_and(|watermark| watermark > hold.since))
    }
}
