//! The hostile tenant: it changes its rules and acts on its alerts at any moment, as fast as an API would let it.
//!
//! It uses the store as the API does. While misfortunes happen, it has a line of its own into the network. Two things that it
//! does are not part of this. It has no webhook endpoints: an exchange is a real connection, which virtual time does not wait for. And the
//! jobs of its rules are left out of its transactions: their ids are random numbers that no seed decides. So a changed rule is applied to a
//! level with the level's next change.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tidemark_domain::alert::{Act, Error as Refusal};
use tidemark_domain::rule::{Scope, Severity, Threshold, Thresholds};
use tidemark_domain::{AlertId, Decimal, InventoryName, Rule, RuleId, TenantId};
use tidemark_runtime::clock;
use tidemark_store::{AlertQuery, AlertsWanted, Change, EventWrite, RuleError, Store, Tenant, ulid};
use tidemark_tests::Wire;
use tidemark_tests::brim::fill_alert;
use tidemark_tests::deployment::tables;
use tidemark_webhooks::event::EventType;
use tidemark_webhooks::payload;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::history::HOSTILE;
use crate::network::Line;
use crate::schedule::World;

/// Which of the schedule's workers its line passes for: they are counted from 1.
const WORKER: u64 = 0;
/// Most rules that it has. Few, so that most of what it does is changing them.
const RULES_MAX: usize = 6;
/// Of a thousand things that it does, so many are of these kinds; the rest changes a rule.
const CREATES: u32 = 150;
const DELETES: u32 = 100;
const ACTS: u32 = 150;

/// What a plan decides about the hostile tenant.
#[derive(Debug, Clone)]
pub(crate) struct Hostility {
    /// The time between two things that it does, in ms.
    pub(crate) pause_ms: RangeInclusive<u64>,
    /// Whether it has an alert whose stored item is full.
    pub(crate) fills_alert: bool,
}

/// The hostile tenant at work.
#[derive(Debug)]
pub(crate) struct Hostile {
    done: Arc<AtomicU64>,
    task: JoinSet<()>,
}

struct Work {
    store: Store,
    /// Past the network.
    client: aws_sdk_dynamodb::Client,
    tenant: Tenant,
    random: StdRng,
    hostility: Hostility,
    /// Its rules as it knows them; `None`: it has to read them.
    rules: Option<Vec<Rule>>,
    done: Arc<AtomicU64>,
}

/// Something was not done: a condition failed, or the network lost it. Both are to be expected, and the next thing is done.
struct NotDone;

impl Hostile {
    /// Over a line into the network.
    pub(crate) fn start(world: &World, seed: u64, hostility: &Hostility) -> Self {
        let line = Line::new(&world.network, seed, WORKER);
        Self::start_on(&line.wire(&world.wire), world, seed, hostility)
    }

    /// Past the network: each call is carried out at once.
    pub(crate) fn start_beside(world: &World, seed: u64, hostility: &Hostility) -> Self {
        Self::start_on(&world.wire, world, seed, hostility)
    }

    fn start_on(wire: &Wire, world: &World, seed: u64, hostility: &Hostility) -> Self {
        let done = Arc::<AtomicU64>::default();
        let wire = wire.with_request(without_jobs);
        let work = Work {
            store: Store::new(&wire.config(), tables()),
            client: world.client.clone(),
            tenant: Tenant::named_by_operator(TenantId::new(HOSTILE).unwrap()),
            random: StdRng::seed_from_u64(seed.rotate_left(16)),
            hostility: hostility.clone(),
            rules: None,
            done: Arc::clone(&done),
        };
        let mut task = JoinSet::new();
        task.spawn(work.run());
        Self { done, task }
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) fn end(mut self) {
        assert!(self.task.try_join_next().is_none(), "nothing but this ends the hostile tenant");
    }

