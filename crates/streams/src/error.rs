//! What can go wrong between this crate and DynamoDB, as decisions for the caller.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tidemark_dynamo::{Kind, Remedy, classify};

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
    #[error("{operation}: AWS credentials cannot be loaded now; the metadata service or STS fails")]
    CredentialsUnavailable { operation: &'static str, source: Cause },
    #[error("{operation}: AWS rejects the credentials; check that they are right and have not expired")]
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
    /// What has to happen before the same call can succeed.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Throttled { .. }
            | Self::Conflict { .. }
            | Self::Server { .. }
            | Self::CredentialsUnavailable { .. } => Remedy::Retry,
            Self::TableMissing { .. }
            | Self::ControlTableMissing { .. }
            | Self::StreamOff { .. }
            | Self::WrongViewType { .. }
            | Self::StreamGone { .. }
            | Self::NoCredentials { .. }
            | Self::BadCredentials { .. }
            | Self::Denied { .. }
            | Self::TableNotActive { .. } => Remedy::Operator,
            Self::LeaseLost { .. } | Self::Malformed(_) | Self::Id(_) | Self::Incomplete { .. } | Self::Other { .. } => {
                Remedy::Correction
            }
        }
    }

    /// Whether the same call may succeed later without a change by anyone.
    pub fn is_retryable(&self) -> bool {
        self.remedy() == Remedy::Retry
    }

    pub(crate) fn of<E>(operation: &'static str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let kind = classify(&error);
        if kind == Kind::Denied {
            return Self::Denied { operation, source: error.message().unwrap_or("without a reason").into() };
        }
        let source: Cause = error.into();
        match kind {
            Kind::NoCredentials => Self::NoCredentials { source },
            Kind::CredentialsUnavailable => Self::CredentialsUnavailable { operation, source },
            Kind::BadCredentials => Self::BadCredentials { operation, source },
            Kind::TimedOut => Self::TimedOut { operation, source },
            Kind::Unreachable => Self::Unreachable { operation, source },
            Kind::Throttled => Self::Throttled { operation, source },
            Kind::Conflict => Self::Conflict { operation, source },
            Kind::Server => Self::Server { operation, source },
            // What is not found, or a condition that fails, has a meaning of its own where the call is made.
            Kind::NotFound | Kind::ConditionFailed | Kind::Invalid | Kind::Denied | Kind::Other => {
                Self::Other { operation, source }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::config::http::HttpResponse;
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::get_item::GetItemError;

    use super::*;

    /// The other crate that makes calls has the same table.
    #[test]
    fn a_refusal_has_the_same_remedy_in_every_crate() {
        for (status, code, remedy) in [
            (400, "ThrottlingException", Remedy::Retry),
            (400, "LimitExceededException", Remedy::Retry),
            (400, "TransactionConflictException", Remedy::Retry),
            (400, "TransactionInProgressException", Remedy::Retry),
            (500, "InternalServerError", Remedy::Retry),
            (502, "Odd", Remedy::Retry),
            (400, "AccessDeniedException", Remedy::Operator),
            (400, "InvalidClientTokenId", Remedy::Operator),
            (400, "ExpiredTokenException", Remedy::Operator),
            (400, "ValidationException", Remedy::Correction),
            (400, "Odd", Remedy::Correction),
        ] {
            let answer = HttpResponse::new(status.try_into().expect("a status"), "".into());
            let error = GetItemError::generic(ErrorMetadata::builder().code(code).build());
            let error = SdkError::service_error(error, answer);
            assert_eq!(Error::of("GetItem", error).remedy(), remedy, "{status} {code}");
        }
    }
}
