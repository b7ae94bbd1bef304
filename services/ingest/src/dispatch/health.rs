//! What an attempt means for its endpoint: its health, and whether it is given up.
//!
//! Written in the transaction that ends the attempt. That an endpoint is disabled and that the others are told of it are one write.

use jiff::{SignedDuration, Timestamp};
use tidemark_domain::{EndpointId, EventId};
use tidemark_store::{Endpoint, EndpointEffect, EventKey, EventWrite, Slot, Tenant, ulid};
use tidemark_webhooks::event::EventType;
use tidemark_webhooks::health::{Condition, Consequence, Health};
use tidemark_webhooks::payload::{self, DisabledReason};
use tidemark_webhooks::send::{Attempt, Outcome};

use super::{Dispatch, Error};

/// That a healthy endpoint works is noted this often at most: noting it with every success would write each endpoint all the time.
const SUCCESS_NOTED_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// What is to be written of an endpoint, and what is to be said.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) effect: EndpointEffect,
    consequence: Option<Consequence>,
    /// It begins to fail, or works again.
    turned: Option<Outcome>,
}

impl Judged {
    /// Judges an attempt by what is known of its endpoint. Nothing follows for one that is gone or disabled.
    pub(super) fn of(tenant: &Tenant, endpoint: Option<&Endpoint>, sent: &Attempt, now: Timestamp) -> Result<Self, Error> {
        let nothing = Self { effect: EndpointEffect::default(), consequence: None, turned: None };
        let Some(endpoint) = endpoint.filter(|endpoint| endpoint.is_enabled()) else { return Ok(nothing) };
        let before = health_of(endpoint);
        if is_known(&before, sent, now) {
            return Ok(nothing);
        }
        let (health, consequence) = before.after(sent.outcome, now);
        let has_turned = (before.condition() == Condition::Healthy) != (health.condition() == Condition::Healthy);
        let mut effect = EndpointEffect { health: Some(text(&health)), ..EndpointEffect::default() };
        if let Some(reason) = consequence.and_then(reason_of) {
            effect.disabled = Some((reason.as_str().to_owned(), now));
            effect.events = vec![disabled_event(tenant, &endpoint.id, reason, now)?];
        }
        Ok(Self { effect, consequence, turned: has_turned.then_some(sent.outcome) })
    }
}

fn reason_of(consequence: Consequence) -> Option<DisabledReason> {
    match consequence {
        Consequence::DisableGone => Some(DisabledReason::Gone),
        Consequence::DisableFailing => Some(DisabledReason::Failing),
        Consequence::Warn { .. } => None,
    }
}

/// A success that says nothing new.
fn is_known(health: &Health, sent: &Attempt, now: Timestamp) -> bool {
    let noted = health.last_success_at.is_some_and(|at| now.duration_since(at) < SUCCESS_NOTED_AFTER);
    sent.outcome == Outcome::Delivered && health.condition() == Condition::Healthy && noted
}

/// Notes that cannot be read are begun anew: they are the dispatcher's own.
fn health_of(endpoint: &Endpoint) -> Health {
    let read = endpoint.health.as_deref().and_then(|text| serde_json::from_str(text).ok());
    read.unwrap_or_default()
}

fn text(health: &Health) -> String {
    serde_json::to_string(health).expect("numbers and instants")
}

fn disabled_event(tenant: &Tenant, endpoint: &EndpointId, reason: DisabledReason, now: Timestamp) -> Result<EventWrite, Error> {
    let id = EventId::from_ulid_text(&ulid(now, fastrand::u128(..))).expect("a ULID's text");
    Ok(EventWrite {
        tenant: tenant.id().clone(),
        key: EventKey::Endpoint { endpoint: endpoint.clone(), id: id.clone() },
        id,
        event_type: EventType::EndpointDisabled.as_str().to_owned(),
        body: payload::endpoint_disabled(endpoint, reason, now)?.to_vec(),
        at: now,
        due_at: now,
        hold: None,
        // The attempt that was one too many is of no trace any more: its exchange is over.
        traceparent: None,
    })
}

