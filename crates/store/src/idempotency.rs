//! What was asked for with an `Idempotency-Key`: a claim while it is being done, then its answer, for 24 hours.
//!
//! A claim is made before the effect, and the answer is put into it *in the transaction of the effect itself*, on condition that the
//! claim is still the one that was made. So:
//!
//! 1. There is no moment between effect and record: either both are there, or neither is, wherever a process dies.
//! 2. A claim whose holder died stands for [`LEASE`], then the next request of the same meaning takes it over, with a mark of its own.
//! 3. A holder that was slow rather than dead finds another mark, or none, in the claim: its transaction fails, and with it its effect.
//!    Clocks that differ may have a claim taken over early; they can make nothing happen twice.
//! 4. A holder that does not know how its transaction ended gives its claim back: that fails exactly if the answer is in it.
//!
//! The rejected alternative, an id derived from the key and the effect made once more, would make again what somebody has deleted
//! between the crash and the second request.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};

use crate::edit::Edit;
use crate::error::Error;
use crate::item::{Stored, item_of, n, s};
use crate::key::{self, EXPIRES_AT, Key, PK};
use crate::{Store, Tenant};

const STATE: &str = "state";
const UNDER_WAY: &str = "under_way";
const DONE: &str = "done";
const OWNER: &str = "owner";
const MEANING: &str = "meaning";
const ANSWER: &str = "answer";
const LEASE_UNTIL: &str = "lease_until_ms";

/// How long an answer is kept, from the first request on.
pub const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// How long a claim keeps others out: longer than any request may take, so that only a dead one's is taken over.
pub const LEASE: SignedDuration = SignedDuration::from_secs(15);
/// How often a claim is tried that vanishes between being met and being read.
const ATTEMPTS_MAX: usize = 3;

/// What is to be done once.
#[derive(Debug, Clone, Copy)]
pub struct Once<'a> {
    /// `None`: an operator's doing.
    pub tenant: Option<&'a Tenant>,
    /// A digest of the client's key.
    pub key: &'a str,
    /// A digest of what it is asked to mean: route and body.
    pub meaning: &'a str,
}

/// The right to do it, until it is taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    key: Key,
    owner: String,
}

/// How claiming ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claiming {
    Claimed(Claim),
    /// It was done, with this answer.
    Done(String),
    /// Somebody is at it.
    UnderWay,
    /// The key stands for something else.
    Mismatch,
}

/// How giving a claim back ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// Nothing was done, and nothing will be: the claim's transaction can no longer succeed.
    Free,
    /// It was done after all, with this answer.
    Done(String),
    /// Somebody else has the claim.
    TakenOver,
}

/// An answer to be kept with its effect: one more part of the effect's transaction.
#[derive(Debug, Clone)]
pub struct Settled {
    claim: Claim,
    answer: String,
}

impl Claim {
    /// The claim with its answer, for the transaction of the effect.
    pub fn settled(&self, answer: String) -> Settled {
        Settled { claim: self.clone(), answer }
    }
}

impl Settled {
    pub(crate) fn within(&self, table: &str) -> TransactWriteItem {
        let Claim { key, owner } = &self.claim;
        let edit = Edit::of(key).set(STATE, s(DONE)).set(ANSWER, s(&self.answer));
        edit.only_if(OWNER, s(owner)).only_if(STATE, s(UNDER_WAY)).within(table)
    }
}

impl Store {
    /// Claims the right to do something once.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn claim_once(&self, once: Once<'_>, now: Timestamp) -> Result<Claiming, Error> {
        let key = key::once(once.tenant.map(Tenant::id), once.key);
        for _ in 0..ATTEMPTS_MAX {
            let claim = Claim { key: key.clone(), owner: format!("{:032x}", rand::random::<u128>()) };
            match self.put_claim(&claim, once.meaning, now).await {
                Ok(()) => return Ok(Claiming::Claimed(claim)),
                Err(Error::ConditionFailed) => {}
                Err(error) => return Err(error),
            }
            let Some(item) = self.get(&key).await? else { continue };
            let stored = Stored(&item);
            // Our own write, whose answer was lost and which the SDK then made again.
            if stored.text(OWNER)? == claim.owner {
                return Ok(Claiming::Claimed(claim));
            }
            return Ok(match stored.optional_text(ANSWER)? {
                _ if stored.text(MEANING)? != once.meaning => Claiming::Mismatch,
                Some(answer) => Claiming::Done(answer),
                None => Claiming::UnderWay,
            });
        }
        Ok(Claiming::UnderWay)
    }

    /// Gives a claim back whose effect did not come about, or of which that is not known.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked; then the claim ends with its lease.
    pub async fn release(&self, claim: &Claim) -> Result<Released, Error> {
        let delete = self.client.delete_item().table_name(&self.tables.data).set_key(Some(crate::item::key_item(&claim.key)));
        let delete = delete.condition_expression("#owner = :owner AND #state = :under_way");
        let delete = delete.expression_attribute_names("#owner", OWNER).expression_attribute_names("#state", STATE);
        let delete = delete.expression_attribute_values(":owner", s(&claim.owner));
        let sent = delete.expression_attribute_values(":under_way", s(UNDER_WAY)).send().await;
        match sent.map_err(|error| Error::from_sdk(&self.tables.data, error)) {
            Ok(_) => return Ok(Released::Free),
            Err(Error::ConditionFailed) => {}
            Err(error) => return Err(error),
        }
        // The SDK may have deleted it with an attempt whose answer was lost.
        let Some(item) = self.get(&claim.key).await? else { return Ok(Released::Free) };
        let stored = Stored(&item);
        let answer = stored.optional_text(ANSWER)?.filter(|_| stored.text(OWNER).is_ok_and(|owner| owner == claim.owner));
        Ok(answer.map_or(Released::TakenOver, Released::Done))
    }

    async fn put_claim(&self, claim: &Claim, meaning: &str, now: Timestamp) -> Result<(), Error> {
        let item = item_of(
            &claim.key,
            [
                (STATE, s(UNDER_WAY)),
                (OWNER, s(&claim.owner)),
                (MEANING, s(meaning)),
                (LEASE_UNTIL, n((now + LEASE).as_millisecond())),
                (EXPIRES_AT, n((now + KEPT).as_second())),
            ],
        );
        // What has expired may still be there: DynamoDB takes days to delete it.
        let condition = "attribute_not_exists(#pk) OR #expires_at <= :now_s \
                         OR (#state = :under_way AND #lease_until <= :now_ms AND #meaning = :meaning)";
        let put = self.client.put_item().table_name(&self.tables.data).set_item(Some(item)).condition_expression(condition);
        let names =
            [("#pk", PK), ("#expires_at", EXPIRES_AT), ("#state", STATE), ("#lease_until", LEASE_UNTIL), ("#meaning", MEANING)];
        let put = names.into_iter().fold(put, |put, (placeholder, name)| put.expression_attribute_names(placeholder, name));
        let values: [(&str, AttributeValue); 4] = [
            (":now_s", n(now.as_second())),
            (":now_ms", n(now.as_millisecond())),
            (":under_way", s(UNDER_WAY)),
            (":meaning", s(meaning)),
        ];
        let put = values.into_iter().fold(put, |put, (placeholder, value)| put.expression_attribute_values(placeholder, value));
        put.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
        Ok(())
    }
}
