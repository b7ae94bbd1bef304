//! Reading a shard ahead of what is committed, within the worker's byte budget.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidemark_streams::{Page, ReadError, ShardReader};
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::commit::chain;
use crate::pause::Pause;

/// Bytes of records that one worker holds in memory, all shards together.
const BUDGET_BYTES: usize = 256 * 1024 * 1024;
/// What a page is taken to weigh before it is known: the most that GetRecords gives (1 MB), as records in memory.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How much larger a record is in memory than DynamoDB counts it, about.
const WIRE_TO_MEMORY: usize = 4;
/// The budget is counted in these.
const UNIT_BYTES: usize = 4 * 1024;
/// Pages of one shard that wait for its commit.
pub(crate) const PAGES_AHEAD: usize = 8;
/// Wait after an error that waiting does not mend: somebody has to act, and will read the log.
const STUCK: Duration = Duration::from_secs(5);

/// The memory that read but uncommitted records of all shards may take.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET_BYTES / UNIT_BYTES)))
    }
}

/// What reading brought.
#[derive(Debug)]
pub(crate) enum Fetched {
    Page(FetchedPage),
    /// Records behind the position are gone from the stream.
    Trimmed,
    /// The stream does not know the shard.
    Vanished,
    /// Nothing this time; reading goes on.
    Refused,
}

/// A page, when it was asked for, and the memory it holds.
#[derive(Debug)]
pub(crate) struct FetchedPage {
    pub(crate) page: Page,
    pub(crate) asked_at: Timestamp,
    /// Nothing more was there to be read.
    pub(crate) at_tip: bool,
    pub(crate) memory: OwnedSemaphorePermit,
}

/// Reads until the shard ends, its records are gone, or nobody takes pages any more.
pub(crate) async fn fetch(mut reader: ShardReader, pages: Sender<Fetched>, budget: Budget, pause: Pause) {
    loop {
        pause.over().await;
        let Some(wait) = step(&mut reader, &pages, &budget).await else { return };
        tokio::select! {
            biased;
            () = pages.closed() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Reads one page and passes it on; says how long to wait before the next, or that there is none.
async fn step(reader: &mut ShardReader, pages: &Sender<Fetched>, budget: &Budget) -> Option<Duration> {
    let mut memory = budget.reserve_page().await;
    let asked_at = tidemark_runtime::clock::now();
    let fetched = match reader.next().await {
        Ok(page) => {
            let unused = memory.num_permits().saturating_sub(units(page.bytes * WIRE_TO_MEMORY));
            drop(memory.split(unused));
            Fetched::Page(FetchedPage { page, asked_at, at_tip: !reader.pause().is_zero(), memory })
        }
        Err(ReadError::Trimmed) => Fetched::Trimmed,
        Err(ReadError::Vanished) => Fetched::Vanished,
        Err(error) => {
            let pause = error.retry_after().unwrap_or(STUCK);
            tracing::warn!(error = %chain(&error), pause_ms = pause.as_millis(), "reading a shard failed; trying again");
            // A sign of life, which a full channel shows as well.
            drop(pages.try_send(Fetched::Refused));
            return Some(pause);
        }
    };
    let is_last = match &fetched {
        Fetched::Page(fetched) => fetched.page.closed,
        Fetched::Trimmed | Fetched::Vanished => true,
        Fetched::Refused => false,
    };
    let taken = pages.send(fetched).await.is_ok();
    (taken && !is_last).then(|| reader.pause())
}

impl Budget {
    async fn reserve_page(&self) -> OwnedSemaphorePermit {
        let units = u32::try_from(PAGE_BYTES_MAX / UNIT_BYTES).expect("a page is far below 2^32 units");
        self.0.clone().acquire_many_owned(units).await.expect("the semaphore is never closed")
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES).clamp(1, PAGE_BYTES_MAX / UNIT_BYTES)
}
