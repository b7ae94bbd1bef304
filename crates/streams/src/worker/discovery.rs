//! Finding a stream's shards: a listing is made page by page, one page a tick at most, and what is missing is stored.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Source, Worker};
use crate::client::Streams;
use crate::error::Error;
use crate::id::ShardId;
use crate::listing::ListedShard;

/// A listing starts this long after the one before was complete.
const INTERVAL: Duration = Duration::from_secs(30);
/// DescribeStream allows ten calls a second; other consumers and the look for children need some.
const PAGE_INTERVAL: Duration = Duration::from_millis(500);

/// A listing that failed is made again after this long.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// A listing under way, or waiting for its time.
#[derive(Debug)]
pub(super) struct Listing {
    page_due: Instant,
    after: Option<ShardId>,
    shards: Vec<ListedShard>,
    /// Every worker lists once, whoever's turn it is.
    is_first: bool,
}

impl Listing {
    pub(super) fn due_at(mono: Instant) -> Self {
        Self { page_due: mono, after: None, shards: Vec::new(), is_first: true }
    }

    /// The complete listing, when this page was its last.
    fn add(&mut self, page: Vec<ListedShard>, next: Option<ShardId>, mono: Instant) -> Option<Vec<ListedShard>> {
        self.shards.extend(page);
        self.page_due = mono + if next.is_some() { PAGE_INTERVAL } else { INTERVAL };
        self.after = next;
        self.after.is_none().then(|| std::mem::take(&mut self.shards))
    }

    /// A half-read listing is worth nothing: shards may have come and gone meanwhile.
    fn restart(&mut self, mono: Instant) {
        *self = Self { page_due: mono + RETRY_INTERVAL, is_first: self.is_first, ..Self::due_at(mono) };
    }
}

impl Worker {
    /// Reads a page of each listing that is due, and stores what a complete one names anew.
    pub(super) async fn discover(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        let is_our_turn = self.membership.is_first(mono);
        let mut outcome = Ok(());
        for source in &mut self.sources {
            if mono < source.listing.page_due || !(is_our_turn || source.listing.is_first) {
                continue;
            }
            match source.list(&self.streams, now, mono).await {
                Ok(true) => self.refresh_due = None,
                Ok(false) => {}
                Err(error) => {
                    source.listing.restart(mono);
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }
}

impl Source {
    /// Reads one page. Says whether it completed a listing.
    async fn list(&mut self, streams: &Streams, now: Timestamp, mono: Instant) -> Result<bool, Error> {
        let page = streams.list_page(&self.arn, None, self.listing.after.as_ref()).await?;
        let Some(listed) = self.listing.add(page.shards, page.next, mono) else { return Ok(false) };
        self.store(streams, &listed, now).await?;
        self.listing.is_first = false;
        Ok(true)
    }

    /// Stores the shards of a complete listing that are not stored yet.
    async fn store(&mut self, streams: &Streams, listed: &[ListedShard], now: Timestamp) -> Result<(), Error> {
        let stream = self.graph.stream().clone();
        let stored = streams.stored_stream(&stream).await?;
        let boot_done = stored.is_some_and(|stored| stored.boot_done);
        self.graph.replace(streams.shards(&stream).await?);
        for shard in self.graph.missing(listed, &self.start, boot_done) {
            tracing::info!(%stream, shard = %shard.shard, parent = shard.parent.as_ref().map(ShardId::as_str), "shard found");
            if shard.gap {
                tracing::warn!(%stream, shard = %shard.shard, "its parent is unknown: history before it is lost");
                streams.create_orphan(&stream, shard, now).await?;
            } else {
                let (child, parent) = (shard.shard.clone(), shard.parent.clone());
                streams.put_new(shard.into_item(&stream)).await?;
                if let Some(parent) = parent {
                    streams.link(&stream, &parent, &[child]).await?;
                }
            }
        }
        streams.mark_listed(&stream, now).await
    }
}
