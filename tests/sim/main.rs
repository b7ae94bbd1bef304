//! The seeded simulation: whole workers, in virtual time, through schedules that a seed decides.
//!
//! A seed decides the shards, the workers, the history of the source, the misfortunes of workers (crashes, stops, freezes), of
//! calls (lost answers, late and dropped requests, throttles, conflicts) and of the target table (`plan`). What runs is the
//! worker's library over the real SDK on the in-process wire (`schedule`); what is checked afterwards is in `verdict`.
//!
//! A seed replays the same plan, and time and every random number of the worker and the SDK follow from it. Not seeded are tokio's
//! choices (among branches of a `select!` that are ready at once, and which waiter of a `watch` wakes first), the order of hash
//! maps, and the budget of retries that the SDK shares between the clients of a process. So a replay can part from the first run
//! at some point: the same steps at the same times, but calls may change places. A failure that depends on such a choice shows
//! when the seed is run again a few times.
//!
//! A schedule takes one or two seconds of one core in a debug build. `TIDEMARK_SIM_CASES=1000` runs so many seeds;
//! `TIDEMARK_SIM_SEED=7` begins with that one, and runs only it unless told how many: that is `just sim 7`.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion; clippy.toml allows it in test functions only")]

mod fleet;
mod history;
mod ledger;
mod network;
mod plan;
mod schedule;
mod verdict;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::plan::Plan;

/// Schedules of one run, and where their seeds begin.
const CASES: u64 = 24;
const FIRST: u64 = 1;
const THREADS: usize = 2;

#[test]
fn aggregates_equal_a_recomputation_in_every_schedule() {
    let seed = variable("TIDEMARK_SIM_SEED");
    let cases = variable("TIDEMARK_SIM_CASES").unwrap_or(if seed.is_some() { 1 } else { CASES });
    let first = seed.unwrap_or(FIRST);
    let (begun, next, failed) = (Instant::now(), AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|case| *case < cases) {
                    failed.lock().unwrap().extend(failure(first.wrapping_add(seed)));
                }
            });
        }
    });
    println!("{cases} schedules took {:.1?}", begun.elapsed());
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {cases} schedules failed\n{}", failed.len(), failed.join("\n"));
}

/// What is wrong with a seed's schedule, and how to see it again.
fn failure(seed: u64) -> Option<String> {
    let plan = Plan::of(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| schedule::run(&plan)));
    let panic = outcome.err()?;
    let message = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Some(format!("seed {seed}: {}\n{plan:?}\nreplay it with `just sim {seed}`\n", message.unwrap_or_default()))
}

#[allow(clippy::disallowed_methods, reason = "a longer run, or a replay, by hand is asked for by a variable")]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not `{text}`")))
}
