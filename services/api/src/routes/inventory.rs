//! `GET /v1/inventory` and `GET /v1/inventory/{item}`: what is in stock, and how it stands with the rules. ALERTS §1.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::level::Status;
use tidemark_domain::{AlertId, Decimal, InventoryName, Level, LevelKey, RuleBook, Standing};
use tidemark_store::{LevelCursor, LevelQuery, LevelRow, LevelsBy};
use tidemark_webhooks::payload::Rule;
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::freshness::Freshness;
use crate::inventory::{self, Order, Walk, Walked, Wanted};
use crate::openapi::shapes::{AppliedRule, Quantity};
use crate::page::{List, Page, PageParameters, PageRequest};
use crate::params::Params;
use crate::problem::{ApiError, Code, NotFound, ParameterError, Unprocessable};
use crate::query::filter;
use crate::state::ApiState;

/// Most locations of one item that are shown with their totals.
const LOCATIONS_MAX: usize = 1_000;
const KNOWN: [&str; 7] = ["inventory", "filter[item]", "filter[location]", "filter[status]", "order", "limit", "cursor"];

/// A page of levels.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "inventory": "stock",
    "freshness": {
        "watermark": "2026-03-30T09:14:07.412Z", "lag_ms": 1800, "status": "live", "exact": true, "reasons": []
    },
    "data": [{
        "item": "sku_42", "location": "berlin-1", "on_hand": "12", "committed": "5", "available": "7", "incoming": "40",
        "status": "low",
        "rule": {
            "id": "rul_01ARZ3NDEKTSV4RRFFQ69G5FAW", "fires_at_or_below": "10", "clears_above": "12",
            "levels": [{"severity": "warning", "fires_at_or_below": "10", "clears_above": "12"}]
        },
        "alert_id": "alr_01ARZ3NDEKTSV4RRFFQ69G5FAV", "updated_at": "2026-03-30T09:14:05Z"
    }],
    "page": {"next_cursor": null}
}))]
pub(crate) struct LevelList {
    #[schema(value_type = String)]
    pub inventory: InventoryName,
    pub freshness: Freshness,
    pub data: Vec<LevelEntry>,
    pub page: Page,
}

/// One item at all its locations.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "inventory": "stock", "item": "sku_42",
    "freshness": {
        "watermark": "2026-03-30T09:14:07.412Z", "lag_ms": 1800, "status": "live", "exact": true, "reasons": []
    },
    "totals": {"on_hand": "12", "committed": "5", "available": "7", "incoming": "40"},
    "data": [{
        "item": "sku_42", "location": "berlin-1", "on_hand": "12", "committed": "5", "available": "7", "incoming": "40",
        "status": "ok", "rule": null, "alert_id": null, "updated_at": "2026-03-30T09:14:05Z"
    }]
}))]
pub(crate) struct ItemLevels {
    #[schema(value_type = String)]
    pub inventory: InventoryName,
    pub item: String,
    pub freshness: Freshness,
    /// Over all locations.
    pub totals: Quantities,
    /// One per location.
    #[schema(max_items = 1000)]
    pub data: Vec<LevelEntry>,
}

/// Quantities, as decimal numbers in text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Quantities {
    #[schema(value_type = Quantity)]
    pub on_hand: Decimal,
    /// Promised to somebody already.
    #[schema(value_type = Quantity)]
    pub committed: Decimal,
    /// `on_hand − committed`; negative when more is promised than there is.
    #[schema(value_type = Quantity)]
    pub available: Decimal,
    #[schema(value_type = Quantity)]
    pub incoming: Decimal,
}

/// What is in stock of one item at one location.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LevelEntry {
    pub item: String,
    pub location: String,
    #[serde(flatten)]
    pub quantities: Quantities,
    #[schema(value_type = LevelStatus)]
    pub status: Status,
    /// By what it is judged; null when no rule applies and it has no reorder point of its own.
    #[schema(value_type = Option<AppliedRule>, required)]
    pub rule: Option<Rule>,
    /// The alert that fires here; null when none does.
    #[schema(value_type = Option<String>, required)]
    pub alert_id: Option<AlertId>,
    /// When its item was last changed at the source, or its alert.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A level in one word: `out` if nothing is available, else `low` while an alert fires, else `ok`.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the domain's own words")]
pub(crate) enum LevelStatus {
    Out,
    Low,
    Ok,
}

impl Quantities {
    fn of(level: &Level) -> Self {
        let Level { on_hand, committed, incoming, .. } = level.clone();
        Self { available: level.available(), on_hand, committed, incoming }
    }

    fn total(rows: &[LevelEntry]) -> Self {
        let sum = |of: fn(&Self) -> &Decimal| rows.iter().map(|row| of(&row.quantities)).sum();
        Self {
            on_hand: sum(|level| &level.on_hand),
            committed: sum(|level| &level.committed),
            available: sum(|level| &level.available),
            incoming: sum(|level| &level.incoming),
        }
    }
}

impl LevelEntry {
    fn of(key: LevelKey, row: &LevelRow, book: &RuleBook) -> Self {
        let alert_id = match &row.standing {
            Standing::Firing(alert) => Some(alert.id.clone()),
            Standing::Clear | Standing::Latched(_) => None,
        };
        Self {
            rule: book.applying(&key, &row.level).map(|applied| Rule::from(&applied)),
            item: key.item,
            location: key.location,
            quantities: Quantities::of(&row.level),
            status: row.level.status(&row.standing),
            alert_id,
            updated_at: row.updated_at,
        }
    }
}

