//! What is due: finding work through the index, and claiming it.
//!
//! Events, deliveries and jobs are in the index while there is something to do about them, at the instant it is to be done. A claim
//! moves that instant to the claim's end, on condition that the entry is where it was seen: the place is the version. So two
//! dispatchers cannot claim one entry, what a crashed one had claimed comes due again by itself, and whatever ends the work does so
//! on condition that the claim still stands.

mod place;

use jiff::{SignedDuration, Timestamp};
use tidemark_domain::{EndpointId, JobId};

use crate::edit::Edit;
use crate::error::Error;
use crate::event::EventKey;
use crate::id::DeliveryId;
use crate::item::{Item, Stored, s};
use crate::key::{self, EVENT_LEAD, INDEX_PK, INDEX_SK, JOB_LEAD, Key, LATER_LEAD, PK, SK};
use crate::read::{IndexStretch, Order};
use crate::{Store, Tenant};

pub(crate) use self::place::Place;

/// How many slots work is spread over, each swept by one dispatcher. All processes must agree on it.
pub const SLOTS: u8 = 8;

/// One of the [`SLOTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS).map(Self)
    }

    /// From 0 to [`SLOTS`], exclusive.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The slot of an endpoint's deliveries.
    pub fn of_endpoint(endpoint: &EndpointId) -> Self {
        Self::of(endpoint.as_str())
    }

    /// The slot of an event: all of one alert, or about one endpoint, are in the same.
    pub fn of_event(event: &EventKey) -> Self {
        match event {
            EventKey::Alert { alert, .. } => Self::of(alert.as_str()),
            EventKey::Endpoint { endpoint, .. } => Self::of(endpoint.as_str()),
        }
    }

    pub fn of_job(job: &JobId) -> Self {
        Self::of(job.as_str())
    }

    fn of(text: &str) -> Self {
        let slot = crc32fast::hash(text.as_bytes()) % u32::from(SLOTS);
        Self(u8::try_from(slot).expect("a remainder is smaller than its divisor"))
    }
}

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// An event to be fanned out.
    Event(EventKey),
    /// An event that is held by a stream, by its ARN; its time is the one since when.
    Held {
        event: EventKey,
        stream: String,
    },
    Job(JobId),
    /// A delivery to be attempted.
    Delivery(DeliveryId),
}

/// One entry of the index, as it was seen. It may be gone by now: the claim tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub tenant: Tenant,
    pub work: Work,
    /// When it is to be done, or when another's claim on it ends.
    pub at: Timestamp,
    pub(crate) claim: Claim,
}

/// A place in a slot's order. Of what is due: events, then jobs, each by time; then deliveries, by endpoint and time. Of what waits:
/// deliveries by time; then held events, by stream and time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DuePlace(String);

/// Entries of a slot.
#[derive(Debug, Clone)]
pub struct DuePage {
    pub entries: Vec<Due>,
    /// Where to go on; `None`: there is no more.
    pub next: Option<DuePlace>,
}

/// An item in the index, at the place where it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) key: Key,
    pub(crate) place: String,
}

/// A piece of work with the claim under which it was read.
#[derive(Debug, Clone)]
pub struct Claimed<T> {
    pub tenant: Tenant,
    pub value: T,
    pub(crate) claim: Claim,
}

impl Due {
    pub fn place(&self) -> DuePlace {
        DuePlace(self.claim.place.clone())
    }

    /// Behind everything of the same kind, for the same endpoint, or held by the same stream.
    pub fn place_behind_its_kind(&self) -> DuePlace {
        // `~` sorts behind every digit.
        DuePlace(format!("{}#~", lead(&self.claim.place)))
    }

    /// It is a delivery that has waited apart from its endpoint's others.
    pub fn is_apart(&self) -> bool {
        lead(&self.claim.place) == LATER_LEAD
    }

    /// An entry of the index. One whose key means nothing to this binary is none: a newer one may know it.
    fn of(entry: &Item) -> Result<Option<Self>, Error> {
        let stored = Stored(entry);
        let key = Key { pk: stored.text(PK)?, sk: stored.text(SK)? };
        let place = stored.text(INDEX_SK)?;
        let known = || {
            let tenant = Tenant::of_stored(&key.pk)?;
            let (lead, at, _) = key::parse_due_place(&place)?;
            let work = match (lead, Work::of_key(&key)?) {
                (EVENT_LEAD, work @ Work::Event(_)) | (JOB_LEAD, work @ Work::Job(_)) => work,
                (LATER_LEAD, work @ Work::Delivery(_)) => work,
                (endpoint, Work::Delivery(id)) if endpoint == id.endpoint.as_str() => Work::Delivery(id),
                (stream, Work::Event(event)) if !stream.starts_with('!') => Work::Held { event, stream: stream.to_owned() },
                _ => return None,
            };
            Some((tenant, work, at))
        };
        let Some((tenant, work, at)) = known() else {
            tracing::warn!(%key, place, "an entry of the index that is no work this binary knows");
            return Ok(None);
        };
        Ok(Some(Self { tenant, work, at, claim: Claim { key, place } }))
    }
}

/// What a place begins with.
fn lead(place: &str) -> &str {
    key::parse_due_place(place).map_or(place, |(lead, ..)| lead)
}

