//! Rule books of tenants, remembered: one of each tenant, however many lanes its rules are checked in.
//!
//! A tenant whose decisions are found stale again and again is *restless*: for a while its levels are decided by the rules as they
//! were last read, without a check, and judged again by a job. Otherwise one tenant that changes rules faster than a shard commits
//! would hold up all tenants of the shard.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tidemark_domain::{RuleBook, TenantId};
use tidemark_store::{RulesCheck, RulesLane};
use tokio::time::Instant;

use super::{Guard, Rules};

/// Most tenants whose rules are remembered. Most have few rules, or none.
const BOOKS_MAX: NonZeroUsize = NonZeroUsize::new(4_000).expect("not zero");
/// Most rules remembered, of all tenants together; about 1 KB each. One tenant has no more than a thousand: a twentieth.
const RULES_MAX: usize = 20_000;
/// Most tenants remembered whose decisions were stale.
const STALE_MAX: NonZeroUsize = NonZeroUsize::new(4_000).expect("not zero");
/// A tenant whose decisions are stale twice within this time is restless…
const STALE_WITHIN: Duration = Duration::from_secs(5);
/// …for so long. Its rules are read once in this time.
const RESTLESS_FOR: Duration = Duration::from_secs(30);

/// The lanes a tenant's rules are checked in, each as it was when it was read.
pub(super) type Checks = BTreeMap<RulesLane, RulesCheck>;

/// What is known of tenants' rules.
#[derive(Debug)]
pub(super) struct Books {
    known: LruCache<TenantId, Book>,
    /// In all books.
    rules: usize,
    rules_max: usize,
    stale: LruCache<TenantId, Stale>,
}

/// The rules of a tenant, and checks that were all read before them. So none of them holds while the rules are others than these.
#[derive(Debug)]
struct Book {
    rules: Arc<RuleBook>,
    checks: Checks,
}

/// When decisions about a tenant's levels were last stale.
#[derive(Debug, Clone, Copy)]
struct Stale {
    at: Instant,
    restless_until: Option<Instant>,
}

impl Default for Books {
    fn default() -> Self {
        Self::of(RULES_MAX)
    }
}

impl Books {
    fn of(rules_max: usize) -> Self {
        Self { known: LruCache::new(BOOKS_MAX), rules: 0, rules_max, stale: LruCache::new(STALE_MAX) }
    }

    /// A tenant's rules, guarded by the check of a lane, or by a job if the tenant is restless.
    ///
    /// # Errors
    /// When they are to be read in that lane: the checks that are known already, and can be [put](Self::put) beside what is read *from
    /// now on*. Those that others put meanwhile may be newer than that.
    pub(super) fn get(&mut self, tenant: &TenantId, lane: RulesLane, now: Instant) -> Result<Rules, Checks> {
        let is_restless = self.is_restless(tenant, now);
        let Some(Book { rules, checks }) = self.known.get(tenant) else { return Err(Checks::new()) };
        let guard = match checks.get(&lane) {
            _ if is_restless => Guard::JudgedAgain,
            Some(check) => Guard::Check(check.clone()),
            None => return Err(checks.clone()),
        };
        Ok(Rules { book: Arc::clone(rules), guard })
    }

    /// Remembers rules, and checks that were all read before them.
    pub(super) fn put(&mut self, tenant: &TenantId, rules: &Arc<RuleBook>, checks: Checks) {
        self.forget(tenant);
        self.rules += rules.count();
        // One more than are remembered: the least used one goes.
        let gone = self.known.push(tenant.clone(), Book { rules: Arc::clone(rules), checks });
        self.rules -= gone.map_or(0, |(_, book)| book.rules.count());
        while self.rules > self.rules_max
            && let Some((_, gone)) = self.known.pop_lru()
        {
            self.rules -= gone.rules.count();
        }
    }

    /// Decisions about a tenant's levels were stale. Its rules are read again, unless that has just been done.
    pub(super) fn was_stale(&mut self, tenant: &TenantId, now: Instant) {
        if self.is_restless(tenant, now) {
            return;
        }
        let is_again = self.stale.get(tenant).is_some_and(|stale| now < stale.at + STALE_WITHIN);
        self.stale.put(tenant.clone(), Stale { at: now, restless_until: is_again.then(|| now + RESTLESS_FOR) });
        if !is_again {
            self.forget(tenant);
        }
    }

