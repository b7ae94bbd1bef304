//! Settings from the environment: a table of what there is, parsed once, with every error reported together.
//!
//! ```
//! use tidemark_runtime::settings::{Reader, Setting, Vars, parse};
//!
//! const TABLE: Setting = Setting::with_default("TIDEMARK_TABLE", "tidemark", "name of the data table");
//! const DEFINITIONS: Setting = Setting::required("TIDEMARK_DEFINITIONS", "path of the definition file");
//!
//! let vars = Vars::of([("TIDEMARK_DEFINITIONS", "definitions/retail.yaml")]);
//! let mut reader = Reader::new(&vars);
//! let table = reader.read(&TABLE, parse::text);
//! let definitions = reader.read(&DEFINITIONS, parse::text);
//! let (table, definitions) = reader.finish(|| Some((table?, definitions?)))?;
//! assert_eq!((table.as_str(), definitions.as_str()), ("tidemark", "definitions/retail.yaml"));
//! # Ok::<(), tidemark_runtime::settings::Invalid>(())
//! ```

use std::fmt::Write;

pub mod deployment;
pub mod parse;
mod reader;
mod secret;
mod vars;

pub use reader::{Invalid, Reader};
pub use secret::{NotAKey, SecretKeys};
pub use vars::{NotUnicode, Vars};

/// One variable: what [`Reader`] reads and `--help` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// What holds when the variable is unset or empty.
    pub absent: Absent,
    /// What it is for, as one phrase; it follows the name in `--help` and in the error that the variable is missing.
    pub meaning: &'static str,
}

/// What holds when a variable is unset or empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// An error.
    Invalid,
    /// No value.
    Nothing,
    /// This text, parsed like one that was set, so that `--help` cannot name another default than the one in force.
    Default(&'static str),
}

impl Setting {
    /// A variable that must be set.
    pub const fn required(name: &'static str, meaning: &'static str) -> Self {
        Self { name, absent: Absent::Invalid, meaning }
    }

    /// A variable that may be left unset.
    pub const fn optional(name: &'static str, meaning: &'static str) -> Self {
        Self { name, absent: Absent::Nothing, meaning }
    }

    /// A variable with a default.
    pub const fn with_default(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self { name, absent: Absent::Default(default), meaning }
    }
}

/// Columns that the lines of [`help`] keep to, as long as no single word is longer: those of a common terminal.
const HELP_COLUMNS: usize = 80;

/// The section on settings of a binary's `--help`: names in one column, what they are for in another.
pub fn help(settings: &[Setting]) -> String {
    let names = settings.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    let mut text = String::from("Settings (environment variables):\n");
    for Setting { name, absent, meaning } in settings {
        let absent = match absent {
            Absent::Invalid => Some("[required]".to_owned()),
            Absent::Nothing => None,
            Absent::Default(default) => Some(format!("[default: {default}]")),
        };
        // What is in brackets is one word: a default is not to be looked for on two lines.
        let words = meaning.split(' ').chain(absent.as_deref());
        let mut name = *name;
        for line in lines(words, HELP_COLUMNS.saturating_sub("  ".len() + names + "  ".len())) {
            writeln!(text, "  {name:names$}  {line}").expect("writing to a String cannot fail");
            name = "";
        }
    }
    text
}

/// Words in lines of so many columns.
fn lines<'a>(words: impl Iterator<Item = &'a str>, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= columns => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_setting_with_its_default() {
        let settings = [
            Setting::required("TIDEMARK_DEFINITIONS", "path of the definition file"),
            Setting::with_default("TIDEMARK_TABLE", "tidemark", "name of the data table"),
            Setting::optional("TIDEMARK_SECRET_KEY_PREVIOUS", "key still accepted for reading"),
            Setting::with_default("TIDEMARK_START", "trim_horizon", "where a stream begins that was never read before"),
        ];
        let expected = "\
Settings (environment variables):
  TIDEMARK_DEFINITIONS          path of the definition file [required]
  TIDEMARK_TABLE                name of the data table [default: tidemark]
  TIDEMARK_SECRET_KEY_PREVIOUS  key still accepted for reading
  TIDEMARK_START                where a stream begins that was never read before
                                [default: trim_horizon]
";
        assert_eq!(help(&settings), expected);
    }
}
