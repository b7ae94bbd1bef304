//! One look at what is due in a slot: what to begin, and what to pass over. Pure.
//!
//! Entries come in order: events, then jobs, each by tenant and time; then deliveries, by endpoint and time. The entries of one tenant's
//! events, of one tenant's jobs, or of one endpoint's deliveries are a kind. The first entry of its kind that is not due, or that there
//! is no room for, stands for all behind it, and the look goes on behind the kind: a dead endpoint with ten thousand due deliveries
//! costs one page, and one behind another such a single entry. In what waits, kinds are: deliveries and jobs, by time; and what each
//! stream holds, by when it was written.
//!
//! While there is not room for everything, looks that all begin at the beginning of the order would always serve the same kinds. So
//! after a look that was full, the next one begins with the first kind that got nothing, and wraps around at the end of the order. The
//! kind with which a look began has had its turn and does not count: one whose own limit is reached would else stay at the front. So
//! each full look begins at least one kind further than the one before, and every kind is first in its turn.

use std::time::Duration;

use jiff::Timestamp;

/// Entries read at once…
const PAGE: usize = 100;
/// …and behind a kind that was passed over: that tells which kind comes next, and it may be passed over, too.
const NEXT: usize = 1;

/// An entry as a look sees it. Places are in the slot's order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<P> {
    /// When it is to be done; `None`: nobody knows yet.
    pub(super) at: Option<Timestamp>,
    pub(super) place: P,
    /// Before all entries of its kind, and behind those of all kinds before.
    pub(super) kind_start: P,
    /// Behind all entries of its kind.
    pub(super) kind_end: P,
    /// A task of ours is about it.
    pub(super) is_under_way: bool,
}

/// A look under way, and what it has met.
#[derive(Debug)]
pub(super) struct Look<P> {
    pub(super) now: Timestamp,
    /// Where it began; `None`: at the beginning of the order.
    start: Option<P>,
    /// It reached the end of the order, and reads what comes before its start.
    has_wrapped: bool,
    /// Everything before is of a kind that was passed over.
    behind: Option<P>,
    /// The ends of the kind for which it asked for room first, and of the one that was given room last.
    first_kind: Option<P>,
    last_given: Option<P>,
    /// The start of the first kind that got nothing, other than the first kind of all.
    got_nothing: Option<P>,
    pub(super) met: Met,
}

/// What a look has met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Met {
    /// How many due entries were met.
    pub(super) due: usize,
    oldest: Option<Timestamp>,
    /// When the first of those that are not due yet will be.
    pub(super) next_due: Option<Timestamp>,
    /// Something due was passed over for lack of room.
    pub(super) is_full: bool,
    /// There are entries, due or not.
    pub(super) is_any: bool,
}

impl<P: Ord + Clone> Look<P> {
    /// A look that begins behind a place; `None`: at the beginning of the order.
    pub(super) fn new(now: Timestamp, start: Option<P>) -> Self {
        let met = Met::default();
        Self { now, start, has_wrapped: false, behind: None, first_kind: None, last_given: None, got_nothing: None, met }
    }

    /// It is of a kind that was passed over, or the look was there before: there is nothing to judge.
    pub(super) fn passes_over(&self, place: &P) -> bool {
        self.has_come_round_to(place) || self.behind.as_ref().is_some_and(|behind| place <= behind)
    }

    /// Judges the next entry: with the room it is given, it is to be begun. `room` is asked only for one that could be.
    pub(super) fn judge<Room>(&mut self, seen: Seen<P>, room: impl FnOnce() -> Option<Room>) -> Option<Room> {
        if self.passes_over(&seen.place) {
            return None;
        }
        self.met.is_any = true;
        let Some(at) = seen.at.filter(|at| *at <= self.now) else {
            self.met.next_due = earliest(self.met.next_due, seen.at);
            self.behind = Some(seen.kind_end);
            return None;
        };
        self.met.due += 1;
        self.met.oldest = earliest(self.met.oldest, Some(at));
        if seen.is_under_way {
            return None;
        }
        let is_first = *self.first_kind.get_or_insert_with(|| seen.kind_end.clone()) == seen.kind_end;
        let given = room();
        if given.is_some() {
            self.last_given = Some(seen.kind_end);
            return given;
        }
        self.met.is_full = true;
        if !is_first && self.last_given.as_ref() != Some(&seen.kind_end) {
            self.got_nothing.get_or_insert(seen.kind_start);
        }
        self.behind = Some(seen.kind_end);
        None
    }

