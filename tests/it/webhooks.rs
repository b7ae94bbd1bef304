//! Webhooks from the change of an item to the receiver: who hears of what, how often it is tried, and that whatever breaks
//! heals by itself. ALERTS §3, §4.

mod chaos;
mod crowd;
mod deliver;
mod fan_out;
mod heal;
mod held;
mod jobs;
mod retries;
mod waiting;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemark_domain::alert::{Act, Facts, step};
use tidemark_domain::rule::{Scope, Severity, Threshold, Thresholds};
use tidemark_domain::{
    Alert, AlertEvent, AlertId, Decimal, EndpointId, EventId, InventoryName, Level, LevelKey, Rule, RuleId, TenantId,
};
use tidemark_ingest::Settings;
use tidemark_runtime::clock;
use tidemark_store::{
    AlertQuery, AlertsWanted, Change, Decisions, Delivery, DeliveryId, DeliveryQuery, DeliveryState, Due, Endpoint,
    EndpointState, EventWrite, Hold, LevelRow, LevelWrite, RulesLane, Slot, Store, Tenant, ulid,
};
use tidemark_tests::deployment::{DEADLINE, RunningIngest, secret_keys, settings};
use tidemark_tests::{Deployment, Fault, Receiver, When, Workload, wait_until};
use tidemark_webhooks::event::EventType;
use tidemark_webhooks::payload;
use tidemark_webhooks::seal::{Owner, SealingKeys};
use tidemark_webhooks::secret::Secret;

const DEFINITIONS: &str = "
sources:
  stock:
    table: Stock
    key: { partition: item_number, sort: location }
    tenant: { constant: acme }
inventory:
  stock:
    source: stock
    item: item_number
    location: { attribute: location, default: main }
    on_hand: on_hand
    reorder_point: reorder_point
";
/// At or below this an item is low.
const LOW: i64 = 10;

/// A deployment with one tenant, and a receiver.
struct Scene {
    deployment: Deployment,
    receiver: Receiver,
    tenant: Tenant,
}

impl Scene {
    async fn start() -> Self {
        Self::of(Deployment::start(DEFINITIONS).await).await
    }

    async fn of(deployment: Deployment) -> Self {
        let tenant = Tenant::named_by_operator(TenantId::new("acme").unwrap());
        Self { deployment, receiver: Receiver::start().await, tenant }
    }

    fn store(&self) -> &Store {
        &self.deployment.store
    }

    async fn worker(&self) -> RunningIngest {
        self.worker_with(|_| {}).await
    }

    /// A worker with other settings.
    async fn worker_with(&self, change: impl FnOnce(&mut Settings)) -> RunningIngest {
        let mut settings = settings();
        change(&mut settings);
        let config = self.deployment.world.config_of(Workload::Ingest);
        self.deployment.start_ingest_as(&config, &settings, &self.deployment.definitions).await
    }

    /// An endpoint at the receiver's path of this name, for some types of events, or for all.
    async fn endpoint(&self, name: &str, types: Option<&[EventType]>) -> Endpoint {
        self.endpoint_with(name, types, new_endpoint()).await.0
    }

