//! Secrets at rest: sealed with a key that is derived from the deployment's own, and bound to the endpoint they belong to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tidemark_domain::{EndpointId, TenantId};
use zeroize::Zeroizing;

use crate::secret::{self, Secret};

/// Version of the text form: XChaCha20-Poly1305, nonce first.
const VERSION: &str = "v1.";
/// What the deployment's key is hashed with here. Another purpose (cursors) hashes it with another text, so one key serves both.
const PURPOSE: &[u8] = b"webhook secrets, XChaCha20-Poly1305, 1";
const NONCE_LENGTH: usize = 24;
const TAG_LENGTH: usize = 16;

/// The keys that secrets are sealed with. Its `Debug` shows nothing of them.
#[derive(Clone)]
pub struct SealingKeys {
    current: XChaCha20Poly1305,
    previous: Option<XChaCha20Poly1305>,
}

/// Whose secret it is: a sealed secret opens for the same tenant and endpoint only.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    pub tenant: &'a TenantId,
    pub endpoint: &'a EndpointId,
}

/// A sealed secret, to be stored. Its text is `v1.<base64 of nonce and ciphertext>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sealed(Vec<u8>);

/// Why a sealed secret cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not a sealed secret of a known version")]
    Malformed,
    /// It was sealed under another key or for another endpoint, or was changed since.
    #[error("the sealed secret does not open with TIDEMARK_SECRET_KEY or TIDEMARK_SECRET_KEY_PREVIOUS")]
    Refused,
}

impl SealingKeys {
    /// From the deployment's own keys; `previous` opens only.
    pub fn new(current: &[u8; 32], previous: Option<&[u8; 32]>) -> Self {
        Self { current: cipher(current), previous: previous.map(cipher) }
    }

    /// # Panics
    /// When the operating system has no randomness to give.
    pub fn seal(&self, secret: &Secret, owner: Owner<'_>) -> Sealed {
        let nonce = XNonce::generate();
        let bound = owner.bytes();
        let payload = Payload { msg: secret.bytes(), aad: &bound };
        let sealed = self.current.encrypt(&nonce, payload).expect("a secret is far shorter than the cipher's limit");
        Sealed([nonce.as_slice(), &sealed].concat())
    }

    /// # Errors
    /// [`Error::Refused`] when neither key opens it for this owner.
    pub fn open(&self, sealed: &Sealed, owner: Owner<'_>) -> Result<Secret, Error> {
        let previous = || self.previous.as_ref().and_then(|key| sealed.open(key, owner));
        sealed.open(&self.current, owner).or_else(previous).ok_or(Error::Refused)
    }

    /// The same secret under the current key, if it is sealed under the previous one: once all are, that key can go.
    ///
    /// # Errors
    /// [`Error::Refused`] when neither key opens it for this owner.
    pub fn reseal(&self, sealed: &Sealed, owner: Owner<'_>) -> Result<Option<Sealed>, Error> {
        if sealed.open(&self.current, owner).is_some() {
            return Ok(None);
        }
        self.open(sealed, owner).map(|secret| Some(self.seal(&secret, owner)))
    }
}

impl Sealed {
    fn open(&self, key: &XChaCha20Poly1305, owner: Owner<'_>) -> Option<Secret> {
        let (nonce, sealed) = self.0.split_first_chunk::<NONCE_LENGTH>()?;
        let opened = key.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &owner.bytes() }).ok()?;
        Secret::from_bytes(opened).ok()
    }
}

impl Owner<'_> {
    /// No id holds a newline, so no two owners are the same bytes.
    fn bytes(&self) -> Vec<u8> {
        format!("{}\n{}", self.tenant, self.endpoint).into_bytes()
    }
}

impl TryFrom<String> for Sealed {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let bytes =
            text.strip_prefix(VERSION).and_then(|encoded| STANDARD_NO_PAD.decode(encoded).ok()).ok_or(Error::Malformed)?;
        let secret_length = bytes.len().checked_sub(NONCE_LENGTH + TAG_LENGTH).ok_or(Error::Malformed)?;
        if secret::LENGTH.contains(&secret_length) { Ok(Self(bytes)) } else { Err(Error::Malformed) }
    }
}

