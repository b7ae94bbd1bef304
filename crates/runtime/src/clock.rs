//! The wall clock: the one place that reads it; and how wrong it is.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use opentelemetry::metrics::Gauge;

type Clock = Box<dyn Fn() -> Timestamp>;

thread_local! {
    static SIMULATED: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// How far this process's clock is ahead of the machine's, in nanoseconds.
static SHIFT: AtomicI64 = AtomicI64::new(0);

/// A thread whose time is a simulation's, until this is dropped.
#[derive(Debug)]
#[must_use = "the simulated clock stops when this is dropped"]
pub struct Simulated(());

/// The present instant. Callers read it at the edge and pass it on as `now`.
#[allow(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
pub fn now() -> Timestamp {
    let wall = || Timestamp::now() + SignedDuration::from_nanos(SHIFT.load(Ordering::Relaxed));
    SIMULATED.with_borrow(|clock| clock.as_ref().map_or_else(wall, |clock| clock()))
}

/// Sets this process's clock ahead of the machine's, or back by a negative span. For tests of wrong clocks alone: a process at work never
/// calls it.
///
/// # Panics
/// When the span is of centuries.
pub fn shift(ahead: SignedDuration) {
    let nanos = i64::try_from(ahead.as_nanos()).expect("a span of less than centuries");
    SHIFT.store(nanos, Ordering::Relaxed);
}

/// Makes this thread's time another one. For the seeded simulation alone, whose whole world runs on one thread in virtual time;
/// a process at work never calls it.
pub fn simulate(clock: impl Fn() -> Timestamp + 'static) -> Simulated {
    SIMULATED.set(Some(Box::new(clock)));
    Simulated(())
}

/// This machine's clock beside DynamoDB's: its difference as the metric `tidemark.clock.skew`, and a warning while it is wrong. Watermarks are
/// DynamoDB's time, but logs and the signatures of webhooks are this machine's.
#[derive(Debug)]
pub struct SkewWatch {
    gauge: Gauge<f64>,
    is_wrong: AtomicBool,
}

impl Default for SkewWatch {
    fn default() -> Self {
        let gauge = opentelemetry::global::meter("tidemark-runtime")
            .f64_gauge("tidemark.clock.skew")
            .with_unit("s")
            .with_description("How far this machine's clock is ahead of DynamoDB's; negative: behind")
            .build();
        Self { gauge, is_wrong: AtomicBool::new(false) }
    }
}

impl SkewWatch {
    /// From this difference on, a clock is wrong.
    pub const SKEW_MAX: SignedDuration = SignedDuration::from_secs(1);

    /// Takes in how far this machine's clock is ahead of DynamoDB's now.
    pub fn note(&self, skew: SignedDuration) {
        self.gauge.record(skew.as_secs_f64(), &[]);
        let is_wrong = skew.abs() >= Self::SKEW_MAX;
        let was_wrong = self.is_wrong.swap(is_wrong, Ordering::Relaxed);
        if is_wrong && !was_wrong {
            tracing::warn!(
                ahead_s = skew.as_secs_f64(),
                "this machine's clock differs from DynamoDB's: synchronise it (chrony, Amazon Time Sync); watermarks are DynamoDB's time"
            );
        } else if was_wrong && !is_wrong {
            tracing::info!("this machine's clock agrees with DynamoDB's");
        }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATED.set(None);
    }
}
