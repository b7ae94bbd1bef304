//! Acquiring the shards that are this worker's by the table all workers compute, and naming those it should hand over.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio::time::{Duration, Instant};

use super::{Source, Worker, key};
use crate::assignment::{ShardKey, assign};
use crate::client::Streams;
use crate::control::GapReason;
use crate::control::shard::ShardItem;
use crate::error::Error;
use crate::graph::Gate;
use crate::id::{ShardId, WorkerId};
use crate::lease::HeldShard;
use crate::position::Position;
use crate::source::RETENTION;

/// Most shards a tick tries to acquire, so that beats are not late when there are thousands.
const CLAIMS_MAX: usize = 50;
/// Claims that failed are made again after this long.
const RETRY: Duration = Duration::from_millis(500);

/// What the table says to this worker.
#[derive(Debug, Default)]
struct Plan {
    claims: Vec<ShardKey>,
    surplus: BTreeSet<ShardKey>,
    /// This worker's, but still held by a live one, under this epoch.
    awaited: BTreeMap<ShardKey, u64>,
}

impl Worker {
    /// Acquires the shards that are this worker's and may be acquired.
    pub(super) async fn claim(&mut self, now: Timestamp, mono: Instant) -> Result<(), Error> {
        let Plan { mut claims, surplus, awaited } = self.plan(mono);
        self.surplus = surplus;
        claims.extend(self.overdue(awaited, mono));
        if claims.len() > CLAIMS_MAX {
            self.looks.force();
        }
        for (stream, shard) in claims.into_iter().take(CLAIMS_MAX) {
            let me = self.membership.id.clone();
            let Some(source) = self.sources.iter_mut().find(|source| *source.graph.stream() == stream) else { continue };
            let Some(item) = source.graph.shard(&shard).cloned() else { continue };
            match source.claim(&self.streams, &item, &me, now).await {
                Ok(Some(held)) => {
                    self.held.insert(key(&held), None);
                    self.acquired.push(held);
                    self.membership.excuse(mono);
                    self.membership.changed();
                }
                // Its gate is closed, or another was quicker: a look at all of it tells.
                Ok(None) => self.looks.force(),
                Err(error) => {
                    self.looks.retry_at(mono + RETRY.min(self.membership.interval()));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn plan(&self, mono: Instant) -> Plan {
        let me = &self.membership.id;
        // Workers that read the same streams share them all; while versions are rolled out, some streams have fewer readers.
        let mut pools: BTreeMap<BTreeSet<WorkerId>, BTreeMap<ShardKey, Option<WorkerId>>> = BTreeMap::new();
        let mut epochs = BTreeMap::new();
        for source in &self.sources {
            let stream = source.graph.stream();
            let pool = pools.entry(self.membership.readers(stream, mono)).or_default();
            for shard in source.graph.runnable() {
                let key = (stream.clone(), shard.shard.clone());
                epochs.insert(key.clone(), shard.fence.epoch);
                pool.insert(key, shard.fence.owner.clone());
            }
        }
        let mut plan = Plan::default();
        for (readers, shards) in &pools {
            for (key, assigned) in assign(readers, shards) {
                let owner = shards[&key].as_ref();
                let is_mine = assigned == *me;
                match owner {
                    _ if self.held.contains_key(&key) && is_mine => {}
                    _ if self.held.contains_key(&key) => {
                        plan.surplus.insert(key);
                    }
                    // Stored as ours but not held: a child we adopted, or a lease we lost hold of. Ours to start at once; when
                    // it is surplus, it is handed over from where it then stands.
                    Some(owner) if owner == me => plan.claims.push(key),
                    Some(owner) if is_mine && !self.membership.is_dead(owner, mono) => {
                        plan.awaited.insert(key.clone(), epochs[&key]);
                    }
                    _ if is_mine => plan.claims.push(key),
                    _ => {}
                }
            }
        }
        plan
    }

    /// The awaited shards whose holder has had two TTLs to release them. The epoch fences whatever it still commits.
    fn overdue(&mut self, awaited: BTreeMap<ShardKey, u64>, mono: Instant) -> Vec<ShardKey> {
        let before = std::mem::take(&mut self.awaited);
        let since = |key: &ShardKey, epoch: u64| match before.get(key) {
            Some((seen, since)) if *seen == epoch => *since,
            _ => mono,
        };
        self.awaited = awaited.into_iter().map(|(key, epoch)| (key.clone(), (epoch, since(&key, epoch)))).collect();
        let patience = self.membership.lease_ttl() * 2;
        let overdue = self.awaited.iter().filter(|(_, (_, since))| mono.saturating_duration_since(*since) >= patience);
        overdue.map(|(key, _)| key.clone()).collect()
    }
}

impl Source {
    async fn claim(
        &mut self,
        streams: &Streams,
        shard: &ShardItem,
        me: &WorkerId,
        now: Timestamp,
    ) -> Result<Option<HeldShard>, Error> {
        let stream = self.graph.stream().clone();
        match self.graph.gate(shard) {
            Gate::Open => {}
            Gate::Passing(parent) => streams.open(&stream, shard, parent).await?,
            Gate::Closed => return Ok(None),
        }
        let Some(held) = streams.acquire(&stream, shard, me).await? else { return Ok(None) };
        self.note_lease(&held);
        tracing::info!(%stream, shard = %held.shard, epoch = held.lease.epoch, position = %held.position, "shard acquired");
        if shard.gap || !is_aged(&held.position, &held.shard, self.started_at, now) {
            return Ok(Some(held));
        }
        tracing::error!(%stream, shard = %held.shard, "a shard is read too late to be whole: a gap is recorded");
        let held = streams.record_gap(&held, GapReason::Aged, now).await?;
        self.gaps.push(GapReason::Aged);
        self.note_lease(&held);
        Ok(Some(held))
    }

    fn note_lease(&mut self, held: &HeldShard) {
        self.graph.change(&held.shard, |shard| {
            shard.fence.owner = Some(held.lease.owner.clone());
            shard.fence.epoch = held.lease.epoch;
        });
    }
}

/// Whether a shard that was never read may have lost records already that had to be read: those since the stream was first
/// read. Only an AWS id tells a shard's age.
fn is_aged(position: &Position, shard: &ShardId, started_at: Timestamp, now: Timestamp) -> bool {
    let not_before = match position {
        Position::TrimHorizon => Timestamp::MIN,
        Position::At(ms) => Timestamp::from_millisecond(*ms).unwrap_or(Timestamp::MIN),
        Position::After(_) | Position::ShardEnd => return false,
    };
    let created_at = shard.created_ms().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    created_at.is_some_and(|created_at| now.duration_since(created_at.max(started_at).max(not_before)) > RETENTION)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::testing::{at, shard_id};

    #[test]
    fn a_shard_is_aged_when_records_since_the_first_start_may_be_gone() {
        let hours = |hours| SignedDuration::from_hours(hours);
        let shard = |at: Timestamp| shard_id(&format!("shardId-{:020}-2bac9cd2", at.as_millisecond()));
        let aged = |position: Position, created_at, now| is_aged(&position, &shard(created_at), at(0), now);
        let later = at(0) + hours(100);
        assert!(aged(Position::TrimHorizon, later, later + hours(24)));
        assert!(!aged(Position::TrimHorizon, later, later + hours(23)));
        assert!(!aged(Position::TrimHorizon, at(0) - hours(20), at(0) + hours(5)), "what was before the first start is history");
        assert!(aged(Position::TrimHorizon, at(0) - hours(20), at(0) + hours(24)));
        assert!(!aged(Position::At((later - hours(1)).as_millisecond()), at(0), later));
        assert!(!aged(Position::ShardEnd, at(0), later));
        assert!(!is_aged(&Position::TrimHorizon, &shard_id("s"), at(0), later), "an emulator's id tells no age");
    }
}
