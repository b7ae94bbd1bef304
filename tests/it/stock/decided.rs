//! Batches by hand: records that nobody wrote, decided about and written without a stream, so that everything can happen in between.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tidemark_domain::alert::Standing;
use tidemark_domain::{AlertId, Attribute, Decimal, Image, Level, Running, SourceName};
use tidemark_ingest::{Effect, Effects, Fold, LevelChange, StockReader, Writing, Zones};
use tidemark_runtime::clock;
use tidemark_store::{Decisions, Error, EventKey, EventState, Hold, RulesLane, Writes};
use tidemark_streams::{Record, SequenceNumber};
use tidemark_tests::Deployment;

use super::{DEFINITIONS, alerts, key, level, rule, tenant, told};

/// What a batch is folded up to.
const ITEMS_MAX: usize = 96;
const STREAM: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/Stock/stream/2026-01-01T00:00:00.000";
const MAX_AGE: SignedDuration = SignedDuration::from_hours(1);

/// Whoever makes batches of the one tenant `demo`.
struct Batches {
    deployment: Deployment,
    running: Running,
    zones: Zones,
    reader: StockReader,
    source: SourceName,
    lane: RulesLane,
}

impl Batches {
    async fn start() -> Self {
        let deployment = Deployment::start(DEFINITIONS).await;
        let running = deployment.store.adopt(&deployment.definitions, clock::now()).await.unwrap().running;
        let store = deployment.store.clone();
        Self {
            zones: Zones::new(store.clone()),
            reader: StockReader::new(store),
            source: SourceName::new("stock").unwrap(),
            lane: RulesLane::of("a shard"),
            deployment,
            running,
        }
    }

    async fn effect(&self, record: &Record) -> Effect {
        let (running, source, zones) = (&self.running, &self.source, &self.zones);
        Effects { running, source, table: "Stock", zones, now: clock::now() }.of(record).await.unwrap()
    }

    /// As many of the effects as one batch takes.
    async fn fold(&self, effects: &[Effect]) -> Fold {
        let mut fold = Fold::default();
        let taken = effects.iter().take_while(|effect| fold.take(effect)).count();
        Fold::decided(&effects[..taken], self.reader.read(fold.stock().unread(), self.lane).await.unwrap())
    }

    async fn write(&self, decisions: &Decisions) -> Result<(), Error> {
        self.deployment.store.decide(&tenant("demo"), decisions).await
    }

    /// Folds and writes all of the effects; gives the writes of each batch.
    async fn commit(&self, mut effects: &[Effect]) -> Vec<Writes> {
        let mut batches = Vec::new();
        while !effects.is_empty() {
            let fold = self.fold(effects).await;
            let writes = writes(&fold, clock::now());
            self.write(&writes.decisions).await.unwrap();
            effects = &effects[fold.records()..];
            batches.push(writes);
        }
        batches
    }
}

fn writes(fold: &Fold, now: Timestamp) -> Writes {
    fold.writes(|_| 0, &Writing { stream: STREAM, now, alert_max_age: MAX_AGE, traceparent: None }).unwrap()
}

/// That an item is this from now on.
fn change(item: &str, available: Option<i64>) -> Effect {
    let level = |on_hand: i64| Level {
        on_hand: on_hand.into(),
        committed: Decimal::zero(),
        incoming: Decimal::zero(),
        reorder_point: None,
    };
    let levels = vec![LevelChange { key: key("demo", item), level: available.map(level), at: clock::now() }];
    Effect { levels, ..Effect::default() }
}

