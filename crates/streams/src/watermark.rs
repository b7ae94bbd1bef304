//! Up to when a shard, and a stream, is included. Pure: it is told what was read and committed, and when.
//!
//! A shard with records is included up to its last committed record. An idle shard has no record to go by; what it
//! has not shown for a while is not there, so it is included up to shortly before it was asked.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

/// So many empty pages in a row say that nothing is there: one alone is normal before records, too.
const EMPTY_PAGES: usize = 3;
/// A change may be this old before its record can be read.
const DELIVERY_DELAY: SignedDuration = SignedDuration::from_secs(2);

/// The watermark of one shard. It never moves backwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardWatermark {
    value: Option<Timestamp>,
    /// When the last empty pages in a row were asked for, at most [`EMPTY_PAGES`] of them.
    asked: VecDeque<Timestamp>,
}

impl ShardWatermark {
    /// A page was read. `asked_at` is the time before the request was sent; `all_committed` says that nothing read
    /// waits to be committed.
    pub fn page(&mut self, asked_at: Timestamp, is_empty: bool, all_committed: bool) {
        if !is_empty {
            self.asked.clear();
            return;
        }
        if self.asked.len() == EMPTY_PAGES {
            self.asked.pop_front();
        }
        self.asked.push_back(asked_at);
        if all_committed && self.asked.len() == EMPTY_PAGES {
            self.raise(self.asked[0] - DELIVERY_DELAY);
        }
    }

    /// Reading begins anew: pages read before say nothing about those to come.
    pub fn reading_begins(&mut self) {
        self.asked.clear();
    }

    /// Records up to one created at this time were committed.
    pub fn committed(&mut self, created_at: Timestamp) {
        self.raise(created_at);
    }

    /// None until something is known.
    pub fn value(&self) -> Option<Timestamp> {
        self.value
    }

    fn raise(&mut self, to: Timestamp) {
        self.value = self.value.max(Some(to));
    }
}

/// A stream's watermark: the least of its unfinished shards', and never before the one `published`. A shard about which
/// nothing is known (`None`) holds it where it is.
pub(crate) fn of_stream(shards: impl IntoIterator<Item = Option<Timestamp>>, published: Option<Timestamp>) -> Option<Timestamp> {
    let mut shards = shards.into_iter();
    let first = shards.next()?;
    let least = shards.fold(first, |least, shard| least.min(shard));
    // `None` is less than any instant, so one unknown shard makes the least unknown.
    least.max(published)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_idle_shard_is_included_up_to_the_first_of_three_empty_pages_minus_2_s() {
        let mut shard = ShardWatermark::default();
        shard.page(at(100), true, true);
        shard.page(at(101), true, true);
        assert_eq!(shard.value(), None);
        shard.page(at(102), true, true);
        assert_eq!(shard.value(), Some(at(98)));
        shard.page(at(103), true, true);
        assert_eq!(shard.value(), Some(at(99)), "it keeps moving while the shard is idle");
    }

    #[test]
    fn what_was_read_but_not_committed_holds_the_watermark() {
        let mut shard = ShardWatermark::default();
        shard.page(at(100), false, false);
        for second in 101..110 {
            shard.page(at(second), true, false);
        }
        assert_eq!(shard.value(), None);
        shard.committed(at(99));
        assert_eq!(shard.value(), Some(at(99)));
    }

    #[test]
    fn records_end_the_run_of_empty_pages() {
        let mut shard = ShardWatermark::default();
        shard.page(at(100), true, true);
        shard.page(at(101), true, true);
        shard.page(at(102), false, true);
        shard.page(at(103), true, true);
        assert_eq!(shard.value(), None);
    }

    #[test]
    fn an_unknown_shard_holds_the_stream() {
        assert_eq!(of_stream([Some(at(5)), None], Some(at(3))), Some(at(3)));
        assert_eq!(of_stream([Some(at(5)), Some(at(4))], Some(at(3))), Some(at(4)));
        assert_eq!(of_stream([Some(at(2))], Some(at(3))), Some(at(3)));
        assert_eq!(of_stream([None], None), None);
        assert_eq!(of_stream([], Some(at(3))), None, "a stream without shards says nothing");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_watermark_never_moves_backwards(steps in proptest::collection::vec((0i64..1000, any::<(bool, bool, bool)>()), 1..40)) {
            let mut shard = ShardWatermark::default();
            let mut last = None;
            for (second, (is_commit, is_empty, all_committed)) in steps {
                if is_commit { shard.committed(at(second)) } else { shard.page(at(second), is_empty, all_committed) }
                prop_assert!(shard.value() >= last);
                last = shard.value();
            }
        }
    }
}
