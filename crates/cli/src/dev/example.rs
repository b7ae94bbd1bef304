//! An item for a newcomer to write: made up from a metric's definition so that the metric counts it.

use jiff::civil::Date;
use serde_json::{Value, json};
use tidemark_domain::contribution::{self, Contribution};
use tidemark_domain::definition::{Measure, Metric, Source, TenantRule};
use tidemark_domain::{Attribute, Definitions, DimensionName, Image, MetricName, Running, TenantId, Zone};

/// A metric, what to ask of it, and an item that changes the answer.
pub(crate) struct Example<'a> {
    pub(crate) metric: &'a MetricName,
    /// A dimension that is stored by itself, if there is one.
    pub(crate) dimension: Option<&'a DimensionName>,
    /// The body of a `PutItem`. `None`: what the definition asks of an item cannot be made up.
    pub(crate) put: Option<Value>,
}

impl<'a> Example<'a> {
    /// An example of the first metric, for a tenant; `None` when there is no metric.
    pub(crate) fn of(definitions: &'a Definitions, tenant: &TenantId, today: Date) -> Option<Self> {
        let (name, metric) = definitions.metrics.iter().next()?;
        let alone = metric.group_by.iter().filter(|set| set.dimensions().len() == 1);
        // An item is what people think of first.
        let dimension = alone.filter_map(|set| set.dimensions().next()).min_by_key(|dimension| dimension.as_str() != "item");
        let source = &definitions.sources[&metric.source];
        let image = made_up(metric, source, (tenant, dimension, today));
        let put = image.filter(|image| counts(definitions, metric, source, (tenant, image)));
        let put = put.map(|image| json!({ "TableName": source.table, "Item": image }));
        Some(Self { metric: name, dimension, put })
    }
}

fn made_up(
    metric: &Metric,
    source: &Source,
    (tenant, dimension, today): (&TenantId, Option<&DimensionName>, Date),
) -> Option<Image> {
    let key = source.key.as_ref()?;
    let text = |text: &str| Attribute::Text(text.to_owned());
    let mut image = Image::from([(key.partition.clone(), text("my-1"))]);
    if let Some(sort) = &key.sort {
        image.insert(sort.clone(), text("1"));
    }
    if let Some(dimension) = dimension {
        image.insert(metric.dimensions[dimension].clone(), text(&format!("{dimension}123")));
    }
    for measure in metric.measures.values() {
        if let Measure::Sum { factors, .. } = measure {
            image.extend(factors.iter().map(|factor| (factor.clone(), Attribute::Number("10".to_owned()))));
        }
    }
    if let Some(currency) = metric.currency.as_ref().filter(|currency| currency.default.is_none()) {
        image.insert(currency.attribute.clone(), text("USD"));
    }
    if let TenantRule::Attribute { attribute, default } = &source.tenant
        && default.as_ref() != Some(tenant)
    {
        image.insert(attribute.clone(), text(tenant.as_str()));
    }
    image.insert(metric.time.clone(), text(&today.to_string()));
    Some(image)
}

/// Whether the tenant's numbers change by the item, by the worker's own rules.
fn counts(definitions: &Definitions, metric: &Metric, source: &Source, (tenant, image): (&TenantId, &Image)) -> bool {
    let running = Running::first(definitions);
    let Contribution { rows, unreadable } = contribution::of_image(&running, &metric.source, image, tenant, &Zone::utc());
    contribution::tenant_of(&source.tenant, image).is_ok_and(|of| of == *tenant) && unreadable.is_empty() && !rows.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_of(file: &str, tenant: &str) -> Option<Value> {
        let definitions = Definitions::parse(file).unwrap_or_else(|invalid| panic!("{invalid}"));
        let tenant = TenantId::new(tenant).unwrap();
        Example::of(&definitions, &tenant, jiff::civil::date(2026, 11, 22)).unwrap().put
    }

    #[test]
    fn the_guidances_example_is_its_own_order() {
        let put = put_of(include_str!("../../../../definitions/orders-by-item.yaml"), "demo");
        let item = json!({
            "orderid": {"S": "my-1"}, "order_date": {"S": "2026-11-22"}, "item_number": {"S": "item123"}, "quantity": {"N": "10"},
        });
        assert_eq!(put, Some(json!({ "TableName": "Order_by_item", "Item": item })));
    }

    #[test]
    fn another_tenant_than_the_default_is_written_into_the_item() {
        let put = put_of(include_str!("../../../../definitions/retail.yaml"), "acme").unwrap();
        assert_eq!(put["Item"]["tenant_id"], json!({"S": "acme"}));
    }

    #[test]
    fn an_item_that_would_not_count_is_not_shown() {
        let file = "
sources: { s: { table: Things, key: { partition: id }, tenant: { constant: demo } } }
metrics:
  m: { source: s, time: at, where: [{ attribute: state, in: [done] }], measures: { n: { count: true } }, group_by: [[]] }
";
        assert_eq!(put_of(file, "demo"), None);
        assert_eq!(put_of(&file.replace("in:", "or_missing: true, in:"), "other"), None);
        assert!(put_of(&file.replace("in:", "or_missing: true, in:"), "demo").is_some());
    }
}
