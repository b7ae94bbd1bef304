//! One transaction of our own items, and which of its conditions failed.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};
use tokio::time::Instant;

use crate::Store;
use crate::error::Error;

/// The code of a cancellation whose condition failed (AWS: TransactWriteItems).
pub(crate) const CONDITION_FAILED: &str = "ConditionalCheckFailed";
/// Codes of cancellations that say nothing against the same request made again.
pub(crate) const TRANSIENT: [&str; 4] = ["None", CONFLICT, "ThrottlingError", "ProvisionedThroughputExceeded"];
/// The code of an item that is in another transaction at this moment.
pub(crate) const CONFLICT: &str = "TransactionConflict";

/// How often a transaction is sent that is throttled.
const THROTTLED_MAX: u32 = 8;
/// Ceiling of the full jitter before the second attempt; it doubles with each: five seconds in all at most.
const THROTTLED_PAUSE: Duration = Duration::from_millis(40);
/// How long a transaction is sent again that only meets others: the 10 s of a request of the API, less what else it has to do. A rule's
/// write meets all commits of its tenant. Where each of the eight lanes is taken for 30 % of the time, one attempt in seventeen finds
/// them all free; where it is half of the time, one in 256.
const MEETING_FOR: Duration = Duration::from_secs(7);
/// Ceiling of the full jitter before the second of those attempts, as another transaction is over within some 20 ms; it grows with each, up
/// to the other, for each attempt is in the way of commits in its turn.
const MEETING_PAUSE: Duration = Duration::from_millis(25);
const MEETING_PAUSE_MAX: Duration = Duration::from_millis(150);

/// How a transaction that did not succeed ended.
#[derive(Debug)]
pub(crate) enum NotMade {
    /// These of its items, by index, found another state than they ask for. Nothing was written.
    Refused(Vec<usize>),
    Failed(Error),
}

/// Why an attempt came to nothing that may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hindrance {
    Meeting,
    Throttling,
}

impl NotMade {
    /// As an error for callers to whom it does not matter which condition it was.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Refused(_) => Error::ConditionFailed,
            Self::Failed(error) => error,
        }
    }
}

impl Hindrance {
    fn of(reasons: &[CancellationReason]) -> Self {
        let is_throttled = reasons.iter().any(|reason| ![CONFLICT, "None"].contains(&code(reason)));
        if is_throttled { Self::Throttling } else { Self::Meeting }
    }

    /// The ceiling of the pause before the next attempt, of a transaction that was sent so often and for so long; `None`: no more.
    fn pause(self, attempts: u32, tried_for: Duration) -> Option<Duration> {
        match self {
            Self::Meeting => (tried_for < MEETING_FOR).then(|| MEETING_PAUSE_MAX.min(MEETING_PAUSE.saturating_mul(attempts))),
            Self::Throttling => (attempts < THROTTLED_MAX).then(|| THROTTLED_PAUSE * 2_u32.pow(attempts - 1)),
        }
    }
}

pub(crate) fn code(reason: &CancellationReason) -> &str {
    reason.code().unwrap_or("None")
}

impl Store {
    /// Makes one transaction, again while it meets others. The SDK gives each call a token of its own, so that its own retries
    /// cannot apply it twice.
    pub(crate) async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<(), NotMade> {
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            let Err((not_made, hindrance)) = self.transact_once(items.clone()).await else { return Ok(()) };
            attempts += 1;
            let Some(ceiling) = hindrance.and_then(|hindrance| hindrance.pause(attempts, begun.elapsed())) else {
                return Err(not_made);
            };
            tokio::time::sleep(ceiling.mul_f64(fastrand::f64())).await;
        }
    }

    async fn transact_once(&self, items: Vec<TransactWriteItem>) -> Result<(), (NotMade, Option<Hindrance>)> {
        let error = match self.client.transact_write_items().set_transact_items(Some(items)).send().await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
            let error = Error::from_sdk(&self.tables.data, error);
            let hindrance = matches!(error, Error::Throttled(_)).then_some(Hindrance::Throttling);
            return Err((NotMade::Failed(error), hindrance));
        };
        let reasons = canceled.cancellation_reasons();
        let refused: Vec<usize> =
            reasons.iter().enumerate().filter(|(_, reason)| code(reason) == CONDITION_FAILED).map(|(index, _)| index).collect();
        if !refused.is_empty() {
            return Err((NotMade::Refused(refused), None));
        }
        if reasons.iter().all(|reason| TRANSIENT.contains(&code(reason))) {
            let hindrance = Hindrance::of(reasons);
            return Err((NotMade::Failed(Error::Throttled(error.into())), Some(hindrance)));
        }
        // Any other reason is about an item that DynamoDB does not take: an item too large, a type that does not fit.
        let problem = reasons.iter().filter(|reason| !TRANSIENT.contains(&code(reason))).find_map(CancellationReason::message);
        Err((NotMade::Failed(Error::Refused(problem.unwrap_or("an item is invalid").to_owned())), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_meets_others_is_tried_for_seven_seconds_and_what_is_throttled_eight_times() {
        let (soon, late) = (MEETING_FOR - Duration::from_millis(1), MEETING_FOR);
        assert_eq!([soon, late].map(|tried_for| Hindrance::Meeting.pause(300, tried_for)), [Some(MEETING_PAUSE_MAX), None]);
        let met = |attempts| Hindrance::Meeting.pause(attempts, soon);
        assert_eq!([1, 2, 6, 7].map(met), [25, 50, 150, 150].map(|ms| Some(Duration::from_millis(ms))));
        let throttled = |attempts| Hindrance::Throttling.pause(attempts, Duration::ZERO);
        assert_eq!([1, 2, 7, 8].map(throttled), [Some(40), Some(80), Some(2_560), None].map(|ms| ms.map(Duration::from_millis)));
    }

    #[test]
    fn a_throttled_item_outweighs_those_that_met_others() {
        let of = |codes: &[&str]| {
            let reasons: Vec<_> = codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect();
            Hindrance::of(&reasons)
        };
        assert_eq!(of(&["None", CONFLICT]), Hindrance::Meeting);
        assert_eq!(of(&[CONFLICT, "ThrottlingError"]), Hindrance::Throttling);
    }
}
