//! The watermark item: up to when a stream is included. It is apart from the stream's item because the API reads it
//! with every query, and it changes every second.

use jiff::{SignedDuration, Timestamp};

use super::attribute::{Item, Malformed, instant_ms, number_value, span_ms};
use super::key::Key;
use crate::advance::refused;
use crate::client::Streams;
use crate::error::Error;
use crate::id::StreamId;

const WATERMARK_MS: &str = "watermark_ms";
const PUBLISHED_MS: &str = "published_ms";
const DELAY_MS: &str = "delay_ms";
const LEARNT_MS: &str = "learnt_ms";
const SKEW_MS: &str = "skew_ms";

const SET: &str = "SET #watermark_ms = :watermark, #published_ms = :now, #delay_ms = :delay, #skew_ms = :skew";

/// A stored watermark that lies further than this after the present was published by a worker whose clock was ahead, as older versions
/// did. Two workers that read DynamoDB's time differ by a second at most.
pub(crate) const FUTURE: SignedDuration = SignedDuration::from_mins(1);

/// A stream's watermark, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatermarkItem {
    pub(crate) watermark: Timestamp,
    pub(crate) published_at: Timestamp,
    /// How late the stream shows changes. None: a worker of an older version has published.
    pub(crate) delay: Option<SignedDuration>,
    /// The same as far as it was learnt from records: what the next worker begins with.
    pub(crate) learnt: Option<SignedDuration>,
    /// How far the clock of the worker that is most wrong is ahead of DynamoDB's; negative: behind.
    pub(crate) skew: SignedDuration,
}

impl WatermarkItem {
    fn of_item(item: &Item) -> Result<Self, Malformed> {
        let instant = |name| instant_ms(item, name)?.ok_or_else(|| Malformed::new(item, name));
        Ok(Self {
            watermark: instant(WATERMARK_MS)?,
            published_at: instant(PUBLISHED_MS)?,
            delay: span_ms(item, DELAY_MS)?,
            learnt: span_ms(item, LEARNT_MS)?,
            skew: span_ms(item, SKEW_MS)?.unwrap_or_default(),
        })
    }
}

impl Streams {
    pub(crate) async fn stored_watermark(&self, stream: &StreamId) -> Result<Option<WatermarkItem>, Error> {
        let item = self.get(Key::watermark(stream)).await?;
        item.map(|item| WatermarkItem::of_item(&item).map_err(Error::from)).transpose()
    }

    /// Publishes a stream's watermark. A later one already stored stays: it never moves backwards; unless it lies so far
    /// after `published_at` that it was never true.
    pub(crate) async fn publish_watermark(&self, stream: &StreamId, item: WatermarkItem) -> Result<(), Error> {
        let WatermarkItem { watermark, published_at, delay, learnt, skew } = item;
        let ms = |span: SignedDuration| number_value(span.as_millis());
        let request = self
            .dynamodb
            .update_item()
            .table_name(&*self.control_table)
            .set_key(Some(Key::watermark(stream).into_item()))
            .condition_expression("attribute_not_exists(#watermark_ms) OR #watermark_ms < :watermark OR #watermark_ms > :future")
            .expression_attribute_names("#watermark_ms", WATERMARK_MS)
            .expression_attribute_names("#published_ms", PUBLISHED_MS)
            .expression_attribute_names("#delay_ms", DELAY_MS)
            .expression_attribute_names("#skew_ms", SKEW_MS)
            .expression_attribute_values(":watermark", number_value(watermark.as_millisecond()))
            .expression_attribute_values(":now", number_value(published_at.as_millisecond()))
            .expression_attribute_values(":future", number_value((published_at + FUTURE).as_millisecond()))
            .expression_attribute_values(":delay", ms(delay.unwrap_or_default()))
            .expression_attribute_values(":skew", ms(skew));
        let request = match learnt {
            // What was learnt before stays.
            None => request.update_expression(SET),
            Some(learnt) => request
                .update_expression(format!("{SET}, #learnt_ms = :learnt"))
                .expression_attribute_names("#learnt_ms", LEARNT_MS)
                .expression_attribute_values(":learnt", ms(learnt)),
        };
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if refused(&error).is_some() => Ok(()),
            Err(error) => Err(self.failed("UpdateItem", error)),
        }
    }
}
