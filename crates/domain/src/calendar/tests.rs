//! The calendar against a naive walk over the quarters, in every zone of the compiled-in database.

use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use super::*;

const DAY_SECONDS: i64 = 86_400;
/// How far around a range the naive walk goes: longer than any clock was ever put back.
const MARGIN_SECONDS: i64 = 6 * 3_600;

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn zone(name: &str) -> Zone {
    Zone::named(name).expect("a zone")
}

fn range(from: &str, to: &str) -> Range {
    Range { from: at(from), to: at(to) }
}

/// `from to`, with `~` for clipped.
fn shown(slots: &[Slot]) -> Vec<String> {
    slots.iter().map(|slot| format!("{} {}{}", slot.from, slot.to, if slot.clipped { " ~" } else { "" })).collect()
}

fn tiled(from: &str, to: &str, granularity: &str, name: &str) -> Vec<String> {
    let granularity = granularity.parse().expect("a granularity");
    shown(&tile(range(from, to), granularity, &zone(name), 100).expect("few slots"))
}

#[test]
fn a_day_has_23_25_or_no_midnight_hours() {
    assert_eq!(
        tiled("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z", "P1D", "Europe/Berlin"),
        [
            "2026-03-27T23:00:00Z 2026-03-28T23:00:00Z",
            "2026-03-28T23:00:00Z 2026-03-29T22:00:00Z",
            "2026-03-29T22:00:00Z 2026-03-30T22:00:00Z"
        ]
    );
    assert_eq!(
        tiled("2026-10-24T22:00:00Z", "2026-10-25T23:15:00Z", "P1D", "Europe/Berlin"),
        ["2026-10-24T22:00:00Z 2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z 2026-10-25T23:15:00Z ~"]
    );
    // Santiago skips 6 September's midnight: the day begins at 01:00, which is 04:00 UTC like the night before's midnight.
    assert_eq!(
        tiled("2026-09-05T04:00:00Z", "2026-09-07T03:00:00Z", "P1D", "America/Santiago"),
        ["2026-09-05T04:00:00Z 2026-09-06T04:00:00Z", "2026-09-06T04:00:00Z 2026-09-07T03:00:00Z"]
    );
}

#[test]
fn a_skipped_day_has_no_slot() {
    assert_eq!(
        tiled("2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z", "P1D", "Pacific/Apia"),
        ["2011-12-29T10:00:00Z 2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z 2011-12-31T10:00:00Z"]
    );
}

#[test]
fn hours_follow_the_offset() {
    assert_eq!(
        tiled("2026-07-01T00:00:00Z", "2026-07-01T01:30:00Z", "PT1H", "Asia/Kathmandu"),
        [
            "2026-07-01T00:00:00Z 2026-07-01T00:15:00Z ~",
            "2026-07-01T00:15:00Z 2026-07-01T01:15:00Z",
            "2026-07-01T01:15:00Z 2026-07-01T01:30:00Z ~"
        ]
    );
    // Lord Howe goes back from 02:00 +11 to 01:30 +10:30 at 15:00 UTC: an hour of 60 minutes, then half of the same hour again.
    assert_eq!(
        tiled("2026-04-04T14:00:00Z", "2026-04-04T16:30:00Z", "PT1H", "Australia/Lord_Howe"),
        [
            "2026-04-04T14:00:00Z 2026-04-04T15:00:00Z",
            "2026-04-04T15:00:00Z 2026-04-04T15:30:00Z",
            "2026-04-04T15:30:00Z 2026-04-04T16:30:00Z"
        ]
    );
}

#[test]
fn weeks_begin_on_monday_and_months_on_the_first() {
    assert_eq!(
        tiled("2026-01-01T00:00:00Z", "2026-01-12T00:00:00Z", "P1W", "UTC"),
        ["2026-01-01T00:00:00Z 2026-01-05T00:00:00Z ~", "2026-01-05T00:00:00Z 2026-01-12T00:00:00Z"]
    );
    assert_eq!(
        tiled("2026-02-01T05:00:00Z", "2026-03-08T05:00:00Z", "P1M", "America/New_York"),
        ["2026-02-01T05:00:00Z 2026-03-01T05:00:00Z", "2026-03-01T05:00:00Z 2026-03-08T05:00:00Z ~"]
    );
}

