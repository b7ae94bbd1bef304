//! Who is alive. A worker beats; whoever sees another's beat unchanged for the TTL, by its own monotonic clock, takes it
//! for dead. No two machines' clocks are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::client::Streams;
use crate::control::seen::Seen;
use crate::control::worker::{WorkerItem, WorkerStatus};
use crate::error::Error;
use crate::id::{StreamId, WorkerId};

/// A worker beats this often within the TTL, so that a few lost beats do not cost it its shards.
const BEATS_PER_TTL: u32 = 5;
/// What changed is told this soon, not only with the next beat.
const TELL: Duration = Duration::from_secs(1);
/// What failed is tried again after this long at most.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Most dead workers that are forgotten in one look.
const FORGOTTEN_MAX: usize = 10;
/// Shard tasks that show nothing for this long are stuck: a page or a commit takes seconds at worst.
const STALLED: Duration = Duration::from_secs(60);

/// This worker's own beat, and what it knows of the others'.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) id: WorkerId,
    lease_ttl: Duration,
    status: WorkerStatus,
    changes: u64,
    /// How far this machine's clock is ahead of DynamoDB's.
    pub(super) skew: SignedDuration,
    beat_due: Instant,
    /// When the last beat that succeeded was sent: its effect is not later than that.
    last_beat: Instant,
    peers: BTreeMap<WorkerId, Peer>,
    /// When the application last reported progress of its shard tasks, or could not be expected to make any. None: it
    /// never reported, and is not watched.
    progress_at: Option<Instant>,
}

#[derive(Debug)]
struct Peer {
    item: WorkerItem,
    /// When this process first saw the beat that the item shows.
    changed_at: Instant,
}

impl Membership {
    pub(super) fn new(id: WorkerId, lease_ttl: Duration, mono: Instant) -> Self {
        Self {
            id,
            lease_ttl,
            status: WorkerStatus::Active,
            changes: 0,
            skew: SignedDuration::ZERO,
            beat_due: mono,
            last_beat: mono,
            peers: BTreeMap::new(),
            progress_at: None,
        }
    }

    pub(super) fn lease_ttl(&self) -> Duration {
        self.lease_ttl
    }

    pub(super) fn interval(&self) -> Duration {
        self.lease_ttl / BEATS_PER_TTL
    }

    pub(super) fn is_beat_due(&self, mono: Instant) -> bool {
        mono >= self.beat_due
    }

    /// Beats, saying which streams this worker reads, what it has learnt of their delays, and how wrong its clock is.
    pub(super) async fn beat(
        &mut self,
        streams: &Streams,
        read: BTreeMap<StreamId, Option<SignedDuration>>,
        now: Timestamp,
        mono: Instant,
    ) -> Result<(), Error> {
        let me = WorkerItem {
            id: self.id.clone(),
            beat: 0,
            status: self.status,
            streams: read.keys().cloned().collect(),
            changes: self.changes,
            delays: read.into_iter().filter_map(|(stream, delay)| Some((stream, delay?))).collect(),
            skew: self.skew,
            seen: Seen::new(),
        };
        streams.beat(&me, now).await?;
        self.last_beat = mono;
        self.beat_due = mono + self.interval();
        Ok(())
    }

    /// This worker has changed which shards there are or who holds them: the others are to know soon.
    pub(super) fn changed(&mut self) {
        self.changes += 1;
        self.beat_due = self.beat_due.min(self.last_beat + TELL);
    }

    /// Beats fail, so others may soon take over. A worker that withholds its beats is stuck, not paused.
    pub(super) fn is_paused(&self, mono: Instant) -> bool {
        !self.is_stalled(mono) && mono.saturating_duration_since(self.last_beat) >= self.lease_ttl * 2 / 3
    }

    /// The shard tasks go on, or are not expected to: they are paused, or there are none.
    pub(super) fn progressed(&mut self, mono: Instant) {
        self.progress_at = self.progress_at.max(Some(mono));
    }

