//! Faults, and the script that says which call meets which.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

/// What happens to a call instead of a plain answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Reaches the emulator this much later. It does so even when the client has given up meanwhile: a late write.
    Delay(Duration),
    /// Refused with `ProvisionedThroughputExceededException`; not forwarded.
    Throttle,
    /// Refused with `ThrottlingException` that names the index as what is at its limit; not forwarded.
    ThrottleIndex,
    /// Refused with `ValidationException`, as DynamoDB refuses what it will never take; not forwarded.
    Invalid,
    /// Refused with this code and status 400; not forwarded.
    Refused(&'static str),
    /// Refused with status 500; not forwarded.
    ServerError,
    /// Refused as DynamoDB refuses to back up a table that was just created; not forwarded.
    BackupsUnavailable,
    /// The connection is dropped; not forwarded.
    Reset,
    /// Forwarded and carried out; then the connection is dropped without an answer.
    CommitThenDrop,
    /// The connection is dropped. The call is forwarded all the same, when so many other calls have been answered or
    /// [`Front::late_calls_arrive`](super::Front::late_calls_arrive) is called.
    Late(u64),
    /// Refused as DynamoDB refuses what meets a transaction under way: `TransactionCanceledException` whose first reason is
    /// `TransactionConflict`, or `TransactionConflictException` for a single write. Not forwarded.
    TransactionConflict,
}

/// Which calls of a kind meet a scripted fault. Calls are counted from the moment it is added.
pub enum When {
    /// The n-th call, from 1.
    Nth(u64),
    /// The next n calls.
    Next(u64),
    /// Every call whose JSON body is like this, until [`Front::no_faults`](super::Front::no_faults).
    Matching(Box<dyn Fn(&Value) -> bool + Send + Sync>),
}

/// The script of one front: counts calls and decides what happens to each.
#[derive(Debug, Default)]
pub(super) struct Script(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    rules: Vec<Rule>,
    lottery: Option<Lottery>,
}

#[derive(Debug)]
struct Rule {
    call: &'static str,
    when: When,
    fault: Fault,
    /// Calls of this kind since the rule was added.
    seen: u64,
}

#[derive(Debug)]
struct Lottery {
    random: StdRng,
    per_mille: u32,
    calls: Vec<&'static str>,
}

impl Script {
    pub(super) fn add(&self, call: &'static str, when: When, fault: Fault) {
        self.state().rules.push(Rule { call, when, fault, seen: 0 });
    }

    pub(super) fn draw(&self, seed: u64, per_mille: u32, calls: &[&'static str]) {
        self.state().lottery = Some(Lottery { random: StdRng::seed_from_u64(seed), per_mille, calls: calls.to_vec() });
    }

    pub(super) fn clear(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.lottery = None;
    }

    pub(super) fn calls(&self, call: &str) -> u64 {
        self.state().calls.get(call).copied().unwrap_or(0)
    }

    pub(super) fn faults(&self, call: &str) -> u64 {
        self.state().faults.get(call).copied().unwrap_or(0)
    }

    pub(super) fn pending(&self) -> Vec<String> {
        self.state().rules.iter().filter(|rule| rule.is_due()).map(|rule| format!("{rule:?}")).collect()
    }

    /// Counts a call and decides what happens to it: a fault, or nothing out of the ordinary.
    pub(super) fn decide(&self, call: &str, body: &Value) -> Option<Fault> {
        let mut state = self.state();
        *state.calls.entry(call.to_owned()).or_default() += 1;
        // Every rule counts the call, also those that come too late to apply to it.
        let mut scripted = None;
        for rule in state.rules.iter_mut().filter(|rule| rule.call == call) {
            let fault = rule.meet(body);
            scripted = scripted.or(fault);
        }
        state.rules.retain(|rule| !rule.is_spent());
        let fault = scripted.or_else(|| state.lottery.as_mut()?.draw(call));
        if fault.is_some() {
            *state.faults.entry(call.to_owned()).or_default() += 1;
        }
        fault
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn meet(&mut self, body: &Value) -> Option<Fault> {
        self.seen += 1;
        let applies = match &self.when {
            When::Nth(n) => self.seen == *n,
            When::Next(n) => self.seen <= *n,
            When::Matching(is_like) => is_like(body),
        };
        applies.then_some(self.fault)
    }

    fn is_spent(&self) -> bool {
        match self.when {
            When::Nth(n) | When::Next(n) => self.seen >= n,
            When::Matching(_) => false,
        }
    }

    /// Whether the test meant this to happen for sure. A pattern may match nothing.
    fn is_due(&self) -> bool {
        !matches!(self.when, When::Matching(_)) && !self.is_spent()
    }
}

impl Lottery {
    fn draw(&mut self, call: &str) -> Option<Fault> {
        if !self.calls.contains(&call) || self.random.random_range(0..1000) >= self.per_mille {
            return None;
        }
        let kinds = if takes_part_in_transactions(call) { 6 } else { 5 };
        Some(match self.random.random_range(0..kinds) {
            0 => Fault::Delay(Duration::from_millis(self.random.random_range(1..=50))),
            1 => Fault::Throttle,
            2 => Fault::ServerError,
            3 => Fault::Reset,
            4 => Fault::CommitThenDrop,
            _ => Fault::TransactionConflict,
        })
    }
}

fn takes_part_in_transactions(call: &str) -> bool {
    matches!(call, "TransactWriteItems" | "TransactGetItems" | "PutItem" | "UpdateItem" | "DeleteItem")
}

impl fmt::Debug for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nth(n) => write!(f, "Nth({n})"),
            Self::Next(n) => write!(f, "Next({n})"),
            Self::Matching(_) => f.write_str("Matching"),
        }
    }
}
