//! The stored side of levels, rules, alerts and webhooks: what two writers at once may do to each other. ALERTS §2–§4.

mod alerts;
mod claims;
mod deliveries;
mod endpoints;
mod jobs;
mod keys;
mod levels;
mod once;
mod rules;
mod slots;
mod table;
mod tenants;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use tidemark_domain::alert::{Facts, step};
use tidemark_domain::rule::{Scope, Severity, Threshold, Thresholds};
use tidemark_domain::{Alert, AlertEvent, AlertId, EndpointId, InventoryName, Level, LevelKey, Rule, RuleId, TenantId};
use tidemark_store::{
    CommitError, Decisions, Due, DuePlace, Endpoint, EndpointState, EventWrite, LevelRow, LevelWrite, Provenance, RulesLane,
    Slot, Store, Tenant, Writes, ulid,
};
use tidemark_tests::World;
use tidemark_tests::deployment::tables;

/// The lane of the shard whose commits these tests make.
const LANE: &str = "shardId-0001";

/// A data table, past the front, and a tenant.
struct Shelf {
    world: World,
    store: Store,
    tenant: Tenant,
}

impl Shelf {
    async fn new() -> Self {
        let world = World::start().await;
        let store = Store::new(&world.direct_config(), tables());
        store.create_data_table().await.expect("the data table");
        Self { world, store, tenant: tenant("acme") }
    }

    /// Commits a level as ingest does: by the row and rules as they are read now.
    async fn commit(&self, item: &str, available: &str) -> (LevelRow, Vec<AlertEvent>) {
        let (decisions, events) = self.decided(item, available).await;
        self.send(decisions.clone()).await.expect("committed");
        (decisions.levels[0].row.clone().expect("a row"), events)
    }

    /// What a commit decides that makes so much of an item available.
    async fn decided(&self, item: &str, available: &str) -> (Decisions, Vec<AlertEvent>) {
        let (key, level) = (level_key(item), level(available));
        let (book, check) = self.store.rule_book(&self.tenant, RulesLane::of(LANE)).await.expect("read");
        let row = self.store.level(&self.tenant, &key).await.expect("read");
        let seen = row.as_ref().map(|row| row.version);
        let facts = Facts { key: &key, level: Some(&level), book: &book, at: at(0) };
        let (standing, events) = step(row.map(|row| row.standing).unwrap_or_default(), &facts, &mut |at| new_alert(at));
        let version = LevelRow::version_after(seen, at(0));
        let row = LevelRow { level: level.clone(), standing, updated_at: at(0), version };
        let decisions = Decisions {
            judged_again: Vec::new(),
            checks: vec![check],
            levels: vec![LevelWrite { key, seen, row: Some(row) }],
            alerts: events.last().map(|event| event.alert.clone()).into_iter().collect(),
            events: events.iter().map(event_write).collect(),
        };
        (decisions, events)
    }

    async fn send(&self, decisions: Decisions) -> Result<(), CommitError> {
        self.store.commit(vec![], &Writes { decisions, ..Writes::default() }, &provenance()).await
    }

    /// A level that fires at once by a rule made for it.
    async fn fired(&self, item: &str) -> Alert {
        let rule = rule(Some(item), "10");
        self.store.create_rule(&self.tenant, &rule, at(0)).await.expect("created");
        let (_, events) = self.commit(item, "5").await;
        events[0].alert.clone()
    }

    /// Has the index hold a level where binaries before the spread put it: in the one partition of its inventory.
    async fn index_as_before(&self, item: &str) {
        let update = self.world.dynamodb().update_item().table_name(tables().data).update_expression("SET index_pk = pk");
        let key = level_key(item);
        let update = update.key("pk", AttributeValue::S("T#acme#I#stock".to_owned()));
        update.key("sk", AttributeValue::S(key.encoded())).send().await.expect("updated");
    }

    /// All that is in a slot.
    async fn due(&self, slot: Slot, after: Option<&DuePlace>) -> Vec<Due> {
        self.store.due(slot, after, 100).await.expect("read").entries
    }

    async fn endpoint(&self) -> Endpoint {
        let endpoint = endpoint();
        self.store.create_endpoint(&self.tenant, &endpoint).await.expect("created");
        endpoint
    }
}

fn tenant(id: &str) -> Tenant {
    Tenant::named_by_operator(TenantId::new(id).expect("an id"))
}

/// So many milliseconds after an instant that stays the same.
fn at(ms: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("an instant") + SignedDuration::from_millis(ms)
}

fn inventory() -> InventoryName {
    InventoryName::new("stock").expect("a name")
}

fn level_key(item: &str) -> LevelKey {
    LevelKey { tenant: tenant("acme").id().clone(), inventory: inventory(), item: item.to_owned(), location: "main".to_owned() }
}

fn level(available: &str) -> Level {
    let number = |text: &str| text.parse().expect("a decimal");
    Level { on_hand: number(available), committed: number("0"), incoming: number("0"), reorder_point: None }
}

fn rule(item: Option<&str>, fires: &str) -> Rule {
    let fires: tidemark_domain::Decimal = fires.parse().expect("a decimal");
    let threshold = Threshold { severity: Severity::Warning, fires_at_or_below: fires.clone(), clears_above: fires };
    Rule {
        id: RuleId::from_ulid_text(&ulid(at(0), rand::random())).expect("a ULID"),
        name: None,
        scope: Scope { inventory: inventory(), item: item.map(str::to_owned), location: None },
        thresholds: Thresholds::new(vec![threshold]).expect("one threshold"),
        repeat_every: None,
        enabled: true,
        created_at: at(0),
        updated_at: at(0),
        version: 1,
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId::from_ulid_text(&ulid(at(0), rand::random())).expect("a ULID"),
        url: "https://example.com/hook".to_owned(),
        event_types: None,
        description: None,
        headers: [("x-shop".to_owned(), "7".to_owned())].into(),
        state: EndpointState::Enabled,
        secret: "sealed".to_owned(),
        previous_secret: None,
        health: None,
        created_at: at(0),
        updated_at: at(0),
        version: 1,
    }
}

fn new_alert(at: Timestamp) -> AlertId {
    AlertId::from_ulid_text(&ulid(at, rand::random())).expect("a ULID")
}

fn event_write(event: &AlertEvent) -> EventWrite {
    EventWrite::of_alert(event, &format!("inventory.alert.{}", event.kind.as_str()), b"{}", rand::random())
}

fn provenance() -> Provenance {
    Provenance { source: "stock".to_owned().try_into().expect("a name"), sequence: "1".to_owned(), at: at(0) }
}
