//! The stream item: what was decided once about a stream, when it was first read.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::attribute::{Item, Malformed, flag, optional_parsed, parsed, text_value};
use super::key::{self, Key};
use crate::client::Streams;
use crate::error::Error;
use crate::id::{StreamArn, StreamId};
use crate::position::Position;

const ARN: &str = "arn";
const TABLE: &str = "table";
const STARTED_AT: &str = "started_at";
const START: &str = "start";
const BOOT_DONE: &str = "boot_done";
pub(crate) const EXACT: &str = "exact";
const HISTORY: &str = "history";
const LISTED_AT: &str = "listed_at";
const FOLLOWS: &str = "follows";
const CLOSED: &str = "closed";

/// One stream, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamItem {
    pub(crate) id: StreamId,
    pub(crate) arn: StreamArn,
    pub(crate) table: String,
    pub(crate) started_at: Timestamp,
    /// Where the shards that were there at the start begin.
    pub(crate) start: Position,
    /// Every shard of the first complete listing that named any is stored: from now on a shard without a known parent is a gap.
    pub(crate) boot_done: bool,
    /// No gap was recorded.
    pub(crate) exact: bool,
    /// The stream was read from its table's first change.
    pub(crate) history: bool,
    pub(crate) listed_at: Option<Timestamp>,
    /// The stream that the table had before this one.
    pub(crate) follows: Option<StreamId>,
    /// It was replaced by another, and listed completely after that: no shard is to come.
    pub(crate) closed: bool,
}

impl StreamItem {
    pub(crate) fn of_item(item: &Item) -> Result<Self, Malformed> {
        Ok(Self {
            id: parsed(item, key::SORT)?,
            arn: parsed(item, ARN)?,
            table: parsed(item, TABLE)?,
            started_at: parsed(item, STARTED_AT)?,
            start: parsed(item, START)?,
            boot_done: flag(item, BOOT_DONE)?,
            exact: flag(item, EXACT)?,
            history: flag(item, HISTORY)?,
            listed_at: optional_parsed(item, LISTED_AT)?,
            follows: optional_parsed(item, FOLLOWS)?,
            closed: flag(item, CLOSED)?,
        })
    }

    fn into_item(self) -> Item {
        let mut item = Key::stream(&self.id).into_item();
        let mut set = |name: &str, value| item.insert(name.to_owned(), value);
        set(ARN, text_value(self.arn));
        set(TABLE, text_value(self.table));
        set(STARTED_AT, text_value(self.started_at));
        set(START, text_value(self.start));
        set(BOOT_DONE, AttributeValue::Bool(self.boot_done));
        set(EXACT, AttributeValue::Bool(self.exact));
        set(HISTORY, AttributeValue::Bool(self.history));
        if let Some(at) = self.listed_at {
            set(LISTED_AT, text_value(at));
        }
        if let Some(stream) = self.follows {
            set(FOLLOWS, text_value(stream));
        }
        if self.closed {
            set(CLOSED, AttributeValue::Bool(true));
        }
        item
    }
}

impl Streams {
    pub(crate) async fn stored_stream(&self, stream: &StreamId) -> Result<Option<StreamItem>, Error> {
        let item = self.get(Key::stream(stream)).await?;
        item.map(|item| StreamItem::of_item(&item).map_err(Error::from)).transpose()
    }

    pub(crate) async fn stored_streams(&self) -> Result<Vec<StreamItem>, Error> {
        let items = self.query(key::STREAMS.to_owned()).await?;
        items.iter().map(|item| StreamItem::of_item(item).map_err(Error::from)).collect()
    }

    /// Stores what is decided about a stream at its first start, unless that was stored before; gives what is stored.
    pub(crate) async fn register_stream(&self, proposal: StreamItem) -> Result<StreamItem, Error> {
        let id = proposal.id.clone();
        if let Some(stored) = self.stored_stream(&id).await? {
            return Ok(stored);
        }
        if self.put_new(proposal.clone().into_item()).await? {
            return Ok(proposal);
        }
        // Another worker registered it in between.
        let stored = self.stored_stream(&id).await?;
        stored.ok_or(Error::Incomplete { operation: "GetItem", what: "the stream's item, which exists" })
    }

    /// Notes that a complete listing was made and every shard of it is stored; and whether it was the stream's last word,
    /// because the stream was replaced before.
    pub(crate) async fn mark_listed(&self, stream: &StreamId, closed: bool, now: Timestamp) -> Result<(), Error> {
        let request = self
            .dynamodb
            .update_item()
            .table_name(&*self.control_table)
            .set_key(Some(Key::stream(stream).into_item()))
            .condition_expression("attribute_exists(#pk)")
            .expression_attribute_names("#pk", key::PARTITION)
            .expression_attribute_names("#boot_done", BOOT_DONE)
            .expression_attribute_names("#listed_at", LISTED_AT)
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":now", text_value(now));
        // Never taken back: a worker that does not know yet that the stream was replaced may list it after this.
        let request = if closed {
            let request = request.update_expression("SET #boot_done = :true, #listed_at = :now, #closed = :true");
            request.expression_attribute_names("#closed", CLOSED)
        } else {
            request.update_expression("SET #boot_done = :true, #listed_at = :now")
        };
        request.send().await.map_err(|error| self.failed("UpdateItem", error))?;
        Ok(())
    }
}
