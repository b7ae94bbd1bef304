//! How an attempt ends: the delivery, the attempt and what it means for the endpoint, in one transaction under the claim.

use jiff::Timestamp;

use super::{Delivery, DeliveryState, LAST_AT, LAST_ELAPSED, LAST_OUTCOME, LAST_STATUS, STATE};
use crate::Store;
use crate::attempt::Attempt;
use crate::due::{Claimed, Place};
use crate::edit::Edit;
use crate::endpoint::EndpointEffect;
use crate::error::Error;
use crate::item::{n, s};
use crate::transact::NotMade;

/// How a delivery goes on after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Delivered,
    /// Another attempt then: soon, for until then each look at its endpoint's slot meets the endpoint.
    Again {
        at: Timestamp,
    },
    /// Another attempt then; it waits apart from its endpoint's others.
    Later {
        at: Timestamp,
    },
    Exhausted,
    /// The endpoint is disabled.
    Held,
    /// The endpoint is gone.
    Cancelled,
}

/// The end of an attempt.
#[derive(Debug, Clone)]
pub struct Finish {
    pub attempt: Attempt,
    pub next: Next,
    /// Left out if the endpoint is gone, or was disabled already.
    pub effect: EndpointEffect,
}

impl Next {
    /// The claim's end: a state that nothing is due in, or another instant.
    fn edit(self, delivery: &Claimed<Delivery>) -> Result<Edit, Error> {
        let state = match self {
            Self::Again { at } => return delivery.claim.put_off(at),
            Self::Later { at } => return Ok(Place::later(&delivery.value.id, at).set_by(delivery.claim.edit())),
            Self::Delivered => DeliveryState::Delivered,
            Self::Exhausted => DeliveryState::Exhausted,
            Self::Held => DeliveryState::Held,
            Self::Cancelled => DeliveryState::Cancelled,
        };
        Ok(delivery.claim.end().set(STATE, s(state.as_str())))
    }
}

impl Store {
    /// Records the attempt of a claimed delivery. False: the claim is lost, and nothing is recorded; the attempt stays counted, and its
    /// number has no entry in the list.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn finish_delivery(&self, delivery: &Claimed<Delivery>, finish: &Finish) -> Result<bool, Error> {
        let table = &self.tables.data;
        let Finish { attempt, next, effect } = finish;
        let edit = delivery.counted(next.edit(delivery)?).set(LAST_AT, s(attempt.at.to_string()));
        let edit = edit.set(LAST_OUTCOME, s(&attempt.outcome)).set_or_remove(LAST_STATUS, attempt.status.map(n));
        let edit = edit.set(LAST_ELAPSED, n(attempt.elapsed_ms));
        let attempted = self.put(attempt.item(&delivery.tenant, &delivery.value.id));
        let bare = vec![edit.within(table), attempted];
        let mut whole = bare.clone();
        if !effect.is_empty() {
            whole.push(effect.edit(&delivery.tenant, &delivery.value.id.endpoint).within(table));
            whole.extend(effect.events.iter().map(|event| self.put(event.item())));
        }
        let mut ended = self.transact(whole).await;
        if matches!(&ended, Err(NotMade::Refused(refused)) if !refused.contains(&0)) {
            ended = self.transact(bare).await;
        }
        match ended {
            Ok(()) => Ok(true),
            Err(NotMade::Refused(_)) => Ok(false),
            Err(NotMade::Failed(error)) => Err(error),
        }
    }

    /// Ends or puts off a claimed delivery without an attempt, and gives the attempt's number back. False: the claim is lost.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn settle_delivery(&self, delivery: &Claimed<Delivery>, next: Next) -> Result<bool, Error> {
        match self.edit(delivery.uncounted(next.edit(delivery)?)).await {
            Ok(_) => Ok(true),
            Err(Error::ConditionFailed) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
