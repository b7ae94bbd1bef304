//! Finding a stream's shards: a listing is made page by page, one page a tick at most, by the first of the stream's readers;
//! what is missing is stored, and what is no longer listed is noted.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::absence::Absences;
use super::findings::{Findings, WRITES_MAX};
use super::membership::Membership;
use super::{Source, Worker};
use crate::client::Streams;
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
/// A page that was refused is asked for again after this long, and so is a first listing that named no shard.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// A listing that has not gone on for this long starts over: what it has read is too old by then.
const PATIENCE: Duration = Duration::from_secs(300);

/// A listing under way, or waiting for its time.
#[derive(Debug)]
pub(super) struct Listing {
    stage: Stage,
    /// None before this worker has seen who else there is.
    page_due: Option<Instant>,
    /// The shards of the pages read so far.
    shards: Vec<ListedShard>,
    /// It was known when the first page was asked for that the stream was replaced.
    is_last: bool,
    went_on_at: Instant,
    absences: Absences,
    /// When the stream was last listed completely by anyone, as stored; and when this worker saw that.
    listed_at: Option<Timestamp>,
    seen_at: Instant,
}

/// How far a listing is.
#[derive(Debug)]
enum Stage {
    /// The next page starts behind this shard, the first at none.
    Reading(Option<ShardId>),
    /// Every page was read.
    Read,
    Storing(Findings),
}

impl Listing {
    pub(super) fn new(listed_at: Option<Timestamp>, mono: Instant) -> Self {
        Self {
            stage: Stage::Reading(None),
            page_due: None,
            shards: Vec::new(),
            is_last: false,
            went_on_at: mono,
            absences: Absences::default(),
            listed_at,
            seen_at: mono,
        }
    }

    /// Takes in when the stream was last listed, as stored.
    pub(super) fn observe(&mut self, listed_at: Option<Timestamp>, mono: Instant) {
        if self.listed_at != listed_at {
            (self.listed_at, self.seen_at) = (listed_at, mono);
        }
    }

    /// Whether every shard of a first listing is stored, as far as this worker has seen.
    pub(super) fn was_made(&self) -> bool {
        self.listed_at.is_some()
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

    /// Whether the reader of this rank lists: the first one, or one that misses the listings of those before it.
    fn is_turn_of(&self, rank: usize, mono: Instant) -> bool {
        let intervals = MISSED_INTERVALS.saturating_add(u32::try_from(rank).unwrap_or(u32::MAX)).saturating_sub(1);
        rank == 0 || mono.saturating_duration_since(self.seen_at) >= INTERVAL_MAX.saturating_mul(intervals)
    }

    fn is_due(&self, rank: usize, mono: Instant) -> bool {
        self.page_due.is_some_and(|due| mono >= due) && self.is_turn_of(rank, mono)
    }

    fn add(&mut self, page: ListingPage, mono: Instant) {
        self.shards.extend(page.shards);
        self.stage = match page.next {
            None => Stage::Read,
            next => Stage::Reading(next),
        };
        self.page_due = Some(mono + PAGE_INTERVAL);
    }

    /// The next listing will be another one.
    fn restart(&mut self) {
        self.stage = Stage::Reading(None);
        self.shards.clear();
    }

    /// What comes next was refused. Pages already read are not read again for that: of some hundred, one is refused now and
    /// then.
    fn put_off(&mut self, error: &Error, mono: Instant) {
        if !error.is_retryable() || mono.saturating_duration_since(self.went_on_at) >= PATIENCE {
            self.restart();
        }
        self.page_due = Some(mono + RETRY_INTERVAL);
    }
}

impl Worker {
    /// Goes on with each listing that is due: reads a page, or stores some of what a complete one says.
    pub(super) async fn discover(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        let (mut outcome, mut writes_left) = (Ok(()), WRITES_MAX);
        let replaced: BTreeSet<_> = self.sources.iter().filter_map(|source| source.follows.clone()).collect();
        for source in &mut self.sources {
            let stream = source.graph.stream();
            source.listing.join(self.membership.readers(stream, mono).len() <= 1, mono);
            if !source.listing.is_turn_of(self.membership.rank(stream, mono), mono) {
                // Another lists by now, and half a listing is worth nothing when that one stops.
                source.listing.restart();
            }
            if !source.is_page_due(&self.membership, mono) {
                continue;
            }
            let is_replaced = replaced.contains(source.graph.stream());
            match source.list(&self.streams, is_replaced, (now, &mut writes_left), mono).await {
                Ok(has_changed) => {
                    source.listing.went_on_at = mono;
                    if has_changed {
                        self.looks.force();
                        self.membership.changed();
                    }
                }
                Err(error) => {
                    source.listing.put_off(&error, mono);
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

    /// Reads one page, and stores some of what the last one completes. Says whether a listing is stored by that, and has
    /// changed what is stored of shards.
    async fn list(
        &mut self,
        streams: &Streams,
        is_replaced: bool,
        (now, writes_left): (Timestamp, &mut usize),
        mono: Instant,
    ) -> Result<bool, Error> {
        if let Stage::Reading(after) = &self.listing.stage {
            let is_first = after.is_none();
            let page = match streams.list_page(&self.arn, None, after.as_ref()).await {
                // A stream that was replaced is forgotten after a day; then it has no shards any more.
                Err(Error::StreamGone { .. }) if is_replaced => ListingPage { shards: Vec::new(), next: None },
                page => page?,
            };
            if is_first {
                self.listing.is_last = is_replaced;
            }
            self.listing.add(page, mono);
        }
        if let Stage::Read = self.listing.stage {
            self.listing.stage = self.compare(streams, mono).await?;
        }
        let Stage::Storing(findings) = &mut self.listing.stage else { return Ok(false) };
        self.listing.page_due = Some(mono);
        if !findings.write(streams, self.graph.stream(), &mut self.gaps, (now, writes_left)).await? {
            return Ok(false);
        }
        let (has_changed, is_last) = (findings.are_some, self.listing.is_last);
        streams.mark_listed(self.graph.stream(), is_last, now).await?;
        self.listing.observe(Some(now), mono);
        self.listing.restart();
        self.listing.page_due = Some(mono + INTERVAL);
        let is_closing = is_last && !self.is_closed;
        self.is_closed |= is_last;
        Ok(has_changed || is_closing)
    }

    /// Compares a complete listing with what is stored: what is missing there, and which of the stored shards it lacks.
    async fn compare(&mut self, streams: &Streams, mono: Instant) -> Result<Stage, Error> {
        let stream = self.graph.stream().clone();
        let boot_done = streams.stored_stream(&stream).await?.is_some_and(|stored| stored.boot_done);
        self.graph.replace(streams.shards(&stream).await?);
        let listed = std::mem::take(&mut self.listing.shards);
        if listed.is_empty() && !boot_done && !self.listing.is_last {
            // Every stream has a shard. One that is only being switched on lists none, and has yet to be listed.
            self.listing.page_due = Some(mono + RETRY_INTERVAL);
            return Ok(Stage::Reading(None));
        }
        let births = self.graph.missing(&listed, &self.start, boot_done, self.follows.is_some());
        let listed = listed.iter().map(|listed| &listed.shard).collect();
        self.listing.absences.update(self.graph.ids(), &listed, mono);
        let notes = self.graph.notes(&listed, |shard| self.listing.absences.is_gone(shard, mono));
        Ok(Stage::Storing(Findings::new(&self.graph, births, notes)))
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
