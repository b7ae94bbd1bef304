//! Reads one shard, page by page, from a position on. Knows nothing of leases: reading is harmless, committing is fenced.

use std::time::Duration;

use aws_sdk_dynamodb::primitives::DateTime;
use aws_sdk_dynamodbstreams::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsOutput;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::client::Streams;
use crate::error::Error;
use crate::id::{ShardId, StreamArn};
use crate::lease::HeldShard;
use crate::pacing::{PAGE_RECORDS_MAX, Pacing};
use crate::position::{Position, SequenceNumber};
use crate::record::Record;
use crate::source::RETENTION;
use crate::watermark::EMPTY_PAGES_BEHIND;

/// New beginnings that one read takes while each is refused as trimmed. See [`ShardReader::is_passed_beginning`].
const BEGINNINGS_MAX: usize = 3;

/// What one read gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order of the changes; at most 1000, or 1 MB. Empty is normal, also where records follow.
    pub records: Vec<Record>,
    /// This was the last page: after its records the shard is at its end.
    pub closed: bool,
    /// A limit of GetRecords cut it: more is there already.
    pub is_full: bool,
    /// The records' size.
    pub bytes: usize,
    /// Records that were read but left out, because they were created before the instant reading starts at, or were read before a gap.
    pub skipped: usize,
    /// When it was asked for, by DynamoDB's clock; a little earlier rather than later. None: DynamoDB's answers bear no time.
    pub asked_at: Option<Timestamp>,
}

impl Page {
    /// Nothing was there to read.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.skipped == 0
    }
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Records between the position and the oldest one there is are gone: history is lost here.
    #[error("records were trimmed before they were read")]
    Trimmed,
    /// The shard's beginning was reached a day late: records before the oldest one there is may be gone, and nobody would have
    /// noticed. Tell by [`GapReason::Aged`](crate::GapReason::Aged).
    #[error("the shard was read too late to be whole")]
    Aged,
    /// The stream does not know the shard, or the stream itself is gone.
    #[error("the shard is gone from its stream")]
    Vanished,
    /// More than two readers share the shard. Wait, and say so: someone else reads this stream.
    #[error("another consumer reads the shard too, and together they exceed its limit")]
    Contended { after: Duration, source: Error },
    /// Throttled, unreachable, or failing inside: wait, then read again.
    #[error("the shard cannot be read just now")]
    Busy { after: Duration, source: Error },
    #[error(transparent)]
    Failed(Error),
}

impl ReadError {
    /// How long to wait before reading again; none where waiting does not help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Contended { after, .. } | Self::Busy { after, .. } => Some(*after),
            Self::Trimmed | Self::Aged | Self::Vanished | Self::Failed(_) => None,
        }
    }
}

/// Reads one shard. It remembers what it has read, not what was committed.
#[derive(Debug)]
pub struct ShardReader {
    streams: Streams,
    arn: StreamArn,
    shard: ShardId,
    /// Where a new iterator would start: behind the last record read.
    from: Position,
    iterator: Option<String>,
    /// No page has come since the iterator was taken.
    is_new: bool,
    /// The empty pages in a row since the iterator was taken.
    empty_pages: usize,
    /// A beginning whose first page comes later than this may lack records.
    whole_until: Option<Timestamp>,
    /// Records created earlier are skipped, where the service cannot start at an instant itself.
    not_before: Option<Timestamp>,
    /// Records up to this one are skipped: they were read before the stream was said to have lost some behind it.
    read_before: Option<SequenceNumber>,
    pacing: Pacing,
    pause: Duration,
}

impl ShardReader {
    /// Reads a held shard from its position on.
    pub fn new(streams: Streams, arn: StreamArn, held: &HeldShard) -> Self {
        let (from, read_before) = match &held.position {
            Position::After(last) if held.is_trimmed => (Position::TrimHorizon, Some(last.clone())),
            position => (position.clone(), None),
        };
        Self {
            streams,
            arn,
            shard: held.shard.clone(),
            from,
            iterator: None,
            is_new: false,
            empty_pages: 0,
            whole_until: held.whole_until,
            not_before: None,
            read_before,
            pacing: Pacing::default(),
            pause: Duration::ZERO,
        }
    }

    /// How long to wait before the next read, after the last one succeeded.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Reads the next page. Dropping the future loses nothing: the page is read again. `clock` tells when the page has come.
    ///
    /// # Errors
    /// See [`ReadError`]. The reader stays usable: the same records are asked for again.
    pub async fn next(&mut self, clock: fn() -> Timestamp) -> Result<Page, ReadError> {
        if self.from == Position::ShardEnd {
            return Ok(Page { records: Vec::new(), closed: true, is_full: false, bytes: 0, skipped: 0, asked_at: None });
        }
        let asked = Instant::now();
        match self.read().await {
            Ok(_) if self.is_too_late(clock()) => {
                self.iterator = None;
                Err(ReadError::Aged)
            }
            Ok(answer) => self.take(answer, asked, clock()),
            Err(refusal) => Err(self.read_error(refusal)),
        }
    }

    async fn read(&mut self) -> Result<GetRecordsOutput, Refusal> {
        if let Some(iterator) = &self.iterator {
            match self.get_records(iterator).await {
                // An iterator lives 15 minutes.
                Err(refusal) if refusal.is("ExpiredIteratorException") => {}
                Err(refusal) if self.is_passed_beginning(&refusal) => {}
                answer => return answer,
            }
        }
        let mut beginnings = 1;
        loop {
            let iterator = self.new_iterator().await?;
            (self.is_new, self.empty_pages) = (true, 0);
            match self.get_records(&iterator).await {
                Err(refusal) if self.is_passed_beginning(&refusal) && beginnings < BEGINNINGS_MAX => beginnings += 1,
                answer => {
                    self.iterator = Some(iterator);
                    return answer;
                }
            }
        }
    }

