//! Events: what is announced, as the bytes that are sent, and whether it has been fanned out.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use tidemark_domain::{AlertEvent, AlertId, EndpointId, EventId, TenantId};

use crate::due::{Claimed, Due, Place};
use crate::edit::Edit;
use crate::error::Error;
use crate::id::ulid;
use crate::item::{Item, Stored, item_of, n, s};
use crate::key::{self, EXPIRES_AT, INDEX_PK, INDEX_SK, Key, PK, SK};
use crate::read::{Order, Stretch};
use crate::{Store, Tenant};

const ID: &str = "id";
const TYPE: &str = "type";
const BODY: &str = "body";
const AT: &str = "at";
pub(crate) const STATE: &str = "state";
const HELD_STREAM: &str = "held_stream";
const HELD_SINCE: &str = "held_since";
const TRACEPARENT: &str = "traceparent";

/// How long an event is kept, from its own time.
const RETENTION: SignedDuration = SignedDuration::from_hours(400 * 24);
/// Events of one alert that are looked at in one go for those that were not fanned out. There is hardly ever more than one.
const UNSETTLED_MAX: usize = 50;

/// Names an event within a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKey {
    /// An alert's, by its sequence number.
    Alert { alert: AlertId, sequence: u32 },
    /// One about an endpoint, to the tenant's others.
    Endpoint { endpoint: EndpointId, id: EventId },
}

/// How far an event is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventState {
    /// To be fanned out.
    Pending,
    /// Old news, to be fanned out when the stream has caught up.
    Held(Hold),
    /// Fanned out.
    Done,
    /// Will not be: a later event of its episode tells all.
    Skipped,
}

/// Until when an event is held: until the watermark of `stream` has passed `since`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The stream's ARN.
    pub stream: String,
    /// When it was written, by the wall clock.
    pub since: Timestamp,
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub key: EventKey,
    pub id: EventId,
    /// As it is in the body: `inventory.alert.fired`.
    pub event_type: String,
    /// Sent as it is, byte for byte.
    pub body: Vec<u8>,
    /// When it happened.
    pub at: Timestamp,
    pub state: EventState,
    /// The trace in which it was written (W3C Trace Context), if one was recorded: for our own traces, never to be sent to anyone.
    pub traceparent: Option<String>,
}

/// An event to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventWrite {
    pub tenant: TenantId,
    pub key: EventKey,
    pub id: EventId,
    pub event_type: String,
    pub body: Vec<u8>,
    pub at: Timestamp,
    /// When it is to be fanned out, if it is not held.
    pub due_at: Timestamp,
    pub hold: Option<Hold>,
    /// See [`Event::traceparent`].
    pub traceparent: Option<String>,
}

/// One page of an alert's events.
#[derive(Debug, Clone)]
pub struct EventPage {
    pub events: Vec<Event>,
    /// There are earlier ones.
    pub more: bool,
}

impl EventKey {
    /// The key as an attribute of a delivery.
    pub(crate) fn encoded(&self) -> String {
        match self {
            Self::Alert { alert, sequence } => format!("{alert}#{sequence}"),
            Self::Endpoint { endpoint, id } => format!("{endpoint}#{id}"),
        }
    }

    pub(crate) fn decoded(text: &str) -> Option<Self> {
        let (of, which) = text.split_once('#')?;
        if let Ok(alert) = AlertId::new(of) {
            return Some(Self::Alert { alert, sequence: which.parse().ok()? });
        }
        Some(Self::Endpoint { endpoint: EndpointId::new(of).ok()?, id: EventId::new(which).ok()? })
    }
}

impl EventState {
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }

    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Held(_) => "held",
            Self::Done => "done",
            Self::Skipped => "skipped",
        }
    }

    fn read(stored: &Stored<'_>) -> Result<Self, Error> {
        Ok(match stored.text(STATE)?.as_str() {
            "pending" => Self::Pending,
            "held" => Self::Held(Hold { stream: stored.text(HELD_STREAM)?, since: stored.moment(HELD_SINCE)? }),
            "done" => Self::Done,
            "skipped" => Self::Skipped,
            other => return Err(stored.corrupt(STATE, &format!("`{other}` is unknown"))),
        })
    }
}

impl EventWrite {
    /// An alert's event under a new id, due as it happens. How it is told is the caller's to know; the id is of the event's time
    /// and of the `random` bits.
    pub fn of_alert(event: &AlertEvent, event_type: &str, body: &[u8], random: u128) -> Self {
        Self {
            tenant: event.alert.key.tenant.clone(),
            key: EventKey::Alert { alert: event.alert.id.clone(), sequence: event.sequence },
            id: EventId::from_ulid_text(&ulid(event.at, random)).expect("a ULID's text"),
            event_type: event_type.to_owned(),
            body: body.to_vec(),
            at: event.at,
            due_at: event.at,
            hold: None,
            traceparent: None,
        }
    }

