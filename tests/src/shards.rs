//! The change streams of one table as AWS serves them: a pure model, without HTTP, without a clock.
//!
//! Emulators have one shard per stream, which never ends. Here shards rotate and split, are trimmed and vanish, and a stream is
//! switched off and on again, all on command. What follows from a command is AWS's (STREAMS.md §1); where AWS leaves a choice,
//! [`Rules`] has it. `reading` serves GetShardIterator and GetRecords, `listing` DescribeStream and ListStreams, `protocol`
//! translates all four from and to JSON.

mod listing;
mod protocol;
mod reading;
mod shard;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

pub use listing::Listing;
pub use reading::{Page, StartAt};
use shard::{Range, Shard, hash_of};

/// What AWS leaves open, or emulators do otherwise. The default is AWS at its best.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// DescribeStream lists only the children it is asked for. Emulators list everything.
    pub honours_child_filter: bool,
    /// GetShardIterator knows AT_TIMESTAMP. Emulators refuse it.
    pub knows_at_timestamp: bool,
    /// Most shards of one page of a listing.
    pub listed_max: usize,
    /// Most records of one page; 1000 at most.
    pub records_max: usize,
    /// So many empty pages come before each page with records.
    pub empty_pages: u32,
    /// A record is in no page before it is so old, by its own time. AWS names no bound. Zero: it is in the next page.
    pub shown_after: SignedDuration,
    /// A closed shard goes on looking open, though its children are listed: no ending number, and empty pages at its end.
    pub parents_look_open: bool,
    /// So many listings after a child was born do not show it yet.
    pub late_listings: u32,
    /// So many listings of a stream that was switched off and on do not show its first shards yet.
    pub late_beginnings: u32,
    /// An eleventh DescribeStream within a second is refused.
    pub limits_listings: bool,
}

/// A call is refused, with AWS's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    pub code: &'static str,
    pub message: String,
}

/// All streams a table has had: the one that is on, and those before it.
#[derive(Debug)]
pub struct TableStreams {
    pub rules: Rules,
    table: String,
    table_arn: String,
    view_type: String,
    /// Oldest first; only the last is on.
    streams: Vec<Stream>,
    /// Iterators of an earlier epoch have expired.
    epoch: u64,
    /// Sequence numbers given out, so that none is given twice.
    issued: u64,
    /// When DescribeStream was answered last.
    listings: VecDeque<Timestamp>,
    random: StdRng,
}

#[derive(Debug)]
struct Stream {
    arn: String,
    label: String,
    created_at: Timestamp,
    /// Parents before their children.
    shards: Vec<Shard>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            honours_child_filter: true,
            knows_at_timestamp: true,
            listed_max: listing::LISTED_MAX,
            records_max: reading::RECORDS_MAX,
            empty_pages: 0,
            shown_after: SignedDuration::ZERO,
            parents_look_open: false,
            late_listings: 0,
            late_beginnings: 0,
            limits_listings: false,
        }
    }
}

impl TableStreams {
    /// A table (`arn:…:table/<table>`) whose stream was switched on at `now`, with so many open shards.
    ///
    /// # Panics
    /// When that is no table's ARN.
    pub fn new(table_arn: &str, view_type: &str, shards: usize, seed: u64, now: Timestamp) -> Self {
        let (_, table) = table_arn.split_once(":table/").expect("the ARN of a table");
        let mut streams = Self {
            rules: Rules::default(),
            table: table.to_owned(),
            table_arn: table_arn.to_owned(),
            view_type: view_type.to_owned(),
            streams: Vec::new(),
            epoch: 0,
            issued: 0,
            listings: VecDeque::new(),
            random: StdRng::seed_from_u64(seed),
        };
        streams.switch_on(shards, now);
        streams
    }

    /// Adds a change to the open shard that owns the item's key. Keys, images, times and identity stay as they are; the sequence
    /// number is a new one.
    pub fn append(&mut self, record: &Value) {
        let hash = hash_of(&record["dynamodb"]["Keys"]);
        let is_owner = |shard: &Shard| shard.open && shard.range.holds(hash);
        let index = self.current().shards.iter().position(is_owner).expect("open shards cover every key");
        let number = self.issue(index);
        self.current_mut().shards[index].push(record.clone(), number);
    }

    /// Closes a shard and opens one child. The child's id.
    ///
    /// # Panics
    /// When it is no open shard of the current stream.
    pub fn rotate(&mut self, shard: &str, now: Timestamp) -> String {
        let parent = self.close(shard);
        let range = self.current().shards[parent].range;
        self.open(Some(shard.to_owned()), range, now)
    }

    /// Closes a shard and opens two children, each with half of its keys. The children's ids.
    ///
    /// # Panics
    /// When it is no open shard of the current stream.
    pub fn split(&mut self, shard: &str, now: Timestamp) -> [String; 2] {
        let parent = self.close(shard);
        self.current().shards[parent].range.halves().map(|half| self.open(Some(shard.to_owned()), half, now))
    }

