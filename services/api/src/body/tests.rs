//! What is told about a wrong body, and what a merge patch comes to.

use axum::body::Body as HttpBody;
use serde_json::json;

use super::*;

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn errors(fields: Fields) -> Vec<(String, Code)> {
    match fields.finish(|| Some(())) {
        Err(ApiError::Parameters(errors)) => errors.into_iter().map(|error| (error.parameter, error.code)).collect(),
        _ => Vec::new(),
    }
}

fn request(content_type: Option<&str>, body: &str) -> Request {
    let request = Request::builder();
    let request = content_type.into_iter().fold(request, |request, kind| request.header(header::CONTENT_TYPE, kind));
    request.body(HttpBody::from(body.to_owned())).expect("a request")
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let mut fields = Fields::of(object(json!({
        "name": 5, "on": "yes", "levels": [{"at": "x", "att": 1}, 7], "scope": [], "list": ["1", 2], "map": {"a": 1}, "extra": null,
    })));
    fields.require(&["name", "url"]);
    assert_eq!(fields.text("name"), None);
    assert_eq!(fields.text("url"), None);
    assert_eq!(fields.flag("on"), None);
    assert_eq!(fields.objects("levels", |level| level.read("at", str::parse::<u8>)), None);
    assert_eq!(fields.object("scope", |scope| scope.text("item")), None);
    assert_eq!(fields.texts("list", str::parse::<u8>), None);
    assert_eq!(fields.map("map"), None);
    let invalid = |name: &str| (name.to_owned(), Code::InvalidValue);
    let unknown = |name: &str| (name.to_owned(), Code::UnknownField);
    let expected = [
        ("url".to_owned(), Code::MissingField),
        invalid("name"),
        invalid("on"),
        invalid("levels[0].at"),
        unknown("levels[0].att"),
        invalid("levels[1]"),
        invalid("scope"),
        invalid("list[1]"),
        invalid("map.a"),
        unknown("extra"),
    ];
    assert_eq!(errors(fields), expected);
}

#[test]
fn a_mistake_is_told_as_what_must_be_and_only_decimals_are_numbers_as_text() {
    let mut fields = Fields::of(object(json!({"name": 5, "kind": "x", "on": "yes", "at": 12.5, "above": "12,5", "extra": 1})));
    fields.require(&["url"]);
    assert_eq!(fields.text("name"), None);
    assert_eq!(fields.word("kind", &[("a", 1), ("b", 2)]), None);
    assert_eq!(fields.flag("on"), None);
    assert_eq!((fields.decimal("at"), fields.decimal("above")), (None, None));
    let Err(ApiError::Parameters(errors)) = fields.finish(|| Some(())) else { panic!("all of it is wrong") };
    let told: Vec<_> = errors.iter().map(|error| (error.parameter.as_str(), error.detail.as_str())).collect();
    let expected = [
        ("url", "is required"),
        ("name", "must be a text; this is a number"),
        ("kind", "must be one of a, b"),
        ("on", "must be true or false; this is a text"),
        ("at", "must be a decimal number as text, such as \"12.5\"; this is a number"),
        ("above", "must be a decimal number as text, such as \"12.5\""),
        ("extra", "unknown field; allowed: name, kind, on, at, above"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn null_is_absent_and_needed_fields_miss_it() {
    let mut fields = Fields::of(object(json!({"name": null, "map": {"a": null, "b": "c"}})));
    fields.require(&["name"]);
    assert_eq!(fields.text("name"), None);
    assert_eq!(fields.map("map"), Some(vec![("b".to_owned(), "c".to_owned())]));
    assert_eq!(errors(fields), [("name".to_owned(), Code::MissingField)]);
}

#[test]
fn a_patch_replaces_lists_goes_into_objects_and_keeps_what_it_does_not_name() {
    let mut target = object(json!({"a": {"b": 1, "c": 2}, "list": [1, 2], "kept": true}));
    merge(&mut target, object(json!({"a": {"b": null, "d": 3}, "list": [3], "new": {"x": 1}})));
    let expected = json!({"a": {"b": null, "c": 2, "d": 3}, "list": [3], "kept": true, "new": {"x": 1}});
    assert_eq!(Value::Object(target), expected);
}

#[tokio::test]
async fn a_body_is_one_json_object_and_says_so() {
    let good = Body::from_request(request(Some("Application/JSON; charset=utf-8"), r#"{"a": 1}"#), &()).await;
    assert_eq!(good.expect("an object").0, object(json!({"a": 1})));
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let refused = Body::from_request(request(kind, "{}"), &()).await;
        assert!(matches!(refused, Err(ApiError::UnsupportedMediaType)), "{kind:?}");
    }
    for bad in
        ["", "[]", "null", "{", "{}{}", r#"{"a": 1, "a": 1}"#, r#"{"a": {"b": 1, "b": 2}}"#, "\u{feff}{}", &"[".repeat(1000)]
    {
        let refused = Body::from_request(request(Some("application/json"), bad), &()).await;
        assert!(matches!(refused, Err(ApiError::Body(_))), "{bad}");
    }
    assert!(OptionalBody::from_request(request(None, ""), &()).await.expect("nothing is fine").0.is_empty());
    let null = OptionalBody::from_request(request(Some("application/json"), "null"), &()).await;
    assert!(null.expect("null is as if absent").0.is_empty());
    for untyped in ["{}", "null"] {
        let refused = OptionalBody::from_request(request(None, untyped), &()).await;
        assert!(matches!(refused, Err(ApiError::UnsupportedMediaType)), "{untyped}");
    }
}

#[tokio::test]
async fn where_no_body_is_taken_none_is_ignored() {
    for (kind, nothing) in
        [(None, ""), (Some("application/json"), ""), (None, "{}"), (Some("text/plain"), " {} "), (None, "null")]
    {
        assert!(NoBody::from_request(request(kind, nothing), &()).await.is_ok(), "{kind:?} {nothing}");
    }
    for (kind, some) in [(Some("application/json"), "[]"), (None, "x"), (Some("application/x-www-form-urlencoded"), "force=1")] {
        let refused = NoBody::from_request(request(kind, some), &()).await;
        assert!(matches!(refused, Err(ApiError::Body(_))), "{some}");
    }
    let refused = NoBody::from_request(request(None, r#"{"until": null, "note": "x"}"#), &()).await;
    let Err(ApiError::Parameters(errors)) = refused else { panic!("{refused:?}") };
    let told: Vec<_> = errors.iter().map(|error| (error.parameter.as_str(), error.code, error.detail.as_str())).collect();
    let none = "there are no fields here";
    assert_eq!(told, [("note", Code::UnknownField, none), ("until", Code::UnknownField, none)]);
}
