//! Acquiring the shards that are this worker's by the table all workers compute, and naming those it should hand over.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tokio::time::{Duration, Instant};

use super::{Source, Worker, key};
use crate::assignment::{ShardKey, assign};
use crate::client::Streams;
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
    pub(super) async fn claim(&mut self, mono: Instant) -> Result<(), Error> {
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
            match source.claim(&self.streams, &item, &me).await {
                Ok(Some(held)) => {
                    self.held.insert(key(&held), held.watermark);
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
    async fn claim(&mut self, streams: &Streams, shard: &ShardItem, me: &WorkerId) -> Result<Option<HeldShard>, Error> {
        let stream = self.graph.stream().clone();
        match self.graph.gate(shard) {
            Gate::Open => {}
            Gate::Passing(parent) => streams.open(&stream, shard, parent).await?,
            Gate::Closed => return Ok(None),
        }
        let Some(held) = streams.acquire(&stream, shard, me).await? else { return Ok(None) };
        self.note_lease(&held);
        tracing::info!(%stream, shard = %held.shard, epoch = held.lease.epoch, position = %held.position, "shard acquired");
        // One gap says for good that something of the shard is missing.
        let whole_until = if shard.gap { None } else { whole_until(&held.position, &held.shard, self.promised_since()) };
        Ok(Some(HeldShard { whole_until, ..held }))
    }

    /// Since when every change is to be counted: its whole history, or what was there at the first start.
    fn promised_since(&self) -> Timestamp {
        if self.has_history { Timestamp::MIN } else { self.started_at }
    }

    fn note_lease(&mut self, held: &HeldShard) {
        self.graph.change(&held.shard, |shard| {
            shard.fence.owner = Some(held.lease.owner.clone());
            shard.fence.epoch = held.lease.epoch;
        });
    }
}

/// Until when a shard that was never read has certainly lost no record that had to be: those since the promise begins. None: it
/// was read, or its age is not known, for only an AWS id tells it.
fn whole_until(position: &Position, shard: &ShardId, promised_since: Timestamp) -> Option<Timestamp> {
    let not_before = match position {
        Position::TrimHorizon => Timestamp::MIN,
        Position::At(ms) => Timestamp::from_millisecond(*ms).unwrap_or(Timestamp::MIN),
        Position::After(_) | Position::ShardEnd => return None,
    };
    let created_at = Timestamp::from_millisecond(shard.created_ms()?).ok()?;
    created_at.max(promised_since).max(not_before).checked_add(RETENTION).ok()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::testing::{at, shard_id};

    fn shard(at: Timestamp) -> ShardId {
        shard_id(&format!("shardId-{:020}-2bac9cd2", at.as_millisecond()))
    }

    #[test]
    fn a_shard_is_whole_for_as_long_as_none_of_what_was_promised_can_be_trimmed() {
        let hours = SignedDuration::from_hours;
        let (start, before, later) = (at(0), at(0) - hours(20), at(0) + hours(100));
        let until = |position, created_at, since| whole_until(&position, &shard(created_at), since);
        assert_eq!(until(Position::TrimHorizon, later, start), Some(later + RETENTION));
        assert_eq!(until(Position::TrimHorizon, before, start), Some(start + RETENTION), "what was before the start is history");
        assert_eq!(until(Position::TrimHorizon, before, Timestamp::MIN), Some(before + RETENTION), "which was promised, too");
        let instant = later - hours(1);
        assert_eq!(until(Position::At(instant.as_millisecond()), start, start), Some(instant + RETENTION));
        assert_eq!(until(Position::ShardEnd, start, start), None);
        assert_eq!(whole_until(&Position::TrimHorizon, &shard_id("s"), start), None, "an emulator's id tells no age");
    }
}
