//! Rows are folded as they come: memory follows the groups and buckets of the answer, never the rows.

use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use tidemark_domain::calendar::Slot;
use tidemark_domain::definition::{GroupingSet, Metric};
use tidemark_domain::{Bucket, Currency, Decimal, Definitions, DimensionName, Group, MeasureName, TenantId, Zone};
use tidemark_store::TenantRates;

use super::*;
use crate::limits::{Asked, Effect, Limits, Memory, Rate, Rates};
use crate::params::Params;
use crate::problem::Unavailable;
use crate::query::ask::Ask;
use crate::query::fold::{Measures, Shape};
use crate::query::plan::Ground;

const SALES: &str = "
sources:
  orders: { table: Orders, tenant: { attribute: tenant_id, default: demo } }
metrics:
  sales:
    source: orders
    time: at
    currency: { attribute: currency, default: EUR }
    measures: { units: { sum: quantity }, revenue: { sum: price }, orders: { count: true } }
    dimensions: { item: item }
    group_by: [[], [item]]
";
/// 1 June 2026.
const START: i64 = 1_780_272_000;
const DAYS: i64 = 100;
const PAGE: usize = 500;
const MIB: usize = 1024 * 1024;

/// What questions of these tests have in common.
struct Scene {
    metric: Metric,
    zone: Zone,
    now: Timestamp,
    ask: Ask,
    set: GroupingSet,
    slots: [Slot; 1],
    limits: Arc<Limits>,
}

impl Scene {
    fn new() -> Self {
        let metric = Definitions::parse(SALES).expect("a good file").metrics.into_values().next().expect("one metric");
        let (zone, now) = (Zone::utc(), Timestamp::from_second(START).expect("an instant"));
        let ask = Ask::take(&mut Params::parse(Some("group_by=item")), &metric, &zone, now);
        let set = GroupingSet::new([DimensionName::new("item").expect("a name")]);
        let to = Timestamp::from_second(START + DAYS * 86_400).expect("an instant");
        let limits =
            Arc::new(Limits::new(Rates { key: Rate { per_second: 1, burst: 25 }, tenant: Rate { per_second: 4, burst: 100 } }));
        Self { metric, zone, now, ask, set, slots: [Slot { from: now, to, clipped: false }], limits }
    }

    fn memory(&self) -> &Arc<Memory> {
        &self.limits.memory
    }

    fn intake<'a>(&'a self, measures: &'a Measures<'a>, admission: &'a Admission, tenant: &str) -> Intake<'a> {
        let shape = Shape { measures, set: &self.set, group_by: &self.ask.group_by, slots: &self.slots, zone: &self.zone };
        let ground = Ground { metric: &self.metric, lanes: 1, tenant_zone: &self.zone, now: self.now };
        let share = self.memory().share(Some(TenantId::new(tenant).expect("an id")));
        Intake {
            admission,
            current: Fold::new(shape),
            previous: Some(Fold::new(shape)),
            held: Held { ask: &self.ask, ground, share },
            cost: Cost { queries: 1, rows: 0 },
        }
    }
}

/// The `number`th row of so many items: first one of each, then the next day's.
fn row(number: usize, items: usize) -> Row {
    let measure = |name| MeasureName::new(name).expect("a name");
    let start = Timestamp::from_second(START + (number / items) as i64 % DAYS * 86_400).expect("an instant");
    let values = [("units", 3), ("revenue", 1_999), ("orders", 1)];
    Row {
        groups: vec![Group::Text(format!("item-{:06}", number % items))],
        currency: Some(Currency::new("EUR").expect("a code")),
        bucket: Bucket::Quarter { start },
        values: values.map(|(name, value)| (measure(name), Decimal::from(value))).into(),
        broken: false,
    }
}

/// Gives an intake so many rows in pages.
fn read(intake: &mut Intake<'_>, part: Part, rows: usize, items: usize) -> Result<(), ApiError> {
    for page in (0..rows).step_by(PAGE) {
        let rows = page..(page + PAGE).min(rows);
        intake.take(part, rows.len(), rows.map(|number| Ok(row(number, items))))?;
    }
    Ok(())
}

#[test]
fn memory_follows_the_groups_and_not_the_rows() {
    let (scene, admission) = (Scene::new(), Admission::default());
    let measures = Measures::of(&scene.metric);
    let peak = |rows: usize| {
        let mut intake = scene.intake(&measures, &admission, "acme");
        read(&mut intake, Part::Current, rows, 1_000).expect("few groups");
        let peak = scene.memory().peak();
        drop(intake);
        assert_eq!(scene.memory().held(), 0, "everything is given back");
        peak
    };
    let few = peak(1_000);
    assert_eq!(peak(60_000), few, "sixty times the rows");
    assert!((100_000..1_000_000).contains(&few), "{few} bytes for a thousand groups");
}

