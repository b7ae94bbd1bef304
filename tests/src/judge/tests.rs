//! The judge finds what is planted, and nothing in honest reads.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_772_442_000_000 + ms).unwrap()
}

fn cells(cells: &[(&str, i64)]) -> Cells {
    cells.iter().map(|(cell, value)| ((*cell).to_owned(), BigDecimal::from(*value))).collect()
}

/// A change of `item` that begins at `begun`, and is acknowledged 10 ms later.
fn write(writes: &mut Writes, item: &str, contribution: &[(&str, i64)], begun: i64) {
    writes.begin(item, cells(contribution), at(begun));
    writes.acknowledge(item, at(begun + 10));
}

/// An exact read that begins at `begun`, and is answered 10 ms later.
fn read(begun: i64, watermark: i64, values: &[(&str, i64)]) -> Read {
    let (begun_at, answered_at, watermark) = (at(begun), at(begun + 10), Some(at(watermark)));
    Read { begun_at, answered_at, watermark, exact: true, cells: cells(values), complete: BTreeSet::new() }
}

/// One item of 5, changed to 3, and one of 7, deleted; another is of 1.
fn history() -> Writes {
    let mut writes = Writes::default();
    write(&mut writes, "a", &[("x", 5)], 1_000);
    write(&mut writes, "b", &[("x", 7)], 1_100);
    write(&mut writes, "c", &[("y", 1)], 1_200);
    write(&mut writes, "a", &[("x", 3)], 2_000);
    write(&mut writes, "b", &[], 3_000);
    writes
}

fn one_violation(reads: &[Read]) -> Violation {
    let violations = judge(&history(), reads);
    let [violation] = &violations[..] else { panic!("{violations:#?}") };
    violation.clone()
}

#[test]
fn honest_reads_pass() {
    let reads = [
        read(500, 400, &[]),
        // Nothing has to be included, and everything that was begun may be.
        read(1_150, 900, &[]),
        read(1_150, 900, &[("x", 12)]),
        read(1_500, 1_300, &[("x", 12), ("y", 1)]),
        // The change of `a` may be included or not.
        read(2_100, 2_010, &[("x", 12), ("y", 1)]),
        read(2_100, 2_010, &[("x", 10), ("y", 1)]),
        read(2_200, 2_100, &[("x", 10), ("y", 1)]),
        read(3_500, 3_011, &[("x", 3), ("y", 1)]),
    ];
    assert_eq!(judge(&history(), &reads), []);
}

#[test]
fn a_value_that_lacks_what_was_acknowledged_before_the_watermark_is_found() {
    for (watermark, cells) in [(2_100, [("x", 5), ("y", 1)]), (1_211, [("x", 12), ("y", 0)]), (1_111, [("x", 0), ("y", 1)])] {
        let violation = one_violation(&[read(2_200, watermark, &cells)]);
        assert!(matches!(&violation, Violation::OutOfBounds { value, least, .. } if value < least), "{violation}");
    }
}

#[test]
fn a_value_that_has_what_was_begun_after_the_answer_or_changed_before_the_watermark_is_found() {
    // The third read has a cell that no item contributes to.
    for wrong in [
        read(900, 800, &[("x", 5)]),
        read(2_200, 2_100, &[("x", 12), ("y", 1)]),
        read(2_200, 2_100, &[("x", 10), ("y", 1), ("z", 1)]),
    ] {
        let violation = one_violation(&[wrong]);
        assert!(matches!(&violation, Violation::OutOfBounds { value, most, .. } if value > most), "{violation}");
    }
}

#[test]
fn a_value_that_is_not_called_exact_may_be_anything() {
    let wrong = Read { exact: false, ..read(2_200, 2_100, &[("x", 100)]) };
    assert_eq!(judge(&history(), &[wrong]), []);
}

#[test]
fn a_change_without_an_acknowledgement_may_be_included_at_any_time() {
    let mut writes = history();
    writes.begin("c", cells(&[("y", 9)]), at(4_000));
    let of_y = |y| read(6_000, 5_900, &[("x", 3), ("y", y)]);
    assert_eq!(judge(&writes, &[of_y(1), of_y(9)]), []);
    assert_eq!(judge(&writes, &[of_y(0), of_y(10)]).len(), 2);
}

