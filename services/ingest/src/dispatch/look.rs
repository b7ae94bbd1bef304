//! One look at what is due in a slot: what to begin, and what to pass over. Pure.
//!
//! Entries come in order: events, then jobs, each by time; then deliveries, by endpoint and time. So the first entry of its kind that
//! is not due, or that there is no room for, stands for all behind it, and the look goes on behind the kind: a dead endpoint with
//! ten thousand due deliveries costs one page.

use std::time::Duration;

use jiff::Timestamp;

/// An entry as a look sees it. Places are in the slot's order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<P> {
    pub(super) at: Timestamp,
    pub(super) place: P,
    /// Behind all entries of its kind.
    pub(super) kind_end: P,
    /// A task of ours is about it.
    pub(super) is_under_way: bool,
}

/// A look under way, and what it has met.
#[derive(Debug)]
pub(super) struct Look<P> {
    now: Timestamp,
    /// Everything before is of a kind that was passed over.
    behind: Option<P>,
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
        Self { now, behind: None, due: 0, oldest: None, next_due: None, is_full: false }
    }

    /// Judges the next entry: with the room it is given, it is to be begun. `room` is asked only for one that could be.
    pub(super) fn judge<Room>(&mut self, seen: Seen<P>, room: impl FnOnce() -> Option<Room>) -> Option<Room> {
        if self.behind.as_ref().is_some_and(|behind| seen.place <= *behind) {
            return None;
        }
        if seen.at > self.now {
            self.next_due = Some(self.next_due.map_or(seen.at, |next| next.min(seen.at)));
            self.behind = Some(seen.kind_end);
            return None;
        }
        self.due += 1;
        self.oldest = Some(self.oldest.map_or(seen.at, |oldest| oldest.min(seen.at)));
        if seen.is_under_way {
            return None;
        }
        let given = room();
        if given.is_none() {
            self.is_full = true;
            self.behind = Some(seen.kind_end);
        }
        given
    }

    /// Where to read on, when a page ends at `next`.
    pub(super) fn after(&self, next: P) -> P {
        self.behind.as_ref().map_or(next.clone(), |behind| next.max(behind.clone()))
    }

    /// How long the oldest due entry has waited.
    pub(super) fn oldest_age(&self) -> Duration {
        self.oldest.map_or(Duration::ZERO, |oldest| self.now.duration_since(oldest).unsigned_abs())
    }
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
        let at = at(second.parse().expect("a number"));
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
        assert!(look.is_full);
        assert_eq!((look.due, look.oldest_age(), look.next_due), (6, Duration::from_secs(4), Some(at(6))));
    }

    #[test]
    fn what_is_under_way_takes_no_room_again_and_holds_up_nothing() {
        let (started, look) = begun(&["a#1#b!", "a#2#c!", "a#3#d"]);
        assert_eq!((started, look.is_full), (vec!["a#3#d"], false));
    }

    #[test]
    fn reading_goes_on_behind_a_kind_that_was_passed_over() {
        let (_, look) = begun(&["a#1#b", "a#1#c", "a#1#d"]);
        assert_eq!(look.after("a#1#d".to_owned()), "a#~");
        assert_eq!(look.after("b#1#d".to_owned()), "b#1#d");
        let (_, look) = begun(&["a#1#b"]);
        assert_eq!(look.after("a#1#b".to_owned()), "a#1#b");
    }
}
