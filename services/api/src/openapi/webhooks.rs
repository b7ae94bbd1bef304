//! The `webhooks` section of the document: what is sent to endpoints, one entry for each type of event. ALERTS §4.

use serde_json::{Value, json};
use tidemark_domain::alert::EventKind;
use tidemark_webhooks::event::EventType;
use utoipa::ToSchema;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathItemBuilder, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ContentBuilder, HttpMethod, ObjectBuilder, Paths, Ref, Required, ResponseBuilder, Type};

use super::examples;
use super::shapes::Alert;

/// A change of an alert, and the alert as it stood right after.
#[derive(ToSchema)]
#[schema(example = json!(examples::alert_event(EventKind::Fired)))]
#[expect(dead_code, reason = "documents the payload's own type")]
pub(crate) struct AlertEvent {
    /// What happened: `inventory.alert.` and `fired`, `escalated`, `repeated` or `resolved`.
    #[schema(rename = "type", pattern = "^inventory\\.alert\\.(fired|escalated|repeated|resolved)$")]
    event_type: String,
    /// When it happened, which is not when it is sent.
    #[schema(value_type = String, format = DateTime)]
    timestamp: String,
    data: AlertEventData,
}

/// What an event about an alert says.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the payload's own type")]
pub(crate) struct AlertEventData {
    alert: Alert,
    /// The event's number in its alert, from 1. Order of arrival is not promised; this is the order.
    #[schema(minimum = 1)]
    sequence: u32,
    links: Links,
}

/// That one of the tenant's other endpoints was disabled.
#[derive(ToSchema)]
#[schema(example = json!(examples::endpoint_disabled()))]
#[expect(dead_code, reason = "documents the payload's own type")]
pub(crate) struct EndpointDisabledEvent {
    #[schema(rename = "type", pattern = "^webhook\\.endpoint_disabled$")]
    event_type: String,
    #[schema(value_type = String, format = DateTime)]
    timestamp: String,
    data: EndpointDisabledData,
}

/// Which endpoint was disabled, and why.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the payload's own type")]
pub(crate) struct EndpointDisabledData {
    endpoint_id: String,
    reason: DisabledReason,
    #[schema(value_type = String, format = DateTime)]
    disabled_at: String,
    links: Links,
}

/// Why an endpoint was disabled by us.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the payload's own words")]
pub(crate) enum DisabledReason {
    /// It answered 410.
    Gone,
    /// Every attempt failed for five days.
    Failing,
}

/// Where more is to be found.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the payload's own type")]
pub(crate) struct Links {
    /// The address of what the event is about, at this API.
    #[schema(rename = "self")]
    this: String,
}

/// What a test sends.
#[derive(ToSchema)]
#[schema(example = json!(examples::ping()))]
#[expect(dead_code, reason = "documents the payload's own type")]
pub(crate) struct PingEvent {
    #[schema(rename = "type", pattern = "^webhook\\.ping$")]
    event_type: String,
    #[schema(value_type = String, format = DateTime)]
    timestamp: String,
    data: PingData,
}

/// Which endpoint is tested.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the payload's own type")]
pub(crate) struct PingData {
    endpoint_id: String,
}

/// The section, an entry for each type of event.
pub(super) fn section() -> Paths {
    let entries = EventType::ALL.into_iter().map(|event_type| (event_type.as_str(), entry(event_type)));
    entries.fold(PathsBuilder::new(), |paths, (name, entry)| paths.path(name, entry)).build()
}

/// The schemas that the section refers to, with all that they refer to.
pub(super) fn schemas() -> Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)> {
    let mut schemas = Vec::new();
    with_references::<AlertEvent>(&mut schemas);
    with_references::<EndpointDisabledEvent>(&mut schemas);
    with_references::<PingEvent>(&mut schemas);
    schemas
}

fn with_references<T: ToSchema>(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

fn entry(event_type: EventType) -> PathItem {
    let (schema, summary, example) = described(event_type);
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).example(Some(example)).build();
    let operation = OperationBuilder::new()
        .summary(Some(summary))
        .description(Some(
            "Signed by Standard Webhooks 1.0. Delivered at least once: `webhook-id` is the same for every endpoint, attempt and \
             replay, and so are the bytes. Answer with any 2xx within 15 seconds; everything else is tried again for three days, \
             and 410 disables the endpoint.",
        ))
        .tag("events")
        .operation_id(Some(operation_id(event_type)))
        .security(SecurityRequirement::default())
        .request_body(Some(body(content)))
        .response("2XX", ResponseBuilder::new().description("Accepted.").build());
    let operation = headers().into_iter().fold(operation, |operation, header| operation.parameter(header));
    PathItemBuilder::new().operation(HttpMethod::Post, operation.build()).build()
}

fn described(event_type: EventType) -> (String, &'static str, Value) {
    let alert = |summary, kind| (AlertEvent::name().into_owned(), summary, examples::alert_event(kind));
    match event_type {
        EventType::AlertFired => alert("A level is low.", EventKind::Fired),
        EventType::AlertEscalated => alert("It is worse than it was.", EventKind::Escalated),
        EventType::AlertRepeated => alert("It is still low, and nobody has acknowledged that.", EventKind::Repeated),
        EventType::AlertResolved => alert("It is over.", EventKind::Resolved),
        EventType::EndpointDisabled => (
            EndpointDisabledEvent::name().into_owned(),
            "Another endpoint of the tenant was disabled.",
            examples::endpoint_disabled(),
        ),
        EventType::Ping => (PingEvent::name().into_owned(), "A test of the endpoint, on request.", examples::ping()),
    }
}

/// `receive_inventory_alert_fired`.
fn operation_id(event_type: EventType) -> String {
    format!("receive_{}", event_type.as_str().replace('.', "_"))
}

fn body(content: Content) -> utoipa::openapi::request_body::RequestBody {
    RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True)).build()
}

fn headers() -> [utoipa::openapi::path::Parameter; 5] {
    let header = |name, description: &str, example: Value| {
        let text = ObjectBuilder::new().schema_type(Type::String);
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(text))
            .example(Some(example))
            .build()
    };
    [
        header("webhook-id", "The event's id; process each id once.", json!("evt_01ARZ3NDEKTSV4RRFFQ69G5FAX")),
        header("webhook-timestamp", "When this attempt was made, in seconds of Unix time.", json!("1774862046")),
        header(
            "webhook-signature",
            "`v1,` and the base64 of the HMAC-SHA-256 of id, timestamp and body, joined by dots; two of them, with a space \
             between, while a secret is changed.",
            json!("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
        ),
        header("tidemark-webhook-attempt", "Number of this attempt, counted from 1.", json!("1")),
        header("tidemark-webhook-trigger", "`scheduled`, `manual`, `recover` or `test`.", json!("scheduled")),
    ]
}
