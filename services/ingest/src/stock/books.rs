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
/// A tenant whose rules were so often others than those just read…
const STALE_TIMES: u32 = 3;
/// …within this time is restless…
const STALE_WITHIN: Duration = Duration::from_secs(5);
/// …for so long. In this time its rules are read by its jobs alone.
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

/// How often decisions by a tenant's rules were stale, and since when. Several shards that decided by one book count once.
#[derive(Debug, Clone, Copy)]
struct Stale {
    times: u32,
    since: Instant,
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

    /// Decisions by these rules of a tenant were stale: the rules are read again. If they are the ones that were just read, again and
    /// again, the tenant is restless, and they stay.
    pub(super) fn was_stale(&mut self, tenant: &TenantId, decided_by: &Arc<RuleBook>, now: Instant) {
        let is_known = self.known.peek(tenant).is_some_and(|book| Arc::ptr_eq(&book.rules, decided_by));
        if !is_known || self.is_restless(tenant, now) {
            return;
        }
        let before = self.stale.get(tenant).filter(|stale| now < stale.since + STALE_WITHIN);
        let (times, since) = before.map_or((1, now), |stale| (stale.times + 1, stale.since));
        let is_restless = times >= STALE_TIMES;
        self.stale.put(tenant.clone(), Stale { times, since, restless_until: is_restless.then(|| now + RESTLESS_FOR) });
        if !is_restless {
            self.forget(tenant);
        }
    }

    /// Newer rules of a tenant, if it is restless: what it is decided by needs no check.
    pub(super) fn refresh(&mut self, tenant: &TenantId, rules: &Arc<RuleBook>, now: Instant) {
        if self.is_restless(tenant, now) {
            self.put(tenant, rules, Checks::new());
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

    /// Rules are read, and a decision by them is stale, at each of these seconds.
    fn storm(books: &mut Books, of: &TenantId, now: Instant, seconds: impl IntoIterator<Item = u64>) {
        for second in seconds {
            let read = book(2);
            books.put(of, &read, Checks::new());
            books.was_stale(of, &read, now + Duration::from_secs(second));
        }
    }

    #[test]
    fn a_tenant_whose_rules_are_stale_as_soon_as_they_are_read_is_not_checked_for_a_while() {
        let (mut books, lane, now) = (Books::default(), RulesLane::of("a shard"), Instant::now());
        let (restless, quiet) = (tenant("restless"), tenant("quiet"));
        let after = |seconds: u64| now + Duration::from_secs(seconds);
        books.put(&quiet, &book(2), Checks::new());
        storm(&mut books, &restless, now, [0, 1]);
        assert!(books.get(&restless, lane, after(1)).is_err(), "its rules are read again, and checked");
        storm(&mut books, &restless, now, [4]);
        let guard = |books: &mut Books, seconds| books.get(&restless, lane, after(seconds)).map(|rules| rules.guard);
        assert!(matches!(guard(&mut books, 4), Ok(Guard::JudgedAgain)));
        assert!(books.get(&quiet, lane, after(4)).is_err(), "others are checked all the time");
        let newer = book(3);
        books.refresh(&restless, &newer, after(5));
        books.refresh(&quiet, &newer, after(5));
        let count = |books: &mut Books, of| books.known.peek(of).map(|book| book.rules.count());
        assert_eq!((count(&mut books, &restless), count(&mut books, &quiet)), (Some(3), Some(2)), "a job has read newer rules");
        books.was_stale(&restless, &newer, after(6));
        assert!(matches!(guard(&mut books, 33), Ok(Guard::JudgedAgain)), "its rules are kept");
        assert!(guard(&mut books, 34).is_err(), "it is checked again");
    }

    #[test]
    fn one_change_of_rules_that_many_shards_meet_counts_once() {
        let (mut books, now, of) = (Books::default(), Instant::now(), tenant("a"));
        let before = book(1);
        books.put(&of, &before, Checks::new());
        (0..10).for_each(|_| books.was_stale(&of, &before, now));
        let after = book(1);
        books.put(&of, &after, Checks::new());
        books.was_stale(&of, &before, now);
        assert!(books.known.contains(&of), "a late one of before says nothing about the rules that were read since");
        assert!(!books.is_restless(&of, now));
    }

    #[test]
    fn rules_that_change_now_and_then_are_checked() {
        let (mut books, now) = (Books::default(), Instant::now());
        storm(&mut books, &tenant("a"), now, (0..30).map(|times| 3 * times));
        assert!(!books.is_restless(&tenant("a"), now + Duration::from_secs(87)));
    }
}
