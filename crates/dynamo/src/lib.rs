//! What a failed call of DynamoDB or DynamoDB Streams means. There is one table of error codes for all crates that make calls; each crate
//! maps a [`Kind`] to the variants of its own error. Tables, items and tenants are not known here.

use std::error::Error;
use std::iter::successors;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The table, or the stream, does not exist.
    NotFound,
    /// The condition of a single write did not hold. A transaction gives its reasons instead, by item.
    ConditionFailed,
    /// The table, the stream or the account is at its limit.
    Throttled,
    /// Another transaction or another Region writes the same item.
    Conflict,
    /// The policy of the caller does not allow the call.
    Denied,
    /// AWS rejects the credentials: they are wrong or have expired.
    BadCredentials,
    /// No provider has credentials, or a provider is configured wrongly.
    NoCredentials,
    /// A provider failed: a metadata service or STS that was busy, say. The next call asks it again.
    CredentialsUnavailable,
    /// A fault inside DynamoDB, or of something in front of it.
    Server,
    /// No answer in time.
    TimedOut,
    /// No connection, or no complete answer.
    Unreachable,
    /// DynamoDB finds the request invalid.
    Invalid,
    /// A code that is not in the table, or a request that the SDK could not make.
    Other,
}

/// What has to happen before the same call can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing: it may succeed when it is made again.
    Retry,
    /// The operator has to change the deployment: its tables, its permissions or its credentials.
    Operator,
    /// The program or the stored data have to be corrected.
    Correction,
}

/// Classifies a failed call.
pub fn classify<E>(error: &SdkError<E, HttpResponse>) -> Kind
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(kind) = error.code().and_then(by_code) {
        return kind;
    }
    if let Some(kind) = by_credentials(error) {
        return kind;
    }
    match error {
        // The code is unknown or absent: the answer of a front end or a proxy. Its status is all that is known.
        SdkError::ServiceError(answer) if answer.raw().status().is_server_error() => Kind::Server,
        SdkError::ServiceError(answer) if answer.raw().status().as_u16() == 429 => Kind::Throttled,
        SdkError::ServiceError(answer) if answer.raw().status().as_u16() == 408 => Kind::TimedOut,
        // A proxy that wants a credential of its own.
        SdkError::ServiceError(answer) if answer.raw().status().as_u16() == 407 => Kind::Unreachable,
        SdkError::TimeoutError(_) => Kind::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Kind::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_user() => Kind::Other,
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => Kind::Unreachable,
        _ => Kind::Other,
    }
}

/// Sources: "Error handling with DynamoDB" in the developer guide, "Common Error Types" in the API reference.
fn by_code(code: &str) -> Option<Kind> {
    Some(match code {
        "ResourceNotFoundException" => Kind::NotFound,
        "ConditionalCheckFailedException" => Kind::ConditionFailed,
        "LimitExceededException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "ThrottledException"
        | "ThrottlingException" => Kind::Throttled,
        "ReplicatedWriteConflictException" | "TransactionConflictException" | "TransactionInProgressException" => Kind::Conflict,
        "AccessDeniedException" => Kind::Denied,
        "ExpiredTokenException"
        | "IncompleteSignatureException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException"
        | "UnrecognizedClientException" => Kind::BadCredentials,
        "InternalFailure" | "InternalServerError" | "ServiceUnavailable" => Kind::Server,
        "ValidationException" => Kind::Invalid,
        _ => return None,
    })
}

/// The SDK reports a failed provider as a failed dispatch; an inner cause has what the provider said.
fn by_credentials(error: &(dyn Error + 'static)) -> Option<Kind> {
    let cause = successors(Some(error), |error| (*error).source()).find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
    Some(match cause {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => Kind::NoCredentials,
        _ => Kind::CredentialsUnavailable,
    })
}

#[cfg(test)]
mod tests;
