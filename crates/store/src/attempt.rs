//! Attempts: one HTTP exchange of a delivery each, listed for 30 days.

use jiff::{SignedDuration, Timestamp};

use crate::delivery::Trigger;
use crate::error::Error;
use crate::id::DeliveryId;
use crate::item::{Item, Stored, item_of, n, s};
use crate::key::{self, EXPIRES_AT, SK};
use crate::read::{Order, Stretch};
use crate::{Store, Tenant};

const AT: &str = "at";
const TRIGGER: &str = "trigger";
const OUTCOME: &str = "outcome";
const STATUS: &str = "status";
const ELAPSED: &str = "elapsed_ms";
const SNIPPET: &str = "snippet";
const PEER: &str = "peer";

/// How long an attempt is kept.
const RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Most attempts of a delivery: their numbers have three digits, so that they sort.
pub const ATTEMPTS_MAX: u32 = 999;

/// An attempt as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1 to [`ATTEMPTS_MAX`].
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    pub trigger: Trigger,
    /// How it ended, as a word: `delivered`, `timeout`, ….
    pub outcome: String,
    /// `None`: no answer.
    pub status: Option<u16>,
    pub elapsed_ms: u64,
    /// The beginning of the answer's body.
    pub snippet: Option<String>,
    /// The address that was connected to.
    pub peer: Option<String>,
}

impl Attempt {
    pub(crate) fn item(&self, tenant: &Tenant, delivery: &DeliveryId) -> Item {
        let mut item = item_of(
            &key::attempt(tenant.id(), delivery, self.number),
            [
                (AT, s(self.at.to_string())),
                (TRIGGER, s(self.trigger.as_str())),
                (OUTCOME, s(&self.outcome)),
                (ELAPSED, n(self.elapsed_ms)),
                (EXPIRES_AT, n((self.at + RETENTION).as_second())),
            ],
        );
        let optional = [(STATUS, self.status.map(n)), (SNIPPET, self.snippet.as_ref().map(s)), (PEER, self.peer.as_ref().map(s))];
        item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        item
    }

    fn read(item: &Item) -> Result<Self, Error> {
        let stored = Stored(item);
        let number = stored.text(SK)?.parse().map_err(|_| stored.corrupt(SK, "is no number of an attempt"))?;
        Ok(Self {
            number,
            at: stored.moment(AT)?,
            trigger: Trigger::read(&stored, TRIGGER)?,
            outcome: stored.text(OUTCOME)?,
            status: stored.number(STATUS)?,
            elapsed_ms: stored.number(ELAPSED)?.unwrap_or_default(),
            snippet: stored.optional_text(SNIPPET)?,
            peer: stored.optional_text(PEER)?,
        })
    }
}

impl Store {
    /// The attempts of a delivery, first to last; at most [`ATTEMPTS_MAX`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn attempts(&self, tenant: &Tenant, delivery: &DeliveryId) -> Result<Vec<Attempt>, Error> {
        let pk = key::attempts(tenant.id(), delivery);
        let limit = usize::try_from(ATTEMPTS_MAX).expect("it fits");
        let wanted = Stretch { pk: &pk, prefix: "", after: None, order: Order::Rising, limit };
        self.stretch(&wanted).await?.items.iter().map(Attempt::read).collect()
    }
}
