//! The open connections: how many there may be, of all peers and of one, and which is closed when there are too many or one takes too
//! long. Pure but for the clock; `serve.rs` does the I/O and acts on the signals.
//!
//! A connection is *silent* until its first request head is complete, *busy* while a request is being answered or an answer is not yet
//! sent, and *idle* in between. Silent and idle connections cost only memory, so they are the ones that are closed to make room: silent
//! ones first, each kind in the order of time. A client that opens connections without end therefore closes its own.
//!
//! An answer counts as unsent until the last byte of it is freed: the bytes own their [`Exchange`] (`layers/unsent.rs`). hyper has no
//! time-out for writing, and with HTTP/2 a client that never opens its window lets answers wait in memory without a byte to write.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::instruments::{self, Ended};

/// How many connections and unsent answers there may be, and how long each state may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once. Only 256 requests are answered at once; the rest is room for clients that keep theirs open.
    pub connections_max: usize,
    /// Connections of one peer at once: an IPv4 address, or a /64 network of IPv6. Behind a load balancer the peer is one of its nodes.
    pub peer_max: usize,
    /// Answers that wait to be sent, of all connections. Beyond, the peer that leaves most of them unread loses a connection: the one
    /// with most of them.
    pub unsent_max: usize,
    /// From accepting a connection to the last byte of its first request head.
    pub first_head_max: Duration,
    /// Without a request. Longer than the minute after which load balancers close an idle connection: the side that opened it should
    /// close it, or a request may cross the close.
    pub idle_max: Duration,
    /// A connection that is older is closed after its next request, so that clients spread over pods that were added.
    pub age_max: Duration,
    /// From the answer's head to its last byte: for 4 MB in 60 s, 70 kB/s. After half of it the connection takes no more requests, so
    /// that a proxy which shares it among its clients opens another.
    pub send_max: Duration,
    /// Between two looks at the table.
    pub sweep_every: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            peer_max: 512,
            unsent_max: 512,
            first_head_max: Duration::from_secs(20),
            idle_max: Duration::from_secs(75),
            age_max: Duration::from_secs(60 * 60),
            send_max: Duration::from_secs(60),
            sweep_every: Duration::from_secs(1),
        }
    }
}

/// A reader whose answer has waited for less than this does not count as slow.
const SLOW_AFTER: Duration = Duration::from_secs(5);
/// What a connection that was asked to finish may still take: the longest request and the longest sending.
const FINISH_MAX: Duration = Duration::from_secs(75);

/// The table of open connections. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: ConnectionLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    open: HashMap<u64, Open>,
    /// The connections that are not busy, in the order in which they are closed to make room.
    waiting: BTreeSet<(Stage, Instant, u64)>,
    /// The connection of each unsent answer, by the instant its head was made and the number of its exchange.
    unsent: BTreeMap<(Instant, u64), u64>,
    /// No entry is zero.
    of_peer: HashMap<Peer, usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Silent,
    Idle,
}

#[derive(Debug)]
struct Open {
    peer: Peer,
    opened_at: Instant,
    /// `None` while it is busy.
    waits: Option<(Stage, Instant)>,
    exchanges: usize,
    finishing_since: Option<Instant>,
    signals: Signals,
}

/// What a connection is asked to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// Finish the requests under way and take no more.
    pub finish: CancellationToken,
    /// Close at once.
    pub close: CancellationToken,
}

/// The other end of a connection. A host of IPv6 can choose any address of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Peer(IpAddr);

impl Peer {
    fn of(address: IpAddr) -> Self {
        let IpAddr::V6(address) = address.to_canonical() else { return Self(address.to_canonical()) };
        Self(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into())
    }
}

/// One open connection; dropped, it is no longer counted.
#[derive(Debug)]
pub(crate) struct Connection {
    connections: Connections,
    id: u64,
    pub signals: Signals,
}

/// A request and its answer, until the last clone is gone: when the answer's bytes are sent, or dropped.
#[derive(Debug, Clone)]
pub(crate) struct Exchange(Arc<Exchanged>);