#[test]
fn too_many_slots_are_counted_not_made() {
    let days = range("2026-01-01T00:00:00Z", "2026-01-11T00:00:00Z");
    assert_eq!(tile(days, Granularity::Day, &Zone::utc(), 10).map(|slots| slots.len()), Ok(10));
    assert_eq!(tile(days, Granularity::Day, &Zone::utc(), 9), Err(TooMany { about: 10, max: 9 }));
    let ages = range("0001-01-01T00:00:00Z", "9999-12-30T00:00:00Z");
    assert_eq!(tile(ages, Granularity::QuarterHour, &Zone::utc(), 10).map_err(|error| error.about > 300_000_000), Err(true));
}

#[test]
fn a_period_moves_by_months_days_or_its_length() {
    let berlin = zone("Europe/Berlin");
    let before = |from, to| previous_period(range(from, to), &berlin).expect("within the years");
    // March, with its 743 hours, against February; three days across the change of clocks; a morning.
    assert_eq!(before("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"), range("2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z"));
    assert_eq!(before("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z"), range("2026-03-24T23:00:00Z", "2026-03-27T23:00:00Z"));
    assert_eq!(before("2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"), range("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"));
    assert_eq!(before("2026-03-29T06:00:00Z", "2026-03-29T10:15:00Z"), range("2026-03-29T01:45:00Z", "2026-03-29T06:00:00Z"));
}

#[test]
fn a_year_earlier_is_never_empty() {
    let year = |from, to| previous_year(range(from, to), &Zone::utc()).expect("within the years");
    assert_eq!(year("2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"), range("2023-02-28T00:00:00Z", "2023-03-01T00:00:00Z"));
    assert_eq!(year("2024-02-28T00:00:00Z", "2024-02-29T00:00:00Z"), range("2023-02-28T00:00:00Z", "2023-03-01T00:00:00Z"));
    assert_eq!(year("2024-02-28T12:00:00Z", "2024-02-29T12:00:00Z"), range("2023-02-28T12:00:00Z", "2023-03-01T12:00:00Z"));
    assert_eq!(year("2026-01-01T00:00:00Z", "2026-06-01T10:30:00Z"), range("2025-01-01T00:00:00Z", "2025-06-01T10:30:00Z"));
    // Kiritimati was at −10:40 until October 1979: what is moved there goes to the next quarter.
    let moved = previous_year(range("1980-06-01T12:00:00Z", "1980-06-01T13:00:00Z"), &zone("Pacific/Kiritimati"));
    assert_eq!(moved, Some(range("1979-06-01T12:45:00Z", "1979-06-01T13:45:00Z")));
}

/// What a quarter is grouped by. Dates are the running maximum over the walk: a day has begun once its date was shown.
fn naive_key(quarter: Timestamp, latest: Date, granularity: Granularity, zone: &Zone) -> String {
    let local = zone.local(quarter);
    match granularity {
        Granularity::QuarterHour => quarter.to_string(),
        Granularity::Hour => local.strftime("%F %H %z").to_string(),
        Granularity::Day => latest.to_string(),
        Granularity::Week => latest.strftime("%G-%V").to_string(),
        Granularity::Month => latest.strftime("%Y-%m").to_string(),
    }
}

/// The slots by walking every quarter from a little before the range to a little after it.
fn naive(range: Range, granularity: Granularity, zone: &Zone) -> Vec<Slot> {
    let (from, to) = (range.from.as_second(), range.to.as_second());
    let mut latest = Date::MIN;
    let mut runs: Vec<(String, i64, i64)> = Vec::new();
    for second in (from - MARGIN_SECONDS..to + MARGIN_SECONDS).step_by(900) {
        let quarter = Timestamp::from_second(second).expect("a second of these years");
        latest = latest.max(zone.date_of(quarter));
        let key = naive_key(quarter, latest, granularity, zone);
        match runs.last_mut() {
            Some(run) if run.0 == key => run.2 = second + 900,
            _ => runs.push((key, second, second + 900)),
        }
    }
    let instant = |second: i64| Timestamp::from_second(second).expect("a second of these years");
    let touched = runs.into_iter().filter(|(_, start, end)| *start < to && from < *end);
    let clipped = |start: i64, end: i64| start < from || to < end;
    touched
        .map(|(_, start, end)| Slot { from: instant(start.max(from)), to: instant(end.min(to)), clipped: clipped(start, end) })
        .collect()
}

