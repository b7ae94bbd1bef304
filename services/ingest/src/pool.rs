//! Shared transactions: small commits of several shards of one worker, made as one. STREAMS §2, "Throughput".
//!
//! Rows that many shards touch (a tenant's total) are then written once, and transactions of one worker do not conflict with each
//! other over them. Commits that are under way decide how many share: while they last, the next ones queue up and become one. So an
//! idle worker commits each shard at once, and a busy one commits many together.
//!
//! Sharing never decides an outcome: a shared transaction either succeeds as a whole, or every shard in it commits alone and finds
//! its own answer there, by its own fence.

use std::sync::Arc;
use std::time::Duration;

use tidemark_store::{CommitError, ITEMS_MAX, Provenance, RowChange, Store, Writes};
use tidemark_streams::{Advance, Verdict};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::commit::{Backoff, Committer, Error, Outcome, Step};

/// Commits of one worker that are under way at once, shared or alone.
const UNDER_WAY_MAX: usize = 2;
/// How long a commit, shared or alone, keeps its slot.
const SLOT_HELD_MAX: Duration = Duration::from_millis(500);
/// Commits with more items go alone: they fill a transaction by themselves.
const ITEMS_TO_SHARE_MAX: usize = 40;
/// Commits that wait to be shared. Each shard has at most one, so this bounds nothing but memory.
const WAITING_MAX: usize = 1_000;

/// Makes the commits of a worker's shards, together where that helps.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    committer: Committer,
    waiting: mpsc::Sender<Waiting>,
}

/// The other end of a [`Pool`]: the task that makes shared transactions.
#[derive(Debug)]
pub(crate) struct PoolTask {
    store: Store,
    waiting: mpsc::Receiver<Waiting>,
    slots: Arc<Semaphore>,
}

/// One shard's commit, waiting for its turn.
#[derive(Debug)]
struct Waiting {
    advance: Advance,
    writes: Writes,
    from: Provenance,
    turn: oneshot::Sender<Turn>,
}

/// What a waiting commit is told.
#[derive(Debug)]
enum Turn {
    /// It was made, in a shared transaction.
    Committed,
    /// It is to be made alone. The slot is held while it is; one that a shared transaction has failed for has none.
    Alone(#[allow(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>),
}

impl Pool {
    pub(crate) fn new(store: Store, committer: Committer) -> (Self, PoolTask) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let task = PoolTask { store, waiting: receiver, slots: Arc::new(Semaphore::new(UNDER_WAY_MAX)) };
        (Self { committer, waiting: sender }, task)
    }

    /// Commits as [`Committer::commit`] does.
    ///
    /// # Errors
    /// As [`Committer::commit`].
    pub(crate) async fn commit(&self, step: &Step<'_>, writes: Writes) -> Result<Outcome, Error> {
        let slot = if is_shareable(&writes) && !self.committer.may_divert(&writes) {
            match self.turn(step.advance, &writes, step.from).await {
                Turn::Committed => return Ok(Outcome::Decided(Verdict::Committed)),
                Turn::Alone(slot) => slot,
            }
        } else {
            None
        };
        holding(slot, Box::pin(self.committer.commit(step, writes))).await
    }

    async fn turn(&self, advance: &Advance, writes: &Writes, from: &Provenance) -> Turn {
        let (turn, told) = oneshot::channel();
        let waiting = Waiting { advance: advance.clone(), writes: writes.clone(), from: from.clone(), turn };
        // A task that is gone leaves every shard to itself.
        match self.waiting.send(waiting).await {
            Ok(()) => told.await.unwrap_or(Turn::Alone(None)),
            Err(_) => Turn::Alone(None),
        }
    }
}

impl PoolTask {
    /// Makes shared transactions until every [`Pool`] is gone.
    pub(crate) async fn run(mut self) {
        let mut under_way = JoinSet::new();
        let mut left_over = None;
        loop {
            let first = match left_over.take() {
                Some(waiting) => waiting,
                None => match self.waiting.recv().await {
                    Some(waiting) => waiting,
                    None => break,
                },
            };
            // While this waits for a slot, others queue up.
            let slot = self.slots.clone().acquire_owned().await.expect("the semaphore is never closed");
            let mut group = vec![first];
            left_over = self.fill(&mut group);
            if group.len() == 1 {
                let alone = group.pop().expect("one is there");
                // A shard that was given up meanwhile does not listen any more.
                drop(alone.turn.send(Turn::Alone(Some(slot))));
                continue;
            }
            while under_way.try_join_next().is_some() {}
            under_way.spawn(share(self.store.clone(), group, slot));
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Adds what waits to a group, as far as it fits one transaction; gives back the one that did not.
    fn fill(&mut self, group: &mut Vec<Waiting>) -> Option<Waiting> {
        let mut writes = group[0].writes.clone();
        while let Ok(next) = self.waiting.try_recv() {
            let merged = Writes::merged([&writes, &next.writes]);
            // Every shard has a fence; `items` counts one.
            if merged.items() + group.len() > ITEMS_MAX {
                return Some(next);
            }
            writes = merged;
            group.push(next);
        }
        None
    }
}

/// Plain deltas only: a few quarantined images of several shards would exceed DynamoDB's 4 MB, and what one shard decided about its
/// levels by what it had read is not to fail the others.
fn is_shareable(writes: &Writes) -> bool {
    let is_bare = writes.quarantine.is_empty() && writes.decisions.is_empty();
    let is_plain = is_bare && writes.rows.iter().all(|row| row.change == RowChange::Add);
    is_plain && !writes.is_empty() && writes.items() <= ITEMS_TO_SHARE_MAX
}

/// Commits while holding a slot, for a while: a commit that gets no answer, or meets others again and again, must not keep the other
/// shards of this worker waiting.
async fn holding<T>(slot: impl Send, mut commit: impl Future<Output = T> + Unpin) -> T {
    tokio::select! {
        biased;
        made = &mut commit => return made,
        () = tokio::time::sleep(SLOT_HELD_MAX) => drop(slot),
    }
    commit.await
}

/// Makes one shared transaction, and tells each shard how it ended.
async fn share(store: Store, group: Vec<Waiting>, slot: OwnedSemaphorePermit) {
    let writes = Writes::merged(group.iter().map(|waiting| &waiting.writes));
    let attempt = async || {
        let fences = group.iter().map(|waiting| waiting.advance.update()).collect();
        store.commit(fences, &writes, &group[0].from).await
    };
    let made = async {
        match attempt().await {
            Err(CommitError::Contended(_)) => {
                Backoff::default().wait().await;
                attempt().await
            }
            ended => ended,
        }
    };
    let ended = holding(slot, Box::pin(made)).await;
    for waiting in group {
        let turn = if ended.is_ok() { Turn::Committed } else { Turn::Alone(None) };
        drop(waiting.turn.send(turn));
    }
}
