//! What befalls calls between workers and DynamoDB.
//!
//! A request that has left its worker goes its way whatever becomes of the worker: each call is a task of the network's, and the
//! worker merely waits for its end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tidemark_tests::Wire;
use tidemark_tests::deployment::tables;
use tidemark_tests::wire::{Answer, Call, Lost};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::ledger::Ledger;
use crate::plan::Weather;
use crate::trace::Trace;

type Ending = Result<Answer, Lost>;

/// Everything between all workers and DynamoDB.
#[derive(Debug)]
pub(crate) struct Network {
    weather: Mutex<Weather>,
    under_way: Mutex<JoinSet<()>>,
    target: Gate,
    /// Closed, the stream does not know the shards it is asked for.
    memory: Gate,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) trace: Mutex<Trace>,
}

/// One worker's line into the network.
#[derive(Debug)]
pub(crate) struct Line {
    network: Arc<Network>,
    worker: u64,
    random: Mutex<StdRng>,
    gate: Gate,
}

/// Holds up what passes while it is closed. What waits goes on in the order in which it came.
#[derive(Debug, Clone, Default)]
struct Gate(Arc<Bars>);

#[derive(Debug, Default)]
struct Bars {
    closed: AtomicU32,
    opened: Notify,
}

/// What becomes of one call.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered,
    /// Carried out; nobody learns of it.
    AnswerLost,
    /// Not carried out.
    RequestLost,
    /// The connection breaks, and the request arrives all the same, so much later.
    Late(Duration),
    /// The same, but the connection stays silent, so that the client finds out by its patience.
    Silent(Duration),
    Throttled,
    /// Meets a transaction; a call that does not write is answered.
    Conflict,
}

impl Network {
    pub(crate) fn new(weather: Weather) -> Arc<Self> {
        Arc::new(Self {
            weather: Mutex::new(weather),
            under_way: Mutex::default(),
            target: Gate::default(),
            memory: Gate::default(),
            ledger: Mutex::default(),
            trace: Mutex::new(Trace::begin()),
        })
    }

    /// Keeps calls from the target table for some time.
    pub(crate) fn stall(self: &Arc<Self>, span: Duration) {
        self.close(self.target.clone(), span);
    }

    /// Has the stream not know its shards for some time.
    pub(crate) fn forget(self: &Arc<Self>, span: Duration) {
        self.close(self.memory.clone(), span);
    }

    /// No call meets a misfortune any more that has not met it yet. Requests and answers are on their way this long at most.
    pub(crate) fn calm(&self, way_max: Duration) {
        *self.weather.lock().unwrap() = Weather { way_max, per_mille: 0 };
    }

    /// Waits for everything that is on its way.
    pub(crate) async fn drained(&self) {
        let mut under_way = std::mem::take(&mut *self.under_way.lock().unwrap());
        while let Some(ended) = under_way.join_next().await {
            ended.expect("no call panics");
        }
    }

