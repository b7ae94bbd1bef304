//! Neighbours: what one tenant does must not reach another. A hostile tenant attacks a deployment of real processes, and another tenant
//! measures what it notices: how long until a change of its stock is answered, until its webhook arrives, and how long a question takes.
//! Strangers, who have no good key, attack the API alone, and only questions are measured.
//!
//! Each attack has a deployment of its own. The neighbour measures in peace first and then under the attack. Its p95 under attack may be
//! twice its p95 in peace, or 250 ms more, whichever is larger. The p99 is printed beside it. A phase has a few dozen rounds of each measure,
//! so the p99 is the slowest round or the one after it, and on two cores, which the emulator and the attacker share, that is chance. A round
//! that is under way when the attack's time is over counts with the time it has taken so far: then
//! the real time is at least that.
//!
//! This is a test target of its own, so that nothing else runs at the same time: the numbers of both phases are compared.
//!
//! `TIDEMARK_NEIGHBOURS_SECONDS` is the time of each tenant's attack's two phases together; `TIDEMARK_NEIGHBOURS_ATTACK` picks one, from 1.
//! `TIDEMARK_NEIGHBOURS_ROWS` is the number of rows that the API's memory is measured with.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion; clippy.toml allows it in test functions only")]

mod attack;
mod measure;
mod memory;
#[path = "../process.rs"]
#[allow(dead_code, reason = "shared with the tests of `it`, which use all of it")]
mod process;
mod scene;
mod strangers;

use std::io::Write;
use std::time::Duration;

use tidemark_runtime::settings::Vars;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use attack::Attack;
use measure::{JUDGED, Kind, Latencies, Neighbour, percentile};
use scene::{NEIGHBOUR, Scene};
use strangers::Stranger;

/// How long the two phases of one attack last, unless a variable says otherwise. Set-up takes up to 15 s more.
const SECONDS: u64 = 42;
/// The part of it that is peace.
const PEACE: f64 = 0.33;
/// Before each phase is measured: connections are opened, caches filled, and the attack under way.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long a good key is measured in peace, and under each attack of strangers.
const STRANGERS_PEACE: Duration = Duration::from_secs(3);
const STRANGERS_ATTACK: Duration = Duration::from_secs(8);
/// Good keys that the API has not seen, for each of these attacks.
const FRESH_KEYS: usize = 60;
/// The tests of this target compare times, so one waits for the other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// What was measured during one attack.
struct Outcome {
    attack: Attack,
    /// What the hostile tenant did.
    done: String,
    peace: Latencies,
    attacked: Latencies,
}

impl Outcome {
    async fn of(attack: Attack, seconds: f64) -> Self {
        let scene = Scene::start().await;
        attack.prepare(&scene).await;
        let mut neighbour = Neighbour::of(&scene).await;
        scene.idle().await;
        let peace = Duration::from_secs_f64(seconds * PEACE);
        neighbour.measure(Instant::now() + WARM_UP, scene::PATIENCE).await;
        let peace_measured = neighbour.measure(Instant::now() + peace, scene::PATIENCE).await;

        let stop = CancellationToken::new();
        let measuring = async {
            sleep(WARM_UP).await;
            let end = Instant::now() + Duration::from_secs_f64(seconds * (1.0 - PEACE));
            let measured = neighbour.measure(end, Duration::ZERO).await;
            stop.cancel();
            measured
        };
        let (attacked, done) = tokio::join!(measuring, attack.run(&scene, &stop));
        Self { attack, done, peace: peace_measured, attacked }
    }

    /// The bound of one kind, and whether it holds.
    fn bound(&self, kind: Kind) -> (Duration, bool) {
        let bound = measure::bound(self.peace.judged(kind));
        (bound, self.attacked.judged(kind) <= bound)
    }

