//! `GET /v1/metrics` and `GET /v1/metrics/{metric}`: what can be asked for.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::calendar::Granularity;
use tidemark_domain::definition::{GroupingSet, Measure};
use tidemark_domain::running::RunningMetric;
use tidemark_domain::{DimensionName, MeasureName, MetricName, SourceName, Zone};
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::page::{List, Page, PageParameters, PageRequest};
use crate::params::Params;
use crate::problem::{ApiError, NotFound};
use crate::state::{ApiState, may_hold, metric_of};

/// A page of metrics, by name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "data": [{
        "metric": "sales", "version": "3f9c2a", "source": "orders", "by_currency": false,
        "measures": [{"measure": "units", "kind": "sum", "unit": null}], "dimensions": ["item"], "grouping_sets": [[], ["item"]],
        "granularities": ["PT15M", "PT1H", "P1D", "P1W", "P1M"], "time_zone": "UTC", "since": null
    }],
    "page": {"next_cursor": null}
}))]
pub(crate) struct MetricList {
    pub data: Vec<Metric>,
    pub page: Page,
}

/// A family of numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "metric": "sales", "version": "3f9c2a", "source": "orders", "by_currency": true,
    "measures": [
        {"measure": "average_order", "kind": "ratio", "unit": null, "numerator": "revenue", "denominator": "orders"},
        {"measure": "orders", "kind": "count", "unit": null},
        {"measure": "revenue", "kind": "sum", "unit": "money"}
    ],
    "dimensions": ["channel", "item", "region"], "grouping_sets": [[], ["channel"], ["item"], ["item", "region"]],
    "granularities": ["PT15M", "PT1H", "P1D", "P1W", "P1M"], "time_zone": "Europe/Berlin", "since": null
}))]
pub(crate) struct Metric {
    #[schema(value_type = String)]
    pub metric: MetricName,
    /// Changes with the definition.
    pub version: String,
    #[schema(value_type = String)]
    pub source: SourceName,
    /// Whether every answer is split by currency.
    pub by_currency: bool,
    pub measures: Vec<MeasureShape>,
    #[schema(value_type = Vec<String>)]
    pub dimensions: Vec<DimensionName>,
    /// What `group_by` can be.
    #[schema(value_type = Vec<Vec<String>>)]
    pub grouping_sets: Vec<GroupingSet>,
    /// What `granularity` can be.
    pub granularities: Vec<&'static str>,
    /// The tenant's zone, in which days are kept.
    #[schema(value_type = String)]
    pub time_zone: Zone,
    /// When it began to count; null: with the deployment.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub since: Option<Timestamp>,
}

/// One number of a metric.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeasureShape {
    #[schema(value_type = String)]
    pub measure: MeasureName,
    pub kind: MeasureKind,
    /// Of a ratio alone: the measure that is divided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub numerator: Option<MeasureName>,
    /// Of a ratio alone: the measure that it is divided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub denominator: Option<MeasureName>,
    /// As the definition names it.
    #[schema(required)]
    pub unit: Option<String>,
}

/// How a number is made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MeasureKind {
    /// A sum over the source's items.
    Sum,
    /// The number of the source's items.
    Count,
    /// One measure over another, divided when read.
    Ratio,
}

impl Metric {
    fn of(name: &MetricName, metric: &RunningMetric, zone: &Zone) -> Self {
        let definition = &metric.definition;
        Self {
            metric: name.clone(),
            version: definition.version(),
            source: definition.source.clone(),
            by_currency: definition.currency.is_some(),
            measures: definition.measures.iter().map(|(name, measure)| MeasureShape::of(name, measure)).collect(),
            dimensions: definition.dimensions.keys().cloned().collect(),
            grouping_sets: definition.group_by.iter().cloned().collect(),
            granularities: Granularity::ALL.map(Granularity::as_str).to_vec(),
            time_zone: zone.clone(),
            since: metric.since,
        }
    }
}

impl MeasureShape {
    fn of(name: &MeasureName, measure: &Measure) -> Self {
        let (kind, parts) = match measure {
            Measure::Sum { .. } => (MeasureKind::Sum, None),
            Measure::Count { .. } => (MeasureKind::Count, None),
            Measure::Ratio { numerator, denominator, .. } => (MeasureKind::Ratio, Some((numerator.clone(), denominator.clone()))),
        };
        let (numerator, denominator) = parts.unzip();
        Self { measure: name.clone(), kind, numerator, denominator, unit: measure.unit().map(str::to_owned) }
    }
}

/// Lists the metrics.
#[utoipa::path(
    get, path = "/v1/metrics", operation_id = "list_metrics", tag = "metrics",
    params(PageParameters),
    responses((status = 200, description = "A page of metrics, by name.", body = MetricList), ApiError),
)]
pub(crate) async fn list_metrics(
    caller: Caller<scope::MetricsRead>,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Json<MetricList>, ApiError> {
    let tenant = &caller.tenant;
    let list = List { name: "metrics", within: "", tenant: Some(tenant.id()), keys: &state.keys };
    let mut params = Params::parse(query.as_deref());
    let request = PageRequest::take(&mut params, list);
    let request = params.finish(&["limit", "cursor"], || request)?;
    let zone = state.zones.of(tenant).await?;
    let running = state.running();
    let visible = running.metrics.iter().filter(|(name, metric)| {
        let source = running.sources.get(&metric.definition.source);
        source.is_some_and(|source| may_hold(source, tenant))
            && request.after.as_deref().is_none_or(|after| name.as_str() > after)
    });
    let mut visible = visible.peekable();
    let data: Vec<Metric> = visible.by_ref().take(request.limit).map(|(name, metric)| Metric::of(name, metric, &zone)).collect();
    let last = data.last().filter(|_| visible.peek().is_some()).map(|metric| metric.metric.as_str());
    let page = list.page(&request, last);
    Ok(Json(MetricList { page, data }))
}

/// One metric.
#[utoipa::path(
    get, path = "/v1/metrics/{metric}", operation_id = "get_metric", tag = "metrics",
    params(("metric" = String, Path, description = "The metric's name.", example = "sales")),
    responses((status = 200, description = "The metric's definition.", body = Metric), NotFound, ApiError),
)]
pub(crate) async fn get_metric(
    caller: Caller<scope::MetricsRead>,
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Metric>, ApiError> {
    let running = state.running();
    let (name, metric) = metric_of(&running, &name, &caller.tenant)?;
    Params::parse(query.as_deref()).finish(&[], || ())?;
    let zone = state.zones.of(&caller.tenant).await?;
    Ok(Json(Metric::of(&name, metric, &zone)))
}
