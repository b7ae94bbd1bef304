//! Pages of rows being read at once: a number for each tenant, and one for the process. Each is 2 MiB at most, whatever their rows add up
//! to, so that these numbers bound the memory of reading as [`Memory`](super::Memory) bounds that of what is kept.
//!
//! Both numbers are queues in the order of arrival. A tenant's reads wait for each other first, so that at most [`TENANT_PAGES_MAX`] of
//! them wait for the process: a thousand reads of one tenant do not delay another tenant's first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tidemark_domain::TenantId;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::locked;

/// Most pages of all tenants that are read at once.
const PAGES_MAX: usize = 16;
/// Most pages of one tenant that are read at once: a quarter of the process's.
pub(crate) const TENANT_PAGES_MAX: usize = PAGES_MAX / 4;

const OPEN: &str = "the semaphores are never closed";

/// The two queues.
#[derive(Debug)]
pub(crate) struct Pages {
    all: Semaphore,
    of: Mutex<HashMap<TenantId, OfTenant>>,
}

/// A tenant's queue. It is forgotten with its last question.
#[derive(Debug)]
struct OfTenant {
    queues: Arc<Queues>,
    questions: usize,
}

#[derive(Debug)]
struct Queues {
    pages: Semaphore,
    /// One large question reads at a time.
    turn: Semaphore,
}

/// Where the reads of one question wait.
#[derive(Debug)]
pub(crate) struct PageQueue {
    pages: Arc<Pages>,
    tenant: TenantId,
    of_tenant: Arc<Queues>,
}

/// The place of one page, to be held until its rows are dropped.
#[derive(Debug)]
pub(crate) struct PagePlace<'a> {
    _of_tenant: SemaphorePermit<'a>,
    _of_process: SemaphorePermit<'a>,
}

impl Pages {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { all: Semaphore::new(PAGES_MAX), of: Mutex::default() })
    }

    /// For one question of a tenant.
    pub(crate) fn queue(self: &Arc<Self>, tenant: &TenantId) -> PageQueue {
        let mut of = locked(&self.of);
        let queues = || Queues { pages: Semaphore::new(TENANT_PAGES_MAX), turn: Semaphore::new(1) };
        let new = || OfTenant { queues: Arc::new(queues()), questions: 0 };
        let of_tenant = of.entry(tenant.clone()).or_insert_with(new);
        of_tenant.questions += 1;
        PageQueue { pages: Arc::clone(self), tenant: tenant.clone(), of_tenant: Arc::clone(&of_tenant.queues) }
    }
}

impl PageQueue {
    /// Waits until no other large question of the tenant is read.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        self.of_tenant.turn.acquire().await.expect(OPEN)
    }

    /// Waits for a place.
    pub(crate) async fn place(&self) -> PagePlace<'_> {
        let of_tenant = self.of_tenant.pages.acquire().await.expect(OPEN);
        PagePlace { _of_tenant: of_tenant, _of_process: self.pages.all.acquire().await.expect(OPEN) }
    }
}

impl Drop for PageQueue {
    fn drop(&mut self) {
        let mut of = locked(&self.pages.of);
        if let Some(of_tenant) = of.get_mut(&self.tenant) {
            of_tenant.questions -= 1;
            if of_tenant.questions == 0 {
                of.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn tenant(number: usize) -> TenantId {
        TenantId::new(&format!("t{number}")).expect("an id")
    }

    #[tokio::test]
    async fn a_tenant_has_a_quarter_of_the_pages_and_its_questions_share_it() {
        let pages = Pages::new();
        let (first, second, other) = (pages.queue(&tenant(1)), pages.queue(&tenant(1)), pages.queue(&tenant(2)));
        let mut held = Vec::new();
        for _ in 0..TENANT_PAGES_MAX {
            held.push(first.place().now_or_never().expect("a place"));
        }
        assert!(second.place().now_or_never().is_none());
        assert!(other.place().now_or_never().is_some());
        held.pop();
        assert!(second.place().now_or_never().is_some());
        drop(held);
        drop((first, second, other));
        assert_eq!(locked(&pages.of).len(), 0, "what is remembered is bounded by the questions under way");
    }

    #[tokio::test]
    async fn a_tenants_large_questions_take_turns_and_another_tenants_do_not_wait_for_them() {
        let pages = Pages::new();
        let (first, second, other) = (pages.queue(&tenant(1)), pages.queue(&tenant(1)), pages.queue(&tenant(2)));
        let turn = first.turn().now_or_never().expect("it is the only one");
        assert!(second.turn().now_or_never().is_none());
        assert!(second.place().now_or_never().is_some(), "a small question does not wait for a turn");
        assert!(other.turn().now_or_never().is_some());
        drop(turn);
        assert!(second.turn().now_or_never().is_some());
    }

    /// Four tenants take all places and have a hundred reads each that wait; the first read of a fifth comes last.
    #[tokio::test]
    async fn a_tenants_waiting_reads_do_not_delay_another_tenants_first() {
        let pages = Pages::new();
        let queues: Vec<_> = (0..5).map(|number| pages.queue(&tenant(number))).collect();
        let order = Mutex::new(Vec::new());
        let read = async |number: usize| {
            let place = queues[number].place().await;
            tokio::task::yield_now().await;
            locked(&order).push(number);
            drop(place);
        };
        let busy = (0..400).map(|read_number| read(read_number % 4));
        futures::future::join(futures::future::join_all(busy), read(4)).await;
        let order = locked(&order);
        let at = order.iter().position(|number| *number == 4).expect("it was read");
        assert!(at <= 2 * PAGES_MAX, "{at} of {} reads came before it", order.len());
    }
}
