//! How late a stream shows changes. AWS gives no bound ("near-real time"); most records can be read within a second, and an idle shard
//! is included only up to what it must have shown by now. So the delay is learnt from the records that are read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// A stream that has shown nothing yet is taken to be this late.
const INITIAL: SignedDuration = SignedDuration::from_secs(90);
/// No stream is taken to be less late than this.
const LEAST: SignedDuration = SignedDuration::from_secs(2);
/// A record that is older when it is first read tells of an outage, or of a reader that is behind.
const LARGEST: SignedDuration = SignedDuration::from_mins(15);
/// The largest delay of this span, and of the one before it, counts. Spans without records do not.
const SPAN: SignedDuration = SignedDuration::from_mins(5);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The delivery delay of one stream: changes that are older have been shown. Clones share what they have learnt.
#[derive(Debug, Clone, Default)]
pub struct DeliveryDelay(Arc<Mutex<Learnt>>);

#[derive(Debug, Default)]
struct Learnt {
    /// The largest of this span, and when the span began.
    current: Option<(SignedDuration, Timestamp)>,
    previous: Option<SignedDuration>,
    /// The least age at which a record was read; it was not later than that. It serves for as long as nothing better is known.
    at_most: Option<SignedDuration>,
    /// The largest that other live workers have learnt.
    others: Option<SignedDuration>,
    /// The last that was known of others, or was stored; and until when it counts, once this process has learnt something itself.
    before: Option<SignedDuration>,
    before_until: Option<Timestamp>,
    /// Some record bore another time than a whole minute.
    has_seconds: bool,
}

impl Learnt {
    fn own(&self) -> Option<SignedDuration> {
        self.current.map(|(largest, _)| largest).max(self.previous)
    }

    fn known(&self) -> Option<SignedDuration> {
        self.own().max(self.others).max(self.before)
    }
}

impl DeliveryDelay {
    /// The delay of a stream of which this is stored.
    pub(crate) fn stored(delay: Option<SignedDuration>) -> Self {
        Self(Arc::new(Mutex::new(Learnt { before: delay.map(sane), ..Learnt::default() })))
    }

    /// A change that is older than this has been shown.
    pub fn value(&self) -> SignedDuration {
        let learnt = self.lock();
        learnt.known().or(learnt.at_most).unwrap_or(INITIAL).max(LEAST)
    }

    /// The part of it that was learnt from records, by this process or others.
    pub(crate) fn known(&self) -> Option<SignedDuration> {
        self.lock().known()
    }

    /// What this process has learnt from records, for others to know. None: it has read none at the tip.
    pub(crate) fn own(&self) -> Option<SignedDuration> {
        self.lock().own()
    }

    /// Takes in the largest delay that others have learnt, if they have.
    pub(crate) fn others(&self, delay: Option<SignedDuration>) {
        let (delay, mut learnt) = (delay.map(sane), self.lock());
        learnt.others = delay;
        if delay.is_some() {
            (learnt.before, learnt.before_until) = (delay, None);
        }
    }

    /// How old a record that was created at this time is for certain when it is asked for. DynamoDB Local rounds times down to the minute:
    /// while no record has borne another, each may be a minute younger than it says.
    pub(crate) fn age(&self, created_at: Timestamp, asked_at: Timestamp) -> SignedDuration {
        let mut learnt = self.lock();
        learnt.has_seconds |= created_at.as_millisecond() % MINUTE.as_millis() as i64 != 0;
        let rounding = if learnt.has_seconds { SignedDuration::ZERO } else { MINUTE };
        asked_at.duration_since(created_at).saturating_sub(rounding).max(SignedDuration::ZERO)
    }

    /// A record was shown at this age, at `at`, and not a moment before.
    pub(crate) fn shown(&self, age: SignedDuration, at: Timestamp) {
        if age > LARGEST {
            return;
        }
        let (age, mut learnt) = (with_margin(age), self.lock());
        if at > *learnt.before_until.get_or_insert(at + SPAN + SPAN) {
            learnt.before = None;
        }
        learnt.current = match learnt.current {
            Some((largest, since)) if at.duration_since(since) < SPAN => Some((largest.max(age), since)),
            before => {
                learnt.previous = before.map(|(largest, _)| largest);
                Some((age, at))
            }
        };
    }

    /// A record was there to be read at this age.
    pub(crate) fn was_there(&self, age: SignedDuration) {
        let mut learnt = self.lock();
        let age = with_margin(age).min(INITIAL);
        learnt.at_most = Some(learnt.at_most.map_or(age, |least| least.min(age)));
    }

    fn lock(&self) -> MutexGuard<'_, Learnt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is stored, within what can be learnt.
fn sane(delay: SignedDuration) -> SignedDuration {
    delay.clamp(SignedDuration::ZERO, with_margin(LARGEST))
}

/// A quarter more than was seen: the next record may be later.
fn with_margin(age: SignedDuration) -> SignedDuration {
    age.max(SignedDuration::ZERO) * 5 / 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn seconds(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_stream_is_as_late_as_its_latest_record_of_ten_minutes_and_a_quarter_more() {
        let delay = DeliveryDelay::default();
        assert_eq!(delay.value(), INITIAL, "it has shown nothing");
        delay.was_there(seconds(40));
        assert_eq!(delay.value(), seconds(50), "a record that was read at 40 s was not later than that");
        assert_eq!(delay.known(), None, "but this may be the reader's doing");
        delay.was_there(seconds(100));
        assert_eq!(delay.value(), seconds(50));
        delay.shown(seconds(1), at(0));
        assert_eq!(delay.value(), LEAST);
        delay.shown(seconds(60), at(100));
        assert_eq!(delay.value(), seconds(75));
        delay.shown(seconds(3600), at(110));
        assert_eq!(delay.value(), seconds(75), "that was an outage");
        delay.shown(seconds(1), at(310));
        assert_eq!(delay.value(), seconds(75), "it is still remembered");
        delay.shown(seconds(1), at(10_000));
        assert_eq!(delay.value(), LEAST, "two spans with records later it is not");
    }

    #[test]
    fn times_of_whole_minutes_are_taken_for_rounded_until_another_is_seen() {
        // `at(0)` is a whole minute.
        let delay = DeliveryDelay::default();
        assert_eq!(delay.age(at(0), at(59)), SignedDuration::ZERO);
        assert_eq!(delay.age(at(60), at(125)), seconds(5));
        assert_eq!(delay.age(at(61), at(125)), seconds(64));
        assert_eq!(delay.age(at(60), at(125)), seconds(65), "this stream has seconds");
    }

    #[test]
    fn what_others_have_learnt_counts_and_is_known_for_as_long_as_nothing_else_is() {
        let delay = DeliveryDelay::stored(Some(seconds(20)));
        assert_eq!((delay.value(), delay.own()), (seconds(20), None));
        delay.others(Some(seconds(30)));
        delay.others(None);
        assert_eq!(delay.value(), seconds(30), "they have left");
        delay.was_there(seconds(1));
        delay.shown(seconds(4), at(0));
        assert_eq!(
            (delay.value(), delay.own()),
            (seconds(30), Some(seconds(5))),
            "one quick record proves nothing about the next"
        );
        delay.shown(seconds(4), at(601));
        assert_eq!(delay.value(), seconds(5), "two spans of records later it does");
        delay.others(Some(seconds(-30)));
        assert_eq!(delay.value(), seconds(5));
        delay.others(Some(SignedDuration::MAX));
        assert_eq!(delay.value(), LARGEST * 5 / 4, "no version learns more");
    }
}
