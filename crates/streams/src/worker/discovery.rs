//! Finding a stream's shards: a listing is made page by page, one page a tick at most, by the first of the stream's readers;
//! what is missing is stored, and what is no longer listed is noted.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::absence::Absences;
use super::membership::Membership;
use super::{Source, Worker};
use crate::client::Streams;
use crate::control::GapReason;
use crate::error::Error;
use crate::id::ShardId;
use crate::listing::{ListedShard, ListingPage};

/// A listing starts this long after the one before was complete.
const INTERVAL: Duration = Duration::from_secs(30);
/// A listing is made this often at least, unless the stream has some hundred pages.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// When nobody's listing is seen for so many intervals, the second reader lists too; the third after one more, and so on.
const MISSED_INTERVALS: u32 = 3;
/// DescribeStream allows ten calls a second; other consumers and the look for children need some.
const PAGE_INTERVAL: Duration = Duration::from_millis(500);
/// A worker that joins others leaves the first listing of a stream to one of them for this long.
const JOINING: Duration = Duration::from_secs(1);
/// A listing that failed is made again after this long.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Finished shards' items stay this long after nothing needs them: a listing can name a finished shard again, and one that
/// was stored anew would be counted twice.
const KEPT: SignedDuration = SignedDuration::from_hours(72);
/// Most notes one listing writes.
const NOTES_MAX: usize = 100;

/// A listing under way, or waiting for its time.
#[derive(Debug)]
pub(super) struct Listing {
    /// None before this worker has seen who else there is.
    page_due: Option<Instant>,
    after: Option<ShardId>,
    shards: Vec<ListedShard>,
    absences: Absences,
    /// When the stream was last listed completely by anyone, as stored; and when this worker saw that.
    listed_at: Option<Timestamp>,
    seen_at: Instant,
}

impl Listing {
    pub(super) fn new(listed_at: Option<Timestamp>, mono: Instant) -> Self {
        Self { page_due: None, after: None, shards: Vec::new(), absences: Absences::default(), listed_at, seen_at: mono }
    }

    /// Takes in when the stream was last listed, as stored.
    pub(super) fn observe(&mut self, listed_at: Option<Timestamp>, mono: Instant) {
        if self.listed_at != listed_at {
            (self.listed_at, self.seen_at) = (listed_at, mono);
        }
    }

    /// Sets the time of the first page, once it is known whether others are there.
    fn join(&mut self, is_alone: bool, mono: Instant) {
        let wait = match self.listed_at {
            _ if is_alone => Duration::ZERO,
            None => JOINING,
            Some(_) => INTERVAL,
        };
        self.page_due.get_or_insert(mono + wait);
    }

    fn is_due(&self, rank: usize, mono: Instant) -> bool {
        let intervals = MISSED_INTERVALS.saturating_add(u32::try_from(rank).unwrap_or(u32::MAX)).saturating_sub(1);
        let is_missed = || mono.saturating_duration_since(self.seen_at) >= INTERVAL_MAX.saturating_mul(intervals);
        self.page_due.is_some_and(|due| mono >= due) && (rank == 0 || is_missed())
    }

    /// The complete listing, when this page was its last.
    fn add(&mut self, page: Vec<ListedShard>, next: Option<ShardId>, mono: Instant) -> Option<Vec<ListedShard>> {
        self.shards.extend(page);
        self.page_due = Some(mono + if next.is_some() { PAGE_INTERVAL } else { INTERVAL });
        self.after = next;
        self.after.is_none().then(|| std::mem::take(&mut self.shards))
    }

    /// A half-read listing is worth nothing: shards may have come and gone meanwhile.
    fn restart(&mut self) {
        self.after = None;
        self.shards.clear();
    }
}

