//! Joining: what is decided once about a stream, at its first start, and which streams are read besides.

use jiff::Timestamp;
use tokio::time::Instant;

use super::Source;
use crate::client::Streams;
use crate::control::stream::StreamItem;
use crate::control::watermark::FUTURE;
use crate::error::Error;
use crate::position::Position;
use crate::source::{SourceStream, Start, history_is_complete};

/// The streams to be read: those of `sources`, and those that their tables had before.
pub(super) async fn register(
    streams: &Streams,
    sources: Vec<SourceStream>,
    start: Start,
    now: Timestamp,
    mono: Instant,
) -> Result<Vec<Source>, Error> {
    let mut known = streams.stored_streams().await?;
    known.sort_by_key(|item| item.started_at);
    let mut registered = Vec::with_capacity(sources.len());
    for source in sources {
        let before = known.iter().rfind(|item| item.table == source.table && item.id != source.id);
        let mut next = Some(streams.register_stream(first_start(source, start, before, now)).await?);
        while let Some(item) = next.take() {
            next = item.follows.as_ref().and_then(|before| known.iter().find(|item| item.id == *before)).cloned();
            let published = streams.stored_watermark(&item.id).await?;
            // One that lies in the future was never true.
            let published = published.filter(|published| published.watermark <= now + FUTURE);
            registered.push(Source::new(item, published, mono));
        }
    }
    Ok(registered)
}

fn first_start(source: SourceStream, start: Start, before: Option<&StreamItem>, now: Timestamp) -> StreamItem {
    let is_whole = || history_is_complete(source.stream_created_at, source.table_created_at, now, start);
    StreamItem {
        history: before.map_or_else(is_whole, |before| before.history),
        id: source.id,
        arn: source.arn,
        table: source.table,
        started_at: now,
        // A stream that follows another is read from its beginning, wherever the first one began.
        start: before.map_or_else(|| start.position(now), |_| Position::TrimHorizon),
        boot_done: false,
        exact: true,
        listed_at: None,
        follows: before.map(|before| before.id.clone()),
        closed: false,
    }
}
