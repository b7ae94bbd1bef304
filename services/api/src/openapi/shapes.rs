//! Schemas of what other crates give its shape: they know nothing of OpenAPI. A test holds real values against these.

use std::borrow::Cow;

use tidemark_webhooks::send::Outcome;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Documents a decimal number as text, in its one spelling.
pub(crate) struct Quantity;

impl PartialSchema for Quantity {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(r"^-?(0|[1-9]\d*)(\.\d*[1-9])?$"));
        text.description(Some("A decimal number as text: no exponent, no zeros at the end.")).into()
    }
}

impl ToSchema for Quantity {
    fn name() -> Cow<'static, str> {
        "Quantity".into()
    }
}

/// Documents a length of time that a body can name.
pub(crate) struct Duration;

impl PartialSchema for Duration {
    fn schema() -> RefOr<Schema> {
        // OpenAPI's format `duration` has years and months, which are of no one length.
        let pattern = r"^P(\d+W(\d+D)?|\d+D|(\d+W)?(\d+D)?T(\d+H(\d+M)?(\d+S)?|\d+M(\d+S)?|\d+S))$";
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
        text.description(Some("An ISO 8601 duration of weeks, days of 24 hours, hours, minutes and seconds.")).into()
    }
}

impl ToSchema for Duration {
    fn name() -> Cow<'static, str> {
        "Duration".into()
    }
}

/// Severity of an alert.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the domain's own words")]
pub(crate) enum Severity {
    Warning,
    Critical,
}

/// One severity's threshold. Between its two values nothing changes.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the domain's own type")]
pub(crate) struct Threshold {
    severity: Severity,
    fires_at_or_below: Quantity,
    clears_above: Quantity,
}

/// By what a level is judged: the values of the mildest threshold at hand, and all thresholds.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the payload's own type")]
pub(crate) struct AppliedRule {
    /// Null: the row's own reorder point.
    #[schema(required)]
    id: Option<String>,
    fires_at_or_below: Quantity,
    clears_above: Quantity,
    /// Mildest first.
    #[schema(min_items = 1, max_items = 2)]
    levels: Vec<Threshold>,
}

/// One episode: a level has been low from `fired_at` to `resolved_at`. Webhooks carry it in the same form.
#[derive(ToSchema)]
#[schema(example = json!(super::examples::alert()))]
#[expect(dead_code, reason = "documents the payload's own type")]
pub(crate) struct Alert {
    id: String,
    state: AlertState,
    severity: Severity,
    inventory: String,
    item: String,
    location: String,
    /// How much was available when the alert last changed.
    available: Quantity,
    rule: AppliedRule,
    /// Shared by all episodes of one rule and one level.
    fingerprint: String,
    #[schema(value_type = String, format = DateTime)]
    fired_at: String,
    #[schema(value_type = Option<String>, format = DateTime, required)]
    resolved_at: Option<String>,
    #[schema(required)]
    resolved_reason: Option<ResolvedReason>,
    #[schema(value_type = Option<String>, format = DateTime, required)]
    acknowledged_at: Option<String>,
    /// The id of the key.
    #[schema(required)]
    acknowledged_by: Option<String>,
    /// Until this instant only the end is delivered, to endpoints that heard of the episode.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    muted_until: Option<String>,
    /// Of its last event, from 1.
    #[schema(minimum = 1)]
    sequence: u32,
    #[schema(value_type = String, format = DateTime)]
    updated_at: String,
}

/// Whether an episode goes on.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the payload's own words")]
pub(crate) enum AlertState {
    Firing,
    Resolved,
}

/// Why an episode ended.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the domain's own words")]
pub(crate) enum ResolvedReason {
    /// There is enough again.
    Recovered,
    /// Resolved by hand.
    Manual,
    /// Another rule applies, or the same with other thresholds.
    RuleChanged,
    RuleDeleted,
    /// The item is gone from its source.
    ItemDeleted,
}

/// Documents how an attempt ended.
pub(crate) struct AttemptOutcome;

impl PartialSchema for AttemptOutcome {
    fn schema() -> RefOr<Schema> {
        let words = Outcome::ALL.into_iter().filter(|outcome| outcome.shown() == *outcome).map(Outcome::as_str);
        let described = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).description(Some(
            "How an attempt ended. Only `delivered` is a success: a 2xx whose body ended in time. `dns`: the host has no address, none \
             that may be reached, or its name servers do not answer. `no_resolver` and `local` are failures of ours, which are not \
             held against the endpoint.",
        ));
        described.into()
    }
}

impl ToSchema for AttemptOutcome {
    fn name() -> Cow<'static, str> {
        "AttemptOutcome".into()
    }
}

/// What an attempt is made for: by the schedule, because somebody asked for this delivery again, or for all of a span of time.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the store's own words")]
pub(crate) enum AttemptTrigger {
    Scheduled,
    Manual,
    Recover,
}
