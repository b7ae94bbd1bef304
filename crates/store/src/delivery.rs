//! Deliveries: one event on its way to one endpoint.
//!
//! An attempt is counted when it is claimed, in the claim's own write, before anything is sent. So no request is ever sent that the
//! delivery's number does not include, whatever happens to the process afterwards.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use tidemark_domain::{EndpointId, EventId};

use crate::attempt::ATTEMPTS_MAX;
use crate::due::{Claim, Place};
use crate::edit::Edit;
use crate::error::Error;
use crate::event::{Event, EventKey};
use crate::id::DeliveryId;
use crate::item::{Item, Stored, item_of, n, s};
use crate::key::{self, EXPIRES_AT, INDEX_SK, Key, PK, SK};
use crate::read::{Order, Stretch};
use crate::{Store, Tenant};

mod claim;
mod finish;

pub use finish::{Finish, Next};

const EVENT: &str = "event";
const EVENT_TYPE: &str = "event_type";
const STATE: &str = "state";
const ATTEMPTS: &str = "attempts";
const ROUND_BEGAN: &str = "round_began";
/// The place in the index of the claim under which an attempt is under way. It counts only while the item is at that place: a binary
/// that does not know this attribute moves the item and leaves it behind.
const UNDER_WAY: &str = "under_way";
const TRIGGER: &str = "trigger";
const CREATED_AT: &str = "created_at";
const LAST_AT: &str = "last_at";
const LAST_OUTCOME: &str = "last_outcome";
const LAST_STATUS: &str = "last_status";
const LAST_ELAPSED: &str = "last_elapsed_ms";

/// How long a delivery is kept, from its making or its last requeuing: held ones for 30 days, and what is left of a round.
const RETENTION: SignedDuration = SignedDuration::from_hours(32 * 24);

/// A delivery as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub event: EventKey,
    pub event_type: String,
    pub state: DeliveryState,
    /// Attempts so far, from 0 to [`ATTEMPTS_MAX`]. An attempt counts from its claim on: one that is under way is included, and so is
    /// one whose process ended before its result was recorded.
    pub attempts: u32,
    /// How many of them do not belong to the present round of the schedule: those before the last requeuing, and those without a
    /// result.
    pub round_began: u32,
    /// A dispatcher had claimed it when it was read, and had not ended the claim. See [`Self::under_way_until`].
    pub is_claimed: bool,
    /// What the next attempt, or the last one, is made for.
    pub trigger: Trigger,
    pub created_at: Timestamp,
    /// The last attempt.
    pub last: Option<LastAttempt>,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// To be attempted at this instant, or under way until then.
    Pending {
        due_at: Timestamp,
    },
    Delivered,
    /// All attempts of its round failed.
    Exhausted,
    /// The endpoint is disabled.
    Held,
    /// The endpoint is gone.
    Cancelled,
}

/// What an attempt is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    Scheduled,
    Manual,
    Recover,
}

/// How the last attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAttempt {
    pub at: Timestamp,
    pub outcome: String,
    pub status: Option<u16>,
    pub elapsed_ms: u64,
}

/// Which of an endpoint's deliveries to list, those of the newest events first.
#[derive(Debug, Clone)]
pub struct DeliveryQuery {
    /// Only those of events older than this one.
    pub after: Option<EventId>,
    pub limit: usize,
}

/// One page of deliveries.
#[derive(Debug, Clone)]
pub struct DeliveryPage {
    pub deliveries: Vec<Delivery>,
    /// `None`: there is no more.
    pub next: Option<EventId>,
}

/// Why a delivery was not requeued.
#[derive(Debug, thiserror::Error)]
pub enum RequeueError {
    #[error("a delivery is attempted at most {ATTEMPTS_MAX} times")]
    TooManyAttempts,
    /// An attempt is under way, until this instant at most.
    #[error("an attempt of the delivery is under way until {until} at most")]
    UnderWay { until: Timestamp },
    /// It was attempted or requeued since it was read.
    #[error("the delivery was changed meanwhile")]
    ConditionFailed,
    #[error(transparent)]
    Store(#[from] Error),
}

impl DeliveryState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
            Self::Held => "held",
            Self::Cancelled => "cancelled",
        }
    }

    fn read(stored: &Stored<'_>) -> Result<Self, Error> {
        Ok(match stored.text(STATE)?.as_str() {
            "pending" => {
                let claim = Claim::of_item(stored)?.and_then(|claim| claim.until());
                Self::Pending { due_at: claim.ok_or_else(|| stored.corrupt(INDEX_SK, "is no place of work"))? }
            }
            "delivered" => Self::Delivered,
            "exhausted" => Self::Exhausted,
            "held" => Self::Held,
            "cancelled" => Self::Cancelled,
            other => return Err(stored.corrupt(STATE, &format!("`{other}` is unknown"))),
        })
    }
}

impl Trigger {
    const ALL: [Self; 3] = [Self::Scheduled, Self::Manual, Self::Recover];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Manual => "manual",
            Self::Recover => "recover",
        }
    }

    pub(crate) fn read(stored: &Stored<'_>, name: &str) -> Result<Self, Error> {
        let text = stored.text(name)?;
        let found = Self::ALL.into_iter().find(|trigger| trigger.as_str() == text);
        found.ok_or_else(|| stored.corrupt(name, &format!("`{text}` is unknown")))
    }
}

