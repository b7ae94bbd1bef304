//! Shards that their stream seems to have forgotten. A reader's refusal alone proves nothing: only when the listings have
//! been without the shard for a while, too, it is lost. Until then the reader tries again now and then.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Worker, key};
use crate::control::GapReason;
use crate::error::Error;
use crate::lease::HeldShard;

/// A shard that could not be found is read again after this long.
const RETRY: Duration = Duration::from_secs(30);

/// A held shard that nobody reads just now.
#[derive(Debug)]
pub(super) struct Vanished {
    held: HeldShard,
    /// None: to be set by the next tick.
    retry_at: Option<Instant>,
}

impl Worker {
    /// Reading a shard failed with [`ReadError::Vanished`](crate::ReadError::Vanished), and everything read before is
    /// committed. The worker keeps the lease: either a later [`tick`](Self::tick) returns the shard again, to be read on, or
    /// the listings are without it, too; then the loss is recorded as a gap, and its children start.
    pub fn vanished(&mut self, held: &HeldShard) {
        if self.held.contains_key(&key(held)) {
            tracing::warn!(stream = %held.stream, shard = %held.shard, "the stream does not know the shard; waiting for listings");
            self.vanished.push(Vanished { held: held.clone(), retry_at: None });
        }
    }

    /// Decides about each vanished shard what can be decided.
    pub(super) async fn settle_vanished(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        let mut outcome = Ok(());
        for Vanished { held, retry_at } in std::mem::take(&mut self.vanished) {
            let key = key(&held);
            let stored = self.source(&held.stream).and_then(|source| source.graph.shard(&held.shard));
            let (is_ours, is_unlisted) =
                stored.map_or((false, false), |shard| (shard.fence.epoch <= held.lease.epoch, shard.unlisted));
            let retry_at = retry_at.unwrap_or(mono + RETRY);
            if !is_ours {
                self.lost(&held);
            } else if is_unlisted {
                outcome = outcome.and(self.give_up(held, now).await);
            } else if self.surplus.contains(&key) {
                outcome = outcome.and(self.release(&held).await);
            } else if mono >= retry_at {
                self.acquired.push(held);
            } else {
                self.vanished.push(Vanished { held, retry_at: Some(retry_at) });
            }
        }
        outcome
    }

    async fn give_up(&mut self, held: HeldShard, now: Timestamp) -> Result<(), Error> {
        match self.streams.record_loss(&held, now).await {
            Ok(_) => {
                tracing::error!(stream = %held.stream, shard = %held.shard, "the shard is gone before its end was read: a gap is recorded");
                self.held.remove(&key(&held));
                if let Some(source) = self.source(&held.stream) {
                    source.gaps.push(GapReason::Vanished);
                }
                self.membership.changed();
                self.looks.force();
                Ok(())
            }
            Err(Error::LeaseLost { .. }) => {
                self.lost(&held);
                Ok(())
            }
            Err(error) => {
                self.vanished.push(Vanished { held, retry_at: None });
                Err(error)
            }
        }
    }
}
