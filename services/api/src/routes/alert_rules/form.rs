//! The body that makes or changes a rule: what it may say, and what it comes to.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tidemark_domain::level::KEY_BYTES_MAX;
use tidemark_domain::rule::{self, RepeatEvery, Scope, Severity, Threshold, Thresholds};
use tidemark_domain::{InventoryName, LevelKey, Rule, RuleId, Running};
use tidemark_store::Tenant;
use utoipa::ToSchema;

use super::{AlertRule, EVERY};
use crate::body::{Fields, Object};
use crate::inventory;
use crate::iso8601;
use crate::openapi::shapes::{self, Quantity};
use crate::problem::{ApiError, Code};

/// Most characters of a name.
const NAME_LENGTH_MAX: usize = 200;

/// A rule to be made.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAlertRule, example = json!(example_body()))]
pub(crate) struct RuleForm {
    #[schema(max_length = 200)]
    name: Option<String>,
    #[schema(value_type = ScopeForm)]
    scope: Scope,
    /// What is watched.
    #[schema(value_type = Option<Field>, default = "available")]
    field: Field,
    /// One or two, each severity once. A critical one fires nowhere above the warning.
    #[schema(value_type = Vec<ThresholdForm>, min_items = 1, max_items = 2)]
    levels: Thresholds,
    /// How long after an alert's last event it is announced again while nobody has acknowledged it: an ISO 8601 duration of at
    /// least `PT15M`. Never unless given.
    #[schema(value_type = Option<shapes::Duration>)]
    repeat_every: Option<RepeatEvery>,
    /// A rule that is not enabled is as if absent.
    #[schema(value_type = Option<bool>, default = true)]
    enabled: bool,
}

/// What a rule can watch: only what is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RuleField)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Field {
    Available,
}

/// What of a rule is to be changed; see `NewAlertRule` for what the fields mean.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertRulePatch, example = json!({"levels": [{"severity": "warning", "fires_at_or_below": "20"}], "name": null}))]
#[expect(dead_code, reason = "documents the body that a rule is merged with")]
pub(crate) struct RulePatch {
    #[schema(max_length = 200)]
    name: Option<String>,
    #[schema(required = false)]
    scope: ScopeForm,
    field: Option<Field>,
    #[schema(required = false, min_items = 1, max_items = 2)]
    levels: Vec<ThresholdForm>,
    repeat_every: Option<shapes::Duration>,
    enabled: Option<bool>,
}

/// Which levels a rule is for.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRuleScope)]
#[expect(dead_code, reason = "documents what is read field by field")]
pub(crate) struct ScopeForm {
    /// Needed only if several are defined.
    #[schema(min_length = 1)]
    inventory: Option<String>,
    /// One item; `*`, or none given, is every item.
    #[schema(min_length = 1)]
    item: Option<String>,
    /// One location; `*`, or none given, is every location.
    #[schema(min_length = 1)]
    location: Option<String>,
}

/// One severity's threshold.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewThreshold)]
#[expect(dead_code, reason = "documents what is read field by field")]
pub(crate) struct ThresholdForm {
    severity: shapes::Severity,
    /// A decimal number as text; it may be negative.
    fires_at_or_below: Quantity,
    /// At least `fires_at_or_below`, which it is unless given.
    clears_above: Option<Quantity>,
}

impl RuleForm {
    /// # Errors
    /// Everything that is wrong with the body, at once.
    pub(super) fn read(body: Object, running: &Running, tenant: &Tenant) -> Result<Self, ApiError> {
        let mut fields = Fields::of(body);
        fields.require(&["scope", "levels"]);
        let name = fields.read("name", checked_name);
        let scope = fields.object("scope", |scope| read_scope(scope, running, tenant));
        let field = fields.word("field", &[("available", Field::Available)]).unwrap_or(Field::Available);
        let levels = fields.objects("levels", read_threshold);
        let levels = levels.and_then(|levels| Thresholds::new(levels).map_err(|error| refuse(&mut fields, &error)).ok());
        let repeat_every = fields.read("repeat_every", iso8601::duration);
        let repeat_every =
            repeat_every.and_then(|every| RepeatEvery::new(every).map_err(|error| refuse(&mut fields, &error)).ok());
        let enabled = fields.flag("enabled").unwrap_or(true);
        fields.finish(|| Some(Self { name, scope: scope?, field, levels: levels?, repeat_every, enabled }))
    }

