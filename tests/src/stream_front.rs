//! Serves the streams of an emulator's tables with shards that rotate, split and vanish.
//!
//! Each table has a model of its streams (`shards`), which is fed from the emulator's own single shard. It is fed when it is
//! asked: before each answer, and before each command of a test, everything the emulator has is taken over. So what a consumer
//! sees depends on the order of calls alone, and a record is in the model before anything that happens after it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::origin::Origin;
use crate::shards::{Refusal, Rules, TableStreams};

/// Where the time of the model comes from.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The streams of all tables of one emulator.
pub(crate) struct StreamFront {
    origin: Origin,
    clock: Clock,
    /// Open shards that a stream begins with.
    shards: usize,
    seed: u64,
    tables: Mutex<BTreeMap<String, Arc<Mutex<FedTable>>>>,
}

/// A table's streams, and how far they are fed.
#[derive(Debug)]
struct FedTable {
    model: TableStreams,
    source: EmulatorShard,
    /// The emulator's iterator behind the last record taken over; none before the first.
    iterator: Option<String>,
    /// When the emulator was last asked and had nothing more.
    empty_at: Option<Timestamp>,
    /// When each shard that is being read was asked for records last.
    asked: BTreeMap<String, Instant>,
    longest_pause: Duration,
}

/// The one shard of an emulator's own stream.
#[derive(Debug)]
struct EmulatorShard {
    arn: String,
    shard: String,
}

/// A test's hand on the shards of one table. Every command comes after all that was written before it.
#[derive(Debug, Clone)]
pub struct Shards {
    front: Arc<StreamFront>,
    table: String,
}

impl StreamFront {
    pub(crate) fn new(origin: Origin, clock: Clock, shards: usize, seed: u64) -> Arc<Self> {
        Arc::new(Self { origin, clock, shards, seed, tables: Mutex::default() })
    }

    /// The shards of a table, for a test.
    pub(crate) fn shards(self: &Arc<Self>, table: &str) -> Shards {
        Shards { front: Arc::clone(self), table: table.to_owned() }
    }

    /// Answers a call of DynamoDB Streams.
    ///
    /// # Errors
    /// When the emulator cannot be asked. A refusal is an answer.
    pub(crate) async fn answer(&self, call: &str, request: &Value) -> anyhow::Result<Result<Value, Refusal>> {
        if call == "ListStreams" {
            return self.list(request["TableName"].as_str()).await.map(Ok);
        }
        // An iterator begins with the ARN of its stream.
        let name = if call == "GetRecords" { "ShardIterator" } else { "StreamArn" };
        let arn = request[name].as_str().unwrap_or_default();
        let Some(table) = self.table(table_of(arn).unwrap_or_default()).await? else { return Ok(Err(Refusal::not_found(arn))) };
        let mut table = table.lock().await;
        table.feed(self).await?;
        let answer = table.model.answer(call, request, (self.clock)());
        if call == "GetRecords" {
            table.note_read(arn, answer.as_ref().is_ok_and(|page| page["NextShardIterator"].is_null()));
        }
        Ok(answer)
    }

    /// Puts the streams of this front into a description of a table.
    ///
    /// # Errors
    /// When the emulator cannot be asked.
    pub(crate) async fn describe_in(&self, description: &mut Value) -> anyhow::Result<()> {
        let name = description["TableName"].as_str().unwrap_or_default();
        if let Some(table) = self.table(name).await? {
            table.lock().await.model.describe_in(description);
        }
        Ok(())
    }

    /// All streams of a table, or of the tables that were asked for so far.
    async fn list(&self, table: Option<&str>) -> anyhow::Result<Value> {
        let tables: Vec<_> = match table {
            Some(table) => self.table(table).await?.into_iter().collect(),
            None => self.tables.lock().await.values().cloned().collect(),
        };
        let mut streams = Vec::new();
        for table in tables {
            streams.extend(table.lock().await.model.list());
        }
        Ok(json!({ "Streams": streams }))
    }

