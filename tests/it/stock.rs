//! Levels and alerts in the path of a commit: what changes of a source come to. ALERTS §1–3.

mod books;
mod decided;
mod restless;
mod streams;

use jiff::{SignedDuration, Timestamp};
use tidemark_domain::rule::{RepeatEvery, Scope, Severity, Threshold, Thresholds};
use tidemark_domain::{Alert, AlertId, InventoryName, LevelKey, Rule, RuleId, TenantId};
use tidemark_store::{AlertQuery, AlertsWanted, LevelRow, Store, Tenant, ulid};

const DEFINITIONS: &str = "
sources:
  stock:
    table: Stock
    key: { partition: item_number, sort: location }
    tenant: { attribute: tenant_id, default: demo }
    ttl_delete: keep
metrics:
  moves:
    source: stock
    time: moved_at
    measures: { pieces: { sum: on_hand } }
    group_by: [[]]
inventory:
  stock:
    source: stock
    item: item_number
    location: { attribute: location }
    on_hand: on_hand
    committed: { attribute: committed, default: 0 }
    reorder_point: reorder_point
";

fn tenant(id: &str) -> Tenant {
    Tenant::named_by_operator(TenantId::new(id).unwrap())
}

fn key(tenant: &str, item: &str) -> LevelKey {
    LevelKey {
        tenant: TenantId::new(tenant).unwrap(),
        inventory: InventoryName::new("stock").unwrap(),
        item: item.to_owned(),
        location: "berlin".to_owned(),
    }
}

/// A rule for the whole inventory: a warning at 10 that clears above 12, critical at 0 that clears above 2.
fn rule(now: Timestamp) -> Rule {
    let threshold =
        |severity, fires: i64, clears: i64| Threshold { severity, fires_at_or_below: fires.into(), clears_above: clears.into() };
    let thresholds = vec![threshold(Severity::Warning, 10, 12), threshold(Severity::Critical, 0, 2)];
    Rule {
        id: RuleId::from_ulid_text(&ulid(now, 1)).unwrap(),
        name: None,
        scope: Scope { inventory: InventoryName::new("stock").unwrap(), item: None, location: None },
        thresholds: Thresholds::new(thresholds).unwrap(),
        repeat_every: Some(RepeatEvery::new(SignedDuration::from_hours(1)).unwrap()),
        enabled: true,
        created_at: now,
        updated_at: now,
        version: 1,
    }
}

async fn level(store: &Store, key: &LevelKey) -> Option<LevelRow> {
    store.level(&tenant(key.tenant.as_str()), key).await.unwrap()
}

/// All alerts of a tenant, those that are resolved first.
async fn alerts(store: &Store, of: &str) -> Vec<Alert> {
    let query = AlertQuery { which: AlertsWanted::All, after: None, limit: 1000 };
    let page = store.alerts(&tenant(of), &query).await.unwrap();
    assert!(page.next.is_none());
    let mut alerts: Vec<Alert> = page.alerts.into_iter().map(|record| record.alert).collect();
    alerts.sort_by_key(Alert::is_firing);
    alerts
}

/// The types of an alert's events, first to last.
async fn told(store: &Store, of: &str, alert: &AlertId) -> Vec<String> {
    let events = store.alert_events(&tenant(of), alert, None, 100).await.unwrap().events;
    events.iter().rev().map(|event| event.event_type.trim_start_matches("inventory.alert.").to_owned()).collect()
}
