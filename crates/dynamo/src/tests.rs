//! Each way in which a call can fail, with what it means.

use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::error::ErrorMetadata;

use super::*;

/// The error of an operation, as the SDK gives it for a code it has no type for.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct Refusal(ErrorMetadata);

impl ProvideErrorMetadata for Refusal {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

fn refused(status: u16, code: Option<&str>) -> Kind {
    let metadata = code.map_or_else(ErrorMetadata::builder, |code| ErrorMetadata::builder().code(code)).build();
    let answer = HttpResponse::new(status.try_into().expect("a status"), "".into());
    classify(&SdkError::service_error(Refusal(metadata), answer))
}

fn failed(error: ConnectorError) -> Kind {
    classify(&SdkError::<Refusal, HttpResponse>::dispatch_failure(error))
}

#[test]
fn a_code_has_one_meaning() {
    for (code, kind) in [
        ("ResourceNotFoundException", Kind::NotFound),
        ("ConditionalCheckFailedException", Kind::ConditionFailed),
        ("ThrottlingException", Kind::Throttled),
        ("LimitExceededException", Kind::Throttled),
        ("ProvisionedThroughputExceededException", Kind::Throttled),
        ("RequestLimitExceeded", Kind::Throttled),
        ("TransactionConflictException", Kind::Conflict),
        ("TransactionInProgressException", Kind::Conflict),
        ("AccessDeniedException", Kind::Denied),
        ("InvalidClientTokenId", Kind::BadCredentials),
        ("UnrecognizedClientException", Kind::BadCredentials),
        ("ExpiredTokenException", Kind::BadCredentials),
        ("ValidationException", Kind::Invalid),
        ("TrimmedDataAccessException", Kind::Other),
    ] {
        assert_eq!(refused(400, Some(code)), kind, "{code}");
    }
}

#[test]
fn what_fails_inside_dynamodb_is_known_by_its_status_if_its_code_is_not() {
    for (status, code) in [(500, Some("InternalServerError")), (503, Some("ServiceUnavailable")), (502, Some("Odd")), (503, None)]
    {
        assert_eq!(refused(status, code), Kind::Server, "{status} {code:?}");
    }
    for (status, code) in [(400, Some("Odd")), (413, None)] {
        assert_eq!(refused(status, code), Kind::Other, "{status} {code:?}");
    }
    // A code says more than a status.
    assert_eq!(refused(500, Some("ThrottlingException")), Kind::Throttled);
}

#[test]
fn credentials_that_do_not_exist_are_told_from_those_of_a_provider_that_failed() {
    let kind = |error: CredentialsError| failed(ConnectorError::other(error.into(), None));
    for error in [CredentialsError::not_loaded("no provider has any"), CredentialsError::invalid_configuration("a loop")] {
        assert_eq!(kind(error), Kind::NoCredentials);
    }
    for error in [
        CredentialsError::provider_error("STS answers 503"),
        CredentialsError::provider_timed_out(std::time::Duration::from_secs(5)),
        CredentialsError::unhandled("not UTF-8"),
    ] {
        assert_eq!(kind(error), Kind::CredentialsUnavailable);
    }
}

#[test]
fn a_call_without_an_answer_timed_out_or_was_not_made() {
    assert_eq!(failed(ConnectorError::timeout("no connection".into())), Kind::TimedOut);
    assert_eq!(failed(ConnectorError::io("reset".into())), Kind::Unreachable);
    assert_eq!(failed(ConnectorError::other("no identity".into(), None)), Kind::Unreachable);
    assert_eq!(failed(ConnectorError::user("a header".into())), Kind::Other);
    let of = |error: SdkError<Refusal, HttpResponse>| classify(&error);
    assert_eq!(of(SdkError::timeout_error("the whole call")), Kind::TimedOut);
    assert_eq!(of(SdkError::construction_failure("no table name")), Kind::Other);
    let answer = HttpResponse::new(200.try_into().expect("a status"), "{".into());
    assert_eq!(of(SdkError::response_error("cut short", answer)), Kind::Unreachable);
}
