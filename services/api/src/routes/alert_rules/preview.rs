//! `POST /v1/alert-rules/preview`: what a rule would do if it were made now. Nothing is changed.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use tidemark_domain::alert::{Facts, step};
use tidemark_domain::rule::{Scope, Severity};
use tidemark_domain::{AlertId, Decimal, LevelKey, Rule, RuleBook, RuleId, Standing};
use tidemark_store::{LevelRow, ulid};
use utoipa::ToSchema;

use super::form::RuleForm;
use crate::auth::{Caller, scope};
use crate::body::Body;
use crate::inventory::{Order, Walk, Walked, Wanted};
use crate::openapi::shapes::{self, Quantity};
use crate::params::NoParameters;
use crate::problem::{ApiError, Unprocessable, WithBody};
use crate::state::ApiState;

/// Most levels that are looked at.
const LOOKED_AT_MAX: usize = 5_000;
/// Most of the levels that would fire that are shown.
const SHOWN_MAX: usize = 200;

/// What would fire.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "data": [{"item": "sku_42", "location": "berlin-1", "available": "7", "severity": "warning", "alert_id": null}],
    "would_fire": 1, "looked_at": 312, "truncated": false
}))]
pub(crate) struct RulePreview {
    /// The levels on which an alert of this rule would fire.
    #[schema(max_items = 200)]
    pub data: Vec<PreviewedLevel>,
    /// How many they are, also beyond those shown.
    pub would_fire: usize,
    /// How many levels of the rule's scope were looked at.
    #[schema(maximum = 5000)]
    pub looked_at: usize,
    /// Whether there are more levels than were looked at or shown.
    pub truncated: bool,
}

/// A level on which an alert of the rule would fire.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewedLevel {
    pub item: String,
    pub location: String,
    #[schema(value_type = Quantity)]
    pub available: Decimal,
    #[schema(value_type = shapes::Severity)]
    pub severity: Severity,
    /// The alert that fires there already, by this rule or by another that applies now; null when none does.
    #[schema(value_type = Option<String>, required)]
    pub alert_id: Option<AlertId>,
}

/// Says on which levels a rule would have an alert fire if it were made now. Changes nothing.
///
/// The rule is judged among those there are: where a more specific one applies, it has no say. If another rule has its scope, it
/// is judged as a change of that one.
#[utoipa::path(
    post, path = "/v1/alert-rules/preview", operation_id = "preview_alert_rule", tag = "alerts",
    security(("api_key" = ["alerts:read"])),
    request_body = RuleForm,
    responses((status = 200, description = "What would fire.", body = RulePreview), WithBody, Unprocessable, ApiError),
)]
pub(crate) async fn preview_alert_rule(
    caller: Caller<scope::AlertsRead>,
    State(state): State<ApiState>,
    _: NoParameters,
    Body(body): Body,
) -> Result<Json<RulePreview>, ApiError> {
    let (now, tenant) = (state.now(), &caller.tenant);
    let form = RuleForm::read(body, &state.running(), tenant)?;
    let mut rules = state.store.rules(tenant).await.map_err(ApiError::of_store)?;
    let rule = form.into_rule(RuleId::from_ulid_text(&ulid(now, 0)).expect("a ULID's text"), now);
    let rule = placed(&mut rules, rule);
    let Scope { inventory, item, location } = rule.scope;
    let wanted = Wanted {
        items: item.map(|item| [item].into()),
        locations: location.map(|location| [location].into()),
        statuses: None,
        order: Order::Key,
    };
    let walk = Walk { store: &state.store, tenant, inventory: &inventory };
    let Walked { rows, next } = walk.page(&wanted, None, LOOKED_AT_MAX).await?;
    let judge = Judge { book: RuleBook::new(rules), rule: rule.id, now };
    let fires: Vec<_> = rows.iter().filter_map(|(key, row)| judge.would_fire(key, row)).collect();
    let (would_fire, truncated) = (fires.len(), next.is_some() || fires.len() > SHOWN_MAX);
    let data = fires.into_iter().take(SHOWN_MAX).collect();
    Ok(Json(RulePreview { data, would_fire, looked_at: rows.len(), truncated }))
}

/// Puts a rule among others, in the place of the one that has its scope.
fn placed(rules: &mut Vec<Rule>, rule: Rule) -> Rule {
    let rule = match rules.iter().position(|other| other.scope == rule.scope) {
        Some(at) => Rule { id: rules.swap_remove(at).id, ..rule },
        None => rule,
    };
    rules.push(rule.clone());
    rule
}

struct Judge {
    book: RuleBook,
    rule: RuleId,
    now: Timestamp,
}

impl Judge {
    /// Takes the very step that the rule's job would take.
    fn would_fire(&self, key: &LevelKey, row: &LevelRow) -> Option<PreviewedLevel> {
        let alert_id = match &row.standing {
            Standing::Firing(alert) => Some(alert.id.clone()),
            Standing::Clear | Standing::Latched(_) => None,
        };
        let facts = Facts { key, level: Some(&row.level), book: &self.book, at: self.now };
        let mut mint = |at| AlertId::from_ulid_text(&ulid(at, 0)).expect("a ULID's text");
        match step(row.standing.clone(), &facts, &mut mint) {
            (Standing::Firing(alert), _) if alert.rule.rule.as_ref() == Some(&self.rule) => Some(PreviewedLevel {
                item: key.item.clone(),
                location: key.location.clone(),
                available: row.level.available(),
                severity: alert.severity,
                alert_id,
            }),
            _ => None,
        }
    }
}
