//! What the hostile tenant does. It is one client with few connections, so that it takes little of the machine for itself.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tidemark_domain::rule::{Scope, Thresholds};
use tidemark_domain::{Decimal, InventoryName, Rule, RuleId};
use tidemark_runtime::clock;
use tidemark_store::{AlertQuery, AlertsWanted, ulid};
use tidemark_tests::brim::fill_alert;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Client, Reaction, wait_until};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::scene::{HOSTILE, Scene, hostile, stock_item};

/// One kind of attack.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attack {
    /// An alert whose stored item is as large as an item can be, and changes of its level that make it larger.
    FullItem,
    /// Many rules, which are changed as fast as half of a key's limit, and changes of the stock.
    RuleStorm,
    /// Endpoints that accept everything, slowly, and many alerts at once.
    SlowEndpoints,
    /// Many levels under one rule that is changed again and again.
    ManyLevels,
}

/// From one change of the hostile tenant's stock to the next.
const STOCK_PERIOD: Duration = Duration::from_millis(250);
const RULES: usize = 900;
/// From one change of a rule to the next.
const STORM_PERIOD: Duration = Duration::from_millis(20);
const LEVELS_PERIOD: Duration = Duration::from_millis(40);
/// Most changes of rules that are under way at once; beyond, one is left out.
const UNDER_WAY_MAX: usize = 8;
const ENDPOINTS: usize = 40;
const ALERTS: usize = 80;
/// Less than the 15 s after which an exchange fails.
const SLOW: Duration = Duration::from_secs(14);
const LEVELS: usize = 1_200;
const ITEM: &str = "full";

impl Attack {
    pub(super) const ALL: [Self; 4] = [Self::FullItem, Self::RuleStorm, Self::SlowEndpoints, Self::ManyLevels];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FullItem => "1 full item",
            Self::RuleStorm => "2 900 rules changed at 50/s",
            Self::SlowEndpoints => "3 40 slow endpoints, 80 alerts",
            Self::ManyLevels => "4 1200 levels, a rule changed at 25/s",
        }
    }

    /// What has to be there before the attack.
    pub(super) async fn prepare(self, scene: &Scene) {
        match self {
            Self::FullItem => fill_an_alert(scene).await,
            Self::RuleStorm => {
                for number in 0..RULES {
                    create_rule(scene, Some(&format!("item-{number}"))).await;
                }
                scene.delete_jobs().await;
            }
            Self::SlowEndpoints => create_slow_endpoints(scene).await,
            Self::ManyLevels => {
                let items: Vec<Value> = (0..LEVELS)
                    .map(|number| stock_item(HOSTILE, &format!("item-{number:04}"), &number.to_string(), None))
                    .collect();
                scene.stock_many(&items).await;
                create_rule(scene, None).await;
                scene.deployment.settled("stock").await;
            }
        }
    }

    /// Attacks until stopped, and says what was done.
    pub(super) async fn run(self, scene: &Scene, stop: &CancellationToken) -> String {
        let client = scene.client(HOSTILE).await;
        match self {
            Self::FullItem => {
                let changes = change_stock(scene, stop, ITEM).await;
                format!("{changes} changes of the stock")
            }
            Self::RuleStorm => {
                let (changes, patches) =
                    tokio::join!(change_stock(scene, stop, "item-0"), change_rules(scene, &client, STORM_PERIOD, stop),);
                format!("{changes} changes of the stock, changes of rules by status: {patches:?}")
            }
            Self::SlowEndpoints => fire_many(scene, stop).await,
            Self::ManyLevels => {
                let patches = change_rules(scene, &client, LEVELS_PERIOD, stop).await;
                format!("changes of the rule by status: {patches:?}")
            }
        }
    }
}