    /// Rotates every open shard, as AWS does every few hours.
    pub fn rotate_all(&mut self, now: Timestamp) {
        for shard in self.open_shards() {
            self.rotate(&shard, now);
        }
    }

    /// The oldest `count` records of a shard that are still there pass the 24 hours.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn trim(&mut self, shard: &str, count: usize) {
        self.shard_mut(shard).trim(count);
    }

    /// A shard is listed no longer, and nothing of it can be read.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn vanish(&mut self, shard: &str) {
        self.shard_mut(shard).gone = true;
    }

    /// The stream is switched off and on again: its shards are closed, and a new stream begins with as many open ones. The new
    /// stream's ARN.
    pub fn new_arn(&mut self, now: Timestamp) -> String {
        let open = self.open_shards();
        for shard in &open {
            self.close(shard);
        }
        // A label is a time to the millisecond, and no two streams have the same.
        let after_last = self.current().created_at + SignedDuration::from_millis(1);
        self.switch_on(open.len(), now.max(after_last));
        self.arn().to_owned()
    }

    /// Every iterator given out so far has expired.
    pub fn expire_iterators(&mut self) {
        self.epoch += 1;
    }

    /// The ARN of the stream that is on.
    pub fn arn(&self) -> &str {
        &self.current().arn
    }

    /// The label of the stream that is on: when it was switched on.
    pub fn label(&self) -> &str {
        &self.current().label
    }

    /// The open shards of the stream that is on, the oldest first.
    pub fn open_shards(&self) -> Vec<String> {
        self.current().shards.iter().filter(|shard| shard.open).map(|shard| shard.id.clone()).collect()
    }

    /// The shards of the stream that is on, parents before their children.
    pub fn shards(&self) -> Vec<String> {
        self.current().shards.iter().map(|shard| shard.id.clone()).collect()
    }

    /// The records a shard ever had.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn records_of(&self, shard: &str) -> usize {
        let shards = self.streams.iter().flat_map(|stream| &stream.shards);
        shards.into_iter().find(|known| known.id == shard).expect("a shard of this table").records.len()
    }

    fn switch_on(&mut self, shards: usize, now: Timestamp) {
        let label = now.strftime("%Y-%m-%dT%H:%M:%S%.3f").to_string();
        let arn = format!("{}/stream/{label}", self.table_arn);
        self.streams.push(Stream { arn, label, created_at: now, shards: Vec::new() });
        for range in Range::tiles(shards) {
            self.open(None, range, now);
        }
    }

    fn open(&mut self, parent: Option<String>, range: Range, now: Timestamp) -> String {
        let id = format!("shardId-{:020}-{:08x}", now.as_millisecond(), self.random.random::<u32>());
        let hidden = if parent.is_some() { self.rules.late_listings } else { self.rules.late_beginnings };
        let prefix = shard::first_prefix(&mut self.random);
        self.current_mut().shards.push(Shard::new(id.clone(), parent, range, prefix, hidden));
        let index = self.current().shards.len() - 1;
        let first = self.issue(index);
        self.current_mut().shards[index].first = first;
        id
    }

    fn close(&mut self, shard: &str) -> usize {
        let is_it = |known: &Shard| known.id == shard && known.open;
        let index = self.current().shards.iter().position(is_it).expect("an open shard of the stream that is on");
        let last = self.issue(index);
        let closed = &mut self.current_mut().shards[index];
        (closed.open, closed.last) = (false, Some(last));
        index
    }

    /// A sequence number above all others of the shard, and unlike all others of the table.
    fn issue(&mut self, index: usize) -> String {
        self.issued += 1;
        let stream = self.streams.last_mut().expect("a table has had a stream");
        stream.shards[index].next_number(self.issued, &mut self.random)
    }

    fn shard_mut(&mut self, id: &str) -> &mut Shard {
        let mut shards = self.streams.iter_mut().flat_map(|stream| &mut stream.shards);
        shards.find(|shard| shard.id == id).expect("a shard of this table")
    }

    fn current(&self) -> &Stream {
        self.streams.last().expect("a table has had a stream")
    }

    fn current_mut(&mut self) -> &mut Stream {
        self.streams.last_mut().expect("a table has had a stream")
    }

    fn stream(&self, arn: &str) -> Result<&Stream, Refusal> {
        self.streams.iter().find(|stream| stream.arn == arn).ok_or_else(|| Refusal::not_found(arn))
    }
}

impl Refusal {
    pub(crate) fn not_found(what: &str) -> Self {
        Self { code: "ResourceNotFoundException", message: format!("Requested resource not found: Stream: {what} not found") }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self { code: "ValidationException", message: message.into() }
    }
}
