//! An API over levels that the tests set as a worker would: by the domain's own step, in the store's own transaction. No worker runs,
//! so nothing changes but what a test changes.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde_json::{Value, json};
use tidemark_domain::alert::{Facts, step};
use tidemark_domain::{Alert, AlertEvent, AlertId, Decimal, EndpointId, InventoryName, Level, LevelKey, Standing, TenantId};
use tidemark_runtime::clock;
use tidemark_store::{Decisions, Due, Error, EventWrite, LevelRow, LevelWrite, RulesLane, Slot, Tenant, Work, ulid};
use tidemark_tests::deployment::tables;
use tidemark_tests::{Client, Deployment, RunningApi};
use tidemark_webhooks::event::EventType;
use tidemark_webhooks::payload;

/// The definition file.
pub(super) const STOCK: &str = include_str!("stock.yaml");

/// A shop's stock with an API.
pub(super) struct Stock {
    pub deployment: Deployment,
    pub api: RunningApi,
}

/// A level to be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shelf<'a> {
    pub tenant: &'a str,
    pub item: &'a str,
    pub location: &'a str,
    pub on_hand: &'a str,
    pub committed: &'a str,
    pub reorder_point: Option<&'a str>,
}

/// So much of an item, at `main`.
pub(super) fn shelf<'a>(tenant: &'a str, item: &'a str, on_hand: &'a str) -> Shelf<'a> {
    Shelf { tenant, item, location: "main", on_hand, committed: "0", reorder_point: None }
}

impl<'a> Shelf<'a> {
    pub(super) fn at(self, location: &'a str) -> Self {
        Self { location, ..self }
    }

    /// With a reorder point.
    pub(super) fn low_at(self, point: &'a str) -> Self {
        Self { reorder_point: Some(point), ..self }
    }

    pub(super) fn committed(self, committed: &'a str) -> Self {
        Self { committed, ..self }
    }

    pub(super) fn key(&self) -> LevelKey {
        LevelKey {
            tenant: TenantId::new(self.tenant).unwrap(),
            inventory: InventoryName::new("stock").unwrap(),
            item: self.item.to_owned(),
            location: self.location.to_owned(),
        }
    }

    fn level(&self) -> Level {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        Level {
            on_hand: decimal(self.on_hand),
            committed: decimal(self.committed),
            incoming: Decimal::zero(),
            reorder_point: self.reorder_point.map(decimal),
        }
    }
}

impl Stock {
    pub(super) async fn open() -> Self {
        Self::open_with(STOCK).await
    }

    pub(super) async fn open_with(definitions: &str) -> Self {
        let deployment = Deployment::start(definitions).await;
        let api = deployment.start_api().await;
        Self { deployment, api }
    }

    /// A client with a new key of a tenant's.
    pub(super) async fn client(&self, tenant: &str) -> Client {
        self.api.client(self.deployment.key_of(tenant).await)
    }