impl Worker {
    /// Reads a page of each listing that is due, and stores what a complete one says.
    pub(super) async fn discover(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        let mut outcome = Ok(());
        let replaced: BTreeSet<_> = self.sources.iter().filter_map(|source| source.follows.clone()).collect();
        for source in &mut self.sources {
            let readers = self.membership.readers(source.graph.stream(), mono);
            source.listing.join(readers.len() <= 1, mono);
            if !source.is_page_due(&self.membership, mono) {
                // Another lists by now.
                if self.membership.rank(source.graph.stream(), mono) > 0 {
                    source.listing.restart();
                }
                continue;
            }
            let is_replaced = replaced.contains(source.graph.stream());
            match source.list(&self.streams, is_replaced, now, mono).await {
                Ok(true) => {
                    self.looks.force();
                    self.membership.changed();
                }
                Ok(false) => {}
                Err(error) => {
                    source.listing.restart();
                    source.listing.page_due = Some(mono + RETRY_INTERVAL);
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }
}

impl Source {
    /// Whether it is this worker's turn to list, and time for the next page.
    pub(super) fn is_page_due(&self, membership: &Membership, mono: Instant) -> bool {
        self.listing.is_due(membership.rank(self.graph.stream(), mono), mono)
    }

    /// Reads one page. Says whether stored shards were changed by it.
    async fn list(&mut self, streams: &Streams, is_replaced: bool, now: Timestamp, mono: Instant) -> Result<bool, Error> {
        let page = match streams.list_page(&self.arn, None, self.listing.after.as_ref()).await {
            // A stream that was replaced is forgotten after a day; then it has no shards any more.
            Err(Error::StreamGone { .. }) if is_replaced => ListingPage { shards: Vec::new(), next: None },
            page => page?,
        };
        let Some(listed) = self.listing.add(page.shards, page.next, mono) else { return Ok(false) };
        let has_changed = self.store(streams, &listed, now, mono).await?;
        streams.mark_listed(self.graph.stream(), is_replaced, now).await?;
        self.listing.observe(Some(now), mono);
        let is_closing = is_replaced && !self.is_closed;
        self.is_closed |= is_replaced;
        Ok(has_changed || is_closing)
    }

    /// Stores the shards of a complete listing that are not stored yet, and notes which of the stored ones it lacks.
    async fn store(&mut self, streams: &Streams, listed: &[ListedShard], now: Timestamp, mono: Instant) -> Result<bool, Error> {
        let stream = self.graph.stream().clone();
        let stored = streams.stored_stream(&stream).await?;
        let boot_done = stored.is_some_and(|stored| stored.boot_done);
        self.graph.replace(streams.shards(&stream).await?);
        let missing = self.graph.missing(listed, &self.start, boot_done, self.follows.is_some());
        let mut has_changed = !missing.is_empty();
        for shard in missing {
            tracing::info!(%stream, shard = %shard.shard, parent = shard.parent.as_ref().map(ShardId::as_str), "shard found");
            if shard.gap {
                let reason = if boot_done { GapReason::Lineage } else { GapReason::Replaced };
                tracing::error!(%stream, shard = %shard.shard, reason = reason.as_str(), "history before it is lost: a gap is recorded");
                if streams.create_with_gap(&stream, shard, reason, now).await? {
                    self.gaps.push(reason);
                }
            } else {
                let (child, parent) = (shard.shard.clone(), shard.parent.clone());
                streams.put_new(shard.into_item(&stream)).await?;
                if let Some(parent) = parent {
                    streams.link(&stream, &parent, &[child]).await?;
                }
            }
        }
        let listed = listed.iter().map(|listed| &listed.shard).collect();
        self.listing.absences.update(self.graph.ids(), &listed, mono);
        let notes = self.graph.notes(&listed, |shard| self.listing.absences.is_gone(shard, mono));
        has_changed |= !notes.is_empty();
        for (shard, note) in notes.into_iter().take(NOTES_MAX) {
            streams.note(&stream, &shard, note, (now + KEPT).as_second()).await?;
        }
        Ok(has_changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn one_reader_lists_and_the_next_only_when_it_seems_to_have_stopped() {
        let start = Instant::now();
        let mut listing = Listing::new(Some(at(0)), start);
        listing.join(false, start);
        let second = |second| start + Duration::from_secs(second);
        assert!(!listing.is_due(0, second(29)) && listing.is_due(0, second(30)), "another lists meanwhile");
        assert!(!listing.is_due(1, second(179)) && listing.is_due(1, second(180)));
        assert!(!listing.is_due(2, second(180)) && listing.is_due(2, second(240)), "not all at once");
        listing.observe(Some(at(0)), second(100));
        assert!(listing.is_due(1, second(180)), "the same listing again is none");
        listing.observe(Some(at(60)), second(100));
        assert!(!listing.is_due(1, second(180)) && listing.is_due(1, second(280)));
    }

    #[test]
    fn a_worker_on_its_own_lists_at_once() {
        let start = Instant::now();
        let mut listing = Listing::new(Some(at(0)), start);
        listing.join(true, start);
        assert!(listing.is_due(0, start));
        let mut unlisted = Listing::new(None, start);
        unlisted.join(false, start);
        assert!(!unlisted.is_due(0, start) && unlisted.is_due(0, start + JOINING));
    }
}