    /// A table with its stream on; made known when it is asked for first.
    async fn table(&self, name: &str) -> anyhow::Result<Option<Arc<Mutex<FedTable>>>> {
        let mut tables = self.tables.lock().await;
        if let Some(table) = tables.get(name) {
            return Ok(Some(Arc::clone(table)));
        }
        let Some(table) = self.meet(name).await? else { return Ok(None) };
        Ok(Some(Arc::clone(tables.entry(name.to_owned()).or_insert(Arc::new(Mutex::new(table))))))
    }

    async fn meet(&self, name: &str) -> anyhow::Result<Option<FedTable>> {
        let answer = self.origin.call("DynamoDB_20120810.DescribeTable", &json!({ "TableName": name })).await?;
        let description = &answer["Table"];
        let stream = &description["StreamSpecification"];
        if stream["StreamEnabled"] != true {
            return Ok(None);
        }
        let arn = description["LatestStreamArn"].as_str().context("a stream that is on has an ARN")?;
        let (table_arn, _) = arn.split_once("/stream/").context("the ARN of a stream")?;
        // Table and stream were made by one request, and so show the same time.
        let created_at = description["CreationDateTime"].as_f64().context("a table has a creation time")?;
        let created_at = Timestamp::UNIX_EPOCH + SignedDuration::try_from_secs_f64(created_at)?;
        let view_type = stream["StreamViewType"].as_str().context("a stream has a view type")?;
        let model = TableStreams::new(table_arn, view_type, self.shards, self.seed, created_at);
        Ok(Some(FedTable {
            model,
            source: EmulatorShard::of(&self.origin, arn).await?,
            iterator: None,
            empty_at: None,
            asked: BTreeMap::new(),
            longest_pause: Duration::ZERO,
        }))
    }
}

impl FedTable {
    /// A shard was asked for records, by an iterator of it. One that has ended need not be asked again.
    fn note_read(&mut self, iterator: &str, has_ended: bool) {
        let Some(shard) = iterator.split('|').nth(1) else { return };
        let now = Instant::now();
        let before = if has_ended { self.asked.remove(shard) } else { self.asked.insert(shard.to_owned(), now) };
        self.longest_pause = self.longest_pause.max(before.map_or(Duration::ZERO, |before| now - before));
    }

    /// Takes over what the emulator has. Dropped halfway it goes on where it was.
    async fn feed(&mut self, front: &StreamFront) -> anyhow::Result<()> {
        let origin = &front.origin;
        loop {
            let asked_at = (front.clock)();
            let iterator = match &self.iterator {
                Some(iterator) => iterator.clone(),
                None => self.source.iterator(origin).await?,
            };
            let answer = origin.call("DynamoDBStreams_20120810.GetRecords", &json!({ "ShardIterator": iterator })).await?;
            // DynamoDB Local counts over all tables, and takes an iterator from before a stream's first record for one of
            // records that are gone, if other tables were written to meanwhile. Nothing is trimmed here: ask for a new one.
            let is_too_early = answer["__type"].as_str().is_some_and(|code| code.ends_with("#TrimmedDataAccessException"));
            if is_too_early && self.iterator.is_none() {
                continue;
            }
            let records = answer["Records"].as_array().with_context(|| format!("no records: {answer}"))?;
            if records.is_empty() {
                self.empty_at = Some(asked_at);
                return Ok(());
            }
            let next = answer["NextShardIterator"].as_str().context("an emulator's shard never ends")?;
            records.iter().for_each(|record| self.model.append(&self.stamped(record)));
            self.iterator = Some(next.to_owned());
        }
    }

    /// A record with a creation time of a second, as AWS gives it: DynamoDB Local gives the minute. The record was written after the
    /// emulator had nothing more, so the second is never later than the write.
    fn stamped(&self, record: &Value) -> Value {
        let mut record = record.clone();
        let stamp = &mut record["dynamodb"]["ApproximateCreationDateTime"];
        if let (Some(minute), Some(empty_at)) = (stamp.as_f64(), self.empty_at)
            && minute < empty_at.as_second() as f64
        {
            *stamp = json!(empty_at.as_second());
        }
        record
    }
}

impl Shards {
    /// Rotates every open shard.
    pub async fn rotate_all(&self) {
        let now = self.now();
        self.with(|model| model.rotate_all(now)).await;
    }

    /// Closes an open shard and opens one child; its id.
    pub async fn rotate(&self, shard: &str) -> String {
        let now = self.now();
        self.with(|model| model.rotate(shard, now)).await
    }

