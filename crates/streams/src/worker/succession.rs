//! A table whose stream was switched off and on again has a new stream. The old one is read to its end first; what was
//! changed in between is in neither, so that the new one begins with a gap.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Source, Worker};
use crate::control::stream::StreamItem;
use crate::error::Error;
use crate::id::StreamId;
use crate::position::Position;

/// How often the stored streams are read: another worker may have found a new one, or listed.
pub(super) const STREAMS_INTERVAL: Duration = Duration::from_secs(30);
/// How often a table is looked at for a new stream…
const TABLES_INTERVAL: Duration = Duration::from_secs(60);
/// …and while its stream has come to an end without a next shard, as one does that was switched off.
const ENDED_INTERVAL: Duration = Duration::from_secs(5);

impl Worker {
    /// Looks for new streams of the tables that are read.
    pub(super) async fn find_successors(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        if mono >= self.looks.streams_due {
            self.looks.streams_due = mono + STREAMS_INTERVAL;
            let stored = self.streams.stored_streams().await?;
            for source in &mut self.sources {
                if let Some(item) = stored.iter().find(|item| item.id == *source.graph.stream()) {
                    source.listing.observe(item.listed_at, mono);
                    source.is_closed |= item.closed;
                }
            }
            self.follow(stored, mono);
        }
        let has_ended = self.current().any(|source| source.graph.has_loose_end());
        let interval = if has_ended { ENDED_INTERVAL } else { TABLES_INTERVAL };
        if mono.saturating_duration_since(self.looks.tables_at) < interval {
            return Ok(());
        }
        self.looks.tables_at = mono;
        let first = |source: &&Source| self.membership.rank(source.graph.stream(), mono) == 0;
        let streams: Vec<StreamId> = self.current().filter(first).map(|source| source.graph.stream().clone()).collect();
        let mut outcome = Ok(());
        for stream in streams {
            // A table that cannot be read any more does not keep the others from being looked at.
            outcome = outcome.and(self.look_at_table(&stream, now, mono).await);
        }
        outcome
    }

    async fn look_at_table(&mut self, stream: &StreamId, now: Timestamp, mono: Instant) -> Result<(), Error> {
        let arn = self.streams.current_stream(stream.table()).await?;
        let Some(source) = self.source(stream).filter(|source| source.arn != arn) else { return Ok(()) };
        let item = StreamItem {
            id: arn.id(),
            arn,
            table: stream.table().to_owned(),
            started_at: now,
            // Its first changes are older than the look that found it.
            start: Position::TrimHorizon,
            boot_done: false,
            exact: true,
            history: source.has_history,
            listed_at: None,
            follows: Some(stream.clone()),
            closed: false,
        };
        tracing::error!(%stream, new = %item.id, "the table has a new stream: what was changed before it is lost");
        let stored = self.streams.register_stream(item).await?;
        self.follow(vec![stored], mono);
        self.membership.changed();
        Ok(())
    }

    /// The streams that tables have now, as far as known.
    fn current(&self) -> impl Iterator<Item = &Source> {
        let replaced: BTreeSet<StreamId> = self.sources.iter().filter_map(|source| source.follows.clone()).collect();
        self.sources.iter().filter(move |source| !replaced.contains(source.graph.stream()))
    }

    /// Reads the streams among `stored` that follow one that is read, too.
    fn follow(&mut self, mut stored: Vec<StreamItem>, mono: Instant) {
        stored.sort_by_key(|item| item.started_at);
        for item in stored {
            let is_read = |stream: &StreamId| self.sources.iter().any(|source| source.graph.stream() == stream);
            if item.follows.as_ref().is_some_and(is_read) && !is_read(&item.id) {
                self.sources.push(Source::new(item, None, mono));
                self.looks.force();
            }
        }
    }

    /// Lets the first shards of a stream start once the stream before it is closed and all of it is done or lost; and stops
    /// looking at a stream that was replaced once even its shards' items have served.
    pub(super) fn settle_succession(&mut self) {
        let is_over = |source: &Source| source.is_closed && source.graph.all_finished();
        let unfinished: BTreeSet<StreamId> =
            self.sources.iter().filter(|source| !is_over(source)).map(|source| source.graph.stream().clone()).collect();
        let replaced: BTreeSet<StreamId> = self.sources.iter().filter_map(|source| source.follows.clone()).collect();
        for source in &mut self.sources {
            source.graph.hold_roots(source.follows.as_ref().is_some_and(|before| unfinished.contains(before)));
        }
        self.sources.retain(|source| !(replaced.contains(source.graph.stream()) && is_over(source) && source.graph.all_served()));
    }
}
