//! An endpoint's signing secret: made here, shown once as text, read back from that text.

use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRng;
use rand::rngs::SysRng;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// Bytes a secret may have (Standard Webhooks 1.0).
pub const LENGTH: RangeInclusive<usize> = 24..=64;
/// Bytes of the secrets we make.
const LENGTH_MADE: usize = 32;
const PREFIX: &str = "whsec_";

/// A symmetric signing secret. Wiped from memory when dropped; its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// The text is no secret. It is not shown: it may be nearly one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a secret is `{PREFIX}` and {} to {} bytes in base64", LENGTH.start(), LENGTH.end())]
pub struct Error(());

impl Secret {
    /// A new secret: 32 bytes from the operating system.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new(vec![0; LENGTH_MADE]);
        SysRng.try_fill_bytes(&mut bytes).expect("the operating system gives randomness");
        Self(bytes)
    }

    /// # Errors
    /// When the text is not `whsec_` and the base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let encoded = text.strip_prefix(PREFIX).ok_or(Error(()))?;
        STANDARD.decode(encoded).map_err(|_| Error(())).and_then(Self::from_bytes)
    }

    /// # Errors
    /// When there are fewer than 24 or more than 64.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        let bytes = Zeroizing::new(bytes);
        if LENGTH.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(Error(())) }
    }

    /// `whsec_<base64>`, as the tenant is shown it once.
    pub fn text(&self) -> SecretString {
        format!("{PREFIX}{}", STANDARD.encode(self.bytes())).into()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_reads_back_from_its_text() {
        let secret = Secret::generate();
        let text = secret.text();
        assert_eq!(Secret::parse(text.expose_secret()).expect("its own text").bytes(), secret.bytes());
        assert_eq!(text.expose_secret().len(), PREFIX.len() + 44);
        assert_ne!(Secret::generate().bytes(), secret.bytes());
    }

    #[test]
    fn only_24_to_64_bytes_in_base64_are_a_secret() {
        let text = |length| format!("{PREFIX}{}", STANDARD.encode(vec![7; length]));
        for (length, good) in [(23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(Secret::parse(&text(length)).is_ok(), good, "{length}");
        }
        for bad in ["", "whsec_", "whsec_!", &text(32)["whsec_".len()..], &text(32).to_uppercase()] {
            assert!(Secret::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_output_shows_nothing_of_a_secret() {
        assert_eq!(format!("{:?}", Secret::parse(&format!("{PREFIX}{}", STANDARD.encode([7; 32])))), "Ok(Secret { .. })");
    }
}
