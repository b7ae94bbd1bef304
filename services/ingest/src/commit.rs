//! The rules of a commit: what each way it can end means for the shard. STREAMS §2.
//!
//! Effects and position are one transaction, and the position's condition names where the batch began. So whatever is sent
//! twice, late, or by a worker that lost its lease finds the position elsewhere and changes nothing; and an answer that got
//! lost is found out by looking at the position. Nothing here remembers what was sent: the stored shard is the only witness.

mod broken;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidemark_domain::TenantId;
use tidemark_runtime::process::chain;
use tidemark_store::{CommitError, ITEMS_MAX, Provenance, Refused, RowChange, Store, Writes};
use tidemark_streams::{Advance, Streams, Verdict};
use tidemark_webhooks::event::BodyError;
use tokio::sync::watch;

use crate::concerned::ConcernedTenants;
use crate::instruments::Instruments;
use broken::BrokenRows;

/// So often in a row a commit may conflict with other transactions over the rules of tenants, before these count as stale: writes of
/// rules may keep their items busy all the time.
const CONFLICTS_MAX: u32 = 3;

/// Bounds of the full jitter between attempts of a contended commit.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Why a commit is given up for now; nothing of the batch is known to be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] tidemark_store::Error),
    #[error(transparent)]
    Streams(#[from] tidemark_streams::Error),
    #[error("the shard was committed under definitions {0}, and those that can be read are older")]
    DefinitionsMissing(u64),
    #[error("an event of an alert cannot be written")]
    Body(#[from] BodyError),
}

/// What to do about rows that cannot hold their sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullRows {
    /// Commit fewer records first, so that only those whose effects do not fit are diverted; once for each tenant, whose full rows have
    /// the deltas of whole batches diverted after that.
    Split,
    /// Divert their deltas: the batch is one record.
    Divert,
}

/// One step of a shard, to be committed.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    pub advance: &'a Advance,
    /// The last of its records.
    pub from: &'a Provenance,
    pub full: FullRows,
    /// Told with every attempt that the shard goes on, whether it moves or not.
    pub life: &'a watch::Sender<Option<Timestamp>>,
}

/// How a commit ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Decided(Verdict),
    /// The batch does not fit, into one transaction or into its rows: commit fewer records.
    TooLarge,
    /// DynamoDB will never take the batch as it is: commit it without the levels that are named. If none is, commit fewer records, in
    /// the end one without its effects.
    Invalid(Refused),
    /// Levels or rules are not as they were read: read them again and decide again, at the same position. The rules of these tenants
    /// are not.
    DecisionsStale(BTreeSet<TenantId>),
}

impl Outcome {
    /// As traces have it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Decided(Verdict::Committed) => "committed",
            Self::Decided(Verdict::NotCommitted) => "not_committed",
            Self::Decided(Verdict::LeaseLost) => "lease_lost",
            Self::Decided(Verdict::DefinitionsBehind(_)) => "definitions_behind",
            Self::Decided(Verdict::Moved(_)) => "position_moved",
            Self::TooLarge => "too_large",
            Self::Invalid(_) => "invalid",
            Self::DecisionsStale(_) => "decisions_stale",
        }
    }
}

/// Commits batches of one process.
#[derive(Debug, Clone)]
pub struct Committer {
    store: Store,
    streams: Streams,
    instruments: Instruments,
    concerned: Arc<ConcernedTenants>,
    broken: Arc<BrokenRows>,
}

impl Committer {
    pub fn new(store: Store, streams: Streams, instruments: Instruments) -> Self {
        let concerned = Arc::new(ConcernedTenants::new(store.clone()));
        Self { store, streams, instruments, concerned, broken: Arc::default() }
    }

    /// Whether a row of these has refused a delta lately, so that they are to be committed alone: others would fail with them.
    pub(crate) fn may_divert(&self, writes: &Writes) -> bool {
        !self.broken.among(writes).is_empty()
    }