/// What is in stock.
///
/// With a filter, a page may be shorter than `limit`, even empty, while there is more: 5000 levels are looked at for each.
#[utoipa::path(
    get, path = "/v1/inventory", operation_id = "list_inventory", tag = "inventory",
    security(("api_key" = ["inventory:read"])),
    params(
        ("inventory" = Option<String>, Query, description = "Which inventory; needed only if several are defined.",
         min_length = 1, example = "stock"),
        ("filter[item]" = Option<String>, Query, description = "Items with commas; write `\\,` for a comma, `\\\\` for a backslash."),
        ("filter[location]" = Option<String>, Query, description = "Locations with commas, as items."),
        ("filter[status]" = Option<String>, Query, description = "`out`, `low`, `ok`, or several with commas.",
         pattern = "^(out|low|ok)(,(out|low|ok))*$"),
        ("order" = inline(Option<OrderName>), Query, description = "By item and location (the default), or the least available \
                                                                    first."),
        PageParameters,
    ),
    responses(
        (status = 200, description = "A page of levels.", body = LevelList,
         headers(
             ("Data-Watermark" = String, description = "The watermark, once there is one."),
             ("Data-Exact" = String, description = "`true`, or `false` with the reasons."),
         )),
        Unprocessable, ApiError,
    ),
)]
pub(crate) async fn list_inventory(
    caller: Caller<scope::InventoryRead>,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let tenant = &caller.tenant;
    let list = List { name: "inventory", within: "", tenant: Some(tenant.id()), keys: &state.keys };
    let running = state.running();
    let mut params = Params::parse(query.as_deref());
    let request = PageRequest::take(&mut params, list);
    let inventory = inventory::take(&mut params, &running, tenant);
    let wanted = wanted(&mut params);
    let (inventory, wanted) = params.finish_some(&KNOWN, || Some((inventory?, wanted)))?;
    let freshness = inventory::freshness(&state, &running, &caller.tenant, &inventory).await?;
    let walk = Walk { store: &state.store, tenant, inventory: &inventory };
    let after = request.after.as_deref().map(LevelCursor::of_text);
    let rules = async { state.store.rules(tenant).await.map_err(ApiError::of_store) };
    let (Walked { rows, next }, rules) = futures::try_join!(walk.page(&wanted, after, request.limit), rules)?;
    let book = RuleBook::new(rules);
    let data = rows.into_iter().map(|(key, row)| LevelEntry::of(key, &row, &book)).collect();
    let page = list.page(&request, next.as_ref().map(LevelCursor::as_str));
    let answer = LevelList { inventory, freshness, data, page };
    Ok(answer.freshness.respond(&answer))
}

/// The order of a list of levels.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the words of `order`")]
pub(crate) enum OrderName {
    Key,
    Available,
}

fn wanted(params: &mut Params) -> Wanted {
    let statuses = [("out", Status::Out), ("low", Status::Low), ("ok", Status::Ok)];
    Wanted {
        items: params.take_as("filter[item]", filter::texts),
        locations: params.take_as("filter[location]", filter::texts),
        statuses: params.take_words("filter[status]", &statuses),
        order: params.take_word("order", &[("key", Order::Key), ("available", Order::Available)]).unwrap_or(Order::Key),
    }
}

/// One item: what is in stock of it, in all and at each location.
#[utoipa::path(
    get, path = "/v1/inventory/{item}", operation_id = "get_inventory_item", tag = "inventory",
    security(("api_key" = ["inventory:read"])),
    params(
        ("item" = String, Path, description = "The item's name.", example = "sku_42"),
        ("inventory" = Option<String>, Query, description = "Which inventory; needed only if several are defined.",
         min_length = 1, example = "stock"),
    ),
    responses(
        (status = 200, description = "The item's levels.", body = ItemLevels,
         headers(
             ("Data-Watermark" = String, description = "The watermark, once there is one."),
             ("Data-Exact" = String, description = "`true`, or `false` with the reasons."),
         )),
        NotFound, Unprocessable, ApiError,
    ),
)]
pub(crate) async fn get_inventory_item(
    caller: Caller<scope::InventoryRead>,
    State(state): State<ApiState>,
    Path(item): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let tenant = &caller.tenant;
    let running = state.running();
    let mut params = Params::parse(query.as_deref());
    let inventory = inventory::take(&mut params, &running, tenant);
    let inventory = params.finish_some(&["inventory"], || inventory)?;
    let freshness = inventory::freshness(&state, &running, &caller.tenant, &inventory).await?;
    let query = LevelQuery { by: LevelsBy::Item(item.clone()), after: None, limit: LOCATIONS_MAX };
    let (page, rules) = tokio::try_join!(state.store.levels(tenant, &inventory, &query), state.store.rules(tenant))
        .map_err(ApiError::of_store)?;
    if page.next.is_some() {
        let detail = format!("it is at more than {LOCATIONS_MAX} locations; list them with `filter[item]`");
        return Err(ParameterError::new("item", Code::QueryTooLarge, detail).into());
    }
    if page.rows.is_empty() {
        return Err(ApiError::NotFound);
    }
    let book = RuleBook::new(rules);
    let data: Vec<_> = page.rows.into_iter().map(|(key, row)| LevelEntry::of(key, &row, &book)).collect();
    let totals = Quantities::total(&data);
    let answer = ItemLevels { inventory, item, freshness, totals, data };
    Ok(answer.freshness.respond(&answer))
}
