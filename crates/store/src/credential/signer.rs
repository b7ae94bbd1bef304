//! The text of a key, `tdm_<id>_<secret>_<checksum>`, and the two forms of its checksum.
//!
//! A signed key ends with a truncated HMAC-SHA256 under a key of the deployment. Only the deployment can compute it, so a made-up key is
//! recognised without a read of the table. A key from before, or one made where the deployment's key is not known, ends with a CRC32,
//! which anyone can compute: it tells a mistyped key, not a made-up one.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What the deployment's key is hashed with here. Other purposes (webhook secrets, kept answers, cursors) have other texts.
const PURPOSE: &[u8] = b"API keys, HMAC-SHA-256, 1";
const PREFIX: &str = "tdm_";
/// Hexadecimal digits of an HMAC: 64 bits, so a guess succeeds once in 2^64.
const HMAC_DIGITS: usize = 16;
const CRC_DIGITS: usize = 8;

/// Signs new API keys and recognises signed ones. Its `Debug` shows nothing of the deployment's keys.
#[derive(Clone)]
pub struct KeySigner {
    current: Zeroizing<[u8; 32]>,
    previous: Option<Zeroizing<[u8; 32]>>,
}

/// A text of the form of a key, as a client presents it. Whether there is such a key is in the table. Its `Debug` does not show the text.
#[derive(Clone, Copy)]
pub struct PresentedKey<'a> {
    pub(super) text: &'a str,
    pub(super) id: &'a str,
    is_signed: bool,
}

impl KeySigner {
    /// From the deployment's own keys; keys that were signed under `previous` are recognised, and none are signed under it.
    pub fn new(current: &[u8; 32], previous: Option<&[u8; 32]>) -> Self {
        Self { current: derived(current), previous: previous.map(derived) }
    }

    /// Reads a key. `None`: the text has not the form of a key, or its CRC32 does not fit.
    ///
    /// A checksum of the signed form that does not fit is accepted as not signed: the key may have been made under a deployment's key
    /// that has been replaced since.
    pub fn read<'a>(&self, presented: &'a str) -> Option<PresentedKey<'a>> {
        let (body, checksum) = presented.rsplit_once('_')?;
        let (id, secret) = body.strip_prefix(PREFIX)?.split_once('_')?;
        if !(is_id(id) && secret.len() == 64 && is_hexadecimal(secret) && is_hexadecimal(checksum)) {
            return None;
        }
        let is_signed = match checksum.len() {
            HMAC_DIGITS => self.has_signed(body, checksum),
            CRC_DIGITS if checksum == crc(body) => false,
            _ => return None,
        };
        Some(PresentedKey { text: presented, id, is_signed })
    }

    fn has_signed(&self, body: &str, checksum: &str) -> bool {
        let is_by = |key| bool::from(hmac(key, body).as_bytes().ct_eq(checksum.as_bytes()));
        is_by(&self.current) || self.previous.as_ref().is_some_and(is_by)
    }
}

impl PresentedKey<'_> {
    /// Whether this deployment made it. It may have expired or been deleted since.
    pub fn is_signed(&self) -> bool {
        self.is_signed
    }
}

/// A new key of this id; without a signer it ends with a CRC32.
pub(super) fn spelled(id: &str, secret: [u8; 32], signer: Option<&KeySigner>) -> String {
    let body = format!("{PREFIX}{id}_{}", hex::encode(secret));
    let checksum = signer.map_or_else(|| crc(&body), |signer| hmac(&signer.current, &body));
    format!("{body}_{checksum}")
}

pub(super) fn is_id(text: &str) -> bool {
    text.len() == 20 && is_hexadecimal(text)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_hexdigit())
}

fn crc(body: &str) -> String {
    format!("{:08x}", crc32fast::hash(body.as_bytes()))
}

fn hmac(key: &Zeroizing<[u8; 32]>, body: &str) -> String {
    hex::encode(&mac(key, body.as_bytes())[..HMAC_DIGITS / 2])
}

fn derived(key: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(mac(key, PURPOSE))
}

fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

