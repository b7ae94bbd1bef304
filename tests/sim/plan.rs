//! What a seed decides: the world, the weather on the wire, and what happens when.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::history::Change;

/// Open shards are split no further than this.
const SHARDS_MAX: usize = 7;
/// Workers that start at the beginning, or run at once.
pub(crate) const WORKERS_MAX: usize = 4;

/// One schedule.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Shards that the stream begins with.
    pub(crate) shards: usize,
    /// Workers that are there from the beginning.
    pub(crate) workers: usize,
    pub(crate) lease_ttl: Duration,
    pub(crate) weather: Weather,
    /// Each with the pause before it.
    pub(crate) steps: Vec<(Duration, Step)>,
}

/// How the calls of workers fare while the steps are made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// Longest way of a request, or of its answer.
    pub(crate) way_max: Duration,
    /// Of a thousand calls, so many meet a misfortune.
    pub(crate) per_mille: u32,
}

/// One thing that happens. An index means one of those there are at that time.
#[derive(Debug)]
pub(crate) enum Step {
    Write(Vec<Change>),
    Rotate(usize),
    RotateAll,
    /// A rotation where there are shards enough.
    Split(usize),
    /// Nothing where as many workers run as there may be.
    Start,
    Stop(usize),
    Crash(usize),
    /// All its calls are held, on their way and back, for so long: the worker is a zombie after that.
    Freeze(usize, Duration),
    /// No call reaches the target table for so long.
    Stall(Duration),
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let lease_ttl = Duration::from_millis(random.random_range(2_000..=3_000));
        let weather =
            Weather { way_max: Duration::from_millis(random.random_range(1..=40)), per_mille: random.random_range(0..=60) };
        let span = Duration::from_millis(random.random_range(10_000..=25_000));
        let mut steps = Vec::new();
        let mut passed = Duration::ZERO;
        while passed < span {
            let pause = Duration::from_millis(random.random_range(0..=1_200));
            passed += pause;
            steps.push((pause, Step::draw(&mut random, lease_ttl)));
        }
        Self {
            seed,
            shards: random.random_range(1..=5),
            workers: random.random_range(1..=WORKERS_MAX),
            lease_ttl,
            weather,
            steps,
        }
    }
}

impl Step {
    fn draw(random: &mut StdRng, lease_ttl: Duration) -> Self {
        let index = random.random_range(0..1_000);
        match random.random_range(0..100) {
            0..48 => {
                let count = random.random_range(1..=6);
                Self::Write((0..count).map(|_| Change::draw(random)).collect())
            }
            48..60 => Self::Rotate(index),
            60..63 => Self::RotateAll,
            63..69 => Self::Split(index),
            69..79 => Self::Start,
            79..84 => Self::Stop(index),
            84..90 => Self::Crash(index),
            90..96 => Self::Freeze(index, lease_ttl + Duration::from_millis(random.random_range(100..=3_000))),
            _ => Self::Stall(Duration::from_millis(random.random_range(500..=6_500))),
        }
    }

    /// Whether a stream with so many open shards may have more.
    pub(crate) fn may_split(open: usize) -> bool {
        open < SHARDS_MAX
    }
}
