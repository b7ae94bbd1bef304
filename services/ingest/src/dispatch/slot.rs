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
use super::share::{Pool, Share};
use super::{Dispatch, Error};

/// Events fanned out at once, of the process.
const EVENTS_MAX: usize = 64;
/// Events that were held and are let go from where they wait, at once, of the process. None of them is urgent.
const HELD_MAX: usize = 16;
/// Jobs under way at once, of the process.
const JOBS_MAX: usize = 32;
/// Entries moved to their queues at once, of one slot.
const MOVES_MAX: usize = 32;
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
    moves: Arc<Semaphore>,
    tasks: JoinSet<Result<(), Error>>,
    /// Where the entries were seen that tasks are about. A task has moved its own, but the index may still show it.
    under_way: HashMap<task::Id, DuePlace>,
    looked_at: Instant,
    look_due: Instant,
    /// Nothing was due, and there was no news, since then.
    quiet_since: Instant,
    /// When what waits is looked at, and what the last look at it met.
    waiting_due: Instant,
    waiting: Met,
    /// Behind which places the next looks begin, by part.
    starts: [Option<DuePlace>; 2],
    /// The last look passed over something for lack of room.
    is_full: bool,
}

/// How much may be under way at once in the process, shared by tenants. Deliveries have their own [`Room`](super::room::Room).
#[derive(Debug)]
pub(super) struct Pools {
    events: Pool,
    held: Pool,
    jobs: Pool,
}

/// Room for a piece of work; given back when dropped.
enum Ticket {
    Delivery(Permit),
    Event(Share),
    Job(Share),
    /// To have something that waited apart take its turn in its queue: there is no room to do it now.
    Move(OwnedSemaphorePermit),
}

/// What of a slot is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Due,
    Waiting,
}

impl Default for Pools {
    fn default() -> Self {
        Self { events: Pool::new(EVENTS_MAX), held: Pool::new(HELD_MAX), jobs: Pool::new(JOBS_MAX) }
    }
}

impl SlotTask {
    pub(super) fn new(slot: Slot, dispatch: Arc<Dispatch>, mine: watch::Receiver<BTreeSet<Slot>>, bell: Arc<Notify>) -> Self {
        let now = Instant::now();
        Self {
            slot,
            dispatch,
            mine,
            bell,
            moves: Arc::new(Semaphore::new(MOVES_MAX)),
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            looked_at: now,
            look_due: now,
            quiet_since: now,
            waiting_due: now,
            waiting: Met::default(),
            starts: [None, None],
            is_full: false,
        }
    }

    pub(super) async fn run(mut self, progress: Progress) {
        let stop = self.dispatch.stop.clone();
        loop {
            // A look is due every second at least.
            progress.touch();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = self.tasks.join_next_with_id() => self.end(ended),
                () = self.bell.notified() => {
                    // The index lags a little: a look at once may come before the entry that the news is about.
                    self.quiet_since = Instant::now();
                    self.look_soon();
                }
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
        let mut met = Met::default();
        if self.mine.borrow().contains(&self.slot) {
            met = self.look_through(Part::Due).await;
            if self.waiting_due <= self.looked_at {
                self.waiting = self.look_through(Part::Waiting).await;
                self.waiting_due = self.waiting_due_next();
            }
            met = met.and(self.waiting);
        } else {
            (self.waiting, self.waiting_due, self.starts) = (Met::default(), self.looked_at, [None, None]);
        }
        if met.due > 0 {
            self.quiet_since = self.looked_at;
        }
        self.look_due = self.looked_at + self.dispatch.pace.look_after(self.looked_at.duration_since(self.quiet_since));
        self.dispatch.instruments.backlog(self.slot, met.due, met.oldest_age(clock::now()));
        self.is_full = met.is_full;
        if let Some(next) = met.next_due {
            self.look_due = self.look_due.min(instant_of(next).max(Instant::now() + LOOK_PAUSE));
        }
    }

    /// When what waits is looked at again.
    fn waiting_due_next(&self) -> Instant {
        let pace = &self.dispatch.pace;
        let pause = match self.waiting {
            Met { is_full: true, .. } => Duration::ZERO,
            Met { is_any: false, .. } => pace.empty_waiting_look(),
            _ => pace.waiting_look(),
        };
        let next = self.looked_at + pause;
        self.waiting.next_due.map_or(next, |due| next.min(instant_of(due)))
    }

    async fn look_through(&mut self, part: Part) -> Met {
        let mut look = Look::new(clock::now(), self.starts[part as usize].take());
        if let Err(error) = self.look_at(part, &mut look).await {
            tracing::warn!(slot = self.slot.number(), ?part, error = %chain(&error), "the slot cannot be read; trying again");
        }
        let met = look.met;
        self.starts[part as usize] = look.next_start();
        met
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
                let (kind_start, kind_end) = (due.place_before_its_kind(), due.place_behind_its_kind());
                let seen = Seen { at, place, kind_start, kind_end, is_under_way };
                if let Some(ticket) = look.judge(seen, || self.ticket(&due)) {
                    self.begin(due, ticket);
                }
            }
            next = page.next;
            if self.dispatch.stop.is_cancelled() || !look.goes_on(next.as_ref()) {
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
        let (tenant, pools) = (due.tenant.id(), &self.dispatch.pools);
        let to_do = match &due.work {
            Work::Event(_) => pools.events.take(tenant).map(Ticket::Event),
            Work::Held { .. } => pools.held.take(tenant).map(Ticket::Event),
            Work::Job(_) => pools.jobs.take(tenant).map(Ticket::Job),
            Work::Delivery(delivery) => self.dispatch.room.take(tenant, &delivery.endpoint).map(Ticket::Delivery),
        };
        let to_move = || self.moves.clone().try_acquire_owned().ok().map(Ticket::Move);
        to_do.or_else(|| if due.is_apart() { to_move() } else { None })
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
            Ticket::Move(_permit) => {
                // What was held is old: it goes behind the tenant's fresh events.
                let at = if matches!(due.work, Work::Held { .. }) { clock::now() } else { due.at };
                Ok(self.store.queue_up(due, at).await.map(drop)?)
            }
        }
    }
}

/// That instant by the monotonic clock; now, if it has passed.
fn instant_of(at: Timestamp) -> Instant {
    Instant::now() + at.duration_since(clock::now()).max(SignedDuration::ZERO).unsigned_abs()
}
