//! The seeded simulation: whole workers, in virtual time, through schedules that a seed decides.
//!
//! A seed decides the shards, the workers, the history of the source, the misfortunes of workers (crashes, stops, freezes), of
//! calls (lost answers, late and dropped requests, throttles, conflicts), of the target table, and of the stream (`plan`). One of the
//! tenants is hostile: it changes its rules and its alerts all the time (`hostile`), and at the end as fast as it can (`storm`). What
//! runs is the worker's library over the real SDK on the in-process wire (`schedule`); what is checked afterwards is in `verdict`.
//! Meanwhile a reader reads all numbers with the watermark (`reader`), and each of these reads is judged.
//!
//! A seed replays every call: time, every random number of the worker and the SDK, and the order in which tasks go on follow from
//! it. `a_seed_replays_every_call` holds that. What would break it: an unbiased `select!` in the worker, a `watch` that several
//! tasks wait for (tokio wakes them in an order of chance), the order of a hash map where it decides the order of calls, and
//! whatever a process keeps across schedules, such as the SDK's budget of retries (each wire has its own; see `Wire`).
//!
//! `TIDEMARK_SIM_CASES=10000` runs so many seeds; `TIDEMARK_SIM_SEED=7` begins with that one, and runs only it unless told how
//! many: that is `just sim 7`.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion; clippy.toml allows it in test functions only")]

mod fleet;
mod history;
mod hostile;
mod ledger;
mod network;
mod plan;
mod reader;
mod schedule;
mod storm;
mod trace;
mod verdict;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::plan::{Plan, Retention};
use crate::schedule::Report;

/// Schedules of one run, and where their seeds begin.
const CASES: u64 = 100;
const FIRST: u64 = 1;
/// Of so many schedules one more is run with trimmed records.
const TRIMMED: u64 = 10;
const THREADS: usize = 2;
/// Seeds that are run twice.
const SEEDS_REPLAYED: u64 = 10;

#[test]
fn aggregates_equal_a_recomputation_in_every_schedule() {
    run(cases(), Retention::Kept);
}

#[test]
fn trimmed_history_is_a_gap_and_nothing_is_counted_twice() {
    let cases = cases().div_ceil(TRIMMED);
    let gaps = run(cases, Retention::Trimmed);
    assert!(gaps > 0 || cases < 20, "some records are trimmed before they are read");
}

#[test]
fn a_seed_replays_every_call() {
    for seed in 1..=SEEDS_REPLAYED {
        let calls = || schedule::run(&Plan::of(seed, Retention::Kept)).calls;
        let (first, again) = (calls(), calls());
        let parts = first.iter().zip(&again).position(|(first, again)| first != again).unwrap_or(first.len().min(again.len()));
        let around = |calls: &[_]| format!("{:#?}", &calls[parts.saturating_sub(2)..calls.len().min(parts + 3)]);
        assert!(first == again, "seed {seed} parts at call {parts}: {}\nand again: {}", around(&first), around(&again));
    }
}

/// Runs so many schedules. How often they stepped over lost history.
fn run(cases: u64, retention: Retention) -> usize {
    let first = variable("TIDEMARK_SIM_SEED").unwrap_or(FIRST);
    let (begun, next, gaps, failed) = (Instant::now(), AtomicU64::new(0), Mutex::new(0), Mutex::new(Vec::new()));
    let slowest = Mutex::new(Duration::ZERO);
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                while let Some(case) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|case| *case < cases) {
                    // Bound before any lock is taken: the threads would take turns otherwise.
                    match outcome(&Plan::of(first.wrapping_add(case), retention)) {
                        Ok(report) => {
                            *gaps.lock().unwrap() += report.gaps;
                            let mut slowest = slowest.lock().unwrap();
                            *slowest = slowest.max(report.slowest);
                        }
                        Err(failure) => {
                            // At once: a long run may be cut short.
                            eprintln!("{failure}");
                            failed.lock().unwrap().push(failure);
                        }
                    }
                }
            });
        }
    });
    println!("{cases} schedules, {retention:?}, took {:.1?}", begun.elapsed());
    println!("beside a hostile tenant, changes of the others were visible within {:?}", slowest.into_inner().unwrap());
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {cases} schedules failed\n{}", failed.len(), failed.join("\n"));
    gaps.into_inner().unwrap()
}

/// What a schedule tells; or what is wrong with it, and how to see it again.
fn outcome(plan: &Plan) -> Result<Report, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| schedule::run(plan)));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let seed = plan.seed;
        format!("seed {seed}: {}\n{plan:?}\nreplay it with `just sim {seed}`\n", text.unwrap_or_default())
    })
}

fn cases() -> u64 {
    let one = variable("TIDEMARK_SIM_SEED").map(|_| 1);
    variable("TIDEMARK_SIM_CASES").or(one).unwrap_or(CASES)
}

#[allow(clippy::disallowed_methods, reason = "a longer run, or a replay, by hand is asked for by a variable")]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not `{text}`")))
}
