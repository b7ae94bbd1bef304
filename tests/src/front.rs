//! The front: an HTTP proxy before the emulator that counts calls, injects faults, and acts as IAM.
//!
//! It knows a call by its `X-Amz-Target` header and otherwise passes bytes through unchanged, but for the access key: a workload has
//! one of its own, by which `judge.rs` knows whose policy has to allow the call, and the emulator gets the world's. What exceeds AWS's
//! limits is refused (`limits`). `fault.rs` decides what happens to a call, `proxy.rs` makes it happen. Where a stream front is given,
//! that answers the streams' calls in place of the emulator.

mod fault;
mod judge;
mod late;
mod proxy;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::limits::{self, Exceeded};
use crate::policy::{Access, Part};
use crate::server;
use crate::stream_front::StreamFront;
use fault::Script;
pub use fault::{Fault, When};
use judge::Judge;
pub use judge::{Refusal, Workload};
use late::LateCalls;

/// A front; clones share it.
///
/// Calls are named as in `X-Amz-Target`, without the service: `TransactWriteItems`, `GetRecords`. They are counted as they arrive,
/// so each retry of the SDK is one.
#[derive(Debug, Clone)]
pub struct Front {
    address: SocketAddr,
    script: Arc<Script>,
    judge: Arc<Judge>,
    late: Arc<LateCalls>,
    /// What workloads sent that exceeds AWS's limits, in words.
    beyond_limits: Arc<Mutex<Vec<String>>>,
}

impl Front {
    /// Starts a front before the server at `upstream`, a plain `http://` URL, whose streams `streams` serves if it is given.
    ///
    /// # Errors
    /// When it cannot listen, or the URL is none.
    pub(crate) async fn start(
        upstream: &str,
        streams: Option<Arc<StreamFront>>,
        servers: &mut JoinSet<()>,
    ) -> anyhow::Result<Self> {
        let (listener, address) = server::listen().await;
        let front =
            Self { address, script: Arc::default(), judge: Arc::default(), late: Arc::default(), beyond_limits: Arc::default() };
        let (upstream, behind) = (proxy::Upstream::new(upstream, streams)?, front.clone());
        servers.spawn(server::serve(listener, move |request| proxy::relay(request, upstream.clone(), behind.clone())));
        Ok(front)
    }

    /// Where clients reach it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a fault to the script. Where several apply to one call, the one added first happens.
    pub fn fault(&self, call: &'static str, when: When, fault: Fault) {
        self.script.add(call, when, fault);
    }

    /// From now on, each of these calls fails with a probability of `per_mille` / 1000, with a fault drawn by the seed. Scripted
    /// faults come first. The same seed draws the same faults for the same order of calls.
    pub fn random_faults(&self, seed: u64, per_mille: u32, calls: &[&'static str]) {
        self.script.draw(seed, per_mille, calls);
    }

    /// Ends all faults, scripted and random ones.
    pub fn no_faults(&self) {
        self.script.clear();
    }

    /// Carries out the calls that are still late.
    pub async fn late_calls_arrive(&self) {
        self.late.arrive().await;
    }

    /// How many such calls have arrived.
    pub fn calls(&self, call: &str) -> u64 {
        self.script.calls(call)
    }

    /// How many faults have happened to such calls.
    pub fn faults(&self, call: &str) -> u64 {
        self.script.faults(call)
    }

    /// From now on, a workload's policy lacks something of what it says as it ships.
    ///
    /// # Panics
    /// When it does not say that.
    pub fn take_away(&self, workload: Workload, part: &Part) {
        self.judge.take_away(workload, part);
    }

    /// From now on, a workload's policy is again as it ships.
    pub fn give_back(&self, workload: Workload) {
        self.judge.give_back(workload);
    }

    /// What a workload's policy has allowed it so far, by what allowed it, and one example of each.
    pub fn allowed(&self, workload: Workload) -> BTreeMap<Vec<Part>, Access> {
        self.judge.allowed(workload)
    }

    /// The calls that no policy allowed, in the order of their coming.
    pub fn refused(&self) -> Vec<Refusal> {
        self.judge.refused()
    }

    /// Those of them that had only the policies against them as they ship, in words.
    pub(crate) fn wrongly_refused(&self) -> Vec<String> {
        self.judge.wrongly_refused()
    }

    /// The calls of workloads that were refused for AWS's limits, with the reason, in the order in which they came.
    pub fn beyond_limits(&self) -> Vec<String> {
        self.beyond_limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks a call against AWS's limits. What a workload sends beyond them is noted.
    ///
    /// # Errors
    /// The first limit that the call exceeds.
    fn check_limits(&self, workload: Option<Workload>, call: &str, request: &Value) -> Result<(), Exceeded> {
        limits::check(call, request).inspect_err(|exceeded| {
            if let Some(workload) = workload {
                let noted = format!("{workload:?} {call}: {exceeded}");
                self.beyond_limits.lock().unwrap_or_else(PoisonError::into_inner).push(noted);
            }
        })
    }

    /// The scripted faults that were due and have not happened, in words.
    pub(crate) fn pending_faults(&self) -> Vec<String> {
        let late = self.late.count();
        self.script.pending().into_iter().chain((late > 0).then(|| format!("the arrival of {late} late calls"))).collect()
    }
}