    pub(crate) fn item(&self) -> Item {
        let state = self.hold.clone().map_or(EventState::Pending, EventState::Held);
        let key = key::event(&self.tenant, &self.key);
        let mut item = item_of(
            &key,
            [
                (ID, s(self.id.as_str())),
                (TYPE, s(&self.event_type)),
                (BODY, AttributeValue::B(Blob::new(self.body.clone()))),
                (AT, s(self.at.to_string())),
                (STATE, s(state.as_str())),
                (EXPIRES_AT, n(self.at.as_second() + RETENTION.as_secs())),
            ],
        );
        if let Some(hold) = &self.hold {
            item.insert(HELD_STREAM.to_owned(), s(&hold.stream));
            item.insert(HELD_SINCE.to_owned(), s(hold.since.to_string()));
        }
        if let Some(traceparent) = &self.traceparent {
            item.insert(TRACEPARENT.to_owned(), s(traceparent));
        }
        let due = || Place::event(&self.tenant, &self.key, self.due_at);
        let place = self.hold.as_ref().map_or_else(due, |hold| Place::held(&self.key, hold));
        place.put_into(&mut item);
        item
    }
}

impl Event {
    pub(crate) fn read(stored: &Stored<'_>) -> Result<Self, Error> {
        let key = Key { pk: stored.text(PK)?, sk: stored.text(SK)? };
        Ok(Self {
            key: key::parse_event(&key).ok_or_else(|| stored.corrupt(SK, "is no key of an event"))?,
            id: stored.parsed(ID)?,
            event_type: stored.text(TYPE)?,
            body: stored.bytes(BODY).ok_or_else(|| stored.corrupt(BODY, "is missing"))?.to_vec(),
            at: stored.moment(AT)?,
            state: EventState::read(stored)?,
            traceparent: stored.optional_text(TRACEPARENT)?,
        })
    }
}

impl Store {
    /// # Errors
    /// When it cannot be read.
    pub async fn event(&self, tenant: &Tenant, key: &EventKey) -> Result<Option<Event>, Error> {
        let item = self.get(&key::event(tenant.id(), key)).await?;
        item.map(|item| Event::read(&Stored(&item))).transpose()
    }

    /// Events of an alert, latest first: those before a sequence number, or the last ones.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn alert_events(
        &self,
        tenant: &Tenant,
        alert: &AlertId,
        before: Option<u32>,
        limit: usize,
    ) -> Result<EventPage, Error> {
        let pk = key::alert_events(tenant.id(), alert);
        let after = before.map(key::alert_event_sort_key);
        let wanted = Stretch { pk: &pk, prefix: "", after: after.as_deref(), order: Order::Falling, limit };
        let found = self.stretch(&wanted).await?;
        let events = found.items.iter().map(|item| Event::read(&Stored(item))).collect::<Result<_, _>>()?;
        Ok(EventPage { events, more: found.more })
    }

    /// Claims an event; `None`: it is another's, or done.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn claim_event(&self, due: &Due, until: Timestamp) -> Result<Option<Claimed<Event>>, Error> {
        self.claim(due, until, Event::read).await
    }

    /// Has a claimed event wait for its stream. False: the claim is lost.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn hold_event(&self, event: &Claimed<Event>, hold: &Hold) -> Result<bool, Error> {
        match self.edit(Place::held(&event.value.key, hold).set_by(event.claim.edit())).await {
            Ok(_) => Ok(true),
            Err(Error::ConditionFailed) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The events of an alert before a sequence number that are neither fanned out nor skipped, earliest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn unsettled_events(&self, tenant: &Tenant, alert: &AlertId, before: u32) -> Result<Vec<Event>, Error> {
        let pk = key::alert_events(tenant.id(), alert);
        let mut after = Some(key::alert_event_sort_key(before));
        let mut unsettled = Vec::new();
        loop {
            let wanted = Stretch { pk: &pk, prefix: "", after: after.as_deref(), order: Order::Falling, limit: UNSETTLED_MAX };
            let found = self.stretch(&wanted).await?;
            for item in &found.items {
                let event = Event::read(&Stored(item))?;
                // They are settled in order, so before one that is settled all are.
                if event.state.is_settled() {
                    unsettled.reverse();
                    return Ok(unsettled);
                }
                unsettled.push(event);
            }
            after = found.items.last().filter(|_| found.more).map(|item| Stored(item).text(SK)).transpose()?;
            if after.is_none() {
                unsettled.reverse();
                return Ok(unsettled);
            }
        }
    }

    /// Lets an event go without fanning it out. False: another settled it first.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn skip_event(&self, tenant: &Tenant, event: &Event) -> Result<bool, Error> {
        match self.edit(settle(tenant, event, &EventState::Skipped)).await {
            Ok(_) => Ok(true),
            Err(Error::ConditionFailed) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Ends an event's being due, on condition that nobody has. Who has claimed it does not matter: a claim saves others the work, and
/// an event that is about to be settled by two is settled by the first.
pub(crate) fn settle(tenant: &Tenant, event: &Event, state: &EventState) -> Edit {
    let edit = Edit::of(&key::event(tenant.id(), &event.key)).only_if(STATE, s(event.state.as_str()));
    edit.remove(INDEX_PK).remove(INDEX_SK).set(STATE, s(state.as_str()))
}