impl Delivery {
    /// A new delivery's item, due at once.
    pub(crate) fn item(tenant: &Tenant, event: &Event, endpoint: &EndpointId, now: Timestamp) -> Item {
        let id = DeliveryId { event: event.id.clone(), endpoint: endpoint.clone() };
        let mut item = item_of(
            &key::delivery(tenant.id(), &id),
            [
                (EVENT, s(event.key.encoded())),
                (EVENT_TYPE, s(&event.event_type)),
                (STATE, s("pending")),
                (TRIGGER, s(Trigger::Scheduled.as_str())),
                (CREATED_AT, s(now.to_string())),
                (EXPIRES_AT, n((now + RETENTION).as_second())),
            ],
        );
        Place::delivery(&id, now).put_into(&mut item);
        item
    }

    /// The end of the claim under which an attempt is under way at `now`; `None`: no attempt is under way. The claim of a dispatcher
    /// that crashed counts until its end, because nothing shows that it crashed.
    pub fn under_way_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.state {
            DeliveryState::Pending { due_at } if self.is_claimed && now < due_at => Some(due_at),
            _ => None,
        }
    }

    fn read(stored: &Stored<'_>) -> Result<Self, Error> {
        let key = Key { pk: stored.text(PK)?, sk: stored.text(SK)? };
        let last_at = stored.optional_moment(LAST_AT)?;
        let last = last_at.map(|at| {
            Ok::<_, Error>(LastAttempt {
                at,
                outcome: stored.text(LAST_OUTCOME)?,
                status: stored.number(LAST_STATUS)?,
                elapsed_ms: stored.number(LAST_ELAPSED)?.unwrap_or_default(),
            })
        });
        Ok(Self {
            id: key::parse_delivery(&key).ok_or_else(|| stored.corrupt(SK, "is no key of a delivery"))?,
            event: EventKey::decoded(&stored.text(EVENT)?).ok_or_else(|| stored.corrupt(EVENT, "names no event"))?,
            event_type: stored.text(EVENT_TYPE)?,
            state: DeliveryState::read(stored)?,
            attempts: stored.number(ATTEMPTS)?.unwrap_or_default(),
            round_began: stored.number(ROUND_BEGAN)?.unwrap_or_default(),
            is_claimed: is_claimed(stored)?,
            trigger: Trigger::read(stored, TRIGGER)?,
            created_at: stored.moment(CREATED_AT)?,
            last: last.transpose()?,
        })
    }
}

impl Store {
    /// # Errors
    /// When it cannot be read.
    pub async fn delivery(&self, tenant: &Tenant, id: &DeliveryId) -> Result<Option<Delivery>, Error> {
        let item = self.get(&key::delivery(tenant.id(), id)).await?;
        item.map(|item| Delivery::read(&Stored(&item))).transpose()
    }

    /// One page of an endpoint's deliveries. It is empty only if there is no more.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn deliveries(&self, tenant: &Tenant, endpoint: &EndpointId, query: &DeliveryQuery) -> Result<DeliveryPage, Error> {
        let pk = key::deliveries(tenant.id(), endpoint);
        let after = query.after.as_ref().map(EventId::as_str);
        let found = self.stretch(&Stretch { pk: &pk, prefix: "", after, order: Order::Falling, limit: query.limit }).await?;
        let deliveries = found.items.iter().map(|item| Delivery::read(&Stored(item))).collect::<Result<Vec<_>, _>>()?;
        let next = deliveries.last().filter(|_| found.more).map(|delivery| delivery.id.event.clone());
        Ok(DeliveryPage { deliveries, next })
    }

    /// Makes a delivery due at `now`, whatever its state, and starts a new round of the schedule, if the delivery is still as it was
    /// read. One that is under way is refused: a second request would be sent before the first has a result. A claim between the
    /// reading and this write changes the place in the index and the number of attempts, so the condition refuses it, too.
    ///
    /// # Errors
    /// See [`RequeueError`].
    pub async fn requeue(
        &self,
        tenant: &Tenant,
        read: &Delivery,
        trigger: Trigger,
        now: Timestamp,
    ) -> Result<Delivery, RequeueError> {
        if read.attempts >= ATTEMPTS_MAX {
            return Err(RequeueError::TooManyAttempts);
        }
        if let Some(until) = read.under_way_until(now) {
            return Err(RequeueError::UnderWay { until });
        }
        let edit = Edit::of(&key::delivery(tenant.id(), &read.id)).only_if(STATE, s(read.state.as_str()));
        let edit = edit.only_if_still(ATTEMPTS, attempts_as_stored(read.attempts));
        let edit = match read.state {
            // It makes no difference in which of its two places it waits for that.
            DeliveryState::Pending { due_at } => {
                let places = [Place::delivery(&read.id, due_at), Place::later(&read.id, due_at)];
                edit.only_if_either(INDEX_SK, places.map(|place| s(place.order())))
            }
            _ => edit,
        };
        let edit = Place::delivery(&read.id, now).set_by(edit).remove(UNDER_WAY);
        let edit = edit.set(STATE, s("pending")).set(TRIGGER, s(trigger.as_str())).set(ROUND_BEGAN, n(read.attempts));
        match self.edit(edit.set(EXPIRES_AT, n((now + RETENTION).as_second()))).await {
            Ok(item) => Ok(Delivery::read(&Stored(&item))?),
            Err(Error::ConditionFailed) => Err(RequeueError::ConditionFailed),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the claim that the item stands under is a dispatcher's, for an attempt.
fn is_claimed(stored: &Stored<'_>) -> Result<bool, Error> {
    let marked = stored.optional_text(UNDER_WAY)?;
    Ok(marked.is_some() && marked == stored.optional_text(INDEX_SK)?)
}

/// The attribute for a number of attempts. There is none before the first.
fn attempts_as_stored(attempts: u32) -> Option<AttributeValue> {
    (attempts > 0).then(|| n(attempts))
}
