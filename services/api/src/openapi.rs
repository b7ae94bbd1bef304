//! The OpenAPI 3.1 document, made from the routes without any state.

use tidemark_domain::calendar::Granularity;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, RefOr, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{self, ParameterProblem, Problem};
use crate::router;

/// The name of the security scheme.
const API_KEY: &str = "api_key";

const DESCRIPTION: &str = "\
Live, exact, per-tenant numbers from DynamoDB tables.

The tenant comes from the key alone. Every measured value is a canonical decimal number as text (no exponent, no trailing \
zeros); instants are RFC 3339 in UTC; ranges are half-open, `[from, to)`. Every refusal is `application/problem+json` (RFC 9457) \
and names all parameters that are wrong. Every answer repeats `X-Request-Id`, the client's own or one of ours.";

/// The document as it is committed: indented JSON with a newline at its end.
pub fn json() -> String {
    let mut json = document().to_pretty_json().expect("the document is plain data");
    json.push('\n');
    json
}

/// The document.
pub fn document() -> OpenApi {
    router::routes().into_openapi()
}

/// What the routes add their operations to.
pub fn base() -> OpenApi {
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An API key, `tdm_<id>_<secret>_<checksum>`. Reading metrics, status and quarantine takes `metrics:read`.",
        ))
        .build();
    let mut components = ComponentsBuilder::new()
        .security_scheme(API_KEY, SecurityScheme::Http(key))
        .schema(Problem::name(), Problem::schema())
        .schema(ParameterProblem::name(), ParameterProblem::schema());
    for (name, response) in problem::components() {
        components = components.response(name, response);
    }
    let tag = |name: &str, description: &str| TagBuilder::new().name(name).description(Some(description)).build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Tidemark")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
                .build(),
        )
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new(API_KEY, [] as [&str; 0])]))
        .tags(Some([tag("metrics", "The numbers."), tag("status", "How fresh and how exact they are.")]))
        .build()
}

/// Documents the `granularity` parameter with the domain's own list.
pub(crate) struct GranularityName;

impl PartialSchema for GranularityName {
    fn schema() -> RefOr<Schema> {
        let names = Granularity::ALL.map(Granularity::as_str);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
    }
}

impl ToSchema for GranularityName {
    fn name() -> std::borrow::Cow<'static, str> {
        "Granularity".into()
    }
}

/// Documents measured values by name: decimal numbers as text, in their one spelling, or null.
pub(crate) struct ValuesShape;

impl PartialSchema for ValuesShape {
    fn schema() -> RefOr<Schema> {
        let value = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .pattern(Some(r"^-?(0|[1-9]\d*)(\.\d*[1-9])?$"));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("Measures by name: canonical decimal numbers as text; null for a ratio over zero."))
            .additional_properties(Some(value))
            .into()
    }
}

impl ToSchema for ValuesShape {
    fn name() -> std::borrow::Cow<'static, str> {
        "Values".into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_committed_document_is_the_generated_one() {
        let committed = include_str!("../../../openapi/openapi.json");
        assert!(committed == json(), "openapi/openapi.json is stale: run `just openapi`");
    }

    #[test]
    fn every_operation_has_a_name_an_example_and_its_refusals() {
        let document = serde_json::to_value(document()).expect("plain data");
        assert_eq!(document["openapi"], "3.1.0");
        let mut names = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().expect("paths") {
            for operation in operations.as_object().expect("operations").values() {
                let name = operation["operationId"].as_str().expect("an operation id").to_owned();
                assert!(["list_", "get_"].iter().any(|verb| name.starts_with(verb)), "{name} is no <verb>_<resource>");
                assert!(names.insert(name.clone()), "{name} is there twice");
                assert!(has_example(&document, &operation["responses"]["200"]), "{name} has no example");
                let responses = operation["responses"].as_object().expect("responses");
                for status in ["200", "400", "401", "403", "500", "503"] {
                    assert!(responses.contains_key(status), "{name} lacks {status}");
                }
                assert_eq!(path.contains('{'), responses.contains_key("404"), "{name}: 404 is for what is named in the path");
            }
        }
        assert_eq!(names.len(), 6);
    }

    /// Whether an answer shows an example, of its own or of its schema.
    fn has_example(document: &serde_json::Value, answer: &serde_json::Value) -> bool {
        let json = &answer["content"]["application/json"];
        let schema = json["schema"]["$ref"].as_str().and_then(|reference| document.pointer(reference.trim_start_matches('#')));
        json.get("example").is_some() || schema.is_some_and(|schema| schema.get("example").is_some())
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = serde_json::to_value(document()).expect("plain data");
        let text = document.to_string();
        let references: BTreeSet<&str> = text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 10, "{references:?}");
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
