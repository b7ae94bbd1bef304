//! Tests of columns of wrapped text.

use super::*;

fn cell(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

#[test]
fn columns_align_across_headings() {
    let mut grid = Grid::new(["Name", "Value"]);
    grid.columns();
    grid.heading("one".to_owned());
    grid.cells([cell("a"), cell("1 µs")]);
    grid.heading("two".to_owned());
    grid.cells([cell("a longer name"), vec!["2".to_owned(), "3".to_owned()]]);
    grid.note(vec!["p99 1 s".to_owned(), "wall 2 s".to_owned()]);
    grid.note(Vec::new());
    let expected = "  Name           Value\n\none\n  a              1 µs\n\ntwo\n  a longer name  2\n                 3\n    p99 1 s · wall 2 s\n";
    assert_eq!(grid.text(Ink::Plain), expected);
}

#[test]
fn every_line_fits_and_no_word_is_lost() {
    let words = "word ".repeat(40);
    let mut grid = Grid::new(["A", "B", "C"]);
    grid.cells([cell(words.trim()), cell("short"), cell(words.trim())]);
    grid.cells([cell(&"x".repeat(300)), cell("short"), cell("")]);
    grid.note(vec!["a part of the note".to_owned(); 20]);
    grid.note(vec!["long ".repeat(50).trim().to_owned()]);
    let text = grid.text(Ink::Plain);
    assert!(text.lines().all(|line| columns_of(line) <= WIDTH), "{text}");
    assert_eq!(text.matches("word").count(), 80);
    assert_eq!(text.matches('x').count(), 300);
    assert_eq!(text.matches("a part of the note").count(), 20);
    assert_eq!(text.matches("short").count(), 2);
    assert_eq!(text.matches("long").count(), 50);
}

#[test]
fn narrow_columns_keep_their_width_beside_wide_ones() {
    let mut grid = Grid::new(["A", "B"]);
    grid.cells([cell(&"x".repeat(200)), cell("12345678")]);
    assert_eq!(grid.widths(), [WIDTH - 2 - 2 - 8, 8]);
}

#[test]
fn continued_line_hangs() {
    assert_eq!(wrapped("one two three", 7), ["one two", "  three"]);
    assert_eq!(wrapped("abcdefgh", 5), ["abcde", "  fgh"]);
    assert_eq!(wrapped("", 5), [""]);
}

#[test]
fn number_is_not_divided() {
    assert_eq!(wrapped("rate 12 300/s", 10), ["rate", "  12 300/s"]);
}

#[test]
fn escape_sequences_are_for_terminals_alone() {
    let mut grid = Grid::new(["A"]);
    grid.heading("one".to_owned());
    assert_eq!(grid.text(Ink::Plain), "one\n");
    assert_eq!(grid.text(Ink::Ansi), concat!("\u{1b}[1m", "one", "\u{1b}[0m\n"));
}