    /// Past the capture of the test's output: the table is shown also when the test succeeds.
    fn print(&self) {
        let mut table = format!("{}: {}\n", self.attack.name(), self.done);
        for kind in Kind::ALL {
            let (bound, holds) = self.bound(kind);
            let (name, peace, attacked) = (kind.name(), self.peace.line(kind), self.attacked.line(kind));
            let verdict = if holds { "ok" } else { "BEYOND" };
            let bound = bound.as_millis();
            table += &format!("  {name:<8} peace {peace} | attack {attacked} | bound {bound:>6} ms {verdict}\n");
        }
        std::io::stderr().write_all(table.as_bytes()).unwrap();
    }

    fn broken(&self) -> impl Iterator<Item = String> {
        let kinds = Kind::ALL.into_iter().filter(|kind| !self.bound(*kind).1);
        kinds.map(|kind| format!("{}: {}", self.attack.name(), kind.name()))
    }
}

fn setting(name: &str) -> Option<u64> {
    let vars = Vars::from_process();
    let text = vars.get(name).unwrap()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not `{text}`")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_notices_little_of_what_a_hostile_one_does() {
    let _alone = ALONE.lock().await;
    let seconds = setting("TIDEMARK_NEIGHBOURS_SECONDS").unwrap_or(SECONDS);
    let only = setting("TIDEMARK_NEIGHBOURS_ATTACK");
    let mut outcomes = Vec::new();
    for (number, attack) in (1..).zip(Attack::ALL) {
        if only.is_none_or(|only| only == number) {
            let outcome = Box::pin(Outcome::of(attack, Duration::from_secs(seconds).as_secs_f64())).await;
            // At once: a long run may be cut short.
            outcome.print();
            outcomes.push(outcome);
        }
    }
    let broken: Vec<String> = outcomes.iter().flat_map(Outcome::broken).collect();
    assert!(broken.is_empty(), "the neighbour notices too much: {broken:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_key_is_answered_whatever_strangers_do() {
    let _alone = ALONE.lock().await;
    // It is never accepted from: clients connect, and hear nothing.
    let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scene = Scene::start_with(&[
        ("TIDEMARK_OIDC_ISSUER", format!("http://{}", issuer.local_addr().unwrap())),
        ("TIDEMARK_OIDC_AUDIENCE", "tidemark".to_owned()),
        ("TIDEMARK_OIDC_TENANT_CLAIM", "tenant".to_owned()),
    ])
    .await;
    let client = scene.client(NEIGHBOUR).await;
    strangers::warm_up(&client).await;
    let mut broken = Vec::new();
    for stranger in Stranger::ALL {
        let mut fresh = strangers::fresh_clients(&scene, stranger, 2 * FRESH_KEYS).await;
        let mut fresh_in_peace = fresh.split_off(FRESH_KEYS);
        let peace = strangers::measure(&client, &mut fresh_in_peace, Instant::now() + STRANGERS_PEACE).await;
        let stop = CancellationToken::new();
        let measuring = async {
            let measured = strangers::measure(&client, &mut fresh, Instant::now() + STRANGERS_ATTACK).await;
            stop.cancel();
            measured
        };
        let (attacked, done) = tokio::join!(measuring, stranger.run(&scene, &stop));
        let [peace_p99, p99] = [&peace, &attacked].map(|rounds| percentile(rounds, 99));
        let [peace, judged] = [&peace, &attacked].map(|rounds| percentile(rounds, JUDGED));
        let (bound, mib) = (measure::bound(peace), scene.api_bytes().await >> 20);
        let (name, rounds) = (stranger.name(), attacked.len());
        let line = format!(
            "{name}: {done}\n  p95 peace {peace:?}, attack {judged:?} of {rounds}, bound {bound:?}; p99 {peace_p99:?}, {p99:?}, {mib} MiB\n"
        );
        // Past the capture of the test's output, as above.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        if judged > bound {
            broken.push(name);
        }
    }
    assert!(broken.is_empty(), "a good key waits too long: {broken:#?}");
}
