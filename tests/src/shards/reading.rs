//! GetShardIterator and GetRecords.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::shard::{Record, Shard};
use super::{Refusal, TableStreams};

/// Most records of one page.
pub(super) const RECORDS_MAX: usize = 1000;
/// Most bytes of one page, unless its only record is larger.
const BYTES_MAX: usize = 1024 * 1024;
/// How long an iterator may be used.
const ITERATOR_LIFE: SignedDuration = SignedDuration::from_mins(15);

/// Where an iterator begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StartAt<'a> {
    TrimHorizon,
    /// At this record.
    At(&'a str),
    /// Behind this record.
    After(&'a str),
    /// Behind all records there are.
    Latest,
    /// At the first record created at or after this second.
    Time(f64),
}

/// What GetRecords gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub records: Vec<Value>,
    /// None: the shard is closed, and these are its last records.
    pub next: Option<String>,
}

/// An iterator: AWS's are opaque, this one can be read. Its text begins with the stream's ARN, as AWS's does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ShardIterator {
    arn: String,
    shard: String,
    /// The next record, counted from the shard's first.
    index: usize,
    /// Empty pages still to come before a page with records.
    empty_pages: u32,
    epoch: u64,
    issued_ms: i64,
}

impl TableStreams {
    /// GetShardIterator.
    ///
    /// # Errors
    /// When there is no such shard, or no such record in it, or it is trimmed.
    pub fn iterator(&self, arn: &str, shard: &str, start: StartAt<'_>, now: Timestamp) -> Result<String, Refusal> {
        let index = self.index(self.readable(arn, shard)?, start, now)?;
        let iterator = ShardIterator {
            arn: arn.to_owned(),
            shard: shard.to_owned(),
            index,
            empty_pages: self.rules.empty_pages,
            epoch: self.epoch,
            issued_ms: now.as_millisecond(),
        };
        Ok(iterator.to_string())
    }

    /// GetRecords.
    ///
    /// # Errors
    /// When the iterator is none or has expired, its shard is gone, or the next record is trimmed.
    pub fn page(&self, iterator: &str, limit: Option<usize>, now: Timestamp) -> Result<Page, Refusal> {
        let iterator: ShardIterator = iterator.parse()?;
        let issued_at = Timestamp::from_millisecond(iterator.issued_ms).map_err(|_| no_iterator())?;
        if iterator.epoch != self.epoch || now.duration_since(issued_at) > ITERATOR_LIFE {
            return Err(Refusal { code: "ExpiredIteratorException", message: "Iterator expired".to_owned() });
        }
        if limit.is_some_and(|limit| !(1..=RECORDS_MAX).contains(&limit)) {
            return Err(Refusal::invalid("Value at 'limit' failed to satisfy constraint: Member must be between 1 and 1000"));
        }
        let shard = self.readable(&iterator.arn, &iterator.shard)?;
        if iterator.index < shard.trimmed {
            return Err(trimmed());
        }
        let records_max = limit.unwrap_or(RECORDS_MAX).min(self.rules.records_max);
        let waiting = &shard.records[iterator.index..self.shown(shard, now).max(iterator.index)];
        let count = if iterator.empty_pages > 0 { 0 } else { page_length(waiting, records_max) };
        let end = iterator.index + count;
        let empty_pages = if count > 0 { self.rules.empty_pages } else { iterator.empty_pages.saturating_sub(1) };
        let is_last = !shard.open
            && !self.rules.parents_look_open
            && end == shard.records.len()
            && (count > 0 || iterator.empty_pages == 0);
        let records = shard.records[iterator.index..end].iter().map(|record| record.json.clone()).collect();
        let next = ShardIterator { index: end, empty_pages, issued_ms: now.as_millisecond(), ..iterator };
        Ok(Page { records, next: (!is_last).then(|| next.to_string()) })
    }

    /// How many of a shard's first records are old enough to be in a page.
    fn shown(&self, shard: &Shard, now: Timestamp) -> usize {
        if self.rules.shown_after.is_zero() {
            return shard.records.len();
        }
        let newest = (now - self.rules.shown_after).as_duration().as_secs_f64();
        shard.records.iter().position(|record| record.created > newest).unwrap_or(shard.records.len())
    }

    fn readable(&self, arn: &str, shard: &str) -> Result<&Shard, Refusal> {
        let is_it = |known: &&Shard| known.id == shard && !known.gone;
        self.stream(arn)?.shards.iter().find(is_it).ok_or_else(|| Refusal::not_found(shard))
    }

    fn index(&self, shard: &Shard, start: StartAt<'_>, now: Timestamp) -> Result<usize, Refusal> {
        match start {
            StartAt::TrimHorizon => Ok(shard.trimmed),
            StartAt::Latest => Ok(shard.records.len()),
            StartAt::At(number) => untrimmed(shard, place_of(shard, number, 0)?, number),
            StartAt::After(number) => untrimmed(shard, place_of(shard, number, 1)?, number),
            StartAt::Time(_) if !self.rules.knows_at_timestamp => {
                Err(Refusal::invalid("Invalid ShardIteratorType: AT_TIMESTAMP"))
            }
            StartAt::Time(second) if second > now.as_duration().as_secs_f64() => {
                Err(Refusal::invalid("Timestamp cannot be in the future"))
            }
            StartAt::Time(second) => {
                let place = shard.records.iter().position(|record| record.created >= second);
                Ok(place.unwrap_or(shard.records.len()).max(shard.trimmed))
            }
        }
    }
}

/// The place of a record, or `behind` it. The number a shard begins with is as good as its first record's.
fn place_of(shard: &Shard, number: &str, behind: usize) -> Result<usize, Refusal> {
    if number == shard.first {
        return Ok(0);
    }
    let place = shard.records.iter().position(|record| record.number == number);
    place.map(|place| place + behind).ok_or_else(|| Refusal::invalid("Invalid SequenceNumber for the shard"))
}

/// A number below the trim horizon is refused even when everything behind it is still there.
fn untrimmed(shard: &Shard, place: usize, number: &str) -> Result<usize, Refusal> {
    let is_trimmed = shard.records[..shard.trimmed].iter().any(|record| record.number == number);
    if is_trimmed || place < shard.trimmed { Err(trimmed()) } else { Ok(place) }
}

fn page_length(waiting: &[Record], records_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |record: &&Record| {
        bytes += record.bytes;
        bytes <= BYTES_MAX
    };
    let fitting = waiting.iter().take(records_max).take_while(fits).count();
    fitting.max(1).min(waiting.len())
}

fn trimmed() -> Refusal {
    let message = "The operation attempted to read past the oldest stream record in a shard".to_owned();
    Refusal { code: "TrimmedDataAccessException", message }
}

fn no_iterator() -> Refusal {
    Refusal::invalid("Invalid ShardIterator")
}

impl std::fmt::Display for ShardIterator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { arn, shard, index, empty_pages, epoch, issued_ms } = self;
        write!(f, "{arn}|{shard}|{index}|{empty_pages}|{epoch}|{issued_ms}")
    }
}

impl FromStr for ShardIterator {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let [arn, shard, index, empty_pages, epoch, issued_ms] = text.split('|').collect::<Vec<_>>()[..] else {
            return Err(no_iterator());
        };
        Ok(Self {
            arn: arn.to_owned(),
            shard: shard.to_owned(),
            index: index.parse().map_err(|_| no_iterator())?,
            empty_pages: empty_pages.parse().map_err(|_| no_iterator())?,
            epoch: epoch.parse().map_err(|_| no_iterator())?,
            issued_ms: issued_ms.parse().map_err(|_| no_iterator())?,
        })
    }
}