#[test]
fn one_budget_of_rows_is_for_all_ranges_of_a_question() {
    let (scene, admission) = (Scene::new(), Admission::default());
    let measures = Measures::of(&scene.metric);
    let mut intake = scene.intake(&measures, &admission, "acme");
    let half = ROWS_READ_MAX / 2;
    read(&mut intake, Part::Current, half, 10).expect("half of it");
    read(&mut intake, Part::Previous, half, 10).expect("the other half");
    let refused = read(&mut intake, Part::Previous, 1, 10).expect_err("one more");
    assert!(matches!(&refused, ApiError::Parameters(errors) if errors[0].detail.starts_with("more than")), "{refused:?}");
}

#[test]
fn a_question_that_alone_holds_too_much_is_refused_for_itself_and_together_with_others_for_them() {
    let (scene, admission) = (Scene::new(), Admission::default());
    let measures = Measures::of(&scene.metric);
    let mut intake = scene.intake(&measures, &admission, "acme");
    let refused = read(&mut intake, Part::Current, ROWS_READ_MAX, ROWS_READ_MAX).expect_err("a hundred thousand groups");
    assert!(matches!(&refused, ApiError::Parameters(errors) if errors[0].detail.contains("memory")), "{refused:?}");
    assert!(scene.memory().peak() <= 25 * MIB);
    drop(intake);
    let [mut first, mut second] = ["acme", "acme"].map(|tenant| scene.intake(&measures, &admission, tenant));
    read(&mut first, Part::Current, 30_000, 30_000).expect("it fits");
    let refused = read(&mut second, Part::Current, 30_000, 30_000).expect_err("too much together");
    assert!(matches!(refused, ApiError::TooManyAtOnce(_)), "{refused:?}");
    read(&mut scene.intake(&measures, &admission, "rival"), Part::Current, 30_000, 30_000).expect("another tenant's is its own");
}

#[test]
fn six_large_questions_at_once_stay_within_the_memory_of_the_process() {
    let (scene, admission) = (Scene::new(), Admission::default());
    let measures = Measures::of(&scene.metric);
    let mut intakes: Vec<_> = (0..6).map(|tenant| scene.intake(&measures, &admission, &format!("t{tenant}"))).collect();
    for page in (0..40_000).step_by(PAGE) {
        // One that is refused ends, and gives back what it held.
        intakes.retain_mut(|intake| {
            let rows = (page..page + PAGE).map(|number| Ok(row(number, 40_000)));
            let taken = intake.take(Part::Current, PAGE, rows);
            assert!(matches!(taken, Ok(()) | Err(ApiError::Unavailable(Unavailable::Overloaded))), "{taken:?}");
            taken.is_ok()
        });
    }
    assert!(scene.memory().peak() <= 80 * MIB);
    println!("{} MiB held at most, {} of 6 answered", scene.memory().peak() / MIB, intakes.len());
    assert!((1..6).contains(&intakes.len()), "some are answered, and not all fit");
    drop(intakes);
    assert_eq!(scene.memory().held(), 0);
}

#[test]
fn an_answers_bytes_are_held_before_they_are_there() {
    let (scene, admission) = (Scene::new(), Admission::default());
    let measures = Measures::of(&scene.metric);
    let mut held = scene.intake(&measures, &admission, "acme").held;
    let mut written = |parts: usize| held.collect(|bytes| (0..parts).try_for_each(|_| bytes.write_all(&[b'x'; 1_000])));
    assert_eq!(written(1_000).expect("a megabyte"), [b'x'; 1_000].repeat(1_000));
    assert!((1_000_000..3_000_000).contains(&scene.memory().held()), "{}", scene.memory().held());
    let refused = written(100_000).expect_err("a hundred megabytes");
    assert!(matches!(&refused, ApiError::Parameters(errors) if errors[0].detail.contains("memory")), "{refused:?}");
    assert!(scene.memory().peak() <= 25 * MIB);
}

#[tokio::test(start_paused = true)]
async fn rows_are_owed_as_they_come() {
    let (scene, admission) = (Scene::new(), Admission::default());
    let tenant = TenantId::new("acme").expect("an id");
    let asked = Asked { key: "k", whose: Some(&tenant), own: TenantRates::default(), effect: Effect::Read };
    scene.limits.admit(&admission, asked).expect("there is room");
    let measures = Measures::of(&scene.metric);
    let left = || {
        let mut headers = axum::http::HeaderMap::new();
        admission.write(&mut headers);
        headers["ratelimit"].to_str().expect("ASCII").split("\"tenant\";r=").nth(1).expect("the tenant's").to_owned()
    };
    assert_eq!(left(), "99;t=1");
    let mut intake = scene.intake(&measures, &admission, "acme");
    read(&mut intake, Part::Current, 10_000, 10).expect("few groups");
    // A Query and 10,000 rows: 40.25 requests, of which one was paid before. Four a second flow in.
    assert_eq!(left(), "59;t=11");
    read(&mut intake, Part::Current, 50_000, 10).expect("a debt refuses nothing that is under way");
    assert_eq!(left(), "0;t=61");
    let later = scene.limits.admit(&Admission::default(), asked).expect_err("it is in debt");
    assert!(matches!(later, ApiError::RateLimited(wait) if wait.as_secs_f64() > 30.0), "{later:?}");
}