impl Work {
    /// What an item is, by its key.
    fn of_key(key: &Key) -> Option<Self> {
        let event = || key::parse_event(key).map(Self::Event);
        let delivery = || key::parse_delivery(key).map(Self::Delivery);
        event().or_else(delivery).or_else(|| JobId::new(&key.sk).ok().map(Self::Job))
    }
}

impl Claim {
    /// Where the item is due at another time. It is never the same place: a claim that changes nothing would be no claim.
    fn moved(&self, to: Timestamp) -> Result<Place, Error> {
        let corrupt = || Error::Corrupt { key: self.key.to_string(), problem: "it is no work".to_owned() };
        let work = Work::of_key(&self.key).ok_or_else(corrupt)?;
        let place = Place::of_work(&work, to);
        let is_here = place.order() == self.place;
        Ok(if is_here { Place::of_work(&work, to + SignedDuration::from_millis(1)) } else { place })
    }

    /// An update of the item, on condition that the claim stands.
    pub(crate) fn edit(&self) -> Edit {
        Edit::of(&self.key).only_if(INDEX_SK, s(&self.place))
    }

    /// The same, after which there is nothing left to do.
    pub(crate) fn end(&self) -> Edit {
        self.edit().remove(INDEX_PK).remove(INDEX_SK)
    }

    /// The same, after which there is something to do at another time.
    pub(crate) fn put_off(&self, to: Timestamp) -> Result<Edit, Error> {
        Ok(self.moved(to)?.set_by(self.edit()))
    }

    /// The claim on an item that was just read; `None`: there is nothing to do about it.
    pub(crate) fn of_item(stored: &Stored<'_>) -> Result<Option<Self>, Error> {
        let Some(place) = stored.optional_text(INDEX_SK)? else { return Ok(None) };
        Ok(Some(Self { key: Key { pk: stored.text(PK)?, sk: stored.text(SK)? }, place }))
    }

    pub(crate) fn until(&self) -> Option<Timestamp> {
        key::parse_due_place(&self.place).map(|(_, at, _)| at)
    }
}

impl<T> Claimed<T> {
    /// When others may have it.
    pub fn until(&self) -> Timestamp {
        self.claim.until().unwrap_or(Timestamp::MIN)
    }
}

impl Store {
    /// Entries of a slot in their order, behind a place. The index lags a little: an entry may be new, moved or gone.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn due(&self, slot: Slot, after: Option<&DuePlace>, limit: usize) -> Result<DuePage, Error> {
        self.entries(&key::due(slot), after, limit).await
    }

    /// The same of what waits: deliveries that are to be made much later, and held events.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn waiting(&self, slot: Slot, after: Option<&DuePlace>, limit: usize) -> Result<DuePage, Error> {
        self.entries(&key::waiting(slot), after, limit).await
    }

    async fn entries(&self, pk: &str, after: Option<&DuePlace>, limit: usize) -> Result<DuePage, Error> {
        let above = after.map(|place| place.0.as_str());
        let found = self.index_stretch(IndexStretch { pk, above, after: None, order: Order::Rising, limit }).await?;
        let last = found.items.last().filter(|_| found.more);
        let next = last.map(|entry| Stored(entry).text(INDEX_SK).map(DuePlace)).transpose()?;
        let entries = found.items.iter().filter_map(|entry| Due::of(entry).transpose()).collect::<Result<_, _>>()?;
        Ok(DuePage { entries, next })
    }

    /// Keeps claimed work from others until another instant: to go on with it, or to come back to it then. False: the claim is
    /// lost, and so is the work.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn put_off<T>(&self, claimed: &mut Claimed<T>, until: Timestamp) -> Result<bool, Error> {
        let edit = claimed.claim.put_off(until)?;
        self.take_claim(claimed, edit).await
    }

    /// Has a delivery that has waited apart take its turn among its endpoint's others. False: it is not where it was seen.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn queue_up(&self, due: &Due) -> Result<bool, Error> {
        match self.edit(due.claim.put_off(due.at)?).await {
            Ok(_) => Ok(true),
            Err(Error::ConditionFailed) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes an edit that moves a claim, and notes where it is then. False: the claim is lost.
    pub(crate) async fn take_claim<T>(&self, claimed: &mut Claimed<T>, edit: Edit) -> Result<bool, Error> {
        let item = match self.edit(edit).await {
            Ok(item) => item,
            Err(Error::ConditionFailed) => return Ok(false),
            Err(error) => return Err(error),
        };
        claimed.claim.place = Stored(&item).text(INDEX_SK)?;
        Ok(true)
    }

    /// Claims an entry and reads its item; `None`: it is not where it was seen, so it is another's, or done.
    pub(crate) async fn claim<T>(
        &self,
        due: &Due,
        until: Timestamp,
        read: impl FnOnce(&Stored<'_>) -> Result<T, Error>,
    ) -> Result<Option<Claimed<T>>, Error> {
        let item = match self.edit(due.claim.put_off(until)?).await {
            Ok(item) => item,
            Err(Error::ConditionFailed) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stored = Stored(&item);
        let claim = Claim { key: due.claim.key.clone(), place: stored.text(INDEX_SK)? };
        Ok(Some(Claimed { tenant: due.tenant.clone(), value: read(&stored)?, claim }))
    }
}
