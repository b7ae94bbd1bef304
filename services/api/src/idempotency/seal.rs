//! Kept answers at rest: some show a secret, so all are sealed, with a key derived from the deployment's own and bound to whose answer
//! it is and to which key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tidemark_runtime::settings::SecretKeys;
use zeroize::Zeroizing;

/// What the deployment's key is hashed with here; webhook secrets and cursors have other texts.
const PURPOSE: &[u8] = b"kept answers, XChaCha20-Poly1305, 1";
const NONCE_LENGTH: usize = 24;

/// Seals one answer and opens it again. Its `Debug` shows nothing of the keys.
#[derive(Clone)]
pub(super) struct Seal {
    current: XChaCha20Poly1305,
    previous: Option<XChaCha20Poly1305>,
    owner: Vec<u8>,
}

impl Seal {
    /// For the answer of a tenant, or of operators, to the idempotency key with this digest.
    pub(super) fn new(keys: &SecretKeys, tenant: Option<&str>, digest: &str) -> Self {
        // No tenant's id is empty, and none holds a newline.
        let owner = format!("{}\n{digest}", tenant.unwrap_or_default()).into_bytes();
        Self { current: cipher(&keys.current), previous: keys.previous.as_deref().map(cipher), owner }
    }

    /// # Panics
    /// When the operating system has no randomness to give.
    pub(super) fn close(&self, answer: &[u8]) -> String {
        let nonce = XNonce::generate();
        let payload = Payload { msg: answer, aad: &self.owner };
        let sealed = self.current.encrypt(&nonce, payload).expect("an answer is far shorter than the cipher's limit");
        STANDARD_NO_PAD.encode([nonce.as_slice(), &sealed].concat())
    }

    /// The answer, if one of the deployment's keys opens it for this owner.
    pub(super) fn open(&self, text: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LENGTH>()?;
        let open = |key: &XChaCha20Poly1305| key.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &self.owner }).ok();
        open(&self.current).or_else(|| self.previous.as_ref().and_then(open))
    }
}

fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(PURPOSE);
    let derived = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
    // The cipher wipes its own copy when it is dropped.
    chacha20poly1305::KeyInit::new((&*derived).into())
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(current: u8, previous: Option<u8>) -> SecretKeys {
        SecretKeys { current: [current; 32].into(), previous: previous.map(|byte| [byte; 32].into()) }
    }

    #[test]
    fn an_answer_opens_for_its_own_tenant_and_key_only() {
        let sealed = Seal::new(&keys(1, None), Some("acme"), "aa").close(b"whsec_1");
        assert!(!sealed.contains("whsec"));
        for (keys, tenant, digest, opens) in [
            (keys(1, None), Some("acme"), "aa", true),
            (keys(2, Some(1)), Some("acme"), "aa", true),
            (keys(2, None), Some("acme"), "aa", false),
            (keys(1, None), Some("other"), "aa", false),
            (keys(1, None), None, "aa", false),
            (keys(1, None), Some("acme"), "ab", false),
        ] {
            let opened = Seal::new(&keys, tenant, digest).open(&sealed);
            assert_eq!(opened.as_deref(), opens.then_some(&b"whsec_1"[..]), "{tenant:?} {digest}");
        }
    }
}
