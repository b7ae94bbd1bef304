//! `GET /v1/metrics/{metric}/dimensions/{name}`: which values a dimension has had.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;
use tidemark_domain::{DimensionName, Group};
use tidemark_store::ValuesQuery;
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::page::{List, Page, PageParameters, PageRequest};
use crate::params::Params;
use crate::problem::{ApiError, NotFound};
use crate::state::{ApiState, metric_of};

/// A page of values, in the order of their UTF-8 (but `#`, `%` and control characters count as `%`).
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"data": [{"value": "mug"}, {"value": "tea"}], "page": {"next_cursor": null}}))]
pub(crate) struct DimensionValueList {
    pub data: Vec<DimensionValue>,
    pub page: Page,
}

/// A value of a dimension.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DimensionValue {
    /// Null: the group of records without the attribute; a filter names it `\N`.
    #[schema(value_type = Option<String>, required)]
    pub value: Group,
}

/// Lists the values that a dimension has had, whether or not anything is counted by them now.
///
/// A page costs one read of its own values and one more, however many there are: 5 read capacity units for 200 values of a hundred
/// bytes.
#[utoipa::path(
    get, path = "/v1/metrics/{metric}/dimensions/{name}", operation_id = "list_dimension_values", tag = "metrics",
    params(
        ("metric" = String, Path, description = "The metric's name.", example = "sales"),
        ("name" = String, Path, description = "The dimension's name.", example = "item"),
        ("prefix" = Option<String>, Query, description = "What the values begin with; upper and lower case differ."),
        PageParameters,
    ),
    responses((status = 200, description = "A page of values.", body = DimensionValueList), NotFound, ApiError),
)]
pub(crate) async fn list_dimension_values(
    caller: Caller<scope::MetricsRead>,
    State(state): State<ApiState>,
    Path((metric, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<DimensionValueList>, ApiError> {
    let running = state.running();
    let (metric, definition) = metric_of(&running, &metric, &caller.tenant)?;
    let dimension = DimensionName::new(&name).map_err(|_| ApiError::NotFound)?;
    if !definition.definition.dimensions.contains_key(&dimension) {
        return Err(ApiError::NotFound);
    }
    let within = format!("{metric}.{dimension}");
    let list = List { name: "dimension_values", within: &within, tenant: Some(caller.tenant.id()), keys: &state.keys };
    let mut params = Params::parse(query.as_deref());
    let request = PageRequest::take(&mut params, list);
    let prefix = params.take("prefix").unwrap_or_default();
    let request = params.finish(&["prefix", "limit", "cursor"], || request)?;
    let after = request.after.as_deref().and_then(Group::decoded);
    let wanted = ValuesQuery { metric, dimension, prefix, after, limit: request.limit };
    let found = state.store.known_values(&caller.tenant, &wanted).await.map_err(ApiError::of_store)?;
    let last = found.values.last().filter(|_| found.more).map(Group::encoded);
    let page = list.page(&request, last.as_deref());
    Ok(Json(DimensionValueList { page, data: found.values.into_iter().map(|value| DimensionValue { value }).collect() }))
}
