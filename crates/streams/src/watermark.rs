//! Up to when a shard, and a stream, is included. Pure: it is told what was read and committed, and when.
//!
//! A shard with records is included up to its last committed record. An idle shard has no record to go by; what it
//! has not shown for a while is not there, so it is included up to shortly before it was asked. That holds at its tip only:
//! DynamoDB may give empty pages where records follow, and does not say where in a shard an iterator is.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::reader::Page;

/// So many empty pages in a row say that nothing is there, at a shard's tip: one alone is normal before records, too.
const EMPTY_PAGES: usize = 3;
/// So many say that the tip is reached, where no record has: three seconds of asking. How many empty pages there can be before
/// records AWS does not say; behind the tip there are some where nothing was written for hours.
pub(crate) const EMPTY_PAGES_BEHIND: usize = 10;
/// A record read so soon after its change was read at the tip, and a reader that rested longer has lost it.
const TIP: SignedDuration = SignedDuration::from_secs(60);
/// A change may be this old before its record can be read.
const DELIVERY_DELAY: SignedDuration = SignedDuration::from_secs(2);

/// The watermark of one shard. It never moves backwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardWatermark {
    value: Option<Timestamp>,
    /// What is read is as new as anything there is.
    is_at_tip: bool,
    /// When the last page was asked for.
    asked_at: Option<Timestamp>,
    /// When the last empty pages in a row were, at most [`EMPTY_PAGES_BEHIND`] of them.
    empty: VecDeque<Timestamp>,
}

impl ShardWatermark {
    /// A page was read. `asked_at` is the time before the request was sent; `all_committed` says that nothing read
    /// waits to be committed.
    pub fn page(&mut self, asked_at: Timestamp, page: &Page, all_committed: bool) {
        if self.asked_at.replace(asked_at).is_some_and(|before| asked_at.duration_since(before) > TIP) {
            self.reading_begins();
        }
        if !page.is_empty() {
            self.empty.clear();
            self.is_at_tip = page.records.last().is_some_and(|last| asked_at.duration_since(last.created_at) <= TIP);
            return;
        }
        if self.empty.len() == EMPTY_PAGES_BEHIND {
            self.empty.pop_front();
        }
        self.empty.push_back(asked_at);
        self.is_at_tip |= self.empty.len() == EMPTY_PAGES_BEHIND;
        let first = self.empty.len().checked_sub(EMPTY_PAGES).map(|first| self.empty[first]);
        if let Some(first) = first.filter(|_| all_committed && self.is_at_tip) {
            self.raise(first - DELIVERY_DELAY);
        }
    }

    /// Reading begins anew: pages read before say nothing about those to come.
    pub fn reading_begins(&mut self) {
        self.empty.clear();
        self.is_at_tip = false;
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
    use crate::position::SequenceNumber;
    use crate::record::Record;
    use crate::testing::at;

    /// A page without records, or with one of a change made then.
    fn page(created: Option<i64>) -> Page {
        let record = |second| {
            let (sequence_number, created_at) = (SequenceNumber::new("1").unwrap(), at(second));
            Record { sequence_number, created_at, old: None, new: None, ttl_delete: false, bytes: 0 }
        };
        Page { records: created.map(record).into_iter().collect(), closed: false, bytes: 0, skipped: 0 }
    }

    /// Empty pages, one a second.
    fn empty(shard: &mut ShardWatermark, seconds: std::ops::Range<i64>) {
        seconds.for_each(|second| shard.page(at(second), &page(None), true));
    }

    /// At its tip, with everything committed up to second 99.
    fn at_tip() -> ShardWatermark {
        let mut shard = ShardWatermark::default();
        shard.page(at(100), &page(Some(99)), false);
        shard.committed(at(99));
        shard
    }

    #[test]
    fn an_idle_shard_is_included_up_to_the_first_of_three_empty_pages_minus_2_s() {
        let mut shard = at_tip();
        empty(&mut shard, 110..112);
        assert_eq!(shard.value(), Some(at(99)));
        empty(&mut shard, 112..113);
        assert_eq!(shard.value(), Some(at(108)));
        empty(&mut shard, 113..114);
        assert_eq!(shard.value(), Some(at(109)), "it keeps moving while the shard is idle");
    }

    #[test]
    fn empty_pages_behind_the_tip_say_nothing_before_there_are_ten() {
        let mut shard = ShardWatermark::default();
        empty(&mut shard, 100..109);
        assert_eq!(shard.value(), None, "reading has just begun");
        empty(&mut shard, 109..110);
        assert_eq!(shard.value(), Some(at(105)), "the tip is reached");
        shard.page(at(110), &page(Some(40)), true);
        empty(&mut shard, 111..120);
        assert_eq!(shard.value(), Some(at(105)), "an old record: it was not the tip");
        shard.page(at(120), &page(Some(60)), true);
        empty(&mut shard, 121..124);
        assert_eq!(shard.value(), Some(at(119)), "a new one: it is");
    }

    #[test]
    fn a_reader_that_rested_or_began_anew_is_not_at_the_tip() {
        let mut rested = at_tip();
        empty(&mut rested, 161..164);
        assert_eq!(rested.value(), Some(at(99)));
        let mut anew = at_tip();
        anew.reading_begins();
        empty(&mut anew, 101..104);
        assert_eq!(anew.value(), Some(at(99)));
    }

    #[test]
    fn what_was_read_but_not_committed_holds_the_watermark() {
        let mut shard = ShardWatermark::default();
        shard.page(at(100), &page(Some(99)), false);
        for second in 101..130 {
            shard.page(at(second), &page(None), false);
        }
        assert_eq!(shard.value(), None);
        shard.committed(at(99));
        assert_eq!(shard.value(), Some(at(99)));
    }

    #[test]
    fn records_end_the_run_of_empty_pages() {
        let mut shard = at_tip();
        empty(&mut shard, 101..103);
        shard.page(at(103), &page(Some(102)), true);
        empty(&mut shard, 104..106);
        assert_eq!(shard.value(), Some(at(99)));
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
                if is_commit {
                    shard.committed(at(second));
                } else {
                    shard.page(at(second), &page((!is_empty).then_some(second)), all_committed);
                }
                prop_assert!(shard.value() >= last);
                last = shard.value();
            }
        }
    }
}