impl Dispatch {
    /// Says what was written: one line when an endpoint begins to fail, works again, is warned of or disabled.
    pub(super) fn tell(&self, tenant: &Tenant, endpoint: &EndpointId, judged: Judged) {
        let tenant = tenant.id();
        match judged.turned {
            Some(Outcome::Delivered) => tracing::info!(%tenant, %endpoint, "a webhook endpoint works again"),
            Some(outcome) => tracing::warn!(%tenant, %endpoint, %outcome, "a webhook endpoint begins to fail"),
            None => {}
        }
        if let Some(Consequence::Warn { percent, disabled_at }) = judged.consequence {
            self.instruments.warned(percent);
            tracing::warn!(%tenant, %endpoint, percent, %disabled_at, "a webhook endpoint fails and will be disabled");
        }
        if let Some(reason) = judged.consequence.and_then(reason_of) {
            self.instruments.disabled(reason.as_str());
            tracing::warn!(%tenant, %endpoint, reason = reason.as_str(), "a webhook endpoint is disabled; its deliveries are held");
        }
        judged.effect.events.iter().for_each(|event| self.wake.slot(Slot::of_event(&event.key)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use tidemark_domain::TenantId;
    use tidemark_store::EndpointState;

    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
    }

    fn tenant() -> Tenant {
        Tenant::named_by_operator(TenantId::new("acme").expect("an id"))
    }

    fn endpoint() -> Endpoint {
        Endpoint {
            id: EndpointId::from_ulid_text(&ulid(at(0), 1)).expect("a ULID"),
            url: "https://example.com/".to_owned(),
            event_types: None,
            description: None,
            headers: BTreeMap::new(),
            state: EndpointState::Enabled,
            secret: String::new(),
            previous_secret: None,
            health: None,
            created_at: at(0),
            updated_at: at(0),
            version: 1,
        }
    }

    fn judged(endpoint: &Endpoint, outcome: Outcome, now: Timestamp) -> Judged {
        let (elapsed, snippet) = (Duration::ZERO, String::new());
        let sent = Attempt { outcome, status: None, elapsed, snippet, peer: None, retry_after: None };
        Judged::of(&tenant(), Some(endpoint), &sent, now).expect("a short event")
    }

    /// The endpoint after attempts at these hours.
    fn after(endpoint: Endpoint, outcome: Outcome, hours: impl IntoIterator<Item = i64>) -> Endpoint {
        hours.into_iter().fold(endpoint, |endpoint, hour| {
            let health = judged(&endpoint, outcome, at(hour)).effect.health.or(endpoint.health.clone());
            Endpoint { health, ..endpoint }
        })
    }

    #[test]
    fn five_days_of_failures_disable_and_tell_the_others_in_one_write() {
        let failing = after(endpoint(), Outcome::Timeout, 0..120);
        let judged = judged(&failing, Outcome::Timeout, at(120));
        assert_eq!(judged.effect.disabled, Some(("failing".to_owned(), at(120))));
        let [event] = &judged.effect.events[..] else { panic!("one event: {:?}", judged.effect) };
        assert!(matches!(&event.key, EventKey::Endpoint { endpoint, id } if *endpoint == failing.id && *id == event.id));
        assert_eq!(event.event_type, "webhook.endpoint_disabled");
    }

    #[test]
    fn a_success_of_a_healthy_endpoint_is_noted_once_a_minute() {
        let healthy = after(endpoint(), Outcome::Delivered, [1]);
        let second = |second| judged(&healthy, Outcome::Delivered, at(1) + SignedDuration::from_secs(second)).effect;
        assert_eq!(second(59), EndpointEffect::default());
        assert!(second(60).health.is_some());
        let failing = after(healthy, Outcome::Reset, [2]);
        let judged = judged(&failing, Outcome::Delivered, at(2));
        assert!(judged.effect.health.is_some() && judged.turned == Some(Outcome::Delivered), "it works again");
    }

    #[test]
    fn nothing_follows_for_an_endpoint_that_is_disabled_or_whose_notes_are_lost() {
        let state = EndpointState::Disabled { reason: "manual".to_owned(), at: at(0) };
        assert_eq!(judged(&Endpoint { state, ..endpoint() }, Outcome::Gone, at(1)).effect, EndpointEffect::default());
        let lost = Endpoint { health: Some("{".to_owned()), ..endpoint() };
        let judged = judged(&lost, Outcome::Timeout, at(1));
        assert_eq!((judged.effect.disabled, judged.turned), (None, Some(Outcome::Timeout)));
    }
}
