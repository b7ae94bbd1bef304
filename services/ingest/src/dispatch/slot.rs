//! One slot: looks at what is due, while the slot is this worker's, and has it done in tasks of their own.
//!
//! A task that panics ends alone: what it had claimed comes due again, and its room is given back.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tidemark_runtime::clock;
use tidemark_runtime::health::Progress;
use tidemark_store::{Due, DuePlace, Slot, Work};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;

use super::look::{Look, Seen};
use super::room::Permit;
use super::{Dispatch, Error};
use crate::commit::chain;

/// Entries read at once.
const PAGE: usize = 100;
/// Events fanned out at once, of one slot.
const EVENTS_MAX: usize = 16;
/// Jobs under way at once, of one slot.
const JOBS_MAX: usize = 4;
/// Shortest time between two looks: what is told or ends meanwhile is seen by one.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long what is under way is waited for when the process stops: longer than an exchange and its writing down.
const DRAIN: Duration = Duration::from_secs(20);

/// A slot, ours or not.
pub(super) struct SlotTask {
    slot: Slot,
    dispatch: Arc<Dispatch>,
    mine: watch::Receiver<BTreeSet<Slot>>,
    /// Rings when there is news, of the slot or of whose it is.
    bell: Arc<Notify>,
    events: Arc<Semaphore>,
    jobs: Arc<Semaphore>,
    tasks: JoinSet<Result<(), Error>>,
    /// Where the entries were seen that tasks are about. A task has moved its own, but the index may still show it.
    under_way: HashMap<task::Id, DuePlace>,
    looked_at: Instant,
    look_due: Instant,
    /// The last look passed over something for lack of room.
    is_full: bool,
}

/// Room for a piece of work; given back when dropped.
enum Ticket {
    Delivery(Permit),
    Event(OwnedSemaphorePermit),
    Job(OwnedSemaphorePermit),
}

impl SlotTask {
    pub(super) fn new(slot: Slot, dispatch: Arc<Dispatch>, mine: watch::Receiver<BTreeSet<Slot>>, bell: Arc<Notify>) -> Self {
        let [events, jobs] = [EVENTS_MAX, JOBS_MAX].map(|most| Arc::new(Semaphore::new(most)));
        let (tasks, under_way, now) = (JoinSet::new(), HashMap::new(), Instant::now());
        Self { slot, dispatch, mine, bell, events, jobs, tasks, under_way, looked_at: now, look_due: now, is_full: false }
    }

    pub(super) async fn run(mut self, progress: Progress) {
        let stop = self.dispatch.stop.clone();
        loop {
            // A look is due every half second at least.
            progress.touch();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = self.tasks.join_next_with_id() => self.end(ended),
                () = self.bell.notified() => self.look_soon(),
                () = tokio::time::sleep_until(self.look_due) => self.look().await,
            }
        }
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!(slot = self.slot.number(), "some deliveries did not end in time; they come due again by themselves");
        }
    }

    fn look_soon(&mut self) {
        self.look_due = self.look_due.min(self.looked_at + LOOK_PAUSE);
    }

    fn end(&mut self, ended: Result<(task::Id, Result<(), Error>), JoinError>) {
        let id = match ended {
            Ok((id, Ok(()))) => id,
            Ok((id, Err(error))) => {
                tracing::warn!(slot = self.slot.number(), error = %chain(&error), "work was not done; it comes due again");
                id
            }
            Err(panicked) => {
                tracing::error!(slot = self.slot.number(), error = %chain(&panicked), "work panicked; it comes due again");
                self.dispatch.instruments.panicked();
                panicked.id()
            }
        };
        self.under_way.remove(&id);
        if self.is_full {
            self.look_soon();
        }
    }

    /// Looks through the slot, and begins what is due.
    async fn look(&mut self) {
        self.looked_at = Instant::now();
        self.look_due = self.looked_at + self.dispatch.pace.look;
        let is_mine = self.mine.borrow().contains(&self.slot);
        let mut look = Look::new(clock::now());
        if is_mine && let Err(error) = self.look_through(&mut look).await {
            tracing::warn!(slot = self.slot.number(), error = %chain(&error), "what is due cannot be read; trying again");
        }
        self.dispatch.instruments.backlog(self.slot, look.due, look.oldest_age());
        self.is_full = look.is_full;
        if let Some(next) = look.next_due {
            let wait = next.duration_since(clock::now()).max(jiff::SignedDuration::ZERO).unsigned_abs();
            self.look_due = self.look_due.min(Instant::now() + wait.max(LOOK_PAUSE));
        }
    }

    async fn look_through(&mut self, look: &mut Look<DuePlace>) -> Result<(), Error> {
        let mut after: Option<DuePlace> = None;
        loop {
            let page = self.dispatch.store.due(self.slot, after.as_ref(), PAGE).await?;
            for due in page.entries {
                let place = due.place();
                let is_under_way = self.under_way.values().any(|other| *other == place);
                let seen = Seen { at: due.at, place, kind_end: due.place_behind_its_kind(), is_under_way };
                if let Some(ticket) = look.judge(seen, || self.ticket(&due)) {
                    self.begin(due, ticket);
                }
            }
            match page.next {
                Some(next) if !self.dispatch.stop.is_cancelled() => after = Some(look.after(next)),
                _ => return Ok(()),
            }
        }
    }

    fn ticket(&self, due: &Due) -> Option<Ticket> {
        match &due.work {
            Work::Event(_) => self.events.clone().try_acquire_owned().ok().map(Ticket::Event),
            Work::Job(_) => self.jobs.clone().try_acquire_owned().ok().map(Ticket::Job),
            Work::Delivery(delivery) => self.dispatch.room.take(&delivery.endpoint).map(Ticket::Delivery),
        }
    }

    fn begin(&mut self, due: Due, ticket: Ticket) {
        let (dispatch, place) = (self.dispatch.clone(), due.place());
        let task = self.tasks.spawn(async move { dispatch.work(&due, ticket).await });
        self.under_way.insert(task.id(), place);
    }
}

impl Dispatch {
    /// Does a piece of work that is due.
    async fn work(&self, due: &Due, ticket: Ticket) -> Result<(), Error> {
        if self.stop.is_cancelled() {
            return Ok(());
        }
        match ticket {
            Ticket::Delivery(permit) => self.deliver(due, &permit).await,
            Ticket::Event(_permit) => self.announce(due).await,
            Ticket::Job(_permit) => self.work_on(due).await,
        }
    }
}
