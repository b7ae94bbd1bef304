//! Up to when a shard, and a stream, is included. Pure: it is told what was read and committed, and when.
//!
//! A shard with records is included up to its last committed record. An idle shard has no record to go by; what it
//! has not shown for a while is not there, so it is included up to shortly before it was asked: by the time that its stream takes to show
//! a change ([`DeliveryDelay`]). That holds at its tip only: DynamoDB may give empty pages where records follow, and does not say where in
//! a shard an iterator is. All times are DynamoDB's own.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::delay::DeliveryDelay;
use crate::reader::Page;

/// So many empty pages in a row say that nothing is there, at a shard's tip: one alone is normal before records, too.
const EMPTY_PAGES: usize = 3;
/// So many say that the tip is reached, where no record has. How many empty pages there can be before records AWS does not say; behind
/// the tip there are some where nothing was written for hours.
pub(crate) const EMPTY_PAGES_BEHIND: usize = 10;
/// A reader asks so often at the tip, and more.
const PROMPT: SignedDuration = SignedDuration::from_secs(2);
/// A record read so soon after it could be was read at the tip, and a reader that rested longer has lost it.
const TIP: SignedDuration = SignedDuration::from_secs(60);

/// The watermark of one shard. It never moves backwards.
#[derive(Debug, Clone)]
pub struct ShardWatermark {
    value: Option<Timestamp>,
    /// The time of the position from which reading begins.
    position_at: Option<Timestamp>,
    delay: DeliveryDelay,
    /// A page was read since reading began.
    has_begun: bool,
    /// What is read is as new as anything there is.
    is_at_tip: bool,
    /// The last page held all there was.
    was_drained: bool,
    /// When the last page was asked for.
    asked_at: Option<Timestamp>,
    /// When the last empty pages in a row were, at most [`EMPTY_PAGES_BEHIND`] of them.
    empty: VecDeque<Timestamp>,
}

impl ShardWatermark {
    /// Of a shard that is included up to `value`, stands at a position of this time, and is in a stream that is so late.
    pub(crate) fn new(value: Option<Timestamp>, position_at: Option<Timestamp>, delay: DeliveryDelay) -> Self {
        Self {
            value,
            position_at,
            delay,
            has_begun: false,
            is_at_tip: false,
            was_drained: false,
            asked_at: None,
            empty: VecDeque::new(),
        }
    }

    /// A page was read. `all_committed` says that nothing read waits to be committed.
    pub fn page(&mut self, page: &Page, all_committed: bool) {
        // An answer without a time says nothing about what is not in it.
        let Some(asked_at) = page.asked_at else { return self.reading_begins() };
        let since_last = self.asked_at.replace(asked_at).map(|before| asked_at.duration_since(before));
        if since_last.is_some_and(|since_last| since_last > TIP) {
            self.reading_begins();
        }
        if !self.has_begun {
            self.has_begun = true;
            self.is_at_tip = self.position_at.is_some_and(|position_at| asked_at.duration_since(position_at) <= TIP);
        }
        let was_drained = std::mem::replace(&mut self.was_drained, !page.is_full);
        if !page.is_empty() {
            self.empty.clear();
            // A reader that was held up finds records that have been there for as long.
            let is_new = was_drained && self.is_at_tip && since_last.is_some_and(|since_last| since_last <= PROMPT);
            self.learn(page, asked_at, is_new);
            let tip = TIP + self.delay.value();
            self.is_at_tip = page.records.last().is_some_and(|last| asked_at.duration_since(last.created_at) <= tip);
            return;
        }
        if self.empty.len() == EMPTY_PAGES_BEHIND {
            self.empty.pop_front();
        }
        self.empty.push_back(asked_at);
        self.is_at_tip |= self.empty.len() == EMPTY_PAGES_BEHIND;
        let first = self.empty.len().checked_sub(EMPTY_PAGES).map(|first| self.empty[first]);
        if let Some(first) = first.filter(|_| all_committed && self.is_at_tip) {
            self.raise(first - self.delay.value());
        }
    }

    /// Learns from a page's records how late the stream is; `is_new` says that they were not there shortly before.
    fn learn(&self, page: &Page, asked_at: Timestamp, is_new: bool) {
        let ages = || page.records.iter().map(|record| self.delay.age(record.created_at, asked_at));
        let (Some(least), Some(most)) = (ages().min(), ages().max()) else { return };
        self.delay.was_there(least);
        if is_new {
            self.delay.shown(most, asked_at);
        }
    }

    /// Reading begins at the position: pages read before say nothing about those to come.
    pub fn reading_begins(&mut self) {
        self.empty.clear();
        self.is_at_tip = false;
        self.was_drained = false;
        self.has_begun = false;
    }

