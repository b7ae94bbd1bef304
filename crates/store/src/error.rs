//! What can go wrong with a call to DynamoDB, as the choices a caller has.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tidemark_dynamo::{Kind, Remedy, classify};

use crate::limits::LimitExceeded;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failed call, in terms of what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the table `{0}` does not exist: create it with `tidemark init`, or set TIDEMARK_TABLE and TIDEMARK_CONTROL_TABLE")]
    TableMissing(String),
    #[error("the table `{0}` has no index `by_index`, or it is still being built: run `tidemark init`, which waits for it")]
    IndexMissing(String),
    #[error("DynamoDB throttles the table; the call can be made again")]
    Throttled(#[source] Source),
    /// Of a write it is not known whether it was made.
    #[error("DynamoDB failed at the call; it can be made again")]
    Server(#[source] Source),
    #[error("DynamoDB cannot be reached: check AWS_ENDPOINT_URL, AWS_REGION and the network")]
    Unreachable(#[source] Source),
    #[error("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role")]
    NoCredentials(#[source] Source),
    /// Before the last attempt an earlier one may have been made: of a write it is not known whether it was made.
    #[error("AWS credentials cannot be loaded now: the metadata service or STS fails; the call can be made again")]
    CredentialsUnavailable(#[source] Source),
    #[error("AWS rejects the credentials ({code}): check that they are right and have not expired")]
    BadCredentials {
        code: String,
        #[source]
        source: Source,
    },
    /// The source is DynamoDB's own sentence, which names the role, the action and the resource.
    #[error("AWS denies this call: compare the policy of the role with deploy/iam")]
    Denied(#[source] Source),
    /// A conditional write found something else than it expected.
    #[error("the item was changed meanwhile")]
    ConditionFailed,
    #[error("the stored item {key} cannot be read: {problem}")]
    Corrupt { key: String, problem: String },
    #[error("this binary knows stored data up to format {known}, the tables hold format {found}: use a newer Tidemark")]
    NewerFormat { known: u32, found: u32 },
    #[error("DynamoDB refuses the call: {0}")]
    Refused(String),
    #[error("the call failed")]
    Other(#[source] Source),
}

impl Error {
    /// What has to happen before the same call can succeed.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Throttled(_) | Self::Server(_) | Self::Unreachable(_) | Self::CredentialsUnavailable(_) => Remedy::Retry,
            Self::TableMissing(_)
            | Self::IndexMissing(_)
            | Self::NoCredentials(_)
            | Self::BadCredentials { .. }
            | Self::Denied(_)
            | Self::NewerFormat { .. } => Remedy::Operator,
            Self::ConditionFailed | Self::Corrupt { .. } | Self::Refused(_) | Self::Other(_) => Remedy::Correction,
        }
    }

    /// Whether the same call may succeed later without a change by anyone.
    pub fn is_retryable(&self) -> bool {
        self.remedy() == Remedy::Retry
    }

    /// Classifies an SDK error of a call on `table`.
    pub(crate) fn from_sdk<E>(table: &str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if let Some(limit) = LimitExceeded::of(&error) {
            return Self::Refused(limit.to_string());
        }
        let message = |absent: &str| error.message().unwrap_or(absent).to_owned();
        match classify(&error) {
            Kind::NotFound => Self::TableMissing(table.to_owned()),
            Kind::ConditionFailed => Self::ConditionFailed,
            Kind::Throttled | Kind::Conflict => Self::Throttled(error.into()),
            Kind::Denied => Self::Denied(message("without a reason").into()),
            Kind::BadCredentials => {
                Self::BadCredentials { code: error.code().unwrap_or_default().to_owned(), source: error.into() }
            }
            Kind::NoCredentials => Self::NoCredentials(error.into()),
            Kind::CredentialsUnavailable => Self::CredentialsUnavailable(error.into()),
            Kind::Server => Self::Server(error.into()),
            Kind::TimedOut | Kind::Unreachable => Self::Unreachable(error.into()),
            Kind::Invalid => Self::Refused(message("it is invalid")),
            Kind::Other => Self::Other(error.into()),
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
            assert_eq!(Error::from_sdk("counts", error).remedy(), remedy, "{status} {code}");
        }
    }
}