    /// Where to read on, and how much, when a page ends at `next`; `None` at first, when nothing is read, and when the look wraps.
    pub(super) fn after(&self, next: Option<P>) -> (Option<P>, usize) {
        match (&self.behind, next) {
            (Some(behind), Some(next)) if next <= *behind => (Some(behind.clone()), NEXT),
            (_, None) if !self.has_wrapped => (self.start.clone(), PAGE),
            (_, next) => (next, PAGE),
        }
    }

    /// Whether there is more to read behind a page that ends at `next`, if it ends before the end of the order. At the end of the order,
    /// a look that did not begin at its beginning wraps around.
    pub(super) fn goes_on(&mut self, next: Option<&P>) -> bool {
        match next {
            Some(next) => !self.has_come_round_to(next),
            None if self.has_wrapped || self.start.is_none() => false,
            None => {
                (self.has_wrapped, self.behind) = (true, None);
                true
            }
        }
    }

    /// Behind which place the next look is to begin; `None`: there was room for everything, and it begins at the beginning.
    pub(super) fn next_start(self) -> Option<P> {
        self.got_nothing.or(self.first_kind).filter(|_| self.met.is_full)
    }

    /// The look began there, and has wrapped around since.
    fn has_come_round_to(&self, place: &P) -> bool {
        self.has_wrapped && self.start.as_ref().is_some_and(|start| place > start)
    }
}

impl Met {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            due: self.due + other.due,
            oldest: earliest(self.oldest, other.oldest),
            next_due: earliest(self.next_due, other.next_due),
            is_full: self.is_full || other.is_full,
            is_any: self.is_any || other.is_any,
        }
    }

    /// How long the oldest due entry has waited.
    pub(super) fn oldest_age(&self, now: Timestamp) -> Duration {
        self.oldest.map_or(Duration::ZERO, |oldest| now.duration_since(oldest).unsigned_abs())
    }
}

