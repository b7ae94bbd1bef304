//! The body that makes or changes an endpoint: what it may say, and what it comes to.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidemark_store::Endpoint;
use tidemark_webhooks::event::{EventFilter, EventType};
use tidemark_webhooks::headers::{self, CustomHeaders};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::body::{Fields, Object};
use crate::problem::{ApiError, Code, Unavailable};
use crate::webhooks::{UrlError, Webhooks};

/// Most characters of a description.
const DESCRIPTION_LENGTH_MAX: usize = 500;

/// An endpoint to be made.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhookEndpoint, example = json!(example_body()))]
pub(crate) struct EndpointForm {
    /// `https` and a host on the public internet; no user name, no fragment.
    #[schema(format = "uri", max_length = 2048)]
    pub url: String,
    /// All unless given, those of later versions included.
    #[schema(value_type = Option<Vec<EventTypeName>>, min_items = 1)]
    pub event_types: Option<Vec<String>>,
    #[schema(max_length = 500)]
    pub description: Option<String>,
    /// At most 10, of 4 KiB together. Those that belong to the exchange itself are refused, and those that receivers trust to come
    /// from somebody else.
    #[schema(value_type = Option<HeaderValues>)]
    pub headers: BTreeMap<String, String>,
}

/// What of an endpoint is to be changed; see `NewWebhookEndpoint` for what the fields mean.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookEndpointPatch, example = json!({"url": "https://example.com/hooks/tidemark/2", "event_types": null}))]
#[expect(dead_code, reason = "documents the body that an endpoint is merged with")]
pub(crate) struct EndpointPatch {
    #[schema(required = false, format = "uri", max_length = 2048)]
    url: String,
    #[schema(value_type = Option<Vec<EventTypeName>>, min_items = 1)]
    event_types: Option<Vec<String>>,
    #[schema(max_length = 500)]
    description: Option<String>,
    /// Merged by name; null takes one away.
    headers: Option<HeaderValues>,
}

/// Headers by name; one that is null is as if absent.
#[derive(ToSchema)]
#[schema(as = HeaderValues)]
#[expect(dead_code, reason = "documents the body that an endpoint is made of")]
pub(crate) struct HeaderValues(BTreeMap<String, Option<String>>);

/// Documents a type of event with those there are.
pub(crate) struct EventTypeName;

impl PartialSchema for EventTypeName {
    fn schema() -> RefOr<Schema> {
        let types = EventType::ALL.map(EventType::as_str);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(types)).into()
    }
}

impl ToSchema for EventTypeName {
    fn name() -> std::borrow::Cow<'static, str> {
        "EventType".into()
    }
}

impl EndpointForm {
    /// Reads a body. The URL's host is looked up, unless the URL is the one `known` to be good.
    ///
    /// # Errors
    /// Everything that is wrong with the body, at once.
    pub(super) async fn read(body: Object, known: Option<&str>, webhooks: &Webhooks) -> Result<Self, ApiError> {
        let mut fields = Fields::of(body);
        fields.require(&["url"]);
        let url = fields.text("url");
        let event_types = fields.texts("event_types", str::parse::<EventType>);
        let event_types = event_types.and_then(|types| {
            let filter = EventFilter::only(types.iter().copied());
            filter.map_err(|error| fields.refuse("event_types", Code::InvalidValue, error.to_string())).ok().map(|_| types)
        });
        let description = fields.read("description", checked_description);
        let headers = read_headers(&mut fields);
        if let Some(url) = url.as_deref().filter(|url| known != Some(*url)) {
            match webhooks.judge(url).await {
                Ok(()) => {}
                Err(UrlError::NoResolver) => return Err(ApiError::Unavailable(Unavailable::Resolver)),
                Err(error) => fields.refuse("url", Code::UrlRefused, error.to_string()),
            }
        }
        fields.finish(|| Some(Self { url: url?, event_types: event_types.map(names), description, headers: headers?.into() }))
    }

    /// An endpoint as this changes it, but for its version and when it was changed.
    pub(super) fn over(self, endpoint: &Endpoint) -> Endpoint {
        let Self { url, event_types, description, headers } = self;
        Endpoint { url, event_types, description, headers, ..endpoint.clone() }
    }
}

/// Each header is judged by itself before all are judged together: of those only the first fault would be known.
fn read_headers(fields: &mut Fields) -> Option<CustomHeaders> {
    let headers = fields.map("headers").unwrap_or_default();
    let faults: Vec<_> = headers.iter().filter_map(|header| CustomHeaders::new([header.clone()]).err()).collect();
    let judged = if faults.is_empty() { CustomHeaders::new(headers).map_err(|fault| vec![fault]) } else { Err(faults) };
    let mut refuse = |fault: headers::Error| fields.refuse("headers", Code::HeaderRefused, fault.to_string());
    judged.map_err(|faults| faults.into_iter().for_each(&mut refuse)).ok()
}

fn names(types: Vec<EventType>) -> Vec<String> {
    let mut types = types;
    types.sort_unstable();
    types.dedup();
    types.into_iter().map(|event_type| event_type.as_str().to_owned()).collect()
}

fn checked_description(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if length <= DESCRIPTION_LENGTH_MAX {
        Ok(text.to_owned())
    } else {
        Err(format!("must have at most {DESCRIPTION_LENGTH_MAX} characters"))
    }
}

/// The part of an endpoint that a patch can change, as a body of its own.
pub(super) fn writable(endpoint: &Endpoint) -> Object {
    let Endpoint { url, event_types, description, headers, .. } = endpoint;
    let fields = [
        ("url", json!(url)),
        ("event_types", json!(event_types)),
        ("description", json!(description)),
        ("headers", json!(headers)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A patch whose headers are named as they are stored: names do not depend on upper and lower case. Where two are then the same, all
/// are left as they were given, to be refused.
pub(super) fn in_lower_case(mut patch: Object) -> Object {
    if let Some(Value::Object(headers)) = patch.get_mut("headers") {
        let lower: Object = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        if lower.len() == headers.len() {
            *headers = lower;
        }
    }
    patch
}

/// An endpoint's body, as an example.
pub(super) fn example_body() -> Value {
    json!({
        "url": "https://example.com/hooks/tidemark",
        "event_types": ["inventory.alert.fired", "inventory.alert.resolved"],
        "description": "The warehouse's chat", "headers": {"authorization": "Bearer 3f9c2a"}
    })
}

/// An endpoint, as an example.
pub(super) fn example() -> Value {
    let mut endpoint = example_body();
    let rest = json!({
        "id": "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY", "state": "enabled", "disabled_reason": null, "disabled_at": null,
        "health": "healthy", "previous_secret_until": null,
        "created_at": "2026-03-30T09:14:05Z", "updated_at": "2026-03-30T09:14:05Z", "version": 1
    });
    for (name, value) in rest.as_object().into_iter().flatten() {
        endpoint[name] = value.clone();
    }
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_patched_whatever_its_case_and_none_is_dropped() {
        let patch = |value: Value| match value {
            Value::Object(patch) => Value::Object(in_lower_case(patch)),
            other => other,
        };
        assert_eq!(patch(json!({"headers": {"X-A": null, "x-b": "1"}})), json!({"headers": {"x-a": null, "x-b": "1"}}));
        let twice = patch(json!({"headers": {"X-A": "1", "x-a": "2"}}));
        assert_eq!(twice["headers"].as_object().map(Object::len), Some(2));
        assert_eq!(patch(json!({"headers": 5})), json!({"headers": 5}));
    }
}
