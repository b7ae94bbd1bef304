//! One look at what is due in a slot: what to begin, and what to pass over. Pure.
//!
//! Entries come in order: events, then jobs, each by time; then deliveries, by endpoint and time. So the first entry of its kind that
//! is not due, or that there is no room for, stands for all behind it, and the look goes on behind the kind: a dead endpoint with
//! ten thousand due deliveries costs one page, and one behind another such a single entry. In what waits, kinds are: deliveries, by
//! time; and what each stream holds, by when it was written.

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
    /// Behind all entries of its kind.
    pub(super) kind_end: P,
    /// A task of ours is about it.
    pub(super) is_under_way: bool,
}

/// A look under way, and what it has met.
#[derive(Debug)]
pub(super) struct Look<P> {
    pub(super) now: Timestamp,
    /// Everything before is of a kind that was passed over.
    behind: Option<P>,
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
}

impl<P: Ord + Clone> Look<P> {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, behind: None, met: Met::default() }
    }

    /// It is of a kind that was passed over: there is nothing to judge.
    pub(super) fn passes_over(&self, place: &P) -> bool {
        self.behind.as_ref().is_some_and(|behind| place <= behind)
    }

    /// Judges the next entry: with the room it is given, it is to be begun. `room` is asked only for one that could be.
    pub(super) fn judge<Room>(&mut self, seen: Seen<P>, room: impl FnOnce() -> Option<Room>) -> Option<Room> {
        if self.passes_over(&seen.place) {
            return None;
        }
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
        let given = room();
        if given.is_none() {
            self.met.is_full = true;
            self.behind = Some(seen.kind_end);
        }
        given
    }

    /// Where to read on, and how much, when a page ends at `next`; at first nothing is read.
    pub(super) fn after(&self, next: Option<P>) -> (Option<P>, usize) {
        match &self.behind {
            Some(behind) if next.as_ref().is_some_and(|next| next <= behind) => (Some(behind.clone()), NEXT),
            _ => (next, PAGE),
        }
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
        Seen { at, place: place.to_owned(), kind_end: format!("{kind}#~"), is_under_way: place.ends_with('!') }
    }

    /// What is begun of these at second 5, when there is room for two of each kind.
    fn begun<'a>(places: &[&'a str]) -> (Vec<&'a str>, Look<String>) {
        let mut look = Look::new(at(5));
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
}
