//! `/v1/alerts`: what is or was low, what happened to it, and what people do about it. ALERTS §3.

pub(crate) mod act;
mod detail;

use std::collections::BTreeSet;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::rule::Severity;
use tidemark_domain::{Alert, AlertId};
use tidemark_store::{AlertQuery, AlertsWanted, Store, Tenant};
use tidemark_webhooks::payload;
use utoipa::ToSchema;

use crate::auth::{Caller, scope};
use crate::freshness::Freshness;
use crate::inventory;
use crate::openapi::{examples, shapes};
use crate::page::{List, Page, PageParameters, PageRequest};
use crate::params::{NoParameters, Params};
use crate::problem::{ApiError, NotFound};
use crate::query::filter;
use crate::state::ApiState;

use detail::AlertDetail;

/// Most alerts one request looks at for those that its filter lets in.
const LOOKED_AT_MAX: usize = 2_000;
/// Alerts read at once when a filter may not let all of them in.
const READ_AT_ONCE: usize = 200;
const KNOWN: [&str; 8] = [
    "filter[state]",
    "filter[severity]",
    "filter[item]",
    "filter[location]",
    "filter[acknowledged]",
    "filter[muted]",
    "limit",
    "cursor",
];

/// A page of alerts, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "freshness": {
        "watermark": "2026-03-30T09:14:07.412Z", "lag_ms": 1800, "status": "live", "exact": true, "reasons": []
    },
    "data": [examples::alert()],
    "page": {"next_cursor": null}
}))]
pub(crate) struct AlertList {
    /// Of the least fresh inventory.
    pub freshness: Freshness,
    #[schema(value_type = Vec<shapes::Alert>)]
    pub data: Vec<payload::Alert>,
    pub page: Page,
}

/// Which alerts are wanted; `None` lets all in.
#[derive(Debug)]
struct Wanted {
    states: Option<Vec<IsFiring>>,
    severities: Option<Vec<Severity>>,
    items: Option<BTreeSet<String>>,
    locations: Option<BTreeSet<String>>,
    acknowledged: Option<bool>,
    muted: Option<bool>,
}

type IsFiring = bool;

impl Wanted {
    fn take(params: &mut Params) -> Self {
        let flag = [("true", true), ("false", false)];
        Self {
            states: params.take_words("filter[state]", &[("firing", true), ("resolved", false)]),
            severities: params
                .take_words("filter[severity]", &[("warning", Severity::Warning), ("critical", Severity::Critical)]),
            items: params.take_as("filter[item]", filter::texts),
            locations: params.take_as("filter[location]", filter::texts),
            acknowledged: params.take_word("filter[acknowledged]", &flag),
            muted: params.take_word("filter[muted]", &flag),
        }
    }

    /// Which of the store's lists has all of them.
    fn list(&self) -> AlertsWanted {
        match &self.states {
            Some(states) if states.iter().all(|is_firing| *is_firing) => AlertsWanted::Firing,
            _ => AlertsWanted::All,
        }
    }

    fn is_everything_listed(&self) -> bool {
        let Self { states, severities, items, locations, acknowledged, muted } = self;
        let by_state = states.is_none() || self.list() == AlertsWanted::Firing;
        by_state && severities.is_none() && items.is_none() && locations.is_none() && acknowledged.is_none() && muted.is_none()
    }

    fn lets_in(&self, alert: &Alert, now: Timestamp) -> bool {
        let Self { states, severities, items, locations, acknowledged, muted } = self;
        states.as_ref().is_none_or(|states| states.contains(&alert.is_firing()))
            && severities.as_ref().is_none_or(|severities| severities.contains(&alert.severity))
            && items.as_ref().is_none_or(|items| items.contains(&alert.key.item))
            && locations.as_ref().is_none_or(|locations| locations.contains(&alert.key.location))
            && acknowledged.is_none_or(|acknowledged| acknowledged == alert.acknowledged.is_some())
            && muted.is_none_or(|muted| muted == alert.is_muted(now))
    }
}

