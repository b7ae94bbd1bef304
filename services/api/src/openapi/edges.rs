//! What every operation has in common, added to all in one place: limits, conditional reads and changes, idempotent creation, bodies
//! that may be left out. A route that is new has it by being a route.

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, OpenApi, Ref, RefOr, Required, Response, Schema, Type};

use crate::idempotency::LENGTH_MAX;

/// The document with all of it.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    for path in document.paths.paths.values_mut() {
        if let Some(operation) = &mut path.get {
            limited(operation);
            conditional(operation);
        }
        for operation in [&mut path.post, &mut path.put, &mut path.patch, &mut path.delete].into_iter().flatten() {
            limited(operation);
            preconditioned(operation);
            omissible(operation);
            if operation.operation_id.as_deref().is_some_and(|id| id.starts_with("create_")) {
                idempotent(operation);
            }
        }
    }
    document
}

/// The headers of an answer to a caller whose key is known.
pub(crate) fn limits() -> [(&'static str, Header); 2] {
    [
        (
            "RateLimit-Policy",
            header("The limits of the key, its tenant, and on a write the tenant's writes: `q` requests in `w` seconds."),
        ),
        ("RateLimit", header("What is left of them: `r` requests now, and all of them in `t` seconds.")),
    ]
}

/// The headers of an answer to a conditional read, whether it has a body or not.
pub(crate) fn validators() -> [(&'static str, Header); 3] {
    [
        ("ETag", header("For `If-None-Match`; of configuration the version, or it and a digest, for `If-Match`, too.")),
        ("Cache-Control", header("`private, no-cache`: it may be kept, and is to be asked for again each time.")),
        ("Vary", header("The request's headers that the answer depends on.")),
    ]
}

pub(crate) fn header(description: &str) -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new().schema(Some(text)).description(Some(description)).build()
}

fn limited(operation: &mut Operation) {
    add_headers(operation, limits().into_iter());
    add_response(operation, "429", "RateLimited");
}

fn conditional(operation: &mut Operation) {
    add_headers(operation, validators().into_iter());
    add_response(operation, "304", "NotModified");
    let text = "ETags the client has answers to: if one still holds, it is not sent again.";
    add_parameter(operation, "If-None-Match", text, ObjectBuilder::new().schema_type(Type::String));
}

/// What can be refused for the version it is at says so, and takes the version.
fn preconditioned(operation: &mut Operation) {
    if operation.responses.responses.contains_key("412") {
        let text = "Do it only if the ETag is still this.";
        add_parameter(operation, "If-Match", text, ObjectBuilder::new().schema_type(Type::String));
    }
}

/// An optional body is left out, which is not the body `null`.
fn omissible(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    if body.required.is_some() {
        return;
    }
    body.required = Some(Required::False);
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::OneOf(either))) = &content.schema
        {
            content.schema = either.items.iter().find(|schema| matches!(schema, RefOr::Ref(_))).cloned();
        }
    }
}

fn idempotent(operation: &mut Operation) {
    let text = "Makes the request safe to repeat: for 24 hours, the same key with the same body has the first one's answer, and no \
                further effect. An answer with a secret is repeated only to the credential that had it first. A UUID is a good key.";
    let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(LENGTH_MAX));
    add_parameter(operation, "Idempotency-Key", text, schema.pattern(Some("^[!-~]+$")));
    add_response(operation, "409", "Conflict");
    add_response(operation, "422", "Unprocessable");
}

fn add_parameter(operation: &mut Operation, name: &str, description: &str, schema: ObjectBuilder) {
    let parameter: Parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build();
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
}

fn add_response(operation: &mut Operation, status: &str, name: &str) {
    operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::Ref(Ref::from_response_name(name)));
}

/// Adds headers to the operation's own answers; what it says itself of one of them stands.
fn add_headers(operation: &mut Operation, headers: impl Iterator<Item = (&'static str, Header)> + Clone) {
    let own = operation.responses.responses.values_mut().filter_map(|response| match response {
        RefOr::T(response) => Some(response),
        RefOr::Ref(_) => None,
    });
    own.for_each(|response: &mut Response| {
        for (name, header) in headers.clone() {
            response.headers.entry(name.to_owned()).or_insert(RefOr::T(header));
        }
    });
}
