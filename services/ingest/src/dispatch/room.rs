//! How much may be under way at once: for one endpoint, for those that fail, and for the whole process.
//!
//! An endpoint that is overloaded or silent is tried by fewer at once: half as many after each such failure, one more after each
//! success. Those that have been cut back share half of the process's room, so that however many of them there are, endpoints that
//! answer always find some.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidemark_domain::EndpointId;
use tidemark_webhooks::send::{Attempt, Outcome};

/// Most exchanges with one endpoint.
pub(super) const ENDPOINT_MAX: usize = 4;
/// Most exchanges of the process.
pub(super) const PROCESS_MAX: usize = 64;
/// Most exchanges with endpoints that were cut back.
const CUT_BACK_MAX: usize = PROCESS_MAX / 2;
/// Most endpoints remembered as cut back while nothing is under way with them; beyond, they are all forgiven.
const REMEMBERED_MAX: usize = 10_000;

/// The room of one process. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_cut_back: usize,
    /// Endpoints with anything under way, or cut back.
    shares: HashMap<EndpointId, Share>,
}

#[derive(Debug)]
struct Share {
    limit: usize,
    taken: usize,
}

/// Room for one exchange; given back when dropped, panic or not.
#[derive(Debug)]
pub(super) struct Permit {
    room: Room,
    endpoint: EndpointId,
    is_cut_back: bool,
}

impl Default for Share {
    fn default() -> Self {
        Self { limit: ENDPOINT_MAX, taken: 0 }
    }
}

impl Room {
    /// Room for one more exchange with an endpoint, if there is any.
    pub(super) fn take(&self, endpoint: &EndpointId) -> Option<Permit> {
        let mut taken = self.lock();
        let Taken { all, by_cut_back, shares } = &mut *taken;
        let (limit, of_endpoint) = shares.get(endpoint).map_or((ENDPOINT_MAX, 0), |share| (share.limit, share.taken));
        let is_cut_back = limit < ENDPOINT_MAX;
        if of_endpoint >= limit || *all >= PROCESS_MAX || (is_cut_back && *by_cut_back >= CUT_BACK_MAX) {
            return None;
        }
        *all += 1;
        *by_cut_back += usize::from(is_cut_back);
        shares.entry(endpoint.clone()).or_default().taken += 1;
        Some(Permit { room: self.clone(), endpoint: endpoint.clone(), is_cut_back })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Each change is made of sums that cannot panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// How the exchange went: that decides how many there may be from now on.
    pub(super) fn went(&self, attempt: &Attempt) {
        let mut taken = self.room.lock();
        let share = taken.shares.entry(self.endpoint.clone()).or_default();
        if is_overloaded(attempt) {
            share.limit = (share.limit / 2).max(1);
        } else if attempt.outcome == Outcome::Delivered {
            share.limit = (share.limit + 1).min(ENDPOINT_MAX);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.room.lock();
        taken.all -= 1;
        taken.by_cut_back -= usize::from(self.is_cut_back);
        if let Some(share) = taken.shares.get_mut(&self.endpoint) {
            share.taken -= 1;
        }
        let is_remembered = |share: &Share| share.taken > 0 || share.limit < ENDPOINT_MAX;
        if taken.shares.get(&self.endpoint).is_some_and(|share| !is_remembered(share)) {
            taken.shares.remove(&self.endpoint);
        }
        if taken.shares.len() > REMEMBERED_MAX + PROCESS_MAX {
            taken.shares.retain(|_, share| share.taken > 0);
        }
    }
}

/// The receiver asks for less, or does not answer at all.
fn is_overloaded(attempt: &Attempt) -> bool {
    matches!(attempt.outcome, Outcome::Timeout | Outcome::BodyTooSlow) || matches!(attempt.status, Some(429 | 502 | 503 | 504))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemark_store::ulid;

    use super::*;

    fn endpoint(number: usize) -> EndpointId {
        EndpointId::from_ulid_text(&ulid(jiff::Timestamp::UNIX_EPOCH, number as u128)).expect("a ULID")
    }

    fn attempt(outcome: Outcome, status: Option<u16>) -> Attempt {
        Attempt { outcome, status, elapsed: Duration::ZERO, snippet: String::new(), peer: None, retry_after: None }
    }

    /// Takes all there is for an endpoint.
    fn fill(room: &Room, number: usize) -> Vec<Permit> {
        std::iter::from_fn(|| room.take(&endpoint(number))).collect()
    }

    fn cut_back(room: &Room, number: usize) {
        for _ in 0..ENDPOINT_MAX {
            room.take(&endpoint(number)).expect("room").went(&attempt(Outcome::Timeout, None));
        }
    }

    #[test]
    fn an_endpoint_has_four_and_the_process_sixty_four() {
        let room = Room::default();
        let taken: Vec<Vec<Permit>> = (0..20).map(|number| fill(&room, number)).collect();
        assert_eq!(taken[0].len(), ENDPOINT_MAX);
        assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), PROCESS_MAX);
        drop(taken);
        assert_eq!(fill(&room, 0).len(), ENDPOINT_MAX);
        assert!(room.lock().shares.is_empty(), "nothing is remembered of endpoints that are well");
    }

    #[test]
    fn overload_halves_an_endpoints_room_and_success_gives_it_back_one_by_one() {
        let room = Room::default();
        let went = |attempts: &[Attempt]| {
            let permit = room.take(&endpoint(1)).expect("room");
            attempts.iter().for_each(|attempt| permit.went(attempt));
            drop(permit);
            fill(&room, 1).len()
        };
        assert_eq!(went(&[attempt(Outcome::HttpStatus, Some(500))]), 4, "an error is no overload");
        assert_eq!(went(&[attempt(Outcome::HttpStatus, Some(503))]), 2);
        assert_eq!(went(&[attempt(Outcome::HttpStatus, Some(429)), attempt(Outcome::Timeout, None)]), 1);
        assert_eq!(went(&[attempt(Outcome::Delivered, Some(200))]), 2);
        assert_eq!(went(&[attempt(Outcome::Delivered, Some(200)), attempt(Outcome::Delivered, Some(200))]), 4);
        assert_eq!(went(&[attempt(Outcome::Delivered, Some(200))]), 4);
    }

    #[test]
    fn however_many_are_cut_back_others_find_room() {
        let room = Room::default();
        (0..100).for_each(|number| cut_back(&room, number));
        let silent: Vec<Permit> = (0..100).flat_map(|number| fill(&room, number)).collect();
        assert_eq!(silent.len(), CUT_BACK_MAX);
        assert_eq!(fill(&room, 100).len(), ENDPOINT_MAX);
    }

    #[test]
    fn a_panic_gives_room_back() {
        let room = Room::default();
        let clone = room.clone();
        let panicked = std::thread::spawn(move || {
            let _permits = fill(&clone, 1);
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert_eq!(fill(&room, 1).len(), ENDPOINT_MAX);
    }
}
