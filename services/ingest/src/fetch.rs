//! Reading a shard ahead of what is committed, within the worker's byte budget.

use std::sync::Arc;
use std::time::Duration;

use tidemark_runtime::clock;
use tidemark_runtime::process::chain;
use tidemark_streams::{GapReason, Page, ReadError, ShardReader};
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::pause::Pause;

mod weight;

/// Bytes of records that one worker holds in memory, all shards together.
const BUDGET_BYTES: usize = 256 * 1024 * 1024;
/// What a page is taken to hold before it is known, unless the one before it held more: the most that GetRecords gives (1 MB), as
/// records of a few dozen attributes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// The most that a page is taken to hold, so that there is always room for one. A page of nothing but flags comes near.
const PAGE_BYTES_MAX: usize = BUDGET_BYTES / 2;
/// How often a record is there, about: as it rests, and for moments as the SDK's, or in the copies that folding makes.
const COPIES: usize = 2;
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
    /// Records behind the position are gone from the stream, or may be.
    Lost(GapReason),
    /// The stream does not know the shard.
    Vanished,
    /// Nothing this time; reading goes on.
    Refused,
}

/// A page, and the memory it holds.
#[derive(Debug)]
pub(crate) struct FetchedPage {
    pub(crate) page: Page,
    pub(crate) memory: OwnedSemaphorePermit,
}

/// Reads until the shard ends, its records are gone, or nobody takes pages any more.
pub(crate) async fn fetch(mut reader: ShardReader, pages: Sender<Fetched>, budget: Budget, pause: Pause) {
    let mut expected = units(PAGE_BYTES);
    loop {
        pause.over().await;
        let Some(wait) = step(&mut reader, &pages, &budget, &mut expected).await else { return };
        tokio::select! {
            biased;
            () = pages.closed() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Reads one page and passes it on; says how long to wait before the next, or that there is none. A page is expected to hold so many
/// units, as the one before it.
async fn step(reader: &mut ShardReader, pages: &Sender<Fetched>, budget: &Budget, expected: &mut u32) -> Option<Duration> {
    let mut memory = budget.reserve(*expected).await;
    let fetched = match reader.next(clock::now).await {
        Ok(page) => {
            let held = units(COPIES * page.records.iter().map(weight::of_record).sum::<usize>());
            budget.correct(&mut memory, held);
            *expected = held.max(units(PAGE_BYTES));
            Fetched::Page(FetchedPage { page, memory })
        }
        Err(ReadError::Trimmed) => Fetched::Lost(GapReason::Trimmed),
        Err(ReadError::Aged) => Fetched::Lost(GapReason::Aged),
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
        Fetched::Lost(_) | Fetched::Vanished => true,
        Fetched::Refused => false,
    };
    let taken = pages.send(fetched).await.is_ok();
    (taken && !is_last).then(|| reader.pause())
}

impl Budget {
    async fn reserve(&self, units: u32) -> OwnedSemaphorePermit {
        self.0.clone().acquire_many_owned(units).await.expect("the semaphore is never closed")
    }

    /// Has a page hold what it turned out to hold. More than was reserved is taken if it is there, and not waited for: whoever
    /// could give it back may be waiting, too. So a shard whose items change all at once is counted short by one page.
    fn correct(&self, memory: &mut OwnedSemaphorePermit, units: u32) {
        let reserved = memory.num_permits();
        let held = usize::try_from(units).expect("a count of units fits");
        if let Some(missing) = units.checked_sub(u32::try_from(reserved).unwrap_or(u32::MAX)) {
            if let Ok(more) = self.0.clone().try_acquire_many_owned(missing) {
                memory.merge(more);
            }
        } else {
            drop(memory.split(reserved - held));
        }
    }
}

/// Units of the budget for a page of so many bytes.
fn units(bytes: usize) -> u32 {
    let units = bytes.min(PAGE_BYTES_MAX).div_ceil(UNIT_BYTES).max(1);
    u32::try_from(units).expect("the budget is far below 2^32 units")
}