    /// Keeps tasks that cannot make progress just now from being taken for stuck.
    pub(super) fn excuse(&mut self, mono: Instant) {
        if self.progress_at.is_some() {
            self.progressed(mono);
        }
    }

    /// The shard tasks have made no progress for so long that this worker should not hold their shards any more.
    pub(super) fn is_stalled(&self, mono: Instant) -> bool {
        let allowed = STALLED.max(self.lease_ttl * 2);
        self.progress_at.is_some_and(|at| mono.saturating_duration_since(at) >= allowed)
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

    /// The live workers that take shards of a stream, in order. This one is among them unless it drains.
    pub(super) fn readers(&self, stream: &StreamId, mono: Instant) -> BTreeSet<WorkerId> {
        self.active(mono, |worker| worker.streams.contains(stream))
    }

    /// The live workers that take anything, in order. This one is among them unless it drains.
    pub(super) fn takers(&self, mono: Instant) -> BTreeSet<WorkerId> {
        self.active(mono, |_| true)
    }

    fn active(&self, mono: Instant, takes: impl Fn(&WorkerItem) -> bool) -> BTreeSet<WorkerId> {
        let is_one = |peer: &Peer| peer.item.status == WorkerStatus::Active && takes(&peer.item) && !self.is_silent(peer, mono);
        let others = self.peers.iter().filter(|(id, peer)| **id != self.id && is_one(peer)).map(|(id, _)| id.clone());
        others.chain((!self.is_draining()).then(|| self.id.clone())).collect()
    }

    /// How many live readers of a stream come before this worker. The first one lists and publishes.
    pub(super) fn rank(&self, stream: &StreamId, mono: Instant) -> usize {
        self.readers(stream, mono).iter().take_while(|id| **id < self.id).count()
    }

    /// Whether this worker publishes a stream's watermark: the first of the readers that were heard of lately. While two of them think so,
    /// both publish what is true, and the later watermark stays; so another's silence need not last for the lease's time.
    pub(super) fn publishes(&self, stream: &StreamId, mono: Instant) -> bool {
        let is_lively = |peer: &Peer| mono.saturating_duration_since(peer.changed_at) < self.lease_ttl / 2;
        let is_before = |peer: &&Peer| {
            let WorkerItem { id, status, streams, .. } = &peer.item;
            *id < self.id && *status == WorkerStatus::Active && streams.contains(stream) && is_lively(peer)
        };
        !self.is_draining() && !self.peers.values().any(|peer| is_before(&peer))
    }

    /// How often each of the others has changed what is stored of shards.
    pub(super) fn changes_of(&self, items: &[WorkerItem]) -> BTreeMap<WorkerId, u64> {
        items.iter().filter(|item| item.id != self.id).map(|item| (item.id.clone(), item.changes)).collect()
    }

    /// The live others, those that drain too.
    pub(super) fn others(&self, mono: Instant) -> impl Iterator<Item = &WorkerItem> {
        let live = self.peers.iter().filter(move |(id, peer)| **id != self.id && !self.is_silent(peer, mono));
        live.map(|(_, peer)| &peer.item)
    }

    /// The largest delay of a stream that live others have learnt.
    pub(super) fn delay_by_others(&self, stream: &StreamId, mono: Instant) -> Option<SignedDuration> {
        self.others(mono).filter_map(|worker| worker.delays.get(stream).copied()).max()
    }

    /// The skew of the live worker whose clock is most wrong.
    pub(super) fn largest_skew(&self, mono: Instant) -> SignedDuration {
        let skews = self.others(mono).map(|worker| worker.skew).chain([self.skew]);
        skews.max_by_key(|skew| skew.unsigned_abs()).unwrap_or_default()
    }

    /// The dead others, if it is for this worker to forget them: one of the live ones does. Nothing is theirs any more, and whoever starts
    /// next would wait for each of them once more, as it cannot know for how long they have been silent.
    pub(super) fn to_forget(&self, mono: Instant) -> Vec<WorkerItem> {
        let is_first = self.takers(mono).first() == Some(&self.id);
        let dead = self.peers.iter().filter(|(id, peer)| is_first && **id != self.id && self.is_silent(peer, mono));
        dead.map(|(_, peer)| peer.item.clone()).take(FORGOTTEN_MAX).collect()
    }

    /// How long what failed may be left alone: not so long that others take this worker's shards for a passing hiccup, unless they
    /// may have done so already.
    pub(super) fn patience(&self, mono: Instant) -> Duration {
        let is_late = mono.saturating_duration_since(self.last_beat) >= self.lease_ttl;
        if is_late { RETRY_MAX } else { RETRY_MAX.min(self.interval() / 2) }
    }

    /// Whether a peer that was alive at `since` is silent by now, as far as was seen.
    pub(super) fn falls_silent(&self, since: Instant, mono: Instant) -> bool {
        self.peers.values().any(|peer| !self.is_silent(peer, since) && self.is_silent(peer, mono))
    }

    fn is_silent(&self, peer: &Peer, mono: Instant) -> bool {
        mono.saturating_duration_since(peer.changed_at) >= self.lease_ttl
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(id: &str, beat: u64, status: WorkerStatus) -> WorkerItem {
        let streams = BTreeSet::from([stream()]);
        WorkerItem {
            id: WorkerId::new(id).unwrap(),
            beat,
            status,
            streams,
            changes: 0,
            delays: BTreeMap::new(),
            skew: SignedDuration::ZERO,
            seen: Seen::new(),
        }
    }

    fn stream() -> StreamId {
        StreamId::new("Orders/1").unwrap()
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
        assert_eq!(membership.rank(&stream(), start), 0);
        membership.observe(vec![worker("a.1", 1, WorkerStatus::Active), worker("b.1", 1, WorkerStatus::Active)], start);
        assert_eq!(membership.rank(&stream(), start), 1);
        assert_eq!(membership.rank(&stream(), start + ttl), 0, "the other one is dead by now");
        membership.observe(vec![worker("a.1", 2, WorkerStatus::Draining)], start + ttl);
        assert_eq!(membership.rank(&stream(), start + ttl), 0, "a draining worker lists nothing");
        membership.observe(vec![worker("a.1", 3, WorkerStatus::Active)], start + ttl);
        let other = StreamId::new("Stock/1").unwrap();
        assert_eq!(membership.rank(&other, start + ttl), 0, "it does not read that stream");
    }

    #[test]
    fn a_worker_that_cannot_beat_pauses_before_others_take_over() {
        let (ttl, start) = (Duration::from_secs(15), Instant::now());
        let membership = Membership::new(WorkerId::new("b.1").unwrap(), ttl, start);
        assert!(!membership.is_paused(start + Duration::from_secs(9)));
        assert!(membership.is_paused(start + Duration::from_secs(10)));
    }

    #[test]
    fn a_worker_whose_tasks_show_nothing_is_stuck_unless_it_is_excused() {
        let (ttl, start) = (Duration::from_secs(15), Instant::now());
        let mut membership = Membership::new(WorkerId::new("b.1").unwrap(), ttl, start);
        membership.excuse(start);
        assert!(!membership.is_stalled(start + STALLED * 9), "an application that never reports is not watched");
        membership.progressed(start);
        assert!(!membership.is_stalled(start + STALLED - Duration::from_millis(1)));
        assert!(membership.is_stalled(start + STALLED));
        assert!(!membership.is_paused(start + STALLED), "or it could not show that it goes on again");
        membership.excuse(start + STALLED);
        assert!(membership.is_paused(start + STALLED) && !membership.is_stalled(start + STALLED));
    }

    #[test]
    fn a_change_is_told_within_a_second() {
        let (ttl, start) = (Duration::from_secs(15), Instant::now());
        let mut membership = Membership::new(WorkerId::new("b.1").unwrap(), ttl, start);
        membership.beat_due = start + ttl / BEATS_PER_TTL;
        membership.changed();
        assert!(!membership.is_beat_due(start + Duration::from_millis(999)));
        assert!(membership.is_beat_due(start + Duration::from_secs(1)));
    }
}