impl From<Sealed> for String {
    fn from(sealed: Sealed) -> Self {
        format!("{VERSION}{}", STANDARD_NO_PAD.encode(sealed.0))
    }
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(PURPOSE);
    let derived = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
    // The cipher wipes its own copy when it is dropped.
    chacha20poly1305::KeyInit::new((&*derived).into())
}

impl std::fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealingKeys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: &str) -> TenantId {
        TenantId::new(id).expect("an id")
    }

    fn endpoint(last: char) -> EndpointId {
        EndpointId::new(&format!("{}01ARZ3NDEKTSV4RRFFQ69G5FA{last}", EndpointId::PREFIX)).expect("an id")
    }

    #[test]
    fn a_sealed_secret_opens_for_its_own_endpoint_only() {
        let keys = SealingKeys::new(&[1; 32], None);
        let (acme, other) = (tenant("acme"), tenant("other"));
        let (first, second) = (endpoint('A'), endpoint('B'));
        let owner = Owner { tenant: &acme, endpoint: &first };
        let secret = Secret::generate();
        let sealed = keys.seal(&secret, owner);
        assert_eq!(keys.open(&sealed, owner).expect("its owner").bytes(), secret.bytes());
        for stranger in [Owner { tenant: &other, endpoint: &first }, Owner { tenant: &acme, endpoint: &second }] {
            assert_eq!(keys.open(&sealed, stranger).map(|_| ()), Err(Error::Refused));
        }
        assert_ne!(keys.seal(&secret, owner), sealed, "each sealing has its own nonce");
    }

    #[test]
    fn the_previous_key_opens_until_everything_is_sealed_anew() {
        let acme = tenant("acme");
        let endpoint = endpoint('A');
        let owner = Owner { tenant: &acme, endpoint: &endpoint };
        let secret = Secret::generate();
        let sealed = SealingKeys::new(&[1; 32], None).seal(&secret, owner);
        let (rotating, rotated) = (SealingKeys::new(&[2; 32], Some(&[1; 32])), SealingKeys::new(&[2; 32], None));
        assert_eq!(rotating.open(&sealed, owner).expect("the previous key").bytes(), secret.bytes());
        assert!(rotated.open(&sealed, owner).is_err());
        let anew = rotating.reseal(&sealed, owner).expect("opens").expect("was under the previous key");
        assert_eq!(rotated.open(&anew, owner).expect("the current key").bytes(), secret.bytes());
        assert_eq!(rotating.reseal(&anew, owner), Ok(None));
    }

    #[test]
    fn a_sealed_secret_that_was_changed_does_not_open() {
        let acme = tenant("acme");
        let endpoint = endpoint('A');
        let owner = Owner { tenant: &acme, endpoint: &endpoint };
        let keys = SealingKeys::new(&[1; 32], None);
        let sealed = keys.seal(&Secret::generate(), owner);
        for index in 0..sealed.0.len() {
            let mut changed = sealed.clone();
            changed.0[index] ^= 1;
            assert!(keys.open(&changed, owner).is_err(), "byte {index}");
        }
    }

    #[test]
    fn a_sealed_secret_is_stored_as_text_of_a_known_version() {
        let acme = tenant("acme");
        let sealed =
            SealingKeys::new(&[1; 32], None).seal(&Secret::generate(), Owner { tenant: &acme, endpoint: &endpoint('A') });
        let json = serde_json::to_string(&sealed).expect("a string");
        assert!(json.starts_with("\"v1."), "{json}");
        assert_eq!(serde_json::from_str::<Sealed>(&json).expect("its own text"), sealed);
        for bad in ["", "v1.", "v1.!", "v1.AAAA", &String::from(sealed.clone()).replacen("v1", "v2", 1)] {
            assert_eq!(Sealed::try_from(bad.to_owned()), Err(Error::Malformed), "{bad}");
        }
    }
}