    /// Records up to one created at this time were committed.
    pub fn committed(&mut self, created_at: Timestamp) {
        self.position_at = Some(created_at);
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

    /// A page asked for then, without records, or with one of a change made then.
    fn page(asked: i64, created: Option<i64>) -> Page {
        let record = |second| {
            let (sequence_number, created_at) = (SequenceNumber::new("1").unwrap(), at(second));
            Record { sequence_number, created_at, old: None, new: None, ttl_delete: false, bytes: 0 }
        };
        let records = created.map(record).into_iter().collect();
        Page { records, closed: false, is_full: false, bytes: 0, skipped: 0, asked_at: Some(at(asked)) }
    }

    fn shard() -> ShardWatermark {
        ShardWatermark::new(None, None, DeliveryDelay::stored(Some(SignedDuration::from_secs(2))))
    }

    /// Empty pages, one a second.
    fn empty(shard: &mut ShardWatermark, seconds: std::ops::Range<i64>) {
        seconds.for_each(|second| shard.page(&page(second, None), true));
    }

    /// At its tip, with everything committed up to second 99.
    fn at_tip() -> ShardWatermark {
        let mut shard = shard();
        shard.page(&page(100, Some(99)), false);
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
        let mut shard = shard();
        empty(&mut shard, 100..109);
        assert_eq!(shard.value(), None, "reading has just begun");
        empty(&mut shard, 109..110);
        assert_eq!(shard.value(), Some(at(105)), "the tip is reached");
        shard.page(&page(110, Some(-900)), true);
        empty(&mut shard, 111..120);
        assert_eq!(shard.value(), Some(at(105)), "an old record: it was not the tip");
        shard.page(&page(120, Some(60)), true);
        empty(&mut shard, 121..124);
        assert_eq!(shard.value(), Some(at(119)), "a new one: it is");
        assert_eq!(shard.delay.own(), None, "behind the tip no record tells how late the stream is");
    }

    #[test]
    fn a_reader_that_rested_or_restarted_is_not_at_the_tip() {
        let mut rested = at_tip();
        empty(&mut rested, 161..164);
        assert_eq!(rested.value(), Some(at(99)));
        let mut restarted = at_tip();
        restarted.reading_begins();
        empty(&mut restarted, 160..163);
        assert_eq!(restarted.value(), Some(at(99)));
    }

    #[test]
    fn what_was_read_but_not_committed_holds_the_watermark() {
        let mut shard = shard();
        shard.page(&page(100, Some(99)), false);
        for second in 101..130 {
            shard.page(&page(second, None), false);
        }
        assert_eq!(shard.value(), None);
        shard.committed(at(99));
        assert_eq!(shard.value(), Some(at(99)));
    }

    #[test]
    fn reading_that_begins_at_a_record_of_this_minute_is_at_the_tip() {
        let begin = |position_at| {
            let mut shard = ShardWatermark::new(Some(at(0)), Some(at(position_at)), shard().delay);
            empty(&mut shard, 100..103);
            shard.value()
        };
        assert_eq!(begin(40), Some(at(98)));
        assert_eq!(begin(39), Some(at(0)), "so much may lie between, or nothing");
    }

    #[test]
    fn a_stream_that_is_late_holds_its_idle_shards_by_as_much() {
        let mut late = ShardWatermark::new(None, None, DeliveryDelay::default());
        empty(&mut late, 0..10);
        assert_eq!(late.value(), Some(at(7 - 90)), "a stream that has shown nothing may be as late as this");
        late.page(&page(10, Some(-50)), true);
        late.committed(at(-50));
        empty(&mut late, 11..40);
        assert_eq!(late.value(), Some(at(37 - 75)), "60 s, and a quarter more");
        late.page(&page(41, Some(40)), true);
        empty(&mut late, 42..45);
        assert_eq!(late.value(), Some(at(42 - 75)), "one that comes soon proves nothing about the next");
    }

    #[test]
    fn what_is_read_behind_the_tip_says_nothing_about_the_delay_but_that_it_was_no_more() {
        let mut behind = ShardWatermark::new(None, None, DeliveryDelay::default());
        for (asked, created) in [(100, 10), (101, 50), (102, 92)] {
            behind.page(&Page { is_full: true, ..page(asked, Some(created)) }, false);
        }
        assert_eq!((behind.delay.value(), behind.delay.own()), (SignedDuration::from_secs(10) * 5 / 4, None));
        behind.page(&page(103, Some(102)), true);
        behind.page(&page(104, Some(101)), true);
        assert_eq!(behind.delay.value(), SignedDuration::from_millis(3_750), "the last one was new");
    }

    #[test]
    fn without_a_time_an_empty_page_says_nothing() {
        let mut shard = at_tip();
        (110..130).for_each(|second| shard.page(&Page { asked_at: None, ..page(second, None) }, true));
        assert_eq!(shard.value(), Some(at(99)));
    }

    #[test]
    fn records_end_the_run_of_empty_pages() {
        let mut shard = at_tip();
        empty(&mut shard, 101..103);
        shard.page(&page(103, Some(102)), true);
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
            let mut shard = shard();
            let mut last = None;
            for (second, (is_commit, is_empty, all_committed)) in steps {
                if is_commit {
                    shard.committed(at(second));
                } else {
                    shard.page(&page(second, (!is_empty).then_some(second)), all_committed);
                }
                prop_assert!(shard.value() >= last);
                last = shard.value();
            }
        }
    }
}