fn image(on_hand: i64) -> Image {
    let (text, number) = (|text: &str| Attribute::Text(text.to_owned()), |number: i64| Attribute::Number(number.to_string()));
    let moved_at = clock::now().as_second();
    [("item_number", text("tea")), ("location", text("berlin")), ("on_hand", number(on_hand)), ("moved_at", number(moved_at))]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

fn record(old: Option<Image>, new: Option<Image>) -> Record {
    let sequence_number = SequenceNumber::new("1").unwrap();
    Record { sequence_number, created_at: clock::now(), old, new, ttl_delete: false, bytes: 100 }
}

#[tokio::test]
async fn a_level_that_is_what_it_was_is_not_written() {
    let batches = Batches::start().await;
    batches.commit(&[change("tea", Some(20))]).await;
    let seen = level(&batches.deployment.store, &key("demo", "tea")).await.unwrap();
    let fold = batches.fold(&[change("tea", Some(3)), change("tea", Some(20)), change("mug", None)]).await;
    assert!(writes(&fold, clock::now()).is_empty(), "without a rule, 20 is 20 again");
    assert!(!fold.is_harmless(), "a batch of the first alone would not be");
    batches.commit(&[change("tea", Some(19))]).await;
    let row = level(&batches.deployment.store, &key("demo", "tea")).await.unwrap();
    assert_eq!((row.version, row.level.on_hand), (seen.version + 1, 19.into()));
}

#[tokio::test]
async fn a_rule_written_meanwhile_makes_a_batch_stale_and_decides_it() {
    let batches = Batches::start().await;
    let store = &batches.deployment.store;
    // Its rules are remembered from here on.
    batches.commit(&[change("tea", Some(20))]).await;
    let effects = [change("tea", Some(5))];
    let fold = batches.fold(&effects).await;
    let rule = rule(clock::now());
    store.create_rule(&tenant("demo"), &rule, clock::now()).await.unwrap();
    let refused = batches.write(&writes(&fold, clock::now()).decisions).await;
    assert!(matches!(refused, Err(Error::ConditionFailed)), "{refused:?}");
    assert!(batches.write(&writes(&batches.fold(&effects).await, clock::now()).decisions).await.is_err(), "still remembered");
    batches.reader.were_stale(fold.stock(), &BTreeSet::from([tenant("demo").id().clone()])).await;
    batches.commit(&effects).await;
    let [alert] = &alerts(store, "demo").await[..] else { panic!("one alert") };
    assert_eq!(alert.rule.rule, Some(rule.id));
    assert_eq!(told(store, "demo", &alert.id).await, ["fired"]);
}

#[tokio::test]
async fn each_crossing_within_a_batch_is_told_and_the_band_between_is_silent() {
    let batches = Batches::start().await;
    let store = &batches.deployment.store;
    store.create_rule(&tenant("demo"), &rule(clock::now()), clock::now()).await.unwrap();
    let history = [20, 10, 11, 12, 9, 0, 1, 3, 0, 13, 11, 10, 5];
    let batch = batches.commit(&history.map(|available| change("tea", Some(available)))).await;
    assert_eq!(batch.len(), 1);
    let alerts = alerts(store, "demo").await;
    let [first, second] = &alerts[..] else { panic!("{alerts:?}") };
    assert_eq!(told(store, "demo", &first.id).await, ["fired", "escalated", "escalated", "resolved"]);
    assert_eq!(told(store, "demo", &second.id).await, ["fired"]);
    let row = level(store, &key("demo", "tea")).await.unwrap();
    assert_eq!(row.standing, Standing::Firing(second.clone()));
    assert_eq!((first.fingerprint(), first.is_firing()), (second.fingerprint(), false));
}

#[tokio::test]
async fn what_happened_long_ago_is_held_and_what_happened_now_is_not() {
    let batches = Batches::start().await;
    let store = &batches.deployment.store;
    store.create_rule(&tenant("demo"), &rule(clock::now()), clock::now()).await.unwrap();
    let mut fresh = change("mug", Some(0));
    let now = clock::now();
    fresh.levels[0].at = now - MAX_AGE;
    let mut old = change("tea", Some(0));
    old.levels[0].at = now - MAX_AGE - SignedDuration::from_millis(1);
    batches.write(&writes(&batches.fold(&[fresh, old]).await, now).decisions).await.unwrap();
    let state = async |item: &str| {
        let Standing::Firing(alert) = level(store, &key("demo", item)).await.unwrap().standing else { panic!("{item} is low") };
        let of = EventKey::Alert { alert: alert.id, sequence: 1 };
        store.event(&tenant("demo"), &of).await.unwrap().unwrap().state
    };
    assert_eq!(state("mug").await, EventState::Pending);
    assert_eq!(state("tea").await, EventState::Held(Hold { stream: STREAM.to_owned(), since: now }));
}

#[tokio::test]
async fn what_is_aged_out_stays_counted_and_leaves_the_stock() {
    let batches = Batches::start().await;
    let there = batches.effect(&record(None, Some(image(7)))).await;
    assert!(!there.deltas.is_empty());
    batches.commit(&[there]).await;
    assert!(level(&batches.deployment.store, &key("demo", "tea")).await.is_some());
    let aged_out = batches.effect(&Record { ttl_delete: true, ..record(Some(image(7)), None) }).await;
    assert!(aged_out.deltas.is_empty(), "the source says `ttl_delete: keep`");
    batches.commit(&[aged_out]).await;
    assert!(level(&batches.deployment.store, &key("demo", "tea")).await.is_none());
}

#[tokio::test]
async fn an_event_gets_one_id_and_each_alert_its_own() {
    let batches = Batches::start().await;
    batches.deployment.store.create_rule(&tenant("demo"), &rule(clock::now()), clock::now()).await.unwrap();
    let items: Vec<String> = (0..20).map(|number| format!("item-{number}")).collect();
    let effects: Vec<Effect> = items.iter().map(|item| change(item, Some(1))).collect();
    let all = batches.commit(&effects).await;
    let alerts: std::collections::BTreeSet<AlertId> =
        all.iter().flat_map(|writes| &writes.decisions.alerts).map(|alert| alert.id.clone()).collect();
    let events: std::collections::BTreeSet<_> =
        all.iter().flat_map(|writes| &writes.decisions.events).map(|event| &event.id).collect();
    assert_eq!((alerts.len(), events.len()), (20, 20));
}

#[test]
fn no_batch_is_larger_than_a_transaction_and_full_ones_are_almost_that_large() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let batches = runtime.block_on(async {
        let batches = Batches::start().await;
        batches.deployment.store.create_rule(&tenant("demo"), &rule(clock::now()), clock::now()).await.unwrap();
        batches
    });
    let available = prop_oneof![1 => Just(None), 6 => prop::sample::select(vec![-1, 0, 2, 5, 11, 20]).prop_map(Some)];
    let history = prop::collection::vec((0..40_usize, available), 120..=160);
    let config = ProptestConfig { cases: 6, source_file: Some(file!()), max_shrink_iters: 20, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&history, |history| {
        let effects: Vec<Effect> = history.iter().map(|(item, available)| change(&format!("item-{item}"), *available)).collect();
        let sizes: Vec<usize> = runtime.block_on(batches.commit(&effects)).iter().map(Writes::items).collect();
        let full = &sizes[..sizes.len() - 1];
        prop_assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= ITEMS_MAX), "{sizes:?}");
        // What may come of one more record: its row, two alerts with their events and jobs, and the check.
        prop_assert!(full.iter().all(|size| *size > ITEMS_MAX - 8 - 40), "{sizes:?}");
        Ok(())
    });
    outcome.unwrap();
}
