//! One transaction of our own items, and which of its conditions failed.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};

use crate::Store;
use crate::error::Error;

/// The code of a cancellation whose condition failed (AWS: TransactWriteItems).
pub(crate) const CONDITION_FAILED: &str = "ConditionalCheckFailed";
/// Codes of cancellations that say nothing against the same request made again.
pub(crate) const TRANSIENT: [&str; 4] = ["None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

/// How often a transaction is sent that meets others, or is throttled. A rule's write meets every commit of its tenant.
const ATTEMPTS_MAX: u32 = 8;
/// Ceiling of the full jitter before the second attempt; it doubles with each: five seconds in all at most.
const PAUSE: Duration = Duration::from_millis(40);

/// How a transaction that did not succeed ended.
#[derive(Debug)]
pub(crate) enum NotMade {
    /// These of its items, by index, found another state than they ask for. Nothing was written.
    Refused(Vec<usize>),
    Failed(Error),
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

pub(crate) fn code(reason: &CancellationReason) -> &str {
    reason.code().unwrap_or("None")
}

impl Store {
    /// Makes one transaction, again while it meets others. The SDK gives each call a token of its own, so that its own retries
    /// cannot apply it twice.
    pub(crate) async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<(), NotMade> {
        let mut attempt = 1;
        loop {
            match self.transact_once(items.clone()).await {
                Err(NotMade::Failed(Error::Throttled(_))) if attempt < ATTEMPTS_MAX => {}
                ended => return ended,
            }
            tokio::time::sleep((PAUSE * 2_u32.pow(attempt - 1)).mul_f64(fastrand::f64())).await;
            attempt += 1;
        }
    }

    async fn transact_once(&self, items: Vec<TransactWriteItem>) -> Result<(), NotMade> {
        let error = match self.client.transact_write_items().set_transact_items(Some(items)).send().await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
            return Err(NotMade::Failed(Error::from_sdk(&self.tables.data, error)));
        };
        let reasons = canceled.cancellation_reasons();
        let refused: Vec<usize> =
            reasons.iter().enumerate().filter(|(_, reason)| code(reason) == CONDITION_FAILED).map(|(index, _)| index).collect();
        if !refused.is_empty() {
            return Err(NotMade::Refused(refused));
        }
        let is_transient = reasons.iter().all(|reason| TRANSIENT.contains(&code(reason)));
        Err(NotMade::Failed(if is_transient { Error::Throttled(error.into()) } else { Error::Other(error.into()) }))
    }
}
