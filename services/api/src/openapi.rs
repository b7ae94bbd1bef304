//! The OpenAPI 3.1 document, made from the routes without any state.

use tidemark_domain::calendar::Granularity;
use tidemark_store::Scope;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, RefOr, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{self, ParameterProblem, Problem};
use crate::router;

pub(crate) mod edges;
pub(crate) mod examples;
pub(crate) mod shapes;
mod webhooks;

/// The name of the security scheme.
const API_KEY: &str = "api_key";

const DESCRIPTION: &str = "\
Live, exact, per-tenant numbers from DynamoDB tables.

The tenant comes from the key alone. Every measured value is a canonical decimal number as text (no exponent, no trailing \
zeros); instants are RFC 3339 in UTC; ranges are half-open, `[from, to)`. Every refusal is `application/problem+json` (RFC 9457) \
and names all parameters that are wrong. What changes something for a tenant has a limit of its own beside those of the key and of the \
tenant: 10 writes a second, 100 in a burst, unless the deployment sets others; `RateLimit` says how it stands. Every answer repeats `X-Request-Id`, the client's own or one of ours.";

/// The document as it is committed: indented JSON with a newline at its end.
pub fn json() -> String {
    let mut json = document().to_pretty_json().expect("the document is plain data");
    json.push('\n');
    json
}

/// The document.
pub fn document() -> OpenApi {
    edges::complete(router::routes().into_openapi())
}

/// What the routes add their operations to.
pub fn base() -> OpenApi {
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An API key, `tdm_<id>_<secret>_<checksum>`; or, where the deployment has an OpenID Connect issuer, one of its access \
             tokens, with the tenant and the scopes in its claims. Metrics, status and quarantine take the scope `metrics:read`; inventory \
             `inventory:read`; reading alerts and rules, and previewing one, `alerts:read`; acting on an alert `alerts:write`; \
             changing rules `rules:write`; everything about webhooks `webhooks:write`; API keys and the tenant's settings `keys:write`, but \
             reading the settings `metrics:read`. Operators' keys are of no tenant, have the scope `operator` alone, and no token has it.",
        ))
        .build();
    let mut components = ComponentsBuilder::new()
        .security_scheme(API_KEY, SecurityScheme::Http(key))
        .schema(Problem::name(), Problem::schema())
        .schema(ParameterProblem::name(), ParameterProblem::schema());
    for (name, schema) in webhooks::schemas() {
        components = components.schema(name, schema);
    }
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
        // What an operation takes unless it says otherwise.
        .security(Some([SecurityRequirement::new(API_KEY, [Scope::MetricsRead.to_string()])]))
        .webhooks(Some(webhooks::section()))
        .tags(Some([
            tag("metrics", "The numbers."),
            tag("status", "How fresh and how exact they are."),
            tag("inventory", "What is in stock."),
            tag("alerts", "What is low, and the rules that say so."),
            tag("webhooks", "Where events are sent, and how that goes."),
            tag("events", "The events sent to webhook endpoints."),
            tag("tenant", "The tenant's settings and keys."),
            tag("admin", "All tenants, for operators."),
        ]))
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
mod tests;
