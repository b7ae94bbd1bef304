//! A snapshot of variables: the process's own, or given ones.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Variables and their values, as they were when the snapshot was made. Its `Debug` shows names only: values may be secrets.
#[derive(Clone, Default)]
pub struct Vars(BTreeMap<OsString, OsString>);

/// A value is not Unicode text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value is not valid UTF-8; give it as UTF-8 text")]
pub struct NotUnicode(());

impl Vars {
    /// The variables of this process. Call it once, in `main`.
    pub fn from_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// The given variables and no others: for tests, and for `tidemark dev`, which ignores its environment.
    pub fn of<K: AsRef<OsStr>, V: AsRef<OsStr>>(vars: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(vars.into_iter().map(|(name, value)| (name.as_ref().to_owned(), value.as_ref().to_owned())).collect())
    }

    /// The same, with a value for a variable that is unset or empty.
    pub fn or(mut self, name: &str, value: &str) -> Self {
        let current = self.0.entry(name.into()).or_default();
        if current.is_empty() {
            *current = value.into();
        }
        self
    }

    /// A variable's value. An empty one counts as unset: that is what `NAME=` in a manifest or a compose file means.
    ///
    /// # Errors
    /// When the value is not Unicode.
    pub fn get(&self, name: &str) -> Result<Option<&str>, NotUnicode> {
        self.get_even_empty(name).map(|value| value.filter(|text| !text.is_empty()))
    }

    /// A variable's value, as those see it who take an empty one for a value.
    ///
    /// # Errors
    /// When the value is not Unicode.
    pub fn get_even_empty(&self, name: &str) -> Result<Option<&str>, NotUnicode> {
        self.0.get(OsStr::new(name)).map(|value| value.to_str().ok_or(NotUnicode(()))).transpose()
    }
}

impl std::fmt::Debug for Vars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn an_empty_value_counts_as_unset() {
        let vars = Vars::of([("A", ""), ("B", "b")]);
        assert_eq!(vars.get("A"), Ok(None));
        assert_eq!(vars.get("B"), Ok(Some("b")));
        assert_eq!(vars.get("C"), Ok(None));
    }

    #[test]
    fn a_fallback_stands_for_what_is_unset_or_empty() {
        let vars = Vars::of([("A", ""), ("B", "b")]).or("A", "x").or("B", "x").or("C", "x");
        assert_eq!(["A", "B", "C"].map(|name| vars.get(name)), [Ok(Some("x")), Ok(Some("b")), Ok(Some("x"))]);
    }

    #[test]
    fn a_value_that_is_not_unicode_is_an_error_and_no_panic() {
        let vars = Vars::of([("A", OsStr::from_bytes(b"\xff"))]);
        assert_eq!(vars.get("A"), Err(NotUnicode(())));
    }

    #[test]
    fn debug_output_keeps_values_secret() {
        assert_eq!(format!("{:?}", Vars::of([("KEY", "hunter2")])), r#"{"KEY"}"#);
    }
}
