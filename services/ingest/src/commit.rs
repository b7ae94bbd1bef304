//! The rules of a commit: what each way it can end means for the shard. STREAMS §2.
//!
//! Effects and position are one transaction, and the position's condition names where the batch began. So whatever is sent
//! twice, late, or by a worker that lost its lease finds the position elsewhere and changes nothing; and an answer that got
//! lost is found out by looking at the position. Nothing here remembers what was sent: the stored shard is the only witness.

use std::sync::Arc;
use std::time::Duration;

use tidemark_store::{CommitError, ITEMS_MAX, Provenance, RowChange, Store, Writes};
use tidemark_streams::{Advance, Streams, Verdict};
use tidemark_webhooks::event::BodyError;

use crate::concerned::ConcernedTenants;
use crate::instruments::Instruments;

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
    #[error("DynamoDB does not even take a record's position without its effects")]
    Uncommittable,
    #[error("an event of an alert cannot be written")]
    Body(#[from] BodyError),
}

/// What to do about rows that cannot hold their sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullRows {
    /// Commit fewer records first, so that only those whose effects do not fit are diverted.
    Split,
    /// Divert their deltas: the batch is one record.
    Divert,
}

/// How a commit ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Decided(Verdict),
    /// The batch does not fit, into one transaction or into its rows: commit fewer records.
    TooLarge,
    /// DynamoDB will never take the batch as it is: commit fewer records, in the end one without its effects.
    Invalid,
    /// Levels or rules are not as they were read: read them again and decide again, at the same position.
    DecisionsStale,
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
            Self::Invalid => "invalid",
            Self::DecisionsStale => "decisions_stale",
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
}

impl Committer {
    pub fn new(store: Store, streams: Streams, instruments: Instruments) -> Self {
        let concerned = Arc::new(ConcernedTenants::new(store.clone()));
        Self { store, streams, instruments, concerned }
    }

    /// Moves a shard's position and makes the writes, in one transaction, trying until the outcome is certain.
    /// The verdict is never [`Verdict::NotCommitted`].
    ///
    /// # Errors
    /// For what trying again at once cannot mend. The batch may have been applied; committing it again is safe.
    pub async fn commit(
        &self,
        advance: &Advance,
        mut writes: Writes,
        from: &Provenance,
        full: FullRows,
    ) -> Result<Outcome, Error> {
        let mut backoff = Backoff::default();
        loop {
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
                Err(CommitError::Contended) => {
                    self.instruments.contended();
                    Verdict::NotCommitted
                }
                Err(CommitError::DecisionsStale) => return Ok(Outcome::DecisionsStale),
                Err(CommitError::RowsRefused(changes)) => {
                    let is_full = changes.iter().any(|(_, change)| *change == RowChange::Divert);
                    if is_full && full == FullRows::Split {
                        return Ok(Outcome::TooLarge);
                    }
                    for (index, change) in changes {
                        warn_of_refusal(&writes, index, &change);
                        writes.rows[index].change = change;
                    }
                    continue;
                }
                Err(CommitError::RowsMoved) => {
                    for row in writes.rows.iter_mut().filter(|row| matches!(row.change, RowChange::Replace { .. })) {
                        row.change = RowChange::Add;
                    }
                    Verdict::NotCommitted
                }
                Err(CommitError::Invalid(cause)) => {
                    tracing::error!(shard = %advance.shard(), cause = %chain(&*cause), "DynamoDB finds a commit invalid");
                    return Ok(Outcome::Invalid);
                }
                Err(CommitError::Failed(error)) => return Err(error.into()),
            };
            if verdict != Verdict::NotCommitted {
                return Ok(Outcome::Decided(verdict));
            }
            backoff.wait().await;
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
}

impl Default for Backoff {
    fn default() -> Self {
        Self { ceiling: BACKOFF_MIN }
    }
}

impl Backoff {
    pub(crate) async fn wait(&mut self) {
        let pause = self.ceiling.mul_f64(fastrand::f64());
        self.ceiling = (self.ceiling * 2).min(BACKOFF_MAX);
        tokio::time::sleep(pause).await;
    }
}

fn warn_of_refusal(writes: &Writes, index: usize, change: &RowChange) {
    let row = &writes.rows[index].key;
    if *change == RowChange::Divert {
        tracing::error!(
            tenant = %row.tenant, metric = %row.metric, set = %row.set,
            "a row cannot hold its sum in 38 digits: it is marked broken and its delta goes to quarantine"
        );
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