    /// A new rule.
    pub(super) fn into_rule(self, id: RuleId, now: Timestamp) -> Rule {
        let Self { name, scope, field: Field::Available, levels: thresholds, repeat_every, enabled } = self;
        Rule { id, name, scope, thresholds, repeat_every, enabled, created_at: now, updated_at: now, version: 1 }
    }

    /// A rule as this changes it, but for its version and when it was changed.
    pub(super) fn over(self, rule: &Rule, now: Timestamp) -> Rule {
        let Rule { created_at, updated_at, version, .. } = *rule;
        Rule { created_at, updated_at, version, ..self.into_rule(rule.id.clone(), now) }
    }
}

/// The part of a rule that a patch can change, as a body of its own.
pub(super) fn writable(rule: &Rule) -> Object {
    let Value::Object(mut shown) = json!(AlertRule::from(rule.clone())) else { unreachable!("a struct is an object") };
    for ours in ["id", "created_at", "updated_at", "version"] {
        shown.remove(ours);
    }
    shown
}

fn checked_name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if length <= NAME_LENGTH_MAX { Ok(text.to_owned()) } else { Err(format!("must have at most {NAME_LENGTH_MAX} characters")) }
}

fn read_scope(fields: &mut Fields, running: &Running, tenant: &Tenant) -> Option<Scope> {
    let name = fields.text("inventory");
    let inventory = inventory::named(running, tenant, "scope.inventory", name.as_deref());
    let inventory: Option<InventoryName> = inventory.map_err(|error| fields.refuse_with(error)).ok();
    let [item, location] = ["item", "location"].map(|name| {
        let text = fields.text(name);
        if text.as_deref() == Some("") {
            fields.refuse(name, Code::InvalidScope, format!("must not be empty; `{EVERY}` means all"));
        }
        text.filter(|text| text != EVERY)
    });
    let scope = Scope { inventory: inventory?, item, location };
    // What could not be a level's key is in no row's, and would be too long for the job that looks for it.
    let key = LevelKey {
        tenant: tenant.id().clone(),
        inventory: scope.inventory.clone(),
        item: scope.item.clone().unwrap_or_default(),
        location: scope.location.clone().unwrap_or_default(),
    };
    let bytes = key.encoded().len();
    if bytes > KEY_BYTES_MAX {
        let detail = format!("item and location need a key of {bytes} bytes; no level's has more than {KEY_BYTES_MAX}");
        fields.refuse("item", Code::InvalidScope, detail);
        return None;
    }
    Some(scope)
}

fn read_threshold(fields: &mut Fields) -> Option<Threshold> {
    fields.require(&["severity", "fires_at_or_below"]);
    let severity = fields.word("severity", &[("warning", Severity::Warning), ("critical", Severity::Critical)]);
    let fires = fields.decimal("fires_at_or_below");
    let clears = fields.decimal("clears_above");
    let fires_at_or_below = fires?;
    Some(Threshold { severity: severity?, clears_above: clears.unwrap_or_else(|| fires_at_or_below.clone()), fires_at_or_below })
}

fn refuse(fields: &mut Fields, error: &rule::Error) {
    let code = match error {
        rule::Error::RepeatTooOften => Code::RepeatTooOften,
        _ => Code::InvalidThreshold,
    };
    fields.refuse(&error.field(), code, error.to_string());
}

/// A rule's body, as an example.
pub(super) fn example_body() -> Value {
    json!({
        "name": "Low stock", "scope": {"inventory": "stock", "item": "sku_42", "location": EVERY}, "field": "available",
        "levels": [
            {"severity": "warning", "fires_at_or_below": "10", "clears_above": "12"},
            {"severity": "critical", "fires_at_or_below": "0", "clears_above": "2"}
        ],
        "repeat_every": null, "enabled": true
    })
}

/// A rule, as an example.
pub(super) fn example() -> Value {
    let mut rule = example_body();
    rule["id"] = "rul_01ARZ3NDEKTSV4RRFFQ69G5FAW".into();
    rule["created_at"] = "2026-03-30T09:14:05Z".into();
    rule["updated_at"] = "2026-03-30T09:14:05Z".into();
    rule["version"] = 1.into();
    rule
}