/// An alert that fires, and whose item is full.
async fn fill_an_alert(scene: &Scene) {
    scene.stock(HOSTILE, ITEM, "1", Some("2")).await;
    let query = AlertQuery { which: AlertsWanted::Firing, after: None, limit: 1 };
    let alert = OnceCell::new();
    wait_until("the alert to fire", DEADLINE, async || {
        let found = scene.deployment.store.alerts(&hostile(), &query).await.unwrap().alerts.pop();
        found.is_some_and(|record| alert.set(record.alert.id).is_ok())
    })
    .await;
    let left = fill_alert(&scene.deployment.world.dynamodb(), HOSTILE, alert.get().expect("it fires")).await;
    assert!(left < 30, "{left} bytes are left");
}

/// Changes one level's quantity and reorder point again and again. Both have as many digits as they may have, so the first change makes
/// the level's alert larger.
async fn change_stock(scene: &Scene, stop: &CancellationToken, item: &str) -> usize {
    let (mut turn, mut changes) = (ticks(STOCK_PERIOD), 0);
    while tokio::select! { _ = turn.tick() => true, () = stop.cancelled() => false } {
        changes += 1;
        let on_hand = format!("-12345678901234567.{:020}", 12_345_678_901_234_567_890_u64 + changes);
        let point = format!("12345678901234567.{:020}", 12_345_678_901_234_567_890_u64 + changes);
        scene.stock(HOSTILE, item, &on_hand, Some(&point)).await;
    }
    usize::try_from(changes).expect("a small number")
}

/// Changes one of the hostile tenant's rules after the other. How often each status was answered.
async fn change_rules(scene: &Scene, client: &Client, period: Duration, stop: &CancellationToken) -> BTreeMap<u16, usize> {
    let rules = scene.deployment.store.rules(&hostile()).await.unwrap();
    let (mut turn, mut under_way, mut answers) = (ticks(period), JoinSet::new(), BTreeMap::new());
    for (number, rule) in rules.iter().cycle().enumerate() {
        if tokio::select! { _ = turn.tick() => false, () = stop.cancelled() => true } {
            break;
        }
        while let Some(status) = under_way.try_join_next() {
            *answers.entry(status.unwrap()).or_default() += 1;
        }
        if under_way.len() >= UNDER_WAY_MAX {
            continue;
        }
        let body = json!({ "levels": [{ "severity": "warning", "fires_at_or_below": (number % 40).to_string() }] });
        let (client, path) = (client.clone(), format!("/v1/alert-rules/{}", rule.id));
        under_way.spawn(async move { client.patch(&path, &body).await.status });
    }
    answers
}

/// Endpoints that accept every delivery, and take their time.
async fn create_slow_endpoints(scene: &Scene) {
    let (client, receiver) = (scene.client(HOSTILE).await, &scene.receiver);
    for number in 0..ENDPOINTS {
        let name = format!("slow-{number}");
        receiver.react(&name, |_| Reaction::Slow(SLOW, 200));
        let created = client.post("/v1/webhook-endpoints", &json!({ "url": receiver.url(&name) })).await;
        assert_eq!(created.status, 201, "{}", created.text);
    }
}

/// Makes many items low at once: an alert for each, and a delivery of each to every endpoint.
async fn fire_many(scene: &Scene, stop: &CancellationToken) -> String {
    let items: Vec<Value> = (0..ALERTS).map(|number| stock_item(HOSTILE, &format!("low-{number}"), "1", Some("2"))).collect();
    scene.stock_many(&items).await;
    stop.cancelled().await;
    format!("{} of {} deliveries begun", scene.receiver.all().len(), ENDPOINTS * ALERTS)
}

/// A rule for one item, or for all. It calls nothing low yet.
async fn create_rule(scene: &Scene, item: Option<&str>) {
    let now = clock::now();
    let rule = Rule {
        id: RuleId::from_ulid_text(&ulid(now, rand::random())).unwrap(),
        name: None,
        scope: Scope { inventory: InventoryName::new("stock").unwrap(), item: item.map(str::to_owned), location: None },
        thresholds: Thresholds::warning_at(Decimal::from(-1)),
        repeat_every: None,
        enabled: true,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    scene.deployment.store.create_rule(&hostile(), &rule, now).await.unwrap();
}

/// Missed ticks are not made up for.
fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
