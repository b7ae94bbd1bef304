//! Three observers of the probes: a client that asks new questions, a client that polls one question, and a bare reader of the stream.
//!
//! The probes of one rate are orders of one item, each of one unit, written one after the other. So an answer that shows `n` orders of the
//! item shows the first `n` probes, and one question is enough for all of them: the load of the questions does not depend on the number of probes.

use std::time::Duration;

use anyhow::Context;
use aws_sdk_dynamodbstreams::types::{AttributeValue, Record, ShardIteratorType};
use aws_types::SdkConfig;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::probe::PATIENCE;
use crate::baseline::reader::shards;
use crate::lab::ORDERS;

/// Between two new questions.
pub(super) const FRESH_EVERY: Duration = Duration::from_millis(20);
/// Between two times that the one question is asked: half of it to one and a half times as long, by chance. An answer is shared for a second,
/// five times as long as the interval at which the worker reads, so questions at even intervals would meet one phase of the worker for long.
pub(super) const POLLED_EVERY: Duration = Duration::from_millis(40);
/// How often the bare reader calls GetRecords: as often as a worker reads a shard that has records.
pub(super) const READ_EVERY: Duration = Duration::from_millis(200);
/// The largest limit that the API accepts. Each new question has another one, because the answer, a single row, does not depend on it.
const LIMIT_MAX: usize = 1000;

/// How many probes have been sent. The sender is dropped after the last.
pub(super) type Sent = watch::Receiver<usize>;

/// A question for the orders of one item.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) http: reqwest::Client,
    pub(super) url: String,
    pub(super) key: String,
    pub(super) item: String,
    /// Days, exclusive at the end.
    pub(super) days: [String; 2],
}

impl Question {
    /// Asks new questions while a probe is under way. When each probe was visible.
    pub(super) async fn fresh(self, sent: Sent) -> anyhow::Result<Vec<Instant>> {
        let mut watch = Watch::of(sent);
        let (mut ticks, mut asked) = (ticks(FRESH_EVERY), 0);
        while watch.goes_on()? {
            ticks.tick().await;
            if watch.is_waiting() {
                asked += 1;
                let orders = self.ask(asked % (LIMIT_MAX - 1) + 1).await?;
                watch.note(orders)?;
            }
        }
        Ok(watch.seen)
    }

    /// Asks one question again and again. When each probe was visible.
    pub(super) async fn polled(self, sent: Sent) -> anyhow::Result<Vec<Instant>> {
        let mut watch = Watch::of(sent);
        // New questions have smaller limits, so that neither client gets an answer of the other.
        let limit = LIMIT_MAX;
        while watch.goes_on()? {
            sleep(POLLED_EVERY.mul_f64(rand::random_range(0.5..1.5))).await;
            watch.note(self.ask(limit).await?)?;
        }
        Ok(watch.seen)
    }

    /// How many orders of the item are visible.
    async fn ask(&self, limit: usize) -> anyhow::Result<usize> {
        let [from, to] = &self.days;
        let limit = limit.to_string();
        let parameters = [("from", from), ("to", to), ("filter[item]", &self.item), ("limit", &limit)];
        let request = self.http.get(&self.url).query(&parameters).query(&[("measures", "orders,units")]);
        let answer = request.bearer_auth(&self.key).send().await?;
        let (status, answer) = (answer.status(), answer.json::<Value>().await?);
        anyhow::ensure!(status.is_success(), "{} is answered with {status}: {answer}", self.url);
        let value = |measure: &str| answer["totals"][0]["values"][measure].as_str().map_or(Ok(0), str::parse::<usize>);
        let (orders, units) = (value("orders")?, value("units")?);
        anyhow::ensure!(orders == units, "{orders} orders of one unit each are {units} units: {answer}");
        Ok(orders)
    }
}

/// A reader of the stream of orders that does nothing else.
pub(super) struct Reader {
    streams: aws_sdk_dynamodbstreams::Client,
    /// Of each shard; `None` at its end.
    iterators: Vec<Option<String>>,
}

impl Reader {
    /// A reader that begins with the next record. The stream must have one: DynamoDB Local takes an iterator from before a shard's first
    /// record for one of trimmed records.
    pub(super) async fn at_tip(config: &SdkConfig) -> anyhow::Result<Self> {
        let streams = aws_sdk_dynamodbstreams::Client::new(config);
        let described = aws_sdk_dynamodb::Client::new(config).describe_table().table_name(ORDERS).send().await?;
        let arn = described.table.and_then(|table| table.latest_stream_arn).context("the table has no stream")?;
        let mut reader = Self { streams, iterators: Vec::new() };
        for shard in shards(&reader.streams, &arn).await? {
            let begin = reader.streams.get_shard_iterator().stream_arn(&arn).shard_id(shard);
            reader.iterators.push(begin.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?.shard_iterator);
        }
        while !reader.records().await?.is_empty() {}
        Ok(reader)
    }

    /// The next page of each shard.
    async fn records(&mut self) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::new();
        for iterator in &mut self.iterators {
            let Some(at) = iterator.take() else { continue };
            let page = self.streams.get_records().shard_iterator(at).send().await?;
            *iterator = page.next_shard_iterator;
            records.extend(page.records.unwrap_or_default());
        }
        Ok(records)
    }

    /// When each probe, an order of this item, was read.
    pub(super) async fn read(mut self, item: String, sent: Sent) -> anyhow::Result<Vec<Instant>> {
        let (mut watch, mut ticks, mut read) = (Watch::of(sent), ticks(READ_EVERY), 0);
        while watch.goes_on()? {
            ticks.tick().await;
            read += self.records().await?.iter().filter(|record| is_of(record, &item)).count();
            watch.note(read)?;
        }
        Ok(watch.seen)
    }
}

fn is_of(record: &Record, item: &str) -> bool {
    let image = record.dynamodb.as_ref().and_then(|change| change.new_image.as_ref());
    let number = image.and_then(|image| image.get("item_number")).map(AttributeValue::as_s);
    number.is_some_and(|number| number.is_ok_and(|number| number == item))
}

/// Which probes have been seen so far, and when.
struct Watch {
    sent: Sent,
    seen: Vec<Instant>,
    end: Option<Instant>,
}

impl Watch {
    fn of(sent: Sent) -> Self {
        Self { sent, seen: Vec::new(), end: None }
    }

    /// A probe that was sent has not been seen.
    fn is_waiting(&self) -> bool {
        self.seen.len() < *self.sent.borrow()
    }

    /// False once all probes have been sent and seen.
    fn goes_on(&mut self) -> anyhow::Result<bool> {
        if self.sent.has_changed().is_ok() {
            return Ok(true);
        }
        let end = *self.end.get_or_insert_with(|| Instant::now() + PATIENCE);
        let (seen, sent) = (self.seen.len(), *self.sent.borrow());
        anyhow::ensure!(Instant::now() < end, "{seen} of {sent} probes are visible after {PATIENCE:?}");
        Ok(self.is_waiting())
    }

    /// So many are visible now.
    fn note(&mut self, visible: usize) -> anyhow::Result<()> {
        let (now, sent) = (Instant::now(), *self.sent.borrow());
        anyhow::ensure!(visible <= sent, "{visible} probes are visible, {sent} were sent");
        anyhow::ensure!(visible >= self.seen.len(), "{visible} probes are visible, and {} were before", self.seen.len());
        self.seen.resize(visible, now);
        Ok(())
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
