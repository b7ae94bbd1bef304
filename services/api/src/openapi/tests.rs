//! The document is committed, complete, and true: what it says of a shape holds for its examples and for what is really sent.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tidemark_webhooks::payload;

use super::*;

mod requests;

const VERBS: [&str; 15] = [
    "list",
    "get",
    "create",
    "update",
    "delete",
    "preview",
    "acknowledge",
    "resolve",
    "mute",
    "unmute",
    "enable",
    "disable",
    "rotate",
    "test",
    "recover",
];

fn generated() -> Value {
    serde_json::to_value(document()).expect("plain data")
}

/// Every operation: its method, path and itself.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, operations): (&String, &Value)| {
        let operations = operations.as_object().expect("operations").clone();
        let path = path.clone();
        operations.into_iter().map(move |(method, operation)| (method, path.clone(), operation)).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

fn success(operation: &Value) -> (&String, &Value) {
    let responses = operation["responses"].as_object().expect("responses");
    responses.iter().find(|(status, _)| status.starts_with('2')).expect("every operation can succeed")
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let committed = include_str!("../../../../openapi/openapi.json");
    assert!(committed == json(), "openapi/openapi.json is stale: run `just openapi`");
}

#[test]
fn every_operation_has_a_name_examples_and_its_refusals() {
    let document = generated();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().expect("an operation id").to_owned();
        let verb = name.split_once('_').map(|(verb, _)| verb).expect("<verb>_<resource>");
        assert!(VERBS.contains(&verb) || name == "retry_delivery", "{name} is no <verb>_<resource>");
        assert!(names.insert(name.clone()), "{name} is there twice");
        let (status, answer) = success(&operation);
        assert!(status == "204" || has_example(&document, answer), "{name} has no example");
        let responses = operation["responses"].as_object().expect("responses");
        for status in ["400", "401", "403", "414", "429", "431", "500", "503"] {
            assert!(responses.contains_key(status), "{name} lacks {status}");
        }
        let when = |status: &str, holds: bool| assert_eq!(responses.contains_key(status), holds, "{name}: {status}");
        when("404", path.contains('{'));
        when("304", method == "get");
        let headers = [Some("RateLimit"), Some("RateLimit-Policy"), (method == "get").then_some("ETag")];
        for header in headers.into_iter().flatten() {
            assert!(!answer["headers"][header].is_null(), "{name}: its answer lacks {header}");
        }
        let body = &operation["requestBody"];
        assert!(body.is_null() || has_example(&document, body), "{name}: its body has no example");
        when("413", !body.is_null());
        when("415", !body.is_null());
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        when("412", parameters.iter().any(|parameter| parameter["name"] == "If-Match"));
        // A key never changes, so there is no version of it to name.
        let is_versioned = ["patch", "delete"].contains(&method.as_str()) && name != "delete_api_key";
        assert!(!is_versioned || responses.contains_key("412"), "{name} takes If-Match");
    }
    assert_eq!(names.len(), 46);
}

/// Whether a body shows an example, of its own or of its schema.
fn has_example(document: &Value, body: &Value) -> bool {
    let contents = body["content"].as_object().cloned().unwrap_or_default();
    contents.get("application/json").is_some_and(|json| example_of(document, json).is_some())
}

fn example_of(document: &Value, content: &Value) -> Option<Value> {
    let own = content.get("example").cloned();
    let schema = || document.pointer(content["schema"]["$ref"].as_str()?.trim_start_matches('#'));
    own.or_else(|| schema()?.get("example").cloned())
}

#[test]
fn every_reference_leads_somewhere() {
    let document = generated();
    let text = document.to_string();
    let references: BTreeSet<&str> = text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 10, "{references:?}");
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

/// What is wrong with a value by a schema of the document.
fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).expect("a schema");
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn every_example_is_what_its_schema_says() {
    let document = generated();
    let mut seen = 0;
    let mut check = |name: &str, contents: &Value| {
        for (kind, content) in contents.as_object().into_iter().flatten().filter(|(kind, _)| kind.ends_with("json")) {
            let Some(example) = example_of(&document, content) else { continue };
            assert_eq!(faults(&document, &content["schema"], &example), [""; 0], "{name}, {kind}: {example}");
            seen += 1;
        }
    };
    for (_, path, operation) in operations(&document) {
        check(&path, &success(&operation).1["content"]);
        check(&path, &operation["requestBody"]["content"]);
    }
    for (name, entry) in document["webhooks"].as_object().expect("webhooks") {
        check(name, &entry["post"]["requestBody"]["content"]);
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn there_is_a_webhook_for_each_type_of_event() {
    use tidemark_webhooks::event::EventType;
    let document = generated();
    for event_type in EventType::ALL {
        let body = &document["webhooks"][event_type.as_str()]["post"]["requestBody"]["content"]["application/json"];
        assert_eq!(body["example"]["type"], event_type.as_str());
    }
}

/// Every object's fields are those of its schema, none more and none less.
fn same_fields(document: &Value, name: &str, value: &Value) {
    let schema = &document["components"]["schemas"][name];
    let fields = |value: &Value| value.as_object().map(Map::keys).into_iter().flatten().cloned().collect::<BTreeSet<_>>();
    let required: BTreeSet<String> = schema["required"]
        .as_array()
        .expect("all are required")
        .iter()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    assert_eq!(fields(value), fields(&schema["properties"]), "{name}");
    assert_eq!(fields(value), required, "{name}");
}

#[test]
fn what_is_sent_and_shown_of_an_alert_has_the_documented_shape() {
    let document = generated();
    let schema = json!({ "$ref": "#/components/schemas/Alert" });
    for alert in [examples::firing(), examples::resolved()] {
        let shown = json!(payload::Alert::from(&alert));
        assert_eq!(faults(&document, &schema, &shown), [""; 0], "{shown}");
        same_fields(&document, "Alert", &shown);
        same_fields(&document, "AppliedRule", &shown["rule"]);
        same_fields(&document, "Threshold", &shown["rule"]["levels"][0]);
    }
    let mut wrong = examples::alert();
    wrong["available"] = "7.0".into();
    wrong["state"] = "muted".into();
    wrong["fired_at"] = "yesterday".into();
    assert_eq!(faults(&document, &schema, &wrong).len(), 3, "the schema tells right from wrong");
}

#[test]
fn what_is_sent_has_the_documented_fields() {
    use tidemark_domain::alert::EventKind;
    let document = generated();
    for kind in [EventKind::Fired, EventKind::Escalated, EventKind::Repeated, EventKind::Resolved] {
        let event = examples::alert_event(kind);
        same_fields(&document, "AlertEvent", &event);
        same_fields(&document, "AlertEventData", &event["data"]);
        same_fields(&document, "Links", &event["data"]["links"]);
    }
    let (disabled, ping) = (examples::endpoint_disabled(), examples::ping());
    same_fields(&document, "EndpointDisabledEvent", &disabled);
    same_fields(&document, "EndpointDisabledData", &disabled["data"]);
    same_fields(&document, "PingEvent", &ping);
    same_fields(&document, "PingData", &ping["data"]);
}