    /// Sets levels, one after the other, and has their alerts follow.
    pub(super) async fn set(&self, shelves: &[Shelf<'_>]) {
        for shelf in shelves {
            while let Err(error) = self.try_set(shelf).await {
                assert!(matches!(error, Error::ConditionFailed | Error::Throttled(_)), "{error:?}");
            }
        }
    }

    async fn try_set(&self, shelf: &Shelf<'_>) -> Result<(), Error> {
        let (store, key, level, now) = (&self.deployment.store, shelf.key(), shelf.level(), clock::now());
        let tenant = tenant(shelf.tenant);
        let (book, check) = store.rule_book(&tenant, RulesLane::of("test")).await?;
        let row = store.level(&tenant, &key).await?;
        let seen = row.as_ref().map(|row| row.version);
        let facts = Facts { key: &key, level: Some(&level), book: &book, at: now };
        let mut mint = |at| AlertId::from_ulid_text(&ulid(at, rand::random())).unwrap();
        let (standing, events) = step(row.map(|row| row.standing).unwrap_or_default(), &facts, &mut mint);
        let mut alerts: BTreeMap<AlertId, Alert> =
            events.iter().map(|event| (event.alert.id.clone(), event.alert.clone())).collect();
        if let Standing::Firing(alert) = &standing {
            alerts.insert(alert.id.clone(), alert.clone());
        }
        let row = LevelRow { level, standing, updated_at: now, version: LevelRow::version_after(seen, now) };
        let decisions = Decisions {
            judged_again: Vec::new(),
            checks: vec![check],
            levels: vec![LevelWrite { key, seen, row: Some(row) }],
            alerts: alerts.into_values().collect(),
            events: events.iter().map(event_write).collect(),
        };
        store.decide(&tenant, &decisions).await
    }

    /// Has the index hold some levels, by tenant and sort key, in the one partition of their inventory that it once was.
    pub(super) async fn index_as_before(&self, levels: &[(&str, &str)]) {
        let client = self.deployment.world.dynamodb();
        for (tenant, sk) in levels {
            let key = [("pk", format!("T#{tenant}#I#stock")), ("sk", (*sk).to_owned())];
            let key = key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value)));
            let update = client.update_item().table_name(tables().data).set_key(Some(key.into()));
            update.update_expression("SET index_pk = pk").condition_expression("attribute_exists(pk)").send().await.unwrap();
        }
    }

    /// Makes a delivery of every event that is due, as a dispatcher does.
    pub(super) async fn fan_out(&self, endpoints: &[EndpointId]) {
        for due in due(&self.deployment).await {
            if matches!(due.work, Work::Event(_)) {
                let until = clock::now() + jiff::SignedDuration::from_secs(30);
                let event = self.deployment.store.claim_event(&due, until).await.unwrap().expect("nobody else claims");
                assert!(
                    self.deployment
                        .store
                        .fan_out(&event.tenant, &event.value, endpoints, &BTreeSet::new(), clock::now())
                        .await
                        .unwrap()
                );
            }
        }
    }

    /// The items of a list, page by page in pages of `limit`.
    pub(super) async fn pages(client: &Client, list: &str, limit: usize) -> (Vec<usize>, Vec<Value>) {
        let (mut sizes, mut entries, mut cursor) = (Vec::new(), Vec::new(), String::new());
        let join = if list.contains('?') { '&' } else { '?' };
        loop {
            let page = client.get(&format!("{list}{join}limit={limit}{cursor}")).await.json();
            let data = page["data"].as_array().unwrap();
            sizes.push(data.len());
            entries.extend(data.clone());
            match &page["page"]["next_cursor"] {
                Value::Null => return (sizes, entries),
                next => cursor = format!("&cursor={}", next.as_str().unwrap()),
            }
            assert!(sizes.len() <= 100, "the pages do not end: {sizes:?}");
        }
    }
}

/// All work that there is for dispatchers.
pub(super) async fn due(deployment: &Deployment) -> Vec<Due> {
    let mut due = Vec::new();
    for slot in Slot::all() {
        due.extend(deployment.store.due(slot, None, 100).await.unwrap().entries);
    }
    due
}

pub(super) fn tenant(id: &str) -> Tenant {
    Tenant::named_by_operator(TenantId::new(id).unwrap())
}

fn event_write(event: &AlertEvent) -> EventWrite {
    let event_type = EventType::from(event.kind).as_str();
    EventWrite::of_alert(event, event_type, &payload::body(event).unwrap(), rand::random())
}

/// A rule's body: a warning at or below a value.
pub(super) fn rule(scope: &Value, fires: &str) -> Value {
    json!({ "scope": scope, "levels": [{ "severity": "warning", "fires_at_or_below": fires }] })
}

/// An instant so many seconds from now.
pub(super) fn in_seconds(seconds: i64) -> String {
    let at: Timestamp = clock::now() + jiff::SignedDuration::from_secs(seconds);
    at.to_string()
}

/// The codes of a refusal's parameters and fields.
pub(super) fn faults(problem: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| (text(&error["parameter"]), text(&error["code"]))).collect()
}