#[derive(Debug)]
struct Exchanged {
    connections: Connections,
    connection: u64,
    id: u64,
    answered_at: OnceLock<Instant>,
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self(Arc::new(Shared { limits, state: Mutex::default() }))
    }

    pub(crate) fn limits(&self) -> &ConnectionLimits {
        &self.0.limits
    }

    /// Counts a connection that was accepted. `None`: there is no room, and all others are busy; it is to be dropped.
    pub(crate) fn open(&self, address: IpAddr) -> Option<Connection> {
        let (limits, now, peer) = (self.limits(), Instant::now(), Peer::of(address));
        let mut state = self.state();
        let of_peer = state.of_peer.get(&peer).copied().unwrap_or_default();
        let has_room = (of_peer < limits.peer_max || state.make_room(|open| open.peer == peer, now))
            && (state.open.len() < limits.connections_max || state.make_room(|_| true, now));
        if !has_room {
            instruments::connection_ended(Ended::Refused);
            return None;
        }
        let id = state.take_id();
        let signals = Signals::default();
        let waits = (Stage::Silent, now);
        let open =
            Open { peer, opened_at: now, waits: Some(waits), exchanges: 0, finishing_since: None, signals: signals.clone() };
        state.open.insert(id, open);
        state.waiting.insert((waits.0, waits.1, id));
        *state.of_peer.entry(peer).or_default() += 1;
        Some(Connection { connections: self.clone(), id, signals })
    }

    /// Closes what has taken too long.
    pub(crate) fn sweep(&self) {
        let (limits, now) = (self.limits(), Instant::now());
        let mut state = self.state();
        let too_long = |since: Instant, max: Duration| now.duration_since(since) >= max;
        let silent = state.waiting.iter().filter(|(stage, ..)| *stage == Stage::Silent);
        let silent: Vec<u64> =
            silent.take_while(|(_, since, _)| too_long(*since, limits.first_head_max)).map(|at| at.2).collect();
        let slow: Vec<u64> =
            state.unsent.iter().take_while(|((since, _), _)| too_long(*since, limits.send_max)).map(|(_, id)| *id).collect();
        for (ids, ended) in [(silent, Ended::Silent), (slow, Ended::Unsent)] {
            ids.into_iter().for_each(|id| state.close(id, ended));
        }
        let half = limits.send_max / 2;
        let slowing: Vec<u64> =
            state.unsent.iter().take_while(|((since, _), _)| too_long(*since, half)).map(|(_, id)| *id).collect();
        for id in slowing {
            state.finish(id, now);
        }
        let idle = state.waiting.iter().filter(|(stage, ..)| *stage == Stage::Idle);
        let idle: Vec<u64> = idle.take_while(|(_, since, _)| too_long(*since, limits.idle_max)).map(|at| at.2).collect();
        for id in idle {
            if state.finish(id, now) {
                instruments::connection_ended(Ended::Idle);
            }
        }
        let is_overdue = |open: &Open| open.finishing_since.is_some_and(|since| too_long(since, FINISH_MAX));
        let overdue: Vec<u64> = state.open.iter().filter(|(_, open)| is_overdue(open)).map(|(id, _)| *id).collect();
        overdue.into_iter().for_each(|id| state.close(id, Ended::Overdue));
    }

    /// Closes what is silent: there is nothing to finish.
    pub(crate) fn close_silent(&self) {
        let mut state = self.state();
        let silent: Vec<u64> = state.waiting.iter().filter(|at| at.0 == Stage::Silent).map(|at| at.2).collect();
        silent.into_iter().for_each(|id| state.close(id, Ended::Silent));
    }

    /// Closes the connection whose answer has waited longest to be sent, if that is a slow reader's. For when memory is short.
    pub(crate) fn close_slowest(&self) {
        let mut state = self.state();
        if let Some(slowest) = state.slowest(|_| true, Instant::now()) {
            state.close(slowest, Ended::Crowded);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No state is left half changed by a panic: nothing in here panics.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Closes one of these connections that is not busy, or the one that reads slowest.
    fn make_room(&mut self, is_one: impl Fn(&Open) -> bool, now: Instant) -> bool {
        let waiting = self.waiting.iter().map(|at| at.2).find(|id| self.open.get(id).is_some_and(&is_one));
        let chosen = waiting.or_else(|| self.slowest(is_one, now));
        if let Some(id) = chosen {
            self.close(id, Ended::Crowded);
        }
        chosen.is_some()
    }

    fn slowest(&self, is_one: impl Fn(&Open) -> bool, now: Instant) -> Option<u64> {
        let slow = self.unsent.iter().take_while(|((since, _), _)| now.duration_since(*since) >= SLOW_AFTER);
        slow.map(|(_, id)| *id).find(|id| self.open.get(id).is_some_and(&is_one))
    }

    /// Of the peer that leaves most answers unread, the connection with most of them; of several, the one that has waited longest.
    fn most_unread(&self) -> Option<u64> {
        let (mut of_peer, mut of_connection) = (HashMap::new(), HashMap::new());
        let unread = || self.unsent.values().filter_map(|id| Some((id, self.open.get(id)?.peer)));
        for (id, peer) in unread() {
            *of_peer.entry(peer).or_insert(0) += 1;
            *of_connection.entry(*id).or_insert(0) += 1;
        }
        let count = |(id, peer): (&u64, Peer)| (of_peer[&peer], of_connection[id]);
        // The first of the largest: `max_by_key` gives the last, and the map begins with the oldest.
        unread().rev().max_by_key(|at| count(*at)).map(|(id, _)| *id)
    }

    /// It is no longer counted from now on; its task ends when it sees the signal.
    fn close(&mut self, id: u64, ended: Ended) {
        if let Some(open) = self.remove(id) {
            open.signals.close.cancel();
            instruments::connection_ended(ended);
        }
    }

    /// Whether it was asked for the first time.
    fn finish(&mut self, id: u64, now: Instant) -> bool {
        let Some(open) = self.open.get_mut(&id).filter(|open| open.finishing_since.is_none()) else { return false };
        open.finishing_since = Some(now);
        open.signals.finish.cancel();
        true
    }

    fn remove(&mut self, id: u64) -> Option<Open> {
        let open = self.open.remove(&id)?;
        self.unsent.retain(|_, of| *of != id);
        if let Some((stage, since)) = open.waits {
            self.waiting.remove(&(stage, since, id));
        }
        if let Some(of_peer) = self.of_peer.get_mut(&open.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                self.of_peer.remove(&open.peer);
            }
        }
        Some(open)
    }
}

