//! What is due: finding work through the index, and claiming it.
//!
//! Events, deliveries and jobs are in the index while there is something to do about them, at the instant it is to be done. A claim
//! moves that instant to the claim's end, on condition that the entry is where it was seen: the place is the version. So two
//! dispatchers cannot claim one entry, what a crashed one had claimed comes due again by itself, and whatever ends the work does so
//! on condition that the claim still stands.

mod place;

use jiff::{SignedDuration, Timestamp};
use tidemark_domain::{EndpointId, JobId, TenantId};

use crate::edit::Edit;
use crate::error::Error;
use crate::event::EventKey;
use crate::id::DeliveryId;
use crate::item::{Item, Stored, s};
use crate::key::{self, INDEX_PK, INDEX_SK, Key, LATER_LEAD, PK, SK};
use crate::read::{IndexStretch, Order};
use crate::{Store, Tenant};

pub(crate) use self::place::Place;

/// How many slots work is spread over, each swept by one dispatcher. All processes must agree on it.
///
/// A slot is a partition of the index, and takes 1,000 write units a second (AWS: DynamoDB partitions). DynamoDB throttles a write to the
/// table that the index cannot keep up with, so it delays the commits that announce something, and with them every tenant of a shard.
///
/// Binaries before this one had eight. What they put into a slot of theirs, by the hash's remainder by eight, is found there: numbers
/// below eight are slots still. Its first claim moves it to its own slot. Lowering the number would leave entries that no dispatcher
/// looks at.
pub const SLOTS: u8 = 32;

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

/// A place in a slot's order. Of what is due: events, then jobs, each by tenant and time; then deliveries, by endpoint and time. Of what
/// waits: deliveries and jobs by time; then held events, by stream and time.
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

    /// Behind everything of the same kind: of the same tenant, for the same endpoint, or held by the same stream.
    pub fn place_behind_its_kind(&self) -> DuePlace {
        DuePlace(key::place_behind(lead(&self.claim.place)))
    }

    /// Before everything of the same kind, and behind every kind that comes before.
    pub fn place_before_its_kind(&self) -> DuePlace {
        DuePlace(key::place_before(lead(&self.claim.place)))
    }

    /// It is not in its queue: it waits for its time or its stream, or a binary before this one put it into a queue of all tenants.
    pub fn is_apart(&self) -> bool {
        Place::of_work(self.tenant.id(), &self.work, self.at).order() != self.claim.place
    }

    /// An entry of the index. One whose key means nothing to this binary is none: a newer one may know it.
    fn of(entry: &Item) -> Result<Option<Self>, Error> {
        let stored = Stored(entry);
        let key = Key { pk: stored.text(PK)?, sk: stored.text(SK)? };
        let place = stored.text(INDEX_SK)?;
        let known = || {
            let tenant = Tenant::of_stored(&key.pk)?;
            let (lead, at, _) = key::parse_due_place(&place)?;
            let work = Work::of_key(&key)?.at_lead(lead, tenant.id())?;
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

    /// What it is where it lies; `None`: there is no such work at such a place.
    fn at_lead(self, lead: &str, tenant: &TenantId) -> Option<Self> {
        match self {
            Self::Event(event) if key::is_event_lead(lead, tenant) => Some(Self::Event(event)),
            Self::Event(event) if !lead.starts_with('!') => Some(Self::Held { event, stream: lead.to_owned() }),
            Self::Job(id) if key::is_job_lead(lead, tenant) || lead == LATER_LEAD => Some(Self::Job(id)),
            Self::Delivery(id) if lead == id.endpoint.as_str() || lead == LATER_LEAD => Some(Self::Delivery(id)),
            _ => None,
        }
    }
}

impl Claim {
    /// Where the item is due at another time. It is never the same place: a claim that changes nothing would be no claim.
    pub(crate) fn moved(&self, to: Timestamp) -> Result<Place, Error> {
        let corrupt = || Error::Corrupt { key: self.key.to_string(), problem: "it is no work".to_owned() };
        let work = Work::of_key(&self.key).ok_or_else(corrupt)?;
        let tenant = key::tenant_of(&self.key.pk).ok_or_else(corrupt)?;
        let place = Place::of_work(&tenant, &work, to);
        let is_here = place.order() == self.place;
        Ok(if is_here { Place::of_work(&tenant, &work, to + SignedDuration::from_millis(1)) } else { place })
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

    /// The same of what waits: deliveries and jobs that are due much later, and held events.
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

    /// Has something that [waited apart](Due::is_apart) take its turn in its queue, as if it had come due at this instant. False: it is
    /// not where it was seen.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn queue_up(&self, due: &Due, at: Timestamp) -> Result<bool, Error> {
        match self.edit(due.claim.put_off(at)?).await {
            Ok(_) => Ok(true),
            Err(Error::ConditionFailed) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes an edit that moves a claim, and notes where it is then. False: the claim is lost.
    pub(crate) async fn take_claim<T>(&self, claimed: &mut Claimed<T>, edit: Edit) -> Result<bool, Error> {
        let item = match self.edit_among_others(edit).await {
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
