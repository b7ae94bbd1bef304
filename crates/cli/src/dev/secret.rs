//! The key that a dev deployment seals webhook secrets and signs cursors with.
//!
//! It is kept beside a database that is kept: what was sealed before a restart must open after it.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use tidemark_runtime::process::Failure;
use tidemark_runtime::settings::SecretKeys;
use zeroize::Zeroizing;

/// In the data directory; 32 bytes.
const FILE: &str = "secret.key";

/// A new key for a database in memory; for one on disk, the key it was begun with.
pub(super) fn keys(data_dir: Option<&Path>) -> Result<SecretKeys, Failure> {
    let current = data_dir.map_or_else(|| Ok(rand::random::<[u8; 32]>().into()), kept)?;
    Ok(SecretKeys { current, previous: None })
}

fn kept(directory: &Path) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let file = directory.join(FILE);
    let failed = |error: std::io::Error| Failure::failed(format!("{} cannot be used: {error}", file.display()));
    match fs::read(&file) {
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            let key = <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new);
            key.map_err(|_| Failure::failed(format!("{} is not a key of 32 bytes", file.display())))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = Zeroizing::new(rand::random::<[u8; 32]>());
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(&file).and_then(|mut file| file.write_all(&key[..])).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_with_its_database_and_another_without_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = |directory: Option<&Path>| keys(directory).map(|keys| keys.current).expect("a key");
        let kept = key(Some(folder.path()));
        assert_eq!(key(Some(folder.path())), kept);
        assert_ne!(key(None), kept);
        fs::write(folder.path().join(FILE), "short").expect("written");
        assert!(keys(Some(folder.path())).is_err());
    }
}
