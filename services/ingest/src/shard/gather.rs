//! Gathering: what of a shard's records goes into the next batch, by what there is and what is still to come.

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Ended, GATHERED_MAX, Halt, IDLE_ADVANCE, ShardTask};
use crate::fetch::Fetched;
use crate::pending::Pending;

impl ShardTask {
    /// Waits for records, then takes what is there already and, while more are on their way, what comes within the flush interval.
    pub(super) async fn gather(
        &mut self,
        pages: &mut mpsc::Receiver<Fetched>,
        pending: &mut Pending,
        stop: &CancellationToken,
    ) -> Option<Halt> {
        let mut deadline: Option<Instant> = (!pending.is_empty()).then(|| Instant::now() + IDLE_ADVANCE);
        loop {
            if stop.is_cancelled() {
                return pending.is_empty().then(|| self.stopped());
            }
            let fetched = match pages.try_recv() {
                Ok(fetched) => Some(fetched),
                Err(_) if pending.closed => return None,
                Err(_) => tokio::select! {
                    biased;
                    () = stop.cancelled() => continue,
                    () = sleep_until(deadline) => return None,
                    fetched = pages.recv() => fetched,
                },
            };
            let fetched = match fetched {
                Some(Fetched::Page(fetched)) => fetched,
                Some(Fetched::Lost(reason)) if pending.is_empty() => return Some(Halt::Lost(reason)),
                Some(Fetched::Vanished) if pending.is_empty() => return Some(Halt::Ended(Ended::Vanished(self.held.clone()))),
                // What was read before is committed first; then reading begins anew and meets the same again.
                Some(Fetched::Lost(_) | Fetched::Vanished) => return None,
                Some(Fetched::Refused) => {
                    self.shows_life();
                    continue;
                }
                None => return Some(Halt::Reread),
            };
            self.watermark.page(&fetched.page, pending.len() == self.harmless);
            self.shows_life();
            let at_tip = !fetched.page.is_full;
            let was_empty = fetched.page.records.is_empty();
            pending.push(fetched);
            if was_empty && !pending.closed {
                continue;
            }
            if (at_tip && pages.is_empty()) || pending.len() >= GATHERED_MAX {
                return None;
            }
            let flush = Instant::now() + self.shared.flush_interval;
            deadline = Some(deadline.map_or(flush, |deadline| deadline.min(flush)));
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