    /// DynamoDB Local numbers the records of all tables in one sequence, so a beginning that was taken before the shard's
    /// first record came counts as trimmed. Nothing was read from it yet: a new beginning holds all there is, and where records are
    /// gone indeed, [comes too late](Self::is_too_late).
    fn is_passed_beginning(&self, refusal: &Refusal) -> bool {
        refusal.is("TrimmedDataAccessException") && self.from == Position::TrimHorizon
    }

    /// A beginning tells of nothing that was trimmed before it. So its first page must come while all of the shard is there; pages
    /// that follow are bound to it, and DynamoDB refuses them when something between is gone.
    fn is_too_late(&self, came_at: Timestamp) -> bool {
        let is_beginning = matches!(self.from, Position::TrimHorizon | Position::At(_));
        self.is_new && is_beginning && self.whole_until.is_some_and(|until| came_at > until)
    }

    fn take(&mut self, answer: GetRecordsOutput, asked: Instant, came_at: Timestamp) -> Result<Page, ReadError> {
        let records = answer.records.unwrap_or_default();
        self.is_new = false;
        self.empty_pages = if records.is_empty() { self.empty_pages + 1 } else { 0 };
        if self.empty_pages >= EMPTY_PAGES_BEHIND && self.whole_until.is_some_and(|until| came_at >= until) {
            // Nothing was there to be lost for as long as records are kept. AWS ends shards within hours; an emulator's may be idle for
            // days. Not before: on AWS, empty pages may come before records.
            self.whole_until = came_at.checked_add(RETENTION).ok();
        }
        let records: Result<Vec<Record>, Error> = records.into_iter().map(Record::of_sdk).collect();
        let mut records = records.map_err(ReadError::Failed)?;
        self.pause = self.pacing.after_page(records.len(), size(&records));
        self.iterator = answer.next_shard_iterator;
        let is_early = |record: &Record| self.not_before.is_some_and(|start| record.created_at < start);
        // Only the first record is looked for: behind it a record's clock may be a little late.
        let skipped = records.iter().take_while(|record| is_early(record)).count();
        let is_read = |record: &Record| self.read_before.as_ref().is_some_and(|last| record.sequence_number <= *last);
        let skipped = skipped.max(records.iter().take_while(|record| is_read(record)).count());
        records.drain(..skipped);
        if let Some(last) = records.last() {
            self.from = Position::After(last.sequence_number.clone());
            self.not_before = None;
            self.read_before = None;
        }
        let closed = self.iterator.is_none();
        if closed {
            self.from = Position::ShardEnd;
        }
        let bytes = size(&records);
        let (is_full, asked_at) = (self.pause.is_zero(), self.streams.clock.at(asked));
        Ok(Page { records, closed, is_full, bytes, skipped, asked_at })
    }

    async fn new_iterator(&mut self) -> Result<String, Refusal> {
        let Position::At(ms) = self.from else { return self.iterator_at(&self.from).await };
        match self.iterator_at(&self.from).await {
            // Emulators do not know AT_TIMESTAMP, and DynamoDB refuses an instant in the future.
            Err(refusal) if refusal.is("ValidationException") => {
                self.not_before = Timestamp::from_millisecond(ms).ok();
                self.iterator_at(&Position::TrimHorizon).await
            }
            answer => answer,
        }
    }

    async fn iterator_at(&self, position: &Position) -> Result<String, Refusal> {
        const OPERATION: &str = "GetShardIterator";
        let request = self.streams.streams.get_shard_iterator().stream_arn(self.arn.as_str()).shard_id(self.shard.as_str());
        let request = match position {
            Position::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::At(ms) => request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(*ms)),
            Position::After(record) => {
                request.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).sequence_number(record.as_str())
            }
            Position::ShardEnd => unreachable!("a shard at its end is not read"),
        };
        let answer = request.send().await.map_err(|error| Refusal::of(OPERATION, error))?;
        let missing = || Refusal { code: None, error: Error::Incomplete { operation: OPERATION, what: "an iterator" } };
        answer.shard_iterator.ok_or_else(missing)
    }

    async fn get_records(&self, iterator: &str) -> Result<GetRecordsOutput, Refusal> {
        let limit = i32::try_from(PAGE_RECORDS_MAX).expect("1000 fits");
        let request = self.streams.streams.get_records().shard_iterator(iterator).limit(limit);
        request.send().await.map_err(|error| Refusal::of("GetRecords", error))
    }

    fn read_error(&mut self, Refusal { code, error }: Refusal) -> ReadError {
        match code.as_deref() {
            Some("TrimmedDataAccessException") => ReadError::Trimmed,
            Some("ResourceNotFoundException") => ReadError::Vanished,
            Some("LimitExceededException") => {
                ReadError::Contended { after: self.pacing.after_failure(fastrand::f64()), source: error }
            }
            _ if error.is_retryable() => ReadError::Busy { after: self.pacing.after_failure(fastrand::f64()), source: error },
            _ => ReadError::Failed(error),
        }
    }
}

fn size(records: &[Record]) -> usize {
    records.iter().map(|record| record.bytes).sum()
}

/// A refused call, with the service's own code: it means more to a reader than to others.
struct Refusal {
    code: Option<String>,
    error: Error,
}

impl Refusal {
    fn of<E>(operation: &'static str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        Self { code: error.code().map(str::to_owned), error: Error::of(operation, error) }
    }

    fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

#[cfg(test)]
mod tests;