impl Connection {
    /// A request head is complete.
    pub(crate) fn begin(&self) -> Exchange {
        let (limits, now) = (self.connections.limits(), Instant::now());
        let mut state = self.connections.state();
        let id = state.take_id();
        if let Some(open) = state.open.get_mut(&self.id) {
            open.exchanges += 1;
            let waited = open.waits.take();
            let is_old = now.duration_since(open.opened_at) >= limits.age_max;
            if let Some((stage, since)) = waited {
                state.waiting.remove(&(stage, since, self.id));
            }
            if is_old && state.finish(self.id, now) {
                instruments::connection_ended(Ended::Aged);
            }
        }
        let exchanged =
            Exchanged { connections: self.connections.clone(), connection: self.id, id, answered_at: OnceLock::new() };
        Exchange(Arc::new(exchanged))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.state().remove(self.id);
    }
}

impl Exchange {
    /// The answer is made, and waits to be sent from now on.
    pub(crate) fn answered(&self) {
        let Exchanged { connections, connection, id, answered_at } = &*self.0;
        let at = *answered_at.get_or_init(Instant::now);
        let mut state = connections.state();
        if !state.open.contains_key(connection) {
            return;
        }
        state.unsent.insert((at, *id), *connection);
        if state.unsent.len() > connections.limits().unsent_max
            && let Some(id) = state.most_unread()
        {
            state.close(id, Ended::Crowded);
        }
    }
}

impl Drop for Exchanged {
    fn drop(&mut self) {
        let mut state = self.connections.state();
        if let Some(at) = self.answered_at.get() {
            state.unsent.remove(&(*at, self.id));
        }
        let Some(open) = state.open.get_mut(&self.connection) else { return };
        open.exchanges -= 1;
        if open.exchanges == 0 {
            let now = Instant::now();
            open.waits = Some((Stage::Idle, now));
            state.waiting.insert((Stage::Idle, now, self.connection));
        }
    }
}

#[cfg(test)]
mod tests;
