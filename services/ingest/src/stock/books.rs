//! Rule books of tenants, remembered: one of each tenant, however many lanes its rules are checked in.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use tidemark_domain::{RuleBook, TenantId};
use tidemark_store::{RulesCheck, RulesLane};

use super::Rules;

/// Most tenants whose rules are remembered. Most have few rules, or none.
const BOOKS_MAX: NonZeroUsize = NonZeroUsize::new(4_000).expect("not zero");
/// Most rules remembered, of all tenants together; about 1 KB each. One tenant has no more than a thousand.
const RULES_MAX: usize = 20_000;

/// The lanes a tenant's rules are checked in, each as it was when it was read.
pub(super) type Checks = BTreeMap<RulesLane, RulesCheck>;

/// What is known of tenants' rules.
#[derive(Debug)]
pub(super) struct Books {
    known: LruCache<TenantId, Book>,
    /// In all books.
    rules: usize,
    rules_max: usize,
}

/// The rules of a tenant, and checks that were all read before them. So none of them holds while the rules are others than these.
#[derive(Debug)]
struct Book {
    rules: Arc<RuleBook>,
    checks: Checks,
}

impl Default for Books {
    fn default() -> Self {
        Self::of(RULES_MAX)
    }
}

impl Books {
    fn of(rules_max: usize) -> Self {
        Self { known: LruCache::new(BOOKS_MAX), rules: 0, rules_max }
    }

    /// A tenant's rules, with the check of a lane.
    ///
    /// # Errors
    /// When they are to be read in that lane: the checks that are known already, and can be [put](Self::put) beside what is read *from
    /// now on*. Those that others put meanwhile may be newer than that.
    pub(super) fn get(&mut self, tenant: &TenantId, lane: RulesLane) -> Result<Rules, Checks> {
        let Some(Book { rules, checks }) = self.known.get(tenant) else { return Err(Checks::new()) };
        match checks.get(&lane) {
            Some(check) => Ok(Rules { book: Arc::clone(rules), check: check.clone() }),
            None => Err(checks.clone()),
        }
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

    /// Forgets a tenant's rules, whatever the lane.
    pub(super) fn forget(&mut self, tenant: &TenantId) {
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
        assert!(books.get(&tenant("a"), lane).is_err(), "its rules are known, and not in this lane");
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
}
