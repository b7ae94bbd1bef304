//! The definition file: read once, at the start of a process.

use std::io;
use std::path::{Path, PathBuf};

use tidemark_domain::Definitions;
use tidemark_domain::definition::Invalid;

/// Why there are no definitions.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{setting}: the definition file {} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        setting: &'static str,
        #[source]
        cause: io::Error,
    },
    /// Shown with every problem on a line of its own.
    #[error("{} has problems:\n{problems}", path.display())]
    Invalid { path: PathBuf, problems: Invalid },
}

/// Reads and checks a definition file. `setting` names what led here: a variable, an option or an argument.
///
/// # Errors
/// When the file cannot be read, or any of its lines is wrong.
pub fn read(path: &Path, setting: &'static str) -> Result<Definitions, Error> {
    let text = std::fs::read_to_string(path).map_err(|cause| Error::Unreadable { path: path.to_owned(), setting, cause })?;
    Definitions::parse(&text).map_err(|problems| Error::Invalid { path: path.to_owned(), problems })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_names_the_setting_to_change() {
        let error = read(Path::new("no/such.yaml"), "TIDEMARK_DEFINITIONS").expect_err("it is not there").to_string();
        assert_eq!(error, "TIDEMARK_DEFINITIONS: the definition file no/such.yaml cannot be read");
    }

    #[test]
    fn a_bad_file_is_named_and_its_problems_have_lines() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let error = read(path, "FILE").expect_err("it is no YAML of ours").to_string();
        assert!(error.contains("Cargo.toml has problems:\nline "), "{error}");
    }
}