    async fn endpoint_with(&self, name: &str, types: Option<&[EventType]>, id: EndpointId) -> (Endpoint, Secret) {
        let (secret, keys, now) = (Secret::generate(), secret_keys(), clock::now());
        let sealed = SealingKeys::new(&keys.current, None).seal(&secret, Owner { tenant: self.tenant.id(), endpoint: &id });
        let endpoint = Endpoint {
            id,
            url: self.receiver.url(name),
            event_types: types.map(|types| types.iter().map(|wanted| wanted.as_str().to_owned()).collect()),
            description: None,
            headers: BTreeMap::new(),
            state: EndpointState::Enabled,
            secret: sealed.into(),
            previous_secret: None,
            health: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        self.store().create_endpoint(&self.tenant, &endpoint).await.unwrap();
        (endpoint, secret)
    }

    /// An endpoint as it is stored.
    async fn stored(&self, endpoint: &Endpoint) -> Endpoint {
        self.store().endpoint(&self.tenant, &endpoint.id).await.unwrap().unwrap()
    }

    /// Enables an endpoint again.
    async fn enable(&self, endpoint: &Endpoint) {
        let read = self.stored(endpoint).await;
        let to = Endpoint { state: EndpointState::Enabled, ..read.clone() };
        self.store().update_endpoint(&self.tenant, &read, to).await.unwrap();
    }

    /// So much of an item is there from now on.
    async fn stock(&self, item: &str, on_hand: i64) {
        let row = json!({
            "item_number": {"S": item}, "location": {"S": "main"},
            "on_hand": {"N": on_hand.to_string()}, "reorder_point": {"N": LOW.to_string()},
        });
        self.deployment.put("Stock", row).await;
    }

    /// The same without a reorder point.
    async fn stock_without_point(&self, item: &str, on_hand: i64) {
        let row = json!({"item_number": {"S": item}, "location": {"S": "main"}, "on_hand": {"N": on_hand.to_string()}});
        self.deployment.put("Stock", row).await;
    }

    /// Commits what a worker would that reads at this instant that so much of an item is there, with its reorder point.
    async fn commit(&self, item: &str, on_hand: i64, at: Timestamp) -> Vec<AlertEvent> {
        self.commit_as(item, (on_hand, Some(LOW)), at, None).await
    }

    /// The same, now, with events that are held since an instant.
    async fn commit_held(&self, item: &str, on_hand: i64, since: Timestamp) {
        let known = self.deployment.streams.describe_source("Stock").await.unwrap();
        let hold = Hold { stream: known.arn.as_str().to_owned(), since };
        self.commit_as(item, (on_hand, Some(LOW)), clock::now(), Some(hold)).await;
    }

    /// The same, now, of an item without a reorder point.
    async fn commit_without_point(&self, item: &str, on_hand: i64) {
        self.commit_as(item, (on_hand, None), clock::now(), None).await;
    }

    async fn commit_as(
        &self,
        item: &str,
        (on_hand, point): (i64, Option<i64>),
        at: Timestamp,
        hold: Option<Hold>,
    ) -> Vec<AlertEvent> {
        let key = self.level_key(item);
        let (book, check) = self.store().rule_book(&self.tenant, RulesLane::of("a shard")).await.unwrap();
        let row = self.store().level(&self.tenant, &key).await.unwrap();
        let seen = row.as_ref().map(|row| row.version);
        let decimal = |number: i64| number.to_string().parse::<Decimal>().unwrap();
        let quantities = Level { on_hand: decimal(on_hand), committed: decimal(0), incoming: decimal(0), reorder_point: None };
        let level = Level { reorder_point: point.map(decimal), ..quantities };
        let facts = Facts { key: &key, level: Some(&level), book: &book, at };
        let mint = &mut |at| AlertId::from_ulid_text(&ulid(at, rand::random())).unwrap();
        let (standing, events) = step(row.map(|row| row.standing).unwrap_or_default(), &facts, mint);
        let row = LevelRow { level, standing, updated_at: at, version: LevelRow::version_after(seen, at) };
        let decisions = Decisions {
            judged_again: Vec::new(),
            checks: vec![check],
            levels: vec![LevelWrite { key, seen, row: Some(row) }],
            alerts: events
                .iter()
                .map(|event| (&event.alert.id, &event.alert))
                .collect::<BTreeMap<_, _>>()
                .into_values()
                .cloned()
                .collect(),
            events: events.iter().map(|event| EventWrite { hold: hold.clone(), ..event_write(event) }).collect(),
        };
        self.store().decide(&self.tenant, &decisions).await.unwrap();
        events
    }

    /// Up to when the stream is included.
    async fn watermark(&self) -> Timestamp {
        let known = self.deployment.streams.streams_of("Stock").await.unwrap().remove(0);
        self.deployment.streams.watermark(&known.id).await.unwrap().unwrap().watermark.unwrap()
    }

    fn level_key(&self, item: &str) -> LevelKey {
        let inventory = InventoryName::new("stock").unwrap();
        LevelKey { tenant: self.tenant.id().clone(), inventory, item: item.to_owned(), location: "main".to_owned() }
    }

    /// A rule for an item, or for all.
    fn rule(&self, item: Option<&str>, thresholds: &[(Severity, &str)]) -> Rule {
        let now = clock::now();
        let threshold = |(severity, fires): &(Severity, &str)| {
            let fires = fires.parse::<Decimal>().unwrap();
            Threshold { severity: *severity, fires_at_or_below: fires.clone(), clears_above: fires }
        };
        Rule {
            id: RuleId::from_ulid_text(&ulid(now, rand::random())).unwrap(),
            name: None,
            scope: Scope { inventory: InventoryName::new("stock").unwrap(), item: item.map(str::to_owned), location: None },
            thresholds: Thresholds::new(thresholds.iter().map(threshold).collect()).unwrap(),
            repeat_every: None,
            enabled: true,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    /// All alerts, newest first.
    async fn alerts(&self) -> Vec<Alert> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let query = AlertQuery { which: AlertsWanted::All, after, limit: 1000 };
            let page = self.store().alerts(&self.tenant, &query).await.unwrap();
            all.extend(page.alerts.into_iter().map(|record| record.alert));
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    /// Waits until an item's level is stored.
    async fn until_stored(&self, item: &str) {
        let key = self.level_key(item);
        wait_until("the level", DEADLINE, async || self.store().level(&self.tenant, &key).await.unwrap().is_some()).await;
    }

    /// Waits until so much of an item is there by its level.
    async fn until_stored_as(&self, item: &str, on_hand: i64) {
        let (key, what) = (self.level_key(item), format!("{on_hand} of {item}"));
        let stored = async || self.store().level(&self.tenant, &key).await.unwrap().map(|row| row.level.on_hand);
        wait_until(&what, DEADLINE, async || stored().await == Some(on_hand.into())).await;
    }

    /// Does something to an alert, as the API does.
    async fn act(&self, alert: &AlertId, act: Act) -> Alert {
        let now = clock::now();
        let acted = self.store().act(&self.tenant, alert, now, |record, level| {
            let acted = act.apply(&record.alert, level, now)?.expect("it changes something");
            let event = acted.event.as_ref().map(event_write);
            Ok::<_, tidemark_domain::alert::Error>(Some(Change { acted, event }))
        });
        acted.await.unwrap()
    }

    /// Deliveries of an endpoint, newest first.
    async fn deliveries(&self, endpoint: &Endpoint) -> Vec<Delivery> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let query = DeliveryQuery { after, limit: 1000 };
            let page = self.store().deliveries(&self.tenant, &endpoint.id, &query).await.unwrap();
            all.extend(page.deliveries);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    /// Waits until all deliveries of an endpoint, so many, are in a state.
    async fn until_all(&self, endpoint: &Endpoint, count: usize, state: DeliveryState) {
        let what = format!("{count} deliveries to be {}", state.as_str());
        wait_until(&what, DEADLINE, async || {
            let deliveries = self.deliveries(endpoint).await;
            deliveries.len() == count && deliveries.iter().all(|delivery| delivery.state == state)
        })
        .await;
    }

    async fn delivery(&self, endpoint: &Endpoint, event: &str) -> Delivery {
        let id = DeliveryId { event: EventId::new(event).unwrap(), endpoint: endpoint.id.clone() };
        self.store().delivery(&self.tenant, &id).await.unwrap().unwrap()
    }

    /// All that is due, now or ever.
    async fn outstanding(&self) -> Vec<Due> {
        let mut all = Vec::new();
        for slot in Slot::all() {
            all.extend(self.store().due(slot, None, 1000).await.unwrap().entries);
            all.extend(self.store().waiting(slot, None, 1000).await.unwrap().entries);
        }
        all
    }

    /// The bodies of all calls of this name from now on.
    fn overhear(&self, call: &'static str) -> Overheard {
        let overheard = Overheard::default();
        let listener = overheard.clone();
        let listen = When::Matching(Box::new(move |body| {
            listener.0.lock().unwrap_or_else(PoisonError::into_inner).push(body.clone());
            false
        }));
        self.deployment.world.front().fault(call, listen, Fault::Delay(Duration::ZERO));
        overheard
    }

    /// Waits until there is nothing left to do.
    async fn until_nothing_is_due(&self) {
        wait_until("nothing to be due", DEADLINE, async || self.outstanding().await.is_empty()).await;
    }
}

/// Calls that were made, as their bodies; clones share them.
#[derive(Clone, Default)]
struct Overheard(Arc<Mutex<Vec<Value>>>);

impl Overheard {
    fn count(&self, is_like: impl Fn(&Value) -> bool) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|body| is_like(body)).count()
    }
}

/// What a Query asks an index or a table for: its partition, and behind which place, if behind any.
fn asked(query: &Value) -> (&str, Option<&str>) {
    let value = |name: &str| query["ExpressionAttributeValues"][name]["S"].as_str();
    (value(":pk").unwrap_or_default(), value(":above"))
}

fn new_endpoint() -> EndpointId {
    EndpointId::from_ulid_text(&ulid(clock::now(), rand::random())).unwrap()
}

/// An event of now, to be fanned out at once.
fn event_write(event: &AlertEvent) -> EventWrite {
    let event_type = EventType::from(event.kind).as_str();
    EventWrite::of_alert(event, event_type, &payload::body(event).unwrap(), rand::random())
}

fn new_event(at: Timestamp) -> EventId {
    EventId::from_ulid_text(&ulid(at, rand::random())).unwrap()
}
