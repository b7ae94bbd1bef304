//! Whether days of a zone have moved with a newer time-zone database.
//!
//! An order that was added to a local day by one database is taken from another day by a database in which that day begins at another
//! instant. Nothing can be done about it here: the numbers stay wrong, and the API has to say so. So each process compares the offsets it
//! counts by with those that were counted by before, once for each zone, and notes a difference.
//!
//! During a rollout two databases count side by side. Only the newer one replaces what is stored, or they would replace each other's
//! offsets in turns, and each turn would look like a move.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidemark_domain::Zone;
use tidemark_domain::zone::{self, Offsets};
use tidemark_runtime::clock;
use tidemark_runtime::process::chain;
use tidemark_store::{Error, Store, StoredZone};
use tokio::time::Instant;

/// After a check that failed, the zone is not checked again for so long: each record would cost a call.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often a check is made again when another process stores the same zone at the same moment.
const ATTEMPTS_MAX: usize = 5;
/// Offsets are stored from this instant on, 2000-01-01T00:00:00Z. Changes of rules before it are not looked at.
const FROM: Timestamp = Timestamp::constant(946_684_800, 0);
/// Up to when offsets are stored: three years from now. They are stored again when less than a year is left.
const STORED_FOR: SignedDuration = SignedDuration::from_hours(3 * 365 * 24);
const LEFT_MIN: SignedDuration = SignedDuration::from_hours(365 * 24);
/// How far ahead a difference counts. A rule that changes later has counted nothing yet, but for items that are dated in the future.
const COUNTED_AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// The zones that this process has checked. Bounded by the names in the compiled-in database.
#[derive(Debug, Default)]
pub(super) struct Checks(Mutex<HashMap<String, Check>>);

#[derive(Debug, Clone, Copy)]
enum Check {
    Done,
    /// Begun, or failed.
    Tried(Instant),
}

impl Checks {
    /// Checks a zone, unless this process has done so. A check that fails is logged and made again later; counting goes on.
    pub(super) async fn check(&self, store: &Store, zone: &Zone) {
        if !self.begin(zone) {
            return;
        }
        // On the heap, for once in a process: it would make the future of every record as large.
        match Box::pin(compare(store, zone, clock::now())).await {
            Ok(()) => drop(self.known().insert(zone.name().to_owned(), Check::Done)),
            Err(error) => {
                let retry_s = RETRY_AFTER.as_secs();
                tracing::warn!(%zone, retry_s, error = %chain(&error), "whether days of a time zone have moved cannot be checked yet");
            }
        }
    }

    /// Whether it is for the caller to check the zone.
    fn begin(&self, zone: &Zone) -> bool {
        let mut known = self.known();
        let is_due = match known.get(zone.name()) {
            None => true,
            Some(Check::Done) => false,
            Some(Check::Tried(at)) => at.elapsed() >= RETRY_AFTER,
        };
        if is_due {
            known.insert(zone.name().to_owned(), Check::Tried(Instant::now()));
        }
        is_due
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Check>> {
        // What is known is whole after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares this binary's offsets with those stored, and stores what has to be.
async fn compare(store: &Store, zone: &Zone, now: Timestamp) -> Result<(), Error> {
    let tzdb = zone::database_version().to_owned();
    let own = StoredZone { tzdb, offsets: Offsets::of(zone, FROM, now + STORED_FOR), moved_at: None };
    for _ in 1..ATTEMPTS_MAX {
        match compare_once(store, zone, own.clone(), now).await {
            // Another process has stored the zone meanwhile; what stands now decides.
            Err(Error::ConditionFailed) => {}
            compared => return compared,
        }
    }
    compare_once(store, zone, own, now).await
}

async fn compare_once(store: &Store, zone: &Zone, own: StoredZone, now: Timestamp) -> Result<(), Error> {
    let Some(stored) = store.stored_zone(zone).await? else { return store.put_zone(zone, &own, None).await };
    if stored.tzdb == own.tzdb {
        let is_ending = stored.offsets.until() < now + LEFT_MIN;
        return if is_ending { store.put_zone(zone, &own, Some(&stored.tzdb)).await } else { Ok(()) };
    }
    let has_moved = stored.offsets.moves(&own.offsets, now + COUNTED_AHEAD);
    let (is_newer, own_tzdb) = (own.tzdb > stored.tzdb, own.tzdb.clone());
    if is_newer {
        // The last move counts: a metric that was started again after an earlier one is wrong again.
        let moved_at = has_moved.then_some(now);
        store.put_zone(zone, &StoredZone { moved_at, ..own }, Some(&stored.tzdb)).await?;
    } else if has_moved && stored.moved_at.is_none() {
        store.mark_zone_moved(zone, now).await?;
    }
    if has_moved {
        tracing::error!(
            %zone, own = own_tzdb, stored = stored.tzdb,
            "days of the time zone differ between two time-zone databases: metrics of tenants in it are not exact (reason `zones`) until \
             they are started again with `tidemark definitions accept METRIC --from-now`, once all workers have the same version"
        );
    }
    Ok(())
}
