//! The data directory: made if it is not there, and one process's at a time.
//!
//! Two would each have a DynamoDB of its own on one database, and workers of one name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use tidemark_runtime::process::Failure;

/// In the data directory; empty. The system lets go of it with the process, however that ends.
const FILE: &str = "lock";

/// A data directory that no other process uses until this is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    _lock: File,
}

impl Directory {
    /// # Errors
    /// When it cannot be made, or another process has it.
    pub(super) fn take(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let failed = |what: &str, error: io::Error| Failure::failed(format!("--data-dir {shown} cannot be {what}: {error}"));
        std::fs::create_dir_all(path).map_err(|error| failed("made", error))?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(path.join(FILE));
        let lock = lock.map_err(|error| failed("used", error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let told =
                    format!("--data-dir {shown} is in use by another `tidemark dev`: stop that one, or give another directory");
                Err(Failure::failed(told))
            }
            Err(TryLockError::Error(error)) => Err(failed("locked", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_process_until_it_lets_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("not/yet/there");
        let first = Directory::take(&path).expect("nobody has it");
        let Err(Failure::Failed(cause)) = Directory::take(&path) else { panic!("it is taken") };
        assert!(cause.to_string().contains("in use by another `tidemark dev`"), "{cause}");
        drop(first);
        assert!(Directory::take(&path).is_ok());
    }
}
