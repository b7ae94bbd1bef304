//! `GET /v1/quarantine` and `GET /v1/quarantine/{id}`: the records that could not be counted, and why.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::SourceName;
use tidemark_store::{QuarantineQuery, Quarantined, StoredImage};
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::page::{List, Page, PageParameters, PageRequest};
use crate::params::Params;
use crate::problem::{ApiError, NotFound};
use crate::state::ApiState;

/// A page of records, newest day first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "data": [{
        "id": "qua_20260330_orders_4700000000001", "source": "orders", "sequence_number": "4700000000001",
        "at": "2026-03-30T09:14:05Z", "code": "measure",
        "reason": "metric `sales`, measure `units`: the attribute `quantity` is missing"
    }],
    "page": {"next_cursor": null}
}))]
pub(crate) struct QuarantineList {
    pub data: Vec<QuarantineEntry>,
    pub page: Page,
}

/// A record that could not be counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "qua_20260330_orders_4700000000001", "source": "orders", "sequence_number": "4700000000001",
    "at": "2026-03-30T09:14:05Z", "code": "measure",
    "reason": "metric `sales`, measure `units`: the attribute `quantity` is missing"
}))]
pub(crate) struct QuarantineEntry {
    pub id: String,
    #[schema(value_type = String)]
    pub source: SourceName,
    /// The record's place in the source's stream.
    pub sequence_number: String,
    /// When the record was written to the source.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why, for programs.
    pub code: String,
    /// Why, for people.
    pub reason: String,
}

/// A record with the item before and after the change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "qua_20260330_orders_4700000000001", "source": "orders", "sequence_number": "4700000000001",
    "at": "2026-03-30T09:14:05Z", "code": "measure",
    "reason": "metric `sales`, measure `units`: the attribute `quantity` is missing",
    "old": null,
    "new": {
        "item": {"orderid": {"S": "o-17"}}, "truncated": false, "bytes": 25,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    }
}))]
pub(crate) struct QuarantineRecord {
    #[serde(flatten)]
    pub entry: QuarantineEntry,
    /// The item before the change; null when there was none.
    #[schema(required)]
    pub old: Option<KeptImage>,
    /// The item after the change; null when it was deleted.
    #[schema(required)]
    pub new: Option<KeptImage>,
}

/// An item as far as it was kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "item": {"orderid": {"S": "o-17"}, "quantity": {"S": "many"}}, "truncated": false, "bytes": 52,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
}))]
pub(crate) struct KeptImage {
    /// The item in DynamoDB JSON; null when it was too long to be kept whole.
    #[schema(value_type = Option<Object>, required)]
    pub item: Option<serde_json::Value>,
    pub truncated: bool,
    /// Length of the whole item as JSON.
    pub bytes: u64,
    /// Of the whole item as JSON, in hexadecimal.
    pub sha256: String,
}

impl From<&Quarantined> for QuarantineEntry {
    fn from(record: &Quarantined) -> Self {
        Self {
            id: record.id.to_string(),
            source: record.source.clone(),
            sequence_number: record.sequence_number.clone(),
            at: record.at,
            code: record.code.clone(),
            reason: record.reason.clone(),
        }
    }
}

impl From<StoredImage> for KeptImage {
    fn from(image: StoredImage) -> Self {
        let StoredImage { json, truncated, bytes, sha256 } = image;
        Self { item: json, truncated, bytes, sha256 }
    }
}

/// Lists the records that could not be counted.
#[utoipa::path(
    get, path = "/v1/quarantine", operation_id = "list_quarantine", tag = "status",
    params(PageParameters),
    responses((status = 200, description = "A page of records, newest day first.", body = QuarantineList), ApiError),
)]
pub(crate) async fn list_quarantine(
    caller: Caller<scope::MetricsRead>,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Json<QuarantineList>, ApiError> {
    let list = List { name: "quarantine", within: "", tenant: Some(caller.tenant.id()), keys: &state.keys };
    let mut params = Params::parse(query.as_deref());
    let request = PageRequest::take(&mut params, list);
    let request = params.finish(&["limit", "cursor"], || request)?;
    // A cursor holds the id of the last record shown; we signed it, so it is one.
    let after = request.after.as_deref().and_then(|after| after.parse().ok());
    let query = QuarantineQuery { after, limit: request.limit, now: state.now() };
    let page = state.store.quarantined(&caller.tenant, &query).await.map_err(ApiError::of_store)?;
    let data: Vec<_> = page.records.iter().map(QuarantineEntry::from).collect();
    let last = data.last().filter(|_| page.more).map(|entry| entry.id.as_str());
    Ok(Json(QuarantineList { page: list.page(&request, last), data }))
}

/// One record that could not be counted, with the item before and after the change.
#[utoipa::path(
    get, path = "/v1/quarantine/{id}", operation_id = "get_quarantined_record", tag = "status",
    params(("id" = String, Path, description = "The record's id.", example = "qua_20260330_orders_4700000000001")),
    responses((status = 200, description = "The record.", body = QuarantineRecord), NotFound, ApiError),
)]
pub(crate) async fn get_quarantined_record(
    caller: Caller<scope::MetricsRead>,
    State(state): State<ApiState>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<QuarantineRecord>, ApiError> {
    Params::parse(query.as_deref()).finish(&[], || ())?;
    let id = id.parse().map_err(|_| ApiError::NotFound)?;
    let record = state.store.quarantined_record(&caller.tenant, &id).await.map_err(ApiError::of_store)?;
    let record = record.ok_or(ApiError::NotFound)?;
    let entry = QuarantineEntry::from(&record);
    Ok(Json(QuarantineRecord { entry, old: record.old.map(KeptImage::from), new: record.new.map(KeptImage::from) }))
}
