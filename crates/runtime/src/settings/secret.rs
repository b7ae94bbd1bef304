//! The deployment's own keys. What they are used for derives keys of its own from them; here they are only read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Reader;
use super::deployment::{SECRET_KEY, SECRET_KEY_PREVIOUS};

/// The keys of a deployment, 32 bytes each, wiped from memory when dropped. Its `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKeys {
    /// Encrypts and signs, and is accepted.
    pub current: Zeroizing<[u8; 32]>,
    /// Only accepted.
    pub previous: Option<Zeroizing<[u8; 32]>>,
}

/// The text is no key. It is not shown: it may be nearly one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not 32 bytes in base64; make one with `openssl rand -base64 32`")]
pub struct NotAKey(());

impl SecretKeys {
    /// Reads both. `None` stands for an error, kept until [`Reader::finish`].
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let current = reader.read(&SECRET_KEY, key);
        let previous = reader.read_optional(&SECRET_KEY_PREVIOUS, key);
        Some(Self { current: current?, previous: previous? })
    }

    /// Reads both, for a command that can do without: `Some(None)` when TIDEMARK_SECRET_KEY is unset.
    pub fn read_optional(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let current = reader.read_optional(&SECRET_KEY, key);
        let previous = reader.read_optional(&SECRET_KEY_PREVIOUS, key);
        let (current, previous) = (current?, previous?);
        Some(current.map(|current| Self { current, previous }))
    }
}

fn key(text: &str) -> Result<Zeroizing<[u8; 32]>, NotAKey> {
    let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).map_err(|_| NotAKey(()))?;
    let key: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| NotAKey(()))?;
    Ok(Zeroizing::new(*key))
}

impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKeys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Invalid, Vars};
    use super::*;

    fn read(vars: &Vars) -> Result<SecretKeys, Invalid> {
        let mut reader = Reader::new(vars);
        let keys = SecretKeys::read(&mut reader);
        reader.finish(|| keys)
    }

    #[test]
    fn keys_are_32_bytes_in_base64_and_never_shown() {
        let (current, previous) = (STANDARD.encode([7; 32]), format!(" {}\n", STANDARD.encode([8; 32])));
        let both = Vars::of([("TIDEMARK_SECRET_KEY", &current), ("TIDEMARK_SECRET_KEY_PREVIOUS", &previous)]);
        let keys = read(&both).expect("two keys");
        assert_eq!((&*keys.current, keys.previous.as_deref()), (&[7; 32], Some(&[8; 32])));
        assert_eq!(format!("{keys:?}"), "SecretKeys { .. }");
    }

    #[test]
    fn a_command_can_do_without_a_key_and_not_with_a_wrong_one() {
        let read = |vars: &Vars| {
            let mut reader = Reader::new(vars);
            let keys = SecretKeys::read_optional(&mut reader);
            reader.finish(|| keys)
        };
        let current = STANDARD.encode([7; 32]);
        assert_eq!(read(&Vars::default()), Ok(None));
        assert_eq!(read(&Vars::of([("TIDEMARK_SECRET_KEY_PREVIOUS", &current)])), Ok(None), "the previous key makes nothing");
        let keys = read(&Vars::of([("TIDEMARK_SECRET_KEY", &current)])).expect("a key").expect("is set");
        assert_eq!((&*keys.current, keys.previous), (&[7; 32], None));
        assert!(read(&Vars::of([("TIDEMARK_SECRET_KEY", "c2hvcnQ=")])).is_err());
    }

    #[test]
    fn a_wrong_key_is_reported_and_never_quoted() {
        let missing = read(&Vars::default()).expect_err("required").to_string();
        assert!(missing.starts_with("TIDEMARK_SECRET_KEY: not set"), "{missing}");
        let vars = Vars::of([("TIDEMARK_SECRET_KEY", "c2hvcnQ="), ("TIDEMARK_SECRET_KEY_PREVIOUS", "bm8=")]);
        let report = read(&vars).expect_err("both are short").to_string();
        assert_eq!(report.lines().count(), 2, "{report}");
        assert!(!report.contains("c2hvcnQ") && !report.contains("bm8"), "{report}");
    }
}
