//! One slot: looks at what is due, while the slot is this worker's, and has it done in tasks of their own.
//!
//! A task that panics ends alone: what it had claimed comes due again, and its room is given back.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidemark_runtime::clock;
use tidemark_runtime::health::Progress;
use tidemark_runtime::process::chain;
use tidemark_store::{Due, DuePage, DuePlace, Slot, Work};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;

use super::instruments::EventFate;
use super::look::{Look, Met, Seen};
use super::room::Permit;
use super::{Dispatch, Error};

/// Events fanned out at once, of one slot.
const EVENTS_MAX: usize = 16;
/// Events that were held and are let go at once, of one slot: none of them is in a hurry.
const HELD_MAX: usize = 8;
/// Deliveries moved to their endpoints' queues at once, of one slot.
const MOVES_MAX: usize = 32;
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
    rooms: Rooms,
    tasks: JoinSet<Result<(), Error>>,
    /// Where the entries were seen that tasks are about. A task has moved its own, but the index may still show it.
    under_way: HashMap<task::Id, DuePlace>,
    looked_at: Instant,
    look_due: Instant,
    /// When what waits is looked at, and what the last look at it met.
    waiting_due: Instant,
    waiting: Met,
    /// The last look passed over something for lack of room.
    is_full: bool,
}

/// How much of each kind may be under way, of one slot.
struct Rooms {
    events: Arc<Semaphore>,
    held: Arc<Semaphore>,
    jobs: Arc<Semaphore>,
    moves: Arc<Semaphore>,
}

/// Room for a piece of work; given back when dropped.
enum Ticket {
    Delivery(Permit),
    Event(OwnedSemaphorePermit),
    Job(OwnedSemaphorePermit),
    /// To have a delivery that waited take its turn: there is no room to make it.
    Move(OwnedSemaphorePermit),
}

/// What of a slot is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Due,
    Waiting,
}

impl SlotTask {
    pub(super) fn new(slot: Slot, dispatch: Arc<Dispatch>, mine: watch::Receiver<BTreeSet<Slot>>, bell: Arc<Notify>) -> Self {
        let [events, held, jobs, moves] = [EVENTS_MAX, HELD_MAX, JOBS_MAX, MOVES_MAX].map(|most| Arc::new(Semaphore::new(most)));
        let now = Instant::now();
        Self {
            slot,
            dispatch,
            mine,
            bell,
            rooms: Rooms { events, held, jobs, moves },
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            looked_at: now,
            look_due: now,
            waiting_due: now,
            waiting: Met::default(),
            is_full: false,
        }
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
        let mut met = Met::default();
        if self.mine.borrow().contains(&self.slot) {
            met = self.look_through(Part::Due).await;
            if self.waiting_due <= self.looked_at {
                self.waiting = self.look_through(Part::Waiting).await;
                let next = if self.waiting.is_full { self.looked_at } else { self.looked_at + self.dispatch.pace.waiting_look() };
                self.waiting_due = self.waiting.next_due.map_or(next, |due| next.min(instant_of(due)));
            }
            met = met.and(self.waiting);
        } else {
            (self.waiting, self.waiting_due) = (Met::default(), self.looked_at);
        }
        self.dispatch.instruments.backlog(self.slot, met.due, met.oldest_age(clock::now()));
        self.is_full = met.is_full;
        if let Some(next) = met.next_due {
            self.look_due = self.look_due.min(instant_of(next).max(Instant::now() + LOOK_PAUSE));
        }
    }

    async fn look_through(&mut self, part: Part) -> Met {
        let mut look = Look::new(clock::now());
        if let Err(error) = self.look_at(part, &mut look).await {
            tracing::warn!(slot = self.slot.number(), ?part, error = %chain(&error), "the slot cannot be read; trying again");
        }
        look.met
    }

    async fn look_at(&mut self, part: Part, look: &mut Look<DuePlace>) -> Result<(), Error> {
        let mut next = None;
        loop {
            let (after, limit) = look.after(next);
            let page = self.page(part, after.as_ref(), limit).await?;
            for due in page.entries {
                let place = due.place();
                if look.passes_over(&place) {
                    continue;
                }
                let at = self.time_of(&due, look.now).await?;
                let is_under_way = self.under_way.values().any(|other| *other == place);
                let seen = Seen { at, place, kind_end: due.place_behind_its_kind(), is_under_way };
                if let Some(ticket) = look.judge(seen, || self.ticket(&due)) {
                    self.begin(due, ticket);
                }
            }
            next = page.next.filter(|_| !self.dispatch.stop.is_cancelled());
            if next.is_none() {
                return Ok(());
            }
        }
    }

    async fn page(&self, part: Part, after: Option<&DuePlace>, limit: usize) -> Result<DuePage, tidemark_store::Error> {
        match part {
            Part::Due => self.dispatch.store.due(self.slot, after, limit).await,
            Part::Waiting => self.dispatch.store.waiting(self.slot, after, limit).await,
        }
    }

    /// When an entry is to be done; `None`: it is held, and nobody knows.
    async fn time_of(&self, due: &Due, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let Work::Held { stream, .. } = &due.work else { return Ok(Some(due.at)) };
        if due.at < self.dispatch.holds.end(stream).await? {
            return Ok(Some(now));
        }
        self.dispatch.instruments.event(EventFate::Held);
        Ok(None)
    }

    fn ticket(&self, due: &Due) -> Option<Ticket> {
        let of = |room: &Arc<Semaphore>| room.clone().try_acquire_owned().ok();
        match &due.work {
            Work::Event(_) => of(&self.rooms.events).map(Ticket::Event),
            Work::Held { .. } => of(&self.rooms.held).map(Ticket::Event),
            Work::Job(_) => of(&self.rooms.jobs).map(Ticket::Job),
            Work::Delivery(delivery) => {
                let to_move = || of(&self.rooms.moves).filter(|_| due.is_apart()).map(Ticket::Move);
                self.dispatch.room.take(&delivery.endpoint).map(Ticket::Delivery).or_else(to_move)
            }
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
            Ticket::Move(_permit) => Ok(self.store.queue_up(due).await.map(drop)?),
        }
    }
}

/// That instant by the monotonic clock; now, if it has passed.
fn instant_of(at: Timestamp) -> Instant {
    Instant::now() + at.duration_since(clock::now()).max(SignedDuration::ZERO).unsigned_abs()
}
