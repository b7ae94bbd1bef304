//! What the workers know about a source's streams, as the API shows it.

use tidemark_domain::definition::Source;
use tidemark_streams::{StreamStatus, StreamWatermark, Streams};

use crate::freshness::Reading;
use crate::problem::ApiError;

/// How far a source is included. To be read *before* the rows it speaks of: then every change up to the watermark is in them.
///
/// # Errors
/// When the control table cannot be read.
pub(crate) async fn reading(streams: &Streams, source: &Source) -> Result<Reading, ApiError> {
    Ok(reading_of(streams.table_watermark(&source.table).await.map_err(of_streams)?))
}

/// Everything about a source's streams; `None` before a worker ran.
///
/// # Errors
/// When the control table cannot be read.
pub(crate) async fn status(streams: &Streams, source: &Source) -> Result<Option<StreamStatus>, ApiError> {
    streams.table_status(&source.table).await.map_err(of_streams)
}

/// Before a worker ran nothing is known to be lost, and nothing to be included: there is no watermark.
pub(crate) fn reading_of(known: Option<StreamWatermark>) -> Reading {
    Reading {
        watermark: known.and_then(|known| known.watermark),
        published_at: known.and_then(|known| known.published_at),
        delay: known.and_then(|known| known.delay).unwrap_or_default(),
        skew: known.map(|known| known.skew).unwrap_or_default(),
        is_future: false,
        gapless: known.is_none_or(|known| known.exact),
        history_complete: known.is_none_or(|known| known.history_complete),
    }
}

fn of_streams(error: tidemark_streams::Error) -> ApiError {
    let remedy = error.remedy();
    ApiError::of_dependency(error, remedy)
}
