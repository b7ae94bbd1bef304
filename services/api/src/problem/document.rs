//! The refusals in the OpenAPI document: each is written once, under `components/responses`, and referred to by the operations.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::ApiError;
use crate::openapi::edges;

/// Documents the 404 of operations that name one thing.
pub(crate) struct NotFound;

/// Documents the 422 of operations whose parameters or body have a meaning beyond their form.
pub(crate) struct Unprocessable;

/// Documents the refusals of a body that has no form at all.
pub(crate) struct WithBody;

/// Documents the 409 of operations that things as they stand can forbid.
pub(crate) struct Conflicting;

/// Documents the 412 of operations that take `If-Match`.
pub(crate) struct Preconditioned;

const EVERYWHERE: [(&str, &str); 7] = [
    ("400", "BadRequest"),
    ("401", "Unauthenticated"),
    ("403", "Forbidden"),
    ("414", "UriTooLong"),
    ("431", "HeadersTooLarge"),
    ("500", "Internal"),
    ("503", "Unavailable"),
];

/// What any operation may answer.
impl IntoResponses for ApiError {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&EVERYWHERE)
    }
}

impl IntoResponses for NotFound {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&[("404", "NotFound")])
    }
}

impl IntoResponses for Unprocessable {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&[("422", "Unprocessable")])
    }
}

impl IntoResponses for WithBody {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&[("413", "BodyTooLarge"), ("415", "UnsupportedMediaType")])
    }
}

impl IntoResponses for Conflicting {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&[("409", "Conflict")])
    }
}

impl IntoResponses for Preconditioned {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&[("412", "PreconditionFailed")])
    }
}

fn references(responses: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let reference = |name: &str| RefOr::Ref(Ref::from_response_name(name));
    responses.iter().map(|(status, name)| ((*status).to_owned(), reference(name))).collect()
}

/// The responses that the operations refer to, by name.
pub(crate) fn components() -> Vec<(&'static str, Response)> {
    vec![
        (
            "BadRequest",
            problem(
                "Parameters that cannot be read: `unknown_parameter`, `duplicate_parameter`, `invalid_value`, `invalid_cursor`; \
                 fields that cannot: `unknown_field`, `missing_field`, `invalid_value`; a body that is not a JSON object: \
                 `invalid_body`; or an address that cannot be read: `bad_request`.",
            )
            .build(),
        ),
        (
            "Unauthenticated",
            problem("No valid key or token: `unauthenticated`.")
                .header("WWW-Authenticate", HeaderBuilder::new().description(Some("`Bearer`.")).build())
                .build(),
        ),
        ("Forbidden", problem("The key may not do this: `missing_scope`, `no_tenant`, `operator_only`.").build()),
        ("NotFound", problem("There is no such thing, or it is another tenant's: `not_found`.").build()),
        (
            "Unprocessable",
            problem(
                "Parameters that can be read but not answered: `unknown_time_zone`, `unknown_measure`, `unknown_dimension`, \
                 `empty_range`, `unaligned_range`, `range_unavailable`, `grouping_not_stored`, `query_too_large`, \
                 `unknown_inventory`; a body that means nothing we can do: `invalid_scope`, `invalid_threshold`, \
                 `repeat_too_often`, `unfit_instant`, `unfit_duration`, `url_refused`, `header_refused`; or there are as many as \
                 there can be: `quota_exceeded`; or the key stands for another request: `idempotency_mismatch`.",
            )
            .build(),
        ),
        (
            "Conflict",
            problem(
                "The request conflicts with the present state: `rule_exists` (with the other's id in `existing`), `alert_resolved`, `secrets_live`, \
                 `endpoint_disabled`, `endpoint_deleted`, `attempts_spent`, `time_zone_frozen`, `tenant_exists` (with its id in \
                 `existing`), `tenant_leaving`, `tenant_has_data`; with `Retry-After`: `in_flight`, `delivery_under_way`, \
                 `retried_too_soon`.",
            )
            .build(),
        ),
        ("RateLimited", limited()),
        ("NotModified", not_modified()),
        ("PreconditionFailed", problem("Another version stands than `If-Match` names: `precondition_failed`.").build()),
        ("BodyTooLarge", problem("The body is longer than 256 KiB: `body_too_large`.").build()),
        ("UriTooLong", problem("Path and query are longer than 32 KiB: `uri_too_long`.").build()),
        (
            "HeadersTooLarge",
            problem(
                "There are more than 100 header fields, or they are longer than 16 KiB together: `request_header_fields_too_large`.",
            )
            .build(),
        ),
        (
            "UnsupportedMediaType",
            problem(
                "The body does not say that it is JSON: `unsupported_media_type`; or it is compressed: `unsupported_encoding`.",
            )
            .build(),
        ),
        ("Internal", problem("Our fault: `internal`. The cause is not shown; the log has it under the request's id.").build()),
        (
            "Unavailable",
            problem(
                "Ask again: `overloaded`, `timeout`, `store_unavailable`, `contended`, `resolver_unavailable`, `issuer_unavailable`.",
            )
                .header("Retry-After", HeaderBuilder::new().description(Some("Seconds.")).build())
                .build(),
        ),
    ]
}

fn limited() -> Response {
    let limited = problem(
        "Too much for the key, its tenant, or the tenant's writes: `rate_limited`; too many requests of the tenant, too large answers, or \
         too many tests of webhook endpoints at once: `too_many_at_once`.",
    );
    let wait = HeaderBuilder::new().description(Some("Seconds.")).build();
    with_headers(limited.header("Retry-After", wait), edges::limits())
}

fn not_modified() -> Response {
    let unchanged = ResponseBuilder::new().description(
        "Not modified: the client's copy still holds. `Data-Watermark`, where present, says up to when it is complete.",
    );
    let watermark = edges::header("The watermark, where the answer has one.");
    with_headers(with_headers(unchanged.header("Data-Watermark", watermark), edges::validators()).into(), edges::limits())
}

fn with_headers<const N: usize>(response: ResponseBuilder, headers: [(&'static str, Header); N]) -> Response {
    headers.into_iter().fold(response, |response, (name, header)| response.header(name, header)).build()
}

fn problem(description: &str) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content)
}
