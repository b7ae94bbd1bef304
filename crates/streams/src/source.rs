//! A table whose stream is read: what must hold before reading starts, and what is known about its history.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{StreamViewType, TableDescription};
use aws_sdk_dynamodbstreams::config::retry::RetryConfig;
use jiff::{SignedDuration, Timestamp};

use crate::client::{ATTEMPTS_MAX, Streams};
use crate::error::Error;
use crate::id::{StreamArn, StreamId};
use crate::position::Position;
use crate::record::timestamp;

/// A stream keeps records for 24 hours; within the last half hour they may be trimmed while they are read.
pub(crate) const RETENTION: SignedDuration = SignedDuration::from_mins(23 * 60 + 30);
/// A table and a stream made by one request may show times that differ a little.
const SAME_MOMENT: SignedDuration = SignedDuration::from_secs(10);

/// A table and the stream on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStream {
    pub table: String,
    pub arn: StreamArn,
    pub id: StreamId,
    /// Emulators may give none.
    pub table_created_at: Option<Timestamp>,
    pub stream_created_at: Option<Timestamp>,
    /// The table's partition key, and its sort key if it has one.
    pub key_attributes: Vec<String>,
}

/// Where a stream that was never read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// At the oldest record the stream still has.
    #[default]
    TrimHorizon,
    /// At the moment of the first start.
    Now,
    /// At the first record created at or after this instant.
    At(Timestamp),
}

impl Start {
    /// The position the first shards get, stored once, so that a restart begins where the first start did.
    pub(crate) fn position(self, now: Timestamp) -> Position {
        match self {
            Self::TrimHorizon => Position::TrimHorizon,
            Self::Now => Position::At(now.as_millisecond()),
            Self::At(instant) => Position::At(instant.as_millisecond()),
        }
    }
}

/// Whether reading a stream from `start` on, first at `now`, sees every change its table ever had: the stream is as old
/// as the table, and nothing of it has been trimmed. A time that is not known is not held against it.
pub fn history_is_complete(
    stream_created_at: Option<Timestamp>,
    table_created_at: Option<Timestamp>,
    now: Timestamp,
    start: Start,
) -> bool {
    let is_as_old = match (stream_created_at, table_created_at) {
        (Some(stream), Some(table)) => stream.duration_since(table) <= SAME_MOMENT,
        _ => true,
    };
    let oldest = table_created_at.or(stream_created_at);
    let is_untrimmed = oldest.is_none_or(|created_at| now.duration_since(created_at) <= RETENTION);
    start == Start::TrimHorizon && is_as_old && is_untrimmed
}

impl Streams {
    /// Looks at a table and its stream.
    ///
    /// # Errors
    /// When the table is missing, its stream is off or has another view type than NEW_AND_OLD_IMAGES, or DynamoDB cannot
    /// be asked; each with one line that says what to do.
    pub async fn describe_source(&self, table: &str) -> Result<SourceStream, Error> {
        let description = self.describe_table(table).await?;
        let arn = readable_stream(table, &description)?;
        Ok(SourceStream {
            table: table.to_owned(),
            id: arn.id(),
            table_created_at: description.creation_date_time().and_then(timestamp),
            stream_created_at: self.stream_created_at(&arn).await?,
            key_attributes: description.key_schema().iter().map(|key| key.attribute_name().to_owned()).collect(),
            arn,
        })
    }

    /// The stream a table has now, with the same demands on it.
    pub(crate) async fn current_stream(&self, table: &str) -> Result<StreamArn, Error> {
        readable_stream(table, &self.describe_table(table).await?)
    }

    async fn describe_table(&self, table: &str) -> Result<TableDescription, Error> {
        let answer = match self.dynamodb.describe_table().table_name(table).send().await {
            Err(error) if error.code() == Some("ResourceNotFoundException") => {
                return Err(Error::TableMissing { table: table.to_owned() });
            }
            answer => answer.map_err(|error| Error::of("DescribeTable", error))?,
        };
        let incomplete = || Error::Incomplete { operation: "DescribeTable", what: "a description" };
        answer.table.ok_or_else(incomplete)
    }

    async fn stream_created_at(&self, arn: &StreamArn) -> Result<Option<Timestamp>, Error> {
        let request = self.streams.describe_stream().stream_arn(arn.as_str()).limit(1);
        // Nothing paces this call, so unlike all others on the stream it is retried: one refusal must not end a start.
        let patient =
            aws_sdk_dynamodbstreams::Config::builder().retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX));
        let answer =
            request.customize().config_override(patient).send().await.map_err(|error| Error::of("DescribeStream", error))?;
        Ok(answer.stream_description().and_then(|stream| stream.creation_request_date_time()).and_then(timestamp))
    }
}

fn readable_stream(table: &str, description: &TableDescription) -> Result<StreamArn, Error> {
    let off = || Error::StreamOff { table: table.to_owned() };
    // A disabled stream keeps its ARN for a day, so only the specification tells that it is on.
    let stream = description.stream_specification().filter(|stream| stream.stream_enabled()).ok_or_else(off)?;
    match stream.stream_view_type() {
        Some(StreamViewType::NewAndOldImages) => {}
        other => {
            let view_type = other.map_or("none", StreamViewType::as_str).to_owned();
            return Err(Error::WrongViewType { table: table.to_owned(), view_type });
        }
    }
    Ok(StreamArn::new(description.latest_stream_arn().ok_or_else(off)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + hour * 3600).unwrap()
    }

    #[test]
    fn history_is_complete_only_from_the_tables_birth() {
        let complete = |stream, table, now, start| history_is_complete(stream, table, now, start);
        assert!(complete(Some(at(0)), Some(at(0)), at(23), Start::TrimHorizon));
        assert!(complete(Some(at(0) + SAME_MOMENT), Some(at(0)), at(1), Start::TrimHorizon));
        assert!(complete(None, None, at(0), Start::TrimHorizon), "an emulator that gives no times");
        assert!(!complete(Some(at(1)), Some(at(0)), at(2), Start::TrimHorizon), "items were written before the stream was on");
        assert!(!complete(Some(at(0)), Some(at(0)), at(24), Start::TrimHorizon), "the oldest records may be trimmed");
        assert!(!complete(None, Some(at(0)), at(24), Start::TrimHorizon));
        assert!(!complete(Some(at(0)), None, at(24), Start::TrimHorizon));
        assert!(!complete(Some(at(0)), Some(at(0)), at(1), Start::Now));
        assert!(!complete(Some(at(0)), Some(at(0)), at(1), Start::At(at(0))));
    }

    #[test]
    fn a_start_is_resolved_to_a_position_once() {
        assert_eq!(Start::TrimHorizon.position(at(1)), Position::TrimHorizon);
        assert_eq!(Start::Now.position(at(1)), Position::At(at(1).as_millisecond()));
        assert_eq!(Start::At(at(0)).position(at(1)), Position::At(at(0).as_millisecond()));
    }
}
