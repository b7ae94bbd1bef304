//! How many exchanges may be under way at once: with one endpoint, with those that are slow or fail, of one tenant, and of the process.
//!
//! An endpoint that is overloaded, silent or slow is cut back: half as many exchanges after each such one, one more after each quick
//! success. An answer that takes long costs as much room as none, so it counts whatever its status is.
//!
//! Tenants share the room of the process as `share` says: a tenant with many slow endpoints has a quarter of it at most. Endpoints that
//! were cut back share half of it by the same rule, so a tenant's endpoints that answer find room beside those that do not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidemark_domain::{EndpointId, TenantId};
use tidemark_webhooks::send::{Attempt, Outcome};

use super::share::{Pool, Share};

/// Most exchanges with one endpoint.
pub(super) const ENDPOINT_MAX: usize = 4;
/// Most exchanges of the process.
pub(super) const PROCESS_MAX: usize = 64;
/// Most exchanges with endpoints that were cut back.
const CUT_BACK_MAX: usize = PROCESS_MAX / 2;
/// An exchange that takes longer is slow. Receivers that only note what they get answer within a tenth of it.
const SLOW: Duration = Duration::from_secs(2);
/// Most endpoints remembered as cut back while nothing is under way with them; beyond, they are all forgiven.
const REMEMBERED_MAX: usize = 10_000;

/// The room of one process. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Room {
    all: Pool,
    cut_back: Pool,
    /// Endpoints with anything under way, or cut back.
    endpoints: Arc<Mutex<HashMap<EndpointId, OfEndpoint>>>,
}

#[derive(Debug)]
struct OfEndpoint {
    limit: usize,
    taken: usize,
}

/// Room for one exchange; given back when dropped, panic or not.
#[derive(Debug)]
pub(super) struct Permit {
    room: Room,
    endpoint: EndpointId,
    _share: Share,
    _cut_back: Option<Share>,
}

impl Default for OfEndpoint {
    fn default() -> Self {
        Self { limit: ENDPOINT_MAX, taken: 0 }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self { all: Pool::new(PROCESS_MAX), cut_back: Pool::new(CUT_BACK_MAX), endpoints: Arc::default() }
    }
}

