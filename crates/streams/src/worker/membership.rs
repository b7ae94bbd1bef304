//! Who is alive. A worker beats; whoever sees another's beat unchanged for the TTL, by its own monotonic clock, takes it
//! for dead. No two machines' clocks are compared.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Worker;
use crate::client::Streams;
use crate::control::worker::{Seen, WorkerItem, WorkerStatus, seen_key};
use crate::error::Error;
use crate::id::WorkerId;

/// A worker beats this often within the TTL, so that a few lost beats do not cost it its shards.
const BEATS_PER_TTL: u32 = 5;

/// This worker's own beat, and what it knows of the others'.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) id: WorkerId,
    lease_ttl: Duration,
    status: WorkerStatus,
    beat_due: Instant,
    /// When the last beat that succeeded was sent: its effect is not later than that.
    last_beat: Instant,
    peers: BTreeMap<WorkerId, Peer>,
}

#[derive(Debug)]
struct Peer {
    item: WorkerItem,
    /// When this process first saw the beat that the item shows.
    changed_at: Instant,
}

impl Membership {
    pub(super) fn new(id: WorkerId, lease_ttl: Duration, mono: Instant) -> Self {
        let peers = BTreeMap::new();
        Self { id, lease_ttl, status: WorkerStatus::Active, beat_due: mono, last_beat: mono, peers }
    }

    pub(super) fn interval(&self) -> Duration {
        self.lease_ttl / BEATS_PER_TTL
    }

    pub(super) fn is_beat_due(&self, mono: Instant) -> bool {
        mono >= self.beat_due
    }

    pub(super) async fn beat(&mut self, streams: &Streams, seen: &Seen, now: Timestamp, mono: Instant) -> Result<(), Error> {
        streams.beat(&self.id, self.status, seen, now).await?;
        self.last_beat = mono;
        self.beat_due = mono + self.interval();
        Ok(())
    }

    pub(super) fn is_paused(&self, mono: Instant) -> bool {
        mono.saturating_duration_since(self.last_beat) >= self.lease_ttl * 2 / 3
    }

    pub(super) fn drain(&mut self) {
        self.status = WorkerStatus::Draining;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.status == WorkerStatus::Draining
    }

    /// Takes in the workers as stored at `mono`.
    pub(super) fn observe(&mut self, items: Vec<WorkerItem>, mono: Instant) {
        let mut before = std::mem::take(&mut self.peers);
        for item in items {
            let known = before.remove(&item.id).filter(|peer| peer.item.beat == item.beat);
            let changed_at = known.map_or(mono, |peer| peer.changed_at);
            self.peers.insert(item.id.clone(), Peer { item, changed_at });
        }
    }

    /// Whether shards of this owner may be taken: it has left, or was silent for the TTL.
    pub(super) fn is_dead(&self, worker: &WorkerId, mono: Instant) -> bool {
        self.peers.get(worker).is_none_or(|peer| self.is_silent(peer, mono))
    }

    /// Whether it is this worker's turn to list and to publish: the live worker with the least id does.
    pub(super) fn is_first(&self, mono: Instant) -> bool {
        let is_able = |peer: &Peer| peer.item.status == WorkerStatus::Active && !self.is_silent(peer, mono);
        let others = self.peers.iter().filter(|(id, peer)| **id != self.id && is_able(peer));
        others.map(|(id, _)| id).min().is_none_or(|least| self.id < *least)
    }

    /// What the live others have seen of a shard.
    pub(super) fn seen_by_others(&self, shard: &str, mono: Instant) -> Option<Timestamp> {
        let live = self.peers.iter().filter(|(id, peer)| **id != self.id && !self.is_silent(peer, mono));
        live.filter_map(|(_, peer)| peer.item.seen.get(shard).copied()).max()
    }

    fn is_silent(&self, peer: &Peer, mono: Instant) -> bool {
        mono.saturating_duration_since(peer.changed_at) >= self.lease_ttl
    }
}

impl Worker {
    /// What this worker reports of the shards it holds.
    pub(super) fn seen(&self) -> Seen {
        let known = self.held.iter().filter_map(|(shard, watermark)| Some((shard, (*watermark)?)));
        known.map(|((stream, shard), watermark)| (seen_key(stream, shard), watermark)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(id: &str, beat: u64, status: WorkerStatus) -> WorkerItem {
        WorkerItem { id: WorkerId::new(id).unwrap(), beat, status, seen: Seen::new() }
    }

    #[test]
    fn a_worker_is_dead_after_a_ttl_of_silence_by_our_own_clock() {
        let (ttl, start) = (Duration::from_secs(15), Instant::now());
        let mut membership = Membership::new(WorkerId::new("b.1").unwrap(), ttl, start);
        let peer = WorkerId::new("a.1").unwrap();
        assert!(membership.is_dead(&peer, start), "an owner without an item has left");
        membership.observe(vec![worker("a.1", 7, WorkerStatus::Active)], start);
        assert!(!membership.is_dead(&peer, start + ttl - Duration::from_millis(1)));
        membership.observe(vec![worker("a.1", 7, WorkerStatus::Active)], start + ttl / 2);
        assert!(membership.is_dead(&peer, start + ttl), "the same beat again is no sign of life");
        membership.observe(vec![worker("a.1", 8, WorkerStatus::Active)], start + ttl);
        assert!(!membership.is_dead(&peer, start + ttl + ttl / 2));
    }

    #[test]
    fn the_live_worker_with_the_least_id_lists() {
        let (ttl, start) = (Duration::from_secs(15), Instant::now());
        let mut membership = Membership::new(WorkerId::new("b.1").unwrap(), ttl, start);
        assert!(membership.is_first(start));
        membership.observe(vec![worker("a.1", 1, WorkerStatus::Active), worker("b.1", 1, WorkerStatus::Active)], start);
        assert!(!membership.is_first(start));
        assert!(membership.is_first(start + ttl), "the other one is dead by now");
        membership.observe(vec![worker("a.1", 2, WorkerStatus::Draining)], start + ttl);
        assert!(membership.is_first(start + ttl), "a draining worker lists nothing");
    }

    #[test]
    fn a_worker_that_cannot_beat_pauses_before_others_take_over() {
        let (ttl, start) = (Duration::from_secs(15), Instant::now());
        let membership = Membership::new(WorkerId::new("b.1").unwrap(), ttl, start);
        assert!(!membership.is_paused(start + Duration::from_secs(9)));
        assert!(membership.is_paused(start + Duration::from_secs(10)));
    }
}