/// Lists the alerts.
///
/// With a filter, a page may be shorter than `limit`, even empty, while there is more: 2000 alerts are looked at for each.
#[utoipa::path(
    get, path = "/v1/alerts", operation_id = "list_alerts", tag = "alerts",
    security(("api_key" = ["alerts:read"])),
    params(
        ("filter[state]" = Option<String>, Query, description = "`firing`, `resolved`, or both with a comma.",
         pattern = "^(firing|resolved)(,(firing|resolved))*$"),
        ("filter[severity]" = Option<String>, Query, description = "`warning`, `critical`, or both with a comma.",
         pattern = "^(warning|critical)(,(warning|critical))*$"),
        ("filter[item]" = Option<String>, Query, description = "Items with commas; write `\\,` for a comma, `\\\\` for a backslash."),
        ("filter[location]" = Option<String>, Query, description = "Locations with commas, as items."),
        ("filter[acknowledged]" = Option<bool>, Query, description = "Whether somebody has acknowledged it."),
        ("filter[muted]" = Option<bool>, Query, description = "Whether it is muted now."),
        PageParameters,
    ),
    responses(
        (status = 200, description = "A page of alerts, newest first.", body = AlertList,
         headers(
             ("Data-Watermark" = String, description = "The watermark, once there is one."),
             ("Data-Exact" = String, description = "`true`, or `false` with the reasons."),
         )),
        ApiError,
    ),
)]
pub(crate) async fn list_alerts(
    caller: Caller<scope::AlertsRead>,
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let tenant = &caller.tenant;
    let list = List { name: "alerts", within: "", tenant: Some(tenant.id()), keys: &state.keys };
    let mut params = Params::parse(query.as_deref());
    let request = PageRequest::take(&mut params, list);
    let wanted = Wanted::take(&mut params);
    let (request, wanted) = params.finish(&KNOWN, || (request, wanted))?;
    let freshness = inventory::freshness_of_all(&state, &state.running(), tenant).await?;
    // A cursor holds the id of the last alert looked at; we signed it, so it is one.
    let after = request.after.as_deref().and_then(|after| AlertId::new(after).ok());
    let walk = Walk { store: &state.store, tenant, now: state.now() };
    let (alerts, next) = walk.page(&wanted, after, request.limit).await?;
    let data = alerts.iter().map(payload::Alert::from).collect();
    let answer = AlertList { freshness, data, page: list.page(&request, next.as_ref().map(AlertId::as_str)) };
    Ok(answer.freshness.respond(&answer))
}

/// Whose alerts are looked at, and when.
struct Walk<'a> {
    store: &'a Store,
    tenant: &'a Tenant,
    now: Timestamp,
}

impl Walk<'_> {
    /// The first alerts after one that are wanted, and the one to go on after if there is more.
    async fn page(
        &self,
        wanted: &Wanted,
        mut after: Option<AlertId>,
        limit: usize,
    ) -> Result<(Vec<Alert>, Option<AlertId>), ApiError> {
        let (mut alerts, mut looked_at) = (Vec::<Alert>::new(), 0);
        let read_at_once = if wanted.is_everything_listed() { limit + 1 } else { READ_AT_ONCE };
        loop {
            let query = AlertQuery { which: wanted.list(), after, limit: read_at_once };
            let page = self.store.alerts(self.tenant, &query).await.map_err(ApiError::of_store)?;
            for record in page.alerts {
                looked_at += 1;
                if wanted.lets_in(&record.alert, self.now) {
                    if alerts.len() == limit {
                        let last = alerts.last().map(|alert| alert.id.clone());
                        return Ok((alerts, last));
                    }
                    alerts.push(record.alert);
                } else if looked_at >= LOOKED_AT_MAX {
                    return Ok((alerts, Some(record.alert.id)));
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok((alerts, None));
            }
        }
    }
}

/// One alert, with what happened to it.
#[utoipa::path(
    get, path = "/v1/alerts/{id}", operation_id = "get_alert", tag = "alerts",
    security(("api_key" = ["alerts:read"])),
    params(("id" = String, Path, description = "The alert's id.", example = "alr_01ARZ3NDEKTSV4RRFFQ69G5FAV")),
    responses(
        (status = 200, description = "The alert.", body = AlertDetail,
         headers(
             ("Data-Watermark" = String, description = "The watermark, once there is one."),
             ("Data-Exact" = String, description = "`true`, or `false` with the reasons."),
         )),
        NotFound, ApiError,
    ),
)]
pub(crate) async fn get_alert(
    caller: Caller<scope::AlertsRead>,
    State(state): State<ApiState>,
    _: NoParameters,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let tenant = &caller.tenant;
    let id = AlertId::new(&id).map_err(|_| ApiError::NotFound)?;
    let running = state.running();
    let freshness = inventory::freshness_of_all(&state, &running, tenant).await?;
    let record = state.store.alert(tenant, &id).await.map_err(ApiError::of_store)?.ok_or(ApiError::NotFound)?;
    let events = state.store.alert_events(tenant, &id, None, detail::EVENTS_MAX).await.map_err(ApiError::of_store)?;
    let answer = AlertDetail::of(&record.alert, events, freshness);
    Ok(answer.freshness.respond(&answer))
}
