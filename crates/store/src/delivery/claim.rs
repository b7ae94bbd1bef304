//! The claim of a delivery: it counts the attempt, before anything is sent.
//!
//! The claim is one conditional update. It moves the item's place in the index, adds one to the number of attempts and marks the
//! attempt as under way. It adds one to `round_began`, too, so that the attempt does not yet belong to the round of the schedule: its
//! end takes that back. An attempt that never gets an end, because its process crashed, therefore keeps its number but takes no
//! attempt from the schedule.

use jiff::Timestamp;

use super::{ATTEMPTS, Delivery, ROUND_BEGAN, UNDER_WAY, attempts_as_stored};
use crate::Store;
use crate::attempt::ATTEMPTS_MAX;
use crate::due::{Claim, Claimed, Due};
use crate::edit::Edit;
use crate::error::Error;
use crate::item::{Stored, n, s};
use crate::key::INDEX_SK;

impl Delivery {
    /// The claim was made after the last attempt that a delivery may have: there is none to make.
    pub fn is_spent(&self) -> bool {
        self.attempts > ATTEMPTS_MAX
    }
}

impl Claimed<Delivery> {
    /// The mark and the round as they are at the end of an attempt: the attempt belongs to the round.
    pub(super) fn counted(&self, edit: Edit) -> Edit {
        edit.remove(UNDER_WAY).set(ROUND_BEGAN, n(self.value.round_began.saturating_sub(1)))
    }

    /// The same without an attempt: its number is given back. No other attempt was counted since, because the claim stands.
    pub(super) fn uncounted(&self, edit: Edit) -> Edit {
        let before = self.value.attempts.saturating_sub(1).min(ATTEMPTS_MAX);
        self.counted(edit).set_or_remove(ATTEMPTS, attempts_as_stored(before))
    }
}

impl Store {
    /// Claims a delivery for an attempt, which counts from here on: [`Delivery::attempts`] is the attempt's number, from 1. Where
    /// [`Delivery::is_spent`] is true, nothing may be sent. `None`: the delivery is not where it was seen, so another dispatcher has
    /// claimed it, or it was requeued or has ended.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn claim_delivery(&self, due: &Due, until: Timestamp) -> Result<Option<Claimed<Delivery>>, Error> {
        let place = due.claim.moved(until)?;
        let mark = s(place.order());
        let edit = place.set_by(due.claim.edit()).set(UNDER_WAY, mark).add(ATTEMPTS, n(1)).add(ROUND_BEGAN, n(1));
        let item = match self.edit(edit).await {
            Ok(item) => item,
            Err(Error::ConditionFailed) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stored = Stored(&item);
        let claim = Claim { key: due.claim.key.clone(), place: stored.text(INDEX_SK)? };
        Ok(Some(Claimed { tenant: due.tenant.clone(), value: Delivery::read(&stored)?, claim }))
    }
}
