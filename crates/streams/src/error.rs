//! What can go wrong between this crate and DynamoDB, as decisions for the caller.

use std::fmt::Debug;
use std::iter::successors;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::control::Malformed;
use crate::id::{self, ShardId, StreamArn};

/// The SDK's own error, for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a call failed. The text is one line that says what to do; the cause is the `source`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("table `{table}` does not exist; `tidemark init --with-sources` creates it where the source has a `key`")]
    TableMissing { table: String },
    #[error("control table `{table}` does not exist; `tidemark init` creates it")]
    ControlTableMissing { table: String },
    #[error("the stream of table `{table}` is off; enable it with view type NEW_AND_OLD_IMAGES")]
    StreamOff { table: String },
    #[error(
        "the stream of table `{table}` has view type {view_type}, but NEW_AND_OLD_IMAGES is needed; \
         a view type cannot be edited: disable the stream, then enable it with NEW_AND_OLD_IMAGES"
    )]
    WrongViewType { table: String, view_type: String },
    #[error("the stream {arn} does not exist; was its table deleted, or its stream switched off a day ago?")]
    StreamGone { arn: StreamArn, source: Cause },
    #[error("no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role")]
    NoCredentials { source: Cause },
    #[error("{operation}: AWS does not take the credentials; check that they are right and have not expired")]
    BadCredentials { operation: &'static str, source: Cause },
    /// The source is DynamoDB's own sentence, which names the role, the action and the resource.
    #[error("AWS denies {operation}: compare the policy of the role with deploy/iam")]
    Denied { operation: &'static str, source: Cause },
    #[error("{operation} could not reach DynamoDB; check the network, AWS_REGION and AWS_ENDPOINT_URL")]
    Unreachable { operation: &'static str, source: Cause },
    #[error("table `{table}` is still not active after a minute")]
    TableNotActive { table: String },
    /// A write that got no answer may have been applied: read back before deciding.
    #[error("{operation} got no answer in time")]
    TimedOut { operation: &'static str, source: Cause },
    #[error("{operation} was throttled")]
    Throttled { operation: &'static str, source: Cause },
    /// Another write to the same item was under way.
    #[error("{operation} met another write to the same item")]
    Conflict { operation: &'static str, source: Cause },
    #[error("{operation} failed inside DynamoDB")]
    Server { operation: &'static str, source: Cause },
    /// Another worker may commit for the shard now; everything read but not committed must be dropped.
    #[error("the lease of shard {shard} is lost")]
    LeaseLost { shard: ShardId },
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Id(#[from] id::Error),
    #[error("{operation} answered without {what}")]
    Incomplete { operation: &'static str, what: &'static str },
    #[error("{operation} failed")]
    Other { operation: &'static str, source: Cause },
}

impl Error {
    /// Whether the same call may succeed later without anyone's doing.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Throttled { .. }
                | Self::Conflict { .. }
                | Self::Server { .. }
        )
    }

    pub(crate) fn of<E, R>(operation: &'static str, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: Debug + Send + Sync + 'static,
    {
        let code = error.code().map(str::to_owned);
        let is_service_error = error.as_service_error().is_some();
        let is_timeout = matches!(&error, SdkError::TimeoutError(_))
            || matches!(&error, SdkError::DispatchFailure(failure) if failure.is_timeout());
        let is_dispatch = match &error {
            // An unclassified failure never left this process: the SDK could not make the request.
            SdkError::DispatchFailure(failure) => failure.is_io() || failure.as_other().is_some(),
            SdkError::ResponseError(_) => true,
            _ => false,
        };
        let lacks_credentials = lacks_credentials(&error);
        let reason = error.message().unwrap_or("without a reason").to_owned();
        let source: Cause = error.into();
        match code.as_deref() {
            _ if lacks_credentials => Self::NoCredentials { source },
            _ if is_timeout => Self::TimedOut { operation, source },
            _ if is_dispatch => Self::Unreachable { operation, source },
            Some(
                "ThrottlingException"
                | "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "LimitExceededException",
            ) => Self::Throttled { operation, source },
            Some("TransactionConflictException" | "TransactionInProgressException") => Self::Conflict { operation, source },
            Some("AccessDeniedException") => Self::Denied { operation, source: reason.into() },
            Some(
                "UnrecognizedClientException"
                | "InvalidSignatureException"
                | "IncompleteSignatureException"
                | "MissingAuthenticationTokenException"
                | "ExpiredTokenException",
            ) => Self::BadCredentials { operation, source },
            Some("InternalServerError" | "InternalFailure" | "ServiceUnavailable") => Self::Server { operation, source },
            // An answer without a code the SDK could read comes from a proxy or a broken front end.
            None if is_service_error => Self::Server { operation, source },
            _ => Self::Other { operation, source },
        }
    }
}

/// Whether there are no credentials to be had. The SDK reports that as a failed dispatch; only an inner cause tells. A
/// provider that failed (a metadata service that was busy) is another matter: it may succeed next time.
fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = successors(Some(error), |error| error.source());
    causes.any(|cause| {
        let cause = cause.downcast_ref::<CredentialsError>();
        matches!(cause, Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)))
    })
}
