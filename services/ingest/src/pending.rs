//! Records of one shard that were read and are not committed yet, with the memory they hold.

use std::collections::VecDeque;

use tidemark_streams::Record;
use tokio::sync::OwnedSemaphorePermit;

use crate::fetch::FetchedPage;

/// Read but uncommitted records, in the shard's order.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    records: VecDeque<Record>,
    /// Of each page that still has records here: how many, and its share of the budget.
    pages: VecDeque<(usize, OwnedSemaphorePermit)>,
    /// Nothing follows these records: the shard is closed.
    pub(crate) closed: bool,
}

impl Pending {
    pub(crate) fn push(&mut self, fetched: FetchedPage) {
        let count = fetched.page.records.len();
        self.closed |= fetched.page.closed;
        self.records.extend(fetched.page.records);
        if count > 0 {
            self.pages.push_back((count, fetched.memory));
        }
    }

    /// Drops the first records: they are committed.
    pub(crate) fn committed(&mut self, mut count: usize) {
        self.records.drain(..count);
        while count > 0
            && let Some((left, _)) = self.pages.front_mut()
        {
            let from_page = count.min(*left);
            *left -= from_page;
            count -= from_page;
            if *left == 0 {
                self.pages.pop_front();
            }
        }
    }

    pub(crate) fn records(&self) -> &VecDeque<Record> {
        &self.records
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }
}
