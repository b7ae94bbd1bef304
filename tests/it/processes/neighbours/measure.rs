//! What the neighbour measures.

use std::time::Duration;

use jiff::ToSpan;
use serde_json::json;
use tidemark_domain::Zone;
use tidemark_runtime::clock;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Client, Receiver, wait_until};
use tokio::time::{Instant, sleep};

use super::scene::{NEIGHBOUR, PATIENCE, Scene};

/// From the end of one round to the next.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the API is asked for a change.
const POLL: Duration = Duration::from_millis(20);
/// The item whose changes are looked for, and the one whose level crosses its threshold.
const WATCHED: &str = "watched";
const CROSSING: &str = "crossing";
const THRESHOLD: &str = "10";
const ENDPOINT: &str = "neighbour";
/// Questions differ in their first day, so that none is answered from memory.
const DAYS: usize = 60;

/// How much later everything may be under attack, at least.
const ADDED_MAX: Duration = Duration::from_millis(250);

/// The percentile that has a bound.
pub(super) const JUDGED: usize = 95;

/// Kinds of what is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// From a change of the stock to the answer that shows it.
    Stock,
    /// From a change of the stock over its threshold to the webhook.
    Webhook,
    /// From a question about a metric to its answer.
    Values,
}

/// How long each round of each kind took.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    rounds: [Vec<Duration>; 3],
}

/// The neighbour, with what it measures by.
pub(super) struct Neighbour<'a> {
    scene: &'a Scene,
    receiver: Receiver,
    /// A key for each: a key may ask so often a second.
    stock: Client,
    values: Client,
    /// Rounds begun so far.
    changes: u64,
    crossings: usize,
    questions: usize,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Stock, Self::Webhook, Self::Values];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Webhook => "webhook",
            Self::Values => "values",
        }
    }
}

impl Latencies {
    /// The time that has a bound.
    pub(super) fn judged(&self, kind: Kind) -> Duration {
        self.percentile(kind, JUDGED)
    }

    pub(super) fn line(&self, kind: Kind) -> String {
        let ms = |percent| self.percentile(kind, percent).as_millis();
        format!("p50 {:>5} ms, p95 {:>5} ms, p99 {:>6} ms of {:>3}", ms(50), ms(JUDGED), ms(99), self.rounds[kind as usize].len())
    }

    fn percentile(&self, kind: Kind, percent: usize) -> Duration {
        percentile(&self.rounds[kind as usize], percent)
    }
}

/// The least time that so many of 100 rounds did not exceed.
pub(super) fn percentile(rounds: &[Duration], percent: usize) -> Duration {
    let mut rounds = rounds.to_vec();
    rounds.sort_unstable();
    let rank = (rounds.len() * percent).div_ceil(100).max(1);
    rounds[rank - 1]
}

/// What the judged percentile may be under attack, by what it is in peace.
pub(super) fn bound(peace: Duration) -> Duration {
    (peace * 2).max(peace + ADDED_MAX)
}

impl<'a> Neighbour<'a> {
    /// Has both levels stored, an endpoint, and some orders.
    pub(super) async fn of(scene: &'a Scene) -> Self {
        let receiver = Receiver::start().await;
        let (stock, values) = (scene.client(NEIGHBOUR).await, scene.client(NEIGHBOUR).await);
        for order in 0..5 {
            scene.order(NEIGHBOUR, &order.to_string()).await;
        }
        scene.stock(NEIGHBOUR, WATCHED, "0", None).await;
        scene.stock(NEIGHBOUR, CROSSING, "20", Some(THRESHOLD)).await;
        for item in [WATCHED, CROSSING] {
            let is_stored = async || stock.get(&format!("/v1/inventory/{item}")).await.status == 200;
            wait_until("the neighbour's levels to be stored", DEADLINE, is_stored).await;
        }
        let created = stock.post("/v1/webhook-endpoints", &json!({ "url": receiver.url(ENDPOINT) })).await;
        assert_eq!(created.status, 201, "{}", created.text);
        Self { scene, receiver, stock, values, changes: 0, crossings: 0, questions: 0 }
    }

    /// Measures until an instant; what is under way then has so much more time.
    pub(super) async fn measure(&mut self, end: Instant, grace: Duration) -> Latencies {
        let (scene, receiver, give_up) = (self.scene, &self.receiver, end + grace);
        let stock = rounds(end, async || {
            self.changes += 1;
            change_stock(scene, &self.stock, self.changes, give_up).await
        });
        let webhook = rounds(end, async || {
            self.crossings += 1;
            cross_threshold(scene, receiver, self.crossings, give_up).await
        });
        let values = rounds(end, async || {
            self.questions += 1;
            ask(&self.values, self.questions).await
        });
        let (stock, webhook, values) = tokio::join!(stock, webhook, values);
        Latencies { rounds: [stock, webhook, values] }
    }
}

/// Round after round until an instant.
async fn rounds(end: Instant, mut round: impl AsyncFnMut() -> Duration) -> Vec<Duration> {
    let mut taken = Vec::new();
    while Instant::now() < end {
        taken.push(round().await);
        sleep(PAUSE).await;
    }
    taken
}

async fn change_stock(scene: &Scene, client: &Client, number: u64, give_up: Instant) -> Duration {
    let written = Instant::now();
    scene.stock(NEIGHBOUR, WATCHED, &number.to_string(), None).await;
    let path = format!("/v1/inventory/{WATCHED}");
    loop {
        let answer = client.get(&path).await;
        let is_seen = answer.status == 200 && answer.json()["totals"]["on_hand"] == number.to_string().as_str();
        if is_seen || Instant::now() >= give_up {
            return written.elapsed();
        }
        sleep(POLL).await;
    }
}

/// Every odd round fires an alert, every even one ends it. Each is one event.
async fn cross_threshold(scene: &Scene, receiver: &Receiver, number: usize, give_up: Instant) -> Duration {
    let on_hand = if number % 2 == 1 { "5" } else { "20" };
    let written = Instant::now();
    scene.stock(NEIGHBOUR, CROSSING, on_hand, Some(THRESHOLD)).await;
    loop {
        let received = receiver.received(ENDPOINT);
        // An event may come twice; it counts when it comes first.
        if let Some(first) = received.iter().filter(|received| received.nth == 1).nth(number - 1) {
            return first.at - written;
        }
        if Instant::now() >= give_up {
            return written.elapsed();
        }
        sleep(POLL).await;
    }
}

/// A refusal counts as the longest time.
pub(super) async fn ask(client: &Client, number: usize) -> Duration {
    let first = Zone::utc().date_of(clock::now()) - i64::try_from(number % DAYS + 1).expect("a small number").days();
    let asked = Instant::now();
    let answer = client.ask("/v1/metrics/sales/values", &[("from", &first.to_string()), ("group_by", "item")]).await;
    if answer.status == 200 { asked.elapsed() } else { PATIENCE }
}
