//! Which endpoints an event goes to. ALERTS §3, "Pairing". Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tidemark_domain::{Alert, EndpointId};
use tidemark_store::{Endpoint, Event, EventKey, EventState};
use tidemark_webhooks::event::EventType;

/// What an event is about, as it stands now.
#[derive(Debug, Clone)]
pub(super) enum Occasion {
    Alert {
        alert: Box<Alert>,
        /// The endpoints that an earlier event of it was fanned out to.
        notified: BTreeSet<EndpointId>,
    },
    /// To be told to all but this one.
    Endpoint(EndpointId),
}

impl Occasion {
    /// Those of a tenant's endpoints that an earlier event of the alert was fanned out to.
    pub(super) fn heard_by(&self, endpoints: &[Endpoint]) -> BTreeSet<EndpointId> {
        let Self::Alert { notified, .. } = self else { return BTreeSet::new() };
        endpoints.iter().map(|endpoint| &endpoint.id).filter(|id| notified.contains(id)).cloned().collect()
    }
}

/// Who gets an event, of all the tenant's endpoints; `None`: it is not to be fanned out at all.
///
/// - The end of an episode goes to all who heard of it, muted or not, whatever they subscribed to; and to those who want to hear of
///   ends alone.
/// - Anything else goes to those who want it, unless the alert is muted.
/// - Old news, which was held, is told only if it is the last there is to say of an episode that goes on. The end of an episode is
///   told to those who heard of it even then; nobody else needs to hear of an episode that is over.
///
/// Disabled endpoints are among them: their deliveries are held.
pub(super) fn recipients(event: &Event, occasion: &Occasion, endpoints: &[Endpoint], now: Timestamp) -> Option<Vec<EndpointId>> {
    let those = |wanted: &dyn Fn(&Endpoint) -> bool| -> Vec<EndpointId> {
        endpoints.iter().filter(|endpoint| wanted(endpoint)).map(|endpoint| endpoint.id.clone()).collect()
    };
    let (alert, notified) = match occasion {
        Occasion::Endpoint(about) => {
            return Some(those(&|endpoint| endpoint.id != *about && accepts(endpoint, &event.event_type)));
        }
        Occasion::Alert { alert, notified } => (alert, notified),
    };
    let (is_old, is_muted) = (matches!(event.state, EventState::Held(_)), alert.is_muted(now));
    let heard = |endpoint: &Endpoint| notified.contains(&endpoint.id);
    if event.event_type == EventType::AlertResolved.as_str() {
        let of_ends_alone = |endpoint: &Endpoint| {
            let begins = [EventType::AlertFired, EventType::AlertEscalated];
            accepts(endpoint, &event.event_type) && !begins.iter().any(|begin| accepts(endpoint, begin.as_str()))
        };
        let told = those(&|endpoint| heard(endpoint) || (!is_old && !is_muted && of_ends_alone(endpoint)));
        return if is_old && told.is_empty() { None } else { Some(told) };
    }
    let is_last = matches!(event.key, EventKey::Alert { sequence, .. } if sequence == alert.sequence) && alert.is_firing();
    if is_old && !is_last {
        return None;
    }
    Some(those(&|endpoint| !is_muted && accepts(endpoint, &event.event_type)))
}

/// Compared as text: an endpoint may want types, and an event be of one, that this binary does not know yet.
fn accepts(endpoint: &Endpoint, event_type: &str) -> bool {
    endpoint.event_types.as_ref().is_none_or(|types| types.iter().any(|wanted| wanted == event_type))
}

#[cfg(test)]
mod tests;