impl Room {
    /// Room for one more exchange with a tenant's endpoint, if there is any.
    pub(super) fn take(&self, tenant: &TenantId, endpoint: &EndpointId) -> Option<Permit> {
        let mut endpoints = self.lock();
        let (limit, taken) = endpoints.get(endpoint).map_or((ENDPOINT_MAX, 0), |known| (known.limit, known.taken));
        if taken >= limit {
            return None;
        }
        let share = self.all.take(tenant)?;
        let cut_back = if limit < ENDPOINT_MAX { Some(self.cut_back.take(tenant)?) } else { None };
        endpoints.entry(endpoint.clone()).or_default().taken += 1;
        Some(Permit { room: self.clone(), endpoint: endpoint.clone(), _share: share, _cut_back: cut_back })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, OfEndpoint>> {
        // Each change is made of sums that cannot panic halfway.
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// How the exchange went: that decides how many there may be from now on.
    pub(super) fn went(&self, attempt: &Attempt) {
        let mut endpoints = self.room.lock();
        let known = endpoints.entry(self.endpoint.clone()).or_default();
        if attempt.elapsed > SLOW || is_overloaded(attempt) {
            known.limit = (known.limit / 2).max(1);
        } else if attempt.outcome == Outcome::Delivered {
            known.limit = (known.limit + 1).min(ENDPOINT_MAX);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut endpoints = self.room.lock();
        if let Some(known) = endpoints.get_mut(&self.endpoint) {
            known.taken -= 1;
        }
        let is_remembered = |known: &OfEndpoint| known.taken > 0 || known.limit < ENDPOINT_MAX;
        if endpoints.get(&self.endpoint).is_some_and(|known| !is_remembered(known)) {
            endpoints.remove(&self.endpoint);
        }
        if endpoints.len() > REMEMBERED_MAX + PROCESS_MAX {
            endpoints.retain(|_, known| known.taken > 0);
        }
    }
}

/// The receiver asks for less, or does not answer at all.
fn is_overloaded(attempt: &Attempt) -> bool {
    matches!(attempt.outcome, Outcome::Timeout | Outcome::BodyTooSlow) || matches!(attempt.status, Some(429 | 502 | 503 | 504))
}

#[cfg(test)]
mod tests {
    use tidemark_store::ulid;

    use super::*;

    /// Most exchanges of a tenant that is alone.
    const TENANT_MAX: usize = PROCESS_MAX / 4;

    fn endpoint(number: usize) -> EndpointId {
        EndpointId::from_ulid_text(&ulid(jiff::Timestamp::UNIX_EPOCH, number as u128)).expect("a ULID")
    }

    fn tenant(number: usize) -> TenantId {
        TenantId::new(&format!("tenant-{number}")).expect("an id")
    }

    fn attempt(outcome: Outcome, status: Option<u16>) -> Attempt {
        Attempt { outcome, status, elapsed: Duration::ZERO, snippet: String::new(), peer: None, retry_after: None }
    }

    fn slow(status: u16) -> Attempt {
        let outcome = if status == 200 { Outcome::Delivered } else { Outcome::HttpStatus };
        Attempt { elapsed: SLOW * 7, ..attempt(outcome, Some(status)) }
    }

    /// Takes all there is for an endpoint of a tenant.
    fn fill(room: &Room, (of, number): (usize, usize)) -> Vec<Permit> {
        std::iter::from_fn(|| room.take(&tenant(of), &endpoint(number))).collect()
    }

    fn cut_back(room: &Room, (of, number): (usize, usize), by: &Attempt) {
        for _ in 0..ENDPOINT_MAX {
            room.take(&tenant(of), &endpoint(number)).expect("room").went(by);
        }
    }

    #[test]
    fn an_endpoint_has_four_a_tenant_a_quarter_and_the_process_sixty_four() {
        let room = Room::default();
        let taken: Vec<Vec<Permit>> = (0..20).map(|number| fill(&room, (0, number))).collect();
        assert_eq!(taken[0].len(), ENDPOINT_MAX);
        assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), TENANT_MAX);
        let others: Vec<Vec<Permit>> = (20..100).map(|number| fill(&room, (number, number))).collect();
        assert_eq!(others[0].len(), ENDPOINT_MAX, "another tenant has its own");
        assert_eq!(others.iter().chain(&taken).map(Vec::len).sum::<usize>(), PROCESS_MAX);
        drop((taken, others));
        assert_eq!(fill(&room, (0, 0)).len(), ENDPOINT_MAX);
        assert!(room.lock().is_empty(), "nothing is remembered of endpoints that are well");
    }

    #[test]
    fn overload_halves_an_endpoints_room_and_success_gives_it_back_one_by_one() {
        let room = Room::default();
        let went = |attempts: &[Attempt]| {
            let permit = room.take(&tenant(0), &endpoint(1)).expect("room");
            attempts.iter().for_each(|attempt| permit.went(attempt));
            drop(permit);
            fill(&room, (0, 1)).len()
        };
        assert_eq!(went(&[attempt(Outcome::HttpStatus, Some(500))]), 4, "an error is no overload");
        assert_eq!(went(&[attempt(Outcome::HttpStatus, Some(503))]), 2);
        assert_eq!(went(&[attempt(Outcome::HttpStatus, Some(429)), attempt(Outcome::Timeout, None)]), 1);
        assert_eq!(went(&[attempt(Outcome::Delivered, Some(200))]), 2);
        assert_eq!(went(&[attempt(Outcome::Delivered, Some(200)), attempt(Outcome::Delivered, Some(200))]), 4);
        assert_eq!(went(&[attempt(Outcome::Delivered, Some(200))]), 4);
    }

    #[test]
    fn a_slow_exchange_halves_an_endpoints_room_whatever_its_status() {
        let room = Room::default();
        for (number, status) in [200, 404, 500].into_iter().enumerate() {
            room.take(&tenant(0), &endpoint(number)).expect("room").went(&slow(status));
            assert_eq!(fill(&room, (0, number)).len(), 2, "{status}");
        }
        room.take(&tenant(0), &endpoint(0)).expect("room").went(&attempt(Outcome::Delivered, Some(200)));
        assert_eq!(fill(&room, (0, 0)).len(), 3, "a quick success gives one back");
    }

    #[test]
    fn however_many_are_cut_back_others_find_room() {
        let room = Room::default();
        (0..100).for_each(|number| cut_back(&room, (number, number), &attempt(Outcome::Timeout, None)));
        let silent: Vec<Permit> = (0..100).flat_map(|number| fill(&room, (number, number))).collect();
        assert_eq!(silent.len(), CUT_BACK_MAX);
        assert_eq!(fill(&room, (100, 100)).len(), ENDPOINT_MAX);
    }

    #[test]
    fn a_tenants_slow_endpoints_leave_room_for_its_own_others_and_for_other_tenants() {
        let room = Room::default();
        (0..50).for_each(|number| cut_back(&room, (0, number), &slow(200)));
        let slow: Vec<Permit> = (0..50).flat_map(|number| fill(&room, (0, number))).collect();
        assert_eq!(slow.len(), CUT_BACK_MAX / 4);
        assert_eq!((fill(&room, (0, 50)).len(), fill(&room, (1, 51)).len()), (ENDPOINT_MAX, ENDPOINT_MAX));
    }

    #[test]
    fn a_panic_gives_room_back() {
        let room = Room::default();
        let clone = room.clone();
        let panicked = std::thread::spawn(move || {
            let _permits = fill(&clone, (0, 1));
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert_eq!(fill(&room, (0, 1)).len(), ENDPOINT_MAX);
    }
}