impl std::fmt::Debug for KeySigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySigner").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresentedKey").field("id", &self.id).field("is_signed", &self.is_signed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "019d3e0fd6c85b9a10fe";

    /// `None`: it is no key; else whether it is signed.
    fn read(signer: &KeySigner, key: &str) -> Option<bool> {
        signer.read(key).map(|key| key.is_signed())
    }

    #[test]
    fn a_key_is_signed_under_the_current_key_and_recognised_until_the_previous_one_is_gone() {
        let (old, rotated, new) =
            (KeySigner::new(&[1; 32], None), KeySigner::new(&[2; 32], Some(&[1; 32])), KeySigner::new(&[2; 32], None));
        let by = |signer: &KeySigner| spelled(ID, [7; 32], Some(signer));
        assert_eq!([&old, &rotated, &new].map(|signer| read(signer, &by(&old))), [Some(true), Some(true), Some(false)]);
        assert_eq!([&old, &rotated, &new].map(|signer| read(signer, &by(&rotated))), [Some(false), Some(true), Some(true)]);
        assert_eq!(by(&rotated), by(&new));
    }

    #[test]
    fn a_key_with_a_crc_is_a_key_and_not_signed() {
        let signer = KeySigner::new(&[1; 32], None);
        let key = spelled(ID, [7; 32], None);
        assert_eq!(read(&signer, &key), Some(false));
        assert_eq!(signer.read(&key).map(|key| key.id), Some(ID));
        // As keys were written before there were signed ones.
        let body = format!("tdm_{ID}_{}", "07".repeat(32));
        assert_eq!(key, format!("{body}_{:08x}", crc32fast::hash(body.as_bytes())));
        let mistyped = key.replacen("07", "08", 1);
        assert_eq!(read(&signer, &mistyped), None);
    }

    #[test]
    fn no_other_purpose_of_the_deployments_key_signs_keys() {
        let body = format!("tdm_{ID}_{}", "07".repeat(32));
        let undivided = format!("{body}_{}", hex::encode(&mac(&[1; 32], body.as_bytes())[..8]));
        assert_eq!(read(&KeySigner::new(&[1; 32], None), &undivided), Some(false));
    }

    #[test]
    fn debug_output_shows_nothing_of_a_key() {
        let signer = KeySigner::new(&[1; 32], None);
        let key = spelled(ID, [7; 32], Some(&signer));
        let shown = format!("{signer:?} {:?}", signer.read(&key).expect("a key"));
        assert!(!shown.contains("0707") && !shown.contains("[1"), "{shown}");
    }

    /// The form of a key, written a second time, as the parts between underscores.
    fn is_form(text: &str) -> bool {
        let parts: Vec<&str> = text.split('_').collect();
        let is_hex = |part: &str, lengths: &[usize]| {
            lengths.contains(&part.len()) && part.chars().all(|c| "0123456789abcdefABCDEF".contains(c))
        };
        matches!(parts[..], ["tdm", id, secret, end] if is_hex(id, &[20]) && is_hex(secret, &[64]) && is_hex(end, &[8, 16]))
    }

    proptest! {
        #[test]
        fn a_changed_key_is_not_signed(secret: [u8; 32], at in 0_usize..106, to in "[0-9a-zA-Z_]") {
            let signer = KeySigner::new(&[1; 32], Some(&[2; 32]));
            let key = spelled(ID, secret, Some(&signer));
            prop_assert_eq!(key.len(), 106);
            let mut changed = key.clone();
            changed.replace_range(at..=at, &to);
            let expected = if changed == key { Some(true) } else { is_form(&changed).then_some(false) };
            prop_assert_eq!(read(&signer, &changed), expected);
        }

        #[test]
        fn any_text_can_be_read(text in "\\PC{0,120}|tdm_[0-9a-f]{20}_[0-9a-f]{64}_([0-9a-f]{8}|[0-9a-f]{16})") {
            let signer = KeySigner::new(&[1; 32], None);
            if let Some(key) = signer.read(&text) {
                prop_assert!(is_form(&text) && !key.is_signed());
            }
        }
    }
}
