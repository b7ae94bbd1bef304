//! What a seed decides: the world, the weather on the wire, and what happens when.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::history::Change;
use crate::hostile::Hostility;

/// Open shards are split no further than this.
const SHARDS_MAX: usize = 7;
/// How long things happen, in ms.
const SPAN: RangeInclusive<u64> = 3_000..=12_000;
/// Longest pause between two things, in ms.
const PAUSE_MAX: u64 = 700;
/// Between two things that the hostile tenant does, in ms: the shortest pause, and what the longest is drawn from.
const HOSTILE_PAUSE_MIN: u64 = 20;
const HOSTILE_PAUSE_MAX: RangeInclusive<u64> = 50..=1_500;
/// Workers that run at once…
pub(crate) const WORKERS_MAX: usize = 4;
/// … and that are there from the beginning.
const FIRST_WORKERS_MAX: usize = 3;
/// Records that one trim removes at most.
const TRIMMED_MAX: usize = 4;

/// What may happen to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retention {
    /// Every record is there until it is read.
    Kept,
    /// Records are trimmed, read or not.
    Trimmed,
}

/// One schedule.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) retention: Retention,
    /// Shards that the stream begins with.
    pub(crate) shards: usize,
    /// Workers that are there from the beginning.
    pub(crate) workers: usize,
    pub(crate) lease_ttl: Duration,
    pub(crate) weather: Weather,
    pub(crate) hostility: Hostility,
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
    /// The stream does not know any shard for so long.
    Forget(Duration),
    /// So many of a shard's oldest records go.
    Trim(usize, usize),
}

impl Plan {
    pub(crate) fn of(seed: u64, retention: Retention) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let lease_ttl = Duration::from_millis(random.random_range(2_000..=3_000));
        let weather =
            Weather { way_max: Duration::from_millis(random.random_range(1..=40)), per_mille: random.random_range(0..=60) };
        let span = Duration::from_millis(random.random_range(SPAN));
        let mut steps = Vec::new();
        let mut passed = Duration::ZERO;
        while passed < span {
            let pause = Duration::from_millis(random.random_range(0..=PAUSE_MAX));
            passed += pause;
            steps.push((pause, Step::draw(&mut random, lease_ttl, retention)));
        }
        // Rare, because a shard that was not known is not asked for again for 30 s, and those have to be lived through.
        if random.random_ratio(1, 16) {
            let (at, span) = (random.random_range(0..steps.len()), random.random_range(50..=1_000));
            steps.insert(at, (Duration::ZERO, Step::Forget(Duration::from_millis(span))));
        }
        Self {
            seed,
            retention,
            shards: random.random_range(1..=5),
            workers: random.random_range(1..=FIRST_WORKERS_MAX),
            lease_ttl,
            weather,
            hostility: Hostility {
                pause_ms: HOSTILE_PAUSE_MIN..=random.random_range(HOSTILE_PAUSE_MAX),
                // Rare, because half a megabyte that is read and written again and again takes its time.
                fills_alert: random.random_ratio(1, 8),
            },
            steps,
        }
    }
}

impl Step {
    fn draw(random: &mut StdRng, lease_ttl: Duration, retention: Retention) -> Self {
        let index = random.random_range(0..1_000);
        if retention == Retention::Trimmed && random.random_ratio(1, 5) {
            return Self::Trim(index, random.random_range(1..=TRIMMED_MAX));
        }
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