fn zones() -> Vec<Zone> {
    TimeZoneDatabase::bundled().available().filter_map(|name| Zone::named(name.as_str()).ok()).collect()
}

/// A zone's clock changes from 1972 to 2037.
fn changes(zone: &Zone) -> Vec<Timestamp> {
    let (first, last) = (at("1972-02-01T00:00:00Z"), at("2037-12-01T00:00:00Z"));
    let changes = zone.local(first).time_zone().clone();
    changes.following(first).map(|change| change.timestamp()).take_while(|change| *change < last).collect()
}

#[test]
fn every_odd_clock_change_of_every_zone_is_tiled_as_by_hand() {
    let zones = zones();
    assert!(zones.len() > 400, "the compiled-in database has {} zones", zones.len());
    let mut odd = 0;
    for zone in &zones {
        // Changes at 01:00 to 04:00 by a whole hour move no day's start; what they do to hours is left to the random test.
        for change in changes(zone) {
            let local = zone.local(change);
            if (1..=4).contains(&local.hour()) && local.minute() == 0 {
                continue;
            }
            odd += 1;
            let start = change.as_second().div_euclid(900) * 900;
            let second = |n| Timestamp::from_second(n).expect("a second of these years");
            // From before the change, and from within the hour that it repeats.
            for (from, granularity) in [(-4, Granularity::Hour), (-4, Granularity::Day), (1, Granularity::Day)] {
                let range = Range { from: second(start + from * 900), to: second(start + 8 * 900) };
                let slots = tile(range, granularity, zone, 100).expect("few slots");
                assert_eq!(shown(&slots), shown(&naive(range, granularity, zone)), "{granularity} of {zone} at {change}");
            }
        }
    }
    assert!(odd > 1000, "{odd} odd changes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn ranges_tile_as_by_hand(
        zone in prop::sample::select(zones()),
        near_change in any::<bool>(),
        change in any::<prop::sample::Index>(),
        day in 0..24_000_i64,
        shift in -300..300_i64,
        length in 1..300_i64,
        granularity in prop::sample::select(Granularity::ALL.to_vec()),
    ) {
        let changes = changes(&zone);
        let any_day = 66_000_000 + day * DAY_SECONDS;
        let anchor = if near_change && !changes.is_empty() { change.get(&changes).as_second() } else { any_day };
        let start = (anchor.div_euclid(900) + shift) * 900;
        let second = |n| Timestamp::from_second(n).expect("a second of these years");
        let range = Range { from: second(start), to: second(start + length * 900) };
        let slots = tile(range, granularity, &zone, 10_000).expect("few slots");
        prop_assert_eq!(shown(&slots), shown(&naive(range, granularity, &zone)), "{} {}", zone, granularity);
    }

    #[test]
    fn compared_ranges_are_on_quarters_and_not_empty(
        zone in prop::sample::select(zones()),
        day in 0..23_000_i64,
        quarter in 0..96_i64,
        days in 0..70_i64,
        quarters in 1..96_i64,
        midnights in any::<bool>(),
    ) {
        let second = |n| Timestamp::from_second(n).expect("a second of these years");
        let start = 100_000_000_i64.div_euclid(900) * 900 + day * DAY_SECONDS + quarter * 900;
        let mut range = Range { from: second(start), to: second(start + days * DAY_SECONDS + quarters * 900) };
        if midnights {
let midnight = |instant| first_quarter_of(zone.date_of(instant), &zone).expect("within the years");
            range = Range { from: midnight(range.from), to: midnight(second(range.to.as_second() + 2 * DAY_SECONDS)) };
        }
        let before = previous_period(range, &zone).expect("within the years");
        prop_assert_eq!(before.to, range.from);
        let year = previous_year(range, &zone).expect("within the years");
        for moved in [before, year] {
            prop_assert!(moved.from < moved.to && moved.from < range.from, "{:?}", moved);
            prop_assert!(is_on_quarter(moved.from) && is_on_quarter(moved.to), "{:?}", moved);
        }
    }
}