    fn close(&self, gate: Gate, span: Duration) {
        gate.close();
        self.spawn(async move {
            sleep(span).await;
            gate.open();
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut under_way = self.under_way.lock().unwrap();
        while let Some(ended) = under_way.try_join_next() {
            ended.expect("no call panics");
        }
        under_way.spawn(task);
    }

    async fn carry_out(&self, worker: u64, call: &Call) -> Answer {
        if self.target.is_closed() && goes_to_target(&call.request) {
            self.target.opened().await;
        }
        if self.memory.is_closed() && matches!(call.name.as_str(), "GetShardIterator" | "GetRecords") {
            return Answer::refusal(400, "ResourceNotFoundException", json!({ "message": "no such shard" }));
        }
        let answer = call.carry_out().await;
        if answer.status == 200 {
            self.ledger.lock().unwrap().note(worker, &call.name, &call.request);
        }
        answer
    }
}

impl Line {
    /// The line of the worker that was started as this one of the schedule's.
    pub(crate) fn new(network: &Arc<Network>, seed: u64, worker: u64) -> Arc<Self> {
        let random = Mutex::new(StdRng::seed_from_u64(seed.rotate_left(32) ^ worker));
        Arc::new(Self { network: Arc::clone(network), worker, random, gate: Gate::default() })
    }

    /// This line to a wire's DynamoDB.
    pub(crate) fn wire(self: &Arc<Self>, wire: &Wire) -> Wire {
        let line = Arc::clone(self);
        wire.with_hook(move |call| Arc::clone(&line).pass(call))
    }

    /// Holds everything for some time.
    pub(crate) fn freeze(&self, span: Duration) {
        self.network.close(self.gate.clone(), span);
    }

    async fn pass(self: Arc<Self>, call: Call) -> Ending {
        self.network.trace.lock().unwrap().note(self.worker, &call);
        let (ended, ending) = oneshot::channel();
        let line = Arc::clone(&self);
        self.network.spawn(async move { line.travel(call, ended).await });
        ending.await.unwrap_or(Err(Lost))
    }

    async fn travel(&self, call: Call, ended: oneshot::Sender<Ending>) {
        let (there, back, fate) = self.draw();
        sleep(there).await;
        self.gate.opened().await;
        let ending = match fate {
            Fate::Answered => Ok(self.carry_out(&call).await),
            Fate::AnswerLost => {
                self.carry_out(&call).await;
                Err(Lost)
            }
            Fate::RequestLost => Err(Lost),
            Fate::Late(by) => {
                drop(ended.send(Err(Lost)));
                sleep(by).await;
                self.carry_out(&call).await;
                return;
            }
            Fate::Silent(by) => {
                sleep(by).await;
                Ok(self.carry_out(&call).await)
            }
            Fate::Throttled => {
                Ok(Answer::refusal(400, "ProvisionedThroughputExceededException", json!({ "message": "slower, please" })))
            }
            Fate::Conflict => match conflict(&call) {
                Some(refusal) => Ok(refusal),
                None => Ok(self.carry_out(&call).await),
            },
        };
        sleep(back).await;
        self.gate.opened().await;
        // A worker that has given up, or is gone, does not listen any more.
        drop(ended.send(ending));
    }

    async fn carry_out(&self, call: &Call) -> Answer {
        self.network.carry_out(self.worker, call).await
    }

    /// How long a call's request and answer take, and what becomes of it.
    fn draw(&self) -> (Duration, Duration, Fate) {
        let (weather, mut random) = (*self.network.weather.lock().unwrap(), self.random.lock().unwrap());
        let mut way = || random.random_range(Duration::from_millis(1)..=weather.way_max);
        let (there, back) = (way(), way());
        let fate = if random.random_range(0..1_000) >= weather.per_mille {
            Fate::Answered
        } else {
            match random.random_range(0..16) {
                0..4 => Fate::AnswerLost,
                4..6 => Fate::RequestLost,
                6..10 => Fate::Late(Duration::from_millis(random.random_range(1..=6_000))),
                10 => Fate::Silent(Duration::from_millis(random.random_range(5_100..=9_000))),
                11..13 => Fate::Throttled,
                _ => Fate::Conflict,
            }
        };
        (there, back, fate)
    }
}

impl Gate {
    fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst) > 0
    }

    fn close(&self) {
        self.0.closed.fetch_add(1, Ordering::SeqCst);
    }

    fn open(&self) {
        self.0.closed.fetch_sub(1, Ordering::SeqCst);
        self.0.opened.notify_waiters();
    }

    async fn opened(&self) {
        loop {
            let opened = self.0.opened.notified();
            if !self.is_closed() {
                return;
            }
            opened.await;
        }
    }
}

fn goes_to_target(request: &Value) -> bool {
    request.to_string().contains(&format!("\"{}\"", tables().data))
}

/// What DynamoDB answers to a write that meets a transaction under way.
fn conflict(call: &Call) -> Option<Answer> {
    if matches!(call.name.as_str(), "PutItem" | "UpdateItem" | "DeleteItem") {
        return Some(Answer::refusal(400, "TransactionConflictException", json!({ "message": "a transaction is under way" })));
    }
    let items = call.request["TransactItems"].as_array().filter(|_| call.name == "TransactWriteItems")?;
    let mut reasons = vec![json!({ "Code": "None" }); items.len()];
    *reasons.first_mut()? = json!({ "Code": "TransactionConflict" });
    let detail = json!({ "Message": "Transaction cancelled", "CancellationReasons": reasons });
    Some(Answer::refusal(400, "TransactionCanceledException", detail))
}
