//! The UTC offsets of a zone over a span of time, to be stored: a binary with a newer time-zone database does not have what an older one
//! counted by, and must compare the two.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::Zone;

/// UTC offsets in `[from, until)`, to the second. As text: `<epoch s>:<offset s>` for `from` and for each instant at which the offset
/// changes, with spaces between. The end is stored apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offsets {
    /// Never empty; the instants rise.
    steps: Vec<Step>,
    until: i64,
}

/// From this epoch second on, local time is so many seconds ahead of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    at: i64,
    offset: i32,
}

/// The text is no list of offsets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no `<epoch s>:<offset s>` behind the one before it")]
pub struct Unreadable(String);

impl Offsets {
    /// The offsets of a zone, by the compiled-in database.
    pub fn of(zone: &Zone, from: Timestamp, until: Timestamp) -> Self {
        let mut steps = vec![Step { at: from.as_second(), offset: zone.offset_at(from) }];
        for (at, offset) in zone.changes_after(from).take_while(|(at, _)| *at < until) {
            // A change of the abbreviation alone moves nothing.
            if steps.last().is_none_or(|last| last.offset != offset) {
                steps.push(Step { at: at.as_second(), offset });
            }
        }
        Self { steps, until: until.as_second() }
    }

    /// Reads what [`Display`](fmt::Display) wrote, with the end that was stored beside it.
    ///
    /// # Errors
    /// When a part is none, or the instants do not rise.
    pub fn parse(text: &str, until: Timestamp) -> Result<Self, Unreadable> {
        let mut steps: Vec<Step> = Vec::new();
        for part in text.split(' ') {
            let unreadable = || Unreadable(part.chars().take(80).collect());
            let step: Step = part.parse().map_err(|()| unreadable())?;
            if steps.last().is_some_and(|last| last.at >= step.at) {
                return Err(unreadable());
            }
            steps.push(step);
        }
        Ok(Self { steps, until: until.as_second() })
    }

    /// Up to when these are known, exclusive.
    pub fn until(&self) -> Timestamp {
        Timestamp::from_second(self.until).expect("it was made from an instant")
    }

    /// Whether days cut by these and by the other offsets differ: at some instant before `until` that both have, the offsets do.
    pub fn moves(&self, other: &Self, until: Timestamp) -> bool {
        let from = self.steps[0].at.max(other.steps[0].at);
        let until = until.as_second().min(self.until).min(other.until);
        // Between two changes nothing changes, so a difference begins with one, or is there from the start.
        let changes = self.steps.iter().chain(&other.steps).map(|step| step.at.max(from));
        changes.filter(|at| *at < until).any(|at| self.offset_at(at) != other.offset_at(at))
    }

    fn offset_at(&self, at: i64) -> i32 {
        let passed = self.steps.partition_point(|step| step.at <= at);
        self.steps[passed.saturating_sub(1)].offset
    }
}

impl fmt::Display for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Step { at, offset }) in self.steps.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{at}:{offset}")?;
        }
        Ok(())
    }
}

impl FromStr for Step {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, offset) = text.split_once(':').ok_or(())?;
        Ok(Self { at: at.parse().map_err(drop)?, offset: offset.parse().map_err(drop)? })
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZoneDatabase;
    use proptest::prelude::*;

    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    /// Few offsets and short steps, so that two of them are alike often enough.
    fn offsets() -> impl Strategy<Value = Offsets> {
        let step = (1..6_i64, prop_oneof![Just(0), Just(3600), Just(7200)]);
        (0..5_i64, proptest::collection::vec(step, 1..6), 0..30_i64).prop_map(|(from, parts, length)| {
            let mut at = from;
            let mut steps = Vec::new();
            for (seconds, offset) in parts {
                steps.push(Step { at, offset });
                at += seconds;
            }
            Offsets { steps, until: from + length }
        })
    }

    /// The offset at a second, looked for from the last step on; `None` outside of what is known.
    fn naive(offsets: &Offsets, at: i64) -> Option<i32> {
        let last = offsets.steps.iter().rev().find(|step| step.at <= at)?;
        (at < offsets.until).then_some(last.offset)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn days_move_if_and_only_if_offsets_differ_at_some_instant(one in offsets(), other in offsets(), until in -2..45_i64) {
            let differs = |at| matches!((naive(&one, at), naive(&other, at)), (Some(one), Some(other)) if one != other);
            let expected = (-5..until).any(differs);
            prop_assert_eq!(one.moves(&other, second(until)), expected);
            prop_assert_eq!(other.moves(&one, second(until)), expected, "whichever is the older one");
        }

        #[test]
        fn what_is_written_is_what_is_read(offsets in offsets()) {
            prop_assert_eq!(Offsets::parse(&offsets.to_string(), offsets.until()), Ok(offsets));
        }

        #[test]
        fn offsets_of_a_zone_are_its_own_at_every_instant(
            zone in any::<prop::sample::Index>(),
            at in 946_684_800..1_893_456_000_i64,
        ) {
            let names: Vec<String> = TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
            let zone = Zone::named(zone.get::<String>(&names)).expect("it is available");
            let offsets = Offsets::of(&zone, second(946_684_800), second(1_893_456_000));
            prop_assert_eq!(offsets.offset_at(at), zone.local(second(at)).offset().seconds(), "{} at {}", zone, at);
        }
    }

    #[test]
    fn a_zone_is_a_short_text() {
        let berlin = Zone::named("Europe/Berlin").expect("a zone");
        let until = "2002-01-01T00:00:00Z".parse().expect("an instant");
        let offsets = Offsets::of(&berlin, "2000-01-01T00:00:00Z".parse().expect("an instant"), until);
        let text = "946684800:3600 954032400:7200 972781200:3600 985482000:7200 1004230800:3600";
        assert_eq!((offsets.to_string().as_str(), offsets.until()), (text, until));
    }

    #[test]
    fn a_rule_that_changes_later_has_moved_nothing_yet() {
        let until = second(1000);
        let [old, new] = ["0:3600 500:7200", "0:3600 500:7200 900:0"].map(|text| Offsets::parse(text, until).expect("offsets"));
        assert!(!old.moves(&new, second(900)) && old.moves(&new, second(901)));
    }

    #[test]
    fn what_is_no_list_of_offsets_is_refused() {
        for bad in ["", "0", "0:", ":0", "0:0  5:0", "5:0 5:1", "5:0 4:1", "0:0 ", "0:0.5", "a:0"] {
            assert!(Offsets::parse(bad, second(10)).is_err(), "{bad:?}");
        }
    }
}