    pub(super) fn is_restless(&self, tenant: &TenantId, now: Instant) -> bool {
        self.stale.peek(tenant).and_then(|stale| stale.restless_until).is_some_and(|until| now < until)
    }

    /// Forgets a tenant's rules, whatever the lane.
    fn forget(&mut self, tenant: &TenantId) {
        self.rules -= self.known.pop(tenant).map_or(0, |gone| gone.rules.count());
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tidemark_domain::rule::{Scope, Severity, Threshold, Thresholds};
    use tidemark_domain::{InventoryName, Rule, RuleId};
    use tidemark_store::ulid;

    use super::*;

    fn tenant(id: &str) -> TenantId {
        TenantId::new(id).expect("an id")
    }

    fn book(rules: u32) -> Arc<RuleBook> {
        let at = Timestamp::UNIX_EPOCH;
        let inventory = InventoryName::new("stock").expect("a name");
        let level = Threshold { severity: Severity::Warning, fires_at_or_below: 1.into(), clears_above: 2.into() };
        let rule = |number: u32| Rule {
            id: RuleId::from_ulid_text(&ulid(at, number.into())).expect("an id"),
            name: None,
            scope: Scope { inventory: inventory.clone(), item: Some(number.to_string()), location: None },
            thresholds: Thresholds::new(vec![level.clone()]).expect("thresholds"),
            repeat_every: None,
            enabled: true,
            created_at: at,
            updated_at: at,
            version: 1,
        };
        Arc::new(RuleBook::new((0..rules).map(rule).collect()))
    }

    #[test]
    fn books_are_forgotten_by_the_number_of_their_rules_the_least_used_first() {
        let (mut books, lane) = (Books::of(10), RulesLane::of("a shard"));
        let holds = |books: &Books| ["a", "b", "c"].map(|id| books.known.contains(&tenant(id)));
        books.put(&tenant("a"), &book(4), Checks::new());
        books.put(&tenant("b"), &book(4), Checks::new());
        assert!(books.get(&tenant("a"), lane, Instant::now()).is_err(), "its rules are known, and not in this lane");
        books.put(&tenant("c"), &book(4), Checks::new());
        assert_eq!((holds(&books), books.rules), ([true, false, true], 8));
        // The same tenant's again are not more.
        books.put(&tenant("a"), &book(5), Checks::new());
        assert_eq!((holds(&books), books.rules), ([true, false, true], 9));
        books.put(&tenant("b"), &book(11), Checks::new());
        assert_eq!((holds(&books), books.rules), ([false; 3], 0), "what is too much by itself is read each time");
        books.put(&tenant("c"), &book(3), Checks::new());
        books.forget(&tenant("c"));
        assert_eq!((holds(&books), books.rules), ([false; 3], 0));
    }

    #[test]
    fn a_tenant_whose_decisions_are_stale_twice_in_a_row_is_not_checked_for_a_while() {
        let (mut books, lane, now) = (Books::default(), RulesLane::of("a shard"), Instant::now());
        let (restless, quiet) = (tenant("restless"), tenant("quiet"));
        let after = |seconds: u64| now + Duration::from_secs(seconds);
        for of in [&restless, &quiet] {
            books.put(of, &book(2), Checks::new());
        }
        books.was_stale(&restless, now);
        assert!(books.get(&restless, lane, now).is_err(), "its rules are read again");
        books.put(&restless, &book(2), Checks::new());
        assert!(books.get(&restless, lane, now).is_err(), "and checked");
        books.was_stale(&restless, after(4));
        let guard = |books: &mut Books, seconds| books.get(&restless, lane, after(seconds)).map(|rules| rules.guard);
        assert!(matches!(guard(&mut books, 4), Ok(Guard::JudgedAgain)));
        books.was_stale(&restless, after(5));
        assert!(matches!(guard(&mut books, 33), Ok(Guard::JudgedAgain)), "its rules are kept, however stale its levels are");
        assert!(guard(&mut books, 34).is_err(), "it is checked again");
        assert!(books.get(&quiet, lane, after(4)).is_err(), "others are checked all the time");
    }

    #[test]
    fn decisions_that_are_stale_now_and_then_are_checked() {
        let (mut books, now) = (Books::default(), Instant::now());
        for times in 0..10 {
            books.was_stale(&tenant("a"), now + STALE_WITHIN * times);
        }
        assert!(!books.is_restless(&tenant("a"), now + STALE_WITHIN * 9));
    }
}
