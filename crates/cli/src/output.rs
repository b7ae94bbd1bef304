//! Data on standard output: for people, or as JSON for scripts. Nothing of it is obeyed by a terminal.

use std::fmt::{Arguments, Write as _};
use std::io::{self, ErrorKind, Write};

use serde_json::Value;
use tidemark_runtime::process::{self, Failure};

/// Standard output does not take what is written.
#[derive(Debug, thiserror::Error)]
#[error("standard output")]
pub(crate) struct Error(#[source] io::Error);

/// Prints a line on standard output; takes what `println!` takes.
macro_rules! say {
    ($($what:tt)*) => {
        $crate::output::line(format_args!($($what)*))
    };
}
pub(crate) use say;

/// Prints a line. See [`say`].
///
/// Where nobody reads any more (`tidemark status | head -1`), the process ends as if all had been read: nothing is left to do. Where
/// it cannot be written, the process ends as a command that has failed.
pub(crate) fn line(line: Arguments<'_>) {
    match try_line(line) {
        Ok(()) => {}
        Err(Error(error)) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => process::exit(&Failure::failed(error)),
    }
}

/// Prints what must not be lost unnoticed, as [`line()`] does.
///
/// # Errors
/// When nobody reads any more, or it cannot be written.
pub(crate) fn try_line(line: Arguments<'_>) -> Result<(), Error> {
    let mut text = spelt(&line.to_string(), |c| c != '\n');
    text.push('\n');
    io::stdout().write_all(text.as_bytes()).map_err(Error)
}

/// Prints JSON, indented.
pub(crate) fn json(value: &Value) {
    say!("{value:#}");
}

/// A value as a part of one line: a line break in it is spelled, too.
pub(crate) fn on_one_line(value: &str) -> String {
    spelt(value, |_| true)
}

/// A number of things, such as `1 shard` and `2 shards`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Prints rows in columns, each as wide as its widest cell. A cell is one line, whatever it holds.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| on_one_line(cell)).collect()).collect();
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        say!("{}", padded.join("  ").trim_end());
    };
    line(&mut header.iter().copied());
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
}

/// A text whose commands to a terminal are spelled, as far as they are to be, like `\u001b`. JSON spells them so, too, so JSON stays
/// what it was.
fn spelt(text: &str, is_to_be: impl Fn(char) -> bool) -> String {
    let mut spelt = String::with_capacity(text.len());
    for c in text.chars() {
        if commands(c) && is_to_be(c) {
            write!(spelt, "\\u{:04x}", u32::from(c)).expect("writing to a String cannot fail");
        } else {
            spelt.push(c);
        }
    }
    spelt
}

/// Whether a terminal would obey a character: control characters, line separators, and those that turn the direction of what follows.
fn commands(c: char) -> bool {
    let turns = matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_on_one_line_and_commands_nothing() {
        let value = "tea\u{1b}[2K\r\nforged\u{9b}1A \u{202e}reversed\u{2066}";
        assert_eq!(on_one_line(value), r"tea\u001b[2K\u000d\u000aforged\u009b1A \u202ereversed\u2066");
        assert_eq!(on_one_line("Straße 茶 🍵 a\\u001b"), "Straße 茶 🍵 a\\u001b");
    }

    #[test]
    fn json_says_the_same_when_it_commands_nothing() {
        let value = json!({ "item\u{7f}": "a\u{1b}\nb\u{9b}\u{202e}" });
        let printed = spelt(&format!("{value:#}"), |c| c != '\n');
        assert!(!printed.contains(|c| c != '\n' && commands(c)), "{printed}");
        assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), value);
    }
}
