//! What the worker knows about a source's streams, as the API shows it.

use futures::future::try_join_all;
use tidemark_domain::definition::Source;
use tidemark_streams::{Gap, StreamWatermark, Streams};

use crate::freshness::Reading;
use crate::problem::ApiError;

/// Streams of one table that are looked at, newest first. A table has a second one only after its stream was switched off and on.
const STREAMS_MAX: usize = 4;

/// How far a source is included. To be read *before* the rows it speaks of: then every change up to the watermark is in them.
///
/// # Errors
/// When the control table cannot be read.
pub(crate) async fn reading(streams: &Streams, source: &Source) -> Result<Reading, ApiError> {
    let known = streams.streams_of(&source.table).await.map_err(of_streams)?;
    let marks = known.iter().take(STREAMS_MAX).map(|stream| streams.watermark(&stream.id));
    let marks: Vec<StreamWatermark> = try_join_all(marks).await.map_err(of_streams)?.into_iter().flatten().collect();
    Ok(Reading {
        // The newest stream is read only after the older ones have ended, so its watermark speaks for all.
        watermark: marks.first().and_then(|mark| mark.watermark),
        published_at: marks.first().and_then(|mark| mark.published_at),
        gapless: marks.iter().all(|mark| mark.exact),
        history_complete: marks.iter().all(|mark| mark.history_complete),
    })
}

/// The parts of a source's streams that were skipped.
///
/// # Errors
/// When the control table cannot be read.
pub(crate) async fn gaps(streams: &Streams, source: &Source) -> Result<Vec<Gap>, ApiError> {
    let known = streams.streams_of(&source.table).await.map_err(of_streams)?;
    let statuses = known.iter().take(STREAMS_MAX).map(|stream| streams.stream_status(&stream.id));
    let statuses = try_join_all(statuses).await.map_err(of_streams)?;
    Ok(statuses.into_iter().flatten().flat_map(|status| status.gaps).collect())
}

fn of_streams(error: tidemark_streams::Error) -> ApiError {
    let is_retryable = error.is_retryable();
    ApiError::of_dependency(error, is_retryable)
}
