//! Acquiring shards that are free: greedily, whatever others hold. Balance among workers is a matter of which of the
//! claimable shards to leave; that choice belongs here.

use tokio::time::Instant;

use super::{Source, Worker, key};
use crate::client::Streams;
use crate::control::shard::ShardItem;
use crate::error::Error;
use crate::graph::Gate;
use crate::id::{ShardId, WorkerId};
use crate::lease::HeldShard;

/// Most shards of one stream a tick tries to acquire, so that beats are not late when there are thousands.
const CLAIMS_MAX: usize = 50;

impl Worker {
    /// Reads the stored shards and workers again, as often as this worker beats.
    pub(super) async fn refresh(&mut self, mono: Instant) -> Result<(), Error> {
        if self.refresh_due.is_some_and(|due| mono < due) {
            return Ok(());
        }
        for source in &mut self.sources {
            source.graph.replace(self.streams.shards(source.graph.stream()).await?);
        }
        // After the shards: a worker is stored before it owns any, so that every live owner of those is among these.
        self.membership.observe(self.streams.workers().await?, mono);
        self.refresh_due = Some(mono + self.membership.interval());
        Ok(())
    }

    /// Acquires the shards that may be acquired.
    pub(super) async fn claim(&mut self, mono: Instant) -> Result<(), Error> {
        let me = self.membership.id.clone();
        let is_dead = |owner: &WorkerId| self.membership.is_dead(owner, mono);
        let mut outcome = Ok(());
        for source in &mut self.sources {
            let is_held = |shard: &ShardId| self.held.contains_key(&(source.graph.stream().clone(), shard.clone()));
            let claimable: Vec<ShardItem> =
                source.graph.claimable(&me, is_held, is_dead).into_iter().take(CLAIMS_MAX).cloned().collect();
            for shard in claimable {
                match source.claim(&self.streams, &shard, &me).await {
                    Ok(Some(held)) => {
                        self.held.insert(key(&held), None);
                        self.acquired.push(held);
                    }
                    // Its gate is closed, or another was quicker: a look at all of it tells.
                    Ok(None) => self.refresh_due = None,
                    Err(error) => {
                        outcome = outcome.and(Err(error));
                        break;
                    }
                }
            }
        }
        outcome
    }
}

impl Source {
    async fn claim(&mut self, streams: &Streams, shard: &ShardItem, me: &WorkerId) -> Result<Option<HeldShard>, Error> {
        let stream = self.graph.stream();
        match self.graph.gate(shard) {
            Gate::Open => {}
            Gate::Passing(parent) => streams.open(stream, shard, parent).await?,
            Gate::Closed => return Ok(None),
        }
        let Some(held) = streams.acquire(stream, shard, me).await? else { return Ok(None) };
        let (epoch, position) = (held.lease.epoch, &held.position);
        tracing::info!(%stream, shard = %held.shard, epoch, %position, "shard acquired");
        self.graph.change(&held.shard, |shard| {
            shard.fence.owner = Some(me.clone());
            shard.fence.epoch = epoch;
        });
        Ok(Some(held))
    }
}