/// The earlier of those that there are.
fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("an instant")
    }

    /// An entry as the index has it: `<kind>#<second>#<name>`.
    fn seen(place: &str) -> Seen<String> {
        let mut parts = place.split('#');
        let (kind, second) = (parts.next().expect("a kind"), parts.next().expect("a second"));
        let at = second.parse().ok().map(at);
        let (kind_start, kind_end) = (format!("{kind}#"), format!("{kind}#~"));
        Seen { at, place: place.to_owned(), kind_start, kind_end, is_under_way: place.ends_with('!') }
    }

    /// A whole look at second 5, behind a place, when there is room for so much in all and so much for each kind: what it begins, and
    /// where the next one is to begin.
    fn look_round(
        places: &[&str],
        start: Option<String>,
        room: usize,
        of_kind: impl Fn(&str) -> usize,
    ) -> (Vec<String>, Option<String>) {
        let (mut look, mut next) = (Look::new(at(5), start), None);
        let mut begun: Vec<String> = Vec::new();
        let kind = |place: &str| place.split('#').next().expect("a kind").to_owned();
        loop {
            let (after, _) = look.after(next);
            // Pages of two.
            let rest = places.iter().skip_while(|place| after.as_ref().is_some_and(|after| **place <= after.as_str()));
            let page: Vec<&&str> = rest.clone().take(2).collect();
            for place in &page {
                let taken = begun.iter().filter(|other| kind(other) == kind(place)).count();
                let room = || (begun.len() < room && taken < of_kind(&kind(place))).then_some(());
                if look.judge(seen(place), room).is_some() {
                    begun.push((**place).to_owned());
                }
            }
            next = page.last().filter(|_| rest.count() > 2).map(|place| (**place).to_owned());
            if !look.goes_on(next.as_ref()) {
                return (begun, look.next_start());
            }
        }
    }

    /// What is begun of these at second 5, when there is room for two of each kind.
    fn begun<'a>(places: &[&'a str]) -> (Vec<&'a str>, Look<String>) {
        let mut look = Look::new(at(5), None);
        let mut begun: Vec<&str> = Vec::new();
        for place in places {
            let kind = |place: &str| place.split('#').next().expect("a kind").to_owned();
            let taken = begun.iter().filter(|other| kind(other) == kind(place)).count();
            if look.judge(seen(place), || (taken < 2).then_some(())).is_some() {
                begun.push(place);
            }
        }
        (begun, look)
    }

    #[test]
    fn what_is_due_is_begun_as_far_as_there_is_room_for_its_kind() {
        let (started, look) = begun(&["!event#1#a", "a#2#b", "a#3#c", "a#4#d", "a#4#e", "b#5#f", "b#6#g", "c#7#h", "d#5#i"]);
        assert_eq!(started, ["!event#1#a", "a#2#b", "a#3#c", "b#5#f", "d#5#i"]);
        let Met { due, next_due, is_full, .. } = look.met;
        assert_eq!((due, look.met.oldest_age(at(5)), next_due, is_full), (6, Duration::from_secs(4), Some(at(6)), true));
    }

    #[test]
    fn what_is_under_way_takes_no_room_again_and_holds_up_nothing() {
        let (started, look) = begun(&["a#1#b!", "a#2#c!", "a#3#d"]);
        assert_eq!((started, look.met.is_full), (vec!["a#3#d"], false));
    }

    #[test]
    fn what_comes_due_nobody_knows_when_is_passed_over_and_not_waited_for() {
        let (started, look) = begun(&["a#held#b", "a#1#c", "b#1#d"]);
        assert_eq!((started, look.met.next_due, look.met.due), (vec!["b#1#d"], None, 1));
    }

    #[test]
    fn reading_goes_on_behind_a_kind_that_was_passed_over_one_by_one() {
        let (_, look) = begun(&["a#1#b", "a#1#c", "a#1#d"]);
        let after = |place: &str| look.after(Some(place.to_owned()));
        assert_eq!(after("a#1#d"), (Some("a#~".to_owned()), NEXT));
        assert_eq!(after("b#1#d"), (Some("b#1#d".to_owned()), PAGE));
        let (_, look) = begun(&["a#1#b"]);
        assert_eq!(look.after(Some("a#1#b".to_owned())), (Some("a#1#b".to_owned()), PAGE));
        assert_eq!(begun(&[]).1.after(None), (None, PAGE));
    }

    /// Nothing that is begun ever ends here: each look finds the same entries.
    fn rounds(room: usize, of_kind: impl Fn(&str) -> usize) -> Vec<String> {
        let places = ["a#1#b", "a#1#c", "b#1#d", "b#1#e", "c#1#f", "d#1#g"];
        let (mut start, mut all) = (None, Vec::new());
        for _ in 0..8 {
            let (begun, next) = look_round(&places, start, room, &of_kind);
            all.push(begun.iter().map(|place| &place[..1]).collect());
            start = next;
        }
        all
    }

    #[test]
    fn a_full_look_is_followed_by_one_that_begins_with_what_there_was_no_room_for() {
        assert_eq!(rounds(1, |_| 1), ["a", "b", "c", "d", "a", "b", "c", "d"]);
        assert_eq!(rounds(2, |_| 1), ["ab", "cd", "ab", "cd", "ab", "cd", "ab", "cd"]);
        assert_eq!(rounds(3, |_| 1), ["abc", "dab", "cda", "bcd", "abc", "dab", "cda", "bcd"]);
    }

    #[test]
    fn kinds_whose_own_limit_is_reached_do_not_stay_at_the_front() {
        let begun = rounds(1, |kind| usize::from(!["b", "c"].contains(&kind)));
        assert_eq!(begun, ["a", "d", "d", "a", "d", "d", "a", "d"]);
    }

    #[test]
    fn a_look_that_wraps_meets_everything_once() {
        let places = ["a#1#b", "a#1#c", "b#1#d", "c#1#e", "c#6#f", "d#1#g"];
        for start in ["a#", "a#~", "b#", "b#1#d", "b#~", "c#~", "d#~", "z"] {
            let (mut begun, next) = look_round(&places, Some(start.to_owned()), usize::MAX, |_| usize::MAX);
            assert!(next.is_none(), "there was room for all");
            assert_eq!(begun[0] == "a#1#b", ["a#", "d#~", "z"].contains(&start), "from {start}: {begun:?}");
            begun.sort();
            assert_eq!(begun, ["a#1#b", "a#1#c", "b#1#d", "c#1#e", "d#1#g"], "from {start}");
        }
    }

    #[test]
    fn a_look_that_has_come_round_reads_no_further() {
        let mut look = Look::new(at(5), Some("b#~".to_owned()));
        assert_eq!(look.after(None), (Some("b#~".to_owned()), PAGE));
        assert!(look.goes_on(Some(&"c#1#d".to_owned())) && look.goes_on(None));
        assert_eq!(look.after(None), (None, PAGE));
        assert!(look.goes_on(Some(&"a#1#b".to_owned())) && !look.goes_on(Some(&"c#1#d".to_owned())));
        assert!(look.passes_over(&"c#1#d".to_owned()) && !look.passes_over(&"b#1#c".to_owned()));
        assert!(!look.goes_on(None));
    }
}
