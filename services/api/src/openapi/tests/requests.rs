//! What holds of all requests and of all answers: rules over the whole document, by which generated clients can be used without an edit.

use super::*;
use crate::iso8601;

/// The schemas that `parts` name, and those that these name.
fn named(document: &Value, parts: &[Value]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut left: Vec<String> = parts.iter().map(Value::to_string).collect();
    while let Some(text) = left.pop() {
        for rest in text.split("\"#/components/schemas/").skip(1) {
            let name = rest.split('"').next().expect("text").to_owned();
            left.extend((!names.contains(&name)).then(|| schema(document, &name).to_string()));
            names.insert(name);
        }
    }
    names
}

fn schema<'a>(document: &'a Value, name: &str) -> &'a Value {
    &document["components"]["schemas"][name]
}

/// The schemas of the bodies of requests, for each of their types.
fn bodies(document: &Value) -> Vec<Value> {
    let contents = |(_, _, operation): (String, String, Value)| operation["requestBody"]["content"].as_object().cloned();
    let contents = operations(document).into_iter().filter_map(contents).flatten();
    contents.map(|(_, content)| content["schema"].clone()).collect()
}

/// Everything that is answered, or sent to an endpoint.
fn answers(document: &Value) -> Vec<Value> {
    let answers = operations(document).into_iter().map(|(_, _, operation)| operation["responses"].clone());
    answers.chain([document["webhooks"].clone(), document["components"]["responses"].clone()]).collect()
}

fn may_be_null(schema: &Value) -> bool {
    let by_type = schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
    by_type || schema["oneOf"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["type"] == "null"))
}

#[test]
fn no_parameter_is_null_and_only_dimensions_are_filtered_by_any_name() {
    let mut free = Vec::new();
    for (_, _, operation) in operations(&generated()) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(!may_be_null(&parameter["schema"]), "{parameter}");
            if parameter["style"] == "deepObject" {
                free.push(operation["operationId"].clone());
            }
        }
    }
    assert_eq!(free, ["get_metric_values"]);
}

#[test]
fn a_body_is_one_named_object_and_never_null() {
    let bodies = bodies(&generated());
    assert!(bodies.len() > 10, "{bodies:?}");
    for body in bodies {
        assert!(body["$ref"].is_string(), "{body}");
    }
}

#[test]
fn requests_are_closed_and_answers_are_open() {
    let document = generated();
    for name in named(&document, &bodies(&document)) {
        let schema = schema(&document, &name);
        assert!(schema["properties"].is_null() || schema["additionalProperties"] == false, "{name} is open");
    }
    let answered = named(&document, &answers(&document));
    assert!(answered.len() > 40, "{answered:?}");
    for name in answered {
        assert_ne!(schema(&document, &name)["additionalProperties"], false, "{name} is closed");
    }
}

/// Null is as if absent. What a new one needs, a patch may leave out, but not take away.
#[test]
fn a_field_may_be_null_if_and_only_if_a_new_one_needs_none() {
    let document = generated();
    let mut seen = 0;
    for name in named(&document, &bodies(&document)) {
        let whole = name.strip_suffix("Patch").map_or_else(|| name.clone(), |name| format!("New{name}"));
        let required = schema(&document, &whole)["required"].as_array().cloned().unwrap_or_default();
        for (field, schema) in schema(&document, &name)["properties"].as_object().into_iter().flatten() {
            assert_eq!(may_be_null(schema), !required.contains(&json!(field)), "{name}.{field}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn no_answer_merges_alternatives() {
    let document = generated();
    for name in named(&document, &answers(&document)) {
        for part in schema(&document, &name)["allOf"].as_array().into_iter().flatten() {
            let named = part["$ref"].as_str().and_then(|reference| document.pointer(reference.trim_start_matches('#')));
            let part = named.unwrap_or(part);
            assert!(part["oneOf"].is_null() && part["anyOf"].is_null(), "{name}");
        }
    }
}

#[test]
fn a_duration_of_the_document_is_one_of_ours() {
    let document = generated();
    let duration = json!({ "$ref": "#/components/schemas/Duration" });
    let is_documented = |text: &str| faults(&document, &duration, &text.into()).is_empty();
    for good in ["P1W", "P1W2D", "P1D", "P1DT1H", "PT1H30M", "PT1H5S", "PT15M", "PT90S"] {
        assert!(is_documented(good) && iso8601::duration(good).is_ok(), "{good}");
    }
    for bad in ["", "P", "PT", "P1DT", "P1M", "P1Y", "PT1S1H", "1h", "-PT1H", "pt1h", "PT1H "] {
        assert!(!is_documented(bad) && iso8601::duration(bad).is_err(), "{bad}");
    }
}