    /// How much it has done.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// Takes the jobs out of a transaction.
fn without_jobs(request: &mut Value) {
    let is_job = |part: &Value| {
        let [put, update] = [&part["Put"]["Item"], &part["Update"]["Key"]].map(|key| key["pk"]["S"].as_str());
        put.or(update).is_some_and(|pk| pk.ends_with("#JOB"))
    };
    if let Some(parts) = request["TransactItems"].as_array_mut() {
        parts.retain(|part| !is_job(part));
    }
}

impl Work {
    async fn run(mut self) {
        loop {
            let pause = self.random.random_range(self.hostility.pause_ms.clone());
            sleep(Duration::from_millis(pause)).await;
            if self.turn().await.is_ok() {
                self.done.fetch_add(1, Ordering::Relaxed);
            } else {
                self.rules = None;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), NotDone> {
        let kind = self.random.random_range(0..1_000);
        if kind < ACTS || self.hostility.fills_alert {
            return self.act().await;
        }
        let rules = match self.rules.take() {
            Some(rules) => rules,
            None => self.store.rules(&self.tenant).await.map_err(|_| NotDone)?,
        };
        let rules = match kind - ACTS {
            _ if rules.is_empty() => self.create(rules).await?,
            ..CREATES if rules.len() < RULES_MAX => self.create(rules).await?,
            CREATES.. if kind < ACTS + CREATES + DELETES => self.delete(rules).await?,
            _ => self.change(rules).await?,
        };
        self.rules = Some(rules);
        Ok(())
    }

    async fn create(&mut self, mut rules: Vec<Rule>) -> Result<Vec<Rule>, NotDone> {
        let now = clock::now();
        let one_of = |random: &mut StdRng, values: &[&str]| {
            Some(values[random.random_range(0..values.len())].to_owned()).filter(|value| !value.is_empty())
        };
        let scope = Scope {
            inventory: InventoryName::new("stock").unwrap(),
            item: one_of(&mut self.random, &["", "", "order-1", "order-2", "hostile-1"]),
            location: one_of(&mut self.random, &["", "", "north", "depot"]),
        };
        let rule = Rule {
            id: RuleId::from_ulid_text(&ulid(now, self.random.random())).unwrap(),
            name: None,
            scope,
            thresholds: self.thresholds(),
            repeat_every: None,
            enabled: true,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        match self.store.create_rule(&self.tenant, &rule, now).await {
            Ok(()) => rules.push(rule),
            Err(RuleError::Exists(_)) => {}
            Err(_) => return Err(NotDone),
        }
        Ok(rules)
    }

    async fn delete(&mut self, mut rules: Vec<Rule>) -> Result<Vec<Rule>, NotDone> {
        let rule = rules.remove(self.random.random_range(0..rules.len()));
        self.store.delete_rule(&self.tenant, &rule, clock::now()).await.map_err(|_| NotDone)?;
        Ok(rules)
    }

    async fn change(&mut self, mut rules: Vec<Rule>) -> Result<Vec<Rule>, NotDone> {
        let index = self.random.random_range(0..rules.len());
        let (now, enabled) = (clock::now(), self.random.random_ratio(9, 10));
        let to = Rule { thresholds: self.thresholds(), enabled, updated_at: now, ..rules[index].clone() };
        rules[index] = self.store.update_rule(&self.tenant, &rules[index], to, now).await.map_err(|_| NotDone)?;
        Ok(rules)
    }

    /// Some are long texts, some are short, so that the alerts they are copied into grow and shrink.
    fn thresholds(&mut self) -> Thresholds {
        let at = self.random.random_range(0..600);
        let digits = self.random.random_range(0..=20);
        let text = if digits == 0 { at.to_string() } else { format!("{at}.{}", "7".repeat(digits)) };
        let value: Decimal = text.parse().unwrap();
        let warning = Threshold { severity: Severity::Warning, fires_at_or_below: value.clone(), clears_above: value };
        let critical = Threshold {
            severity: Severity::Critical,
            fires_at_or_below: Decimal::from(i64::from(at / 2)),
            clears_above: Decimal::from(i64::from(at / 2)),
        };
        let both = self.random.random_ratio(1, 2);
        Thresholds::new(if both { vec![warning, critical] } else { vec![warning] }).unwrap()
    }

    /// Does something to an alert that fires, or fills its item.
    async fn act(&mut self) -> Result<(), NotDone> {
        let query = AlertQuery { which: AlertsWanted::Firing, after: None, limit: 5 };
        let alerts = self.store.alerts(&self.tenant, &query).await.map_err(|_| NotDone)?.alerts;
        let Some(record) = alerts.get(self.random.random_range(0..5).min(alerts.len().saturating_sub(1))) else {
            return Ok(());
        };
        let id = record.alert.id.clone();
        if self.hostility.fills_alert {
            self.hostility.fills_alert = false;
            fill_alert(&self.client, HOSTILE, &id).await;
        }
        self.act_on(&id).await
    }

    async fn act_on(&mut self, id: &AlertId) -> Result<(), NotDone> {
        let (now, by, note) = (clock::now(), "key_hostile".to_owned(), None);
        let act = match self.random.random_range(0..7) {
            0..3 => Act::Mute { until: now + Duration::from_hours(1), by, note },
            3..5 => Act::Unmute { by, note },
            5 => Act::Acknowledge { by, note },
            _ => Act::Resolve { by, note },
        };
        let random = self.random.random();
        let acted = self.store.act(&self.tenant, id, now, |record, level| {
            let Some(acted) = act.apply(&record.alert, level, now)? else { return Ok(None) };
            let event = acted.event.as_ref().map(|event| {
                let body = payload::body(event).expect("a body of short texts");
                EventWrite::of_alert(event, EventType::from(event.kind).as_str(), &body, random)
            });
            Ok::<_, Refusal>(Some(Change { acted, event }))
        });
        acted.await.map(drop).map_err(|_| NotDone)
    }
}
