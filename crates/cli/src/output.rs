//! Data on standard output: for people, or as JSON for scripts.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use serde_json::Value;

/// Prints a line on standard output; takes what `println!` takes.
macro_rules! say {
    ($($what:tt)*) => {
        $crate::output::line(format_args!($($what)*))
    };
}
pub(crate) use say;

/// Prints a line. See [`say`].
///
/// Where nobody reads any more (`tidemark status | head -1`), the process ends as if all had been read: nothing is left to do.
///
/// # Panics
/// When standard output fails in another way.
pub(crate) fn line(line: Arguments<'_>) {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.expect("standard output takes a line"),
    }
}

/// Prints JSON, indented.
pub(crate) fn json(value: &Value) {
    say!("{value:#}");
}

/// A number of things, such as `1 shard` and `2 shards`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Prints rows in columns, each as wide as its widest cell.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        say!("{}", padded.join("  ").trim_end());
    };
    line(&mut header.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}
