//! Reads settings from variables and collects what is wrong with them.

use super::{Absent, Setting, Vars};

/// Reads settings one by one; [`Reader::finish`] then reports all errors together.
#[derive(Debug)]
pub struct Reader<'a> {
    vars: &'a Vars,
    faults: Vec<Fault>,
}

/// Some settings are wrong. Displayed as one line for each: the variable's name, what is wrong, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.lines())]
pub struct Invalid(Vec<Fault>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    name: &'static str,
    what: String,
}

impl<'a> Reader<'a> {
    pub fn new(vars: &'a Vars) -> Self {
        Self { vars, faults: Vec::new() }
    }

    /// The value of a setting that is required or has a default. `None` stands for an error, kept until [`Reader::finish`].
    ///
    /// The parser's error says what is wrong and what is allowed; it must not quote a value that is a secret.
    pub fn read<T, E: std::fmt::Display>(&mut self, setting: &Setting, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let value = self.read_optional(setting, parse)?;
        if value.is_none() {
            self.fault(setting, format_args!("not set; it is required: {}", setting.meaning));
        }
        value
    }

    /// The value of a setting that may be absent: `Some(None)` when it is unset and has no default, `None` for an error.
    pub fn read_optional<T, E: std::fmt::Display>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        let text = match (self.vars.get(setting.name), setting.absent) {
            (Err(error), _) => {
                self.fault(setting, error);
                return None;
            }
            (Ok(Some(text)), _) | (Ok(None), Absent::Default(text)) => text,
            (Ok(None), Absent::Invalid | Absent::Nothing) => return Some(None),
        };
        match parse(text) {
            Ok(value) => Some(Some(value)),
            Err(error) => {
                self.fault(setting, error);
                None
            }
        }
    }

    /// Adds an error found outside a parser: two settings that contradict each other, say.
    pub fn fault(&mut self, setting: &Setting, what: impl std::fmt::Display) {
        self.faults.push(Fault { name: setting.name, what: what.to_string() });
    }

    /// Builds the configuration from what was read. `build` is called only when nothing was wrong, so every value it unwraps
    /// with `?` is there.
    ///
    /// # Errors
    /// [`Invalid`], with every error since [`Reader::new`].
    pub fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, Invalid> {
        if self.faults.is_empty() {
            Ok(build().expect("a value that is missing has left a fault"))
        } else {
            Err(Invalid(self.faults))
        }
    }
}

impl Invalid {
    fn lines(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(|Fault { name, what }| format!("{name}: {what}")).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::net::SocketAddr;
    use std::os::unix::ffi::OsStrExt;
    use std::time::Duration;

    use super::super::parse;
    use super::*;

    const DEFINITIONS: Setting = Setting::required("TIDEMARK_DEFINITIONS", "path of the definition file");
    const ADDR: Setting = Setting::with_default("TIDEMARK_API_ADDR", "0.0.0.0:8080", "where the API listens");
    const FLUSH: Setting = Setting::with_default("TIDEMARK_FLUSH_INTERVAL_MS", "250", "longest wait before a commit");
    const WORKER: Setting = Setting::optional("TIDEMARK_WORKER_ID", "name in leases");

    type Read = (String, SocketAddr, Duration, Option<String>);

    fn read(vars: &Vars) -> Result<Read, Invalid> {
        let mut reader = Reader::new(vars);
        let definitions = reader.read(&DEFINITIONS, parse::text);
        let addr = reader.read(&ADDR, parse::socket_address);
        let flush = reader.read(&FLUSH, parse::milliseconds(10..=60_000));
        let worker = reader.read_optional(&WORKER, parse::text);
        reader.finish(|| Some((definitions?, addr?, flush?, worker?)))
    }

    #[test]
    fn defaults_fill_what_is_unset() {
        let read = read(&Vars::of([("TIDEMARK_DEFINITIONS", "d.yaml")]));
        let addr = SocketAddr::from(([0, 0, 0, 0], 8080));
        assert_eq!(read, Ok(("d.yaml".to_owned(), addr, Duration::from_millis(250), None)));
    }

    #[test]
    fn all_errors_are_reported_together() {
        let vars = Vars::of([
            ("TIDEMARK_API_ADDR", OsStr::new("8080")),
            ("TIDEMARK_FLUSH_INTERVAL_MS", OsStr::new("0")),
            ("TIDEMARK_WORKER_ID", OsStr::from_bytes(b"\xff\xfe")),
        ]);
        let expected = "\
TIDEMARK_DEFINITIONS: not set; it is required: path of the definition file
TIDEMARK_API_ADDR: `8080` is not an address; give IP:PORT, such as 0.0.0.0:8080 or [::]:8080
TIDEMARK_FLUSH_INTERVAL_MS: `0` is out of range; give whole milliseconds from 10 to 60000
TIDEMARK_WORKER_ID: the value is not valid UTF-8; give it as UTF-8 text";
        assert_eq!(read(&vars).expect_err("four are wrong").to_string(), expected);
    }

    #[test]
    fn contradictions_are_reported_with_the_rest() {
        let vars = Vars::default();
        let mut reader = Reader::new(&vars);
        reader.fault(&FLUSH, "longer than the lease");
        let error = reader.finish(|| Some(())).expect_err("a fault was added");
        assert_eq!(error.to_string(), "TIDEMARK_FLUSH_INTERVAL_MS: longer than the lease");
    }
}