    /// Closes an open shard and opens two children; their ids.
    pub async fn split(&self, shard: &str) -> [String; 2] {
        let now = self.now();
        self.with(|model| model.split(shard, now)).await
    }

    /// The oldest `count` records of a shard are gone.
    pub async fn trim(&self, shard: &str, count: usize) {
        self.with(|model| model.trim(shard, count)).await;
    }

    /// A shard is gone.
    pub async fn vanish(&self, shard: &str) {
        self.with(|model| model.vanish(shard)).await;
    }

    /// The stream is switched off and on again; the new one's ARN.
    pub async fn new_arn(&self) -> String {
        let now = self.now();
        self.with(|model| model.new_arn(now)).await
    }

    /// Every iterator given out so far has expired.
    pub async fn expire_iterators(&self) {
        self.with(TableStreams::expire_iterators).await;
    }

    /// The longest that a shard, once anyone had begun to read it and before its end was read, was not asked for records.
    pub async fn longest_pause(&self) -> Duration {
        let table = self.front.table(&self.table).await.expect("the emulator answers").expect("a table with its stream on");
        let table = table.lock().await;
        let standing = table.asked.values().map(Instant::elapsed).max();
        table.longest_pause.max(standing.unwrap_or_default())
    }

    /// So many empty pages come before each page with records.
    pub async fn empty_pages(&self, count: u32) {
        self.rule(|rules| rules.empty_pages = count).await;
    }

    /// Changes how the stream behaves.
    pub async fn rule(&self, change: impl FnOnce(&mut Rules)) {
        self.with(|model| change(&mut model.rules)).await;
    }

    /// The ARN of the stream that is on.
    pub async fn arn(&self) -> String {
        self.with(|model| model.arn().to_owned()).await
    }

    /// The open shards, the oldest first.
    pub async fn open(&self) -> Vec<String> {
        self.with(|model| model.open_shards()).await
    }

    /// All shards of the stream that is on, parents before their children.
    pub async fn all(&self) -> Vec<String> {
        self.with(|model| model.shards()).await
    }

    /// How many records a shard ever had.
    pub async fn records_of(&self, shard: &str) -> usize {
        self.with(|model| model.records_of(shard)).await
    }

    async fn with<T>(&self, act: impl FnOnce(&mut TableStreams) -> T) -> T {
        let table = self.front.table(&self.table).await.expect("the emulator answers").expect("a table with its stream on");
        let mut table: MutexGuard<'_, FedTable> = table.lock().await;
        table.feed(&self.front).await.expect("the emulator answers");
        act(&mut table.model)
    }

    fn now(&self) -> Timestamp {
        (self.front.clock)()
    }
}

impl fmt::Debug for StreamFront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamFront").field("origin", &self.origin).field("shards", &self.shards).finish_non_exhaustive()
    }
}

/// The table of `arn:…:table/<table>/stream/<label>…`.
fn table_of(arn: &str) -> Option<&str> {
    let (_, resource) = arn.split_once(":table/")?;
    Some(resource.split_once("/stream/")?.0)
}

impl EmulatorShard {
    async fn of(origin: &Origin, arn: &str) -> anyhow::Result<Self> {
        let answer = origin.call("DynamoDBStreams_20120810.DescribeStream", &json!({ "StreamArn": arn })).await?;
        let shards = answer["StreamDescription"]["Shards"].as_array().with_context(|| format!("no shards: {answer}"))?;
        let [shard] = &shards[..] else { anyhow::bail!("an emulator's stream has one shard: {answer}") };
        let shard = shard["ShardId"].as_str().context("a shard has an id")?;
        Ok(Self { arn: arn.to_owned(), shard: shard.to_owned() })
    }

    /// An iterator at the first record.
    async fn iterator(&self, origin: &Origin) -> anyhow::Result<String> {
        let request = json!({ "StreamArn": self.arn, "ShardId": self.shard, "ShardIteratorType": "TRIM_HORIZON" });
        let answer = origin.call("DynamoDBStreams_20120810.GetShardIterator", &request).await?;
        answer["ShardIterator"].as_str().map(str::to_owned).with_context(|| format!("no iterator: {answer}"))
    }
}