    /// Moves a shard's position and makes the writes, in one transaction, trying until the outcome is certain.
    /// The verdict is never [`Verdict::NotCommitted`].
    ///
    /// # Errors
    /// For what trying again at once cannot mend. The batch may have been applied; committing it again is safe.
    pub async fn commit(&self, step: &Step<'_>, mut writes: Writes) -> Result<Outcome, Error> {
        let Step { advance, from, full, life } = *step;
        let known = self.broken.among(&writes);
        let known = self.store.refused_rows(known.into_iter().map(|index| (index, &writes.rows[index]))).await?;
        self.change(&mut writes, known);
        let mut backoff = Backoff::default();
        let mut conflicts = 0;
        loop {
            life.send_modify(|_| {});
            if writes.items() > ITEMS_MAX {
                return Ok(Outcome::TooLarge);
            }
            let verdict = match self.attempt(advance, &writes, from).await {
                Ok(verdict) => verdict,
                Err(CommitError::Fenced(stored)) => advance.judge(stored.as_ref()),
                Err(CommitError::Unknown(cause)) => {
                    tracing::warn!(shard = %advance.shard(), cause = %chain(&*cause), "a commit got no answer; reading the position back");
                    self.streams.reread(advance).await?
                }
                Err(CommitError::Contended(tenants)) => {
                    self.instruments.contended();
                    conflicts = if tenants.is_empty() { 0 } else { conflicts + 1 };
                    if conflicts == CONFLICTS_MAX {
                        return Ok(Outcome::DecisionsStale(tenants));
                    }
                    Verdict::NotCommitted
                }
                Err(CommitError::DecisionsStale(tenants)) => return Ok(Outcome::DecisionsStale(tenants)),
                Err(CommitError::RowsRefused(changes)) => {
                    let is_first = |(index, change): &(usize, RowChange)| {
                        *change == RowChange::Divert && !self.broken.has_any_of(&writes.rows[*index].key.tenant)
                    };
                    if full == FullRows::Split && changes.iter().any(is_first) {
                        return Ok(Outcome::TooLarge);
                    }
                    self.change(&mut writes, changes);
                    continue;
                }
                Err(CommitError::RowsMoved) => {
                    for row in writes.rows.iter_mut().filter(|row| matches!(row.change, RowChange::Replace { .. })) {
                        row.change = RowChange::Add;
                    }
                    Verdict::NotCommitted
                }
                Err(CommitError::Invalid { what, source }) => {
                    tracing::error!(shard = %advance.shard(), cause = %chain(&*source), "DynamoDB finds a commit invalid");
                    return Ok(Outcome::Invalid(what));
                }
                Err(CommitError::Failed(error)) => return Err(error.into()),
            };
            if verdict != Verdict::NotCommitted {
                return Ok(Outcome::Decided(verdict));
            }
            backoff.wait().await;
        }
    }

    /// Has rows take their deltas in the way they can.
    fn change(&self, writes: &mut Writes, changes: Vec<(usize, RowChange)>) {
        for (index, change) in changes {
            let row = &mut writes.rows[index];
            row.change = change;
            // One that is known would fill the log.
            if row.change == RowChange::Divert && self.broken.remember(row) {
                tracing::error!(
                    tenant = %row.key.tenant, metric = %row.key.metric, set = %row.key.set,
                    "a row cannot hold its sum in 38 digits: it is marked broken and its delta goes to quarantine"
                );
            }
        }
    }

    async fn attempt(&self, advance: &Advance, writes: &Writes, from: &Provenance) -> Result<Verdict, CommitError> {
        if writes.is_empty() {
            return match self.streams.advance(advance).await {
                Ok(verdict) => Ok(verdict),
                Err(error) => Err(CommitError::Unknown(error.into())),
            };
        }
        self.concerned.list(writes.concerned(from)).await?;
        self.store.commit(vec![advance.update()], writes, from).await.map(|()| Verdict::Committed)
    }
}

/// Full jitter between bounds that double.
#[derive(Debug)]
pub(crate) struct Backoff {
    ceiling: Duration,
    ceiling_max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(BACKOFF_MAX)
    }
}

impl Backoff {
    /// With another bound.
    pub(crate) fn up_to(ceiling_max: Duration) -> Self {
        Self { ceiling: BACKOFF_MIN, ceiling_max }
    }

    pub(crate) async fn wait(&mut self) {
        let pause = self.ceiling.mul_f64(fastrand::f64());
        self.ceiling = (self.ceiling * 2).min(self.ceiling_max);
        tokio::time::sleep(pause).await;
    }
}
