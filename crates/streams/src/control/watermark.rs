//! The watermark item: up to when a stream is included. It is apart from the stream's item because the API reads it
//! with every query, and it changes every second.

use jiff::Timestamp;

use super::attribute::{Item, Malformed, instant_ms, number_value};
use super::key::Key;
use crate::advance::refused;
use crate::client::Streams;
use crate::error::Error;
use crate::id::StreamId;

const WATERMARK_MS: &str = "watermark_ms";
const PUBLISHED_MS: &str = "published_ms";

/// A stream's watermark, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatermarkItem {
    pub(crate) watermark: Timestamp,
    pub(crate) published_at: Timestamp,
}

impl WatermarkItem {
    fn of_item(item: &Item) -> Result<Self, Malformed> {
        let instant = |name| instant_ms(item, name)?.ok_or_else(|| Malformed::new(item, name));
        Ok(Self { watermark: instant(WATERMARK_MS)?, published_at: instant(PUBLISHED_MS)? })
    }
}

impl Streams {
    pub(crate) async fn stored_watermark(&self, stream: &StreamId) -> Result<Option<WatermarkItem>, Error> {
        let item = self.get(Key::watermark(stream)).await?;
        item.map(|item| WatermarkItem::of_item(&item).map_err(Error::from)).transpose()
    }

    /// Publishes a stream's watermark. A later one already stored stays: it never moves backwards.
    pub(crate) async fn publish_watermark(&self, stream: &StreamId, watermark: Timestamp, now: Timestamp) -> Result<(), Error> {
        let request = self
            .dynamodb
            .update_item()
            .table_name(&*self.control_table)
            .set_key(Some(Key::watermark(stream).into_item()))
            .update_expression("SET #watermark_ms = :watermark, #published_ms = :now")
            .condition_expression("attribute_not_exists(#watermark_ms) OR #watermark_ms < :watermark")
            .expression_attribute_names("#watermark_ms", WATERMARK_MS)
            .expression_attribute_names("#published_ms", PUBLISHED_MS)
            .expression_attribute_values(":watermark", number_value(watermark.as_millisecond()))
            .expression_attribute_values(":now", number_value(now.as_millisecond()));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if refused(&error).is_some() => Ok(()),
            Err(error) => Err(self.failed("UpdateItem", error)),
        }
    }
}
