//! From the tree of a definition file to sources, metrics and inventories. What the fields mean to each other is
//! [`super::check`]'s.

use super::problem::Invalid;
use super::spot::{Report, Spot};
use super::{Definitions, Inventory, KeySchema, LocationRule, Quantity, Source, TenantRule, TtlDelete};
use super::{check, metric, yaml};
use crate::name::{InventoryName, MetricName, SourceName};
use crate::tenant::TenantId;

/// Most bytes of an attribute's name (AWS: naming rules).
const ATTRIBUTE_BYTES_MAX: usize = 255;
/// Most bytes of a default location: it becomes part of a sort key.
const LOCATION_BYTES_MAX: usize = 256;

pub(super) fn definitions(text: &str) -> Result<Definitions, Invalid> {
    let tree = yaml::parse(text).map_err(|problem| Invalid::new(vec![problem]))?;
    let report = Report::default();
    let read = file(&Spot::root(&report, &tree));
    for finding in read.iter().flat_map(|(definitions, sources)| check::findings_of_file(definitions, sources)) {
        // A part that is there but could not be read has been reported; that it is missing would be a second, wrong report.
        if !finding.missing.is_some_and(|path| report.is_spoiled(&path)) {
            report.add(&finding.path, finding.message);
        }
    }
    let definitions = read.map(|(definitions, _)| definitions);
    let problems = report.into_problems();
    definitions.filter(|_| problems.is_empty()).ok_or_else(|| Invalid::new(problems))
}

/// What could be read, and the names of all sources, also of those that could not.
fn file<'a>(root: &Spot<'a>) -> Option<(Definitions, Vec<&'a str>)> {
    let fields = root.fields(&["sources", "metrics", "inventory"])?;
    let sources = fields.required("sources", |spot| spot.named(SourceName::new, source));
    let metrics = fields.optional("metrics", |spot| spot.named(MetricName::new, metric::metric));
    let inventories = fields.optional("inventory", |spot| spot.named(InventoryName::new, inventory));
    let is_empty_map = |name| fields.get(name).is_some_and(|spot| spot.is_map() && spot.keys().is_empty());
    if is_empty_map("sources") {
        fields.problem_at("sources", "needs at least one source");
    }
    if ["metrics", "inventory"].iter().all(|name| fields.get(name).is_none() || is_empty_map(name)) {
        fields.problem("needs at least one metric (under `metrics`) or inventory (under `inventory`)");
    }
    let definitions = Definitions {
        sources: sources.unwrap_or_default(),
        metrics: metrics.unwrap_or_default(),
        inventories: inventories.unwrap_or_default(),
    };
    Some((definitions, fields.get("sources").map(Spot::keys).unwrap_or_default()))
}

fn source(spot: &Spot<'_>) -> Option<Source> {
    let fields = spot.fields(&["table", "key", "tenant", "ttl_delete"])?;
    let table = fields.required("table", |spot| spot.parsed(table_name));
    let key = fields.optional("key", key_schema);
    let tenant = fields.required("tenant", tenant_rule);
    let ttl_delete = fields.optional("ttl_delete", |spot| spot.parsed(ttl_delete));
    Some(Source { table: table?, key, tenant: tenant?, ttl_delete: ttl_delete.unwrap_or(TtlDelete::Keep) })
}

/// AWS: naming rules of tables.
fn table_name(text: &str) -> Result<String, &'static str> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.');
    if (3..=255).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("a table's name is 3 to 255 of A-Z a-z 0-9 _ - .")
    }
}

fn ttl_delete(text: &str) -> Result<TtlDelete, &'static str> {
    match text {
        "keep" => Ok(TtlDelete::Keep),
        "subtract" => Ok(TtlDelete::Subtract),
        _ => Err("must be `keep` (items aged out by TTL stay counted) or `subtract` (they leave)"),
    }
}

fn key_schema(spot: &Spot<'_>) -> Option<KeySchema> {
    let fields = spot.fields(&["partition", "sort"])?;
    let partition = fields.required("partition", attribute);
    let sort = fields.optional("sort", attribute);
    if partition.is_some() && partition == sort {
        spot.problem("partition and sort key must be two attributes");
    }
    Some(KeySchema { partition: partition?, sort })
}

fn tenant_rule(spot: &Spot<'_>) -> Option<TenantRule> {
    let fields = spot.fields(&["attribute", "default", "constant"])?;
    let tenant = |spot: &Spot<'_>| spot.parsed(TenantId::new);
    let default = fields.optional("default", tenant);
    match fields.exactly_one(&["attribute", "constant"])? {
        ("constant", constant) => {
            if let Some(default) = fields.get("default") {
                default.problem("goes with `attribute`; with `constant` every item has its tenant");
            }
            tenant(constant).map(TenantRule::Constant)
        }
        (_, from) => Some(TenantRule::Attribute { attribute: attribute(from)?, default }),
    }
}

fn inventory(spot: &Spot<'_>) -> Option<Inventory> {
    let fields = spot.fields(&["source", "item", "location", "on_hand", "committed", "incoming", "reorder_point"])?;
    let source = fields.required("source", |spot| spot.parsed(SourceName::new));
    let item = fields.required("item", attribute);
    let location = fields.optional("location", |spot| with_default(spot, location));
    let on_hand = fields.required("on_hand", attribute);
    let committed = fields.optional("committed", quantity);
    let incoming = fields.optional("incoming", quantity);
    let reorder_point = fields.optional("reorder_point", attribute);
    let location = location.map(|(attribute, default)| LocationRule { attribute, default });
    Some(Inventory { source: source?, item: item?, location, on_hand: on_hand?, committed, incoming, reorder_point })
}

fn location(spot: &Spot<'_>) -> Option<String> {
    let text = spot.canonical()?;
    if text.is_empty() || text.len() > LOCATION_BYTES_MAX {
        spot.problem(format!("a location has 1 to {LOCATION_BYTES_MAX} bytes"));
        return None;
    }
    Some(text)
}

fn quantity(spot: &Spot<'_>) -> Option<Quantity> {
    let default = |spot: &Spot<'_>| {
        let number = spot.number()?;
        if !number.is_readable() {
            spot.problem("must be below 10^38, with at most 20 digits after the point and 38 in all");
        }
        Some(number)
    };
    with_default(spot, default).map(|(attribute, default)| Quantity { attribute, default })
}

/// An attribute and what stands for it where it is missing: `{ attribute, default }`, or the attribute's name alone.
pub(super) fn with_default<'a, T>(spot: &Spot<'a>, default: impl FnOnce(&Spot<'a>) -> Option<T>) -> Option<(String, Option<T>)> {
    if !spot.is_map() {
        return attribute(spot).map(|attribute| (attribute, None));
    }
    let fields = spot.fields(&["attribute", "default"])?;
    let from = fields.required("attribute", attribute);
    let default = fields.optional("default", default);
    Some((from?, default))
}

/// The name of an attribute of the source's items.
pub(super) fn attribute(spot: &Spot<'_>) -> Option<String> {
    spot.parsed(|text| match text.len() {
        1..=ATTRIBUTE_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(format!("an attribute's name has 1 to {ATTRIBUTE_BYTES_MAX} bytes")),
    })
}