#[test]
fn a_watermark_that_goes_back_is_found() {
    let earlier = read(1_500, 1_300, &[("x", 12), ("y", 1)]);
    let back = read(1_520, 1_299, &[("x", 12), ("y", 1)]);
    let violation = one_violation(&[earlier.clone(), back.clone()]);
    assert!(matches!(violation, Violation::Backwards { before, .. } if Some(before) == earlier.watermark), "{violation}");
    let none = Read { watermark: None, ..back.clone() };
    assert!(matches!(one_violation(&[earlier.clone(), none]), Violation::Backwards { after: None, .. }));
    // Neither was answered before the other began.
    let beside = Read { begun_at: at(1_505), ..back };
    assert_eq!(judge(&history(), &[earlier, beside]), []);
}

#[test]
fn a_watermark_in_the_future_is_found() {
    let violation = one_violation(&[read(1_500, 1_511, &[("x", 12), ("y", 1)])]);
    assert!(matches!(violation, Violation::InFuture { .. }), "{violation}");
    assert_eq!(judge(&history(), &[read(1_500, 1_510, &[("x", 12), ("y", 1)])]), []);
}

#[test]
fn what_is_written_after_an_answer_and_before_its_watermark_is_found() {
    let violations = judge(&history(), &[read(1_500, 900_000, &[("x", 12), ("y", 1)])]);
    assert!(matches!(violations[..], [Violation::InFuture { .. }, Violation::OutOfBounds { .. }]), "{violations:?}");
    let twice: Vec<_> = violations.iter().chain(&violations).cloned().collect();
    let told = [violations[0].to_string(), violations[1].to_string()];
    assert_eq!(summary(&twice), [&["4 violations; the first of each kind:".to_owned()], &told[..]].concat());
    assert_eq!(summary(&[]), Vec::<String>::new());
}

#[test]
fn a_complete_cell_that_changes_by_what_was_written_before_the_watermark_is_found() {
    let complete = |read: Read| Read { complete: BTreeSet::from(["x".to_owned()]), ..read };
    let last = read(4_000, 3_900, &[("x", 3), ("y", 1)]);
    // In these bounds, but the change of `b` came only after the watermark: what was written later may change a complete cell.
    assert_eq!(judge(&history(), &[complete(read(2_200, 2_100, &[("x", 10), ("y", 1)])), last.clone()]), []);
    let violations = judge(&history(), &[complete(read(3_100, 3_011, &[("x", 10), ("y", 1)])), last]);
    assert!(matches!(violations[..], [Violation::OutOfBounds { .. }, Violation::NotComplete { .. }]), "{violations:?}");
}

/// Reads of random histories, whose items are applied one by one at random times after they were written. The watermark is an instant
/// before all that was not yet applied.
#[test]
fn random_honest_reads_pass_and_a_number_beside_their_bounds_does_not() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut writes, mut stored) = (Writes::default(), BTreeMap::<String, Cells>::new());
        let (mut waiting, mut reads) = (Vec::<(String, Cells, i64)>::new(), Vec::<Read>::new());
        for step in 0..60 {
            let now = step * 100;
            let item = format!("item-{}", random.random_range(0..4));
            let cell = ["x", "y"][random.random_range(0..2)];
            let contribution = [(cell, random.random_range(-5..5))];
            write(&mut writes, &item, &contribution[..random.random_range(0..=1)], now);
            let version = writes.items[&item].last().unwrap().contribution.clone();
            waiting.push((item, version, now));
            while waiting.len() > random.random_range(0..5) {
                // Of the same item, the oldest.
                let (item, version, _) = waiting.remove(0);
                stored.insert(item, version);
            }
            let mut sums = Cells::new();
            stored.values().flatten().for_each(|(cell, value)| *sums.entry(cell.clone()).or_default() += value);
            let watermark = waiting.first().map_or(now + 50, |(_, _, begun)| *begun);
            reads.push(Read { cells: sums, ..read(now + 60, watermark, &[]) });
        }
        assert_eq!(judge(&writes, &reads), [], "seed {seed}");
        let wrong = random.random_range(0..reads.len());
        let bounds = writes.bounds(&reads[wrong]);
        let Some((cell, (least, _))) = bounds.iter().next() else { continue };
        let low = (cell.to_string(), least - BigDecimal::from(1));
        reads[wrong].cells.extend([low]);
        assert_eq!(judge(&writes, &reads).len(), 1, "seed {seed}");
    }
}
