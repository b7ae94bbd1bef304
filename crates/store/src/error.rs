//! What can go wrong with a call to DynamoDB, as the choices a caller has.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

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
    #[error("AWS does not take the credentials ({code}): check that they are right and have not expired")]
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
    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Server(_) | Self::Unreachable(_))
    }

    /// Classifies an SDK error of a call on `table`.
    pub(crate) fn from_sdk<E>(table: &str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let code = error.code().unwrap_or_default().to_owned();
        match code.as_str() {
            "ResourceNotFoundException" => return Self::TableMissing(table.to_owned()),
            "ConditionalCheckFailedException" => return Self::ConditionFailed,
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "TransactionConflictException"
            | "TransactionInProgressException" => return Self::Throttled(error.into()),
            "AccessDeniedException" => return Self::Denied(error.message().unwrap_or("without a reason").into()),
            "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "ExpiredTokenException"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignatureException"
            | "InvalidClientTokenId" => {
                return Self::BadCredentials { code, source: error.into() };
            }
            "InternalServerError" | "InternalFailure" | "ServiceUnavailable" => return Self::Server(error.into()),
            "ValidationException" => return Self::Refused(error.message().unwrap_or("it is invalid").to_owned()),
            _ => {}
        }
        if let Some(limit) = LimitExceeded::of(&error) {
            return Self::Refused(limit.to_string());
        }
        if lacks_credentials(&error) {
            return Self::NoCredentials(error.into());
        }
        // With a code that nobody knows, or with none: a front end's, or a proxy's.
        if error.raw_response().is_some_and(|answer| answer.status().is_server_error()) {
            return Self::Server(error.into());
        }
        match error {
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
                Self::Unreachable(error.into())
            }
            other => Self::Other(other.into()),
        }
    }
}

/// The SDK reports a missing identity as a failed dispatch or construction; only the innermost cause tells.
fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<CredentialsError>)
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::config::http::HttpResponse;
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::get_item::GetItemError;

    use super::*;

    fn refused(status: u16, code: Option<&str>) -> Error {
        let metadata = code.map_or_else(ErrorMetadata::builder, |code| ErrorMetadata::builder().code(code)).build();
        let answer = HttpResponse::new(status.try_into().expect("a status"), "".into());
        Error::from_sdk("counts", SdkError::service_error(GetItemError::generic(metadata), answer))
    }

    #[test]
    fn what_fails_inside_dynamodb_can_be_asked_again_whatever_it_is_called() {
        for (status, code) in
            [(500, Some("InternalServerError")), (503, Some("ServiceUnavailable")), (502, Some("Odd")), (503, None)]
        {
            let error = refused(status, code);
            assert!(matches!(error, Error::Server(_)) && error.is_retryable(), "{status} {code:?}: {error:?}");
        }
        for (status, code) in [(400, Some("Odd")), (413, None)] {
            let error = refused(status, code);
            assert!(matches!(error, Error::Other(_)) && !error.is_retryable(), "{status} {code:?}: {error:?}");
        }
    }
}
